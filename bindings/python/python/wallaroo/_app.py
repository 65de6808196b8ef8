"""Applications: pipelines under a name, and how to run them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, TypedDict, Unpack

from . import _native
from ._location import without_package
from ._native import AppBase, NativeRunning
from ._pipeline import End, State
from ._plan import Plan, check_state, check_stored, lower


class Options(TypedDict, total=False):
    """How to run an application; all of it may be left out."""

    store: str | os.PathLike[str] | None
    """Where checkpoints are kept: a directory, or ``s3://BUCKET/PREFIX`` if the module has S3 built in. By default nowhere."""
    checkpoint_every: float
    """Seconds between two checkpoints, at least; 1 in a directory, 10 in S3."""
    retain: int
    """How many checkpoints are kept beside savepoints; 3."""
    recoveries: int
    """How often in a row the application goes back to its last commit by itself when a source or sink fails; 5."""
    log_input_every: float
    """Seconds between two objects of the input log in S3, at least; 0.2."""
    take_over: bool
    """Take the store from a process that has it open and cannot be stopped."""
    from_checkpoint: str | int
    """Go on from a savepoint, or from a commit by its number, instead of the last commit."""
    savepoint: str
    """Keep the checkpoint that this start goes on from under this name."""
    drop_savepoints: Sequence[str]
    """Savepoints that are deleted."""
    drop_states: Sequence[str]
    """States that the store has and the application has no more."""
    rename_states: Mapping[str, str]
    """New by old names of states."""
    drop_sources: Sequence[str]
    """Sources that the store has and the application has no more."""
    drop_sinks: Sequence[str]
    """Sinks that the store has and the application has no more."""
    reset_sinks: Sequence[str]
    """Sinks that go on although their destination is not as the checkpoint left it."""
    status: str
    """Where ``/health``, ``/status`` and ``/metrics`` are served: an address such as ``127.0.0.1:7080``."""
    workers: int
    """Executors of user code; 1 for now."""
    key_groups: int
    """Into how many groups keys are divided; 1,024. It never changes once there is a store."""
    memory_limit: int
    """Bytes that the process may occupy, before sources wait and then the application ends; no limit by default."""
    stuck_after: float
    """Seconds after which a call that has not returned is told in the log; 5."""


_TELLS_FAILURE_AFTER = 1.0
"""Seconds that :meth:`Running.wait` has to be called in, or a failure is logged."""


class Running:
    """A running application, to steer and to watch. Made by :meth:`App.start`."""

    _native: NativeRunning

    def __init__(self, prepare: Callable[[], NativeRunning]) -> None:
        self._failure: BaseException | None = None
        self._is_waited_for = threading.Event()
        self._is_prepared = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(prepare,), name="wallaroo", daemon=True)
        self._thread.start()
        self._is_prepared.wait()

    def _run(self, prepare: Callable[[], NativeRunning]) -> None:
        # Sources and sinks are opened on the thread that reads and writes them: what they hold may be bound to one, as a
        # connection to SQLite is.
        try:
            self._native = prepare()
        except BaseException as error:
            self._failure = error.with_traceback(without_package(error.__traceback__))
            return
        finally:
            self._is_prepared.set()
        self._native.execute()
        failure = self._native.failure()
        # `wait` raises it; who has not called that by now may be a web server, which never does.
        if failure is not None and not self._is_waited_for.wait(_TELLS_FAILURE_AFTER):
            # Imported here, as `logging` takes a while.
            from ._logging import log_failure

            log_failure(failure)

    def send(self, source: str, message: Any) -> None:
        """Send a message to a source made with :func:`channel`; waits while the source is full."""
        self._native.send(source, message)

    def try_send(self, source: str, message: Any) -> bool:
        """As :meth:`send`, without waiting: false when the source is full."""
        return self._native.try_send(source, message)

    async def send_async(self, source: str, message: Any) -> None:
        """As :meth:`send`, without blocking the event loop."""
        # Imported here: it takes as long as everything else of the package, and few programs use it.
        import asyncio

        if not self._native.try_send(source, message):
            await asyncio.to_thread(self._native.send, source, message)

    def send_durable(self, source: str, message: Any) -> None:
        """As :meth:`send`, and waits until all effects of the message are committed in the store."""
        self._native.send_durable(source, message)

    async def send_durable_async(self, source: str, message: Any) -> None:
        """As :meth:`send_durable`, without blocking the event loop."""
        import asyncio

        await asyncio.to_thread(self._native.send_durable, source, message)

    def checkpoint(self) -> None:
        """Make a checkpoint now, of everything handled before the call, and wait until it is committed."""
        self._native.checkpoint()

    def savepoint(self, name: str) -> None:
        """Make a checkpoint and keep it under a name, so that the application can be started from it again."""
        self._native.savepoint(name)

    def status(self) -> dict[str, Any]:
        """What the application has done so far.

        Returns:
            ``workers``; ``nodes``, by the name of each source, stage and sink: ``messages_in``, ``messages_out``, ``dropped``,
            ``waiting`` (for the writer of a sink), ``lag_messages`` and ``lag_bytes`` (there for a source and not read; ``None``
            if that is not known); ``states``, by name: ``keys`` that have an object in memory; ``queued_bytes``; ``stuck``,
            functions that have been running for long; and with a store ``checkpoints``: ``resumed_from``, ``epoch``, ``commits``,
            ``bytes``, ``duration`` in seconds, ``uncommitted``, ``paused``, ``recoveries``, ``last_failure``.
        """
        return self._native.status()

    def listening(self, source: str) -> str | None:
        """The address that a source listens on, as ``HOST:PORT``; ``None`` if it does not listen."""
        return self._native.listening(source)

    @property
    def status_address(self) -> str | None:
        """Where the status is served, as ``HOST:PORT``."""
        return self._native.status_address()

    def stop(self) -> None:
        """Ask the sources to end. Everything accepted still goes through the sinks; :meth:`wait` waits for that."""
        self._native.stop()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all input has ended, or the application was stopped, and everything is written.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            Whether it has ended.

        Raises:
            Error: The application failed; an exception of your own code is raised as it is.
        """
        self._is_waited_for.set()
        if self._failure is not None:
            raise self._failure
        try:
            ended = self._native.wait(timeout)
        except Exception as error:
            self._failure = error
            raise
        if ended:
            self._thread.join()
        return ended

    def __enter__(self) -> Self:
        """Stop and wait at the end of the block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Stop the application, and wait for its end; what the block raises comes before a failure of the application."""
        self.stop()
        try:
            self.wait()
        except Exception:
            if kind is None:
                raise


class App(AppBase):
    """An application: pipelines under a name.

    Args:
        name: The name of the application; a store belongs to the application of one name.
        ends: Its pipelines, each closed by ``to_sink`` or ``end``.

    Example:
        >>> import wallaroo
        >>> squares = wallaroo.memory()
        >>> numbers = wallaroo.source("numbers", [1, 2, 3])
        >>> wallaroo.App("squares", numbers.to(lambda n: n * n).to_sink("squares", squares)).run()
        >>> squares.take()
        [1, 4, 9]
    """

    def __init__(self, name: str, *ends: End) -> None:
        super().__init__()
        if not isinstance(name, str):
            message = f"the name of an application is a str; found a {type(name).__name__} (App(name, *pipelines))"
            raise TypeError(message)
        for end in ends:
            if not isinstance(end, End):
                message = f"App takes pipelines that are closed by to_sink(…) or end(); found {end!r}"
                raise TypeError(message)
        self.name = name
        self._ends = ends
        self._lowered: tuple[Plan, list[State[Any]]] | None = None

    def _plan(self) -> Plan:
        plan, states = self._lower()
        for state in states:
            check_state(plan, state)
        return plan

    def _lower(self) -> tuple[Plan, list[State[Any]]]:
        if self._lowered is None:
            self._lowered = lower(self.name, self._ends)
        return self._lowered

    def _check_options(self, options: dict[str, Any]) -> None:
        unknown = set(options) - set(Options.__annotations__)
        if unknown:
            message = f"{sorted(unknown)[0]!r} is no option; there are {', '.join(Options.__annotations__)}"
            raise TypeError(message)
        if options.get("store") is not None:
            self._check_storable()

    def _check_storable(self) -> None:
        plan, states = self._lower()
        for node in plan[1]:
            if node["kind"] == "state" and "@" in node["name"]:
                where = f"{node['location'][0]}:{node['location'][1]}"
                message = (
                    f"a lambda with state at {where} has no name of its own, under which a store could find it again; "
                    "use a named function, or .named(…) behind it"
                )
                raise TypeError(message)
        for state in states:
            check_state(plan, state)
            check_stored(plan, state)

    # Native methods, so that no frame of this package stands in tracebacks; said again for the reference.
    run = AppBase.run
    start = AppBase.start

    def _start(self, given: dict[str, Any]) -> Running:
        self._check_options(given)
        plan = self._plan()
        running = Running(lambda: _native.prepare(plan, given, False))
        if running._failure is not None:
            raise running._failure
        return running

    def main(self, arguments: Sequence[str] | None = None, **defaults: Unpack[Options]) -> None:
        """Run the application as a program: with the options of its command line, until its input has ended.

        Options are those of every Wallaroo program (``--store``, ``--in NAME=ADDRESS``, ``--help``), or environment variables
        like ``WALLAROO_STORE``. Control-C and SIGTERM let the sources end, and everything accepted still goes through; a second
        one ends the process at once.

        It returns when everything is written. In all other cases it ends the process: after ``--help`` with exit code 0, when
        the application failed with 1, when the command line was not understood with 2.

        Args:
            arguments: The command line without the program; ``sys.argv[1:]`` by default.
            **defaults: What holds where the command line says nothing.
        """
        from ._main import main

        main(self, arguments, dict(defaults))
