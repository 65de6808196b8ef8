"""Functions that are async: nothing would await what they return, so they are refused.

What a call returns is looked at by the native module; see ``src/awaiting.rs``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable
from typing import Any


def is_async(function: Any) -> bool:
    """Whether calling it gives something to await, as far as that can be told before."""
    while isinstance(function, functools.partial):
        function = function.func
    called = function if inspect.isroutine(function) else getattr(type(function), "__call__", None)  # noqa: B004
    return any(inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one) for one in (function, called))


def refuse_async(function: Any, what: str, kinds: str = "all functions that Wallaroo calls") -> None:
    """Raise an error if a function is async; ``what`` it is stands in the error, and of which ``kinds``."""
    if is_async(function):
        message = (
            f"{what} is async; {kinds} are plain functions for now: a state object is worked on by "
            "one call at a time, which awaiting would break. Call what must wait in a source or sink of your own, on an event "
            "loop of its own (asyncio.Runner)"
        )
        raise TypeError(message)


def refuse_async_methods(object_: Any, methods: Iterable[str], what: str) -> None:
    """Raise an error if one of these methods of an object is async."""
    for method in methods:
        refuse_async(getattr(object_, method, None), f"the method {method} of {what}")


def refuse_awaitable(returned: Any, what: str) -> None:
    """Raise an error if a call has returned something to await; ``what`` was called stands in the error."""
    if hasattr(type(returned), "__await__") or inspect.isasyncgen(returned):
        if inspect.iscoroutine(returned):
            returned.close()
        class_ = type(returned).__name__
        message = f"{what} returned {class_}, which nothing awaits; use plain functions instead of async ones"
        raise TypeError(message)
