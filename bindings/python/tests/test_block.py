"""An application that is started for a block ends with it, in good order."""

from __future__ import annotations

import time

import pytest

import wallaroo


def application(sink):
    return wallaroo.App("block", wallaroo.source("numbers", wallaroo.channel(int)).to_sink("written", sink))


def test_what_was_accepted_goes_through_when_the_block_raises():
    """It was stopped, and not waited for: a program that ended with the exception lost what was on its way."""
    written = []

    def slowly(number):
        time.sleep(0.05)
        written.append(number)

    def block():
        with application(slowly).start() as running:
            for number in range(5):
                running.send("numbers", number)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        block()
    assert written == [0, 1, 2, 3, 4]


def fail(number):
    message = f"{number} is too much"
    raise ValueError(message)


def test_the_block_raises_what_the_application_failed_with():
    def block():
        with application(fail).start() as running:
            running.send("numbers", 1)

    with pytest.raises(ValueError, match="1 is too much"):
        block()


def test_what_the_block_raises_comes_before_a_failure_of_the_application():
    def block():
        with application(fail).start() as running:
            running.send("numbers", 1)
            message = "a key"
            raise KeyError(message)

    with pytest.raises(KeyError):
        block()
