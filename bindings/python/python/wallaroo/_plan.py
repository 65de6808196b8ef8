"""From pipelines to what the native module builds: nodes as dicts, each after those it takes messages from.

A source of bytes gives raw records. They are decoded as late as possible: a ``key_by`` on a named field finds its key in the raw
bytes, and the record is decoded behind it, where its key's objects are. Each record is decoded once.
"""

from __future__ import annotations

import collections
import logging
import pickle
import uuid
from collections.abc import Iterable
from typing import Any

from . import _native
from ._classes import KNOWN, Described, describe, hints_of
from ._formats import Format, hints_of_function
from ._location import in_one_line, innermost
from ._pipeline import End, Node, State

Plan = tuple[str, list[dict[str, Any]], list[Described]]

_KEY_KINDS: dict[Any, str] = {str: "text", bytes: "bytes", int: "integer", bool: "boolean", uuid.UUID: "uuid"}


class _Lowering:
    def __init__(self) -> None:
        self.specs: list[dict[str, Any]] = []
        self.done: dict[int, int] = {}
        #: By node: what decodes its records.
        self.decoding: dict[int, int] = {}
        #: By node: the source whose records it passes on undecoded.
        self.raw: dict[int, Node] = {}
        #: By node: how many nodes take its messages.
        self.takers: collections.Counter[int] = collections.Counter()
        self.states: dict[str, State[Any]] = {}
        self.roots: list[Any] = []
        self.keep: list[Node] = []

    def add(self, spec: dict[str, Any]) -> int:
        self.specs.append(spec)
        return len(self.specs) - 1

    def count_takers(self, nodes: list[Node]) -> None:
        seen: set[int] = set()
        while nodes:
            node = nodes.pop()
            if id(node) not in seen:
                seen.add(id(node))
                for before, _ in node.inputs:
                    self.takers[id(before)] += 1
                    nodes.append(before)

    def node(self, node: Node) -> int:
        known = self.done.get(id(node))
        if known is not None:
            return known
        self.keep.append(node)
        lower = getattr(self, f"_{node.kind}")
        spec = {"kind": node.kind, "name": node.name, "location": node.location, **node.policy.spec()}
        index: int = lower(node, spec)
        self.done[id(node)] = index
        return index

    def decoded(self, node: Node, output: int) -> tuple[int, int]:
        """The output of a node with its records decoded."""
        index = self.node(node)
        source = self.raw.get(id(node))
        if source is None:
            return index, output
        known = self.decoding.get(id(node))
        if known is None:
            known = self.decoding[id(node)] = self._decode(source, index)
        return known, 0

    def _decode(self, source: Node, index: int) -> int:
        format_: Format[Any] = source.settings["format"]
        mode, function = format_._decode()
        return self.add(
            {
                "kind": "decode",
                "name": f"{source.name} (decode)",
                "location": source.location,
                **source.policy.spec(),
                "inputs": [(index, 0)],
                "mode": mode,
                "function": function,
            }
        )

    def _inputs(self, node: Node) -> list[tuple[int, int]]:
        return [self.decoded(*port) for port in node.inputs]

    def _source(self, node: Node, spec: dict[str, Any]) -> int:
        self.roots.append(node.settings["type"])
        if node.settings["format"] is not None:
            self.raw[id(node)] = node
        return self.add({**spec, "connector": node.settings["connector"]})

    def _key_by(self, node: Node, spec: dict[str, Any]) -> int:
        (before, output), *_ = node.inputs
        function = node.settings.get("function")
        if function is not None:
            kind = _KEY_KINDS.get(hints_of_function(function).get("return"), "any")
            found = {"finder": "function", "function": function, "key_kind": kind}
            return self.add({**spec, **found, "inputs": self._inputs(node)})
        field: str = node.settings["field"]
        self.node(before)
        # Where a pipeline goes on in several ways, each record is decoded once, before its ways part.
        source = self.raw.get(id(before)) if self.takers[id(before)] == 1 else None
        kind = _KEY_KINDS.get(_hint(node.settings["type"], field), "any")
        if source is not None:
            path = source.settings["format"]._field(field)
            if path is not None:
                self.raw[id(node)] = source
                found = {"finder": "field", "path": path, "names": field.split("."), "key_kind": kind}
                return self.add({**spec, **found, "inputs": [(self.node(before), output)]})
        found = {"finder": "attribute", "names": field.split("."), "key_kind": kind}
        return self.add({**spec, **found, "inputs": self._inputs(node)})

    def _collect(self, node: Node, spec: dict[str, Any]) -> int:
        return self.add({**spec, "inputs": self._inputs(node)})

    _merge = _collect

    def _split(self, node: Node, spec: dict[str, Any]) -> int:
        return self.add({**spec, "call": node.settings["call"], "inputs": self._inputs(node)})

    def _to(self, node: Node, spec: dict[str, Any]) -> int:
        self._name(node, spec)
        self._hints(node.settings["function"])
        return self.add({**spec, "call": _call(node, spec), "inputs": self._inputs(node)})

    def _state(self, node: Node, spec: dict[str, Any]) -> int:
        self._name(node, spec)
        state: State[Any] = node.settings["state"]
        known = self.states.setdefault(state.name, state)
        if known is not state and known.type is not state.type:
            message = f"two states are named {state.name!r}; give one of them another name, or use one State for both"
            raise ValueError(message)
        self._hints(node.settings["function"])
        inputs = self._inputs(node)
        return self.add({**spec, "call": _call(node, spec), "state": state_spec(known), "inputs": inputs})

    def _name(self, node: Node, spec: dict[str, Any]) -> None:
        if not node.is_name_given and node.settings["is_lambda"]:
            # Two of them may stand on one line.
            names = {other["name"] for other in self.specs}
            number = 2
            while spec["name"] in names:
                spec["name"] = f"{node.name} ({number})"
                number += 1

    def _hints(self, function: Any) -> None:
        self.roots.extend(hints_of_function(function).values())

    def _sink(self, node: Node, spec: dict[str, Any]) -> int:
        return self.add({**spec, "sink": node.settings["sink"], "inputs": self._inputs(node)})

    def _end(self, node: Node, spec: dict[str, Any]) -> int:
        return self.add({**spec, "inputs": self._inputs(node)})


def _call(node: Node, spec: dict[str, Any]) -> dict[str, Any]:
    """How the function of a stage is called; by the name that the stage has in the end."""
    return {**node.settings["call"], "name": spec["name"]}


def _hint(type_: Any, path: str) -> Any:
    """The type hint of a field."""
    for name in path.split("."):
        if not isinstance(type_, type):
            return None
        type_ = hints_of(type_).get(name)
    return type_


class _Pickle:
    """Any object that pickle knows; whoever can write to the store can run code."""

    @staticmethod
    def encode(state: Any) -> bytes:
        return pickle.dumps(state, protocol=5)

    @staticmethod
    def decode(stored: bytes) -> Any:
        return pickle.loads(stored)


def state_spec(state: State[Any]) -> dict[str, Any]:
    """A state for the native module."""
    spec: dict[str, Any] = {
        "name": state.name,
        "class": state.type,
        "type_name": state.type.__qualname__.rpartition("<locals>.")[2],
        "expire_after": state.expire_after,
        "aliases": state.aliases or None,
    }
    if state.codec is not None:
        codec: Any = _Pickle if state.codec == "pickle" else state.codec
        return {**spec, "codec": "own", "encode": codec.encode, "decode": codec.decode}
    is_known = state.type in KNOWN
    return {**spec, "codec": "value" if is_known else "attributes"}


def lower(name: str, ends: Iterable[End]) -> tuple[Plan, list[State[Any]]]:
    """The plan of an application, and its states."""
    ends = list(ends)
    lowering = _Lowering()
    lowering.count_takers([end._node for end in ends])
    for end in ends:
        lowering.node(end._node)
    states = list(lowering.states.values())
    roots: list[Any] = [*lowering.roots]
    for state in states:
        if state.codec is None:
            roots.extend([state.type, *state.classes])
    return (name, lowering.specs, describe(roots)), states


def first_stage(plan: Plan, state: State[Any]) -> tuple[str, tuple[str, int]]:
    """The stage that uses a state first, and where it is."""
    stages = (node for node in plan[1] if node["kind"] == "state" and node["state"]["name"] == state.name)
    node = next(stages)
    return node["name"], node["location"]


def check_state(plan: Plan, state: State[Any]) -> None:
    """Make an object of a state, as the engine will for an unseen key. What its constructor raises is raised with a note."""
    try:
        object_ = state.type()
    except Exception as error:
        cannot = f"cannot make an object for an unseen key: {state.type.__name__}() raised"
        # A constructor that has not been entered has no frame.
        is_called_wrongly = error.__traceback__ is None or error.__traceback__.tb_next is None
        if isinstance(error, TypeError) and is_called_wrongly:
            message = f"the state {state.name!r} {cannot} {error}; give every argument of its constructor a default"
            raise TypeError(message) from error
        stage, (file, line) = first_stage(plan, state)
        error.add_note(f"the state {state.name!r} of the stage {stage!r} ({file}:{line}) {cannot} {in_one_line(error)}")
        raise
    for name, shared in _shared(object_):
        logging.getLogger("wallaroo").warning(
            "all objects of the state %r share one %s, the default of an argument of %s(), as their attribute %r; "
            "make a new one in the constructor",
            state.name,
            type(shared).__name__,
            state.type.__name__,
            name,
        )
    missing = [new for new in state.aliases.values() if not hasattr(object_, new)]
    if missing:
        message = (
            f"aliases of the state {state.name!r} names {missing[0]!r}, which a {state.type.__name__} does not have; "
            "they are new by old names: aliases={'old': 'new'}"
        )
        raise TypeError(message)


def check_stored(plan: Plan, state: State[Any]) -> None:
    """Store a fresh object of a state. What the user's codec raises is raised with a note."""
    try:
        _native.encode_state(plan, state.name, state.type())
    except Exception as error:
        if innermost(error.__traceback__) is None:
            message = f"the state {state.name!r} cannot be stored: {error}"
            raise TypeError(message) from None
        stage, (file, line) = first_stage(plan, state)
        error.add_note(f"the state {state.name!r} of the stage {stage!r} ({file}:{line}) cannot be stored: {in_one_line(error)}")
        raise


def _shared(object_: Any) -> list[tuple[str, Any]]:
    """The attributes that are a mutable default of the constructor, and so those of all objects."""
    constructor = getattr(type(object_), "__init__", None)
    by_name: dict[str, Any] = getattr(constructor, "__kwdefaults__", None) or {}
    defaults = [*(getattr(constructor, "__defaults__", None) or ()), *by_name.values()]
    mutable = [default for default in defaults if isinstance(default, (list, dict, set))]
    attributes: dict[str, Any] = getattr(object_, "__dict__", {})
    return [(name, value) for name, value in attributes.items() if any(value is default for default in mutable)]
