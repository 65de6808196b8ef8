"""Output that comes at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class Unbuffered:
    """A stream that keeps nothing back. ``print`` writes to one when its output is no terminal."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, data: str) -> None:
        """Write, and flush."""
        self.stream.write(data)
        self.stream.flush()

    def writelines(self, datas: Iterable[str]) -> None:
        """Write several, and flush."""
        self.stream.writelines(datas)
        self.stream.flush()

    def __getattr__(self, attr: str) -> Any:
        """Everything else is the stream's."""
        return getattr(self.stream, attr)
