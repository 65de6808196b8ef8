"""The shapes that programs of the original have and the others do not show: pipelines made in a loop, modules beside, tools."""

from __future__ import annotations

import pickle
import struct
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from running import Receiver, free_port, send, wait_until
from test_classic import PROGRAMS, original

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
