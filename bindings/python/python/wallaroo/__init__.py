"""Stateful stream processing: your own classes as state, one object per key, with the speed of your own loop.

You write a plain class for what you keep of each key, and a plain function for what a message does to it. Wallaroo brings each
message to the object of its key and calls the function. With a store it survives ``kill -9``: every message counts once.

    >>> import wallaroo
    >>> class Count:
    ...     def __init__(self):
    ...         self.seen = 0
    ...
    ...     def on_word(self, word):
    ...         self.seen += 1
    ...         return word, self.seen
    >>> words = wallaroo.source("words", ["to", "be", "or", "not", "to", "be"])
    >>> counted = wallaroo.memory()
    >>> counts = wallaroo.State("counts", Count)
    >>> app = wallaroo.App("words", words.key_by(lambda word: word).to(Count.on_word, state=counts).to_sink("counted", counted))
    >>> app.run()
    >>> counted.take()[-1]
    ('be', 2)
"""

from __future__ import annotations

from . import testing
from ._app import App, Options, Running
from ._connectors import (
    Connector,
    DeadLetter,
    MemorySink,
    Reader,
    Sink,
    Source,
    channel,
    discard,
    file,
    file_sink,
    memory,
    stdout,
    tcp_listener,
    tcp_sink,
)
from ._errors import BugError, ClosedError, DataError, Error, InvalidError, UnavailableError, UserError
from ._foreign import warn_of_foreign
from ._formats import Format, csv, decoder, encoder, json, lines, raw
from ._native import Context, __version__, key_bytes, key_hash
from ._pipeline import Codec, End, Pipeline, State, source

__all__ = [
    "App",
    "BugError",
    "ClosedError",
    "Codec",
    "Connector",
    "Context",
    "DataError",
    "DeadLetter",
    "End",
    "Error",
    "Format",
    "InvalidError",
    "MemorySink",
    "Options",
    "Pipeline",
    "Reader",
    "Running",
    "Sink",
    "Source",
    "State",
    "UnavailableError",
    "UserError",
    "__version__",
    "channel",
    "csv",
    "decoder",
    "discard",
    "encoder",
    "file",
    "file_sink",
    "json",
    "key_bytes",
    "key_hash",
    "lines",
    "memory",
    "raw",
    "source",
    "stdout",
    "tcp_listener",
    "tcp_sink",
    "testing",
]

warn_of_foreign()
del warn_of_foreign
