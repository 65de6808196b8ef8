"""One run of a scenario as a process, in Python: ``conformance.py SCENARIO RUN DIRECTORY``.

It has the functions and classes of ``src/functions.rs`` and ``src/states.rs`` under the same names, and builds the application
that a scenario describes. ``README.md`` explains the fields.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import wallaroo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass
class Event:
    """The message of all scenarios."""

    key: str
    value: int

    def with_value(self, value: int) -> Event:
        """An event of the same key."""
        return Event(self.key, value)


def double(event: Event) -> Event:
    """Twice the value."""
    return event.with_value(2 * event.value)


def positive(event: Event) -> Event | None:
    """Only values above zero."""
    return event if event.value > 0 else None


def refuse_zero(event: Event) -> Event:
    """Fails for zero."""
    if event.value == 0:
        message = "the value is zero"
        raise ValueError(message)
    return event


def slowly(event: Event) -> Event:
    """A millisecond for every tenth event: a process that takes long enough to be killed."""
    if event.value % 10 == 0:
        time.sleep(0.001)
    return event


def count_up(event: Event) -> Iterator[Event]:
    """Events with the values up to this one."""
    for n in range(1, event.value + 1):
        yield event.with_value(n)


def is_even(event: Event) -> bool:
    """Whether the value is even."""
    return event.value % 2 == 0


def parity(event: Event) -> int:
    """A key."""
    return event.value % 2


def pair(event: Event) -> tuple[str, bool]:
    """A key."""
    return event.key, event.value % 2 == 0


@dataclass
class Total:
    """Number and sum of the events."""

    count: int = 0
    total: int = 0

    def keep(self, event: Event) -> None:
        """Nothing comes out."""
        self.count += 1
        self.total += event.value

    def add(self, event: Event) -> Event:
        """The sum with this event."""
        self.keep(event)
        return event.with_value(self.total)

    def count_(self, event: Event) -> Event:
        """The number of events with this one."""
        self.keep(event)
        return event.with_value(self.count)

    def ask(self, event: Event) -> Event:
        """The sum without this event."""
        return event.with_value(self.total)

    def add_to_ten(self, event: Event) -> Event:
        """As `add`; fails above ten, when the object has changed already."""
        self.keep(event)
        if self.total > 10:
            message = f"{self.total} is more than ten"
            raise ValueError(message)
        return event.with_value(self.total)

    def add_until_zero(self, event: Event, ctx: wallaroo.Context) -> Event:
        """As `add`; an event with value 0 emits -1 before the sum, and forgets the object."""
        self.keep(event)
        if event.value == 0:
            ctx.emit(event.with_value(-1))
            ctx.forget()
        return event.with_value(self.total)


@dataclass
class Account:
    """What became of `Total`: one field renamed, one added, the other order."""

    balance: int = 0
    largest: int = 0
    count: int = 0

    def add(self, event: Event, ctx: wallaroo.Context) -> Event:
        """Emits the number of events and the largest since there is one, then the balance."""
        self.count += 1
        self.balance += event.value
        self.largest = max(self.largest, event.value)
        ctx.emit(event.with_value(self.count))
        ctx.emit(event.with_value(self.largest))
        return event.with_value(self.balance)


@dataclass
class Session:
    """When the object was made."""

    began_s: int | None = None

    def age(self, event: Event, ctx: wallaroo.Context) -> Event:
        """Seconds since the first event of the object."""
        now_s = int(ctx.now)
        if self.began_s is None:
            self.began_s = now_s
        return event.with_value(now_s - self.began_s)


ONE: dict[str, Callable[[Event], Event | None]] = {f.__name__: f for f in (double, positive, refuse_zero, slowly)}
MANY = {"count_up": count_up}
PREDICATES = {"is_even": is_even}
KEYS: dict[str, Any] = {"key": "key", "parity": parity, "pair": pair}
CLASSES: dict[str, tuple[type[Any], dict[str, str]]] = {
    "Total": (Total, {}),
    "Account": (Account, {"total": "balance"}),
    "Session": (Session, {}),
}

Stream = wallaroo.Pipeline[Event]


class Builder:
    """Makes the application of a scenario, which reads and writes files of a directory."""

    def __init__(self, application: dict[str, Any], directory: Path) -> None:
        self.directory = directory
        self.states = {name: self.state(name, spec) for name, spec in application.get("states", {}).items()}
        self.streams: dict[str, Stream] = {}
        ends = [self.line(line) for line in application["plan"]]
        self.app = wallaroo.App("conformance", *(end for end in ends if end is not None))

    def state(self, name: str, spec: dict[str, Any]) -> wallaroo.State[Any]:
        """A state."""
        class_, aliases = CLASSES[spec["class"]]
        return wallaroo.State(name, class_, expire_after=spec.get("expire_after"), aliases=aliases)

    def file(self, name: str) -> Path:
        """A source or sink is a file."""
        return self.directory / f"{name}.jsonl"

    def line(self, line: dict[str, Any]) -> wallaroo.End | None:
        """A stream: where it comes from, what is done, and where it goes."""
        if "source" in line:
            stream = wallaroo.source(line["source"], wallaroo.file(self.file(line["source"]), wallaroo.json(Event)))
        elif "from" in line:
            stream = self.streams[line["from"]]
        else:
            one, other = line["merge"]
            stream = self.streams[one].merge(self.streams[other])
        for stage in line.get("stages", []):
            stream = self.stage(stream, stage.split(" "))
        if "split" in line:
            self.streams.update(zip(line["into"], stream.split(PREDICATES[line["split"]]), strict=True))
        elif "name" in line:
            self.streams[line["name"]] = stream
        elif "end" in line:
            return stream.end()
        else:
            return stream.to_sink(line["sink"], wallaroo.file_sink(self.file(line["sink"]), wallaroo.json()))
        return None

    def stage(self, stream: Stream, words: list[str]) -> Stream:
        """One stage more."""
        match words:
            case ["to", name]:
                return stream.to(ONE[name]).named(name)
            case ["to_many", name]:
                return stream.to_many(MANY[name]).named(name)
            case ["key_by", name]:
                return stream.key_by(KEYS[name])
            case ["collect"]:
                return stream.collect()
            case ["on_error", "skip"]:
                return stream.on_error("skip")
            case ["dead_letter", name]:
                return stream.dead_letter(name, wallaroo.file_sink(self.file(name), wallaroo.json()))
            case ["state", name, operation]:
                state = self.states[name]
                method = getattr(state.type, "count_" if operation == "count" else operation)
                return stream.to(method, state=state).named(f"{name}.{operation}")
        message = f"there is no stage {words}"
        raise ValueError(message)


def application_of(scenario: dict[str, Any], run: int) -> dict[str, Any]:
    """What one of the runs runs."""
    runs = scenario.get("runs", [])
    own = runs[run].get("application") if run < len(runs) else None
    application: dict[str, Any] = own or scenario["application"]
    return application


def main(path: str, run: str, directory: str) -> None:
    """Run it."""
    scenario = json.loads(Path(path).read_text())
    app = Builder(application_of(scenario, int(run)), Path(directory)).app
    if scenario.get("store"):
        options = scenario["runs"][int(run)].get("options", {})
        app.run(store=Path(directory) / "store", checkpoint_every=0.02, **options)
    else:
        app.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
