"""What happens when user code fails: policies, what is told, and what is left of the state."""

from __future__ import annotations

import bdb
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import wallaroo
from programs import Program
from wallaroo import App, Context, DeadLetter, State, csv, encoder, file, file_sink, lines, memory, source
from wallaroo.testing import run


class Refused(Exception):
    """An exception of the user's own."""


@dataclass
class Total:
    sum: int = 0
    seen: list[int] = field(default_factory=list)

    def add(self, number: int) -> int:
        self.sum += number
        self.seen.append(number)
        if number < 0:
            raise Refused("below zero")
        return self.sum


def refuse_three(number: int) -> int:
    if number == 3:
        raise Refused("three")
    return number


# What is told


def test_an_exception_is_raised_as_it_is_with_stage_key_and_position_as_a_note() -> None:
    numbers = source("numbers", [1, 2, -3]).key_by(lambda n: "k")
    app = App("sum", numbers.to(Total.add, state=State("totals", Total)).end())
    with pytest.raises(Refused, match="below zero") as raised:
        app.run()
    (note,) = raised.value.__notes__
    assert note == (
        'WAL-0501: the stage "Total.add" (tests/test_errors.py:48) failed: Refused: below zero (test_errors.py:33, in add); '
        'key "k"; source "numbers", 0, record 3; message -3; correct the function or the input, or let the stage skip such '
        'messages with .on_error("skip") or keep them with .dead_letter(name, sink)'
    )


def test_the_traceback_has_the_frames_of_the_user_and_no_others() -> None:
    app = App("three", source("numbers", [3]).to(refuse_three).end())
    with pytest.raises(Refused) as raised:
        app.run()
    frames = traceback.extract_tb(raised.value.__traceback__)
    names = ["test_the_traceback_has_the_frames_of_the_user_and_no_others", "refuse_three"]
    assert [frame.name for frame in frames] == names


def test_a_program_prints_the_traceback_of_the_user(program: Program) -> None:
    ran = program("""
import wallaroo

def parse(text):
    return int(text)

app = wallaroo.App("numbers", wallaroo.source("texts", ["1", "x"]).to(parse).end())
app.run()
""")
    assert ran.returncode == 1
    lines = ran.stderr.splitlines()
    assert [line.strip() for line in lines if line.strip().startswith("File ")] == [
        f'File "{Path(ran.args[-1])}", line 8, in <module>',
        f'File "{Path(ran.args[-1])}", line 5, in parse',
    ]
    assert "ValueError: invalid literal for int() with base 10: 'x'" in lines
    assert lines[-1].startswith('WAL-0501: the stage "parse" (app.py:7) failed: ValueError: invalid literal')


def test_main_ends_with_exit_code_1_and_the_same_text(program: Program) -> None:
    ran = program("""
import wallaroo

def parse(text):
    return int(text)

if __name__ == "__main__":
    wallaroo.App("numbers", wallaroo.source("texts", ["1", "x"]).to(parse).end()).main()
""")
    assert ran.returncode == 1
    named = [line for line in ran.stderr.splitlines() if line.strip().startswith("File ")]
    assert [line.rpartition(", ")[2] for line in named] == ["in <module>", "in parse"] or [
        line.rpartition(", ")[2] for line in named
    ] == ["in parse"]
    assert 'WAL-0501: the stage "parse" (app.py:8) failed' in ran.stderr


def test_an_exception_keeps_its_cause() -> None:
    def wrap(number: int) -> int:
        try:
            return refuse_three(number)
        except Refused as error:
            raise RuntimeError("wrapped") from error

    with pytest.raises(RuntimeError, match="wrapped") as raised:
        App("wrap", source("numbers", [3]).to(wrap).end()).run()
    assert isinstance(raised.value.__cause__, Refused)


def test_an_exception_whose_text_cannot_be_made_is_raised_all_the_same() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    def fail(number: int) -> int:
        raise Mute

    with pytest.raises(Mute):
        App("mute", source("numbers", [1]).to(fail).end()).run()


# Policies


def test_skip_drops_the_message_and_counts_it() -> None:
    kept = memory()
    app = App("skip", source("numbers", range(5)).to(refuse_three).on_error("skip").to_sink("kept", kept))
    with app.start() as running:
        running.wait(30)
        node = running.status()["nodes"]["refuse_three"]
    assert kept.take() == [0, 1, 2, 4]
    assert (node["messages_in"], node["messages_out"], node["dropped"]) == (5, 4, 1)


def test_dead_letter_keeps_the_message_and_why() -> None:
    kept, letters = memory(), memory()
    stage = source("numbers", range(5)).to(refuse_three).dead_letter("letters", letters)
    App("letters", stage.to_sink("kept", kept)).run()
    assert kept.take() == [0, 1, 2, 4]
    (letter,) = letters.take()
    assert letter == DeadLetter("refuse_three", "numbers", "0", 4, None, b"3", letter.error)
    assert letter.error.startswith("Refused: three (test_errors.py:")


@pytest.mark.parametrize("policy", ["skip", "dead_letter"])
def test_a_failing_call_leaves_the_object_as_it_was_and_no_output(policy: str) -> None:
    totals = State("totals", Total)
    letters = memory()
    stage = source("numbers", []).key_by(lambda n: "k").to(Total.add, state=totals)
    stage = stage.on_error("skip") if policy == "skip" else stage.dead_letter("letters", letters)
    results = run(App("sum", stage.to_sink("sums", memory())), {"numbers": [1, -2, 3, -4]})
    assert results.sink("sums") == [1, 4]
    assert results.state("totals") == {"k": Total(4, [1, 3])}
    if policy == "dead_letter":
        assert [(one.key, one.message) for one in results.sink("letters")] == [("k", b"-2"), ("k", b"-4")]


def test_a_first_call_that_fails_leaves_no_object_behind() -> None:
    stage = source("numbers", []).key_by(lambda n: abs(n)).to(Total.add, state=State("totals", Total)).on_error("skip")
    results = run(App("sum", stage.end()), {"numbers": [-1, 2]})
    assert results.state("totals") == {2: Total(2, [2])}


def test_what_a_failing_call_has_emitted_is_dropped() -> None:
    def emit(number: int, ctx: Context) -> int:
        ctx.emit(number * 10)
        return refuse_three(number)

    stage = source("numbers", [1, 3, 4]).to(emit).on_error("skip")
    assert run(App("emit", stage.to_sink("kept", memory())), {"numbers": [1, 3, 4]}).sink("kept") == [10, 1, 40, 4]


def test_a_generator_that_fails_halfway_leaves_no_message_behind() -> None:
    def twice(number: int) -> Iterator[int]:
        yield number
        yield refuse_three(number)

    stage = source("numbers", [1, 3, 4]).to_many(twice).on_error("skip")
    assert run(App("twice", stage.to_sink("kept", memory())), {"numbers": [1, 3, 4]}).sink("kept") == [1, 1, 4, 4]


def test_a_split_follows_the_policy_of_no_stage() -> None:
    def is_large(number: int) -> bool:
        return refuse_three(number) > 2

    large, small = source("numbers", [1, 3]).split(is_large)
    with pytest.raises(Refused):
        App("split", large.end(), small.end()).run()
    with pytest.raises(ValueError, match="on_error cannot be said of a split; let the stage before it fail"):
        large.on_error("skip")


def test_an_encoder_of_a_sink_follows_the_policy_of_the_sink(tmp_path: Path) -> None:
    def text(number: int) -> str:
        return str(refuse_three(number))

    def end(name: str) -> wallaroo.End:
        return source("numbers", range(5)).to_sink("output", file_sink(tmp_path / name, encoder(text)))

    App("skip", end("skip").on_error("skip")).run()
    assert (tmp_path / "skip").read_text() == "0\n1\n2\n4\n"
    letters = memory()
    App("letters", end("letters").dead_letter("letters", letters)).run()
    assert (tmp_path / "letters").read_text() == "0\n1\n2\n4\n"
    assert [(one.stage, one.message) for one in letters.take()] == [("output", b"3")]
    with pytest.raises(Refused, match="three"):
        App("fail", end("fail")).run()


def test_a_decoder_follows_the_policy_of_its_source(tmp_path: Path) -> None:
    path = tmp_path / "numbers"
    path.write_text("1\nx\n2\n")

    def begin() -> wallaroo.Pipeline[int]:
        return source("numbers", file(path, wallaroo.decoder(int)))

    kept = memory()
    App("skip", begin().on_error("skip").to_sink("kept", kept)).run()
    assert kept.take() == [1, 2]
    with pytest.raises(ValueError, match="invalid literal") as raised:
        App("fail", begin().to_sink("kept", kept)).run()
    (note,) = raised.value.__notes__
    assert note.startswith(f'WAL-0304: cannot decode a message: source "numbers", {path}, record 2: ValueError: invalid literal')


def test_dead_letters_go_to_files_functions_and_sinks(tmp_path: Path) -> None:
    seen: list[DeadLetter] = []

    class Keep(wallaroo.Sink[DeadLetter]):
        def write(self, messages: list[DeadLetter]) -> None:
            seen.extend(messages)

    for sink in (seen.append, Keep()):
        App("letters", source("numbers", [3]).to(refuse_three).dead_letter("letters", sink).end()).run()
    assert [letter.message for letter in seen] == [b"3", b"3"]
    path = tmp_path / "letters"
    App("letters", source("numbers", [3]).to(refuse_three).dead_letter("letters", file_sink(path)).end()).run()
    (letter,) = path.read_text().splitlines()
    assert '"stage":"refuse_three"' in letter
    assert '"error":"Refused: three (test_errors.py:' in letter


def test_two_stages_may_share_a_sink_of_dead_letters() -> None:
    letters = memory()
    first = source("numbers", [3, 4]).to(refuse_three).dead_letter("letters", letters)

    def refuse_four(number: int) -> int:
        raise Refused("four")

    app = App("letters", first.to(refuse_four).dead_letter("letters", letters).end())
    app.run()
    assert sorted(letter.stage for letter in letters.take()) == ["refuse_four", "refuse_three"]


def test_a_policy_belongs_to_a_stage() -> None:
    begin = source("numbers", [1])
    with pytest.raises(ValueError, match="the error policy is 'ignore'; expected 'fail' or 'skip'"):
        begin.on_error("ignore")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="on_error is about a stage: put it behind the stage, and not behind key_by"):
        begin.key_by(str).on_error("skip")


# What is no exception of a message


@pytest.mark.parametrize("policy", ["fail", "skip", "dead_letter"])
@pytest.mark.parametrize("exception", [SystemExit, KeyboardInterrupt, GeneratorExit], ids=lambda kind: kind.__name__)
def test_what_is_no_exception_of_a_message_ends_the_run_whatever_the_policy(policy: str, exception: type[BaseException]) -> None:
    def leave(number: int, total: Total) -> int:
        if number == 2:
            raise exception(7)
        return number

    kept, letters = memory(), memory()
    stage = source("numbers", [1, 2, 3]).key_by(lambda n: n).to(leave, state=Total)
    if policy == "skip":
        stage = stage.on_error("skip")
    elif policy == "dead_letter":
        stage = stage.dead_letter("letters", letters)
    with pytest.raises(exception) as raised:
        App("leave", stage.to_sink("kept", kept)).run()
    assert raised.value.args == (7,)
    assert 'source "numbers", 0, record 2' in raised.value.__notes__[0]
    assert "on_error" not in raised.value.__notes__[0], "it cannot be skipped"
    assert 3 not in kept.take()
    assert letters.take() == []


@pytest.mark.parametrize("policy", ["fail", "skip", "dead_letter"])
def test_the_end_of_a_session_of_the_debugger_ends_the_run_whatever_the_policy(policy: str) -> None:
    """`quit` in pdb raises `bdb.BdbQuit`, an `Exception`: the next message went on, and stopped in the debugger again."""
    calls = []

    def debugged(number: int) -> int:
        calls.append(number)
        raise bdb.BdbQuit

    letters = memory()
    stage = source("numbers", [1, 2, 3]).to(debugged)
    if policy == "skip":
        stage = stage.on_error("skip")
    elif policy == "dead_letter":
        stage = stage.dead_letter("letters", letters)
    with pytest.raises(bdb.BdbQuit):
        App("debugged", stage.end()).run()
    assert calls == [1]
    assert letters.take() == []


@dataclass
class Positive:
    number: int

    def __post_init__(self) -> None:
        if self.number < 0:
            raise Refused("below zero")


@pytest.mark.parametrize(
    ("row", "told", "functions"),
    [
        ("q", "ValueError: cannot decode column 'number': expected a whole number, found 'q'; message q;", []),
        ("-1", "Refused: below zero (test_errors.py:", ["__init__", "__post_init__"]),
    ],
)
def test_a_record_that_cannot_be_decoded_is_told_without_places_of_ours(
    row: str, told: str, functions: list[str], tmp_path: Path
) -> None:
    (tmp_path / "numbers.csv").write_text(f"number\n1\n{row}\n")
    with pytest.raises((ValueError, Refused)) as raised:
        App("numbers", source("numbers", file(tmp_path / "numbers.csv", csv(Positive))).end()).run()
    assert told in raised.value.__notes__[0]
    frames = traceback.extract_tb(raised.value.__traceback__)
    assert [frame.name for frame in frames][1:] == functions


@pytest.mark.parametrize("policy", ["fail", "skip", "dead_letter"])
@pytest.mark.parametrize("exception", [SystemExit, KeyboardInterrupt], ids=lambda kind: kind.__name__)
def test_what_is_no_exception_of_a_message_ends_the_run_in_an_encoder_too(
    policy: str, exception: type[BaseException], tmp_path: Path
) -> None:
    def encoded(number: int) -> bytes:
        if number == 2:
            raise exception(7)
        return f"{number}".encode()

    letters = memory()
    end = source("numbers", [1, 2, 3]).to_sink("out", file_sink(tmp_path / "out", encoder(encoded)))
    if policy == "skip":
        end = end.on_error("skip")
    elif policy == "dead_letter":
        end = end.dead_letter("letters", letters)
    with pytest.raises(exception) as raised:
        App("leave", end).run()
    assert raised.value.args == (7,)
    assert "on_error" not in raised.value.__notes__[0], "it cannot be skipped"
    assert "3" not in (tmp_path / "out").read_text()
    assert letters.take() == []


@pytest.mark.parametrize("policy", ["fail", "skip", "dead_letter"])
@pytest.mark.parametrize("exception", [SystemExit, KeyboardInterrupt], ids=lambda kind: kind.__name__)
def test_what_is_no_exception_of_a_message_ends_the_run_in_a_decoder_too(
    policy: str, exception: type[BaseException], tmp_path: Path
) -> None:
    def decoded(record: bytes) -> int:
        if record == b"2":
            raise exception(7)
        return int(record)

    (tmp_path / "numbers").write_text("1\n2\n3\n")
    kept, letters = memory(), memory()
    begin = source("numbers", file(tmp_path / "numbers", wallaroo.decoder(decoded)))
    if policy == "skip":
        begin = begin.on_error("skip")
    elif policy == "dead_letter":
        begin = begin.dead_letter("letters", letters)
    with pytest.raises(exception) as raised:
        App("leave", begin.to_sink("kept", kept)).run()
    assert raised.value.args == (7,)
    assert raised.value.__notes__[0].startswith("WAL-0304: cannot decode a message:")
    assert "on_error" not in raised.value.__notes__[0], "it cannot be skipped"
    assert 3 not in kept.take()
    assert letters.take() == []


def test_what_is_no_exception_of_a_message_ends_the_run_in_a_sink_with_a_store(tmp_path: Path) -> None:
    calls = []

    def take(number: int) -> None:
        calls.append(number)
        raise SystemExit(7)

    app = App("leave", source("numbers", [1, 2, 3]).to_sink("out", take))
    with pytest.raises(SystemExit) as raised:
        app.run(store=tmp_path / "store")
    assert raised.value.args == (7,)
    assert calls == [1], "it is not tried again"


def test_sys_exit_in_a_handler_ends_the_program_with_its_code(program: Program) -> None:
    ran = program("""
import sys
import wallaroo

wallaroo.App("exit", wallaroo.source("numbers", [1]).to(lambda n: sys.exit(7)).end()).run()
""")
    assert (ran.returncode, ran.stdout, ran.stderr) == (7, "", "")


# What stages may return


def test_a_generator_or_coroutine_function_is_refused_with_advice() -> None:
    async def later(number: int) -> int:
        return number

    def each(number: int) -> Iterator[int]:
        yield number

    class Later:
        async def __call__(self, number: int) -> int:
            return number

    begin = source("numbers", [1])
    with pytest.raises(TypeError, match="the function of the stage 'later' is async; stages are plain functions for now"):
        begin.to(later)
    with pytest.raises(TypeError, match="is async"):
        begin.to(Later())
    with pytest.raises(TypeError, match="the function of the stage 'each' yields its messages; use to_many for it"):
        begin.to(each)


@pytest.mark.parametrize("make", ["generator", "coroutine"])
def test_a_returned_generator_or_coroutine_is_refused(make: str) -> None:
    async def later() -> int:
        return 1

    def hidden(number: int) -> Any:
        if make == "generator":
            return (n for n in [number])
        return later()

    told = "and not a message; use to_many" if make == "generator" else "which nothing awaits; use plain functions"
    with pytest.raises(TypeError, match=f"hidden returned {make}, {told}"):
        App("hidden", source("numbers", [1]).to(hidden).end()).run()


def test_what_to_many_returns_must_be_iterable() -> None:
    with pytest.raises(TypeError, match="'int' object is not iterable"):
        App("many", source("numbers", [1]).to_many(lambda n: n).end()).run()  # type: ignore[arg-type, return-value]


def test_a_list_is_one_message_and_none_is_none() -> None:
    kept = memory()
    App("lists", source("numbers", [0, 2]).to(lambda n: list(range(n)) or None).to_sink("kept", kept)).run()
    assert kept.take() == [[0, 1]]


PASSES: list[Callable[..., Any]] = [
    lambda message, state: state,
    lambda message, state, ctx: ctx.emit(state),
]


@pytest.mark.parametrize("function", PASSES)
def test_a_state_object_is_not_passed_on(function: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="passes its state object on, which the next message would change; pass a copy on"):
        App("pass", source("numbers", [1]).key_by(str).to(function, state=dict).end()).run()


def test_a_state_object_is_not_passed_on_as_one_of_many() -> None:
    with pytest.raises(TypeError, match="passes its state object on"):
        App("pass", source("numbers", [1]).key_by(str).to_many(lambda m, state: [m, state], state=dict).end()).run()


# What is wrong with a program


def test_a_function_with_other_arguments_is_refused_when_it_is_given() -> None:
    begin = source("numbers", [1])
    with pytest.raises(TypeError, match="takes 2 arguments; it is called with the message"):
        begin.to(lambda a, b: a)
    with pytest.raises(TypeError, match="takes 1 argument; it is called with the message and the state object"):
        begin.to(lambda a: a, state=dict)  # type: ignore[arg-type, misc]
    with pytest.raises(TypeError, match="expected a function for the stage .*, found a int"):
        begin.to(3)  # type: ignore[call-overload]


def test_a_state_whose_class_needs_arguments_is_refused_at_start() -> None:
    class Needs:
        def __init__(self, high: int) -> None:
            self.high = high

    app = App("needs", source("numbers", [1]).key_by(str).to(lambda m, s: None, state=Needs).end())
    with pytest.raises(TypeError, match="cannot make an object for an unseen key: Needs\\(\\) raised .*give every argument"):
        app.run()


class Broken:
    def __init__(self) -> None:
        self.size = self.load()

    def load(self) -> int:
        return int("".join(["broken"]), base=self.base())

    def base(self) -> Any:
        raise Refused("no base")

    def add(self, number: int) -> None:
        pass


@pytest.mark.parametrize("begin", ["run", "start"])
@pytest.mark.parametrize("with_store", [True, False])
def test_a_constructor_of_a_state_that_fails_at_start_is_told_with_its_stage(
    begin: str, *, with_store: bool, tmp_path: Path
) -> None:
    app = App("broken", source("numbers", [1]).key_by(str).to(Broken.add, state=State("sizes", Broken)).end())
    with pytest.raises(Refused, match="no base") as raised:
        getattr(app, begin)(**({"store": tmp_path / "store"} if with_store else {}))
    frames = traceback.extract_tb(raised.value.__traceback__)
    assert [frame.name for frame in frames][1:] == ["__init__", "load", "base"]
    (note,) = raised.value.__notes__
    line = app._ends[0]._node.inputs[0][0].location[1]
    assert note == (
        f"the state 'sizes' of the stage 'Broken.add' (tests/test_errors.py:{line}) cannot "
        "make an object for an unseen key: Broken() raised Refused: no base (test_errors.py:"
        f"{frames[-1].lineno}, in base)"
    )


def test_a_type_error_inside_a_constructor_is_no_missing_argument() -> None:
    class Wrong:
        def __init__(self) -> None:
            len(3)  # type: ignore[arg-type]

    app = App("wrong", source("numbers", [1]).key_by(str).to(lambda m, s: None, state=Wrong).named("stage").end())
    with pytest.raises(TypeError, match="^object of type 'int' has no len") as raised:
        app.run()
    assert "the state 'stage' of the stage 'stage'" in raised.value.__notes__[0]


def test_two_states_of_one_name_are_refused() -> None:
    keyed = source("numbers", [1]).key_by(str)
    one = keyed.to(lambda m, s: m, state=State("s", dict)).named("one")
    with pytest.raises(ValueError, match="two states are named 's'"):
        App("two", one.to(lambda m, s: None, state=State("s", list)).named("two").end()).run()


def test_duplicate_names_are_refused_with_both_places() -> None:
    with pytest.raises(wallaroo.InvalidError, match="numbers") as raised:
        App("twice", source("numbers", [1]).end(), source("numbers", [2]).end()).run()
    assert str(raised.value).count("test_errors.py") == 2


def test_two_sinks_of_one_name_are_refused_by_that_name() -> None:
    """It was that of a stage of ours, which makes the rows of a sink."""
    numbers = source("numbers", [1])
    with pytest.raises(wallaroo.InvalidError, match='the name "out" is used twice'):
        App("twice", numbers.to_sink("out", wallaroo.stdout()), numbers.to_sink("out", wallaroo.stdout())).run()


def test_options_that_do_not_exist_are_refused() -> None:
    app = App("numbers", source("numbers", [1]).end())
    with pytest.raises(TypeError, match="'stor' is no option; there are store, checkpoint_every"):
        app.run(stor="x")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="workers is 2; a Python application runs on one worker for now, because"):
        app.run(workers=2)


class Own(wallaroo.Source[int]):
    pass


class Printed(wallaroo.Sink[int]):
    pass


def test_connectors_that_do_not_fit_are_refused() -> None:
    with pytest.raises(TypeError, match="'ticks.csv' is no source; to read a file of this name, write file"):
        source("ticks", "ticks.csv")
    with pytest.raises(TypeError, match="a int is no source"):
        source("ticks", 3)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="the class Own is no source; give an object of it"):
        source("ticks", Own)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="the class Printed is no sink; give an object of it"):
        source("ticks", [1]).to_sink("sink", Printed)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a int is no sink"):
        source("ticks", [1]).to_sink("sink", 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="stdout is a sink: it cannot be read from"):
        source("ticks", wallaroo.stdout())
    with pytest.raises(TypeError, match="file is a source: it cannot be written to"):
        source("ticks", [1]).to_sink("sink", file("x", lines()))
    with pytest.raises(TypeError, match="App takes pipelines that are closed by to_sink"):
        App("open", source("ticks", [1]))  # type: ignore[arg-type]
