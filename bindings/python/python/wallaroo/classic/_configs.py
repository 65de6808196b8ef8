"""Sources and sinks, as a program says them."""

from __future__ import annotations

from typing import Any

from ._objects import Decoder


class TCPSourceConfig:
    """Listens on ``host:port`` for messages with their length in front of them.

    Args:
        name: The name of the source.
        host: The address to listen on.
        port: The port, as a number or as text.
        decoder: What makes messages of bytes.
        valid: Whether it listens at all.
        parallelism: How many connections the original read from at once; here all are.
        max_size: The longest message in bytes; a longer one ends its connection.
        max_received_count: How often the original read before others had their turn; without a meaning here.
    """

    def __init__(
        self,
        name: str,
        host: str,
        port: Any,
        decoder: Any = None,
        valid: bool = True,  # noqa: FBT001 - as the original has it
        parallelism: int = 10,
        max_size: int = 16384,
        max_received_count: int = 50,
    ) -> None:
        if isinstance(port, Decoder):
            # As releases up to 0.6 had it, without a name: (host, port, decoder).
            name, host, port, decoder = f"{name}:{host}", name, host, port
        self._name = name
        self._host = host
        self._port = port
        self._decoder = decoder
        self._valid = valid
        self._parallelism = parallelism
        self._max_size = max_size
        self._max_received_count = max_received_count

    def to_tuple(self) -> tuple[Any, ...]:
        """For the topology."""
        what = ("tcp", self._name, self._host, self._port, self._decoder, self._valid)
        return (*what, self._parallelism, self._max_size, self._max_received_count)


class GenSourceConfig:
    """Makes messages: of an object with ``initial_value()``, and ``apply(value)`` for the next one or ``None`` at the end.

    Args:
        name: The name of the source.
        gen_instance: The object.
    """

    def __init__(self, name: Any, gen_instance: Any = None) -> None:
        if gen_instance is None:
            # As releases up to 0.6 had it, without a name.
            name, gen_instance = type(name).__name__, name
        self._name = name
        self._gen = gen_instance

    def to_tuple(self) -> tuple[Any, ...]:
        """For the topology."""
        return ("gen", self._name, self._gen)


class TCPSinkConfig:
    """Connects to ``host:port`` and sends what the encoder makes of messages, with nothing around it.

    Args:
        host: The address to connect to.
        port: The port, as a number or as text.
        encoder: What makes bytes of messages.
    """

    def __init__(self, host: str, port: Any, encoder: Any) -> None:
        self._host = host
        self._port = port
        self._encoder = encoder
        self._name = ""

    def to_tuple(self) -> tuple[Any, ...]:
        """For the topology."""
        return ("tcp", self._name, self._host, self._port, self._encoder)
