"""A test that fails says its seed, and the seed repeats the failure."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from wallaroo import App, InvalidError, discard, source, testing

# What it demands holds for some seeds and not for others.
FAILING = """
from wallaroo import App, discard, source, testing

def app():
    return App("merged", source("one", []).merge(source("other", [])).to({function}).to_sink("out", discard()))

def early(message):
    if message == 200 and len(seen) < 5:
        raise ValueError("the other source came early")
    seen.append(message)
    return message

def same(message):
    return message

seen = []

def test_the_order():
    for seed in testing.seeds(20):
        seen.clear()
        results = testing.run(app(), {{"one": range(200), "other": range(200, 400)}}, seed=seed)
        assert results.sink("out").index(200) >= 5
"""


def run_pytest(directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    given = {name: value for name, value in os.environ.items() if not name.startswith("WALLAROO_")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_failing.py"]
    return subprocess.run(
        command, cwd=directory, env={**given, **environment}, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("function", ["same", "early"], ids=["an assertion", "a function"])
def test_a_seed_that_fails_is_named_and_repeats_the_failure(tmp_path: Path, function: str) -> None:
    (tmp_path / "test_failing.py").write_text(FAILING.format(function=function))
    failed = run_pytest(tmp_path)
    assert failed.returncode == 1, failed.stdout
    printed = re.findall(r"^WALLAROO_SEED=(\d+)$", failed.stdout, re.MULTILINE)
    seed = printed[-1]
    if function != "same":
        assert f"in a test with WALLAROO_SEED={seed}" in failed.stdout
    again = run_pytest(tmp_path, WALLAROO_SEED=seed)
    assert again.returncode == 1, again.stdout
    assert re.findall(r"^WALLAROO_SEED=(\d+)$", again.stdout, re.MULTILINE) == [seed]
    # Those before it did not fail, and do not now.
    assert len(printed) > 1, "the first seed fails; let the test demand something else"
    assert run_pytest(tmp_path, WALLAROO_SEED=printed[0]).returncode == 0


def test_seeds_are_numbers_and_the_environment_says_which(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("WALLAROO_SEED", "WALLAROO_SEEDS"):
        monkeypatch.delenv(name, raising=False)
    assert list(testing.seeds(3)) == [1, 2, 3]
    assert capsys.readouterr().out == "WALLAROO_SEED=1\nWALLAROO_SEED=2\nWALLAROO_SEED=3\n"
    monkeypatch.setenv("WALLAROO_SEEDS", "2")
    assert list(testing.seeds(3)) == [1, 2]
    monkeypatch.setenv("WALLAROO_SEED", "7")
    assert list(testing.seeds(3)) == [7]
    app = App("one", source("one", []).to_sink("out", discard()))
    assert testing.run(app, {}).seed == 7
    assert testing.run(app, {}, seed=9).seed == 9
    monkeypatch.setenv("WALLAROO_SEED", "seven")
    with pytest.raises(InvalidError, match="the environment variable WALLAROO_SEED is 'seven'; it must be a number"):
        testing.run(app, {})
