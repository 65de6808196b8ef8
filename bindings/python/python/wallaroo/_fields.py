"""Fields of a message type that stand in its records as decoded objects have them: a key of these is found in the raw bytes.

A field that may be missing, that is converted (a UUID, a date, a member of an enum), or that a constructor or a validator may
change is none of these: its key is what the decoded object has.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import typing
from typing import Any

import msgspec

from ._classes import hints_of

_PLAIN = (str, int, bool)


def plain_path(type_: Any, path: list[str]) -> list[str] | None:
    """Where in a JSON record the field of this path is; ``None`` if only the decoded object has it."""
    if type_ is None or type_ is dict:
        return path
    found = []
    for name in path:
        fields = _plain_fields(type_)
        if name not in fields:
            return None
        wire, type_ = fields[name]
        found.append(wire)
    return found if type_ in _PLAIN else None


def _plain_fields(type_: Any) -> dict[str, tuple[str, Any]]:
    """By name of each field that is what stands in the record: its name there, and its type."""
    if not inspect.isclass(type_) or hasattr(type_, "__post_init__"):
        return {}
    hints = hints_of(type_)
    if issubclass(type_, msgspec.Struct):
        if type_.__struct_config__.array_like:
            return {}
        return {info.name: (info.encode_name, hints.get(info.name)) for info in msgspec.structs.fields(type_) if info.required}
    if dataclasses.is_dataclass(type_):
        missing = dataclasses.MISSING
        needed = (f for f in dataclasses.fields(type_) if f.init and f.default is missing and f.default_factory is missing)
        return {field.name: (field.name, hints.get(field.name)) for field in needed}
    if typing.is_typeddict(type_):
        return {name: (name, hint) for name, hint in hints.items() if name in getattr(type_, "__required_keys__", ())}
    return {}


def misspelt(type_: Any, path: list[str]) -> str | None:
    """What is wrong with the path of a field, where the type of the messages tells."""
    for name in path:
        known = _all_names(type_)
        if known is None:
            return None
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; it has {', '.join(map(repr, sorted(known)))}"
            return f"a {type_.__name__} has no field {name!r}{hint}"
        type_ = hints_of(type_).get(name)
    return None


def _all_names(type_: Any) -> set[str] | None:
    """The names that objects of this type have; ``None`` where that cannot be told."""
    if typing.is_typeddict(type_):
        return set(hints_of(type_))
    if not inspect.isclass(type_) or hasattr(type_, "__getattr__") or "__getattribute__" in vars(type_):
        return None
    if dataclasses.is_dataclass(type_) or issubclass(type_, msgspec.Struct):
        return set(hints_of(type_)) | {name for name in dir(type_) if not name.startswith("_")}
    return None
