"""Files of trades."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_trades(path: Path, records: int, keys: int, *, repeat: int = 1, once_each: bool = False) -> None:
    """Write `records` trades of `keys` symbols, `repeat` times; with `once_each` symbol after symbol."""
    draw = random.Random(2026)
    symbols = [f"S{key:07}" for key in range(keys)]
    base = [draw.uniform(20.0, 200.0) for _ in range(keys)]
    lines = []
    for number in range(records):
        key = number % keys if once_each else draw.randrange(keys)
        price = base[key] * (1.0 + draw.gauss(0.0, 0.025))
        ts = 1_790_000_000_000_000_000 + number * 1_000_000
        lines.append(f'{{"symbol":"{symbols[key]}","price":{price:.2f},"qty":{draw.randrange(1, 999)},"ts":{ts}}}\n')
    block = "".join(lines).encode()
    with path.open("wb") as file:
        for _ in range(repeat):
            file.write(block)
