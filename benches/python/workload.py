"""The work that every side does: trades as JSON lines, one state object per symbol, an alert for about 3 % of the trades."""

from __future__ import annotations

import json
from dataclasses import dataclass

import msgspec

#: How far a price must be above its moving average for an alert.
FACTOR = 1.047


class Trade(msgspec.Struct):
    """A trade as msgspec makes it fastest."""

    symbol: str
    price: float
    qty: int
    ts: int


@dataclass(slots=True)
class TradeData:
    """A trade as a dataclass."""

    symbol: str
    price: float
    qty: int
    ts: int


class Alert(msgspec.Struct):
    """A price far above its average."""

    symbol: str
    price: float
    average: float


class Move(msgspec.Struct):
    """What the first of two stages makes of every trade."""

    sector: str
    symbol: str
    change: float


AnyTrade = Trade | TradeData


@dataclass(slots=True)
class Stock:
    """The state object of a symbol."""

    count: int = 0
    volume: int = 0
    last: float = 0.0
    average: float = 0.0

    def on_trade(self, trade: AnyTrade) -> Alert | None:
        """Note a trade; an alert when its price is far above the average."""
        self.count += 1
        self.volume += trade.qty
        price = self.last = trade.price
        average = self.average
        self.average = average * 0.9 + price * 0.1 if average else price
        return Alert(trade.symbol, price, average) if average and price > average * FACTOR else None

    def on_every(self, trade: Trade) -> Trade:
        """As `on_trade`, and passes every trade on."""
        self.on_trade(trade)
        return trade

    def change(self, trade: Trade) -> Move:
        """The first of two stages: how far a trade is from the average of its symbol."""
        self.count += 1
        self.volume += trade.qty
        price = self.last = trade.price
        average = self.average or price
        self.average = average * 0.9 + price * 0.1
        return Move(trade.symbol[:3], trade.symbol, price / average - 1.0)


@dataclass(slots=True)
class Sector:
    """The state object of the second stage."""

    count: int = 0
    average: float = 0.0

    def on_move(self, move: Move) -> Alert | None:
        """Note a move; an alert when it is far from the moves of its sector."""
        self.count += 1
        average = self.average
        self.average = average * 0.9 + move.change * 0.1
        return Alert(move.symbol, move.change, average) if move.change > average + FACTOR - 1.0 else None


decode_struct = msgspec.json.Decoder(Trade).decode
decode_data = msgspec.json.Decoder(TradeData).decode


def decode_own(line: bytes) -> TradeData:
    """A decoder as people write it who know the standard library only."""
    fields = json.loads(line)
    return TradeData(fields["symbol"], fields["price"], fields["qty"], fields["ts"])
