"""Wallaroo for Python beside the loops people write by hand, and beside Bytewax.

Usage: python3 benches/python/bench.py normal|full [--runs COUNT] [--filter TEXT] [--json FILE] [--wallaroo DIRECTORY]

It builds the native module as the wheel has it, makes virtual environments under `target/`, and runs each side in child
processes of its own. `benches/README.md` says how to read the lines.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness import HERE, Interleaved, Report, Side, interleave
from recorder import resident_bytes
from trades import write_trades

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = HERE.parent.parent
BYTEWAX = "bytewax==0.21.1"
MSGSPEC = "msgspec>=0.20"


@dataclass
class Bench:
    """What all families share."""

    report: Report
    directory: Path
    runs: int
    is_full: bool
    python: str
    modules: tuple[str, ...]
    bytewax: str | None

    def trades(self, records: int, keys: int, *, once_each: bool = False) -> str:
        """A file of trades; made once."""
        path = self.directory / f"{records}-{keys}-{once_each}.jsonl"
        if not path.exists():
            block = min(records, 1_000_000)
            write_trades(path, block, keys, repeat=records // block, once_each=once_each)
        return str(path)

    def plain(self, function: str, **settings: object) -> Side:
        """A program written by hand."""
        return Side(self.python, f"plain.{function}", self._settings("plain", settings))

    def wallaroo(self, function: str, **settings: object) -> Side:
        """A program with Wallaroo."""
        return Side(self.python, f"with_wallaroo.{function}", self._settings("wallaroo", settings), self.modules)

    def with_bytewax(self, function: str, **settings: object) -> Side:
        """A program with Bytewax."""
        return Side(self.bytewax or "", f"with_bytewax.{function}", self._settings("bytewax", settings))

    def _settings(self, who: str, settings: dict[str, object]) -> dict[str, object]:
        if "out" in settings:
            settings["out"] = str(self.directory / f"{who}-{settings['out']}")
        return settings

    def measured(self, function: str, records: int, keys: int) -> dict[str, object]:
        """The settings of a side that reads a file and writes another, after a warm-up."""
        warm_up = self.trades(5_000, min(keys, 1000))
        return {"records": self.trades(records, keys), "warm_up_records": warm_up, "out": f"{function}.jsonl"}


def throughput(bench: Bench) -> None:
    """Processor time per record, one worker."""
    records = 1_000_000 if bench.is_full else 250_000
    lines = [
        ("aa/struct", "struct", None),
        ("struct/field-key", "struct", "struct"),
        ("dataclass/field-key", "data", "data"),
        ("struct/lambda-key", "struct", "key_function"),
        ("own-decoder/lambda-key", "own", "own"),
        ("struct/two-stages", "two_stages", "two_stages"),
        ("struct/output-per-message", "every", "every"),
    ]
    for keys in (1_000, 1_000_000) if bench.is_full else (1_000,):
        for name, plain, subject in lines:
            comparator = bench.plain(plain, **bench.measured(plain, records, keys))
            if subject is None:
                # Into another file, or it would be compared with itself.
                side = bench.plain(plain, **bench.measured(f"{plain}-again", records, keys))
            else:
                side = bench.wallaroo(subject, **bench.measured(subject, records, keys))
            suffix = "" if keys == 1_000 else "/1m-keys"
            bench.report.ratio(f"{name}{suffix}", interleave(side, comparator, bench.runs), records)


def checkpoints(bench: Bench) -> None:
    """A checkpoint each second, at most 50,000 dirty objects in each, against none."""
    records, keys = (10_000_000, 50_000) if bench.is_full else (3_000_000, 50_000)
    settings = bench.measured("checkpoints", records, keys)
    without = bench.wallaroo("struct", **settings)
    subject = bench.wallaroo("checkpoints", **{**settings, "out": "checkpointed.jsonl"}, store=str(bench.directory / "store"))
    runs = bench.runs if bench.is_full else min(bench.runs, 3)
    bench.report.ratio("checkpoints/50k-dirty-a-second", interleave(subject, without, runs), records)


def beside_bytewax(bench: Bench) -> None:
    """Bytewax as the comparator: a ratio of 4 says that Wallaroo takes a quarter of the processor time."""
    if bench.bytewax is None:
        bench.report.say(f"bench python/bytewax skipped: {BYTEWAX} cannot be installed for {sys.version.split()[0]}")
        return
    sizes = [(200_000, 1_000, "1k-keys")]
    if bench.is_full:
        sizes += [(2_000_000, 1_000_000, "1m-keys")]
    for records, keys, name in sizes:
        subject = bench.wallaroo("struct", **bench.measured("struct", records, keys))
        comparator = bench.with_bytewax("struct", **bench.measured("struct", records, keys))
        # Bytewax keeps the order of a key, not of a batch.
        results = interleave(subject, comparator, bench.runs, in_order=False)
        bench.report.ratio(f"bytewax/{name}", results, records)


def latency(bench: Bench) -> None:
    """10,000 trades a second over a connection, from the scheduled arrival of each."""
    seconds = 10 if bench.is_full else 1
    count, warm_up = seconds * 10_000 + 2_000, 2_000
    subject = bench.wallaroo("latency", count=count, warm_up=warm_up)
    comparator = bench.plain("latency", count=count, warm_up=warm_up)
    results = interleave(subject, comparator, bench.runs)
    for quantile in ("p50", "p99"):
        bench.report.times(f"latency/10k-a-second/{quantile}", results, quantile, "us")


def startup(bench: Bench) -> None:
    """From the start of the interpreter to the first output."""
    records = bench.trades(1, 1)
    results = Interleaved([], [])
    for _ in range(bench.runs):
        for side, kept in (
            (bench.wallaroo("startup", records=records, to_stderr=True), results.subject),
            (bench.plain("startup", records=records, to_stderr=True), results.comparator),
        ):
            kept.append({"seconds": _time_to_first_output(side)})
    bench.report.times("start-up", results, "seconds", "ms", 1000.0)


def _time_to_first_output(side: Side) -> float:
    began = time.perf_counter()
    with subprocess.Popen(side.command(), env=side.environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdout is not None
        line = child.stdout.readline()
        seconds = time.perf_counter() - began
        child.stdout.read()
    if child.returncode != 0 or b"S0000000" not in line:
        message = f"{side.function} ended with {child.returncode}, and wrote {line!r} first"
        raise RuntimeError(message)
    return seconds


def memory(bench: Bench) -> None:
    """Resident memory per state object, against a dict of objects."""
    objects = 1_000_000 if bench.is_full else 300_000
    records = bench.trades(objects, objects, once_each=True)
    results = interleave(bench.wallaroo("memory", records=records), bench.plain("memory", records=records), bench.runs)
    bench.report.times("memory/per-object", results, "bytes", "B", 1.0 / objects)


def resident(bench: Bench) -> None:
    """Resident memory over ten million messages: at its end, and when a fifth of the time had passed."""
    if not bench.is_full:
        return
    records = 10_000_000
    settings = {key: value for key, value in bench.measured("resident", records, 10_000).items() if key != "warm_up_records"}
    for name, side in (
        ("resident/10m-messages", bench.wallaroo("struct", **settings)),
        (
            "resident/10m-messages-with-checkpoints",
            bench.wallaroo("checkpoints", **settings, store=str(bench.directory / "store")),
        ),
    ):
        samples: list[float] = []
        with subprocess.Popen(side.command(), env=side.environment(), stdout=subprocess.PIPE) as child:
            while child.poll() is None:
                samples.append(float(resident_bytes(child.pid)))
                time.sleep(0.05)
        if child.returncode != 0:
            message = f"{side.function} ended with {child.returncode}"
            raise RuntimeError(message)
        # The last sample may be of a process that is ending.
        samples = samples[:-1]
        early, late = max(samples[: len(samples) // 5]), max(samples[len(samples) * 4 // 5 :])
        bench.report.times(name, Interleaved([{"bytes": late}], [{"bytes": early}]), "bytes", "MB", 1e-6)


FAMILIES: list[Callable[[Bench], None]] = [throughput, checkpoints, beside_bytewax, latency, startup, memory, resident]


def _environment(path: Path, *packages: str) -> str | None:
    """The interpreter of a virtual environment with these packages; none if they cannot be installed."""
    python = path / "bin" / "python"
    done = path / "done"
    if not done.exists():
        shutil.rmtree(path, ignore_errors=True)
        commands = [[sys.executable, "-m", "venv", str(path)], [str(python), "-m", "pip", "install", "--quiet", *packages]]
        for command in commands:
            made = subprocess.run(command, capture_output=True, text=True, check=False)
            if made.returncode != 0:
                print(f"cannot install {' '.join(packages)}: {made.stderr.strip()}", file=sys.stderr)
                return None
        done.touch()
    return str(python)


def _package(target: Path) -> Path:
    """The package with the native module of the profile of the wheel, in a directory of its own."""
    build = ["cargo", "build", "--locked", "--profile", "wheel", "-p", "wallaroo-python", "--features", "extension-module"]
    subprocess.run(build, cwd=ROOT, check=True, env={**os.environ, "CARGO_TARGET_DIR": str(target)})
    package = target / "bench-python" / "package"
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(
        ROOT / "bindings" / "python" / "python", package, ignore=shutil.ignore_patterns("*.so", "__pycache__", ".*_cache")
    )
    shutil.copy(target / "wheel" / "lib_native.so", package / "wallaroo" / "_native.so")
    return package


def main() -> None:
    """Run the benchmarks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("size", choices=["normal", "full"])
    parser.add_argument("--runs", type=int, default=5, help="measured runs of each side (5)")
    parser.add_argument("--filter", default="", help="families whose name contains this text")
    parser.add_argument("--json", help="also write each line with all its runs to this file")
    parser.add_argument("--wallaroo", help="directory of a package that has been built already")
    arguments = parser.parse_args()
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).absolute()
    package = Path(arguments.wallaroo).absolute() if arguments.wallaroo else _package(target)
    python = _environment(target / "bench-python" / "plain", MSGSPEC)
    if python is None:
        sys.exit("msgspec is needed")
    bytewax = _environment(target / "bench-python" / "bytewax", BYTEWAX, MSGSPEC)
    with tempfile.TemporaryDirectory(prefix="wallaroo-bench-") as directory:
        bench = Bench(
            Report(arguments.json),
            Path(directory),
            arguments.runs,
            arguments.size == "full",
            python,
            (str(package),),
            bytewax,
        )
        for family in FAMILIES:
            if arguments.filter in family.__name__:
                family(bench)


if __name__ == "__main__":
    main()
