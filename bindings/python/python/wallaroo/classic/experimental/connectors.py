"""Connectors with several sources, and their sources. What sends comes later; a source can be written, and reads."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NoReturn, Self

from . import AtLeastOnceSourceConnector, BaseMeta, ConnectorError, ProtocolError, cwm
from ._later import Later, function, methods


class BaseIter(BaseMeta):
    """An iterator: a class that derives from it has ``__next__``."""

    def throw(self, type: Any = None, value: Any = None, traceback: Any = None) -> NoReturn:  # noqa: A002 - as the original has it
        """End."""
        raise StopIteration

    def __iter__(self) -> Self:
        """Itself."""
        return self

    def next(self) -> Any:
        """The next value."""
        return self.__next__()

    @abstractmethod
    def __next__(self) -> Any:
        """The next value."""


class BaseSource(BaseMeta):
    """A source of a connector, which can go back to a position."""

    @abstractmethod
    def __str__(self) -> str:
        """What it is, for people."""

    @abstractmethod
    def reset(self, pos: int = 0) -> None:
        """Go back to a position; the highest of 64 bits is the start."""

    @abstractmethod
    def point_of_ref(self) -> int:
        """The position."""

    @abstractmethod
    def __next__(self) -> tuple[Any, int]:
        """The next message, and the position behind it."""

    @abstractmethod
    def wallaroo_acked(self, point_of_ref: int) -> None:
        """All messages up to a position have been handled."""


class _Reader(Later, BaseIter):
    """A source that reads a file."""


methods(_Reader, "__next__ reset point_of_ref wallaroo_acked close")


class FramedFileReader(_Reader):
    """Reads a file of messages behind their lengths: ``FramedFileReader(filename)``."""


class ThrottledFileReader(_Reader):
    """Reads a file at a rate: ``ThrottledFileReader(filename, limit_rate, is_framed, is_text_lines)``."""


class MultiSourceConnector(AtLeastOnceSourceConnector, BaseIter):
    """A connector with several sources: ``add_source(source)``, ``remove_source(source)``."""

    get_id = staticmethod(function("MultiSourceConnector.get_id"))


methods(MultiSourceConnector, "__next__ add_source remove_source")

__all__ = [
    "AtLeastOnceSourceConnector",
    "BaseIter",
    "BaseMeta",
    "BaseSource",
    "ConnectorError",
    "FramedFileReader",
    "MultiSourceConnector",
    "ProtocolError",
    "ThrottledFileReader",
    "abstractmethod",
    "cwm",
]
