"""Applications as library calls: in threads, beside event loops, several at once; logging, debuggers, memory."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import pytest

import wallaroo
from programs import Program
from wallaroo import App, Context, MemorySink, Pipeline, State, channel, memory, source
from wallaroo._logging import logger_of


def doubled(name: str, kept: MemorySink[int]) -> App:
    numbers: Pipeline[int] = source("numbers", channel(int))
    return App(name, numbers.to(lambda n: n * 2).named("double").to_sink("kept", kept))


def test_run_takes_the_thread_that_calls_it() -> None:
    seen: set[int] = set()

    def note(number: int) -> None:
        seen.add(threading.get_ident())

    app = App("threads", source("numbers", range(3)).to(note).end())
    app.run()
    assert seen == {threading.get_ident()}
    thread = threading.Thread(target=app.run)
    thread.start()
    thread.join(30)
    assert len(seen) == 2


def test_start_runs_everything_on_one_other_thread() -> None:
    seen: set[tuple[int, str]] = set()

    def note(number: int) -> None:
        seen.add((threading.get_ident(), threading.current_thread().name))

    numbers = source("numbers", range(100))
    with App("threads", numbers.to(note).end()).start() as running:
        assert running.wait(30)
    ((thread, name),) = seen
    assert thread != threading.get_ident()
    assert name == "wallaroo"


def test_an_application_can_run_again() -> None:
    kept = memory()
    app = App("again", source("numbers", range(2)).to_sink("kept", kept))
    app.run()
    app.run()
    assert kept.take() == [0, 1, 0, 1]


def test_what_a_started_application_raises_is_raised_by_wait_each_time() -> None:
    def fail(number: int) -> None:
        raise KeyError("no")

    running = App("fail", source("numbers", [1]).to(fail).end()).start()
    for _ in range(2):
        with pytest.raises(KeyError, match="no"):
            running.wait(30)


def test_wait_ends_with_its_time() -> None:
    with doubled("wait", memory()).start() as running:
        assert running.wait(0.01) is False


def test_the_end_of_a_block_stops_and_waits() -> None:
    kept: MemorySink[int] = memory()
    with doubled("block", kept).start() as running:
        running.send("numbers", 3)
    assert kept.take() == [6]


def test_an_exception_in_the_block_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), doubled("block", memory()).start():
        raise ZeroDivisionError


def test_many_applications_run_at_once_in_one_process() -> None:
    sinks: list[MemorySink[int]] = [memory() for _ in range(5)]
    runnings = [doubled(f"app {n}", sink).start() for n, sink in enumerate(sinks)]
    for number in range(100):
        for n, running in enumerate(runnings):
            running.send("numbers", number * 10 + n)
    for running in runnings:
        running.stop()
    assert all(running.wait(30) for running in runnings)
    for n, sink in enumerate(sinks):
        assert sink.take() == [(number * 10 + n) * 2 for number in range(100)]


def test_an_application_runs_inside_another() -> None:
    def inner(number: int) -> int:
        kept = memory()
        App("inner", source("numbers", range(number)).to_sink("kept", kept)).run()
        return len(kept.take())

    kept = memory()
    App("outer", source("numbers", [1, 5]).to(inner).to_sink("kept", kept)).run()
    assert kept.take() == [1, 5]


def test_it_runs_beside_an_event_loop() -> None:
    async def main() -> list[int]:
        kept: MemorySink[int] = memory()
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        # As in a notebook: a loop is running on this thread.
        running = doubled("loop", kept).start()
        for number in range(3_000):
            await running.send_async("numbers", number)
        running.stop()
        assert await asyncio.to_thread(running.wait, 30)
        ticking.cancel()
        assert ticks > 0
        return kept.take()

    assert asyncio.run(main()) == [n * 2 for n in range(3_000)]


def test_run_inside_a_running_event_loop_is_possible() -> None:
    async def main() -> list[int]:
        kept = memory()
        App("loop", source("numbers", range(3)).to_sink("kept", kept)).run()
        return kept.take()

    assert asyncio.run(main()) == [0, 1, 2]


def test_durable_sends_wait_for_the_commit(tmp_path: Path) -> None:
    async def main() -> None:
        with doubled("durable", memory()).start(store=tmp_path, checkpoint_every=60) as running:
            running.send_durable("numbers", 1)
            await asyncio.gather(*(running.send_durable_async("numbers", n) for n in range(5)))
            status = running.status()
            assert status["checkpoints"]["commits"] >= 1
            assert status["nodes"]["numbers"]["messages_out"] == 6

    asyncio.run(main())


def test_checkpoints_and_savepoints_are_made_on_demand(tmp_path: Path) -> None:
    with doubled("demand", memory()).start(store=tmp_path, checkpoint_every=60) as running:
        running.send("numbers", 1)
        before = running.status()["checkpoints"]["commits"]
        running.checkpoint()
        running.savepoint("mine")
        assert running.status()["checkpoints"]["commits"] > before
    with pytest.raises(wallaroo.Error), doubled("demand", memory()).start(store=tmp_path, from_checkpoint="absent"):
        pass
    with doubled("demand", memory()).start(store=tmp_path, from_checkpoint="mine") as running:
        assert running.status()["checkpoints"]["resumed_from"] is not None


def test_without_a_store_a_checkpoint_is_refused() -> None:
    with doubled("none", memory()).start() as running, pytest.raises(wallaroo.InvalidError, match='store="./data"'):
        running.checkpoint()


def test_a_store_that_is_in_use_is_refused_with_the_process(tmp_path: Path) -> None:
    with doubled("used", memory()).start(store=tmp_path), pytest.raises(wallaroo.Error, match=str(os.getpid())):
        doubled("used", memory()).start(store=tmp_path)


def test_a_thread_of_the_user_that_keeps_the_interpreter_busy_only_slows_it_down() -> None:
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            sum(range(1_000))

    threads = [threading.Thread(target=busy) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        kept: MemorySink[int] = memory()
        with doubled("busy", kept).start() as running:
            for number in range(500):
                running.send("numbers", number)
        assert kept.take() == [n * 2 for n in range(500)]
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_threads_of_the_user_send_at_once() -> None:
    kept: MemorySink[int] = memory()
    with doubled("threads", kept).start() as running:

        def send(start: int) -> None:
            for number in range(start, start + 200):
                running.send("numbers", number)

        threads = [threading.Thread(target=send, args=(start,)) for start in range(0, 1_000, 200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    taken = kept.take()
    assert sorted(taken) == [n * 2 for n in range(1_000)]
    assert [n for n in taken if n < 400] == [n * 2 for n in range(200)]


def test_handlers_wait_for_other_threads_of_python() -> None:
    answers: dict[int, int] = {}

    def ask(number: int) -> int:
        thread = threading.Thread(target=lambda: answers.__setitem__(number, number + 1))
        thread.start()
        thread.join(30)
        return answers[number]

    kept = memory()
    App("ask", source("numbers", range(10)).to(ask).to_sink("kept", kept)).run()
    assert kept.take() == list(range(1, 11))


# Context


def test_the_context_has_key_and_time_and_is_valid_during_its_call() -> None:
    seen: list[Any] = []
    contexts: list[Context] = []

    def look(number: int, state: dict[str, int], ctx: Context) -> None:
        seen.append((ctx.key, ctx.now, ctx.now_ns))
        contexts.append(ctx)

    before = time.time()
    App("context", source("numbers", [1, 2]).key_by(lambda n: (n, "x")).to(look, state=dict).end()).run()
    after = time.time()
    assert [key for key, _, _ in seen] == [(1, "x"), (2, "x")]
    for _, now, now_ns in seen:
        assert before - 1 <= now <= after + 1
        assert abs(now_ns / 1e9 - now) < 1e-3
    with pytest.raises(RuntimeError, match="the context is valid only during the call that it was given to"):
        contexts[0].emit(1)


def test_the_context_may_be_a_keyword_or_stand_anywhere() -> None:
    def keyword(number: int, *, ctx: Context) -> float:
        return ctx.now

    def first(ctx: Context, number: int) -> int:
        ctx.emit(number)
        return number + 1

    class Total:
        def add(self, number: int, ctx: Context) -> Any:
            return ctx.key

    kept = memory()
    begin = source("numbers", [1])
    App("keyword", begin.to(keyword).to_sink("kept", kept)).run()  # type: ignore[arg-type]
    assert isinstance(kept.take()[0], float)
    App("first", begin.to(first).to_sink("kept", kept)).run()  # type: ignore[arg-type]
    assert kept.take() == [1, 2]
    App("method", begin.key_by(str).to(Total.add, state=Total).to_sink("kept", kept)).run()
    assert kept.take() == ["1"]


def test_without_state_there_is_no_key_and_nothing_to_forget() -> None:
    def look(number: int, ctx: Context) -> Any:
        with pytest.raises(RuntimeError, match="forget\\(\\) is for stages with state; this one has none"):
            ctx.forget()
        return (ctx.key,)

    kept = memory()
    App("context", source("numbers", [1]).to(look).to_sink("kept", kept)).run()
    assert kept.take() == [(None,)]


def test_a_function_that_yields_emits_in_between() -> None:
    def each(number: int, ctx: Context) -> Any:
        ctx.emit("before")
        yield number
        ctx.emit("between")
        yield number + 1
        ctx.emit("after")

    kept = memory()
    App("each", source("numbers", [1, 5]).to_many(each).to_sink("kept", kept)).run()
    assert kept.take() == ["before", 1, "between", 2, "after", "before", 5, "between", 6, "after"]


def test_a_context_by_name_adds_no_frame_to_the_traceback() -> None:
    def fail(number: int, *, ctx: Context) -> None:
        raise KeyError("no")

    with pytest.raises(KeyError) as raised:
        App("fail", source("numbers", [1]).to(fail).end()).run()  # type: ignore[arg-type]
    assert [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)][1:] == ["fail"]


# Logging


def count(number: int, seen: list[int]) -> None:
    seen.append(number)


def test_the_log_of_the_engine_is_in_logging_under_wallaroo(engine_log: pytest.LogCaptureFixture) -> None:
    App("logged", source("numbers", [1]).to(count, state=list).end()).run()
    (record,) = engine_log.records
    assert (record.name, record.levelno) == ("wallaroo.native.application", logging.WARNING)
    assert record.getMessage().startswith("a stage with state has no key_by before it")


def test_a_failure_that_nobody_waits_for_is_logged_and_still_raised(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(number: int) -> None:
        message = f"no {number}"
        raise ValueError(message)

    running = App("refusing", source("numbers", [7]).to(refuse).named("refuse").end()).start()
    end = time.monotonic() + 30
    while not caplog.records and time.monotonic() < end:
        time.sleep(0.01)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("wallaroo", "ERROR")
    told = record.getMessage()
    assert "nobody waits" in told
    assert all(part in told for part in ('"refuse"', "ValueError: no 7", "record 1")), told
    with pytest.raises(ValueError, match="no 7"):
        running.wait(30)


def test_a_level_of_logging_is_obeyed(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, logger="wallaroo"):
        App("quiet", source("numbers", [1]).to(count, state=list).end()).run()
    assert caplog.records == []


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("wallaroo", "wallaroo"),
        ("wallaroo::durable", "wallaroo.durable"),
        ("wallaroo_engine::watch", "wallaroo.engine.watch"),
        ("_native::keys", "wallaroo.native.keys"),
        ("object_store", "wallaroo.object_store"),
    ],
)
def test_every_logger_of_the_engine_is_below_wallaroo(target: str, name: str) -> None:
    assert logger_of(target) == name


def test_the_status_tells_how_many_keys_there_are_and_how_far_a_source_is_behind(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("some words\n" * 10_000)
    started, go_on = threading.Event(), threading.Event()

    class Words:
        def __init__(self) -> None:
            self.count = 0

        def on_line(self, line: str) -> None:
            started.set()
            assert go_on.wait(60)
            self.count += 1

    words = State("words", Words)
    lines = source("lines", wallaroo.file(path, wallaroo.lines(), follow=True))
    with App("behind", lines.key_by(lambda line: line[:4]).to(Words.on_line, state=words).end()).start() as running:
        assert started.wait(60)
        behind = running.status()["nodes"]["lines"]
        assert 0 < behind["lag_bytes"] < path.stat().st_size
        assert behind["lag_messages"] is None
        go_on.set()
        until = time.monotonic() + 60
        while running.status()["nodes"]["lines"]["lag_bytes"] and time.monotonic() < until:
            time.sleep(0.01)
        assert running.status()["nodes"]["lines"]["lag_bytes"] == 0
        assert running.status()["states"] == {"words": {"keys": 1}}


def test_a_stuck_handler_is_told_in_the_status_and_in_the_log(engine_log: pytest.LogCaptureFixture) -> None:
    started = threading.Event()
    told = threading.Event()

    def wait(number: int) -> None:
        started.set()
        assert told.wait(60)

    with App("stuck", source("numbers", [1]).to(wait).end()).start(stuck_after=0.05) as running:
        assert started.wait(60)
        until = time.monotonic() + 60
        while not running.status()["stuck"] and time.monotonic() < until:
            time.sleep(0.01)
        (stuck,) = running.status()["stuck"]
        assert 'stage "wait"' in stuck
        told.set()
        assert running.wait(60)
    assert 'at=stage "wait", source "numbers", 0, record 1' in engine_log.text


# Programs


def test_breakpoint_works_on_the_main_thread(program: Program, tmp_path: Path) -> None:
    commands = tmp_path / ".pdbrc"
    commands.write_text("p ('seen', number, stock)\nc\n")
    ran = program(
        """
import threading
import wallaroo

def look(number, stock):
    assert threading.current_thread() is threading.main_thread()
    stock.append(number)
    breakpoint()
    return number

wallaroo.App("debug", wallaroo.source("numbers", [7]).key_by(str).to(look, state=list).to_sink("out", wallaroo.stdout())).run()
""",
        HOME=str(tmp_path),
    )
    assert "('seen', 7, [7])" in ran.stdout
    assert ran.returncode == 0, ran.stderr


def test_control_c_lets_an_application_drain_and_is_raised(tmp_path: Path) -> None:
    path = tmp_path / "app.py"
    path.write_text("""
import itertools, sys, time
import wallaroo

class Out(wallaroo.Sink):
    def write(self, messages):
        print(len(messages), flush=True)
    def close(self):
        print("closed", flush=True)

def slow(number):
    time.sleep(0.001)
    return number

try:
    wallaroo.App("endless", wallaroo.source("numbers", itertools.count()).to(slow).to_sink("out", Out())).run()
except KeyboardInterrupt:
    print("interrupted", flush=True)
""")
    process = subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
        assert rest.split()[-2:] == ["closed", "interrupted"]
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("last", ["", "running.stop()", "running.send('numbers', 1)"])
def test_a_started_application_that_nobody_waits_for_does_not_keep_the_program_alive(program: Program, last: str) -> None:
    """Its thread panicked when it came back to an interpreter that was gone."""
    ran = program(f"""
import wallaroo
running = wallaroo.App("open", wallaroo.source("numbers", wallaroo.channel()).end()).start()
print("end")
{last}
""")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "end\n", "")


def resident() -> int:
    """Bytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory of the process is read from /proc")
def test_memory_is_flat_over_many_messages() -> None:
    class Count:
        __slots__ = ("last", "seen")

        def __init__(self) -> None:
            self.seen = 0
            self.last = ""

        def add(self, number: int, ctx: Context) -> str | None:
            self.seen += 1
            self.last = f"message {number}"
            ctx.emit([number] * 10)
            return self.last

    def work(count: int) -> None:
        numbers = source("numbers", lambda: iter(range(count)))
        counted = numbers.key_by(lambda n: n % 100).to(Count.add, state=Count).on_error("skip")
        App("memory", counted.to_sink("out", wallaroo.discard())).run()
        gc.collect()

    work(20_000)
    before = resident()
    work(100_000)
    # A reference that is lost per message would be 100,000 lists of 136 bytes.
    assert resident() - before < 8_000_000


def test_objects_are_let_go_when_an_application_has_ended() -> None:
    class Held:
        count = 0

        def __init__(self) -> None:
            type(self).count += 1

        def __del__(self) -> None:
            type(self).count -= 1

        def add(self, number: int) -> Any:
            return object()

    kept = memory()
    app = App("held", source("numbers", range(10)).key_by(lambda n: n).to(Held.add, state=Held).to_sink("kept", kept))
    app.run()
    del app
    gc.collect()
    assert Held.count == 0
