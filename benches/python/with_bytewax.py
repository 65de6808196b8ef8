"""The same program with Bytewax 0.21.1, with its sources and sinks written for speed: batches of 1,024."""

from __future__ import annotations

import itertools
from pathlib import Path

import bytewax.operators as op
import msgspec
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import run_main
from workload import Alert, Stock, Trade, decode_struct

BATCH = 1024


class _Reader(StatelessSourcePartition[Trade]):
    def __init__(self, records: str) -> None:
        self._lines = Path(records).open("rb")  # noqa: SIM115 (Bytewax closes it)

    def next_batch(self) -> list[Trade]:
        batch = [decode_struct(line) for line in itertools.islice(self._lines, BATCH)]
        if not batch:
            raise StopIteration
        return batch


class _Trades(DynamicSource[Trade]):
    def __init__(self, records: str) -> None:
        self._records = records

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Reader:
        return _Reader(self._records)


class _Writer(StatelessSinkPartition[tuple[str, Alert]]):
    def __init__(self, out: str) -> None:
        self._file = Path(out).open("wb")  # noqa: SIM115
        self._encode = msgspec.json.Encoder().encode

    def write_batch(self, items: list[tuple[str, Alert]]) -> None:
        for _, alert in items:
            self._file.write(self._encode(alert))
            self._file.write(b"\n")

    def close(self) -> None:
        self._file.close()


class _Alerts(DynamicSink[tuple[str, Alert]]):
    def __init__(self, out: str) -> None:
        self._out = out

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Writer:
        return _Writer(self._out)


def _on_trade(stock: Stock | None, trade: Trade) -> tuple[Stock, list[Alert]]:
    if stock is None:
        stock = Stock()
    alert = stock.on_trade(trade)
    return stock, [] if alert is None else [alert]


def struct(records: str, out: str) -> None:
    """Decode in the source, key by a lambda, alerts out of `stateful_flat_map`."""
    flow = Dataflow("stocks")
    trades = op.input("trades", flow, _Trades(records))
    keyed = op.key_on("symbol", trades, lambda trade: trade.symbol)
    op.output("out", op.stateful_flat_map("alerts", keyed, _on_trade), _Alerts(out))
    run_main(flow)
