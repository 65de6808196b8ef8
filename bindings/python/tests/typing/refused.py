"""What type checkers must refuse. It is checked, not run: a line whose error is missing is an error itself."""

from __future__ import annotations

from dataclasses import dataclass

from wallaroo import App, State, channel, file, json, source


@dataclass
class Tick:
    symbol: str
    price: float


class Stock:
    def on_text(self, text: str) -> str | None:
        return text


class NeedsArguments:
    def __init__(self, high: float) -> None:
        self.high = high


def on_number(number: int) -> int:
    return number


def on_other_state(tick: Tick, state: dict[str, int]) -> int:
    return len(state)


def no_list(tick: Tick) -> int:
    return 1


def write_text(text: str) -> None:
    print(text)


ticks = source("ticks", file("ticks.jsonl", json(Tick)))
stocks = State("stocks", Stock)

ticks.to(on_number)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
ticks.to(Stock.on_text, state=stocks)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
ticks.to(on_other_state, state=stocks)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
ticks.to_many(no_list)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
ticks.key_by(lambda tick: tick.sybmol)  # type: ignore[attr-defined]  # pyright: ignore
ticks.key_by(lambda tick: [tick.symbol])  # type: ignore[arg-type, return-value]  # pyright: ignore
ticks.merge(source("numbers", [1]))  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
ticks.on_error("ignore")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ticks.to_sink("texts", write_text)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
State("needs", NeedsArguments)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
App("ticks", ticks)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
App("ticks").run(stor="./data")  # type: ignore[call-arg]  # pyright: ignore
source("sent", channel(3))  # type: ignore[call-overload]  # pyright: ignore
