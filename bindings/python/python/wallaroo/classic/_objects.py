"""What decorators make of functions: objects with the methods of the original.

Each object is the one instance of a class of its own, which is a global of this module: so pickle finds it by name, also when
the function is local to another one. Called with arguments it calls the function; called without it returns itself.
"""

from __future__ import annotations

import datetime
import inspect
import struct
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

T = TypeVar("T")


class WallarooParameterError(Exception):
    """The program says something that cannot be."""


def refused(text: str) -> WallarooParameterError:
    """The exception for a program that says what cannot be; the text is printed as well, as the original did."""
    print(f"\nAPI_Error: {text}")
    return WallarooParameterError(text)


class BaseWrapped:
    """A function that was decorated."""

    #: The function; none in classes that a program writes itself.
    _function: ClassVar[Callable[..., Any] | None] = None

    def __call__(self, *args: Any) -> Any:
        """The result of the function; without arguments the object itself."""
        function = type(self)._function
        return self if not args or function is None else function(*args)


class Computation(BaseWrapped):
    """A computation without state: ``name()`` and ``compute(data)``."""

    _is_multi = False
    is_stateful = False
    #: Makes the first state object of a key; none without state.
    initial_state: Any = None

    if TYPE_CHECKING:

        def name(self) -> str: ...
        def compute(self, *values: Any) -> Any: ...


class ComputationMulti(Computation):
    """A computation with several results: ``name()`` and ``compute_multi(data)``."""

    _is_multi = True

    if TYPE_CHECKING:

        def compute_multi(self, *values: Any) -> list[Any] | None: ...


class StateComputation(Computation):
    """A computation with state: ``name()``, ``initial_state()`` and ``compute(data, state)``."""

    is_stateful = True


class StateComputationMulti(StateComputation, ComputationMulti):
    """A computation with state and several results: ``compute_multi(data, state)``."""


class KeyExtractor(BaseWrapped):
    """Finds the key of a message: ``extract_key(data)``."""

    if TYPE_CHECKING:

        def extract_key(self, data: Any, /) -> Any: ...


class Encoder(BaseWrapped):
    """Makes the bytes of a message: ``encode(data)``."""

    if TYPE_CHECKING:

        def encode(self, data: Any, /) -> Any: ...


class Decoder(BaseWrapped):
    """Makes a message of bytes: ``header_length()``, ``payload_length(bs)`` and ``decode(bs)``."""

    if TYPE_CHECKING:

        def header_length(self) -> int: ...
        def payload_length(self, bs: bytes, /) -> int: ...
        def decode(self, bs: bytes, /) -> Any: ...


class OctetDecoder(Decoder):
    """A decoder of messages behind their length."""


class OctetEncoder(Encoder):
    """An encoder whose bytes are sent as they are."""


class ConnectorDecoder(Decoder):
    """A decoder for connectors; ``decoder()`` is its function."""


class ConnectorEncoder(Encoder):
    """An encoder for connectors: ``encode(data, event_time, key)`` with the frame of the connector protocol around it."""

    def _encode(self, encoded_data: bytes, event_time: int | datetime.datetime = 0, key: str | None = None) -> bytes:
        if isinstance(event_time, datetime.datetime):
            event_time = int(dt_to_timestamp(event_time) * 1000)
        name = key.encode() if key else b""
        length = 8 + 4 + len(name) + len(encoded_data)
        return struct.pack(">IqI", length, event_time, len(name)) + name + encoded_data


def dt_to_timestamp(dt: datetime.datetime) -> float:
    """Seconds since 1970."""
    return dt.timestamp()


_COUNTS: Counter[type] = Counter()


def attach_to_module(cls: type[T], cls_name: str, func: Callable[..., Any], idx: int | None = None) -> type[T]:
    """Make a class a global of this module, under a name of its own."""
    number = f"_{idx}" if idx else ""
    cls.__qualname__ = f"{cls_name}{number}__{_name(func)}"
    cls.__name__ = cls.__qualname__
    cls.__module__ = __name__
    globals()[cls.__qualname__] = cls
    return cls


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", type(function).__name__)


def _made(base: type[T], function: Callable[..., Any], **members: Any) -> T:
    """The instance of a new class for a function."""
    _COUNTS[base] += 1
    members = {"__doc__": function.__doc__, "_function": staticmethod(function), **members}
    class_: type[T] = type(base.__name__, (base,), members)
    return attach_to_module(class_, base.__name__, function, _COUNTS[base])()


def _must_take(count: int, name: str, function: Any) -> None:
    if not callable(function):
        message = f"Expected a callable object but got a {function} for {name}"
        raise refused(message)
    try:
        spec = inspect.getfullargspec(function)
    except TypeError:
        # Functions of Python itself do not all say what they take.
        return
    most = len(spec.args) - inspect.ismethod(function)
    least = most - len(spec.defaults or ())
    if not least <= count <= most:
        noun = "parameter" if count == 1 else "parameters"
        message = f"Incompatible function arity, your function {name} must have {count} {noun}."
        raise refused(message)


def computation(name: str) -> Callable[[Callable[[Any], Any]], Computation]:
    """A computation without state, of a function ``f(data)`` that returns a message, or ``None`` for none."""

    def wrapped(func: Callable[[Any], Any]) -> Computation:
        _must_take(1, name, func)
        return _made(Computation, func, name=lambda _: name, compute=lambda _, data: func(data))

    return wrapped


def computation_multi(name: str) -> Callable[[Callable[[Any], Any]], ComputationMulti]:
    """As :func:`computation`, of a function that returns a list of messages, or ``None`` for none."""

    def wrapped(func: Callable[[Any], Any]) -> ComputationMulti:
        _must_take(1, name, func)
        return _made(ComputationMulti, func, name=lambda _: name, compute_multi=lambda _, data: func(data))

    return wrapped


def state_computation(name: str, state: Callable[[], Any]) -> Callable[[Callable[[Any, Any], Any]], StateComputation]:
    """A computation with state, of a function ``f(data, state)``; ``state`` is the class of the state objects."""

    def wrapped(func: Callable[[Any, Any], Any]) -> StateComputation:
        _must_take(2, name, func)
        return _made(
            StateComputation,
            func,
            name=lambda _: name,
            compute=lambda _, data, state: func(data, state),
            initial_state=lambda _: state(),
            _state=staticmethod(state),
        )

    return wrapped


def state_computation_multi(name: str, state: Callable[[], Any]) -> Callable[[Callable[[Any, Any], Any]], StateComputationMulti]:
    """As :func:`state_computation`, of a function that returns a list of messages, or ``None`` for none."""

    def wrapped(func: Callable[[Any, Any], Any]) -> StateComputationMulti:
        _must_take(2, name, func)
        return _made(
            StateComputationMulti,
            func,
            name=lambda _: name,
            compute_multi=lambda _, data, state: func(data, state),
            initial_state=lambda _: state(),
            _state=staticmethod(state),
        )

    return wrapped


def key_extractor(func: Callable[[Any], Any]) -> KeyExtractor:
    """The key of a message, of a function ``f(data)`` that returns ``str``, ``bytes`` or ``int``."""
    _must_take(1, _name(func), func)
    return _made(KeyExtractor, func, extract_key=lambda _, data: func(data))


def decoder(header_length: int, length_fmt: str) -> Callable[[Callable[[bytes], Any]], OctetDecoder]:
    """A message of its bytes, of a function ``f(bs)``.

    Args:
        header_length: Bytes in front of each message that hold its length.
        length_fmt: How the length is written in them, as :mod:`struct` says it: ``">I"``.
    """

    def wrapped(func: Callable[[bytes], Any]) -> OctetDecoder:
        _must_take(1, _name(func), func)
        return _made(
            OctetDecoder,
            func,
            header_length=lambda _: header_length,
            payload_length=lambda _, bs: struct.unpack(length_fmt, bs)[0],
            decode=lambda _, bs: func(bs),
        )

    return wrapped


def encoder(func: Callable[[Any], Any]) -> OctetEncoder:
    """The bytes of a message, of a function ``f(data)`` that returns ``bytes`` or ``str``, or ``None`` for nothing."""
    _must_take(1, _name(func), func)
    return _made(OctetEncoder, func, encode=lambda _, data: func(data))


def connector_decoder(func: Callable[[bytes], Any]) -> ConnectorDecoder:
    """A decoder for connectors, of a function ``f(bs)``."""
    _must_take(1, _name(func), func)
    return _made(
        ConnectorDecoder,
        func,
        header_length=lambda _: 4,
        payload_length=lambda _, bs: struct.unpack(">I", bs)[0],
        decode=lambda _, bs: func(bs),
        decoder=lambda _: func,
    )


def connector_encoder(func: Callable[[Any], bytes]) -> ConnectorEncoder:
    """An encoder for connectors, of a function ``f(data)``."""
    _must_take(1, _name(func), func)

    def encode(encoder: ConnectorEncoder, data: Any, event_time: int | datetime.datetime = 0, key: str | None = None) -> bytes:
        return encoder._encode(func(data), event_time, key)

    return _made(ConnectorEncoder, func, encode=encode)
