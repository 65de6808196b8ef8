"""Every example writes what is in its `expected` file, which the tests of the Rust examples read too.

Lines of one key are in order; lines of different keys interleave freely.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[3] / "examples"
PROGRAMS = sorted(path for path in EXAMPLES.glob("*/*.py") if path.stem == path.parent.name)


def run(*arguments: str | Path) -> str:
    """What a program writes to its standard output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WALLAROO_")}
    ended = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def by_key(text, key):
    """Lines by key, each key's in order."""
    lines: dict[str, list[str]] = {}
    for line in text.splitlines():
        lines.setdefault(key(line), []).append(line)
    return lines


def symbol(line: str) -> str:
    """An alert is "2000-09-29  AAPL …", a row of the table "AAPL …"."""
    words = [*line.split(), "", ""]
    return words[1] if words[0].startswith("20") else words[0]


KEYS = {
    "alerts": ("expected.txt", lambda line: line.split(" has ")[0]),
    "market_spread": ("expected.jsonl", lambda line: line.split(",")[0]),
    "outbox": ("expected.txt", lambda line: line.split(":")[0]),
    "rate_limiter": ("expected.jsonl", lambda line: line.split(",")[0]),
    "stocks": ("expected.txt", symbol),
}


@pytest.mark.parametrize("name", [path.stem for path in PROGRAMS])
def test_an_example_writes_what_is_expected(name):
    file, key = KEYS[name]
    expected = (EXAMPLES / name / file).read_text()
    assert by_key(run(EXAMPLES / name / f"{name}.py"), key) == by_key(expected, key)


def test_there_are_examples():
    assert set(KEYS) == {path.stem for path in PROGRAMS}


def test_examples_are_typed():
    pytest.importorskip("mypy", reason="mypy is not installed")
    ended = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", *map(str, PROGRAMS)],
        capture_output=True, text=True, cwd=EXAMPLES, timeout=300, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr


def load(name: str):
    """An example as a module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / name / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_outbox_goes_on_behind_the_last_row_of_the_commit(tmp_path, capfd):
    outbox = load("outbox")
    database = f"file:{tmp_path / 'outbox.db'}"
    connection = outbox.fill(database)
    store = tmp_path / "store"
    outbox.application(database, follow=False).run(store=store)
    assert len(capfd.readouterr().out.splitlines()) == 6

    connection.execute("INSERT INTO outbox (account, cents) VALUES ('bob', 25)")
    connection.commit()
    outbox.application(database, follow=False).run(store=store)
    assert capfd.readouterr().out == "bob: 5.00 after 3 payments\n"
    connection.close()


def test_outbox_follows_the_table(tmp_path):
    outbox = load("outbox")
    database = f"file:{tmp_path / 'outbox.db'}"
    connection = outbox.fill(database)
    running = outbox.application(database, follow=True).start()
    try:
        connection.execute("INSERT INTO outbox (account, cents) VALUES ('dan', 1)")
        connection.commit()
        for _ in range(1000):
            if running.status()["nodes"]["balances"]["messages_in"] == 7:
                break
            running.wait(timeout=0.01)
    finally:
        running.stop()
        running.wait()
    assert running.status()["nodes"]["balances"]["messages_in"] == 7
    connection.close()
