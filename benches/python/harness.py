"""Runs two sides in turns, each in a process of its own, and reports them as `benches/README.md` describes.

A process of its own: neither side inherits the heap, the garbage or the warm caches of the other. What is measured is the
processor time of the whole process, threads included, around the work; imports and a warm-up come before.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Side:
    """A program: which interpreter, which function, with which settings."""

    python: str
    function: str
    settings: dict[str, Any] = field(default_factory=dict)
    modules: tuple[str, ...] = ()

    def command(self) -> list[str]:
        """The command line of the child."""
        return [self.python, str(HERE / "child.py"), self.function, json.dumps(self.settings)]

    def environment(self) -> dict[str, str]:
        """The environment of the child."""
        return {**os.environ, "PYTHONPATH": os.pathsep.join(self.modules), "PYTHONHASHSEED": "0"}

    def run(self) -> dict[str, float]:
        """Run it to its end, and read what it prints."""
        child = subprocess.run(self.command(), env=self.environment(), capture_output=True, text=True, timeout=600, check=False)
        if child.returncode != 0:
            message = f"{self.function} ended with {child.returncode}:\n{child.stderr}"
            raise RuntimeError(message)
        result: dict[str, float] = json.loads(child.stdout.splitlines()[-1])
        return result


@dataclass
class Interleaved:
    """Results of the runs of both sides, in order."""

    subject: list[dict[str, float]]
    comparator: list[dict[str, float]]

    def pairs(self, unit: str) -> list[float]:
        """Subject divided by comparator, of neighbouring runs."""
        return [s[unit] / c[unit] for s, c in zip(self.subject, self.comparator, strict=True)]

    def medians(self, unit: str) -> tuple[float, float]:
        """The medians of both sides."""
        return (
            statistics.median(run[unit] for run in self.subject),
            statistics.median(run[unit] for run in self.comparator),
        )


def interleave(subject: Side, comparator: Side, runs: int, *, in_order: bool = True) -> Interleaved:
    """Run both in turns; which comes first changes. What they write must be the same, in the same order if `in_order`."""
    results = Interleaved([], [])
    for number in range(runs):
        turns = [(subject, results.subject), (comparator, results.comparator)]
        for side, kept in turns if number % 2 == 0 else reversed(turns):
            kept.append(side.run())
        wrote = {_digest(side, in_order=in_order) for side in (subject, comparator)}
        if len(wrote) != 1:
            message = f"{subject.function} and {comparator.function} have written different outputs"
            raise RuntimeError(message)
    return results


def _digest(side: Side, *, in_order: bool) -> str | None:
    out = side.settings.get("out")
    if out is None:
        return None
    written = Path(out).read_bytes()
    if not written:
        message = f"{side.function} has written nothing"
        raise RuntimeError(message)
    lines = written.splitlines()
    return hashlib.sha256(b"\n".join(lines if in_order else sorted(lines))).hexdigest()


class Report:
    """Prints lines, and writes each as JSON if a file is wanted."""

    def __init__(self, path: str | None) -> None:
        self._file: TextIO | None = Path(path).open("w") if path else None  # noqa: SIM115 (open as long as the program runs)

    def ratio(self, name: str, results: Interleaved, records: int) -> None:
        """Processor time of the comparator divided by that of the subject: larger is better."""
        ratios = sorted(1.0 / pair for pair in results.pairs("cpu"))
        wall = statistics.median(1.0 / pair for pair in results.pairs("wall"))
        subject, comparator = (seconds / records * 1e9 for seconds in results.medians("cpu"))
        self._write(
            f"bench python/{name} ratio {statistics.median(ratios):.2f} ({len(ratios)} runs, {ratios[0]:.2f}–{ratios[-1]:.2f}) "  # noqa: RUF001 (as the other benchmarks print it)
            f"process CPU {subject:.0f} vs {comparator:.0f} ns/record wall {wall:.2f}",
            {"name": f"python/{name}", "ratio": statistics.median(ratios), "ratios": ratios, "records": records, **vars(results)},
        )

    def times(self, name: str, results: Interleaved, key: str, unit: str, scale: float = 1.0) -> None:
        """A cost of the subject divided by that of the comparator: smaller is better."""
        times = sorted(results.pairs(key))
        subject, comparator = (value * scale for value in results.medians(key))
        self._write(
            f"bench python/{name} times {statistics.median(times):.2f} ({len(times)} runs, {times[0]:.2f}–{times[-1]:.2f}) "  # noqa: RUF001
            f"{subject:.1f} vs {comparator:.1f} {unit}",
            {"name": f"python/{name}", "times": statistics.median(times), "all": times, "unit": unit, **vars(results)},
        )

    def say(self, text: str) -> None:
        """Say what is not measured, and why."""
        print(text, file=sys.stderr, flush=True)

    def _write(self, line: str, value: dict[str, Any]) -> None:
        print(line, flush=True)
        if self._file is not None:
            print(json.dumps(value), file=self._file, flush=True)
