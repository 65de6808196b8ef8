"""The shapes that programs of the original have and the others do not show: pipelines made in a loop, modules beside, tools."""

from __future__ import annotations

import pickle
import struct
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from types import ModuleType

import pytest

from running import Receiver, free_port, send, wait_until
from test_classic import PROGRAMS, original
from wallaroo import App, InvalidError, classic, testing
from wallaroo.classic import _runner

LETTERS = [(number, f"s{number % 3}") for number in range(30)]


def by_a_loop(words: list[str]) -> list[tuple[str, int, list[tuple[str, int | None]]]]:
    """What the program `routes` sends, all letters through one stage after the other."""
    letters: list[tuple[str, int, list[tuple[str, int | None]]]] = [(sender, number, []) for number, sender in LETTERS]
    counts: dict[str, int] = defaultdict(int)
    is_keyed = False
    for word in words:
        if word == "by-sender":
            is_keyed = True
        elif word == "twice":
            letters = [(f"{sender}.{n}", number, stamps) for sender, number, stamps in letters for n in range(2)]
        elif word == "even":
            letters = [letter for letter in letters if letter[1] % 2 == 0]
        else:
            counts[word] += 1
            last: dict[str, int] = {}
            stamped = []
            for sender, number, stamps in letters:
                key = sender if is_keyed else ""
                before = last.get(key) if word == "state" else None
                last[key] = number
                stamped.append((sender, number, [*stamps, (f"{word}{counts[word]}", before)]))
            letters = stamped
    return letters


def frames(received: bytes) -> list[bytes]:
    found, at = [], 0
    while at + 4 <= len(received):
        end = at + 4 + struct.unpack_from(">I", received, at)[0]
        if end > len(received):
            break
        found.append(received[at + 4 : end])
        at = end
    return found


# Within a key scope keys do not change: a letter that is there twice afterwards has its key again where the next scope begins.
@pytest.mark.parametrize(
    "words",
    [
        ["plain"],
        ["state"],
        ["by-sender", "plain"],
        ["by-sender", "state"],
        ["plain", "even", "by-sender", "state", "by-sender", "state"],
        ["by-sender", "state", "plain", "by-sender", "plain"],
        ["state", "twice", "by-sender", "state", "even", "plain"],
        ["plain", "twice", "by-sender", "state", "twice", "by-sender", "state"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("from_generator", [False, True], ids=["socket", "generator"])
def test_a_pipeline_that_options_say(tmp_path: Path, words: list[str], *, from_generator: bool) -> None:
    expected = by_a_loop(words)
    port = free_port()
    options = [f"--{word}" for word in words]
    if from_generator:
        options += ["--letters", str(len(LETTERS)), "--cluster-initializer"]
    else:
        options += ["--in", f"127.0.0.1:{port}"]
    with Receiver() as out, original(tmp_path, "routes", "--out", f"127.0.0.1:{out.port}", *options) as process:
        if not from_generator:
            send(port, [struct.pack(">Q", number) + sender.encode() for number, sender in LETTERS])
        wait_until(lambda: len(frames(out.received)) >= len(expected) or process.process.poll() not in {None, 0}, "all letters")
        assert (process.wait() if from_generator else process.stop()) == 0, process.errors
    # Letters of one sender keep their order; those of several need not.
    letters = [pickle.loads(frame) for frame in frames(out.received)]
    for sender in {letter[0] for letter in expected}:
        assert [each for each in letters if each[0] == sender] == [each for each in expected if each[0] == sender]
    assert len(letters) == len(expected)


TOOL = """
from wallaroo import classic

classic.take_place()

import pickle
import wallaroo
import wallaroo.experimental.connectors
import routes

first, second = routes.steps(["state", "twice", "by-sender", "state"])
state = first.computation.initial_state()
letter = routes.decoder.decode(routes.struct.pack(">Q", 7) + b"s")
(one, other) = pickle.loads(pickle.dumps(first.computation)).compute_multi(letter, state)
print(wallaroo.__name__, one.sender, other.sender, one.stamps, second.key_by.extract_key(other), second.computation.name())
"""


def test_a_tool_of_a_program_imports_what_the_original_had(tmp_path: Path) -> None:
    tool = tmp_path / "tool.py"
    tool.write_text(TOOL)
    command = [sys.executable, "-W", "error", str(tool)]
    environment = {"PYTHONPATH": ":".join([str(PROGRAMS), *(path for path in sys.path if path)])}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.stderr == ""
    assert ended.stdout == "wallaroo.classic s.0 s.1 [('state1', None)] s.1 state2\n"


# Pipelines that only the original allows.


class Numbers:
    """A generator whose messages a test gives in its place."""

    def initial_value(self):
        return None

    def apply(self, value):
        return None


class Count:
    value = 0


def numbers(name: str) -> classic.Pipeline:
    return classic.source(name, classic.GenSourceConfig(name, Numbers()))


@classic.key_extractor
def parity(number):
    return number % 2


@classic.state_computation(name="count", state=Count)
def count(number, state):
    state.value += 1
    return number, state.value


@classic.encoder
def shown(message):
    return str(message)


@classic.computation(name="same")
def same(data):
    return data


def lowered(pipeline: classic.Pipeline) -> App:
    sink = classic.TCPSinkConfig("127.0.0.1", "7002", shown)
    return _runner.lower(classic.build_application("app", pipeline.to_sink(sink)), ModuleType("program"))


def test_behind_a_merge_messages_without_key_have_one_of_their_own() -> None:
    """In the original a key goes with its message, and those of a source have the key of the source until ``key_by``."""
    given = {"with": [1, 2, 3, 4], "without": [5, 6, 7, 8]}
    expected = ["(1, 1)", "(2, 1)", "(3, 2)", "(4, 2)", "(5, 1)", "(6, 2)", "(7, 3)", "(8, 4)"]
    keyed = numbers("with").key_by(parity).to(same)
    for pipeline in (keyed.merge(numbers("without")), numbers("without").merge(keyed)):
        assert sorted(testing.run(lowered(pipeline.to(count)), given).sink("sink")) == expected
    twice = numbers("other").merge(keyed.merge(numbers("without")).to(same))
    assert sorted(testing.run(lowered(twice.to(count)), given).sink("sink")) == expected


def test_a_key_extractor_just_before_a_merge_must_be_on_both_sides_as_in_the_original() -> None:
    for one, other in [("a", "b"), ("b", "a")]:
        sides = {"a": numbers("a").key_by(parity), "b": numbers("b")}
        with pytest.raises(InvalidError, match="ends with key_by or collect can only be merged with another such"):
            lowered(sides[one].merge(sides[other]))


@pytest.mark.parametrize("name", ["a = b", "line\nbreak", "", "x" * 300, "é" * 200])
def test_a_computation_may_have_any_name(name: str) -> None:
    computation = classic.state_computation(name=name, state=Count)(lambda number, _: number)
    app = lowered(numbers("numbers").to(computation).to(computation))
    assert testing.run(app, {"numbers": [1]}).sink("sink") == ["1"]


def test_a_decoder_without_header_is_refused() -> None:
    source = classic.TCPSourceConfig("numbers", "127.0.0.1", "7010", classic.decoder(0, ">I")(bytes))
    with pytest.raises(InvalidError, match="the source 'numbers' has a header of 0 bytes; it must have at least one"):
        lowered(classic.source("numbers", source))
