"""The engine's log in ``logging``: under the logger ``wallaroo`` and those below it."""

from __future__ import annotations

import logging


def logger_of(target: str) -> str:
    """The name of the logger for a module of Rust: ``wallaroo.engine.watch`` for ``wallaroo_engine::watch``."""
    name = target.replace("::", ".").lstrip("_")
    if name == "wallaroo" or name.startswith("wallaroo."):
        return name
    return f"wallaroo.{name.removeprefix('wallaroo_')}"


def emit(level: int, target: str, text: str) -> None:
    """Hand one record of the engine over."""
    logger = logging.getLogger(logger_of(target))
    name = logger.name
    if logger.isEnabledFor(level):
        record = logger.makeRecord(name, level, "(engine)", 0, text, (), None)
        logger.handle(record)


def log_failure(failure: str) -> None:
    """Log that an application has failed, for whom nobody waits."""
    logging.getLogger("wallaroo").error("the application has failed, and nobody waits for its end: %s", failure)
