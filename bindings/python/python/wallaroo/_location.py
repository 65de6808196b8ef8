"""Where in the user's program something was said."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from types import TracebackType

_PACKAGE = str(Path(__file__).parent)


def caller() -> tuple[str, int]:
    """The file and the line that called into this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    file = Path(frame.f_code.co_filename)
    with contextlib.suppress(ValueError):
        file = file.relative_to(Path.cwd())
    return str(file), frame.f_lineno


def without_package(trace: TracebackType | None) -> TracebackType | None:
    """A traceback from the first frame that is not of this package."""
    first = trace
    while first is not None and first.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        first = first.tb_next
    return first


def in_one_line(error: BaseException) -> str:
    """Type, text and place of an exception: ``ValueError: no price (app.py:31, in on_tick)``."""
    named = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    place = innermost(error.__traceback__)
    return named if place is None else "{} ({}:{}, in {})".format(named, *place)


def innermost(trace: TracebackType | None) -> tuple[str, int, str] | None:
    """The file name, line and function of the innermost frame that is not of this package."""
    found = None
    while trace is not None:
        code = trace.tb_frame.f_code
        if not code.co_filename.startswith(_PACKAGE):
            found = (Path(code.co_filename).name, trace.tb_lineno, code.co_name)
        trace = trace.tb_next
    return found
