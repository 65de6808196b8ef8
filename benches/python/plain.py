"""The programs people write by hand: a loop around a dict."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from recorder import Recorder
from workload import AnyTrade, Sector, Stock, Trade, decode_data, decode_own, decode_struct

if TYPE_CHECKING:
    from collections.abc import Callable

encode = msgspec.json.Encoder().encode


def _loop(records: str, out: str, decode: Callable[[bytes], AnyTrade]) -> None:
    stocks: dict[str, Stock] = {}
    with Path(records).open("rb") as lines, Path(out).open("wb") as sink:
        for line in lines:
            trade = decode(line)
            stock = stocks.get(trade.symbol)
            if stock is None:
                stock = stocks[trade.symbol] = Stock()
            alert = stock.on_trade(trade)
            if alert is not None:
                sink.write(encode(alert))
                sink.write(b"\n")


def struct(records: str, out: str) -> None:
    """Decode into a `msgspec.Struct`."""
    _loop(records, out, decode_struct)


def data(records: str, out: str) -> None:
    """Decode into a dataclass with slots."""
    _loop(records, out, decode_data)


def own(records: str, out: str) -> None:
    """Decode by `json.loads` and a constructor."""
    _loop(records, out, decode_own)


def every(records: str, out: str) -> None:
    """An output for each message."""
    stocks: dict[str, Stock] = {}
    with Path(records).open("rb") as lines, Path(out).open("wb") as sink:
        for line in lines:
            trade = decode_struct(line)
            stock = stocks.get(trade.symbol)
            if stock is None:
                stock = stocks[trade.symbol] = Stock()
            sink.write(encode(stock.on_every(trade)))
            sink.write(b"\n")


def two_stages(records: str, out: str) -> None:
    """A second key and a second dict."""
    stocks: dict[str, Stock] = {}
    sectors: dict[str, Sector] = {}
    with Path(records).open("rb") as lines, Path(out).open("wb") as sink:
        for line in lines:
            trade = decode_struct(line)
            stock = stocks.get(trade.symbol)
            if stock is None:
                stock = stocks[trade.symbol] = Stock()
            move = stock.change(trade)
            sector = sectors.get(move.sector)
            if sector is None:
                sector = sectors[move.sector] = Sector()
            alert = sector.on_move(move)
            if alert is not None:
                sink.write(encode(alert))
                sink.write(b"\n")


def memory(records: str) -> dict[str, float]:
    """Growth of resident memory by a dict of objects."""
    recorder = Recorder()
    stocks: dict[str, Stock] = {}
    with Path(records).open("rb") as lines:
        for line in lines:
            trade = decode_struct(line)
            stock = stocks.get(trade.symbol)
            if stock is None:
                stock = stocks[trade.symbol] = Stock()
            stock.on_trade(trade)
    return {"bytes": recorder.growth()}


def startup(records: str) -> None:
    """Print the first output."""
    stocks: dict[str, Stock] = {}
    with Path(records).open("rb") as lines:
        for line in lines:
            trade = decode_struct(line)
            stock = stocks.setdefault(trade.symbol, Stock())
            sys.stdout.buffer.write(encode(stock.on_every(trade)) + b"\n")
            sys.stdout.flush()


def latency(count: int, warm_up: int) -> dict[str, float]:
    """Read from a connection, and note when each trade comes out."""
    recorder = Recorder(warm_up)
    stocks: dict[str, Stock] = {}
    with socket.create_server(("127.0.0.1", 0)) as server, recorder.sender(server.getsockname()[1], count):
        connection, _ = server.accept()
        rest = b""
        while part := connection.recv(65536):
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                trade: Trade = decode_struct(line)
                stock = stocks.get(trade.symbol)
                if stock is None:
                    stock = stocks[trade.symbol] = Stock()
                recorder.note(stock.on_every(trade))
        connection.close()
    return recorder.quantiles(count)
