"""The command: programs found and run, checked and stopped, and stores looked into."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from running import Process, connect, free_port

STOCKS = """
from dataclasses import dataclass
import sys
import wallaroo

@dataclass
class Tick:
    symbol: str
    price: float

@dataclass
class Stock:
    high: float = 0.0

    def on_tick(self, tick: Tick) -> Tick | None:
        if tick.price <= self.high:
            return None
        self.high = tick.price
        return tick

ticks = wallaroo.source("ticks", wallaroo.file("ticks.csv", wallaroo.csv(Tick)))
highs = ticks.key_by("symbol").to(Stock.on_tick, state=wallaroo.State("stocks", Stock))
app = wallaroo.App("stocks", highs.to_sink("highs", wallaroo.stdout()))

if __name__ == "__main__":
    app.main()
"""
TICKS = "symbol,price\nIBM,1\nIBM,3\nMSFT,2\nIBM,2\n"
HIGHS = '{"symbol":"IBM","price":1.0}\n{"symbol":"IBM","price":3.0}\n{"symbol":"MSFT","price":2.0}\n'


@pytest.fixture
def stocks(tmp_path: Path) -> Path:
    """A directory with a program and its input."""
    (tmp_path / "app.py").write_text(STOCKS)
    (tmp_path / "ticks.csv").write_text(TICKS)
    return tmp_path


def said(directory: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """What a call of the command says: its exit code, its output and its errors."""
    with Process(directory, *arguments, **environment) as process:
        code = process.wait()
    return code, process.output, process.errors


# Running.


@pytest.mark.parametrize("program", ["app.py", "./app.py", "app", "app:app", "app.py:app"])
def test_a_program_is_run(stocks: Path, program: str) -> None:
    code, output, errors = said(stocks, "run", program, "--log", "off")
    assert (code, output) == (0, HIGHS)
    assert "Traceback" not in errors


def test_options_are_those_of_the_application(stocks: Path) -> None:
    (stocks / "other.csv").write_text("symbol,price\nA,1\n")
    code, output, _ = said(stocks, "run", "--log", "off", "--in", "ticks=other.csv", "app.py", "--out", "highs=out.txt")
    assert (code, output) == (0, "")
    assert (stocks / "out.txt").read_text() == '{"symbol":"A","price":1.0}\n'
    code, output, _ = said(stocks, "run", "app.py", "--help")
    assert code == 0
    assert "Usage: wallaroo run app.py [OPTIONS]" in output
    assert "ticks  ticks.csv" in output
    code, _, errors = said(stocks, "run", "app.py", "--sotre", "x")
    assert code == 2
    assert "--sotre" in errors


def test_arguments_behind_two_dashes_are_the_programs(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import sys, wallaroo\n"
        'app = wallaroo.App("arguments", wallaroo.source("a", sys.argv).to_sink("out", wallaroo.stdout()))\n'
    )
    code, output, _ = said(tmp_path, "run", "app.py", "--log", "off", "--", "--log", "-x", "y")
    assert (code, output.splitlines()[1:]) == (0, ["--log", "-x", "y"])
    assert output.splitlines()[0].endswith("app.py")


def test_a_program_is_imported_under_its_real_name(tmp_path: Path) -> None:
    package = tmp_path / "shop" / "orders"
    package.mkdir(parents=True)
    for directory in (package, package.parent):
        (directory / "__init__.py").write_text("")
    (package / "prices.py").write_text("PRICE = 7\n")
    (package / "flow.py").write_text(
        "import wallaroo\nfrom .prices import PRICE\n"
        'orders = wallaroo.App("orders", wallaroo.source("a", [__name__, PRICE]).to_sink("out", wallaroo.stdout()))\n'
    )
    for program in ("shop/orders/flow.py", "shop.orders.flow", "shop.orders.flow:orders"):
        code, output, errors = said(tmp_path, "run", program, "--log", "off")
        assert (code, output) == (0, "shop.orders.flow\n7\n"), errors


def test_the_program_may_still_be_run_by_python(stocks: Path) -> None:
    command = [sys.executable, "app.py", "--log", "off"]
    done = subprocess.run(command, cwd=stocks, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == HIGHS


@pytest.mark.parametrize(
    ("name", "source", "program", "expected"),
    [
        ("none", "", "none.py", "none.py has no application; assign one to a global variable: app = wallaroo.App(…)"),
        (
            "two",
            'import wallaroo\na, b = (wallaroo.App(n, wallaroo.source("s", []).end()) for n in "ab")\n',
            "two.py",
            "two.py has several applications, 'a', 'b'; say which: two.py:a, or name one of them app",
        ),
        ("attribute", "", "attribute:made", "'made' in the module 'attribute' is not there; expected a wallaroo.App"),
        ("number", "app = 7", "number:app", "'app' in the module 'number' is a int; expected a wallaroo.App"),
        ("x", "", "nothing.py", "there is no file 'nothing.py'; give the path of the program"),
        ("x", "", "nothing", "there is no module 'nothing' here; give the path of a file, or a module that Python finds"),
        ("x", "", "no-name", "'no-name' is no program; expected a file like app.py, or a module like package.module:app"),
        ("a-b", "", "a-b.py", "'a-b.py' cannot be imported: its name is no name of a module"),
        ("json", "", "json.py", "'json.py' cannot be imported: the module "),
        (
            "unguarded",
            'import wallaroo\napp = wallaroo.App("a", wallaroo.source("s", []).end())\napp.main()\n',
            "unguarded.py",
            "unguarded.py calls main() while it is imported, and the command runs its application already; put the call behind: "
            'if __name__ == "__main__":',
        ),
    ],
)
def test_what_cannot_be_run_is_told(tmp_path: Path, name: str, source: str, program: str, expected: str) -> None:
    (tmp_path / f"{name}.py").write_text(source)
    code, output, errors = said(tmp_path, "run", program)
    assert (code, output) == (2, "")
    assert errors.startswith(f"error: {expected}")
    assert errors.count("\n") == 1


def test_an_exception_of_the_program_is_shown_without_frames_of_ours(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import wallaroo\n\ndef prepare():\n    return 1 / 0\n\nprepare()\n")
    code, _, errors = said(tmp_path, "run", "broken.py")
    assert code == 1
    assert errors.splitlines()[-1] == "ZeroDivisionError: division by zero"
    frames = [line.rpartition(", in ")[2] for line in errors.splitlines() if line.startswith("  File")]
    assert frames == ["<module>", "prepare"]


def test_what_a_pipeline_cannot_be_is_shown_at_the_line_that_says_it(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text('import wallaroo\n\nwallaroo.source("a", [1]).to(lambda one, two: one)\n')
    code, _, errors = said(tmp_path, "run", "wrong.py")
    assert code == 1
    frames = [line for line in errors.splitlines() if line.startswith("  File")]
    assert len(frames) == 1
    assert 'wrong.py", line 3, in <module>' in frames[0]
    assert errors.splitlines()[-1].startswith("TypeError: the function of the stage 'to@wrong.py:3' takes 2 arguments")


def test_an_import_that_a_program_lacks_is_the_programs_own(tmp_path: Path) -> None:
    (tmp_path / "lacking.py").write_text("import a_module_that_is_not_there\n")
    code, _, errors = said(tmp_path, "run", "lacking.py")
    assert code == 1
    assert errors.splitlines()[-1] == "ModuleNotFoundError: No module named 'a_module_that_is_not_there'"
    assert 'lacking.py", line 1' in errors


def test_several_workers_are_refused_with_the_reason(stocks: Path) -> None:
    code, output, errors = said(stocks, "run", "app.py", "--workers", "2")
    assert (code, output) == (2, "")
    assert errors.startswith("error: WAL-0201: --workers is 2; ")
    assert "a Python application runs on one worker for now, because one interpreter runs one thread of Python code" in errors
    assert "several processes under one command are what --workers will mean" in errors


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        ([], 0, "Usage: wallaroo <COMMAND>"),
        (["--help"], 0, "Usage: wallaroo <COMMAND>"),
        (["--version"], 0, "wallaroo 0."),
        (["run", "--help"], 0, "Usage: wallaroo run PROGRAM"),
        (["check", "-h"], 0, "Usage: wallaroo check PROGRAM"),
        (["run"], 2, "error: wallaroo run needs a program"),
        (["rum"], 2, "error: there is no command 'rum'; there are run, check, checkpoint and state"),
        (["run", "--application-module"], 2, "error: --application-module has no value"),
    ],
)
def test_the_command_explains_itself(tmp_path: Path, arguments: list[str], code: int, expected: str) -> None:
    got, output, errors = said(tmp_path, *arguments)
    assert got == code
    assert expected in (errors if code else output)
    assert (output if code else errors) == ""


# Stopping.

IDLE = """
import time
import wallaroo

def slow(line):
    print("began", flush=True)
    time.sleep(float(line))
    return line

lines = wallaroo.source("lines", wallaroo.tcp_listener("127.0.0.1:{port}", wallaroo.lines()))
app = wallaroo.App("idle", lines.to(slow).to_sink("out", wallaroo.stdout()))
"""


def idle(directory: Path) -> tuple[Process, int]:
    """A program that waits for lines, and sleeps as many seconds as they say; and its port."""
    port = free_port()
    (directory / "idle.py").write_text(IDLE.format(port=port))
    return Process(directory, "run", "idle.py"), port


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_an_idle_application(tmp_path: Path, number: signal.Signals) -> None:
    process, _ = idle(tmp_path)
    with process:
        process.wait_for_errors("listening")
        process.signal(number)
        assert process.wait() == 0
    assert "idle: stopping: no more input is taken; again to end at once" in process.errors
    assert "idle: stopped, 0 messages" in process.errors


def test_a_signal_is_answered_while_a_handler_sleeps_and_what_was_accepted_goes_through(tmp_path: Path) -> None:
    process, port = idle(tmp_path)
    with process, connect(port) as connection:
        connection.sendall(b"1.0\n0.01\n")
        process.wait_for_output("began")
        process.signal(signal.SIGINT)
        process.wait_for_errors("stopping")
        # The handler has not been cut short: its message comes out, and so does the one behind it.
        assert process.output == "began\n"
        assert process.wait() == 0
    assert process.output.splitlines() == ["began", "began", "1.0", "0.01"] or process.output.splitlines() == [
        "began",
        "1.0",
        "began",
        "0.01",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_at_once(tmp_path: Path, number: signal.Signals) -> None:
    process, port = idle(tmp_path)
    with process, connect(port) as connection:
        connection.sendall(b"1000\n")
        process.wait_for_output("began")
        process.signal(number)
        process.wait_for_errors("stopping")
        process.signal(number)
        assert process.wait() == 128 + number


TELLING = """
import io, os, signal, sys
import wallaroo

class Raw(io.RawIOBase):
    sent = False

    def writable(self):
        return True

    def write(self, data):
        if not Raw.sent and b"told" in bytes(data):
            Raw.sent = True
            os.kill(os.getpid(), signal.SIGINT)
        return os.write(2, data)

sys.stderr = io.TextIOWrapper(io.BufferedWriter(Raw()), line_buffering=True)

def tell(number):
    print("told", number, file=sys.stderr)
    return number

app = wallaroo.App("telling", wallaroo.source("numbers", [1, 2, 3]).to(tell).to_sink("out", wallaroo.stdout()))
"""


def test_a_signal_may_come_while_a_function_writes_to_the_standard_error(tmp_path: Path) -> None:
    """Its handler wrote there by ``print``, which Python refuses inside of another: the function's ``print`` raised."""
    (tmp_path / "telling.py").write_text(TELLING)
    code, output, errors = said(tmp_path, "run", "telling.py", "--log", "off")
    assert (code, output) == (0, "1\n2\n3\n"), errors
    assert "telling: stopping: no more input is taken; again to end at once\n" in errors


def test_a_program_that_is_being_imported_can_be_interrupted(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text('import time\nprint("importing", flush=True)\ntime.sleep(1000)\n')
    with Process(tmp_path, "run", "slow.py") as process:
        process.wait_for_output("importing")
        process.signal(signal.SIGINT)
        assert process.wait() == 130


# Checking.


def check(directory: Path, source: str, *options: str) -> tuple[int, dict[str, object], str]:
    """What ``check`` says of a program: its code, its JSON, and its text."""
    (directory / "checked.py").write_text(source)
    code, output, errors = said(directory, "check", "checked.py", "--json", *options)
    assert errors == ""
    text_code, text, errors = said(directory, "check", "checked.py", *options)
    assert (text_code, errors) == (code, "")
    return code, json.loads(output), text


def findings(report: dict[str, object]) -> list[tuple[str, str | None]]:
    return [(finding["kind"], finding["name"]) for finding in report["findings"]]  # type: ignore[attr-defined]


def test_a_good_application_has_nothing_to_say(stocks: Path) -> None:
    (stocks / "ticks.csv").unlink()
    code, report, text = check(stocks, STOCKS, "--store", "kept")
    assert code == 0
    assert text == "stocks can run with a store: 1 source, 1 stage, 1 state, 1 sink\n"
    assert (report["application"], report["ok"], report["findings"]) == ("stocks", True, [])
    names = [node["name"] for node in report["plan"]["nodes"]]  # type: ignore[index]
    assert names[0] == "ticks"
    assert names[-1] == "highs"
    assert not (stocks / "kept").exists()


COSTLY = """
import dataclasses
import wallaroo

@dataclasses.dataclass
class Tick:
    symbol: str

class Count:
    def __init__(self):
        self.seen = 0

    def on_tick(self, tick):
        self.seen += 1

def count_all(tick, count):
    count.seen += 1

def named(tick):
    return tick

ticks = wallaroo.source("ticks", wallaroo.tcp_listener("127.0.0.1:1", wallaroo.json(Tick)))
app = wallaroo.App(
    "costly",
    ticks.to(count_all, state=Count).end(),
    ticks.key_by(lambda tick: tick.symbol).to(Count.on_tick, state=wallaroo.State("pickled", Count, codec="pickle")).end(),
    ticks.to(named).key_by("symbol").to(lambda m, s: None, state=Count).on_error("skip").to_sink("out", wallaroo.discard()),
)
"""


def test_what_costs_is_told(tmp_path: Path) -> None:
    code, report, text = check(tmp_path, COSTLY)
    assert code == 0
    lambda_stage = "to@checked.py:27"
    assert findings(report) == [
        ("store", lambda_stage),
        ("cost", "ticks"),
        ("cost", "ticks (decode)"),
        ("cost", "count_all"),
        ("cost", None),
        ("cost", lambda_stage),
        ("cost", "pickled"),
    ]
    lines = text.splitlines()
    assert lines[0].startswith("checked.py:27: with a store: 'to@checked.py:27': its function has no name")
    assert "an input log" in lines[1]
    assert "msgspec.Struct" in lines[2]
    assert "no key_by before it, so all messages share one state object" in lines[3]
    assert lines[4].startswith(
        "checked.py:26: costs: its key is found by a function, so each record is decoded before it is routed"
    )
    assert "encoded before each call" in lines[5]
    assert "pickled" in lines[6]
    assert lines[7] == "costly can run: 1 source, 4 stages, 3 states, 1 sink"


def test_check_says_why_a_key_of_json_takes_a_decoder(tmp_path: Path) -> None:
    source = """
from dataclasses import dataclass
import wallaroo

@dataclass
class Tick:
    price: float
    symbol: str = "none"

ticks = wallaroo.source("ticks", wallaroo.file("ticks.jsonl", wallaroo.json(Tick)))
app = wallaroo.App("ticks", ticks.key_by("symbol").to(lambda m, s: None, state=list).end())
"""
    code, _, text = check(tmp_path, source)
    assert code == 0
    assert "costs: its key is not found in the raw bytes, so each record is decoded before it is routed" in text


def test_what_a_store_needs_is_an_error_with_a_store(tmp_path: Path) -> None:
    source = """
import socket
import wallaroo

class Link:
    def __init__(self):
        self.socket = socket.socket()
        self.socket.close()

def send(message, link):
    return message

numbers = wallaroo.source("numbers", [1])
app = wallaroo.App("links", numbers.key_by(lambda n: n).to(send, state=wallaroo.State("links", Link)).end())
"""
    code, report, _ = check(tmp_path, source)
    assert code == 0
    assert ("store", "links") in findings(report)
    code, report, text = check(tmp_path, source, "--store", "kept")
    assert (code, report["ok"]) == (1, False)
    assert (
        "checked.py:14: with a store: 'links': the state 'links' cannot be stored: attribute \"socket\" is a socket.socket"
        in text
    )
    assert text.endswith("links cannot run with a store\n")


@pytest.mark.parametrize(
    ("pipelines", "expected"),
    [
        ('numbers.to_sink("out", print), numbers.to_sink("out", print)', "out"),
        ('numbers.key_by(str).to(on, state=S("s", A)).end(), numbers.key_by(str).to(off, state=S("s", B)).end()', "'s'"),
        ('numbers.key_by(str).to(on, state=S("s", Needs)).end()', "cannot make an object for an unseen key"),
        (
            'numbers.key_by(str).to(on, state=S("s", Raises)).end()',
            "cannot make an object for an unseen key: Raises() raised ValueError: closed (checked.py:",
        ),
    ],
)
def test_what_cannot_run_is_an_error(tmp_path: Path, pipelines: str, expected: str) -> None:
    source = f"""
import wallaroo
from wallaroo import State as S

class A: pass
class B: pass
class Raises:
    def __init__(self):
        raise ValueError("closed")
class Needs:
    def __init__(self, value): pass
def on(message, state): pass
def off(message, state): pass

numbers = wallaroo.source("numbers", [1])
app = wallaroo.App("wrong", {pipelines})
"""
    code, report, text = check(tmp_path, source)
    assert (code, report["ok"]) == (1, False)
    assert findings(report)[0][0] == "error"
    assert expected in text
    assert text.endswith("wrong cannot run\n")


def test_check_tells_options_that_it_does_not_have(stocks: Path) -> None:
    code, _, errors = said(stocks, "check", "app.py", "--workers", "2")
    assert code == 2
    assert errors == "error: '--workers' is no option of check; there are --store, --json and --classic\n"


def test_programs_of_the_original_are_checked_too() -> None:
    programs = Path(__file__).parent / "classic_programs"
    arguments = ["--in", "x@127.0.0.1:7010", "--out", "127.0.0.1:7002"]
    code, output, errors = said(programs, "check", "word_count.py", *arguments)
    assert (code, errors) == (0, "")
    assert output.endswith("Word Count Application can run: 1 source, 3 stages, 1 state, 1 sink\n")


# Stores.

ORDERS = """
import collections
import datetime
import decimal
import enum
import uuid
from dataclasses import dataclass, field

import wallaroo

class Side(enum.Enum):
    BUY = 1

@dataclass
class Leg:
    side: Side = Side.BUY

@dataclass
class Order:
    legs: tuple[Leg, ...] = ()
    tags: set[str] = field(default_factory=set)
    fixed: frozenset[int] = frozenset()
    large: int = 0
    recent: collections.deque[int] = field(default_factory=lambda: collections.deque(maxlen=2))
    counts: collections.defaultdict[str, int] = field(default_factory=lambda: collections.defaultdict(int))
    words: collections.Counter[str] = field(default_factory=collections.Counter)
    at: datetime.datetime | None = None
    day: datetime.date | None = None
    time: datetime.time | None = None
    late: datetime.timedelta | None = None
    price: decimal.Decimal | None = None
    id: uuid.UUID | None = None
    raw: bytes = b""
    buffer: bytearray = field(default_factory=bytearray)
    number: float = 0.5

def on(key: int, order: Order) -> None:
    order.legs = (Leg(),)
    order.tags = {"a"}
    order.fixed = frozenset({1})
    order.large = 2**64
    order.recent.extend([1, 2, 3])
    order.counts["x"] += 1
    order.words["y"] += 2
    order.at = datetime.datetime(2026, 1, 2, 3, 4, 5)
    order.day = datetime.date(2026, 1, 2)
    order.time = datetime.time(3, 4)
    order.late = datetime.timedelta(days=-1, seconds=2)
    order.price = decimal.Decimal("1.50")
    order.id = uuid.UUID(int=7)
    order.raw = b"\\x00\\xff"
    order.buffer = bytearray(b"\\x01")

app = wallaroo.App(
    "orders",
    wallaroo.source("keys", [1, 2]).key_by(lambda key: key).to(on, state=wallaroo.State("orders", Order)).end(),
)
"""


def test_stores_are_looked_into_and_types_of_python_are_readable(tmp_path: Path) -> None:
    (tmp_path / "orders.py").write_text(ORDERS)
    code, _, errors = said(tmp_path, "run", "orders.py", "--store", "kept")
    assert code == 0, errors
    code, output, errors = said(tmp_path, "state", "get", "--store", "kept", "orders", "1", "--json")
    assert (code, errors) == (0, "")
    found = json.loads(output)
    assert (found["state"], found["key"]) == ("orders", 1)
    assert found["object"] == {
        "legs": [{"Leg": {"side": "Side.BUY"}}],
        "tags": ["a"],
        "fixed": [1],
        "large": "18446744073709551616",
        "recent": [2, 3],
        "counts": {"x": 1},
        "words": {"y": 2},
        "at": "2026-01-02T03:04:05",
        "day": "2026-01-02",
        "time": "03:04:00",
        "late": {"days": -1, "seconds": 2, "microseconds": 0},
        "price": "1.50",
        "id": "00000000-0000-0000-0000-000000000007",
        "raw": {"bytes": "00ff"},
        "buffer": {"bytes": "01"},
        "number": 0.5,
    }
    code, output, _ = said(tmp_path, "state", "list", "--store", "kept")
    assert code == 0
    assert output.splitlines()[1].split()[:2] == ["orders", "2"]
    code, output, _ = said(tmp_path, "checkpoint", "verify", "--store", "kept")
    assert code == 0
    assert "all as they were written" in output
    code, output, _ = said(tmp_path, "checkpoint", "list", "--store", "kept", "--json")
    assert code == 0
    assert json.loads(output)[0]["kept"] is True


def test_what_is_not_in_a_store_is_told(tmp_path: Path) -> None:
    code, output, errors = said(tmp_path, "state", "get", "--store", "nowhere", "orders", "1")
    assert (code, output) == (1, "")
    assert errors.startswith("error: WAL-")
    code, output, errors = said(tmp_path, "checkpoint", "lits", "--store", "kept")
    assert (code, output) == (2, "")
    assert "lits" in errors


def test_modules_beside_the_program_are_found_from_everywhere(tmp_path: Path) -> None:
    (tmp_path / "names.py").write_text('NAME = "helped"\n')
    (tmp_path / "main.py").write_text(
        "import wallaroo\nfrom names import NAME\n"
        'only = wallaroo.App("a", wallaroo.source("s", [NAME]).to_sink("out", wallaroo.stdout()))\n'
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    code, output, errors = said(elsewhere, "run", "../main.py", "--log", "off")
    assert (code, output) == (0, "helped\n"), errors
