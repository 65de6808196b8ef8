"""What kind of keys a state has is known from type hints; where it is not, a start with a store does not refuse.

A stage between the source and `key_by` made the kind unknown, and an application that was given one was told that no object would
be found again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

import wallaroo


@dataclass
class Event:
    key: str
    value: int


class Sum:
    def __init__(self):
        self.sum = 0

    def add(self, event):
        self.sum += event.value
        return self.sum


def double(event: Event) -> Event | None:
    return Event(event.key, 2 * event.value)


def twice(event: Event) -> Iterator[Event]:
    yield event
    yield event


def untyped(event):
    return event


def by_function(pipeline):
    return pipeline.key_by(lambda event: event.key)


def by_field(pipeline):
    return pipeline.key_by("key")


def by_number(pipeline):
    return pipeline.key_by("value")


def run(directory, keyed, count, stage=None):
    """Run on the first `count` lines of the input; what comes out."""
    path = directory / "events.jsonl"
    path.write_text("".join('{"key": "a", "value": 1}\n' for _ in range(count)))
    events = wallaroo.source("events", wallaroo.file(path, wallaroo.json(Event)))
    sums = wallaroo.memory()
    pipeline = keyed(events if stage is None else stage(events))
    app = wallaroo.App("sums", pipeline.to(Sum.add, state=wallaroo.State("sums", Sum)).to_sink("sums", sums))
    app.run(store=directory / "store")
    return sums.take()


STAGES = {
    "to": lambda events: events.to(double),
    "to_many": lambda events: events.to_many(twice),
    "split": lambda events: events.split(lambda event: True)[0],
    "no hints": lambda events: events.to(untyped),
}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_before_key_by_changes_no_kind(name, tmp_path):
    assert run(tmp_path, by_field, 1) == [1]
    assert run(tmp_path, by_field, 2, STAGES[name])[0] in {2, 3}


def test_a_field_and_a_function_find_the_same_objects(tmp_path):
    assert run(tmp_path, by_field, 1) == [1]
    assert run(tmp_path, by_function, 2) == [2]
    assert run(tmp_path, by_field, 3) == [3]


@pytest.mark.parametrize("name", ["to", "to_many", "split"])
def test_another_kind_is_refused_behind_a_stage_too(name, tmp_path):
    assert run(tmp_path, by_field, 1, STAGES[name])[0] in {1, 2}
    with pytest.raises(wallaroo.InvalidError, match="had keys of type text, and the application has integer"):
        run(tmp_path, by_number, 2, STAGES[name])


def test_a_program_without_hints_does_not_make_the_kind_unknown(tmp_path):
    """The next program could then have keys of another kind, and found none of its objects."""
    assert run(tmp_path, by_field, 1) == [1]
    assert run(tmp_path, by_function, 2) == [2]
    with pytest.raises(wallaroo.InvalidError, match="had keys of type text, and the application has integer"):
        run(tmp_path, by_number, 3)
