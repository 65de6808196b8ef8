"""`key_by("field")` gives the key that the decoded message has, whether it was found in the raw bytes or not."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json as stdjson
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import wallaroo
from wallaroo import App, Context, State, file, memory, source

ID = uuid.UUID("67e55044-10b1-426f-9247-bb680e5fe0c8")


class Side(enum.Enum):
    BUY = "buy"


class Inner(msgspec.Struct, rename="camel"):
    order_id: int


class Outer(msgspec.Struct, rename="camel"):
    the_inner: Inner


class Defaulted(msgspec.Struct):
    symbol: str = "none"


class Array(msgspec.Struct, array_like=True):
    n: int
    symbol: str


class Computed(msgspec.Struct):
    name: str

    @property
    def first(self) -> str:
        return self.name[0]


class Trimmed(msgspec.Struct):
    symbol: str

    def __post_init__(self) -> None:
        self.symbol = self.symbol.strip()


@dataclass
class Filled:
    n: int
    symbol: str = "none"
    tags: list[str] = field(default_factory=list)


class Plain:
    def __init__(self, symbol: str) -> None:
        self.symbol = symbol.upper()


class Typed(TypedDict):
    symbol: str
    note: NotRequired[str]


class Identified(msgspec.Struct):
    id: uuid.UUID


class Sided(msgspec.Struct):
    side: Side


class Dated(msgspec.Struct):
    day: datetime.date


def keep(message: Any, state: list[Any], ctx: Context) -> Any:
    return [ctx.key]


def outcome(path: Path, content: str, format_: Any, key: Any) -> Any:
    """The keys of the records of a file, or the kind of what is wrong with them."""
    path.write_text(content)
    kept = memory()
    keyed = source("input", file(path, format_)).key_by(key)
    try:
        App("keys", keyed.to(keep, state=State("kept", list)).to_sink("kept", kept)).run()
    except (TypeError, ValueError, KeyError, AttributeError):
        return "refused"
    return [(type(key), key) for (key,) in kept.take()]


def attribute(path: str) -> Any:
    def key(message: Any) -> Any:
        for name in path.split("."):
            message = message[name] if isinstance(message, dict) else getattr(message, name)
        return message

    return key


@pytest.mark.parametrize(
    ("type_", "line", "path", "expected"),
    [
        (Outer, '{"theInner":{"orderId":7}}', "the_inner.order_id", [(int, 7)]),
        (Defaulted, "{}", "symbol", [(str, "none")]),
        (Defaulted, '{"symbol":"A"}', "symbol", [(str, "A")]),
        (Array, '[7,"A"]', "symbol", [(str, "A")]),
        (Computed, '{"name":"Ada"}', "first", [(str, "A")]),
        (Trimmed, '{"symbol":" A "}', "symbol", [(str, "A")]),
        (Filled, '{"n":1}', "symbol", [(str, "none")]),
        (Filled, '{"n":1}', "n", [(int, 1)]),
        (Plain, '{"symbol":"a"}', "symbol", [(str, "A")]),
        (Typed, '{"symbol":"a"}', "symbol", [(str, "a")]),
        (Typed, '{"symbol":"a"}', "note", "refused"),
        (Identified, '{"id":"67e55044-10b1-426f-9247-bb680e5fe0c8"}', "id", [(uuid.UUID, ID)]),
        (Sided, '{"side":"buy"}', "side", "refused"),
        (Dated, '{"day":"2026-11-26"}', "day", "refused"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)  # fmt: skip
def test_a_named_field_is_what_the_decoded_message_has(tmp_path: Path, type_: Any, line: str, path: str, expected: Any) -> None:
    for key in [path, attribute(path)]:
        assert outcome(tmp_path / "in", line + "\n", wallaroo.json(type_), key) == expected


TYPES: list[Any] = [str, int, bool, float, uuid.UUID, Side, datetime.date, str | None, int | str]
VALUES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([True, False, None, 0, -1, 2**63 - 1, 2**64 - 1, 2**64, 1.0, 1e3, 1.5]),
    st.sampled_from(["", "a", 'é\n"\\', "buy", "2026-11-26", [], {}]),
    st.uuids().map(str),
)


@given(
    names=st.lists(st.sampled_from(["a", "b_c", "d"]), min_size=1, max_size=3, unique=True),
    data=st.data(),
    kind=st.sampled_from(["struct", "camel", "dataclass"]),
)
def test_a_random_field_of_a_random_record_gives_the_key_of_its_message(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], data: st.DataObject, kind: str
) -> None:
    needed: list[Any] = []
    defaulted: list[Any] = []
    for name in names:
        type_ = data.draw(st.sampled_from(TYPES))
        if data.draw(st.booleans()):
            needed.append((name, type_))
        else:
            defaulted.append((name, type_, "default"))
    if kind == "dataclass":
        made = [(n, t, dataclasses.field(default=d)) for n, t, d in defaulted]
        class_: Any = dataclasses.make_dataclass("Made", [*needed, *made])
    else:
        rename: Any = "camel" if kind == "camel" else None
        class_ = msgspec.defstruct("Made", [*needed, *defaulted], rename=rename)
    wire = {"b_c": "bC"} if kind == "camel" else {}
    record = {wire.get(name, name): data.draw(VALUES) for name in names if data.draw(st.integers(0, 4))}
    line = stdjson.dumps(record, ensure_ascii=data.draw(st.booleans())) + "\n"
    name = data.draw(st.sampled_from(names))
    path = tmp_path_factory.mktemp("keys") / "in"
    by_name = outcome(path, line, wallaroo.json(class_), name)
    assert by_name == outcome(path, line, wallaroo.json(class_), attribute(name))


def test_a_column_with_a_default_may_be_missing(tmp_path: Path) -> None:
    for key in ["symbol", attribute("symbol")]:
        assert outcome(tmp_path / "in", "n\n1\n", wallaroo.csv(Filled), key) == [(str, "none")]


def test_what_a_constructor_makes_of_a_column_is_the_key(tmp_path: Path) -> None:
    for key in ["symbol", attribute("symbol")]:
        assert outcome(tmp_path / "in", "symbol\n A \n", wallaroo.csv(Trimmed), key) == [(str, "A")]


@pytest.mark.parametrize("keyed_first", [False, True])
def test_a_source_with_two_branches_decodes_each_record_once(tmp_path: Path, *, keyed_first: bool) -> None:
    """Each branch had a decoder of its own: a bad record was counted, and a dead letter written, once for each."""
    path = tmp_path / "in.jsonl"
    path.write_text('{"symbol":"A"}\nbad\n{"symbol":"B"}\n')
    letters, kept = memory(), memory()
    records = source("records", file(path, wallaroo.json())).dead_letter("letters", letters)
    if keyed_first:
        records = records.key_by("symbol")
    branches = [
        records.key_by("symbol")
        .to(keep, state=State(f"kept {number}", list))
        .named(f"keep {number}")
        .to_sink(f"kept {number}", kept)
        for number in range(2)
    ]
    App("branches", *branches).run()
    assert sorted(kept.take()) == [["A"], ["A"], ["B"], ["B"]]
    assert [letter.position for letter in letters.take()] == [2]


@pytest.mark.parametrize(
    ("type_", "path", "text"),
    [
        (Filled, "symbl", r"key_by\('symbl'\): a Filled has no field 'symbl'; did you mean 'symbol'\?"),
        (Outer, "the_inner.order", r"a Inner has no field 'order'; did you mean 'order_id'\?"),
        (Outer, "zzz", "a Outer has no field 'zzz'; it has 'the_inner'"),
        (Typed, "symbl", "a Typed has no field 'symbl'"),
    ],
)
def test_a_misspelt_field_is_refused_where_it_is_written(tmp_path: Path, type_: Any, path: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        source("records", file(tmp_path / "in", wallaroo.json(type_))).key_by(path)
