"""Real processes and real sockets for tests. Everything is on loopback, and every wait has an end."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

PATIENCE = 60.0


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds; what it is stands in the failure."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what}: not in {PATIENCE} s"
        time.sleep(0.005)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """The command in a process of its own."""

    # As the installed command, Python does not look for modules in the working directory by itself.
    command: tuple[str, ...] = ("-P", "-m", "wallaroo")

    def __init__(self, directory: Path, *arguments: str, **environment: str) -> None:
        command = [sys.executable, "-W", "error", *self.command, *arguments]
        self.process = subprocess.Popen(
            command,
            cwd=directory,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.output = ""
        self.errors = ""
        self._threads = [threading.Thread(target=self._collect, args=(name,), daemon=True) for name in ("output", "errors")]
        for thread in self._threads:
            thread.start()

    def _collect(self, name: str) -> None:
        stream = self.process.stdout if name == "output" else self.process.stderr
        assert stream is not None
        for line in stream:
            setattr(self, name, getattr(self, name) + line)

    def wait_for_errors(self, text: str) -> None:
        """Wait until it has said something on the standard error."""
        wait_until(lambda: text in self.errors or self.process.poll() is not None, f"{text!r} in {self.errors!r}")
        assert text in self.errors, self.errors

    def wait_for_output(self, text: str) -> None:
        """Wait until it has said something on the standard output."""
        wait_until(lambda: text in self.output or self.process.poll() is not None, f"{text!r} in {self.output!r}")
        assert text in self.output, self.output + self.errors

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end; the exit code."""
        try:
            code = self.process.wait(PATIENCE)
        finally:
            self.process.kill()
        for thread in self._threads:
            thread.join(PATIENCE)
        return code

    def stop(self) -> int:
        """Let it drain; the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


class Script(Process):
    """A program that Python runs itself, in a process of its own."""

    command = ()


class Receiver:
    """Listens, and keeps all bytes that come."""

    def __init__(self, port: int = 0) -> None:
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = int(self._listener.getsockname()[1])
        self.received = b""
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._receive, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _receive(self, connection: socket.socket) -> None:
        with connection:
            while chunk := connection.recv(65_536):
                self.received += chunk

    def wait_for(self, count: int) -> bytes:
        """Wait until so many bytes have come; all that are there."""
        wait_until(lambda: len(self.received) >= count, f"{count} bytes")
        return self.received

    def lines(self, count: int) -> list[str]:
        """Wait until so many lines have come; all that are there."""
        wait_until(lambda: self.received.count(b"\n") >= count, f"{count} lines")
        return self.received.decode().splitlines()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()


def connect(port: int) -> socket.socket:
    """Connect, as soon as somebody listens."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        except ConnectionRefusedError:
            assert time.monotonic() < end, f"nobody listens on {port}"
            time.sleep(0.01)


def send(port: int, payloads: Iterable[bytes], header: str = ">I") -> None:
    """Send messages, each behind its length."""
    with connect(port) as connection:
        for payload in payloads:
            connection.sendall(struct.pack(header, len(payload)) + payload)
