"""The native part of Wallaroo; the package ``wallaroo`` is what is meant to be used."""

from collections.abc import Iterable, Sequence
from typing import Any, Self, TypeAlias, Unpack, final

from ._app import Options, Running

__all__ = [
    "AppBase",
    "Context",
    "Memory",
    "NativeRunning",
    "__version__",
    "check",
    "command_line",
    "decode_state",
    "encode_state",
    "key_bytes",
    "key_hash",
    "look",
    "prepare",
    "run_test",
]

__version__: str

class AppBase:
    def __new__(cls, *_arguments: Any, **_options: Any) -> Self: ...
    def run(self, **options: Unpack[Options]) -> None:
        """Run the application on this thread until all input has ended."""
    def start(self, **options: Unpack[Options]) -> Running:
        """Start the application in the background and return at once: in a notebook, or beside a web server."""

@final
class Context:
    """What a computation can ask for besides its message and its state object; a parameter named ``ctx`` gets it."""

    @property
    def key(self) -> Any:
        """The key of the message and of the state object; ``None`` in a stage without state."""
    @property
    def now(self) -> float:
        """The present time in seconds since 1970, the same for all messages of a batch."""
    @property
    def now_ns(self) -> int:
        """The present time in nanoseconds since 1970."""
    def emit(self, message: Any) -> None:
        """Pass a message on, before what the call returns."""
    def forget(self) -> None:
        """Drop the state object after this call. The next message of the key finds a new one."""

@final
class Memory:
    def take(self) -> list[Any]: ...
    def wait_for(self, count: int, timeout: float) -> bool: ...
    def __len__(self) -> int: ...

@final
class NativeRunning:
    def execute(self) -> None: ...
    def wait(self, timeout: float | None = None) -> bool: ...
    def stop(self) -> None: ...
    def give_up(self) -> None: ...
    def send(self, source: str, message: Any) -> None: ...
    def try_send(self, source: str, message: Any) -> bool: ...
    def send_durable(self, source: str, message: Any) -> None: ...
    def checkpoint(self) -> None: ...
    def savepoint(self, name: str) -> None: ...
    def listening(self, source: str) -> str | None: ...
    def status_address(self) -> str | None: ...
    def status(self) -> dict[str, Any]: ...

_Plan: TypeAlias = tuple[str, list[dict[str, Any]], list[Any]]

def prepare(plan: _Plan, options: dict[str, Any], signals: bool) -> NativeRunning: ...
def command_line(plan: _Plan, arguments: Sequence[str], defaults: dict[str, Any]) -> tuple[str | None, NativeRunning | None]: ...
def check(plan: _Plan) -> str: ...
def look(arguments: Sequence[str]) -> tuple[int, str, str]: ...
def encode_state(plan: _Plan, state: str, value: object) -> bytes: ...
def decode_state(plan: _Plan, state: str, stored: bytes) -> Any: ...
def key_hash(key: Any) -> int: ...
def key_bytes(key: Any) -> bytes: ...
def run_test(
    plan: _Plan, steps: Iterable[dict[str, Any]], seed: int | None = None
) -> tuple[dict[str, list[Any]], dict[str, dict[Any, Any]], int]: ...
