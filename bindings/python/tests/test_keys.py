"""Keys: the same whichever way they are found, and the same in all languages."""

from __future__ import annotations

import enum
import json as stdjson
import uuid
from collections.abc import Hashable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from programs import ROOT
from wallaroo import App, Context, DeadLetter, State, csv, file, json, key_bytes, key_hash, memory, source
from wallaroo.testing import run

VECTORS = stdjson.loads((ROOT / "crates/core/testdata/key_vectors_v1.json").read_text())["vectors"]


def of_vector(key: dict[str, Any]) -> Any:
    """The key of a test vector."""
    value = key["value"]
    match key["type"]:
        case "str" | "bool":
            return value
        case "bytes":
            return bytes.fromhex(value)
        case "int":
            return int(value)
        case "uuid":
            return uuid.UUID(value)
        case "tuple":
            return tuple(of_vector(element) for element in value)
        case other:
            raise AssertionError(other)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: stdjson.dumps(vector["key"])[:60])
def test_the_vectors_that_all_languages_share_hold(vector: dict[str, Any]) -> None:
    key = of_vector(vector["key"])
    assert (key_bytes(key).hex(), f"{key_hash(key):016x}") == (vector["canonical"], vector["hash"])


def state_by(messages: list[Any], key: Any) -> dict[Any, Any]:
    """The number of messages of each key."""

    class Count:
        def __init__(self) -> None:
            self.seen = 0

        def add(self, message: Any) -> None:
            self.seen += 1

    counts = State("counts", Count)
    app = App("count", source("messages", messages).key_by(key).to(Count.add, state=counts).end())
    return {key: count.seen for key, count in run(app, {"messages": messages}).state("counts").items()}


KEYS = st.recursive(
    st.one_of(st.text(), st.binary(), st.integers(-(2**63), 2**64 - 1), st.booleans(), st.uuids()),
    lambda inner: st.lists(inner, min_size=1, max_size=3).map(tuple),
    max_leaves=5,
)


def kind_of(key: Any) -> Any:
    """A key with its type: Python takes `1` and `True` for the same."""
    return (type(key).__name__, tuple(kind_of(element) for element in key) if isinstance(key, tuple) else key)


@given(KEYS, KEYS)
def test_keys_are_the_same_exactly_if_type_and_value_are(one: Any, other: Any) -> None:
    assert (key_bytes(one) == key_bytes(other)) == (kind_of(one) == kind_of(other))
    assert key_hash(one) == key_hash(one)


@given(st.lists(KEYS, max_size=20))
def test_a_key_comes_back_as_it_was_given(keys: list[Any]) -> None:
    found: list[Any] = []

    def keep(message: Any, state: list[int], ctx: Context) -> None:
        found.append(ctx.key)

    app = App("keys", source("keys", keys).key_by(lambda key: key).to(keep, state=list).end())
    run(app, {"keys": keys})
    assert sorted(map(repr, found)) == sorted(map(repr, keys))


def test_the_number_one_the_text_1_and_true_are_three_keys() -> None:
    counts = state_by([1, "1", True, 1], lambda message: message)
    assert counts[1] in {1, 2}
    # `True == 1` in Python, so what the test kit gives back as a dict cannot tell them apart; their bytes do.
    assert len({key_bytes(1), key_bytes("1"), key_bytes(True)}) == 3


@pytest.mark.parametrize("key", [1.5, None, [1], {"a": 1}, Decimal(1), object(), (1, 2.0), frozenset()], ids=repr)
def test_what_cannot_be_a_key_is_refused(key: Hashable) -> None:
    inner = key[1] if isinstance(key, tuple) else key
    kind = type(inner).__name__
    with pytest.raises(
        TypeError, match=f"a .*{kind} cannot be a key; keys are str, bytes, int, bool, uuid.UUID, or tuples of these"
    ):
        key_bytes(key)
    with pytest.raises(TypeError, match=f"a .*{kind} cannot be a key"):
        state_by([key], lambda message: message)


@pytest.mark.parametrize("key", [2**64, -(2**63) - 1])
def test_integers_beyond_64_bits_are_refused(key: int) -> None:
    with pytest.raises(ValueError, match="integer keys are from -2\\*\\*63 to 2\\*\\*64 - 1"):
        key_bytes(key)


def test_keys_are_at_most_64_kib() -> None:
    key_bytes("x" * 65_000)
    with pytest.raises(ValueError, match="key"):
        key_bytes("x" * 66_000)
    with pytest.raises(Exception, match="key"):
        state_by(["x" * 66_000], lambda message: message)


def test_members_of_enums_of_text_and_of_integers_are_keys() -> None:
    class Side(enum.StrEnum):
        BUY = "buy"

    class Level(enum.IntEnum):
        HIGH = 3

    assert key_bytes(Side.BUY) == key_bytes("buy")
    assert key_bytes(Level.HIGH) == key_bytes(3)


@dataclass
class Inner:
    id: int


@dataclass
class Message:
    symbol: str
    inner: Inner


class Renamed(msgspec.Struct, rename="camel"):
    order_id: int


def keys_of(tmp_path: Path, content: str, format_: Any, key: Any) -> tuple[list[Any], list[DeadLetter]]:
    """The keys of the records of a file; and those that have none."""
    path = tmp_path / "input"
    path.write_text(content)
    kept, letters = memory(), memory()

    def keep(message: Any, state: list[Any], ctx: Context) -> Any:
        return (ctx.key,)

    keyed = source("input", file(path, format_)).key_by(key)
    App("keys", keyed.to(keep, state=list).dead_letter("letters", letters).to_sink("kept", kept)).run()
    return [key for (key,) in kept.take()], letters.take()


def test_a_field_of_json_is_found_in_the_raw_bytes(tmp_path: Path) -> None:
    content = '{"symbol":"A\\u00e9\\n","inner":{"id":7},"n":1,"yes":true}\n'
    for key, expected in [("symbol", "Aé\n"), ("inner.id", 7), ("n", 1), ("yes", True)]:
        assert keys_of(tmp_path, content, json(), key) == ([expected], [])


def test_a_named_field_gives_the_same_key_as_a_function(tmp_path: Path) -> None:
    content = '{"symbol":"A","inner":{"id":-5}}\n{"symbol":"B","inner":{"id":18446744073709551615}}\n'
    for name, function in [("symbol", lambda m: m.symbol), ("inner.id", lambda m: m.inner.id)]:
        assert keys_of(tmp_path, content, json(Message), name) == keys_of(tmp_path, content, json(Message), function)


def test_a_field_has_its_wire_name_in_the_bytes(tmp_path: Path) -> None:
    assert keys_of(tmp_path, '{"orderId":7}\n', json(Renamed), "order_id") == ([7], [])


def test_a_column_of_csv_is_found_in_the_raw_bytes(tmp_path: Path) -> None:
    content = 'n,symbol\n1,A\n2,"B,""x"""\n'
    assert keys_of(tmp_path, content, csv(), "symbol") == (["A", 'B,"x"'], [])


def test_a_column_of_csv_that_is_a_number_is_a_number(tmp_path: Path) -> None:
    @dataclass
    class Row:
        n: int
        symbol: str

    assert keys_of(tmp_path, "n,symbol\n1,A\n", csv(Row), "n") == ([1], [])


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ('{"other":1}', 'the message has no field "symbol", which is its key'),
        ('{"symbol":1.5}', 'the field "symbol" is 1.5, which cannot be a key'),
        ('{"symbol":null}', 'the field "symbol" is null, which cannot be a key'),
        ('{"symbol":[1]}', 'the field "symbol" is [1], which cannot be a key'),
    ],
)
def test_a_record_without_a_key_follows_the_policy_of_the_stage_with_state(tmp_path: Path, content: str, error: str) -> None:
    keys, letters = keys_of(tmp_path, f'{content}\n{{"symbol":"A"}}\n', json(), "symbol")
    assert keys == ["A"]
    assert [(one.stage, one.position, one.message.decode()) for one in letters] == [("keep", 1, content)]
    assert error in letters[0].error


def test_a_record_that_cannot_be_decoded_is_no_matter_of_its_key(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_text('not json\n{"symbol":"A"}\n')
    letters = memory()
    begin = source("input", file(path, json())).dead_letter("letters", letters)
    kept = memory()
    App("keys", begin.key_by("symbol").to(lambda message, state: message, state=list).named("keep").to_sink("kept", kept)).run()
    assert kept.take() == [{"symbol": "A"}]
    assert [(one.stage, one.message) for one in letters.take()] == [("input", b"not json")]


def test_an_empty_tuple_is_no_key() -> None:
    with pytest.raises(ValueError, match="the key \\(\\) cannot be used; a tuple that is a key has at least one element"):
        key_bytes(())


def test_a_key_function_that_raises_follows_the_policy_of_the_stage_with_state(tmp_path: Path) -> None:
    def key(message: dict[str, Any]) -> str:
        return str(message["symbol"])

    keys, letters = keys_of(tmp_path, '{"other":1}\n{"symbol":"A"}\n', json(), key)
    assert keys == ["A"]
    assert letters[0].error.startswith("KeyError: 'symbol' (test_keys.py:")


def test_a_missing_attribute_or_item_is_told() -> None:
    expected = 'a Message has no attribute "sybmol", which is the key of the message'
    with pytest.raises(AttributeError, match=expected):
        state_by([Message("A", Inner(1))], "sybmol")
    with pytest.raises(ValueError, match='the message has no item "b", which is its key'):
        state_by([{"a": 1}], "b")


def test_named_keys_reach_into_objects_and_dicts() -> None:
    assert state_by([Message("A", Inner(7)), Message("B", Inner(7))], "inner.id") == {7: 2}
    assert state_by([{"a": {"b": "x"}}], "a.b") == {"x": 1}


def count(number: int, seen: list[int]) -> int:
    seen.append(number)
    return len(seen)


def test_collect_brings_all_messages_to_one_object() -> None:
    app = App("one", source("numbers", range(5)).collect().to(count, state=list).to_sink("kept", memory()))
    assert run(app, {"numbers": range(5)}).sink("kept") == [1, 2, 3, 4, 5]


def test_a_stage_with_state_and_without_a_key_has_one_object_and_is_told(engine_log: pytest.LogCaptureFixture) -> None:
    app = App("one", source("numbers", [1, 2]).to(count, state=list).to_sink("kept", memory()))
    assert run(app, {"numbers": [1, 2]}).sink("kept") == [1, 2]
    assert "has no key_by before it: all messages share one state object" in engine_log.text


def test_key_by_refuses_what_is_neither_name_nor_function() -> None:
    begin = source("numbers", [1])
    with pytest.raises(TypeError, match="key_by takes the name of a field or a function; found a int"):
        begin.key_by(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the name of the key's field is empty"):
        begin.key_by("")
