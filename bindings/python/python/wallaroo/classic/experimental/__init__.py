"""Connectors of the original: programs beside an application. They can be said; to run them comes later."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

from .._objects import (
    ConnectorDecoder,
    ConnectorEncoder,
    OctetDecoder,
    OctetEncoder,
    connector_decoder,
    connector_encoder,
    decoder,
    dt_to_timestamp,
    encoder,
)
from . import connector_wire_messages
from . import connector_wire_messages as cwm
from ._later import Later, function, methods


class BaseMeta(metaclass=ABCMeta):  # noqa: B024 - for classes that have some
    """A class with abstract methods."""


class ConnectorError(Exception):
    """A connector failed."""


class ProtocolError(Exception):
    """A connector and an application did not understand each other."""


class UnexpectedSocketError(Exception):
    """A sink connector cannot listen any more."""


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


class BaseConnector(Later):
    """A program beside an application, which sends to it."""


class SourceConnector(BaseConnector):
    """A connector that sends."""


class SinkConnector(Later):
    """A program beside an application, which receives from it."""


class AtLeastOnceSourceConnector(BaseConnector, BaseMeta):
    """A connector that sends again what was not acknowledged."""


methods(SourceConnector, "connect write")
methods(SinkConnector, "listen read")
methods(
    AtLeastOnceSourceConnector,
    """
    connect join shutdown write notify end_of_stream error pending_sends
    handle_write handle_restarted handle_invalid_message handle_restart handle_close handle_error
    collect_incoming_data found_terminator writable initiate_send
    stream_added stream_removed stream_opened stream_closed stream_acked
    """,
)

parse_connector_args = function("parse_connector_args")

__all__ = [
    "AtLeastOnceSourceConnector",
    "BaseConnector",
    "BaseMeta",
    "ConnectorError",
    "ProtocolError",
    "SinkConnector",
    "SinkConnectorConfig",
    "SourceConnector",
    "SourceConnectorConfig",
    "Stream",
    "UnexpectedSocketError",
    "abstractmethod",
    "connector_wire_messages",
    "cwm",
    "dt_to_timestamp",
    "octet_message_decoder",
    "octet_message_encoder",
    "parse_connector_args",
    "stream_message_decoder",
    "stream_message_encoder",
]
