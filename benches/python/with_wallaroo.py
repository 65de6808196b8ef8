"""The same programs with Wallaroo."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import wallaroo
from recorder import Recorder
from workload import AnyTrade, Sector, Stock, Trade, TradeData, decode_own


def _alerts(trades: wallaroo.Pipeline[Any], out: str) -> wallaroo.App:
    stocks = wallaroo.State("stocks", Stock)
    alerts = trades.to(Stock.on_trade, state=stocks)
    return wallaroo.App("stocks", alerts.to_sink("alerts", wallaroo.file_sink(out, wallaroo.json())))


def _trades(records: str, type_: type[Any]) -> wallaroo.Pipeline[Any]:
    return wallaroo.source("trades", wallaroo.file(records, wallaroo.json(type_)))


def struct(records: str, out: str) -> None:
    """Decode into a `msgspec.Struct`; the key is a field."""
    _alerts(_trades(records, Trade).key_by("symbol"), out).run()


def data(records: str, out: str) -> None:
    """Decode into a dataclass; the key is a field."""
    _alerts(_trades(records, TradeData).key_by("symbol"), out).run()


def key_function(records: str, out: str) -> None:
    """The key is what a lambda returns."""
    _alerts(_trades(records, Trade).key_by(lambda trade: trade.symbol), out).run()


def own(records: str, out: str) -> None:
    """A decoder of the user's own, and a lambda for the key."""
    trades = wallaroo.source("trades", wallaroo.file(records, wallaroo.decoder(decode_own)))
    _alerts(trades.key_by(lambda trade: trade.symbol), out).run()


def every(records: str, out: str) -> None:
    """An output for each message."""
    stocks = wallaroo.State("stocks", Stock)
    trades = _trades(records, Trade).key_by("symbol").to(Stock.on_every, state=stocks)
    wallaroo.App("stocks", trades.to_sink("passed", wallaroo.file_sink(out, wallaroo.json()))).run()


def two_stages(records: str, out: str) -> None:
    """Two keys and two states."""
    moves = _trades(records, Trade).key_by("symbol").to(Stock.change, state=wallaroo.State("stocks", Stock))
    alerts = moves.key_by("sector").to(Sector.on_move, state=wallaroo.State("sectors", Sector))
    wallaroo.App("sectors", alerts.to_sink("alerts", wallaroo.file_sink(out, wallaroo.json()))).run()


def checkpoints(records: str, out: str, store: str) -> None:
    """With a checkpoint each second."""
    shutil.rmtree(store, ignore_errors=True)
    _alerts(_trades(records, Trade).key_by("symbol"), out).run(store=store)


def memory(records: str) -> dict[str, float]:
    """Growth of resident memory, looked at by the last message while all objects are there."""
    seen = 0
    with Path(records).open("rb") as lines:
        expected = sum(1 for _ in lines)
    grown: list[float] = []
    recorder = Recorder()

    def on_trade(trade: AnyTrade, stock: Stock) -> None:
        nonlocal seen
        stock.on_trade(trade)
        seen += 1
        if seen == expected:
            grown.append(recorder.growth())

    stocks = wallaroo.State("stocks", Stock)
    wallaroo.App("stocks", _trades(records, Trade).key_by("symbol").to(on_trade, state=stocks).end()).run()
    return {"bytes": grown[0]}


def startup(records: str) -> None:
    """Print the first output."""
    stocks = wallaroo.State("stocks", Stock)
    trades = _trades(records, Trade).key_by("symbol").to(Stock.on_every, state=stocks)
    wallaroo.App("stocks", trades.to_sink("passed", wallaroo.stdout(wallaroo.json()))).run()


def latency(count: int, warm_up: int) -> dict[str, float]:
    """Read from a connection, and note when each trade comes out."""
    recorder = Recorder(warm_up)
    stocks = wallaroo.State("stocks", Stock)
    listener = wallaroo.tcp_listener("127.0.0.1:0", wallaroo.json(Trade), max_connections=1)
    trades = wallaroo.source("trades", listener).key_by("symbol").to(Stock.on_every, state=stocks)
    app = wallaroo.App("stocks", trades.to_sink("out", recorder.note))
    with app.start() as running:
        address = running.listening("trades")
        assert address is not None
        with recorder.sender(int(address.rpartition(":")[2]), count):
            pass
    return recorder.quantiles(count)
