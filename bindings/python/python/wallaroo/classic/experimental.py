"""Connectors of the original: programs beside an application. They can be said; to run them comes later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ._objects import (
    ConnectorDecoder,
    ConnectorEncoder,
    OctetDecoder,
    OctetEncoder,
    connector_decoder,
    connector_encoder,
    decoder,
    encoder,
)


class ConnectorError(Exception):
    """A connector failed."""


class ProtocolError(Exception):
    """A connector and an application did not understand each other."""


class Stream(NamedTuple):
    """A stream of a connector."""

    id: int
    name: str
    point_of_ref: int
    is_open: bool


def stream_message_decoder(func: Callable[[bytes], Any]) -> ConnectorDecoder:
    """What makes messages of what a source connector sends."""
    return connector_decoder(func)


def stream_message_encoder(func: Callable[[Any], bytes]) -> ConnectorEncoder:
    """What a source connector makes of messages."""
    return connector_encoder(func)


def octet_message_decoder(func: Callable[[bytes], Any]) -> OctetDecoder:
    """What a sink connector makes of bytes."""
    return decoder(4, ">I")(func)


def octet_message_encoder(func: Callable[[Any], Any]) -> OctetEncoder:
    """What is made of messages for a sink connector."""
    return encoder(func)


class SourceConnectorConfig:
    """A source that a connector sends to."""

    def __init__(
        self,
        name: str,
        encoder: Any,
        decoder: Any,
        port: Any,
        cookie: str = "",
        max_credits: int = 0,
        refill_credits: int = 0,
        host: str = "127.0.0.1",
    ) -> None:
        self._all = (name, host, str(port), encoder, decoder, cookie, max_credits, refill_credits)

    def to_tuple(self) -> tuple[Any, ...]:
        """For the topology."""
        return ("source_connector", *self._all)


class SinkConnectorConfig:
    """A sink that a connector takes from."""

    def __init__(self, name: str, encoder: Any, decoder: Any, port: Any, cookie: str = "", host: str = "127.0.0.1") -> None:
        self._all = (name, host, str(port), encoder, decoder, cookie)

    def to_tuple(self) -> tuple[Any, ...]:
        """For the topology."""
        return ("sink_connector", *self._all)


class _Later:
    """A connector program."""

    def __init__(self, *_: Any, **__: Any) -> None:
        message = (
            f"{type(self).__name__} is a program that sends to an application by the connector protocol of the original, which "
            "comes later; send framed messages to a TCP source, or write a wallaroo.Source"
        )
        raise NotImplementedError(message)


class BaseConnector(_Later):
    """A connector."""


class SourceConnector(BaseConnector):
    """A connector that sends."""


class SinkConnector(BaseConnector):
    """A connector that receives."""


class AtLeastOnceSourceConnector(BaseConnector):
    """A connector that sends again what was not acknowledged."""


class MultiSourceConnector(AtLeastOnceSourceConnector):
    """A connector with several sources."""


class BaseSource(_Later):
    """A source of a connector."""


class FramedFileReader(BaseSource):
    """Reads a file of messages with their lengths."""


class ThrottledFileReader(BaseSource):
    """Reads a file at a rate."""


__all__ = [
    "AtLeastOnceSourceConnector",
    "BaseConnector",
    "BaseSource",
    "ConnectorError",
    "FramedFileReader",
    "MultiSourceConnector",
    "ProtocolError",
    "SinkConnector",
    "SinkConnectorConfig",
    "SourceConnector",
    "SourceConnectorConfig",
    "Stream",
    "ThrottledFileReader",
    "octet_message_decoder",
    "octet_message_encoder",
    "stream_message_decoder",
    "stream_message_encoder",
]
