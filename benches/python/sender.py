"""Sends trades over a connection, one each 100 microseconds; `ts` says when it was due. Late trades are sent at once.

Usage: sender.py PORT COUNT
"""

from __future__ import annotations

import socket
import sys
import time

INTERVAL_NS = 100_000


def main() -> None:
    """Send, and close the connection."""
    port, count = int(sys.argv[1]), int(sys.argv[2])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        start = time.monotonic_ns() + 50_000_000
        sent = 0
        while sent < count:
            now = time.monotonic_ns()
            due = min((now - start) // INTERVAL_NS + 1, count)
            if due <= sent:
                time.sleep(max(0, start + sent * INTERVAL_NS - now) / 1e9)
                continue
            lines = [
                f'{{"symbol":"S{number % 1000:07}","price":100.0,"qty":5,"ts":{start + number * INTERVAL_NS}}}\n'
                for number in range(sent, due)
            ]
            connection.sendall("".join(lines).encode())
            sent = due


if __name__ == "__main__":
    main()
