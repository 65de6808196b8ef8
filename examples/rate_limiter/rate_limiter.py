"""A rate limiter: each user may make three requests in ten seconds.

python rate_limiter.py                                      reads examples/rate_limiter/requests.jsonl
python rate_limiter.py --in requests=tcp://127.0.0.1:7010   takes requests from clients, until ctrl-c

The time is that of the request, not of the clock: the same requests get the same decisions whenever they are read. Users of a
clock give their function a parameter `ctx`, and ask `ctx.now`.
"""

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import wallaroo

REQUESTS = Path(__file__).parent / "requests.jsonl"
LIMIT = 3
WINDOW_SECONDS = 10.0


@dataclass
class Request:
    """What comes in: a line of JSON."""

    user: str
    time: float  # seconds since some start
    path: str


class Decision(msgspec.Struct, omit_defaults=True):
    """What goes out."""

    user: str
    time: float
    path: str
    allowed: bool
    retry_after: float | None = None  # when to try again, if not allowed


@dataclass
class User:
    """The state object: the times of a user's last requests that were allowed."""

    allowed: deque[float] = field(default_factory=deque)

    def on_request(self, request: Request) -> Decision:
        """Allow a request, or say when to come again."""
        oldest = request.time - WINDOW_SECONDS
        while self.allowed and self.allowed[0] <= oldest:
            self.allowed.popleft()
        if len(self.allowed) < LIMIT:
            self.allowed.append(request.time)
            return Decision(request.user, request.time, request.path, True)
        return Decision(request.user, request.time, request.path, False, self.allowed[0] - oldest)


users = wallaroo.State("users", User)
requests = wallaroo.source("requests", wallaroo.file(REQUESTS, wallaroo.json(Request)))
decisions = requests.key_by("user").to(User.on_request, state=users)
app = wallaroo.App("rate_limiter", decisions.to_sink("decisions", wallaroo.stdout(wallaroo.json())))


if __name__ == "__main__":
    app.main()
