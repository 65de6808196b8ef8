"""The classes that an application stores: those of states and messages, and what their type hints lead to."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import types
import typing
import uuid
from collections.abc import Iterable
from typing import Any

import msgspec

# Types that have a stored form of their own.
KNOWN = frozenset(
    {
        bool, bytearray, bytes, dict, float, frozenset, int, list, object, set, str, tuple, type(None),
        collections.Counter, collections.OrderedDict, collections.defaultdict, collections.deque,
        datetime.date, datetime.datetime, datetime.time, datetime.timedelta, decimal.Decimal, uuid.UUID,
    }
)  # fmt: skip

#: What the native module is told of a class: name, class, kind, fields, arguments, whether it has a ``__dict__``.
Described = tuple[str, type, str, list[str], set[str], bool]


def describe(roots: Iterable[Any]) -> list[Described]:
    """Describe all classes that these types lead to."""
    described: dict[str, Described] = {}
    waiting = list(roots)
    seen: set[int] = set()
    while waiting:
        hint = waiting.pop()
        if id(hint) in seen:
            continue
        seen.add(id(hint))
        waiting.extend(typing.get_args(hint))
        if typing.get_origin(hint) is not None or not isinstance(hint, type):
            continue
        if hint in KNOWN or hint.__module__ in {"builtins", "typing", "collections.abc"}:
            continue
        found = _class(hint)
        if found is None:
            continue
        known = described.setdefault(found[0], found)
        if known[1] is not hint:
            message = (
                f"two classes named {found[0]!r} would be stored: one of the module {known[1].__module__}, "
                f"one of {hint.__module__}; rename one of them"
            )
            raise TypeError(message)
        waiting.extend(hints_of(hint).values())
    return list(described.values())


def hints_of(class_: type, *, include_extras: bool = False) -> dict[str, Any]:
    """The type hints of a class; none where they name what cannot be found."""
    try:
        return typing.get_type_hints(class_, include_extras=include_extras)
    except (NameError, TypeError):
        return {}


def _class(class_: type) -> Described | None:
    name = class_.__qualname__.rpartition("<locals>.")[2]
    has_dict = class_.__dictoffset__ != 0
    if issubclass(class_, enum.Enum):
        return name, class_, "enum", [], set(), False
    if dataclasses.is_dataclass(class_):
        fields = dataclasses.fields(class_)
        return name, class_, "fields", [f.name for f in fields], {f.name for f in fields if f.init}, has_dict
    if issubclass(class_, msgspec.Struct):
        names = list(class_.__struct_fields__)
        return name, class_, "fields", names, set(names), False
    if issubclass(class_, tuple) and hasattr(class_, "_fields"):
        names = list(class_._fields)
        return name, class_, "fields", names, set(names), False
    if getattr(class_, "_is_protocol", False) or issubclass(class_, (types.ModuleType, BaseException)):
        return None
    if any(base in KNOWN - {object} for base in class_.__mro__):
        # A subclass of a container: its content and its attributes would be two things.
        return None
    return name, class_, "plain", _slots(class_), set(), has_dict


def _slots(class_: type) -> list[str]:
    slots: list[str] = []
    for base in reversed(class_.__mro__):
        own = base.__dict__.get("__slots__", ())
        for slot in (own,) if isinstance(own, str) else own:
            if slot not in {"__dict__", "__weakref__"} and slot not in slots:
                mangled = slot.startswith("__") and not slot.endswith("__")
                slots.append(f"_{base.__name__.lstrip('_')}{slot}" if mangled else slot)
    return slots


def plain_attributes(object_: Any) -> dict[str, Any] | None:
    """The attributes of an object of a plain class; ``None`` if what it is is more than these."""
    class_ = type(object_)
    described = None if class_.__module__ == "builtins" else _class(class_)
    # A class of an extension module makes its objects itself, and has more in them than Python sees.
    is_native = any(isinstance(vars(base).get("__new__"), types.BuiltinFunctionType) for base in class_.__mro__[:-1])
    if described is None or described[2] != "plain" or is_native:
        return None
    slots = {name: getattr(object_, name) for name in described[3] if hasattr(object_, name)}
    return {**slots, **getattr(object_, "__dict__", {})}
