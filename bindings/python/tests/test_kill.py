"""A real process is killed again and again; its output must be as if nothing had happened.

The check is independent of the package: it reads the files that were left behind.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """
import json, time
from dataclasses import dataclass, field
import wallaroo

@dataclass
class Message:
    key: str
    n: int

@dataclass
class Total:
    sum: int = 0
    seen: list[int] = field(default_factory=list)

    def add(self, message: Message) -> dict:
        self.sum += message.n
        self.seen.append(message.n)
        del self.seen[:-3]
        return {"key": message.key, "n": message.n, "sum": self.sum, "last": list(self.seen)}

# Slow where it is read: all that has been read belongs to an epoch, and has to go through before the epoch is committed.
def decode(line: bytes) -> Message:
    time.sleep(0.0001)
    return Message(**json.loads(line))

def again(total: dict, counts: dict) -> dict:
    counts["count"] = counts.get("count", 0) + 1
    return {**total, "count": counts["count"]}

totals = wallaroo.State("totals", Total)
counts = wallaroo.State("counts", dict)
messages = wallaroo.source("messages", wallaroo.file("input.jsonl", wallaroo.decoder(decode)))
summed = messages.key_by("key").to(Total.add, state=totals)
counted = summed.key_by(lambda total: total["n"] % 7).to(again, state=counts)
app = wallaroo.App("killed", counted.to_sink("out", wallaroo.file_sink("output.jsonl", wallaroo.json())))
app.run(store="store", checkpoint_every=0.02)
print("done")
"""


def expected(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a loop with dicts makes of the messages."""
    sums: dict[str, int] = {}
    last: dict[str, list[int]] = {}
    counts: dict[int, int] = {}
    rows = []
    for message in messages:
        key, n = message["key"], message["n"]
        sums[key] = sums.get(key, 0) + n
        last[key] = [*last.get(key, []), n][-3:]
        counts[n % 7] = counts.get(n % 7, 0) + 1
        rows.append({"key": key, "n": n, "sum": sums[key], "last": last[key], "count": counts[n % 7]})
    return rows


@pytest.mark.parametrize("seed", [int(seed) for seed in os.environ.get("WALLAROO_KILL_SEEDS", "1").split(",")])
def test_every_message_counts_once_however_often_the_process_is_killed(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    messages = [{"key": f"k{draw.randrange(50)}", "n": n} for n in range(40_000)]
    (tmp_path / "input.jsonl").write_text("".join(json.dumps(message) + "\n" for message in messages))
    (tmp_path / "app.py").write_text(PROGRAM)
    output, log = tmp_path / "output.jsonl", tmp_path / "log"
    wanted = expected(messages)
    kills = committed = 0
    # The first ten lives are killed at a random moment; after one that brought nothing, the next have more time.
    life_s = 0.8
    for _ in range(100):
        with log.open("a") as errors:
            process = subprocess.Popen([sys.executable, "app.py"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            if kills < 10:
                time.sleep(life_s * (0.5 + draw.random()))
                process.send_signal(signal.SIGKILL)
            stdout, _ = process.communicate(timeout=120)
        finally:
            process.kill()
            process.wait()
        if process.returncode == 0:
            assert stdout == "done\n"
            break
        assert process.returncode == -signal.SIGKILL, log.read_text()
        kills += 1
        # What is there is the beginning of the right output, perhaps up to within a row, and never less than before.
        rows = output.read_text().split("\n")[:-1] if output.exists() else []
        assert len(rows) >= committed
        life_s *= 1.3 if len(rows) == committed else 1
        assert [json.loads(row) for row in rows] == wanted[: len(rows)], f"seed {seed}, kill {kills}"
        committed = len(rows)
    assert kills >= 3
    assert committed > 0
    assert [json.loads(row) for row in output.read_text().splitlines()] == wanted, f"seed {seed}"
