"""The command line of the original: what of it still means something, what is the program's, and what is neither.

Options that are not known are the program's, as they were in the original; ``--in`` and ``--out`` always are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from .._errors import InvalidError

#: Of the original, with a value: where processes of a cluster met, and what they kept.
_WITH_VALUE = {
    "metrics": "m",
    "control": "c",
    "data": "d",
    "my-control": "x",
    "my-data": "y",
    "external": "e",
    "file": "f",
    "worker-count": "w",
    "name": "n",
    "resilience-dir": "r",
    "resilience-dos-server": "",
    "event-log-file-size": "l",
    "join": "j",
    "stop-pause": "u",
    "spike-seed": "",
    "spike-prob": "",
    "spike-margin": "",
    "time-between-checkpoints": "",
    "application-module": "",
}
_WITHOUT_VALUE = {
    "cluster-initializer": "t",
    "resilience-no-local-file-io": "",
    "resilience-enable-io-journal": "",
    "run-with-resilience": "",
    "log-rotation": "",
    "spike-drop": "",
}
#: Of the runtime of the original: those of them that have a value.
_PONY_WITH_VALUE = {"ponythreads", "ponyminthreads", "ponysuspendthreshold", "ponycdinterval", "ponygcinitial", "ponygcfactor"}
_MEANT = {"worker-count", "join", "resilience-dir", "run-with-resilience", "time-between-checkpoints"}

#: Of ours.
_OURS_WITH_VALUE = {
    "checkpoint-every",
    "drop-savepoint",
    "drop-sink",
    "drop-source",
    "drop-state",
    "from",
    "log",
    "rename-state",
    "reset-sink",
    "retain",
    "savepoint",
    "status",
    "store",
    "workers",
}
_OURS_WITHOUT_VALUE = {"take-over", "version"}


@dataclass(slots=True)
class CommandLine:
    """A command line, taken apart."""

    program: list[str] = field(default_factory=list)
    """For ``application_setup``."""
    ours: list[str] = field(default_factory=list)
    """For the application as it runs here."""
    meant: dict[str, str] = field(default_factory=dict)
    """Options of the original that mean something here."""
    without_meaning: list[str] = field(default_factory=list)
    """Those that do not."""


def read(options: Sequence[str]) -> CommandLine:
    """Take a command line apart.

    Raises:
        InvalidError: An option that needs a value has none.
    """
    line = CommandLine()
    waiting = list(options)
    shorts = {short: name for name, short in [*_WITH_VALUE.items(), *_WITHOUT_VALUE.items()] if short}
    while waiting:
        option = waiting.pop(0)
        given, is_joined, value = option.partition("=")
        if given.startswith("--"):
            name = given[2:]
        elif len(given) > 1 and given[0] == "-" and given[1] in shorts and (len(given) == 2 or not is_joined):
            name = shorts[given[1]]
            if len(given) > 2 and name in _WITH_VALUE:
                is_joined, value = "=", given[2:]
        else:
            line.program.append(option)
            continue
        needs = name in _WITH_VALUE or name in _OURS_WITH_VALUE or name in _PONY_WITH_VALUE
        if needs and not is_joined:
            if not waiting:
                message = f"{given} has no value"
                raise InvalidError(message)
            value = waiting.pop(0)
        if name in _OURS_WITH_VALUE:
            line.ours += [given, value]
        elif name in _OURS_WITHOUT_VALUE:
            line.ours.append(given)
        elif name in _MEANT:
            line.meant[name] = value
        elif needs or name in _WITHOUT_VALUE or name.startswith("pony"):
            if given not in line.without_meaning and name != "application-module":
                line.without_meaning.append(given)
        else:
            line.program.append(option)
    return line


def ours(line: CommandLine, application: str) -> list[str]:
    """The options of the application, as they are said here.

    Raises:
        InvalidError: The command line asks for what cannot be done.
    """
    meant = line.meant
    if _number(meant, "worker-count", 1) > 1 or "join" in meant:
        option = "--join" if "join" in meant else f"--worker-count {meant['worker-count']}"
        message = (
            f"{option} asks for several workers; a Python application runs on one for now, because one interpreter runs one "
            "thread of Python code at a time; several processes under one command are what --workers will mean"
        )
        raise InvalidError(message)
    options = list(line.ours)
    if "run-with-resilience" in meant and "--store" not in options:
        directory = meant.get("resilience-dir")
        if directory is None:
            message = "--run-with-resilience needs a place to keep checkpoints in: say --resilience-dir DIRECTORY, or --store"
            raise InvalidError(message)
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", application).strip("-.") or "application"
        options += ["--store", f"{directory.rstrip('/')}/{name}"]
    if "time-between-checkpoints" in meant and "--store" in options and "--checkpoint-every" not in options:
        milliseconds = max(1, _number(meant, "time-between-checkpoints", 0) // 1_000_000)
        options += ["--checkpoint-every", f"{milliseconds}ms"]
    return options


def _number(meant: dict[str, str], name: str, otherwise: int) -> int:
    try:
        return int(meant.get(name, otherwise))
    except ValueError:
        message = f"--{name} is {meant[name]!r}; expected a whole number"
        raise InvalidError(message) from None
