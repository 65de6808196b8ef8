"""The command ``wallaroo``: runs and checks applications, and looks into their stores.

wallaroo run app.py --store ./data
wallaroo run package.module:app -- --symbols A,B
wallaroo check app.py
wallaroo state get --store ./data stocks IBM
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from . import _loading, _main, _native
from ._check import Report
from ._errors import InvalidError

_USAGE = """\
Stateful stream processing: your own classes as state, one object per key

Usage: wallaroo <COMMAND>

Commands:
  run         Run an application
  check       Say whether an application can run, and what of it costs
  checkpoint  Look at the checkpoints in a store
  state       Look at the state objects in a store

Options:
  -h, --help     Print help; of a command behind its name
      --version  Print the version

A program for the original Wallaroo: wallaroo run --application-module MODULE --in NAME@HOST:PORT --out HOST:PORT
"""

_RUN = """\
Run an application

Usage: wallaroo run PROGRAM [OPTIONS] [-- ARGUMENTS]

PROGRAM is a file (app.py), or a module (package.module). The application in it is the one that is named app, or the only
one; of several it is named: app.py:NAME, package.module:NAME. ARGUMENTS are what the program finds in sys.argv.

OPTIONS are those of every application; they are listed by: wallaroo run PROGRAM --help

A program for the original Wallaroo, which defines application_setup, is run with the module wallaroo.classic in place of
wallaroo:

  wallaroo run MODULE.py --in NAME@HOST:PORT --out HOST:PORT
  wallaroo run --application-module MODULE --in NAME@HOST:PORT --out HOST:PORT

  --classic  Take the program for such a one, however it defines application_setup
"""

_CHECK = """\
Say whether an application can run, and what of it costs. Nothing is opened: no file, no port, no store

Usage: wallaroo check PROGRAM [OPTIONS] [-- ARGUMENTS]

PROGRAM and ARGUMENTS are those of wallaroo run.

Options:
      --store <ADDRESS>  Say whether it can run with a store; the store itself is not looked at
      --json             Answer in JSON
      --classic          Take it for a program of the original Wallaroo
  -h, --help             Print help

The exit code is 0 when it can run, 1 when it cannot, 2 when the command line was not understood.
"""

#: Options without a value; behind all others one is expected, so that the program is found wherever it stands.
_FLAGS = frozenset({"-h", "--help", "--version", "--take-over", "--json", "--classic"})


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what a command line says, and end the process with its exit code.

    Args:
        arguments: The command line without the program; ``sys.argv[1:]`` by default.
    """
    try:
        code = call(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        # Whoever read the answer has gone; nothing is to be flushed to them at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = _main.FAILED
    sys.exit(code)


def call(arguments: list[str]) -> int:
    """Do what a command line says; the exit code."""
    command, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    if command in {"-h", "--help", "help"}:
        print(_USAGE, end="")
        return 0
    if command == "--version":
        print(f"wallaroo {_native.__version__}")
        return 0
    if command in {"checkpoint", "state"}:
        code, output, errors = _native.look(["wallaroo", *arguments])
        print(output, end="")
        print(errors, end="", file=sys.stderr)
        return code
    try:
        if command == "run":
            return _run(rest)
        if command == "check":
            return _check(rest)
    except InvalidError as error:
        _main.say("error", str(error))
        return _main.MISUSED
    except Exception as error:
        _main.show(error)
        return _main.FAILED
    _main.say("error", f"there is no command {command!r}; there are run, check, checkpoint and state (wallaroo --help)")
    return _main.MISUSED


class _Call:
    """What ``run`` and ``check`` are called with."""

    def __init__(self, arguments: list[str]) -> None:
        end = arguments.index("--") if "--" in arguments else len(arguments)
        #: Of the program, behind ``--``.
        self.behind = arguments[end + 1 :]
        #: Of the command.
        self.options = arguments[:end]
        self.is_classic = self._flag("--classic")
        module = self._value("--application-module")
        at = None if module is not None else self._position()
        self.program = module if at is None else self.options.pop(at)
        self.is_classic |= module is not None

    @property
    def wants_help(self) -> bool:
        return self.program is None and any(option in {"-h", "--help"} for option in self.options)

    def _flag(self, name: str) -> bool:
        is_there = name in self.options
        self.options = [option for option in self.options if option != name]
        return is_there

    def _value(self, name: str) -> str | None:
        for at, option in enumerate(self.options):
            if option.startswith(f"{name}="):
                del self.options[at]
                return option.removeprefix(f"{name}=")
            if option == name:
                if at + 1 == len(self.options):
                    message = f"{name} has no value"
                    raise InvalidError(message)
                value = self.options[at + 1]
                del self.options[at : at + 2]
                return value
        return None

    def _position(self) -> int | None:
        at = 0
        while at < len(self.options):
            option = self.options[at]
            if not option.startswith("-"):
                return at
            at += 1 if option in _FLAGS or "=" in option else 2
        return None


def _run(arguments: list[str]) -> int:
    call = _Call(arguments)
    if call.wants_help:
        print(_RUN, end="")
        return 0
    program = _program(call, "run")
    if call.is_classic or _loading.is_classic(program):
        from .classic import _runner

        return _runner.run(program, call.options, call.behind)
    app = _loading.application(program, _loading.load(program, call.behind))
    return _main.run(app, call.options, {}, f"wallaroo run {call.program}") or 0


def _check(arguments: list[str]) -> int:
    call = _Call(arguments)
    if call.wants_help:
        print(_CHECK, end="")
        return 0
    as_json = call._flag("--json")
    with_store = (call._value("--store") or "none") != "none"
    program = _program(call, "check")
    if call.is_classic or _loading.is_classic(program):
        from .classic import _runner

        app = _runner.application(program, call.options, call.behind)
    else:
        if call.options:
            message = f"{call.options[0]!r} is no option of check; there are --store, --json and --classic"
            raise InvalidError(message)
        app = _loading.application(program, _loading.load(program, call.behind))
    report = Report(app, with_store=with_store)
    print(report.as_json() if as_json else report.as_text(), end="")
    return 0 if report.is_ok else _main.FAILED


def _program(call: _Call, command: str) -> _loading.Program:
    if call.program is None:
        message = f"wallaroo {command} needs a program: a file like app.py, or a module (wallaroo {command} --help)"
        raise InvalidError(message)
    return _loading.find(call.program)
