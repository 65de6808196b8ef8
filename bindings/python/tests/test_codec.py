"""The stored form of state objects: what is written is read back the same, and what cannot be is refused with its place."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import math
import traceback
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import wallaroo
from wallaroo import App, State, _native, memory, source


class Side(enum.Enum):
    BUY = "buy"
    SELL = "sell"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 3


class Flags(enum.Flag):
    A = 1
    B = 2


class Open(enum.Flag, boundary=enum.KEEP):
    A = 1


@dataclass
class Inner:
    n: int = 0
    more: Inner | None = None


@dataclass(frozen=True)
class Frozen:
    a: int = 1
    b: str = "b"
    made: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "made", self.a * 2)


@dataclass(slots=True)
class Slots:
    a: int = 1
    b: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Both:
    a: int = 1


class Struct(msgspec.Struct):
    a: int = 1
    side: Side = Side.BUY


class FrozenStruct(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    order_id: int = 0


class Pair(NamedTuple):
    left: int = 0
    right: str = ""


class Plain:
    def __init__(self) -> None:
        self.a = 1
        self._b = "b"
        self.__c = 2.5

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and bool(vars(other) == vars(self))

    __hash__ = None  # type: ignore[assignment]


class PlainSlots:
    __slots__ = ("a", "b")

    def __init__(self) -> None:
        self.a = 1

    def __eq__(self, other: object) -> bool:
        mine, its = ([getattr(one, name, None) for name in "ab"] for one in (self, other))
        return type(other) is type(self) and mine == its

    __hash__ = None  # type: ignore[assignment]


@dataclass
class Holder:
    """Its type hints lead to every class that is stored here."""

    value: Any = None
    classes: tuple[Inner, Frozen, Slots, Both, Struct, FrozenStruct, Pair, Plain, PlainSlots, Side, Level, Flags, Open] | None = (
        None
    )


def plan_of(state: State[Any]) -> Any:
    """The plan of an application with this state."""
    return App("codec", source("numbers", [1]).key_by(str).to(lambda m, s: None, state=state).named("stage").end())._plan()


HOLDERS = plan_of(State("holders", Holder))


def round_trip(value: Any, plan: Any = HOLDERS) -> Any:
    """A value, written and read."""
    return _native.decode_state(plan, "holders", _native.encode_state(plan, "holders", Holder(value))).value


def same(one: Any, other: Any) -> bool:
    """Whether two values are of the same types all the way, and equal; with `nan` equal to itself, and `-0.0` not to `0.0`."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return bool(one.hex() == other.hex())
    if isinstance(one, decimal.Decimal):
        return str(one) == str(other)
    if isinstance(one, (list, tuple, collections.deque)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        items: Iterable[Any] = zip(one.items(), other.items(), strict=True)
        return len(one) == len(other) and all(same(a, b) and same(c, d) for (a, c), (b, d) in items)
    if dataclasses.is_dataclass(one):
        return all(same(getattr(one, field.name), getattr(other, field.name)) for field in dataclasses.fields(one))
    return bool(one == other)


HASHABLE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.uuids(),
    st.decimals().filter(lambda number: not number.is_snan()),
    st.dates(),
    st.times(),
    st.datetimes(),
    st.datetimes(timezones=st.just(datetime.UTC)),
    st.timedeltas(),
    st.sampled_from(
        [
            Side.BUY,
            Side.SELL,
            Level.HIGH,
            Flags.A,
            Flags.A | Flags.B,
            Flags(0),
            Frozen(7, "x"),
            Both(a=3),
            FrozenStruct(order_id=4),
            Pair(1, "x"),
        ]
    ),
)

VALUES = st.recursive(
    HASHABLE | st.binary().map(bytearray),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.lists(inner, max_size=5).map(tuple),
        st.lists(inner, max_size=5).map(collections.deque),
        st.lists(inner, max_size=5).map(lambda items: collections.deque(items, maxlen=3)),
        st.dictionaries(HASHABLE, inner, max_size=5),
        st.dictionaries(HASHABLE, inner, max_size=5).map(collections.OrderedDict),
        st.dictionaries(HASHABLE, inner, max_size=5).map(lambda d: collections.defaultdict(list, d)),
        inner.map(lambda value: Inner(1, value)),
        inner.map(lambda value: Slots(1, value)),
    ),
    max_leaves=20,
)


@given(VALUES)
def test_every_value_comes_back_the_same(value: Any) -> None:
    assert same(round_trip(value), value)


@given(st.frozensets(st.one_of(st.integers(), st.text(), st.tuples(st.text(), st.integers()))))
def test_sets_come_back_the_same(value: frozenset[Any]) -> None:
    assert same(round_trip(value), value)
    assert same(round_trip(set(value)), set(value))


@given(st.dictionaries(st.text(), st.integers()))
def test_counters_come_back_the_same(value: dict[str, int]) -> None:
    assert same(round_trip(collections.Counter(value)), collections.Counter(value))


@pytest.mark.parametrize(
    "value",
    [
        0, -1, 127, 128, -32, -33, 255, 256, 65_535, 65_536, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1, 2**64,
        -(2**63), -(2**63) - 1, 10**100, -(10**100), 0.0, -0.0, math.inf, -math.inf, math.nan, 5e-324, "",
        "ü\U0001f600\0", "x" * 40, "x" * 300, "x" * 70_000, b"", b"\xff" * 300, b"x" * 70_000, [], [0] * 16,
        [0] * 70_000, {}, {n: n for n in range(16)}, {n: n for n in range(70_000)}, (), ((),),
        {(1, "a"): [frozenset({1})]}, datetime.datetime.max, datetime.datetime(2026, 3, 29, 2, 30, fold=1),
        datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=5, minutes=45))),
        datetime.timedelta.max, datetime.timedelta.min, datetime.time(23, 59, 59, 999_999), decimal.Decimal("1.10"),
        decimal.Decimal("-Infinity"), collections.defaultdict(int, a=1), collections.defaultdict(set),
        collections.defaultdict(None, {1: 2}), Plain(), PlainSlots(), Struct(2, Side.SELL),
        Inner(1, Inner(2, Inner(3))), uuid.UUID(int=0),
    ],
    ids=lambda value: repr(value)[:30],
)  # fmt: skip
def test_edges_come_back_the_same(value: Any) -> None:
    assert same(round_trip(value), value) or round_trip(value) == value


def test_a_default_dict_keeps_its_factory() -> None:
    back = round_trip(collections.defaultdict(list))
    back["x"].append(1)
    assert back == {"x": [1]}


def test_a_default_dict_with_a_function_gets_that_of_a_new_object() -> None:
    @dataclass
    class Nested:
        counts: dict[str, dict[str, int]] = field(
            default_factory=lambda: collections.defaultdict(lambda: collections.defaultdict(int))
        )

    plan = plan_of(State("nested", Nested))
    one = Nested()
    one.counts["a"]["b"] += 1
    back = _native.decode_state(plan, "nested", _native.encode_state(plan, "nested", one))
    back.counts["x"]["y"] += 2
    assert back == Nested({"a": {"b": 1}, "x": {"y": 2}})


@pytest.mark.parametrize("type_", [dict, list, set, collections.Counter, collections.deque, bytearray, int, float, str])
def test_types_of_python_itself_are_states(type_: type) -> None:
    plan = plan_of(State("values", type_))
    assert same(_native.decode_state(plan, "values", _native.encode_state(plan, "values", type_())), type_())


class Odd:
    """A class that no type hint leads to."""


def cyclic() -> list[Any]:
    inner: list[Any] = []
    inner.append(inner)
    return inner


def deep(count: int) -> Any:
    value: Any = 1
    for _ in range(count):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "refused"),
    [
        (
            Odd(),
            'attribute "value" is a .*Odd, which cannot be stored; declare its class in the type hints of the state\'s class',
        ),
        ([1, {"a": Odd()}], "attribute \"value\"\\[1\\]\\['a'\\] is a .*Odd, which cannot be stored"),
        ({Odd(): 1}, 'attribute "value"\\[.*\\] is a .*Odd'),
        (Inner(1, Odd()), 'attribute "value".more is a .*Odd'),  # type: ignore[arg-type]
        (lambda: None, 'attribute "value" is a .*function'),
        (open, 'attribute "value" is a .*builtin'),
        (iter([]), 'attribute "value" is a .*list_iterator'),
        (Open.A | Open(8), 'attribute "value" is a combination of flags that have no names'),
        (cyclic(), "is nested more than 64 deep, or contains itself"),
        (deep(100), "is nested more than 64 deep, or contains itself"),
        ("\ud800", 'attribute "value".*surrogates not allowed'),
        (type("MyList", (list,), {})([1]), 'attribute "value" is a .*MyList, which cannot be stored'),
        (type("MyInt", (int,), {})(1), 'attribute "value" is a .*MyInt, which cannot be stored'),
        (1 + 2j, 'attribute "value" is a complex, which cannot be stored'),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_cannot_be_stored_is_refused_with_its_place(value: Any, refused: str) -> None:
    with pytest.raises(TypeError, match=refused):
        round_trip(value)


def test_an_attribute_that_is_no_field_is_refused() -> None:
    one = Holder()
    one.other = 1  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match='attribute "other" is no field of its class; declare it as one'):
        _native.encode_state(HOLDERS, "holders", one)


def test_values_of_63_levels_are_stored() -> None:
    assert round_trip(deep(60)) == deep(60)


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_stored_bytes_that_end_too_early_are_refused(cut: int) -> None:
    stored = _native.encode_state(HOLDERS, "holders", Holder([1, "text", (2.5, None), {Side.BUY: Inner(1)}, b"bytes"]))
    with pytest.raises(ValueError, match="the stored value is malformed"):
        _native.decode_state(HOLDERS, "holders", stored[:-cut])


@given(st.binary(max_size=200))
def test_bytes_of_others_are_refused_or_read_but_never_harm(stored: bytes) -> None:
    try:
        back = _native.decode_state(HOLDERS, "holders", stored)
    except (ValueError, TypeError, KeyError, OverflowError, decimal.InvalidOperation, msgspec.ValidationError):
        return
    assert isinstance(back, Holder)


def test_a_class_that_is_not_declared_is_not_made_from_stored_bytes() -> None:
    @dataclass
    class Without:
        value: Any = None

    stored = _native.encode_state(HOLDERS, "holders", Holder(Inner(1)))
    plan = plan_of(State("holders", Without))
    with pytest.raises(TypeError, match='holds an object of the class "Inner", which the application does not declare'):
        _native.decode_state(plan, "holders", stored)
    declared = plan_of(State("holders", Without, classes=[Inner]))
    assert _native.decode_state(declared, "holders", stored).value == Inner(1)


def test_a_codec_of_your_own_stores_what_it_says() -> None:
    class Text:
        @staticmethod
        def encode(state: Any) -> bytes:
            return str(state.n).encode()

        @staticmethod
        def decode(stored: bytes) -> Inner:
            return Inner(int(stored))

    plan = plan_of(State("inners", Inner, codec=Text()))
    assert _native.decode_state(plan, "inners", _native.encode_state(plan, "inners", Inner(7))) == Inner(7)


def test_pickle_stores_what_nothing_else_does() -> None:
    plan = plan_of(State("odd", Odd, codec="pickle"))
    one = Odd()
    vars(one)["x"] = 1 + 2j
    back = _native.decode_state(plan, "odd", _native.encode_state(plan, "odd", one))
    assert type(back) is Odd
    assert vars(back) == {"x": 1 + 2j}


# With a store


@dataclass
class Bad:
    thing: Any = None


def test_a_new_state_that_cannot_be_stored_is_refused_at_start(tmp_path: Path) -> None:
    @dataclass
    class Open:
        handle: Any = dataclasses.field(default_factory=lambda: open)

    app = App("open", source("numbers", [1]).key_by(str).to(lambda m, s: None, state=State("open", Open)).named("stage").end())
    with pytest.raises(TypeError, match="the state 'open' cannot be stored: attribute \"handle\" is a .*builtin"):
        app.run(store=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_state_that_becomes_what_cannot_be_stored_is_refused_at_its_first_message(tmp_path: Path) -> None:
    def spoil(number: int, bad: Bad) -> None:
        bad.thing = lambda: None

    app = App("bad", source("numbers", [1]).key_by(str).to(spoil, state=State("bad", Bad)).end())
    with pytest.raises(TypeError, match='the state "bad" cannot be stored: attribute "thing" is a .*function') as raised:
        app.run(store=tmp_path)
    (note,) = raised.value.__notes__
    assert 'the stage "spoil"' in note
    assert 'key "1"' in note


@pytest.mark.parametrize("policy", ["skip", "dead_letter"])
@pytest.mark.parametrize("with_store", [True, False])
def test_a_state_that_cannot_be_stored_ends_the_run_whatever_the_policy(policy: str, *, with_store: bool, tmp_path: Path) -> None:
    """Its messages were skipped, one after another. Without a store the policy itself needs the stored form, to undo a call."""

    def spoil(number: int, bad: Bad) -> int:
        bad.thing = lambda: None
        return number

    kept, letters = memory(), memory()
    stage = source("numbers", [1, 2, 3]).key_by(lambda number: "k").to(spoil, state=State("bad", Bad))
    stage = stage.on_error("skip") if policy == "skip" else stage.dead_letter("letters", letters)
    app = App("bad", stage.to_sink("kept", kept))
    options: dict[str, Any] = {"store": tmp_path} if with_store else {}
    with pytest.raises(TypeError, match='the state "bad" cannot be stored: attribute "thing" is a .*function') as raised:
        app.run(**options)
    (note,) = raised.value.__notes__
    assert 'the stage "spoil"' in note
    assert 'key "k"' in note
    assert letters.take() == []
    assert 3 not in kept.take()


def test_a_state_that_is_spoilt_later_is_refused_at_the_checkpoint_with_its_key(tmp_path: Path) -> None:
    def spoil(number: int, bad: Bad) -> None:
        if number == 2:
            bad.thing = [Odd()]

    app = App("bad", source("numbers", [1, 2]).key_by(lambda n: "k").to(spoil, state=State("bad", Bad)).end())
    with pytest.raises(Exception, match='attribute "thing"\\[0\\] is a .*Odd') as raised:
        app.run(store=tmp_path)
    assert '"k"' in str(raised.value) + "".join(getattr(raised.value, "__notes__", []))


def test_without_a_store_nothing_has_to_be_stored() -> None:
    kept = memory()

    def count(number: int, bad: Bad) -> int:
        bad.thing = bad.thing or iter(range(10))
        return int(next(bad.thing))

    App("bad", source("numbers", [1, 1]).key_by(str).to(count, state=Bad).to_sink("kept", kept)).run()
    assert kept.take() == [0, 1]


@dataclass
class Counted:
    seen: int = 0

    def add(self, number: int) -> int:
        self.seen += 1
        return self.seen


class Strict:
    """A codec that refuses at some time."""

    def __init__(self, encodes: int = 1_000, *, decodes: bool = True) -> None:
        self.encodes = encodes
        self.decodes = decodes

    def encode(self, state: Counted) -> bytes:
        self.encodes -= 1
        if self.encodes < 0:
            raise RuntimeError("does not encode")
        return str(state.seen).encode()

    def decode(self, stored: bytes) -> Counted:
        if not self.decodes:
            raise RuntimeError("does not decode")
        return Counted(int(stored))


def counted_with(codec: Strict, numbers: list[int], *, skips: bool = False) -> App:
    keyed: wallaroo.Pipeline[int] = source("numbers", lambda: iter(numbers))
    stage = keyed.key_by(lambda number: "k").to(Counted.add, state=State("counts", Counted, codec=codec))
    return App("counted", (stage.on_error("skip") if skips else stage).end())


def test_an_exception_of_a_codec_is_raised_as_it_is(tmp_path: Path) -> None:
    """Its text was told, by an error without its traceback."""

    def told(app: App, **options: Any) -> tuple[list[str], str]:
        with pytest.raises(RuntimeError) as raised:
            app.run(**options)
        frames = traceback.extract_tb(raised.value.__traceback__)
        return [frame.name for frame in frames][1:], "\n".join([str(raised.value), *raised.value.__notes__])

    names, text = told(counted_with(Strict(0), [1]), store=tmp_path / "at start")
    assert names == ["encode"]
    assert text.startswith("does not encode\nthe state 'counts' of the stage 'Counted.add' (tests/test_codec.py:")
    assert "cannot be stored: RuntimeError: does not encode (test_codec.py:" in text

    names, text = told(counted_with(Strict(1), [1]), store=tmp_path / "first message")
    assert names == ["encode"]
    assert 'the stage "Counted.add"' in text
    assert 'key "k"' in text

    names, text = told(counted_with(Strict(2), [1, 2]), store=tmp_path / "checkpoint")
    assert names == ["encode"]
    assert 'WAL-0508: the state "counts" failed for key "k": RuntimeError: does not encode (test_codec.py:' in text

    names, text = told(counted_with(Strict(0), [1, 2, 3], skips=True))
    assert names == ["encode"]
    assert 'the stage "Counted.add"' in text

    counted_with(Strict(), [1]).run(store=tmp_path / "store")
    names, text = told(counted_with(Strict(decodes=False), [1, 2]), store=tmp_path / "store")
    assert names == ["decode"]
    assert "WAL-0711" in text


def test_what_pickle_refuses_is_told_at_start(tmp_path: Path) -> None:
    class Local:
        pass

    app = App("odd", source("numbers", [1]).key_by(str).to(spoil_nothing, state=State("odd", Local, codec="pickle")).end())
    with pytest.raises(TypeError, match="the state 'odd' cannot be stored: .*Local"):
        app.run(store=tmp_path)


def spoil_nothing(number: int, state: Any) -> None:
    pass
