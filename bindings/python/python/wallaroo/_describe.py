"""Messages as JSON: as sinks write them, and as people read them in errors."""

from __future__ import annotations

import types
from typing import Any

import msgspec

from ._classes import plain_attributes


def attributes_of(value: Any) -> Any:
    """What JSON has for an object that it does not know: its attributes by name, as states store them."""
    dump = getattr(type(value), "model_dump", None)
    if isinstance(dump, types.FunctionType):
        return dump(value, mode="json")
    attributes = plain_attributes(value)
    if attributes is None:
        class_ = type(value)
        name = class_.__qualname__ if class_.__module__ == "builtins" else f"{class_.__module__}.{class_.__qualname__}"
        message = (
            f"a {name} has no JSON form; make it of dicts, lists, text and numbers in a stage before the sink, "
            "or give the sink a format of your own: encoder(function)"
        )
        raise TypeError(message)
    return attributes


def _shown(value: Any) -> Any:
    attributes = getattr(value, "__dict__", None)
    return attributes if isinstance(attributes, dict) and attributes else repr(value)


_ENCODER = msgspec.json.Encoder(enc_hook=_shown)


def as_json(value: Any) -> bytes:
    """A message as JSON; what JSON does not know is shown as ``repr`` shows it."""
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError):
        return _ENCODER.encode(repr(value))
