"""``wallaroo check``: whether an application can run, and what of it costs, without running it.

Nothing is opened: no file, no port, no store.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from . import _native
from ._errors import Error
from ._plan import Plan, check_state, check_stored, first_stage

if TYPE_CHECKING:
    from ._app import App
    from ._pipeline import State

Kind = Literal["error", "store", "cost"]

_HEADINGS: dict[Kind, str] = {"error": "error", "store": "with a store", "cost": "costs"}


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """Something to know about an application."""

    kind: Kind
    """``error``: it cannot run. ``store``: it cannot run with a store. ``cost``: it runs, and could be faster."""
    name: str | None
    """The source, stage, state or sink that it is about."""
    location: tuple[str, int] | None
    """The file and the line that it is about."""
    text: str
    """What it is, and what to do."""


class Report:
    """What is to be known about an application.

    Args:
        app: The application.
        with_store: Whether it is to run with a store.
    """

    def __init__(self, app: App, *, with_store: bool) -> None:
        self.application = app.name
        self.with_store = with_store
        self.findings: list[Finding] = []
        self.plan: Any = None
        try:
            plan, states = app._lower()
        except (TypeError, ValueError) as error:
            self._add("error", None, None, str(error))
            return
        self._states(plan, states)
        if self.is_ok:
            try:
                self.plan = json.loads(_native.check(plan))
            except (Error, TypeError, ValueError) as error:
                self._add("error", None, None, str(error))
        self._costs(plan, states)

    @property
    def is_ok(self) -> bool:
        """Whether it can run."""
        refusing = {"error", "store"} if self.with_store else {"error"}
        return not any(finding.kind in refusing for finding in self.findings)

    def as_text(self) -> str:
        """For people."""
        lines = []
        for kind, heading in _HEADINGS.items():
            for finding in self.findings:
                if finding.kind == kind:
                    place = "" if finding.location is None else "{}:{}: ".format(*finding.location)
                    name = "" if finding.name is None else f"{finding.name!r}: "
                    lines.append(f"{place}{heading}: {name}{finding.text}")
        how = " with a store" if self.with_store else ""
        if not self.is_ok:
            lines.append(f"{self.application} cannot run{how}")
        elif self.plan is not None:
            lines.append(f"{self.application} can run{how}: {_sizes(self.plan)}")
        return "\n".join(lines) + "\n"

    def as_json(self) -> str:
        """For programs."""
        findings = []
        for finding in self.findings:
            location = None
            if finding.location is not None:
                location = {"file": finding.location[0], "line": finding.location[1]}
            findings.append({**dataclasses.asdict(finding), "location": location})
        report = {"application": self.application, "ok": self.is_ok, "findings": findings, "plan": self.plan}
        return json.dumps(report, indent=2) + "\n"

    def _add(self, kind: Kind, name: str | None, location: tuple[str, int] | None, text: str) -> None:
        self.findings.append(Finding(kind, name, location, text))

    def _states(self, plan: Plan, states: list[State[Any]]) -> None:
        for state in states:
            _, where = first_stage(plan, state)
            try:
                check_state(plan, state)
            except Exception as error:
                self._add("error", state.name, where, _told(error))
                continue
            try:
                check_stored(plan, state)
            except Exception as error:
                self._add("store", state.name, where, _told(error))
        for node in plan[1]:
            if node["kind"] == "state" and "@" in node["name"]:
                text = (
                    "its function has no name, so its stage is named after its line, and what is stored would be lost when that "
                    "changes; use a named function, or .named(…) behind it"
                )
                self._add("store", node["name"], node["location"], text)

    def _costs(self, plan: Plan, states: list[State[Any]]) -> None:
        nodes = plan[1]
        looks: dict[str, Callable[[list[dict[str, Any]], dict[str, Any]], str | None]] = {
            "source": _source_cost,
            "decode": _decode_cost,
            "key_by": _key_cost,
            "state": _state_cost,
        }
        for node in nodes:
            look = looks.get(node["kind"])
            text = None if look is None else look(nodes, node)
            if text is not None:
                self._add("cost", node["name"], node["location"], text)
            if node["kind"] == "state" and not _has_key(nodes, node["inputs"][0][0]):
                text = (
                    "it has state and no key_by before it, so all messages share one state object, and are handled one after "
                    "another; give it a key, or collect() if that is what is meant"
                )
                self._add("cost", node["name"], node["location"], text)
        for state in states:
            text = _codec_cost(state)
            if text is not None:
                self._add("cost", state.name, first_stage(plan, state)[1], text)


def _told(error: Exception) -> str:
    """What an exception is about: the note that a check has given it, or its text."""
    notes: list[str] = getattr(error, "__notes__", [])
    return notes[-1] if notes else str(error)


def _sizes(plan: dict[str, Any]) -> str:
    described = [node["kind"] for node in plan["nodes"]]
    kinds = [kind if isinstance(kind, str) else next(iter(kind)) for kind in described]
    states = {kind["State"]["state"] for kind in described if isinstance(kind, dict) and "State" in kind}
    counts = {
        "source": kinds.count("Source"),
        "stage": kinds.count("Stateless") + kinds.count("State") - sum("(decode" in n["name"] for n in plan["nodes"]),
        "state": len(states),
        "sink": kinds.count("Sink"),
    }
    return ", ".join(f"{count} {noun}{'' if count == 1 else 's'}" for noun, count in counts.items())


def _has_key(nodes: list[dict[str, Any]], index: int) -> bool:
    node = nodes[index]
    if node["kind"] in {"key_by", "collect"}:
        return True
    if node["kind"] == "source":
        return False
    return all(_has_key(nodes, before) for before, _ in node["inputs"])


def _source_cost(_: list[dict[str, Any]], node: dict[str, Any]) -> str | None:
    connector = node["connector"]
    replays = {
        "file": True,
        "tcp": bool(connector.get("acknowledged")),
        "python": bool(getattr(connector.get("source"), "replays", False)),
    }.get(connector["type"], False)
    if replays:
        return None
    return "it cannot give its messages again; with a store each of them is written to an input log before it counts"


def _decode_cost(_: list[dict[str, Any]], node: dict[str, Any]) -> str | None:
    decoder = getattr(node["function"], "__self__", None)
    if not isinstance(decoder, msgspec.json.Decoder):
        return None
    if dataclasses.is_dataclass(decoder.type):
        return (
            "its records become dataclasses; a msgspec.Struct with the same fields is decoded in about half the time, "
            "and is used in the same way"
        )
    return None


def _key_cost(nodes: list[dict[str, Any]], node: dict[str, Any]) -> str | None:
    if node["finder"] == "field":
        return None
    before = nodes[node["inputs"][0][0]]
    wire = ""
    if before["kind"] == "decode":
        source = nodes[before["inputs"][0][0]]
        wire = source.get("connector", {}).get("format", {}).get("wire", "")
    if node["finder"] == "function":
        if wire in {"json", "csv"}:
            return (
                "its key is found by a function, so each record is decoded before it is routed, and Python is called once more "
                'for it; a field that is named, as in key_by("symbol"), is found in the raw bytes, without Python'
            )
        return (
            "its key is found by a function: one more call of Python for each message; an attribute that is named, as in "
            'key_by("symbol"), is read without a call'
        )
    if wire == "csv":
        return (
            "its key is a column that is not text, so each record is decoded before it is routed; a column of text is found in "
            "the raw bytes"
        )
    if wire == "json":
        return (
            "its key is not found in the raw bytes, so each record is decoded before it is routed; found there are fields of "
            "str, int or bool without a default, of types without __post_init__, where the source goes on in one way only"
        )
    return None


def _state_cost(_: list[dict[str, Any]], node: dict[str, Any]) -> str | None:
    if node["on_error"] == "fail":
        return None
    return (
        "its state object is encoded before each call, so that a failing call can be undone; with on_error('fail') nothing has "
        "to be kept"
    )


def _codec_cost(state: State[Any]) -> str | None:
    if state.codec is None:
        return None
    if state.codec == "pickle":
        return (
            "its objects are pickled, which takes several times as long as storing their attributes by name; and whoever can "
            "write to the store can run code in the program"
        )
    return "its objects are stored by a codec of its own: one call of Python for each object in a checkpoint"
