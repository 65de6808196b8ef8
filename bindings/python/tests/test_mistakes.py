"""What beginners get wrong, and what they are told."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import wallaroo
from wallaroo import App, State, memory, source


class Basket:
    """Its objects share one list: the default is made once, when the class is."""

    def __init__(self, items=[]) -> None:  # noqa: B006 - the mistake
        self.items = items

    def add(self, item: str) -> int:
        self.items.append(item)
        return len(self.items)


class Table:
    """A default that is nobody's attribute."""

    def __init__(self, start={"n": 1}) -> None:  # noqa: B006
        self.values = dict(start)

    def add(self, _: str) -> int:
        return len(self.values)


@pytest.mark.parametrize(("class_", "is_told"), [(Basket, True), (Table, False)])
def test_a_mutable_default_that_all_objects_share_is_told(
    class_: Any, caplog: pytest.LogCaptureFixture, *, is_told: bool
) -> None:
    baskets = State("baskets", class_)
    app = App("shop", source("items", ["a"]).key_by(str).to(class_.add, state=baskets).to_sink("out", memory()))
    with caplog.at_level(logging.WARNING, logger="wallaroo"):
        app.run()
    expected = (
        "all objects of the state 'baskets' share one list, the default of an argument of Basket(), as their attribute 'items'; "
        "make a new one in the constructor"
    )
    assert (expected in caplog.messages) is is_told


def test_a_method_without_its_state_is_told() -> None:
    expected = (
        r"takes 2 arguments; it is called with the message, and .*; a stage with state is to\(f, state=State\(name, class\)\)"
    )
    with pytest.raises(TypeError, match=expected):
        source("items", ["a"]).key_by(str).to(Basket.add)  # type: ignore[arg-type]


def test_the_method_of_an_object_in_place_of_that_of_the_class_is_told() -> None:
    expected = r"takes 1 argument; it is called with .*; it is the method of one object: name that of the class, Basket\.add"
    with pytest.raises(TypeError, match=expected):
        source("items", ["a"]).key_by(str).to(Basket().add, state=Basket)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "advice"),
    [
        (Basket, r"the format of file is Basket, which is none; write json\(Basket\) or csv\(Basket\), as its bytes are"),
        (int.from_bytes, r"is from_bytes, which is none; write decoder\(from_bytes\) to read with it, or encoder\(from_bytes\)"),
        (wallaroo.lines, r"is lines, which is none; write lines\(\)"),
        ("csv", r"is 'csv', which is none; write one of lines\(\), json\(\), csv\(\), raw\(\), decoder\(function\)"),
    ],
)
def test_what_is_no_format_is_told_with_what_is(found: Any, advice: str) -> None:
    with pytest.raises(TypeError, match=advice):
        wallaroo.file("ticks", found)
