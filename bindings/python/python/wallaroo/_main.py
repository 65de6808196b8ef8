"""Applications as programs: command line, signals, exit codes."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

from . import _native
from ._errors import Error, InvalidError
from ._location import without_package

if TYPE_CHECKING:
    from ._app import App
    from ._native import NativeRunning

FAILED = 1
MISUSED = 2

#: The program that the command is importing, if it is: what the program must not do meanwhile is run its application.
loading: str | None = None


class Signals:
    """Lets the first SIGINT or SIGTERM drain an application, and the second end the process."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._running: NativeRunning | None = None
        self._received = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        """Take the signals."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def started(self, running: NativeRunning) -> None:
        """The application to stop."""
        self._running = running
        if self._received:
            running.stop()

    @property
    def received(self) -> int:
        """How many signals have come."""
        return self._received

    def _handle(self, number: int, _: FrameType | None) -> None:
        self._received += 1
        if self._received > 1:
            os._exit(128 + number)
        # Not by print: it refuses to be called inside of itself, and a signal may come while a function of the user prints.
        text = f"{self._name}: stopping: no more input is taken; again to end at once\n"
        with contextlib.suppress(OSError):
            os.write(2, text.encode())
        if self._running is not None:
            self._running.stop()


def say(name: str, text: str) -> None:
    """Tell the person at the terminal something."""
    print(f"{name}: {text}", file=sys.stderr, flush=True)


def _set_logging() -> None:
    if not logging.getLogger().handlers:
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")


def show(error: BaseException) -> None:
    """Print an exception as Python does, without the frames of this package."""
    traceback.print_exception(type(error), error, without_package(error.__traceback__))


def _summary(running: NativeRunning, seconds: float, *, stopped: bool) -> str:
    nodes = running.status()["nodes"].values()
    messages = max((node["messages_out"] for node in nodes), default=0)
    dropped = sum(node["dropped"] for node in nodes)
    text = f"{'stopped' if stopped else 'input ended'}, {messages:,} messages in {seconds:.3f} s"
    return f"{text}, {dropped:,} dropped" if dropped else text


def main(app: App, arguments: Sequence[str] | None, defaults: dict[str, Any]) -> None:
    """Run an application as a program."""
    if loading is not None:
        message = (
            f"{loading} calls main() while it is imported, and the command runs its application already; "
            'put the call behind: if __name__ == "__main__":'
        )
        raise InvalidError(message)
    code = run(app, sys.argv[1:] if arguments is None else arguments, defaults, Path(sys.argv[0]).name)
    if code is not None:
        sys.stdout.flush()
        sys.exit(code)


def run(app: App, arguments: Sequence[str], defaults: dict[str, Any], program: str) -> int | None:
    """Run an application with a command line; the exit code, or ``None`` when all is well."""
    _set_logging()
    with Signals(app.name) as signals:
        try:
            app._check_options(defaults)
            plan = app._plan()
            text, running = _native.command_line(plan, [program, *arguments], defaults)
        except InvalidError as error:
            say("error", str(error))
            return MISUSED
        except Error as error:
            say("error", str(error))
            return FAILED
        except Exception as error:
            show(error)
            return FAILED
        if running is None:
            print(text, end="")
            return 0
        began = time.monotonic()
        signals.started(running)
        try:
            running.execute()
            running.wait()
        except Error as error:
            say("error", str(error))
            return FAILED
        except SystemExit:
            raise
        except BaseException as error:
            show(error)
            return FAILED
        if logging.getLogger("wallaroo").isEnabledFor(logging.INFO):
            say(app.name, _summary(running, time.monotonic() - began, stopped=signals.received > 0))
        return None
