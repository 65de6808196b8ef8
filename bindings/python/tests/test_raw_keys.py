"""Keys that are found in raw records are those of the decoded ones; each is looked for once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import wallaroo

KEYS = [
    ('{"k":"a"}', "a"),
    (' { "k" : "a b" , "n" : 1 } ', "a b"),
    ('{"k":""}', ""),
    ('{"n":1,"k":"b"}', "b"),
    ('{"n":-1.5e3 , "t":true,"z":null,"k":"b"}', "b"),
    ('{"n":{"k":"inner"},"k":"outer"}', "outer"),
    ('{"n":["}",{"k":"inner"}],"k":"outer"}', "outer"),
    ('{"n":"\\"k\\":\\"no\\",","k":"yes"}', "yes"),
    ('{"kk":"no","K":"no","k":"yes"}', "yes"),
    ('{"n":"k","k":"yes"}', "yes"),
    ('{"k":"\\u0061\\n\\"\\\\"}', 'a\n"\\'),
    ('{"\\u006b":"escaped name"}', "escaped name"),
    ('{"k":"größe €😀"}', "größe €😀"),
    ('{"k":0}', 0),
    ('{"k":-7}', -7),
    ('{"k": 42 ,"n":1}', 42),
    ('{"k":999999999999999999}', 999999999999999999),
    ('{"k":9223372036854775807}', 2**63 - 1),
    ('{"k":-9223372036854775808}', -(2**63)),
    ('{"k":18446744073709551615}', 2**64 - 1),
    ('{"k":true}', True),
    ('{"k":false}', False),
]


class Group:
    """A state object that says which key it has been found under."""

    def on_message(self, message: dict[str, Any], ctx: wallaroo.Context) -> tuple[Any, Any]:
        return ctx.key, message["k"]


def found(path: Path, lines: list[str]) -> list[tuple[Any, Any]]:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    out = wallaroo.memory()
    messages = wallaroo.source("messages", wallaroo.file(path, wallaroo.json()))
    grouped = messages.key_by("k").to(Group.on_message, state=wallaroo.State("groups", Group))
    wallaroo.App("groups", grouped.to_sink("out", out)).run()
    return out.take()


@pytest.mark.parametrize(("line", "key"), KEYS)
def test_a_key_in_raw_json_is_what_the_decoder_finds(tmp_path: Path, line: str, key: object) -> None:
    assert [(type(of_raw), of_raw, decoded) for of_raw, decoded in found(tmp_path / "in.jsonl", [line])] == [
        (type(key), key, key)
    ]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ('{"n":1}', "has no field"),
        ('{"k":1.5}', "cannot be a key"),
        ('{"k":1e3}', "cannot be a key"),
        ('{"k":null}', "cannot be a key"),
        ('{"k":{"k":"inner"}}', "cannot be a key"),
        ('{"k":["a"]}', "cannot be a key"),
    ],
)
def test_what_is_no_key_is_refused(tmp_path: Path, line: str, error: str) -> None:
    with pytest.raises((ValueError, TypeError), match=error):
        found(tmp_path / "in.jsonl", [line])


@pytest.mark.parametrize("line", ['{"k":"a', '{"k":"a"', '{"k" "a"}', '{"k":01}', '{"k":"a\tb"}', '{"k":-}', "{", '"k"', "k"])
def test_what_is_no_json_fails(tmp_path: Path, line: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (msgspec and the search for the key say different things)
        found(tmp_path / "in.jsonl", [line])


def test_many_records_keep_their_order_and_are_all_there(tmp_path: Path) -> None:
    keys = [f"k{number % 7}" for number in range(10_000)]
    assert found(tmp_path / "in.jsonl", [json.dumps({"k": key}) for key in keys]) == [(key, key) for key in keys]


def test_a_key_function_is_called_once_per_message() -> None:
    """It was called twice: for a hash that says which worker owns the key, and when its object was looked for."""
    calls: list[int] = []

    def key(number: int) -> int:
        calls.append(number)
        return number % 3

    class Sum:
        def __init__(self) -> None:
            self.total = 0

        def add(self, number: int) -> int:
            self.total += number
            return self.total

    out = wallaroo.memory()
    numbers = wallaroo.source("numbers", range(1000)).key_by(key)
    wallaroo.App("sums", numbers.to(Sum.add, state=wallaroo.State("sums", Sum)).to_sink("out", out)).run()
    assert calls == list(range(1000))
    assert out.take()[-3:] == [sum(range(rest, 1000, 3)) for rest in (997 % 3, 998 % 3, 999 % 3)]
