"""Keys that are found in raw records are those of the decoded ones; each is looked for once."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    ('{"k":-0}', 0),
    # What stands twice in one object: the last one counts, as it does in the decoded message.
    ('{"k":"a","k":"b"}', "b"),
    ('{"k":1,"n":2,"k" : 3}', 3),
    ('{"k":"a","n":1,"\\u006b":"b"}', "b"),
    ('{"k":"a","n":{"k":"inner"},"m":"\\"k\\":1"}', "a"),
    ('{"k":"k","n":"k"}', "k"),
]


@dataclass
class Row:
    k: str


def keys_of(directory: Path, content: str, format_: Any, key: Any) -> list[Any]:
    """The keys of the records of a file that have one."""
    path = directory / "input"
    path.write_text(content, encoding="utf-8")
    kept = wallaroo.memory()

    def look(message: Any, state: list[Any], ctx: wallaroo.Context) -> tuple[Any]:
        return (ctx.key,)

    keyed = wallaroo.source("input", wallaroo.file(path, format_)).key_by(key).to(look, state=list).on_error("skip")
    wallaroo.App("keys", keyed.to_sink("kept", kept)).run()
    return [key for (key,) in kept.take()]


class Group:
    """A state object that says which key it has been found under."""

    def on_message(self, message: dict[str, Any], ctx: wallaroo.Context) -> tuple[Any, Any]:
        return ctx.key, message["k"]


def grouped(connector: wallaroo.Connector[Any]) -> list[tuple[Any, Any]]:
    """The messages of a source: the key their object was found under, and the key they have."""
    out = wallaroo.memory()
    messages = wallaroo.source("messages", connector)
    groups = messages.key_by("k").to(Group.on_message, state=wallaroo.State("groups", Group))
    wallaroo.App("groups", groups.to_sink("out", out)).run()
    return out.take()


def found(path: Path, lines: list[str]) -> list[tuple[Any, Any]]:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return grouped(wallaroo.file(path, wallaroo.json()))


@pytest.mark.parametrize(("line", "key"), KEYS)
def test_a_key_in_raw_json_is_what_the_decoder_finds(tmp_path: Path, line: str, key: object) -> None:
    assert [(type(of_raw), of_raw, decoded) for of_raw, decoded in found(tmp_path / "in.jsonl", [line])] == [
        (type(key), key, key)
    ]


@pytest.mark.parametrize(
    ("line", "path", "key"),
    [
        ('{"a":{"b":1},"a":{"b":2}}', "a.b", 2),
        ('{"a":{"b":1,"b":3}}', "a.b", 3),
        ('{"q\\"q":"a"}', 'q"q', "a"),
        ('{"s/s":"a","s\\/s":"b"}', "s/s", "b"),
        ('{"n\\nn":"a"}', "n\nn", "a"),
    ],
)
def test_the_last_of_two_names_counts_wherever_it_stands_and_however_it_is_spelt(
    tmp_path: Path, line: str, path: str, key: object
) -> None:
    assert keys_of(tmp_path, f"{line}\n", wallaroo.json(), path) == [key]


@pytest.mark.parametrize("format_", [wallaroo.csv(), wallaroo.csv(Row)], ids=["dict", "class"])
def test_the_last_of_two_columns_with_one_name_counts(tmp_path: Path, format_: Any) -> None:
    for key in ("k", lambda row: row["k"] if isinstance(row, dict) else row.k):
        assert keys_of(tmp_path, 'k,k\na,b\n"c","d"\n', format_, key) == ["b", "d"]


NAMES = st.sampled_from(["k", "kk", "é", 'q"', "s/s", "\n"])
VALUES = st.one_of(st.text(max_size=3), st.integers(-(2**63), 2**64 - 1), st.booleans())


@st.composite
def objects(draw: st.DrawFn, depth: int = 1) -> str:
    """The text of an object whose names repeat, are escaped in all ways, and stand in nested objects too."""
    members = []
    for name in draw(st.lists(NAMES, max_size=5)):
        is_deep = depth > 0 and draw(st.integers(0, 3)) == 0
        value = draw(objects(depth - 1)) if is_deep else json.dumps(draw(VALUES), ensure_ascii=draw(st.booleans()))
        spelt = json.dumps(name, ensure_ascii=draw(st.booleans()))
        if draw(st.integers(0, 5)) == 0:
            spelt = '"' + "".join(f"\\u{ord(letter):04x}" for letter in name) + '"'
        members.append(f"{spelt}{draw(st.sampled_from(['', ' ']))}:{value}")
    return "{" + ",".join(members) + "}"


@given(st.lists(objects(), min_size=1, max_size=5), NAMES)
def test_random_objects_have_the_key_that_the_decoder_finds(lines: list[str], name: str) -> None:
    decoded = [json.loads(line).get(name, {}) for line in lines]
    expected = [value for value in decoded if type(value) in {str, int, bool}]
    with tempfile.TemporaryDirectory() as directory:
        found = keys_of(Path(directory), "\n".join([*lines, ""]), wallaroo.json(), name)
    assert [(type(key), key) for key in found] == [(type(key), key) for key in expected]


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


@pytest.mark.parametrize(("line", "key"), KEYS)
def test_so_is_a_key_in_framed_json(tmp_path: Path, line: str, key: object) -> None:
    # A frame may hold line ends, and its length says where it ends.
    frames = [text.encode() for text in (line, f"\n{line}\n", line)]
    path = tmp_path / "in.frames"
    path.write_bytes(b"".join(len(frame).to_bytes(4, "big") + frame for frame in frames))
    framed = wallaroo.file(path, wallaroo.json(), framed=(4, "big"))
    assert [(type(of_raw), of_raw, decoded) for of_raw, decoded in grouped(framed)] == [(type(key), key, key)] * 3


@pytest.mark.parametrize("framed", [False, True], ids=["lines", "frames"])
def test_a_message_with_a_named_key_is_decoded_once(tmp_path: Path, *, framed: bool) -> None:
    decoded = []

    @dataclass
    class Message:
        k: str

        def __post_init__(self) -> None:
            decoded.append(self.k)

    records = [f'{{"k":"k{number % 3}"}}'.encode() for number in range(100)]
    path = tmp_path / "in"
    if framed:
        path.write_bytes(b"".join(len(record).to_bytes(2, "little") + record for record in records))
    else:
        path.write_bytes(b"".join(record + b"\n" for record in records))
    reading = wallaroo.file(path, wallaroo.json(Message), framed=(2, "little") if framed else None)

    class Keys:
        def on_message(self, message: Message, ctx: wallaroo.Context) -> tuple[Any, Any]:
            return ctx.key, message.k

    out = wallaroo.memory()
    keyed = wallaroo.source("messages", reading).key_by("k").to(Keys.on_message, state=wallaroo.State("keys", Keys))
    wallaroo.App("keys", keyed.to_sink("out", out)).run()
    expected = [f"k{number % 3}" for number in range(100)]
    assert out.take() == [(key, key) for key in expected]
    assert decoded == expected
