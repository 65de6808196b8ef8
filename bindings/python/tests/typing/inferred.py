"""What type checkers infer for the programs of users. It is checked, not run: by mypy --strict and by pyright."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, assert_type

import msgspec

from wallaroo import (
    App,
    Connector,
    Context,
    DeadLetter,
    End,
    Format,
    MemorySink,
    Pipeline,
    Reader,
    Sink,
    Source,
    State,
    channel,
    csv,
    decoder,
    discard,
    encoder,
    file,
    file_sink,
    json,
    lines,
    memory,
    raw,
    source,
    stdout,
    tcp_listener,
)


@dataclass
class Tick:
    symbol: str
    price: float


@dataclass
class Alert:
    symbol: str


class Order(msgspec.Struct):
    symbol: str
    size: int


@dataclass
class Stock:
    high: float = 0.0
    seen: list[float] = field(default_factory=list[float])

    def on_tick(self, tick: Tick) -> Alert | None:
        return Alert(tick.symbol) if tick.price > self.high else None

    def note(self, tick: Tick) -> None:
        self.high = tick.price

    def always(self, tick: Tick) -> Alert:
        return Alert(tick.symbol)

    def with_context(self, tick: Tick, ctx: Context) -> Alert | None:
        ctx.forget()
        return None

    def note_with_context(self, tick: Tick, ctx: Context) -> None:
        ctx.forget()

    def each(self, tick: Tick) -> Iterator[Alert]:
        yield Alert(tick.symbol)

    def each_with_context(self, tick: Tick, ctx: Context) -> list[Alert]:
        return [Alert(tick.symbol)]


# Sources have the type of their format.
ticks = source("ticks", file("ticks.jsonl", json(Tick)))
assert_type(ticks, Pipeline[Tick])
assert_type(source("ticks", file("ticks.csv", csv(Tick, rename={"symbol": "Ticker"}))), Pipeline[Tick])
assert_type(source("rows", file("ticks.csv", csv())), Pipeline[dict[str, str]])
assert_type(source("either", file("ticks.jsonl", json(Tick | Order))), Pipeline[Tick | Order])
assert_type(source("perhaps", file("ticks.jsonl", json(Tick | None))), Pipeline[Tick | None])
assert_type(source("several", file("ticks.jsonl", json(list[Tick]))), Pipeline[list[Tick]])
assert_type(source("by name", file("ticks.jsonl", json(dict[str, Tick | Order]))), Pipeline[dict[str, Tick | Order]])
assert_type(source("parsed", file("ticks.jsonl", json())), Pipeline[Any])
assert_type(source("orders", tcp_listener("127.0.0.1:0", json(Order), framed=4)), Pipeline[Order])
assert_type(source("lines", file("a.txt", lines())), Pipeline[str])
assert_type(source("raw", file("a.bin", raw(), framed=4)), Pipeline[bytes])
assert_type(source("sent", channel(Tick)), Pipeline[Tick])
assert_type(source("sent", channel()), Pipeline[Any])
assert_type(source("either sent", channel(Tick | Order)), Pipeline[Tick | Order])
assert_type(source("numbers", [1, 2, 3]), Pipeline[int])
assert_type(source("words", iter(["to", "be"])), Pipeline[str])
assert_type(source("range", range(3)), Pipeline[int])


def int_of(line: bytes) -> int:
    return int(line)


def int_or_nothing(line: bytes) -> int | None:
    return int(line) if line else None


assert_type(decoder(int_of), Format[int])
assert_type(source("ints", file("a.txt", decoder(int_or_nothing))), Pipeline[int])
assert_type(source("ints", file("a.txt", decoder(lambda line: len(line)))), Pipeline[int])


def generate() -> Iterator[Tick]:
    yield Tick("A", 1.0)


assert_type(source("generated", generate), Pipeline[Tick])
assert_type(source("generator", generate()), Pipeline[Tick])


class Count(Source[int]):
    replays = True

    def open(self, partition: str, position: Any) -> Reader[int]:
        self.next = position or 0
        return self

    def read(self, count: int) -> Iterable[int] | None:
        return [self.next]

    def position(self) -> int:
        return self.next


assert_type(source("count", Count()), Pipeline[int])


# Functions.
def price_of(tick: Tick) -> float:
    return tick.price


def maybe(tick: Tick) -> float | None:
    return tick.price or None


def nothing(tick: Tick) -> None:
    print(tick)


def with_context(tick: Tick, ctx: Context) -> float:
    return ctx.now


def nothing_with_context(tick: Tick, ctx: Context) -> None:
    ctx.emit(tick)


assert_type(ticks.to(price_of), Pipeline[float])
assert_type(ticks.to(maybe), Pipeline[float])
assert_type(ticks.to(nothing), Pipeline[Any])
assert_type(ticks.to(with_context), Pipeline[float])
assert_type(ticks.to(nothing_with_context), Pipeline[Any])
assert_type(ticks.to(lambda tick: tick.symbol), Pipeline[str])
assert_type(ticks.to(lambda tick: tick.symbol if tick.price > 1 else None), Pipeline[str])
assert_type(ticks.to(lambda tick: [tick]), Pipeline[list[Tick]])
# A function that only filters: nothing follows but the end.
assert_type(ticks.to(nothing).end(), End)
assert_type(ticks.to(nothing).to_sink("nothing", discard()), End)


# With state.
stocks = State("stocks", Stock)
assert_type(stocks, State[Stock])
keyed = ticks.key_by("symbol")
assert_type(keyed, Pipeline[Tick])
assert_type(ticks.key_by(lambda tick: (tick.symbol, 1)), Pipeline[Tick])


def high_of(tick: Tick, stock: Stock) -> float:
    return stock.high


def maybe_high(tick: Tick, stock: Stock) -> float | None:
    return stock.high or None


def note(tick: Tick, stock: Stock) -> None:
    stock.high = tick.price


def high_with_context(tick: Tick, stock: Stock, ctx: Context) -> float:
    return ctx.now


def note_with_context(tick: Tick, stock: Stock, ctx: Context) -> None:
    ctx.forget()


def each_seen(tick: Tick, stock: Stock) -> Iterator[float]:
    yield from stock.seen


def each_seen_with_context(tick: Tick, stock: Stock, ctx: Context) -> list[float]:
    return stock.seen


def words_of(line: str) -> list[str]:
    return line.split()


def words_with_context(line: str, ctx: Context) -> list[str] | None:
    return line.split() or None


assert_type(keyed.to(Stock.on_tick, state=stocks), Pipeline[Alert])
assert_type(keyed.to(Stock.on_tick, state=Stock), Pipeline[Alert])
assert_type(keyed.to(Stock.always, state=stocks), Pipeline[Alert])
assert_type(keyed.to(Stock.note, state=stocks), Pipeline[Any])
assert_type(keyed.to(Stock.with_context, state=stocks), Pipeline[Alert])
assert_type(keyed.to(Stock.note_with_context, state=stocks), Pipeline[Any])
assert_type(keyed.to(high_of, state=stocks), Pipeline[float])
assert_type(keyed.to(maybe_high, state=stocks), Pipeline[float])
assert_type(keyed.to(note, state=stocks), Pipeline[Any])
assert_type(keyed.to(high_with_context, state=stocks), Pipeline[float])
assert_type(keyed.to(note_with_context, state=stocks), Pipeline[Any])
assert_type(keyed.to(lambda tick, stock: stock.high + tick.price, state=stocks), Pipeline[float])
assert_type(keyed.to(lambda tick, stock: tick.symbol if stock.high else None, state=Stock), Pipeline[str])
counts: State[dict[str, int]] = State("counts", dict)
assert_type(keyed.to(lambda tick, count: count.get(tick.symbol), state=counts), Pipeline[int])

# Several messages.
words = source("lines", ["to be"])
assert_type(words.to_many(words_of), Pipeline[str])
assert_type(words.to_many(words_with_context), Pipeline[str])
assert_type(words.to_many(str.split), Pipeline[str])
assert_type(words.to_many(lambda line: line.split()), Pipeline[str])
assert_type(words.to_many(lambda line: (len(word) for word in line.split())), Pipeline[int])
assert_type(keyed.to_many(Stock.each, state=stocks), Pipeline[Alert])
assert_type(keyed.to_many(Stock.each_with_context, state=stocks), Pipeline[Alert])
assert_type(keyed.to_many(each_seen, state=stocks), Pipeline[float])
assert_type(keyed.to_many(each_seen_with_context, state=stocks), Pipeline[float])
assert_type(keyed.to_many(lambda tick, stock: [tick.price, stock.high], state=stocks), Pipeline[float])

# Everything else keeps the type.
assert_type(ticks.collect(), Pipeline[Tick])
assert_type(ticks.merge(ticks), Pipeline[Tick])
assert_type(ticks.split(lambda tick: tick.price > 1), tuple[Pipeline[Tick], Pipeline[Tick]])
assert_type(ticks.to(price_of).named("prices"), Pipeline[float])
assert_type(ticks.to(price_of).on_error("skip"), Pipeline[float])
assert_type(ticks.to(price_of).dead_letter("bad", stdout()), Pipeline[float])


# Sinks.
def write(price: float) -> None:
    print(price)


class Prices(Sink[float]):
    def write(self, messages: list[float]) -> None:
        print(messages)


prices = ticks.to(price_of)
assert_type(prices.to_sink("prices", stdout()), End)
assert_type(prices.to_sink("prices", file_sink("prices.txt", lines())), End)
assert_type(prices.to_sink("prices", file_sink("prices.txt", encoder(lambda price: f"{price:.2f}"))), End)
assert_type(prices.to_sink("prices", write), End)
assert_type(prices.to_sink("prices", print), End)
assert_type(prices.to_sink("prices", Prices()), End)
kept: MemorySink[float] = memory()
assert_type(prices.to_sink("prices", kept), End)
assert_type(kept.take(), list[float])
letters: MemorySink[DeadLetter] = memory()
assert_type(prices.dead_letter("letters", letters), Pipeline[float])
assert_type(letters.take(), list[DeadLetter])
some: Connector[Tick] = file("ticks.jsonl", json(Tick))
App("prices", prices.to_sink("prices", kept), keyed.to(Stock.note, state=stocks).end()).run(store="./data", checkpoint_every=1)
