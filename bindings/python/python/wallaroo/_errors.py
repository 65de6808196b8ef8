"""What can go wrong with an application as a whole."""

from __future__ import annotations


class Error(Exception):
    """An application could not start, or ended before its time.

    The subclass says what to do; ``code`` is the stable code (``WAL-0301``) that the page of error codes explains.
    An exception of your own code is not wrapped: it is raised as it is, with stage, key and source position as a note.
    """

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code


class InvalidError(Error):
    """Change the program or its options; nothing has run."""


class UnavailableError(Error):
    """Look at the world outside (a file, a port, a connection), then start again."""


class DataError(Error):
    """Look at the input: a record is not what it should be."""


class UserError(Error):
    """Your code failed; the text names stage, key, source position and message."""


class ClosedError(Error):
    """The application has already stopped."""


class BugError(Error):
    """Report it: Wallaroo is wrong."""


_KINDS = {
    "invalid": InvalidError,
    "unavailable": UnavailableError,
    "data": DataError,
    "user": UserError,
    "closed": ClosedError,
}


def make(kind: str, code: str, text: str) -> Error:
    """Make the exception for an error of the engine."""
    return _KINDS.get(kind, BugError)(text, code)
