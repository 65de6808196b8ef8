"""The engine's log in ``logging``: under the logger ``wallaroo`` and those below it."""

from __future__ import annotations

import logging


def emit(level: int, target: str, text: str) -> None:
    """Hand one record of the engine over."""
    name = target.replace("::", ".")
    if not name.startswith("wallaroo"):
        name = f"wallaroo.{name}"
    logger = logging.getLogger(name)
    if logger.isEnabledFor(level):
        record = logger.makeRecord(name, level, "(engine)", 0, text, (), None)
        logger.handle(record)
