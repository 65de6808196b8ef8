"""Messages behind their length: how a decoder says where one ends.

Lengths of 1, 2, 4 or 8 bytes are read without Python. Whatever else a decoder says, :class:`Framed` asks it for each message.
Both give the bytes of messages: a stage behind them decodes, so what an input log keeps is bytes.
"""

from __future__ import annotations

import selectors
import socket
from typing import Any

from .._connectors import Reader, Source

_WAIT = 0.002


def framing(decoder: Any) -> tuple[int, str] | None:
    """The width and the order of the length that a decoder expects; none when it is not a plain number."""
    width = decoder.header_length()
    if width not in {1, 2, 4, 8}:
        return None
    order: str
    for order in ("big", "little"):
        if all(_reads(decoder, number, width, order) for number in _SAMPLES if number < 1 << (8 * width - 1)):
            return width, order
    return None


_SAMPLES = (0, 1, 2, 0x7F, 0x0102, 0x01020304, 0x0102030405060708)


def _reads(decoder: Any, number: int, width: int, order: Any) -> bool:
    try:
        return bool(decoder.payload_length(number.to_bytes(width, order)) == number)
    except Exception:
        return False


class Framed(Source[bytes]):
    """Listens, and asks the decoder how long each message is.

    Args:
        host: The address to listen on.
        port: The port.
        decoder: What says how long messages are.
        max_size: The longest message in bytes.
    """

    def __init__(self, host: str, port: int, decoder: Any, max_size: int) -> None:
        self._address = host, port
        self._decoder = decoder
        self._max_size = max_size

    def open(self, partition: str, position: Any) -> Reader[bytes]:
        return _Listening(self._address, self._decoder, self._max_size)


class _Listening:
    def __init__(self, address: tuple[str, int], decoder: Any, max_size: int) -> None:
        self._decoder = decoder
        self._max_size = max_size
        self._header = int(decoder.header_length())
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(address)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._received: dict[socket.socket, bytearray] = {}
        self._messages: list[bytes] = []
        self._read = 0

    def read(self, count: int, /) -> list[bytes]:
        if not self._messages:
            for key, _ in self._selector.select(_WAIT):
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                if connection is self._listener:
                    self._accept()
                else:
                    self._receive(connection)
        given, self._messages = self._messages[:count], self._messages[count:]
        self._read += len(given)
        return given

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        connection.setblocking(False)
        self._received[connection] = bytearray()
        self._selector.register(connection, selectors.EVENT_READ)

    def _receive(self, connection: socket.socket) -> None:
        try:
            chunk = connection.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        buffer = self._received[connection]
        buffer += chunk
        if not chunk or not self._take(buffer):
            self._selector.unregister(connection)
            del self._received[connection]
            connection.close()

    def _take(self, buffer: bytearray) -> bool:
        """Take the messages that are complete; whether the next one is not too long."""
        at = 0
        while len(buffer) - at >= self._header:
            length = self._decoder.payload_length(bytes(buffer[at : at + self._header]))
            if not 0 <= length <= self._max_size:
                return False
            end = at + self._header + length
            if len(buffer) < end:
                break
            self._messages.append(bytes(buffer[at + self._header : end]))
            at = end
        del buffer[:at]
        return True

    def position(self) -> int:
        return self._read

    def close(self) -> None:
        for connection in [*self._received, self._listener]:
            connection.close()
        self._selector.close()
