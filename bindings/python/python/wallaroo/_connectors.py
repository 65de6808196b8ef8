"""Connectors: where messages come from and where they go.

Files, TCP and the standard output are read and written without Python; formats say what their bytes mean. Anything
that can be iterated over is a source, anything that can be called is a sink, and :class:`Source` and :class:`Sink` are
for everything else.
"""

from __future__ import annotations

import inspect
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast, overload, runtime_checkable

from ._async import refuse_async, refuse_async_methods, refuse_awaitable
from ._formats import Format, _Json, csv, json, lines, raw
from ._native import Memory as _Memory

if TYPE_CHECKING:
    from typing_extensions import TypeForm  # what type checkers bring with them

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)

#: A frame header: the number of its bytes (1, 2, 4 or 8), and their order if it is not the network's.
Frames = int | tuple[int, str]


def _framed(framed: Frames | None) -> tuple[int, bool] | None:
    if framed is None:
        return None
    width, order = (framed, "big") if isinstance(framed, int) else framed
    if width not in {1, 2, 4, 8} or order not in {"big", "little"}:
        message = f"framed is {framed!r}; expected 1, 2, 4 or 8 bytes, or a pair such as (4, 'little')"
        raise ValueError(message)
    return width, order == "big"


def _no_format(connector: str, found: Any) -> str:
    """What to give a connector instead of ``found``."""
    name = getattr(found, "__name__", "T")
    if isinstance(found, type):
        advice = f"json({name}) or csv({name}), as its bytes are"
    elif any(found is made for made in (lines, json, csv, raw)):
        advice = f"{name}()"
    elif callable(found):
        advice = f"decoder({name}) to read with it, or encoder({name}) to write"
    else:
        advice = "one of lines(), json(), csv(), raw(), decoder(function), encoder(function)"
    shown = f"{found!r:.100}" if not hasattr(found, "__name__") else name
    return f"the format of {connector} is {shown}, which is none; write {advice}"


class Connector(Generic[T_co]):
    """A source or sink of bytes. Made by :func:`file`, :func:`tcp_listener`, :func:`stdout` and others."""

    def __init__(self, spec: dict[str, Any], format_: Format[Any] | None) -> None:
        if format_ is not None and not isinstance(format_, Format):
            raise TypeError(_no_format(spec["type"], format_))
        self._spec = spec
        self._format = format_

    def _source_spec(self) -> dict[str, Any]:
        message = f"{self._spec['type']} is a sink: it cannot be read from"
        raise TypeError(message)

    def _sink_spec(self) -> dict[str, Any]:
        message = f"{self._spec['type']} is a source: it cannot be written to"
        raise TypeError(message)


class _ByteSource(Connector[T_co]):
    def _source_spec(self) -> dict[str, Any]:
        assert self._format is not None
        return {**self._spec, "format": self._format._source()}


class _ByteSink(Connector[T_co]):
    def _sink_spec(self) -> dict[str, Any]:
        format_ = self._format if self._format is not None else _TextOrJson()
        return {**self._spec, "format": format_._sink()}


class _TextOrJson(Format[Any]):
    """Text as it is, everything else as JSON."""

    def _sink(self) -> dict[str, Any]:
        encode = cast("Callable[[Any], bytes]", _Json(None)._sink()["encode"])

        def text_or_json(message: Any) -> bytes | str:
            return message if isinstance(message, (str, bytes)) else encode(message)

        return {"encode": text_or_json, "line": True}


class _File(_ByteSource[T_co], _ByteSink[T_co]):
    pass


def file(
    path: str | os.PathLike[str],
    format: Format[T],  # noqa: A002
    *,
    follow: bool = False,
    framed: Frames | None = None,
    max_line_bytes: int | None = None,
    max_frame_bytes: int | None = None,
) -> Connector[T]:
    """Read a file: one partition, in order, from its start. It replays: positions in it can be continued.

    Args:
        path: The file.
        format: What its records are: :func:`json`, :func:`csv`, :func:`lines`, :func:`raw`, :func:`decoder`.
        follow: Whether to go on at its end when it grows, like ``tail -f``; it is looked at every 50 ms.
        framed: Bytes of the length in front of each record, instead of line ends.
        max_line_bytes: The longest line that is taken; 1 MiB by default. A longer one is a record that cannot be decoded.
        max_frame_bytes: The longest record of a framed file; 16 MiB by default. A longer one fails the file.
    """
    spec = {
        "type": "file",
        "path": os.fspath(path),
        "follow": follow,
        "framed": _framed(framed),
        "max_line_bytes": max_line_bytes,
        "max_frame_bytes": max_frame_bytes,
    }
    return _ByteSource(spec, format)


def tcp_listener(
    address: str,
    format: Format[T],  # noqa: A002
    *,
    framed: Frames | None = None,
    acknowledged: bool = False,
    max_connections: int | None = None,
    max_line_bytes: int | None = None,
    max_frame_bytes: int | None = None,
) -> Connector[T]:
    """Listen on a TCP address for lines, or for frames; any number of connections.

    Args:
        address: ``HOST:PORT``; port 0 takes any that is free (see :meth:`Running.listening`).
        format: What the records are.
        framed: Bytes of the length in front of each record, instead of line ends.
        acknowledged: Whether senders are told what is durable, by the protocol of the guide; needs a store.
        max_connections: How many connections there may be at once; 1,024 by default.
        max_line_bytes: The longest line that is taken; 1 MiB by default.
        max_frame_bytes: The longest frame; 16 MiB by default. A longer one ends its connection.
    """
    spec = {
        "type": "tcp",
        "address": address,
        "framed": _framed(framed),
        "acknowledged": acknowledged,
        "max_connections": max_connections,
        "max_line_bytes": max_line_bytes,
        "max_frame_bytes": max_frame_bytes,
    }
    return _ByteSource(spec, format)


def stdout(format: Format[Any] | None = None, *, framed: Frames | None = None) -> Connector[Any]:  # noqa: A002
    """Write to the standard output: text as it is, everything else as JSON, unless a format says otherwise."""
    return _ByteSink({"type": "stdout", "framed": _framed(framed)}, format)


def file_sink(
    path: str | os.PathLike[str],
    format: Format[Any] | None = None,  # noqa: A002
    *,
    append: bool = False,
    visible_at_once: bool = False,
    framed: Frames | None = None,
) -> Connector[Any]:
    """Write to a file, which is made, or emptied if it exists.

    With a store its rows are there exactly once: each appears when the checkpoint is committed that holds its cause.

    Args:
        path: The file.
        format: How messages become rows; by default text as it is, everything else as JSON.
        append: Whether to write behind what the file has already.
        visible_at_once: Whether rows are there as soon as they are made; after a failure the file is cut back.
        framed: Bytes of the length in front of each row, instead of a line end behind it.
    """
    spec = {
        "type": "file",
        "path": os.fspath(path),
        "append": append,
        "visible_at_once": visible_at_once,
        "framed": _framed(framed),
    }
    return _ByteSink(spec, format)


def tcp_sink(
    address: str,
    format: Format[Any] | None = None,  # noqa: A002
    *,
    framed: Frames | None = None,
    give_up_after: float | None = None,
) -> Connector[Any]:
    """Write to a TCP server, and connect again whenever the connection is lost.

    Args:
        address: ``HOST:PORT`` of the server.
        format: How messages become rows; by default text as it is, everything else as JSON.
        framed: Bytes of the length in front of each row, instead of a line end behind it.
        give_up_after: Seconds to go on at the end of the application with a server that takes nothing; 30 by default.
    """
    spec = {"type": "tcp", "address": address, "framed": _framed(framed), "give_up_after": give_up_after}
    return _ByteSink(spec, format)


class _Discard(Connector[Any]):
    def _sink_spec(self) -> dict[str, Any]:
        return {"type": "discard"}


def discard() -> Connector[Any]:
    """Drop every message; they are counted."""
    return _Discard({"type": "discard"}, None)


class MemorySink(Connector[T_co]):
    """Keeps messages in memory; see :func:`memory`."""

    def __init__(self) -> None:
        super().__init__({"type": "memory"}, None)
        self._memory = _Memory()
        self._letters: list[DeadLetter] = []

    def _sink_spec(self) -> dict[str, Any]:
        return {"type": "memory", "memory": self._memory}

    def take(self) -> list[T_co]:
        """Take out the messages that are there."""
        letters, self._letters = self._letters, []
        return cast("list[T_co]", self._memory.take() + letters)

    def wait_for(self, count: int, timeout: float = 10.0) -> bool:
        """Wait until at least ``count`` messages are there, or ``timeout`` seconds have passed. Whether they are."""
        return self._memory.wait_for(count, timeout)

    def __len__(self) -> int:
        """Number of messages that are there."""
        return len(self._memory) + len(self._letters)


def memory() -> MemorySink[Any]:
    """Keep messages in memory, for tests and for programs that read their results themselves. It has no bound.

    Example:
        >>> import wallaroo
        >>> squares = wallaroo.memory()
        >>> wallaroo.App("squares", wallaroo.source("numbers", range(4)).to(lambda n: n * n).to_sink("squares", squares)).run()
        >>> squares.take()
        [0, 1, 4, 9]
    """
    return MemorySink()


class _Channel(Connector[T_co]):
    def _source_spec(self) -> dict[str, Any]:
        return dict(self._spec)


@overload
def channel(*, capacity: int = ...) -> Connector[Any]: ...
@overload
def channel(type_: type[T], *, capacity: int = ...) -> Connector[T]: ...
@overload
def channel(type_: TypeForm[T], *, capacity: int = ...) -> Connector[T]: ...
def channel(type_: Any = None, *, capacity: int = 1_000) -> Connector[Any]:
    """Messages that the program sends itself, with :meth:`Running.send`.

    Args:
        type_: The type of the messages, for type checkers and for the input log of an application with a store.
        capacity: How many messages wait at most, before ``send`` does.
    """
    connector: _Channel[Any] = _Channel({"type": "channel", "capacity": capacity}, None)
    connector.message_type = type_  # type: ignore[attr-defined]
    return connector


@runtime_checkable
class Reader(Protocol[T_co]):
    """Reads one partition of a :class:`Source`."""

    def read(self, count: int, /) -> Iterable[T_co] | None:
        """At most ``count`` messages, without waiting long: an empty list when there is none now, ``None`` at the end."""

    def position(self) -> Any:
        """Where the reader is, as something that JSON knows: what :meth:`Source.open` continues from."""


class Source(Generic[T]):
    """A source of your own: subclass it, and give an object of it to :func:`source`.

    A position stands for everything that has been read and nothing else. With ``replays = True`` a reader that is opened
    at a position must give exactly the messages that followed it; without, an application with a store keeps what is read
    in an input log.

    Example:
        >>> import wallaroo
        >>> class Count(wallaroo.Source[int]):
        ...     replays = True
        ...
        ...     def open(self, partition, position):
        ...         self.next = position or 0
        ...         return self
        ...
        ...     def read(self, count):
        ...         start, self.next = self.next, min(self.next + count, 5)
        ...         return range(start, self.next) if start < 5 else None
        ...
        ...     def position(self):
        ...         return self.next
        >>> numbers = wallaroo.memory()
        >>> wallaroo.App("count", wallaroo.source("count", Count()).to_sink("numbers", numbers)).run()
        >>> numbers.take()
        [0, 1, 2, 3, 4]
    """

    #: Whether a reader opened at a position gives the same messages again.
    replays: bool = False

    def partitions(self) -> Sequence[str]:
        """Names of the partitions; each is opened once. By default there is one, ``"0"``."""
        return ["0"]

    def open(self, partition: str, position: Any) -> Reader[T]:
        """Open a partition at its start (``position`` is ``None``), or where a reader's ``position()`` said it was."""
        raise NotImplementedError


class Sink(Generic[T_contra]):
    """A sink of your own: subclass it, and give an object of it to :meth:`Pipeline.to_sink`.

    After a failure an application with a store writes again what it wrote since the last checkpoint: at least once.
    """

    def open(self) -> None:
        """Prepare for writing; called once, before the first message."""

    def write(self, messages: list[T_contra], /) -> None:
        """Write a batch. What it does not keep waiting is faster: everything else waits for it."""
        raise NotImplementedError

    def flush(self) -> None:
        """Bring everything written to its destination: when there is nothing more for now, and before a checkpoint."""

    def close(self) -> None:
        """End: called once when everything is flushed, or when the run has failed; nothing is written after it.

        What it raises at the end of a run that has gone well fails the run.
        """


class _CallableSink(Sink[T_contra]):
    def __init__(self, name: str, function: Callable[[T_contra], Any]) -> None:
        if inspect.isgeneratorfunction(function):
            message = f"the function of the sink {name!r} yields, and nothing takes out what it does; a sink returns nothing"
            raise TypeError(message)
        self._function = function
        self._what = f"the function of the sink {name!r}"
        refuse_async(function, self._what)

    def write(self, messages: list[T_contra], /) -> None:
        function = self._function
        for message in messages:
            returned = function(message)
            if returned is not None:
                refuse_awaitable(returned, self._what)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that a stage could not handle, and why."""

    stage: str
    """Name of the stage that failed; for what could not be decoded, the name of the source."""
    source: str
    """Name of the source the message came from."""
    partition: str
    """Source partition: a file, a connection."""
    position: int
    """Record number in the source partition, counted from one."""
    key: str | None
    """The key as text; absent before the first ``key_by``."""
    message: bytes
    """The raw bytes where decoding failed, else the message as JSON."""
    error: str
    """What went wrong: the exception in one line."""


class _Iterable(Source[T]):
    """Reads something that can be iterated over."""

    def __init__(self, iterable: Iterable[T] | Callable[[], Iterable[T]]) -> None:
        self._iterable = iterable
        # What can be begun again gives the same messages again; an iterator has been used up.
        self.replays = callable(iterable) or not isinstance(iterable, Iterator)
        self._iterator: Iterator[T] | None = None
        self._count = 0

    def open(self, partition: str, position: Any) -> Reader[T]:
        iterable = self._iterable() if callable(self._iterable) else self._iterable
        skip = int(position or 0) if self.replays else 0
        if skip and isinstance(iterable, Sequence):
            self._iterator = itertools.islice(iterable, skip, None)
        else:
            self._iterator = iter(iterable)
            for _ in range(skip):
                next(self._iterator, None)
        self._count = int(position or 0)
        return self

    def read(self, count: int, /) -> list[T] | None:
        assert self._iterator is not None
        messages = list(itertools.islice(self._iterator, count))
        self._count += len(messages)
        return messages or None

    def position(self) -> int:
        return self._count


_SINK_METHODS = ("open", "write", "flush", "close")


def as_source(name: str, connector: Any) -> tuple[dict[str, Any], Format[Any] | None, Any]:
    """A source for the native module, its format, and the type of its messages."""
    if isinstance(connector, Connector):
        format_ = connector._format
        type_ = format_.type if format_ is not None else getattr(connector, "message_type", None)
        return connector._source_spec(), format_, type_
    if isinstance(connector, Source):
        refuse_async_methods(connector, ("partitions", "open", "read", "position", "close"), f"the source {name!r}")
        return {"type": "python", "source": connector}, None, None
    if isinstance(connector, (str, bytes)):
        message = f"{connector!r} is no source; to read a file of this name, write file({connector!r}, lines())"
        raise TypeError(message)
    if not inspect.isclass(connector):
        refuse_async(connector, f"the function of the source {name!r}")
    if isinstance(connector, Iterable) or (callable(connector) and not inspect.isclass(connector)):
        return {"type": "python", "source": _Iterable(connector)}, None, None
    if inspect.isclass(connector):
        message = f"the class {connector.__name__} is no source; give an object of it"
        raise TypeError(message)
    message = (
        f"a {type(connector).__name__} is no source; expected file(…), tcp_listener(…), channel(…), something that can be "
        "iterated over, or an object of a subclass of wallaroo.Source"
    )
    raise TypeError(message)


def as_sink(name: str, connector: Any) -> dict[str, Any]:
    """A sink for the native module."""
    if isinstance(connector, Connector):
        return connector._sink_spec()
    if isinstance(connector, Sink):
        refuse_async_methods(connector, _SINK_METHODS, f"the sink {name!r}")
        return {"type": "python", "sink": connector}
    if inspect.isclass(connector) and issubclass(connector, Sink):
        message = f"the class {connector.__name__} is no sink; give an object of it"
        raise TypeError(message)
    if callable(connector):
        return {"type": "python", "sink": _CallableSink(name, connector)}
    message = (
        f"a {type(connector).__name__} is no sink; expected stdout(), file_sink(…), tcp_sink(…), memory(), discard(), a "
        "function, or an object of a subclass of wallaroo.Sink"
    )
    raise TypeError(message)


def as_letters(name: str, connector: Any) -> dict[str, Any]:
    """A sink of dead letters for the native module."""
    if isinstance(connector, MemorySink):
        keep = connector._letters
        return {"type": "python", "letters": lambda *fields: keep.append(DeadLetter(*fields))}
    if isinstance(connector, Connector):
        return connector._sink_spec()
    if isinstance(connector, Sink):
        sink = connector
        refuse_async_methods(sink, _SINK_METHODS, f"the sink {name!r}")
        write = _CallableSink[DeadLetter](name, lambda letter: sink.write([letter])).write
        return {"type": "python", "letters": lambda *fields: write([DeadLetter(*fields)]), "sink": sink}
    if callable(connector) and not inspect.isclass(connector):
        write = _CallableSink[DeadLetter](name, connector).write
        return {"type": "python", "letters": lambda *fields: write([DeadLetter(*fields)])}
    return as_sink(name, connector)
