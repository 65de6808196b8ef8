"""Run an application in a test: its messages in, what its sinks got and its states out.

No network, no files, no waiting: every source is replaced by messages of the test, every sink is captured, and time moves
only when the test says so. It is the real engine that runs, in simulation: the same seed gives the same run.

Example:
    >>> import wallaroo
    >>> from wallaroo import testing
    >>> class Stock:
    ...     def __init__(self):
    ...         self.high = 0
    ...
    ...     def on_tick(self, tick):
    ...         if tick["price"] > self.high:
    ...             self.high = tick["price"]
    ...             return f"{tick['symbol']} {tick['price']}"
    >>> stocks = wallaroo.State("stocks", Stock)
    >>> ticks = wallaroo.source("ticks", wallaroo.file("/data/ticks.jsonl", wallaroo.json()))
    >>> app = wallaroo.App("stocks", ticks.key_by("symbol").to(Stock.on_tick, state=stocks).to_sink("highs", wallaroo.stdout()))
    >>> results = testing.run(app, {"ticks": [{"symbol": "A", "price": 3}, {"symbol": "A", "price": 2}]})
    >>> results.sink("highs")
    ['A 3']
    >>> results.state("stocks")["A"].high
    3
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from . import _native
from ._app import App
from ._errors import InvalidError


class Results:
    """What a test leaves behind: what came to the sinks, and the states."""

    def __init__(self, sinks: dict[str, list[Any]], states: dict[str, dict[Any, Any]], seed: int) -> None:
        self._sinks = sinks
        self._states = states
        #: The seed of the run.
        self.seed = seed

    def sink(self, name: str) -> list[Any]:
        """What came to a sink, in this order; of a sink of bytes its rows as text. Sinks of dead letters are sinks."""
        if name not in self._sinks:
            message = f"there is no sink {name!r}; there is {', '.join(map(repr, self._sinks)) or 'none'}"
            raise KeyError(message)
        return self._sinks[name]

    def state(self, name: str) -> dict[Any, Any]:
        """The objects of a state, by key."""
        if name not in self._states:
            message = f"there is no state {name!r}; there is {', '.join(map(repr, self._states)) or 'none'}"
            raise KeyError(message)
        return self._states[name]

    def __repr__(self) -> str:
        """Names of sinks with the number of their messages."""
        counts = ", ".join(f"{name}={len(messages)}" for name, messages in self._sinks.items())
        return f"Results(seed={self.seed}, {counts})"


class Test:
    """A test of an application: what is sent, and when."""

    __test__ = False

    def __init__(self, app: App, *, seed: int | None = None) -> None:
        self._app = app
        self._seed = seed if seed is not None else _number_of("WALLAROO_SEED")
        self._steps: list[dict[str, Any]] = []

    def send(self, source: str, messages: Iterable[Any]) -> Test:
        """Send messages to a source: the decoded messages, as its stages get them."""
        self._steps.append({"send": (source, list(messages))})
        return self

    def advance(self, seconds: float) -> Test:
        """Let time pass, after all that was sent before has gone through."""
        self._steps.append({"advance": seconds})
        return self

    def crash_after(self, messages: int) -> Test:
        """Let the application crash when its sources have read this many messages together, and go on from its last checkpoint.

        The seed draws where that checkpoint is. Called several times, the application crashes several times. Sinks and states are
        the same as without the crash, if the application keeps what it knows in state objects, and these store all of it: a test
        with a crash finds an attribute that does not come back, or a function that counts for itself. What functions keep outside
        of state objects stays as it was, where a real crash would lose it.

        Messages are given again as copies, made through their stored form.

        Example:
            >>> import wallaroo
            >>> from wallaroo import testing
            >>> class Visits:
            ...     def __init__(self):
            ...         self.count = 0
            ...
            ...     def visit(self, user):
            ...         self.count += 1
            ...         return self.count
            >>> visits = wallaroo.State("visits", Visits)
            >>> users = wallaroo.source("users", [])
            >>> counted = users.key_by(lambda user: user).to(Visits.visit, state=visits)
            >>> app = wallaroo.App("visits", counted.to_sink("counts", wallaroo.discard()))
            >>> results = testing.Test(app).send("users", ["ann"] * 50).crash_after(30).run()
            >>> results.state("visits")["ann"].count
            50
        """
        if messages < 0:
            message = f"an application cannot crash after {messages} messages"
            raise ValueError(message)
        self._steps.append({"crash_after": messages})
        return self

    def run(self) -> Results:
        """Run the application until all messages have gone through."""
        sinks, states, seed = _native.run_test(self._app._plan(), self._steps, self._seed)
        return Results(sinks, states, seed)


def seeds(count: int) -> Iterator[int]:
    """The seeds from 1 to ``count``, for a test that must hold for all of them.

    With the environment variable ``WALLAROO_SEED`` it is that one only, and ``WALLAROO_SEEDS`` stands for another count. Each is
    printed when its turn comes: pytest shows what a test that fails has printed, and the last line says how to repeat it.

    Args:
        count: How many.

    Example:
        >>> import wallaroo
        >>> from wallaroo import testing
        >>> one, other = wallaroo.source("one", []), wallaroo.source("other", [])
        >>> app = wallaroo.App("merged", one.merge(other).to_sink("out", wallaroo.discard()))
        >>> for seed in testing.seeds(2):
        ...     results = testing.run(app, {"one": [1, 2], "other": [3, 4]}, seed=seed)
        ...     assert sorted(results.sink("out")) == [1, 2, 3, 4]
        WALLAROO_SEED=1
        WALLAROO_SEED=2
    """
    one = _number_of("WALLAROO_SEED")
    several = _number_of("WALLAROO_SEEDS")
    for seed in [one] if one is not None else range(1, (count if several is None else several) + 1):
        print(f"WALLAROO_SEED={seed}")
        yield seed


def _number_of(variable: str) -> int | None:
    text = os.environ.get(variable)
    if not text:
        return None
    if not text.isdecimal():
        message = f"the environment variable {variable} is {text!r}; it must be a number, or not be set"
        raise InvalidError(message)
    return int(text)


def run(app: App, inputs: Mapping[str, Iterable[Any]], *, seed: int | None = None, crash_after: int | None = None) -> Results:
    """Run an application on these messages, by source.

    Args:
        app: The application.
        inputs: The messages of each source; a source that is not named has none.
        seed: Draws everything that is open; the environment variable ``WALLAROO_SEED`` by default.
        crash_after: After how many messages it is to crash, as :meth:`Test.crash_after`; never by default.
    """
    test = Test(app, seed=seed)
    if crash_after is not None:
        test.crash_after(crash_after)
    for source, messages in inputs.items():
        test.send(source, messages)
    return test.run()
