"""Connectors go on while a thread of the program holds the interpreter: what they do needs none of it."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

from running import PATIENCE, Receiver, Script, connect, free_port, wait_until

# A function of C that is called through PyDLL keeps the interpreter for itself: here until the pipe `release` has a byte.
HOLDING = """
import ctypes, logging, os, sys, threading
import wallaroo

logging.basicConfig(level=logging.INFO)
in_port, out_port = sys.argv[1:]
lines = wallaroo.source("lines", wallaroo.tcp_listener("127.0.0.1:" + in_port, wallaroo.lines(), acknowledged=True))
out = wallaroo.tcp_sink("127.0.0.1:" + out_port, wallaroo.lines())
running = wallaroo.App("holding", lines.to(str.upper).to_sink("out", out)).start(store="kept")
hold = os.open("hold", os.O_RDONLY)
os.read(hold, 1)
release = os.open("release", os.O_RDONLY)
os.write(1, b"held\\n")
ctypes.PyDLL(None).read(release, ctypes.create_string_buffer(1), 1)
os.write(1, b"released\\n")
os.read(hold, 1)
running.stop()
running.wait()
"""


def hello(port: int, name: bytes) -> socket.socket:
    """A connection of a sender that has sent nothing before."""
    connection = connect(port)
    connection.settimeout(PATIENCE)
    connection.sendall(b"WALACKC\n" + struct.pack("<HH", 1, len(name)) + name)
    answer = received(connection, 24)
    assert answer[:12] == b"WALACKS\n" + struct.pack("<HH", 1, 0)
    assert struct.unpack_from("<Q", answer, 16) == (0,)
    return connection


def received(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = connection.recv(count - len(data))
        assert chunk, "the connection has ended"
        data += chunk
    return data


def send(connection: socket.socket, number: int, line: bytes) -> None:
    connection.sendall(struct.pack("<IQ", len(line), number) + line)


def acknowledged(connection: socket.socket, number: int) -> None:
    """Wait for the acknowledgement of a line."""
    while struct.unpack("<Q", received(connection, 8)) < (number,):
        pass


def test_connections_are_accepted_and_rows_delivered_while_a_thread_holds_the_interpreter(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "hold")
    os.mkfifo(tmp_path / "release")
    (tmp_path / "holding.py").write_text(HOLDING)
    in_port, out_port = free_port(), free_port()
    with (
        Script(tmp_path, "holding.py", str(in_port), str(out_port)) as process,
        (tmp_path / "hold").open("wb", 0) as hold,
        hello(in_port, b"first") as first,
    ):
        send(first, 1, b"one")
        acknowledged(first, 1)
        # Nobody listens for the sink yet: its rows are with its thread, which says that they wait.
        process.wait_for_errors("sink has no connection; rows wait")
        hold.write(b"x")
        with (tmp_path / "release").open("wb", 0) as release, Receiver(out_port) as out:
            process.wait_for_output("held")
            wait_until(lambda: out.received == b"ONE\n", "the row is delivered")
            with hello(in_port, b"second") as second:
                send(second, 1, b"two")
                assert "released" not in process.output
                release.write(b"x")
                acknowledged(second, 1)
                wait_until(lambda: out.received == b"ONE\nTWO\n", "both rows")
                hold.write(b"x")
                assert process.wait() == 0, process.errors
