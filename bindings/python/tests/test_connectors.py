"""Sources and sinks that are written in Python, and those that the package brings."""

from __future__ import annotations

import itertools
import socket
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import wallaroo
from programs import Program
from wallaroo import (
    App,
    Context,
    Pipeline,
    Reader,
    Sink,
    Source,
    channel,
    file_sink,
    json,
    lines,
    memory,
    source,
    tcp_listener,
    tcp_sink,
)


def through(connector: Any) -> list[Any]:
    """What comes out of a source."""
    kept = memory()
    App("through", source("numbers", connector).to_sink("kept", kept)).run()
    return kept.take()


def test_whatever_can_be_iterated_over_is_a_source() -> None:
    expected = list(range(5))
    for connector in (
        range(5),
        [0, 1, 2, 3, 4],
        iter(range(5)),
        (n for n in range(5)),
        dict.fromkeys(range(5), "x"),
        lambda: iter(range(5)),
    ):
        assert through(connector) == expected


def test_a_generator_function_is_a_source() -> None:
    def numbers() -> Iterator[int]:
        yield from range(3)

    assert through(numbers) == [0, 1, 2]


def test_none_is_a_message_of_a_source_like_any_other() -> None:
    assert through([1, None, 2]) == [1, None, 2]


def test_an_endless_iterator_is_read_as_needed_and_stops() -> None:
    count = itertools.count()
    kept = memory()
    running = App("endless", source("numbers", count).to_sink("kept", kept)).start()
    assert kept.wait_for(1_000)
    running.stop()
    assert running.wait(30)
    taken = kept.take()
    assert taken == list(range(len(taken)))


def test_an_iterator_that_raises_ends_the_run_with_its_exception() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise OSError("the line is dead")

    with pytest.raises(OSError, match="the line is dead") as raised:
        through(numbers)
    (note,) = raised.value.__notes__
    assert 'cannot read the source "numbers"' in note or 'source "numbers"' in note
    assert traceback.extract_tb(raised.value.__traceback__)[-1].name == "numbers"


class Numbers(Source[int]):
    """A source that replays, in partitions."""

    replays = True

    def __init__(self, count: int, partitions: int = 1) -> None:
        self.count = count
        self.names = [str(n) for n in range(partitions)]
        self.opened: list[tuple[str, Any]] = []
        self.closed = 0

    def partitions(self) -> list[str]:
        return self.names

    def open(self, partition: str, position: Any) -> Reader[int]:
        self.opened.append((partition, position))
        return NumbersReader(self, int(partition), position["next"] if position else 0)


class NumbersReader:
    def __init__(self, numbers: Numbers, partition: int, start: int) -> None:
        self.numbers = numbers
        self.partition = partition
        self.next = start

    def read(self, count: int, /) -> Iterable[int] | None:
        if self.next >= self.numbers.count:
            return None
        start, self.next = self.next, min(self.next + min(count, 7), self.numbers.count)
        return range(start * 10 + self.partition, self.next * 10 + self.partition, 10)

    def position(self) -> Any:
        return {"next": self.next}

    def close(self) -> None:
        self.numbers.closed += 1


def test_a_source_of_your_own_has_partitions_and_is_closed() -> None:
    numbers = Numbers(20, partitions=3)
    assert sorted(through(numbers)) == sorted(n * 10 + p for n in range(20) for p in range(3))
    assert sorted(numbers.opened) == [("0", None), ("1", None), ("2", None)]
    assert numbers.closed == 3


def add(number: int, total: dict[str, int], ctx: Context) -> tuple[int, int]:
    total["sum"] = total.get("sum", 0) + number
    return number, total["sum"]


def summed(connector: Any, path: Path) -> App:
    numbers: Pipeline[int] = source("numbers", connector)
    return App(
        "sum", numbers.key_by(lambda n: n % 10).to(add, state=wallaroo.State("sums", dict)).to_sink("out", file_sink(path))
    )


def test_a_source_that_replays_is_opened_where_the_last_checkpoint_was(tmp_path: Path) -> None:
    path, store = tmp_path / "out", tmp_path / "store"
    summed(Numbers(20), path).run(store=store)
    again = Numbers(50)
    summed(again, path).run(store=store)
    assert again.opened == [("0", {"next": 20})]
    expected = [[n * 10, sum(range(0, n * 10 + 1, 10))] for n in range(50)]
    assert [wallaroo.json()._decode()[1](line) for line in path.read_bytes().splitlines()] == expected  # type: ignore[misc]


class Failing(Exception):
    pass


def test_after_a_failure_everything_counts_once(tmp_path: Path) -> None:
    path, store = tmp_path / "out", tmp_path / "store"
    lives = itertools.count()

    def run_once(fail_at: int | None) -> None:
        next(lives)
        seen = itertools.count()

        def fail(number: int) -> int:
            if next(seen) == fail_at:
                raise Failing
            return number

        numbers: Pipeline[int] = source("numbers", Numbers(300)).to(fail).named("fail")
        keyed = numbers.key_by(lambda n: n % 10).to(add, state=wallaroo.State("sums", dict))
        App("sum", keyed.to_sink("out", file_sink(path, json()))).run(store=store, checkpoint_every=0.001)

    for fail_at in (0, 50, 10, 100):
        with pytest.raises(Failing):
            run_once(fail_at)
    run_once(None)
    expected = [f"[{n * 10},{sum(range(0, n * 10 + 1, 10))}]" for n in range(300)]
    assert path.read_text().splitlines() == expected


def test_iterables_go_on_behind_what_they_gave(tmp_path: Path) -> None:
    for count, connector in ((10, range(10)), (20, list(range(20))), (30, lambda: iter(range(30)))):
        path = tmp_path / "out"
        summed(connector, path).run(store=tmp_path / "store")
        assert len(path.read_text().splitlines()) == count


def test_what_cannot_replay_is_kept_in_an_input_log(tmp_path: Path) -> None:
    path, store = tmp_path / "out", tmp_path / "store"

    def fail(number: int) -> int:
        if number == 5 and not (tmp_path / "failed").exists():
            (tmp_path / "failed").touch()
            raise Failing
        return number

    def app(connector: Any) -> App:
        numbers: Pipeline[int] = source("numbers", connector)
        return App("once", numbers.to(fail).to_sink("out", file_sink(path, lines())))

    with pytest.raises(Failing):
        app(iter(range(10))).run(store=store)
    # The iterator is used up; what it gave is in the log.
    app(iter([])).run(store=store)
    assert path.read_text().split() == [str(n) for n in range(10)]


def test_a_reader_must_not_give_more_than_asked_for() -> None:
    class Greedy(Numbers):
        def open(self, partition: str, position: Any) -> Reader[int]:
            class Reads(NumbersReader):
                def read(self, count: int, /) -> Iterable[int] | None:
                    return range(count + 1)

            return Reads(self, 0, 0)

    with pytest.raises(ValueError, match=r"read\((\d+)\) of the source returned \d+ messages; it may return fewer, not more"):
        through(Greedy(1))


def test_a_source_that_cannot_be_opened_ends_the_run_with_its_exception() -> None:
    class Closed(Source[int]):
        def open(self, partition: str, position: Any) -> Reader[int]:
            raise PermissionError("no entry")

    with pytest.raises(PermissionError, match="no entry") as raised:
        through(Closed())
    assert "cannot open the source" in raised.value.__notes__[0]


class Written(Sink[int]):
    """Keeps what it was told, in order."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def open(self) -> None:
        self.told.append("open")

    def write(self, messages: list[int], /) -> None:
        self.told.extend(messages)

    def flush(self) -> None:
        if self.told[-1] != "flush":
            self.told.append("flush")

    def close(self) -> None:
        self.told.append("close")


def test_a_sink_of_your_own_is_opened_written_flushed_and_closed() -> None:
    sink = Written()
    App("sink", source("numbers", range(3)).to_sink("out", sink)).run()
    assert [one for one in sink.told if one != "flush"] == ["open", 0, 1, 2, "close"]
    assert sink.told[-2:] == ["flush", "close"]


def test_a_sink_is_closed_after_what_was_on_its_way_when_the_application_stopped() -> None:
    sink = Written()
    started = threading.Event()

    def slow(number: int) -> list[int]:
        started.set()
        return [number] * 100

    running = App("sink", source("numbers", itertools.count()).to_many(slow).to_sink("out", sink)).start()
    assert started.wait(30)
    running.stop()
    assert running.wait(30)
    assert sink.told.count("close") == 1
    assert sink.told[-2:] == ["flush", "close"]


def test_a_sink_is_closed_when_the_run_fails() -> None:
    def fail(number: int) -> int:
        raise Failing

    sink = Written()
    with pytest.raises(Failing):
        App("sink", source("numbers", range(3)).to(fail).to_sink("out", sink)).run()
    assert sink.told[-1] == "close"


def test_a_sink_of_dead_letters_is_opened_flushed_and_closed() -> None:
    def fail(number: int) -> int:
        raise Failing

    sink = Written()
    App("sink", source("numbers", range(2)).to(fail).dead_letter("letters", sink).end()).run()
    assert [one if isinstance(one, str) else one.message for one in sink.told] == ["open", b"0", b"1", "flush", "close"]


def test_a_function_is_a_sink() -> None:
    seen: list[int] = []
    App("sink", source("numbers", range(3)).to_sink("out", seen.append)).run()
    assert seen == [0, 1, 2]


@pytest.mark.parametrize("method", ["open", "write", "flush"])
def test_a_sink_that_raises_ends_the_run_with_its_exception(method: str) -> None:
    def fail(*_: Any) -> None:
        raise Failing("disk")

    sink = Written()
    setattr(sink, method, fail)
    with pytest.raises(Failing, match="disk") as raised:
        App("sink", source("numbers", range(3)).to_sink("out", sink)).run()
    assert "the sink" in raised.value.__notes__[0]


def test_messages_that_a_program_sends_arrive_in_order() -> None:
    kept = memory()
    with App("sent", source("numbers", channel(int, capacity=10)).to_sink("kept", kept)).start() as running:
        for number in range(1_000):
            running.send("numbers", number)
    assert kept.take() == list(range(1_000))
    with pytest.raises(wallaroo.ClosedError):
        running.send("numbers", 1)


def test_sending_to_a_source_that_is_no_channel_is_refused() -> None:
    with App("sent", source("numbers", channel(int)).end(), source("others", [1]).end()).start() as running:
        with pytest.raises(wallaroo.Error, match="others"):
            running.send("others", 1)
        with pytest.raises(wallaroo.Error, match="absent"):
            running.send("absent", 1)


def test_a_full_channel_says_so_without_waiting() -> None:
    gate = threading.Event()

    def wait(number: int) -> None:
        gate.wait(30)

    with App("full", source("numbers", channel(int, capacity=1)).to(wait).end()).start() as running:
        tried = [running.try_send("numbers", n) for n in range(10_000)]
        assert tried[0] is True
        assert tried[-1] is False
        gate.set()


def test_bytes_come_and_go_over_tcp() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()[:2]
        numbers: Pipeline[dict[str, int]] = source("numbers", tcp_listener("127.0.0.1:0", json(dict[str, int])))
        app = App("tcp", numbers.to(lambda m: m["n"] + 1).named("plus").to_sink("out", tcp_sink(f"{host}:{port}", framed=4)))
        running = app.start()
        address = running.listening("numbers")
        assert address is not None
        server.settimeout(30)
        taken, _ = server.accept()
        with taken, socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))) as sender:
            sender.sendall(b'{"n":1}\n{"n":41}\n')
            taken.settimeout(30)
            with taken.makefile("rb") as received:
                assert received.read(11) == b"\0\0\0\x012\0\0\0\x0242"
        running.stop()
        assert running.wait(30)


def test_frames_are_checked() -> None:
    with pytest.raises(ValueError, match="framed is 3; expected 1, 2, 4 or 8 bytes"):
        wallaroo.stdout(framed=3)


def test_stdout_is_written_by_the_engine(capfd: pytest.CaptureFixture[str]) -> None:
    App("out", source("numbers", ["a", 1]).to_sink("out", wallaroo.stdout())).run()
    assert capfd.readouterr().out == "a\n1\n"


class Closing(wallaroo.Sink[int]):
    """A sink whose end can fail."""

    def __init__(self, failing: str) -> None:
        self.failing = failing
        self.written: list[int] = []
        self.closed = 0

    def write(self, messages: list[Any], /) -> None:
        if self.failing == "write":
            raise RuntimeError("write")
        self.written.extend(messages)

    def close(self) -> None:
        self.closed += 1
        raise RuntimeError("close")


@pytest.mark.parametrize("begin", ["run", "start", "store", "letters"])
def test_a_sink_that_cannot_be_closed_fails_the_run(begin: str, tmp_path: Path) -> None:
    """The exception was printed where those of `__del__` are, and the run was said to have gone well."""
    sink = Closing("close")
    numbers = source("numbers", [1, 2])
    if begin == "letters":
        app = App("closing", numbers.to(lambda number: 1 // 0).dead_letter("out", sink).end())
    else:
        app = App("closing", numbers.to_sink("out", sink))
    options: dict[str, Any] = {"store": tmp_path} if begin == "store" else {}
    with pytest.raises(RuntimeError, match="close") as raised:
        app.start().wait(30) if begin == "start" else app.run(**options)
    frames = traceback.extract_tb(raised.value.__traceback__)
    assert frames[-1].name == "close"
    (note,) = raised.value.__notes__
    assert note.startswith('WAL-0403: the sink "out" failed: cannot close the sink: RuntimeError: close (test_connectors.py:')
    assert (len(sink.written), sink.closed) == (2, 1)


def test_of_a_sink_that_fails_and_cannot_be_closed_the_first_failure_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: told.append(str(unraisable.exc_value)))
    sink = Closing("write")
    with pytest.raises(RuntimeError, match="write"):
        App("closing", source("numbers", [1, 2]).to_sink("out", sink)).run()
    assert (sink.closed, told) == (1, ["close"])


def test_a_program_whose_sink_cannot_be_closed_ends_with_exit_code_1(program: Program) -> None:
    ran = program("""
import wallaroo

class Closing(wallaroo.Sink):
    def write(self, messages):
        print(messages)

    def close(self):
        raise RuntimeError("close")

wallaroo.App("closing", wallaroo.source("numbers", [1]).to_sink("out", Closing())).main()
""")
    assert (ran.returncode, ran.stdout) == (1, "[1]\n")
    assert "RuntimeError: close" in ran.stderr
    assert "input ended" not in ran.stderr
