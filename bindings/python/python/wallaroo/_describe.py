"""Messages as people read them."""

from __future__ import annotations

from typing import Any

import msgspec


def _fallback(value: Any) -> Any:
    attributes = getattr(value, "__dict__", None)
    return attributes if isinstance(attributes, dict) and attributes else repr(value)


_ENCODER = msgspec.json.Encoder(enc_hook=_fallback)


def as_json(value: Any) -> bytes:
    """A message as JSON; what JSON does not know is shown as ``repr`` shows it."""
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError):
        return _ENCODER.encode(repr(value))
