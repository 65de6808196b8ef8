"""Sources that make their messages: generators of the original."""

from __future__ import annotations

import base64
import copy
import pickle
from typing import Any

from .._connectors import Reader, Source


class Generated(Source[Any]):
    """The messages of an object with ``initial_value()`` and ``apply(value)``.

    A position is the object and its next value, pickled: whatever it remembers, it goes on where it was. Of an object that pickle
    does not know the position is how many messages it has made; they are made again and dropped.
    """

    replays = True

    def __init__(self, generator: Any) -> None:
        self._generator = generator

    def open(self, partition: str, position: Any) -> Reader[Any]:
        return _Generating(self._generator, position or {})


class _Generating:
    def __init__(self, generator: Any, position: dict[str, Any]) -> None:
        self._made = 0
        if "pickled" in position:
            self._generator, self._value = pickle.loads(base64.b64decode(position["pickled"]))
            self._made = position["made"]
            return
        # The program's own object stays as it is: a second start in the process begins anew.
        try:
            self._generator = copy.deepcopy(generator)
        except Exception:
            self._generator = generator
        self._value = self._generator.initial_value()
        while self._made < position.get("made", 0) and self._value is not None:
            self._next()

    def _next(self) -> None:
        self._value = self._generator.apply(self._value)
        self._made += 1

    def read(self, count: int, /) -> list[Any] | None:
        messages: list[Any] = []
        while self._value is not None and len(messages) < count:
            messages.append(self._value)
            self._next()
        return messages or None

    def position(self) -> dict[str, Any]:
        try:
            pickled = pickle.dumps((self._generator, self._value))
        except Exception:
            return {"made": self._made}
        return {"made": self._made, "pickled": base64.b64encode(pickled).decode()}
