"""Programs for the command: how a file or a module is found, imported and asked for its application.

A program is imported as a module under its real name, never as ``__main__``: what is stored or pickled of its classes has the
same name whoever runs it.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from . import _main
from ._app import App
from ._errors import InvalidError
from ._location import _PACKAGE


@dataclass(frozen=True, slots=True)
class Program:
    """Where an application is to be found."""

    shown: str
    """As the command line has it."""
    module: str
    """The name of its module."""
    directory: str
    """Where that is imported from: an addition to ``sys.path``."""
    file: Path | None
    """Its file, if it was named by that."""
    attribute: str | None
    """The name of the application in the module, if it was said."""


def find(text: str) -> Program:
    """Understand ``app.py``, ``app.py:name``, ``package.module`` or ``package.module:name``.

    Raises:
        InvalidError: There is no such file, or the text can be neither.
    """
    place, _, attribute = text.partition(":") if not _is_drive(text) else (text, "", "")
    if place.endswith(".py") or "/" in place or "\\" in place:
        return _of_file(text, Path(place), attribute or None)
    if not all(part.isidentifier() for part in place.split(".")):
        message = f"{text!r} is no program; expected a file like app.py, or a module like package.module:app"
        raise InvalidError(message)
    if Path(f"{place}.py").is_file() and importlib.util.find_spec(place.split(".")[0]) is None:
        return _of_file(text, Path(f"{place}.py"), attribute or None)
    return Program(text, place, str(Path.cwd()), None, attribute or None)


def _is_drive(text: str) -> bool:
    return len(text) > 2 and text[1] == ":" and text[2] in "/\\"


def _of_file(shown: str, file: Path, attribute: str | None) -> Program:
    if not file.is_file():
        message = f"there is no file {str(file)!r}; give the path of the program"
        raise InvalidError(message)
    file = file.resolve()
    names = [file.stem]
    directory = file.parent
    while (directory / "__init__.py").is_file():
        names.insert(0, directory.name)
        directory = directory.parent
    if names[-1] == "__init__" and len(names) > 1:
        names.pop()
    if not all(name.isidentifier() for name in names):
        message = f"{file.name!r} cannot be imported: its name is no name of a module; rename it, with letters, digits and _"
        raise InvalidError(message)
    return Program(shown, ".".join(names), str(directory), file, attribute)


def is_classic(program: Program) -> bool:
    """Whether the program defines ``application_setup``, as those of the original do. It is not run for this."""
    source = _source(program)
    if source is None:
        return False
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        # It will be told when the program is imported, as Python tells it.
        return False
    return any(isinstance(node, ast.FunctionDef) and node.name == "application_setup" for node in tree.body)


def _source(program: Program) -> bytes | None:
    if program.file is not None:
        return program.file.read_bytes()
    on_path(program)
    try:
        spec = importlib.util.find_spec(program.module)
    except ImportError:
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin).read_bytes()


def on_path(program: Program) -> None:
    """Let the program's directory be where modules are looked for first, as ``python app.py`` does."""
    if program.directory not in sys.path[:1]:
        sys.path.insert(0, program.directory)


def load(program: Program, arguments: Sequence[str]) -> ModuleType:
    """Import a program.

    Args:
        program: What to import.
        arguments: What it finds in ``sys.argv`` behind its own name.

    Raises:
        InvalidError: There is no such module, or its name belongs to another one.
        Exception: Whatever the program raises while it is imported.
    """
    sys.argv = [str(program.file or program.shown.partition(":")[0]), *arguments]
    on_path(program)
    _main.loading = program.shown
    try:
        module = importlib.import_module(program.module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if program.module == missing or program.module.startswith(f"{missing}."):
            message = f"there is no module {program.module!r} here; give the path of a file, or a module that Python finds"
            raise InvalidError(message) from None
        error.__traceback__ = _of_program(error.__traceback__)
        raise
    except (TypeError, ValueError) as error:
        # It may be what this package says of a call of the program: that call is the last to be shown.
        error.__traceback__ = _without_end(_of_program(error.__traceback__))
        raise
    except Exception as error:
        error.__traceback__ = _of_program(error.__traceback__)
        raise
    finally:
        _main.loading = None
    found = getattr(module, "__file__", None)
    if program.file is not None and (found is None or Path(found).resolve() != program.file):
        where = f"the module {found}" if found else "a module of Python itself"
        message = f"{program.file.name!r} cannot be imported: {where} has its name {program.module!r}; rename the file"
        raise InvalidError(message)
    return module


def _of_program(trace: TracebackType | None) -> TracebackType | None:
    """A traceback from the first frame of the program on: without those that import it."""
    while trace is not None and _imports(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return trace


def _without_end(trace: TracebackType | None) -> TracebackType | None:
    """A traceback up to the last frame that is not of this package."""
    at = last = trace
    while at is not None:
        if not at.tb_frame.f_code.co_filename.startswith(_PACKAGE):
            last = at
        at = at.tb_next
    if last is not None:
        last.tb_next = None
    return trace


def _imports(file: str) -> bool:
    return file.startswith((_PACKAGE, "<frozen importlib", str(Path(importlib.__file__).parent)))


def application(program: Program, module: ModuleType) -> App:
    """The application of a module: the one that was named, that is named ``app``, or the only one.

    Raises:
        InvalidError: There is none, or more than one.
    """
    if program.attribute is not None:
        found: Any = module
        for name in program.attribute.split("."):
            found = getattr(found, name, None)
        if isinstance(found, App):
            return found
        is_what = "is not there" if found is None else f"is a {type(found).__name__}"
        message = f"{program.attribute!r} in the module {module.__name__!r} {is_what}; expected a wallaroo.App"
        raise InvalidError(message)
    app = getattr(module, "app", None)
    if isinstance(app, App):
        return app
    apps = {name: value for name, value in vars(module).items() if isinstance(value, App)}
    if len({id(value) for value in apps.values()}) == 1:
        return next(iter(apps.values()))
    if apps:
        names = ", ".join(map(repr, apps))
        message = (
            f"{program.shown} has several applications, {names}; say which: {program.shown}:{next(iter(apps))}, "
            "or name one of them app"
        )
        raise InvalidError(message)
    message = f"{program.shown} has no application; assign one to a global variable: app = wallaroo.App(…)"
    raise InvalidError(message)
