"""Ctrl-C, and debuggers: under ``wallaroo run``, and under ``python``."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from running import Process, Script

BUSY = """
import time
import wallaroo

class Numbers(wallaroo.Source):
    given = 0
    def open(self, partition, position):
        return self
    def read(self, count):
        first = self.given
        self.given += min(count, 50)
        return list(range(first, self.given))
    def position(self):
        return self.given
    def close(self):
        print("given", self.given, flush=True)

class Out(wallaroo.Sink):
    written = 0
    def write(self, messages):
        self.written += len(messages)
    def close(self):
        print("written", self.written, flush=True)

def busy(number):
    if number == 100:
        print("busy", flush=True)
    until = time.perf_counter() + 0.0005
    while time.perf_counter() < until:
        pass
    return number

def for_ever(number):
    print("busy", flush=True)
    while True:
        pass

def application(function):
    return wallaroo.App("numbers", wallaroo.source("numbers", Numbers()).to(function).to_sink("out", Out()))
"""

RUNS = {
    "wallaroo run": (Process, ("run", "app.py"), ""),
    "python": (Script, ("app.py",), "if __name__ == '__main__':\n    app.main()\n"),
}


def started(directory: Path, run: str, function: str) -> Process:
    class_, arguments, end = RUNS[run]
    (directory / "app.py").write_text(f"{BUSY}\napp = application({function})\n{end}")
    return class_(directory, *arguments)


@pytest.mark.parametrize("run", RUNS)
def test_what_a_busy_application_has_accepted_comes_out_behind_control_c(tmp_path: Path, run: str) -> None:
    with started(tmp_path, run, "busy") as process:
        process.wait_for_output("busy")
        process.signal(signal.SIGINT)
        assert process.wait() == 0
    assert "numbers: stopping: no more input is taken; again to end at once" in process.errors
    counts = dict(line.split() for line in process.output.splitlines() if " " in line)
    assert counts["given"] == counts["written"], process.errors
    assert int(counts["given"]) > 100


@pytest.mark.parametrize("run", RUNS)
def test_a_second_control_c_ends_a_function_that_never_comes_back(tmp_path: Path, run: str) -> None:
    with started(tmp_path, run, "for_ever") as process:
        process.wait_for_output("busy")
        process.signal(signal.SIGINT)
        process.wait_for_errors("stopping")
        process.signal(signal.SIGINT)
        assert process.wait() == 128 + signal.SIGINT
    assert "given" not in process.output


DEBUGGED = """
import wallaroo

class Seen:
    def __init__(self):
        self.numbers = []

def look(number, seen):
    seen.numbers.append(number)
    {stop}
    return number * 10

numbers = wallaroo.source("numbers", [7, 8]).key_by(str)
app = wallaroo.App("debugged", numbers.to(look, state=Seen).to_sink("out", wallaroo.stdout()))

if __name__ == "__main__":
    app.main()
"""

LOOKED = "p ('seen', number, seen.numbers)\n"


def debugged(directory: Path, stop: str, command: list[str], commands: str) -> subprocess.CompletedProcess[str]:
    (directory / "app.py").write_text(DEBUGGED.format(stop=stop))
    return subprocess.run(
        [sys.executable, "-W", "error", *command, "app.py"],
        cwd=directory,
        input=commands,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", [[], ["-P", "-m", "wallaroo", "run"]], ids=["python", "wallaroo run"])
def test_breakpoint_stops_in_the_function_and_goes_on(tmp_path: Path, command: list[str]) -> None:
    ended = debugged(tmp_path, "breakpoint()", command, f"{LOOKED}w\nc\n{LOOKED}c\n")
    assert ended.returncode == 0, ended.stderr
    assert "('seen', 7, [7])" in ended.stdout
    assert "('seen', 8, [8])" in ended.stdout
    assert [line for line in ended.stdout.replace("(Pdb) ", "\n").splitlines() if line in {"70", "80"}] == ["70", "80"]


@pytest.mark.parametrize("command", [[], ["-P", "-m", "wallaroo", "run"]], ids=["python", "wallaroo run"])
def test_what_quits_the_debugger_ends_the_program_at_the_function(tmp_path: Path, command: list[str]) -> None:
    ended = debugged(tmp_path, "breakpoint()", command, "q\n")
    assert ended.returncode == 1
    assert "bdb.BdbQuit" in ended.stderr
    assert 'the stage "look"' in ended.stderr
    assert "70" not in ended.stdout


def test_pdb_runs_a_program_and_stops_at_its_breakpoints(tmp_path: Path) -> None:
    line = DEBUGGED.split("{stop}")[0].count("\n") + 1
    ended = debugged(tmp_path, "pass", ["-m", "pdb"], f"b {line}\nc\n{LOOKED}c\n{LOOKED}n\nclear 1\nc\nq\n")
    assert "('seen', 7, [7])" in ended.stdout, ended.stderr
    assert "('seen', 8, [8])" in ended.stdout
    assert "70" in ended.stdout
    assert "80" in ended.stdout
