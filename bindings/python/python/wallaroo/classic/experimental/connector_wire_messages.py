"""The messages of the connector protocol. They come later; their names are there."""

from __future__ import annotations

from ._later import Later, function


class _Message(Later):
    """A message of the protocol: ``encode()``, and ``decode(bs)`` of the class."""

    encode = staticmethod(function("encode"))
    decode = staticmethod(function("decode"))


class Hello(_Message):
    """A connector begins."""


class Ok(_Message):
    """It is welcome."""


class Error(_Message):
    """It is not."""


class Notify(_Message):
    """A stream of a connector begins."""


class NotifyAck(_Message):
    """Where the stream goes on."""


class Message(_Message):
    """A message of a stream."""


class EosMessage(_Message):
    """A stream has ended."""


class Ack(_Message):
    """How far streams have come, and how much more may be sent."""


class Restart(_Message):
    """Connect again."""


class ListUncommitted(_Message):
    """Which transactions of a sink are open."""


class ReplyUncommitted(_Message):
    """These."""


class TwoPCPhase1(_Message):
    """Prepare a transaction."""


class TwoPCReply(_Message):
    """Whether it is prepared."""


class TwoPCPhase2(_Message):
    """Commit it, or do not."""


class WorkersLeft(_Message):
    """Workers have left."""


class Frame(Later):
    """The frame around a message: ``encode(msg)``, ``decode(bs)`` and ``read_header(bs)`` of the class."""

    encode = staticmethod(function("Frame.encode"))
    decode = staticmethod(function("Frame.decode"))
    read_header = staticmethod(function("Frame.read_header"))


class TwoPCFrame(Frame):
    """The frame around a message about a transaction."""


encode_phase2r = function("encode_phase2r")
decode_phase2r = function("decode_phase2r")

__all__ = [
    "Ack",
    "EosMessage",
    "Error",
    "Frame",
    "Hello",
    "ListUncommitted",
    "Message",
    "Notify",
    "NotifyAck",
    "Ok",
    "ReplyUncommitted",
    "Restart",
    "TwoPCFrame",
    "TwoPCPhase1",
    "TwoPCPhase2",
    "TwoPCReply",
    "WorkersLeft",
    "decode_phase2r",
    "encode_phase2r",
]
