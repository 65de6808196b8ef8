"""What sides measure about themselves: resident memory, and latency from the scheduled arrival."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workload import Trade

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_bytes(process: int | str = "self") -> int:
    """Resident memory of a process, without what is a page of a file."""
    _, resident, shared, *_ = Path(f"/proc/{process}/statm").read_text().split()
    return (int(resident) - int(shared)) * PAGE_BYTES


class Recorder:
    """Notes latencies, and how memory has grown since it was made."""

    def __init__(self, warm_up: int = 0) -> None:
        self._before = resident_bytes()
        self._warm_up = warm_up
        self._nanoseconds: list[int] = []

    def growth(self) -> float:
        """Resident memory, in bytes, beyond that at the start."""
        return float(resident_bytes() - self._before)

    def note(self, trade: Trade) -> None:
        """A trade has come out; `ts` is when it was due."""
        self._nanoseconds.append(time.monotonic_ns() - trade.ts)

    @contextlib.contextmanager
    def sender(self, port: int, count: int) -> Iterator[None]:
        """A process that sends `count` trades, each when it is due."""
        program = str(Path(__file__).with_name("sender.py"))
        with subprocess.Popen([sys.executable, program, str(port), str(count)]) as process:
            yield
            if process.wait(timeout=60) != 0:
                message = f"the sender ended with {process.returncode}"
                raise RuntimeError(message)

    def quantiles(self, expected: int) -> dict[str, float]:
        """Quantiles in microseconds, without the warm-up."""
        if len(self._nanoseconds) != expected:
            message = f"{len(self._nanoseconds)} trades came out, {expected} were sent"
            raise RuntimeError(message)
        measured = sorted(self._nanoseconds[self._warm_up :])
        return {f"p{percent}": measured[len(measured) * percent // 100] / 1000 for percent in (50, 99)}
