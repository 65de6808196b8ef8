"""All of a user's code runs on one thread, also that of sources and sinks."""

from __future__ import annotations

import threading
import traceback

import pytest

import wallaroo


class Seen(wallaroo.Source[int], wallaroo.Sink[int]):
    """A source and a sink that remember the threads they were called on."""

    def __init__(self):
        self.threads = {}

    def _note(self, what):
        self.threads.setdefault(what, set()).add(threading.get_ident())

    def open(self, *arguments):
        self._note("open source" if arguments else "open sink")
        self.is_read = False
        return self

    def read(self, count):
        self._note("read")
        if self.is_read:
            return None
        self.is_read = True
        return [1]

    def position(self):
        return None

    def write(self, messages):
        self._note("write")

    def flush(self):
        self._note("flush")

    def close(self):
        self._note("close")


def test_sources_and_sinks_of_a_started_application_are_opened_where_they_are_used():
    """A connection to SQLite may only be used on its thread: it was opened on that of `start`, and failed at the first read."""
    seen = Seen()

    def note(message):
        seen._note("stage")
        return message

    running = wallaroo.App("one", wallaroo.source("numbers", seen).to(note).to_sink("seen", seen)).start()
    running.wait()
    assert set(seen.threads) == {"open source", "open sink", "read", "stage", "write", "flush", "close"}
    threads = set.union(*seen.threads.values())
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_run_uses_the_thread_that_calls_it():
    seen = Seen()
    wallaroo.App("one", wallaroo.source("numbers", seen).to_sink("seen", seen)).run()
    assert set.union(*seen.threads.values()) == {threading.get_ident()}


class Closed(wallaroo.Source[int]):
    def open(self, partition, position):
        message = "the shop is closed"
        raise RuntimeError(message)


def test_what_fails_while_it_opens_is_raised_by_start():
    app = wallaroo.App("closed", wallaroo.source("shop", Closed()).end())
    with pytest.raises(RuntimeError, match="the shop is closed") as raised:
        app.start()
    frames = [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)]
    assert frames == ["test_what_fails_while_it_opens_is_raised_by_start", "open"]


def test_start_says_what_is_missing():
    app = wallaroo.App("missing", wallaroo.source("lines", wallaroo.file("no such file", wallaroo.lines())).end())
    with pytest.raises(wallaroo.UnavailableError) as raised:
        app.start()
    assert raised.value.code == "WAL-0301"
