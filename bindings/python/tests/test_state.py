"""States over time: what new versions of a class read, what is refused, what expires, what is forgotten."""

from __future__ import annotations

import collections
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

import wallaroo
from wallaroo import App, Context, Pipeline, State, memory, source
from wallaroo.testing import Test, run


def life(store: Path, state: State[Any], numbers: list[int], **options: Any) -> dict[str, Any]:
    """One run with a store; the state objects that its messages found, as they were when these came."""
    found: dict[str, Any] = {}

    def look(number: int, object_: Any, ctx: Context) -> None:
        found.setdefault(ctx.key, {name: getattr(object_, name) for name in attributes(object_)})
        if hasattr(object_, "seen"):
            object_.seen += 1

    begin: Pipeline[int] = source("numbers", lambda: iter(numbers))
    App("evolving", begin.key_by(str).to(look, state=state).named("look").end()).run(store=store, **options)
    return found


def attributes(object_: Any) -> list[str]:
    if isinstance(object_, msgspec.Struct):
        return list(object_.__struct_fields__)
    return sorted(vars(object_)) if hasattr(object_, "__dict__") else list(object_.__slots__)


def version(kind: str, names: dict[str, Any]) -> type:
    """A class `Stock` with these attributes and defaults, made in one of the ways that there are."""
    if kind == "dataclass":
        hints = {name: type(value) for name, value in names.items()}
        defaults = {name: field(default_factory=list) if value == [] else value for name, value in names.items()}
        return dataclass(type("Stock", (), {"__annotations__": hints, **defaults}))
    if kind == "slots":
        hints = {name: type(value) for name, value in names.items()}
        defaults = {name: field(default_factory=list) if value == [] else value for name, value in names.items()}
        return dataclass(slots=True)(type("Stock", (), {"__annotations__": hints, **defaults}))
    if kind == "struct":
        return msgspec.defstruct("Stock", [(name, type(value), value) for name, value in names.items()])

    def init(self: Any) -> None:
        for name, value in names.items():
            setattr(self, name, list(value) if isinstance(value, list) else value)

    return type("Stock", (), {"__init__": init})


KINDS = ["dataclass", "slots", "struct", "plain"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_attribute_that_was_added_has_its_default_and_the_others_their_values(kind: str, tmp_path: Path) -> None:
    assert life(tmp_path, State("stocks", version(kind, {"seen": 0, "name": "x"})), [1, 1]) == {"1": {"seen": 0, "name": "x"}}
    new = version(kind, {"more": [], "seen": 5, "extra": 2.5, "name": "y"})
    assert life(tmp_path, State("stocks", new), [1, 1, 1, 2]) == {
        "1": {"more": [], "seen": 2, "extra": 2.5, "name": "x"},
        "2": {"more": [], "seen": 5, "extra": 2.5, "name": "y"},
    }


@pytest.mark.parametrize("kind", KINDS)
def test_an_attribute_that_was_removed_is_gone(kind: str, tmp_path: Path) -> None:
    life(tmp_path, State("stocks", version(kind, {"seen": 0, "name": "x", "old": 1.5})), [1])
    found = life(tmp_path, State("stocks", version(kind, {"seen": 0, "name": "x"})), [1, 1])
    # A plain class has what its objects have; so that is not lost which a class without declarations cannot tell.
    assert {name: value for name, value in found["1"].items() if kind != "plain" or name != "old"} == {"seen": 1, "name": "x"}


@pytest.mark.parametrize("kind", KINDS)
def test_attributes_in_another_order_are_the_same(kind: str, tmp_path: Path) -> None:
    life(tmp_path, State("stocks", version(kind, {"seen": 0, "name": "x"})), [1])
    assert life(tmp_path, State("stocks", version(kind, {"name": "y", "seen": 0})), [1, 1]) == {"1": {"name": "x", "seen": 1}}


@pytest.mark.parametrize("kind", KINDS)
def test_an_attribute_that_was_renamed_is_read_by_its_alias(kind: str, tmp_path: Path) -> None:
    life(tmp_path, State("stocks", version(kind, {"seen": 0, "name": "x"})), [1])
    renamed = State("stocks", version(kind, {"count": 9, "name": "y"}), aliases={"seen": "count"})
    assert life(tmp_path, renamed, [1, 1]) == {"1": {"count": 1, "name": "x"}}


@pytest.mark.parametrize("kind", KINDS)
def test_one_kind_of_class_reads_what_another_wrote(kind: str, tmp_path: Path) -> None:
    life(tmp_path, State("stocks", version("dataclass", {"seen": 0, "name": "x"})), [1])
    assert life(tmp_path, State("stocks", version(kind, {"seen": 0, "name": "y"})), [1, 1]) == {"1": {"seen": 1, "name": "x"}}


def test_a_state_that_was_renamed_is_found_by_its_old_name(tmp_path: Path) -> None:
    stock = version("dataclass", {"seen": 0})
    life(tmp_path, State("stocks", stock), [1])
    with pytest.raises(wallaroo.InvalidError, match="stocks"):
        life(tmp_path, State("shares", stock), [1, 1])
    assert life(tmp_path, State("shares", stock), [1, 1], rename_states={"stocks": "shares"}) == {"1": {"seen": 1}}
    assert life(tmp_path, State("shares", stock), [1, 1, 1]) == {"1": {"seen": 2}}


def test_a_state_that_is_no_more_must_be_dropped_by_name(tmp_path: Path) -> None:
    stock = version("dataclass", {"seen": 0})
    life(tmp_path, State("stocks", stock), [1])
    with pytest.raises(wallaroo.InvalidError, match="stocks"):
        life(tmp_path, State("others", stock), [1, 1])
    assert life(tmp_path, State("others", stock), [1, 1], drop_states=["stocks"]) == {"1": {"seen": 0}}
    with pytest.raises(TypeError, match="drop_states must be a list of names"):
        life(tmp_path, State("others", stock), [1, 1, 1], drop_states="stocks")


def test_a_source_and_a_sink_that_are_no_more_must_be_dropped_by_name(tmp_path: Path) -> None:
    def app(name: str) -> App:
        return App("renamed", source(name, range(3)).to_sink(f"{name} out", memory()))

    app("a").run(store=tmp_path)
    with pytest.raises(wallaroo.InvalidError, match='"a"'):
        app("b").run(store=tmp_path)
    app("b").run(store=tmp_path, drop_sources=["a"], drop_sinks=["a out"])


def test_a_savepoint_can_be_dropped(tmp_path: Path) -> None:
    app = App("kept", source("numbers", [1]).end())
    app.run(store=tmp_path)
    app.run(store=tmp_path, savepoint="monday")
    with pytest.raises(wallaroo.InvalidError, match='savepoint "tuesday"'):
        app.run(store=tmp_path, drop_savepoints=["tuesday"])
    app.run(store=tmp_path, drop_savepoints=["monday"])
    with pytest.raises(wallaroo.InvalidError, match='savepoint "monday"'):
        app.run(store=tmp_path, from_checkpoint="monday")


def test_a_store_belongs_to_the_application_of_one_name(tmp_path: Path) -> None:
    App("one", source("numbers", [1]).end()).run(store=tmp_path)
    with pytest.raises(wallaroo.InvalidError, match="one"):
        App("other", source("numbers", [1]).end()).run(store=tmp_path)


def test_a_lambda_with_state_and_a_store_needs_a_name(tmp_path: Path) -> None:
    begin = source("numbers", [1]).key_by(str).to(lambda m, s: None, state=State("s", dict))
    with pytest.raises(TypeError, match="a lambda with state at .*test_state.py:.* has no name of its own"):
        App("lambda", begin.end()).run(store=tmp_path)
    App("lambda", begin.named("stage").end()).run(store=tmp_path)


@dataclass
class Seen:
    count: int = 0

    def add(self, number: int) -> int:
        self.count += 1
        return self.count

    def look(self, number: int, ctx: Context) -> int:
        self.count += 1
        if number < 0:
            ctx.forget()
        return self.count


def test_an_object_expires_after_its_time_without_messages() -> None:
    seen = State("seen", Seen, expire_after=10)
    app = App("expiring", source("numbers", []).key_by(abs).to(Seen.add, state=seen).to_sink("counts", memory()))
    test = Test(app).send("numbers", [1, 1, 2]).advance(9).send("numbers", [1]).advance(9).send("numbers", [1, 2]).advance(30)
    results = test.send("numbers", [1]).run()
    assert results.sink("counts") == [1, 2, 1, 3, 4, 1, 1]
    assert results.state("seen") == {1: Seen(1)}


def test_forget_drops_the_object_after_the_call() -> None:
    app = App("forget", source("numbers", []).key_by(abs).to(Seen.look, state=State("seen", Seen)).to_sink("counts", memory()))
    results = run(app, {"numbers": [1, 1, -1, 1, 2, -2]})
    assert results.sink("counts") == [1, 2, 3, 1, 1, 2]
    assert results.state("seen") == {1: Seen(1)}


def test_time_in_a_test_is_that_of_the_test() -> None:
    def now(number: int, ctx: Context) -> float:
        return ctx.now

    app = App("time", source("numbers", []).to(now).to_sink("times", memory()))
    first, second = Test(app).send("numbers", [1]).advance(3_600).send("numbers", [1]).run().sink("times")
    assert second - first == pytest.approx(3_600, abs=1)
    with pytest.raises(ValueError, match="time goes forward only"):
        Test(app).advance(-1).run()


def test_a_test_is_a_function_of_its_seed() -> None:
    def app() -> App:
        one: Pipeline[int] = source("one", [])
        other: Pipeline[int] = source("other", [])
        return App("seeds", one.merge(other).to_sink("out", memory()))

    def order(seed: int) -> list[int]:
        return run(app(), {"one": range(5), "other": range(5, 10)}, seed=seed).sink("out")

    assert all(order(seed) == order(seed) for seed in range(5))
    assert sorted(order(1)) == list(range(10))


def test_stages_share_the_objects_of_one_state() -> None:
    totals: State[collections.Counter[str]] = State("totals", collections.Counter)

    def quote(number: int, total: collections.Counter[str]) -> None:
        total["quotes"] += number

    def order(number: int, total: collections.Counter[str]) -> tuple[int, int]:
        return number, total["quotes"]

    quotes: Pipeline[int] = source("quotes", [])
    orders: Pipeline[int] = source("orders", [])
    app = App(
        "spread",
        quotes.key_by(lambda n: "k").to(quote, state=totals).end(),
        orders.key_by(lambda n: "k").to(order, state=totals).to_sink("out", memory()),
    )
    results = Test(app).send("quotes", [1, 2]).advance(1).send("orders", [7]).run()
    assert results.sink("out") == [(7, 3)]
    assert results.state("totals") == {"k": collections.Counter(quotes=3)}


def test_states_are_described_wrongly() -> None:
    with pytest.raises(ValueError, match="expire_after of the state 's' is 0; expected seconds above 0"):
        State("s", dict, expire_after=0)
    with pytest.raises(TypeError, match="the type of the state 's' must be a class"):
        State("s", lambda: {"a": 1})
    with pytest.raises(TypeError, match="the name of a state is a str; found int"):
        State(3, dict)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="state is 3; expected a State, or a class"):
        source("numbers", [1]).to(lambda m, s: None, state=3)  # type: ignore[call-overload]


def test_a_name_for_the_stage_leaves_a_state_of_the_programs_own_as_it_is() -> None:
    """A state whose name was that of the stage's function was replaced: its expiry and its codec were lost."""
    seen = State("Seen.add", Seen, expire_after=10)
    numbers: Pipeline[int] = source("numbers", [])
    counted = numbers.key_by(abs).to(Seen.add, state=seen).named("count")
    app = App("named", counted.to_sink("counts", memory()), numbers.key_by(abs).to(Seen.look, state=seen).end())
    results = Test(app).send("numbers", [1, 1]).advance(11).send("numbers", [1]).run()
    assert results.state("Seen.add") == {1: Seen(2)}
    assert len(results.sink("counts")) == 3


def test_a_state_of_a_stage_alone_has_the_name_that_the_stage_is_given() -> None:
    numbers: Pipeline[int] = source("numbers", [])
    app = App("named", numbers.key_by(abs).to(Seen.add, state=Seen).named("one").named("two").end())
    assert run(app, {"numbers": [1, 1]}).state("two") == {1: Seen(2)}


# Methods, and classes that have more of them


class Stepping:
    def __init__(self) -> None:
        self.sum = 0

    def step(self, number: int) -> int:
        self.sum += number
        return self.sum


class Leaping(Stepping):
    def step(self, number: int) -> int:
        self.sum += 10 * number
        return self.sum

    twice = lambda self, number: self.step(number) + self.step(number)  # noqa: E731


def summed(function: Any, class_: type) -> list[Any]:
    kept = memory()
    keyed: Pipeline[int] = source("numbers", [1, 2]).key_by(lambda number: "k")
    App("summed", keyed.to(function, state=class_).to_sink("kept", kept)).run()
    return kept.take()


def test_a_method_of_a_base_class_is_a_method_of_the_class() -> None:
    """Where the class of the state had a method of the same name, message and object were given in the wrong order."""
    assert summed(Leaping.step, Leaping) == [10, 30]
    assert summed(Stepping.step, Leaping) == [1, 3]
    assert summed(Leaping.twice, Leaping) == [30, 100]


def test_a_method_of_a_subclass_of_the_state_is_refused() -> None:
    with pytest.raises(TypeError, match="Leaping.step is a method of Leaping, and the state's objects are Stepping"):
        summed(Leaping.step, Stepping)


def test_a_method_of_the_messages_takes_the_object_behind_its_message() -> None:
    class Number:
        def __init__(self, value: int) -> None:
            self.value = value

        def add_to(self, state: Stepping) -> int:
            return state.step(self.value)

    kept = memory()
    keyed = source("numbers", [Number(1), Number(2)]).key_by(lambda number: "k")
    App("summed", keyed.to(Number.add_to, state=Stepping).to_sink("kept", kept)).run()
    assert kept.take() == [1, 3]


@pytest.mark.parametrize("base", [list, dict, set, collections.Counter, int], ids=lambda base: base.__name__)
def test_a_kind_of_container_is_a_state_only_without_a_store(base: type, tmp_path: Path) -> None:
    """It was told that an object of the class was not of the class."""
    kind: Any = type("Kind", (base,), {})
    content = "dict" if issubclass(base, dict) else base.__name__

    def look(number: int, state: Any) -> bool:
        return isinstance(state, base)

    begin = source("numbers", [1]).key_by(str)
    kept = memory()
    app = App("kinds", begin.to(look, state=State("kinds", kind)).to_sink("kept", kept))
    app.run()
    assert kept.take() == [True]
    with pytest.raises(TypeError, match=f"the state 'kinds' cannot be stored: a Kind is a kind of {content}, whose content"):
        app.run(store=tmp_path)
    pickled = App("kinds", begin.to(look, state=State("kinds", kind, codec=Text())).to_sink("kept", kept))
    pickled.run(store=tmp_path)


class Text:
    """A codec that keeps nothing."""

    def encode(self, state: Any) -> bytes:
        return b""

    def decode(self, stored: bytes) -> Any:
        return {}


# What is told of what cannot be stored or read back is in words of all languages.


def logged(messages: list[Any], store: Path) -> str:
    """What is told of an application whose messages are kept in an input log."""
    begin: Pipeline[Any] = source("messages", iter(messages))
    with pytest.raises(Exception, match="WAL-") as raised:
        App("logged", begin.to_sink("out", memory())).run(store=store)
    return "\n".join([str(raised.value), *getattr(raised.value, "__notes__", [])])


def test_a_message_that_cannot_be_kept_in_the_input_log_is_told_without_words_of_rust(tmp_path: Path) -> None:
    told = logged([1, object()], tmp_path)
    assert 'cannot write record 2 of the source "messages" to the input log' in told
    assert "give the messages of the source a type that can be stored" in told


def test_a_state_object_that_cannot_be_stored_any_more_is_told_without_words_of_rust(tmp_path: Path) -> None:
    def spoil(number: int, seen: Seen) -> None:
        if number == 2:
            seen.count = object()  # type: ignore[assignment]

    app = App("spoilt", source("numbers", [1, 2]).key_by(lambda number: "k").to(spoil, state=State("seen", Seen)).end())
    with pytest.raises(Exception, match="WAL-0508") as raised:
        app.run(store=tmp_path)
    told = str(raised.value)
    assert told.endswith("correct how objects of its type are stored, so that what is written can be read back")
