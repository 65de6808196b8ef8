"""Attributes that were renamed are found under their old names, or the application says why not."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

import wallaroo


@dataclass
class First:
    total: int = 0

    def add(self, value):
        self.total += value
        return self.total


@dataclass
class Second:
    balance: int = 0

    def add(self, value):
        self.balance += value
        return self.balance


def run(store, class_, count, aliases=None):
    sums = wallaroo.memory()
    state = wallaroo.State("sums", class_, aliases=aliases)
    numbers = wallaroo.source("numbers", range(1, count + 1)).key_by(lambda n: "all")
    wallaroo.App("sums", numbers.to(class_.add, state=state).to_sink("sums", sums)).run(store=store)
    return sums.take()


def test_a_renamed_attribute_is_found(tmp_path):
    assert run(tmp_path / "store", First, 3) == [1, 3, 6]
    assert run(tmp_path / "store", Second, 4, {"total": "balance"}) == [10]


def test_aliases_the_wrong_way_round_are_refused():
    """They were taken, and the new attribute began with its default: all sums were lost without a word."""
    with pytest.raises(TypeError, match=r"aliases of the state 'sums' names 'total', which a Second does not have"):
        run(None, Second, 1, {"balance": "total"})
