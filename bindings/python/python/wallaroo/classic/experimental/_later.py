"""What comes later: it has its name, and says so when it is used."""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Callable
from typing import Any, NoReturn


def later(name: str) -> NotImplementedError:
    """The exception of what belongs to the connector protocol."""
    return NotImplementedError(
        f"{name} belongs to the connector protocol of the original, which comes later; send framed messages to a TCP source, or "
        "write a wallaroo.Source (docs/classic.md)"
    )


def function(name: str) -> Callable[..., Any]:
    """A function that comes later."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise later(name)

    refuse.__name__ = refuse.__qualname__ = name.rpartition(".")[2]
    refuse.__doc__ = "Comes later, with the connector protocol."
    return refuse


class Later(metaclass=ABCMeta):  # noqa: B024 - so that it goes together with classes that have abstract methods
    """A class that comes later; a class that derives from it cannot be made either."""

    def __new__(cls, *_: Any, **__: Any) -> Any:
        """Say so."""
        raise later(cls.__name__)


def methods(class_: type, names: str) -> None:
    """Give a class methods that come later."""
    for name in names.split():
        setattr(class_, name, staticmethod(function(f"{class_.__name__}.{name}")))
