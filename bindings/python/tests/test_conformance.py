"""Every scenario of `tests/conformance` gives what its file says, in Python."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wallaroo import testing

ROOT = Path(__file__).parents[3] / "tests" / "conformance"
PROGRAM = ROOT / "conformance.py"
SCENARIOS = {path.stem: path for path in sorted((ROOT / "scenarios").glob("*.json"))}
PATIENCE = 120


def load():
    """The program as a module."""
    spec = importlib.util.spec_from_file_location("conformance", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["conformance"] = module
    spec.loader.exec_module(module)
    return module


conformance = load()


def read(name):
    return json.loads(SCENARIOS[name].read_text())


PROCESSES = [name for name in SCENARIOS if "runs" in read(name)]
KIT = [name for name in SCENARIOS if "steps" in read(name)]


def test_there_are_scenarios():
    assert set(PROCESSES) | set(KIT) == set(SCENARIOS)
    assert min(len(PROCESSES), len(KIT)) > 3


@pytest.mark.parametrize("name", PROCESSES)
def test_a_scenario_as_processes(name, tmp_path):
    for number, run in enumerate(read(name)["runs"]):
        code, text = process([str(SCENARIOS[name]), str(number), str(tmp_path)], tmp_path, run)
        expected = run.get("expect", {})
        failure = expected.get("error")
        if failure is None:
            assert code == 0, text
        else:
            assert code == 1, text
            assert [part for part in [failure["code"], *failure["says"]] if part not in text] == [], text
        check(expected, lambda sink: lines(tmp_path, sink))


@pytest.mark.parametrize("name", KIT)
def test_a_scenario_in_the_test_kit_with_a_crash_anywhere_or_none(name):
    sent = sum(len(events) for step in read(name)["steps"] for events in step.get("send", {}).values())
    for seed in range(1, 4):
        in_the_test_kit(name, seed, None)
        for messages in range(sent + 1):
            in_the_test_kit(name, seed, messages)


def in_the_test_kit(name, seed, crash_after):
    scenario = read(name)
    application = conformance.application_of(scenario, 0)
    test = testing.Test(conformance.Builder(application, Path("nowhere")).app, seed=seed)
    if crash_after is not None:
        test.crash_after(crash_after)
    for step in scenario["steps"]:
        for source, events in step.get("send", {}).items():
            test.send(source, [conformance.Event(*event) for event in events])
        if "advance" in step:
            test.advance(step["advance"])
    results = test.run()
    check(scenario["expect"], results.sink)
    for state, expected in scenario["expect"].get("states", {}).items():
        assert {str(key): vars(value) for key, value in results.state(state).items()} == expected


def process(arguments, directory, run):
    """Let a run have its input, kill it as often as it says, and let it come to its end."""
    append(directory, run)
    watched = [directory / f"{sink}.jsonl" for sink in run.get("expect", {}).get("counted", {})]

    def size():
        return sum(path.stat().st_size for path in watched if path.exists())

    killed = 0
    for _ in range(run.get("kills", 0)):
        before = size()
        child = start(arguments)
        began = time.monotonic()
        while size() == before and child.poll() is None:
            assert time.monotonic() - began < PATIENCE, "nothing comes out"
            time.sleep(0.001)
        assert size() >= before, "it began anew, or took rows back"
        child.kill()
        child.communicate()
        killed += child.returncode == -signal.SIGKILL
    assert killed > 0 or not run.get("kills"), "it ended before it could be killed"
    child = start(arguments)
    _, text = child.communicate(timeout=PATIENCE)
    return child.returncode, text


def start(arguments):
    return subprocess.Popen([sys.executable, str(PROGRAM), *arguments], stderr=subprocess.PIPE, text=True)


def append(directory, run):
    rows = {}
    for source, messages in run.get("messages", {}).items():
        rows[source] = [message if isinstance(message, str) else row(*message) for message in messages]
    for source, count in run.get("generate", {}).items():
        rows[source] = [row(f"k{n % 7}", n) for n in range(count)]
    for source, texts in rows.items():
        with (directory / f"{source}.jsonl").open("a") as file:
            file.writelines(f"{text}\n" for text in texts)


def row(key, value):
    return json.dumps({"key": key, "value": value}, separators=(",", ":"))


def lines(directory, sink):
    path = directory / f"{sink}.jsonl"
    return path.read_text().splitlines() if path.exists() else []


def check(expected, rows):
    for sink, events in expected.get("sinks", {}).items():
        assert by_key(found(rows(sink))) == by_key(events), sink
    for sink, counts in expected.get("counted", {}).items():
        assert by_key(found(rows(sink))) == {key: list(range(1, count + 1)) for key, count in counts.items()}, sink
    for sink, letters in expected.get("letters", {}).items():
        there = sorted((json.loads(row) for row in rows(sink)), key=lambda letter: letter["position"])
        assert [letter["error"] for letter in letters if not any(letter["error"] in one["error"] for one in there)] == []
        fields = ["stage", "position", "key", "message"]
        assert [[one[field] for field in fields] for one in there] == [[one.get(field) for field in fields] for one in letters]


def found(rows):
    return [(event["key"], event["value"]) for event in map(json.loads, rows)]


def by_key(events):
    """Events of different keys interleave freely."""
    values: dict[str, list[int]] = {}
    for key, value in events:
        values.setdefault(key, []).append(value)
    return values
