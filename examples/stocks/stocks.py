"""Watches stock prices: one state object per symbol, alerts on the way, a table at the end.

python stocks.py                                     reads examples/data/stocks.csv
python stocks.py --in ticks=tcp://127.0.0.1:7010     follows live feeds of the same CSV, until ctrl-c
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import wallaroo

DATA = Path(__file__).parent.parent / "data" / "stocks.csv"


@dataclass
class Tick:
    """What comes in: a row of the CSV."""

    symbol: str
    date: str
    price: float
    volume: float


# The price is the one as if the share had never been split.
COLUMNS = {"symbol": "Ticker", "date": "Date", "price": "Adj Close", "volume": "Volume"}


@dataclass
class Report:
    """What goes out for each tick: where the stock stands, and whether that is news."""

    symbol: str
    stock: Stock
    alert: str | None


@dataclass
class Stock:
    """The state object: what is known of one symbol. Wallaroo makes one for each symbol it meets."""

    ticks: int = 0
    last: float = 0.0
    high: float = 0.0
    low: float = 0.0
    low_since_high: float = 0.0
    usual_volume: float = 0.0

    def on_tick(self, tick: Tick) -> Report:
        """The state computation. Calls for one symbol come one after another, in order."""
        news = self.learn(tick.price, tick.volume)
        alert = f"{tick.date}  {tick.symbol:<5}{tick.price:>9.2f}  {news}" if news else None
        return Report(tick.symbol, copy.copy(self), alert)

    def learn(self, price: float, volume: float) -> str | None:
        """Take in one price; what is news about it."""
        if self.ticks == 0:
            self.high = self.low = self.low_since_high = price
        fall_before = 1 - self.low_since_high / self.high  # 0.3 is 30 % below the high
        fall = 1 - price / self.high
        news = None
        if fall < 0 and fall_before >= 0.2:
            news = f"new high, after a fall of {100 * fall_before:.0f} %"
        elif fall >= 0.3 and fall_before < 0.3:
            news = f"{100 * fall:.0f} % below its high of {self.high:.2f}"
        elif self.ticks >= 20 and volume >= 5 * self.usual_volume:
            news = f"{volume / self.usual_volume:.0f} times its usual volume"
        self.ticks += 1
        self.last = price
        self.low = min(self.low, price)
        self.low_since_high = min(self.low_since_high, price)
        if price > self.high:
            self.high = self.low_since_high = price
        self.usual_volume += (volume - self.usual_volume) / min(self.ticks, 20)
        return news


table: dict[str, Stock] = {}


def remember(report: Report) -> None:
    """A sink is anything that can be called: this one keeps the last report of each symbol."""
    table[report.symbol] = report.stock


def alert_of(report: Report) -> str | None:
    """Only what is news goes on."""
    return report.alert


stocks = wallaroo.State("stocks", Stock)
ticks = wallaroo.source("ticks", wallaroo.file(DATA, wallaroo.csv(Tick, rename=COLUMNS)))
reports = ticks.key_by("symbol").to(Stock.on_tick, state=stocks)
app = wallaroo.App(
    "stocks",
    reports.to(alert_of).to_sink("alerts", wallaroo.stdout()),
    reports.to_sink("table", remember),
)


if __name__ == "__main__":
    app.main()
    print("\nsymbol  ticks      last      high       low")
    for symbol, stock in sorted(table.items()):
        print(f"{symbol:<6}{stock.ticks:>7}{stock.last:>10.2f}{stock.high:>10.2f}{stock.low:>10.2f}")
