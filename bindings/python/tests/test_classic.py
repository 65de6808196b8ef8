"""``wallaroo.classic``: the API of the original, and its programs, unchanged, over real connections."""

from __future__ import annotations

import json
import pickle
import signal
import struct
import sys
from pathlib import Path
from types import ModuleType

import pytest

from running import Process, Receiver, connect, free_port, send, wait_until
from wallaroo import InvalidError, classic, testing
from wallaroo.classic import _flags, _runner
from wallaroo.classic._framing import framing
from wallaroo.classic._generated import Generated

PROGRAMS = Path(__file__).parent / "classic_programs"


def original(directory: Path, program: str, *options: str) -> Process:
    """A program, run as the original was."""
    return Process(directory, "run", "--application-module", program, *options, PYTHONPATH=python_path())


def python_path() -> str:
    return ":".join([str(PROGRAMS), *(path for path in sys.path if path)])


def test_celsius(tmp_path: Path) -> None:
    port = free_port()
    arguments = ["--in", f"Celsius Conversion@127.0.0.1:{port}"]
    with Receiver() as out, original(tmp_path, "celsius", *arguments, "--out", f"127.0.0.1:{out.port}") as process:
        send(port, [struct.pack(">f", celsius) for celsius in (0.0, 100.0, -40.0)])
        frames = out.wait_for(24)
        assert [struct.unpack_from(">If", frames, at) for at in (0, 8, 16)] == [(4, 32.0), (4, 212.0), (4, -40.0)]
        assert process.stop() == 0


def test_reverse_and_what_it_prints_comes_at_once(tmp_path: Path) -> None:
    port = free_port()
    with Receiver() as out, original(tmp_path, "reverse", f"--in=x@127.0.0.1:{port}", "-o", f"127.0.0.1:{out.port}") as process:
        send(port, ["héllo".encode(), b"", b"abc"])
        assert out.lines(3) == ["olléh", "", "cba"]
        process.wait_for_output("reverse abc\n")
        assert process.stop() == 0


def test_word_count_under_the_whole_command_line_of_the_original(tmp_path: Path) -> None:
    port = free_port()
    flags = [
        *("--metrics", "127.0.0.1:5001", "--control", "127.0.0.1:6000", "--data", "127.0.0.1:6001"),
        *("--external", "127.0.0.1:5050", "--cluster-initializer", "--ponythreads=1", "--ponynoblock"),
    ]
    with Receiver() as out:
        arguments = ["--in", f"Split and Count@127.0.0.1:{port}", "--out", f"127.0.0.1:{out.port}", *flags]
        with original(tmp_path, "word_count", *arguments) as process:
            send(port, [b"The cat, the dog!", b"A  cat."])
            expected = ["the => 1", "cat => 1", "the => 2", "dog => 1", "a => 1", "cat => 2"]
            assert out.lines(len(expected)) == expected
            assert process.stop() == 0
    named = "--metrics, --control, --data, --external, --cluster-initializer, --ponythreads, --ponynoblock"
    assert process.errors.count(f"Word Count Application: without a meaning here: {named}") == 1


def test_market_spread(tmp_path: Path) -> None:
    orders, market = free_port(), free_port()
    with Receiver() as out:
        addresses = f"Orders@127.0.0.1:{orders},Market Data@127.0.0.1:{market}"
        with original(tmp_path, "market_spread", "--in", addresses, "--out", f"127.0.0.1:{out.port}") as process:

            def order(number: int, symbol: bytes) -> bytes:
                return struct.pack(">B6s4s", 1, f"{number:06}".encode(), symbol)

            send(orders, [order(1, b"IBM ")])
            size = 4 + struct.calcsize(">6s4sdd")
            out.wait_for(size)
            # The order that follows shows that the quotes have been handled: of another symbol, on the same connection.
            send(market, [struct.pack(">B4sdd", 2, b"IBM ", 100.0, 100.01), struct.pack(">B4sdd", 2, b"TSLA", 10.0, 20.0)])
            wait_until(lambda: _orders_until(orders, out, order, size), "the wide spread is known")
            send(orders, [order(3, b"IBM "), order(4, b"AAPL")])
            wait_until(lambda: b"000004" in out.received, "the last order is rejected")
            assert process.stop() == 0
    results = [struct.unpack_from(">I6s4sdd", out.received, at) for at in range(0, len(out.received), size)]
    assert results[0][1:] == (b"000001", b"IBM ", 0.0, 0.0)
    assert (b"000002", b"TSLA", 10.0, 20.0) in [result[1:] for result in results]
    assert b"000003" not in [result[1] for result in results]
    assert results[-1][1:] == (b"000004", b"AAPL", 0.0, 0.0)


def _orders_until(port: int, out: Receiver, order, size: int) -> bool:
    before = len(out.received)
    send(port, [order(2, b"TSLA")])
    out.wait_for(before + size)
    bid: float = struct.unpack_from(">6s4sdd", out.received, len(out.received) - size + 4)[2]
    return bid == 10.0


def test_alerts_of_a_generator_end_by_themselves(tmp_path: Path) -> None:
    with Receiver() as out, original(tmp_path, "alerts", "--out", f"127.0.0.1:{out.port}") as process:
        assert process.wait() == 0
        assert out.lines(6) == alerts()


def alerts() -> list[str]:
    """What the program of that name sends, by a loop."""
    totals: dict[str, int] = {}
    lines = []
    for turn in range(10):
        user = ["Fido", "Rex", "Feathers"][turn % 3]
        totals[user] = totals.get(user, 0) + 900 + 100 * turn
        if totals[user] > 2000:
            lines.append(f"Deposit Alert for {user}: {totals[user]}")
    return lines


def everything(numbers: list[int]) -> list[list[object]]:
    """What the program of that name sends, by a loop."""
    last: dict[int, list[int]] = {}
    counts = {True: 0, False: 0}
    sent: list[list[object]] = []
    total = 0
    for number in numbers:
        if number < 0:
            continue
        values = last[number % 3] = [*last.get(number % 3, []), number][-2:]
        if len(values) == 2:
            total += 1
            counts[bool(values[1] % 2)] += 1
            if total % 2:
                sent.append([total, counts[bool(values[1] % 2)], values])
    return sent


def test_filters_keys_sinks_state_of_a_function_and_arguments(tmp_path: Path) -> None:
    port = free_port()
    numbers = [1, 4, -1, 2, 5, 7, 8, 0, 3, 10, -5, 13, 6]
    with Receiver() as first, Receiver() as second:
        outs = f"127.0.0.1:{first.port},127.0.0.1:{second.port}"
        arguments = ["--in", f"numbers@127.0.0.1:{port}", "--out", outs, "--own", "7"]
        with original(tmp_path, "everything", *arguments) as process:
            # Zero is sent as an empty message.
            send(port, [struct.pack(">q", number) if number else b"" for number in numbers], "<H")
            expected = everything(numbers)
            assert len(expected) >= 4
            for out in (first, second):
                assert [json.loads(line) for line in out.lines(len(expected))] == expected
            assert process.stop() == 0
            assert process.output == "arguments: ['--own']\n"


def test_state_goes_on_from_a_store_under_the_options_of_the_original(tmp_path: Path) -> None:
    port = free_port()
    numbers = [1, 4, 2, 5, 7, 8, 0, 3, 10, 13, 6]
    expected = everything(numbers)
    count = len(everything(numbers[:5]))
    for part, lines in ((numbers[:5], expected[:count]), (numbers[5:], expected[count:])):
        with Receiver() as out:
            arguments = ["--in", f"numbers@127.0.0.1:{port}", "--out", f"127.0.0.1:{out.port}"]
            resilience = ["--run-with-resilience", "--resilience-dir", "kept", "--time-between-checkpoints", "50000000"]
            with original(tmp_path, "everything", *arguments, *resilience) as process:
                send(port, [struct.pack(">q", number) for number in part], "<H")
                assert [json.loads(line) for line in out.lines(len(lines))] == lines
                assert process.stop() == 0, process.errors
    with Process(tmp_path, "state", "list", "--store", "kept/everything") as looked:
        assert looked.wait() == 0
    assert [line.split()[0] for line in looked.output.splitlines()[1:]] == ["count", "count", "remember"]


TOTALS = """
import time
import wallaroo

def application_setup(args):
    host, port = wallaroo.tcp_parse_output_addrs(args)[0]
    numbers = wallaroo.source("numbers", wallaroo.GenSourceConfig("numbers", Numbers()))
    pipeline = numbers.key_by(one).to(add).to_sink(wallaroo.TCPSinkConfig(host, port, encode))
    return wallaroo.build_application("totals", pipeline)

class Numbers(object):
    turn = 1
    def initial_value(self):
        return self.turn
    def apply(self, value):
        # What it remembers counts, not the value.
        self.turn += 1
        return self.turn if self.turn <= 20000 else None

class Total(object):
    def __init__(self):
        self.value = 0

@wallaroo.key_extractor
def one(number):
    return "one"

@wallaroo.state_computation(name="add", state=Total)
def add(number, total):
    time.sleep(0.0001)
    total.value += number
    return (number, total.value)

@wallaroo.encoder
def encode(pair):
    return "%d %d\\n" % pair
"""


def test_a_generator_and_its_state_survive_being_killed(tmp_path: Path) -> None:
    (tmp_path / "totals.py").write_text(TOTALS)
    with Receiver() as out:
        arguments = ["--out", f"127.0.0.1:{out.port}", "--store", "kept", "--checkpoint-every", "50ms"]
        with original(tmp_path, "totals", *arguments) as process:
            # A fence and some commits.
            wait_until(lambda: len(list(tmp_path.glob("kept/log/*"))) > 3, "checkpoints are made")
            process.signal(signal.SIGKILL)
            process.wait()
        before = len(out.received.splitlines())
        assert before < 20_000
        with original(tmp_path, "totals", *arguments) as process:
            assert process.wait() == 0, process.errors
        wait_until(lambda: out.received.endswith(b"20000 200010000\n"), "the last total")
        pairs = [tuple(map(int, line.split())) for line in out.received.decode().splitlines()]
    # Every number counts once: whatever is sent twice is the same twice, and the second process did not begin anew.
    assert {number for number, _ in pairs} == set(range(1, 20_001))
    assert all(total == number * (number + 1) // 2 for number, total in pairs)
    assert pairs[before][0] > 1


def test_messages_over_tcp_survive_being_killed_before_the_first_checkpoint(tmp_path: Path) -> None:
    port = free_port()
    with Receiver() as out:
        arguments = ["--in", f"x@127.0.0.1:{port}", "--out", f"127.0.0.1:{out.port}"]
        arguments += ["--run-with-resilience", "--resilience-dir", "kept", "--time-between-checkpoints", "3_600_000_000_000"]
        with original(tmp_path, "word_count", *arguments) as process:
            send(port, [b"cat"] * 50)
            assert out.lines(50)[-1] == "cat => 50"
            process.signal(signal.SIGKILL)
            process.wait()
        with original(tmp_path, "word_count", *arguments) as process:
            send(port, [b"dog", b"cat"])
            wait_until(lambda: b"dog => 1" in out.received and b"cat => 51\n" in out.received, "the count goes on")
            assert process.stop() == 0
    # What was sent before the kill may be sent again; it counts once.
    assert "cat => 52" not in out.received.decode()


def test_a_program_without_application_setup_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("import wallaroo\n")
    with original(tmp_path, "empty") as process:
        assert process.wait() == 2
    expected = "error: empty has no function application_setup(args), which a program for the original Wallaroo has\n"
    assert process.errors == expected


def test_a_file_that_defines_application_setup_needs_no_option(tmp_path: Path) -> None:
    with Receiver() as out:
        program = str(PROGRAMS / "alerts.py")
        with Process(tmp_path, "run", program, "--out", f"127.0.0.1:{out.port}") as process:
            assert process.wait() == 0
            assert out.lines(6) == alerts()


HELPER = """
import wallaroo
import wallaroo.experimental
from wallaroo.experimental import SinkConnectorConfig

@wallaroo.encoder
def encode(data):
    return str(data) + "\\n"

WHERE = (wallaroo.__name__, SinkConnectorConfig is wallaroo.experimental.SinkConnectorConfig)
"""

MAIN = """
import pickle
import wallaroo
import helper

def application_setup(args):
    host, port = wallaroo.tcp_parse_output_addrs(args)[0]
    first = "--cluster-initializer" in wallaroo._ARGS
    print([helper.WHERE, first, "--threshold=7" in args, pickle.loads(pickle.dumps(double)).compute(4)])
    numbers = wallaroo.source("numbers", wallaroo.GenSourceConfig("numbers", Once()))
    return wallaroo.build_application("main", numbers.to(double).to_sink(wallaroo.TCPSinkConfig(host, port, helper.encode)))

class Once(object):
    def initial_value(self):
        return 1
    def apply(self, value):
        return None

@wallaroo.computation(name="double")
def double(data):
    return data * 2
"""


def test_all_modules_of_a_program_import_what_the_original_had(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text(HELPER)
    (tmp_path / "start.py").write_text(MAIN)
    with Receiver() as out, original(tmp_path, "start", "-o", f"127.0.0.1:{out.port}", "--threshold=7") as process:
        assert process.wait() == 0, process.errors
        assert out.lines(1) == ["2"]
    assert process.output == "[('wallaroo.classic', True), True, True, 8]\n"


@pytest.mark.parametrize("options", [["--worker-count", "2"], ["-w", "2"], ["--join=127.0.0.1:6000"]])
def test_several_workers_are_refused(tmp_path: Path, options: list[str]) -> None:
    with original(tmp_path, "alerts", "--out", "127.0.0.1:1", *options) as process:
        assert process.wait() == 2
    assert "asks for several workers; a Python application runs on one for now" in process.errors


def test_an_exception_is_told_with_its_stage_and_without_frames_of_ours(tmp_path: Path) -> None:
    port = free_port()
    orders = free_port()
    addresses = f"Orders@127.0.0.1:{orders},Market Data@127.0.0.1:{port}"
    with original(tmp_path, "market_spread", "--in", addresses, "--out", "127.0.0.1:1") as process:
        send(orders, [struct.pack(">B6s4s", 9, b"000001", b"IBM ")])
        assert process.wait() == 1
    assert "market_spread.MarketSpreadError: Wrong message type" in process.errors
    assert "Orders" in process.errors
    frames = [line for line in process.errors.splitlines() if line.startswith("  File")]
    assert len(frames) == 1
    assert "decode_order" in frames[0]


def test_a_message_that_is_too_long_ends_its_connection_and_no_more(tmp_path: Path) -> None:
    port = free_port()
    with (
        Receiver() as out,
        original(tmp_path, "reverse", "--in", f"x@127.0.0.1:{port}", "--out", f"127.0.0.1:{out.port}") as process,
    ):
        with connect(port) as connection:
            connection.sendall(struct.pack(">I", 16_385))
            assert connection.recv(1) == b""
        send(port, [b"x" * 16_384])
        assert out.lines(1) == ["x" * 16_384]
        assert process.stop() == 0


ODD_HEADER = """
import wallaroo

def application_setup(args):
    (name, host, port), = wallaroo.tcp_parse_input_addrs(args)
    (out_host, out_port), = wallaroo.tcp_parse_output_addrs(args)
    lines = wallaroo.source("lines", wallaroo.TCPSourceConfig(name, host, port, Letters(), max_size=10))
    return wallaroo.build_application("lines", lines.to_sink(wallaroo.TCPSinkConfig(out_host, out_port, encode)))

class Letters(wallaroo.Decoder):
    def header_length(self):
        return 3
    def payload_length(self, bs):
        return int(bs)
    def decode(self, bs):
        return bs or None

@wallaroo.encoder
def encode(bs):
    return bs + b"\\n"
"""


@pytest.mark.parametrize("options", [[], ["--store", "kept"]])
def test_a_decoder_may_say_lengths_in_its_own_way(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "odd.py").write_text(ODD_HEADER)
    port = free_port()
    with (
        Receiver() as out,
        original(tmp_path, "odd", "--in", f"x@127.0.0.1:{port}", "--out", f"127.0.0.1:{out.port}", *options) as process,
    ):
        with connect(port) as connection:
            connection.sendall(b"005hello00")
            connection.sendall(b"0003abc002de")
            assert out.lines(3) == ["hello", "abc", "de"]
            connection.sendall(b"011")
            assert connection.recv(1) == b""
        assert process.stop() == 0


# The objects that decorators make.


@classic.computation(name="double")
def double(data):
    """Twice."""
    return data * 2


@classic.computation_multi(name="both")
def both(data):
    return [data, data * 2]


class Total:
    value = 0


@classic.state_computation(name="add", state=Total)
def add(data, state):
    state.value += data
    return state.value


@classic.state_computation_multi(name="add and show", state=Total)
def add_and_show(data, state):
    state.value += data
    return [data, state.value]


@classic.key_extractor
def key(data):
    return data


@classic.decoder(header_length=4, length_fmt=">I")
def decode(bs):
    return bs.decode()


@classic.encoder
def encode(data):
    return data.encode()


def test_decorated_functions_have_the_methods_of_the_original() -> None:
    assert (double.name(), double.compute(2), double.is_stateful, double.__doc__) == ("double", 4, False, "Twice.")
    assert (both.name(), both.compute_multi(2), both._is_multi) == ("both", [2, 4], True)
    state = add.initial_state()
    assert (add.name(), add.compute(3, state), state.value, add.is_stateful) == ("add", 3, 3, True)
    assert add_and_show.compute_multi(3, state) == [3, 6]
    assert [key.extract_key(value) for value in ("a", b"a", 97)] == ["a", b"a", 97]
    assert (decode.header_length(), decode.payload_length(b"\0\0\1\0"), decode.decode(b"x")) == (4, 256, "x")
    assert encode.encode("x") == b"x"
    kinds = [type(each).__mro__[1] for each in (double, both, add, add_and_show, key, decode, encode)]
    assert kinds == [
        classic.Computation,
        classic.ComputationMulti,
        classic.StateComputation,
        classic.StateComputationMulti,
        classic.KeyExtractor,
        classic.OctetDecoder,
        classic.OctetEncoder,
    ]


def test_they_stay_callable() -> None:
    assert double(2) == 4
    assert double() is double
    assert add(2, Total()) == 2
    assert decode(b"x") == "x"


def test_they_are_pickled_also_when_their_function_is_local() -> None:
    def local(data):
        return data + 1

    decorated = [classic.computation(f"local {number}")(local) for number in range(2)]
    for each in [*decorated, double, both, add, add_and_show, key, decode, encode]:
        again = pickle.loads(pickle.dumps(each))
        assert type(again) is type(each)
    assert [pickle.loads(pickle.dumps(each)).name() for each in decorated] == ["local 0", "local 1"]
    assert pickle.loads(pickle.dumps(decorated[1])).compute(1) == 2


def two(one, other):
    return one + other


def default(one, other=1):
    return one + other


def test_a_function_with_other_arguments_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(classic.WallarooParameterError, match="your function two must have 1 parameter"):
        classic.computation("two")(two)  # type: ignore[arg-type]
    with pytest.raises(classic.WallarooParameterError, match="Expected a callable object but got a 7 for seven"):
        classic.computation("seven")(7)  # type: ignore[arg-type]
    assert capsys.readouterr().out.count("API_Error: ") == 2
    assert classic.computation("default")(default).compute(1) == 2


def sink() -> classic.TCPSinkConfig:
    return classic.TCPSinkConfig("127.0.0.1", "7002", encode)


def test_the_topology_is_that_of_the_original() -> None:
    orders = classic.source("Orders", classic.TCPSourceConfig("Orders", "127.0.0.1", "7010", decode))
    quotes = classic.source("Quotes", classic.TCPSourceConfig("Quotes", "127.0.0.1", "7011", decode))
    pipeline = orders.merge(quotes).key_by(key).to(add).to_sink(sink())
    name, root, stages, edges = classic.build_application("Market Spread", pipeline)
    assert (name, root, edges) == ("Market Spread", 1, [[], [0, 2], []])
    kinds = [[stage[0] for stage in each] for each in stages]
    assert kinds == [["source"], ["key_by", "to_state", "to_sink"], ["source"]]
    config = ("tcp", "Orders", "127.0.0.1", "7010", decode, True, 10, 16384, 50)
    assert stages[0] == [("source", "Orders", config)]
    assert stages[1][-1] == ("to_sink", ("tcp", "", "127.0.0.1", "7002", encode))


def test_pipelines_are_values() -> None:
    numbers = classic.source("numbers", classic.GenSourceConfig("numbers", Counting(3)))
    doubled = numbers.to(double)
    doubled.to(add)
    assert len(doubled.to_sink(sink())._stages[0]) == 3
    with pytest.raises(classic.WallarooParameterError, match="can't add stages after to_sink"):
        doubled.to_sink(sink()).to(add)
    with pytest.raises(classic.WallarooParameterError, match="must end with to_sink"):
        classic.build_application("open", doubled)


class Counting:
    """A generator that remembers: it cannot be told from its value alone where it is."""

    def __init__(self, end: int) -> None:
        self.end = end
        self.made = 0

    def initial_value(self):
        return 0

    def apply(self, value):
        self.made += 1
        return self.made * 10 if self.made < self.end else None


class Unknown(Counting):
    """One that pickle does not know."""

    def __reduce__(self):
        message = "not this one"
        raise TypeError(message)


@pytest.mark.parametrize("generator", [Counting(5), Unknown(5)])
def test_a_generator_goes_on_where_it_was(generator: Counting) -> None:
    source = Generated(generator)
    reader = source.open("0", None)
    assert reader.read(2) == [0, 10]
    position = json.loads(json.dumps(reader.position()))
    rest = [reader.read(2), reader.read(2), reader.read(2)]
    assert rest == [[20, 30], [40], None]
    fresh = type(generator)(5)
    again = Generated(fresh).open("0", position)
    assert [again.read(2), again.read(2), again.read(2)] == rest


def test_addresses_are_parsed_as_in_the_original() -> None:
    arguments = ["program", "--in", "A@h:1,B@i:2", "-o", "h:3,i:4", "--other"]
    assert classic.tcp_parse_input_addrs(arguments) == [("A", "h", "1"), ("B", "i", "2")]
    assert classic.tcp_parse_output_addrs(arguments) == [("h", "3"), ("i", "4")]
    assert classic.tcp_parse_input_addrs(["-i", "h:1"]) == [("h", "1")]
    with pytest.raises(SystemExit):
        classic.tcp_parse_input_addrs(["program"])


def test_times_are_nanoseconds() -> None:
    units = [classic.nanoseconds, classic.microseconds, classic.milliseconds, classic.seconds, classic.minutes, classic.hours]
    assert [unit(2) for unit in units] == [2, 2_000, 2_000_000, 2_000_000_000, 120_000_000_000, 7_200_000_000_000]


@pytest.mark.parametrize(
    ("length_format", "width", "expected"),
    [
        (">I", 4, (4, "big")),
        ("!H", 2, (2, "big")),
        ("<I", 4, (4, "little")),
        (">i", 4, (4, "big")),
        ("B", 1, (1, "big")),
        (">Q", 8, (8, "big")),
        (">xxH", 4, None),
        ("3s", 3, None),
        (">f", 4, None),
    ],
)
def test_plain_lengths_are_read_without_python(length_format: str, width: int, expected: object) -> None:
    assert framing(classic.decoder(width, length_format)(bytes)) == expected


@classic.encoder
def as_text(data):
    return str(data)


def topology(*stages: tuple) -> tuple:
    first = ("source", "numbers", ("gen", "numbers", Counting(3)))
    last = ("to_sink", classic.TCPSinkConfig("127.0.0.1", "7002", as_text).to_tuple())
    return ("app", 0, [[first, *stages, last]], [[]])


def lowered(*stages: tuple):
    return _runner.lower(topology(*stages), ModuleType("program"))


def test_what_comes_later_is_told() -> None:
    class Sum(classic.Aggregation):
        def initial_accumulator(self):
            return 0

        def update(self, data, accumulator):
            return accumulator + data

        def combine(self, one, two):
            return one + two

        def output(self, key, accumulator):
            return accumulator

    windows = classic.range_windows(classic.seconds(3)).with_slide(1).with_delay(2).with_late_data_policy("drop").over(Sum)
    assert (windows.range, windows.slide, windows.delay, windows.late_data_policy) == (3_000_000_000, 1, 2, "drop")
    assert windows.aggregation.name() == "Sum"
    pipeline = classic.source("n", classic.GenSourceConfig("n", Counting(3))).to(windows).to_sink(sink())
    with pytest.raises(InvalidError, match="needs windows, which programs of the original cannot use yet; it comes later"):
        _runner.lower(classic.build_application("app", pipeline), ModuleType("program"))
    counted = classic.source("n", classic.GenSourceConfig("n", Counting(3))).to(classic.count_windows(3).over(Sum))
    with pytest.raises(InvalidError, match="needs windows"):
        _runner.lower(classic.build_application("app", counted.to_sink(sink())), ModuleType("program"))
    kafka = classic.source("k", classic.DefaultKafkaSourceCLIParser(decode)).to_sink(sink())
    with pytest.raises(InvalidError, match="the source 'kafka_source' needs Kafka"):
        _runner.lower(classic.build_application("app", kafka), ModuleType("program"))
    connector = classic.experimental.SinkConnectorConfig("c", encode, decode, 7100, "cookie")
    to_connector = classic.source("n", classic.GenSourceConfig("n", Counting(3))).to_sink(connector)
    with pytest.raises(InvalidError, match="the sink 'c' needs connectors"):
        _runner.lower(classic.build_application("app", to_connector), ModuleType("program"))
    with pytest.raises(NotImplementedError, match="comes later"):
        classic.experimental.AtLeastOnceSourceConnector("v", "c", "p", "i", "h", 1)


def test_an_incomplete_aggregation_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(classic.WallarooParameterError, match="Aggregation must have method 'initial_accumulator'"):
        classic.count_windows(3).over(classic.Aggregation)
    with pytest.raises(classic.WallarooParameterError, match=r"Only call `with_slide\(\)` once"):
        classic.range_windows(3).with_slide(1).with_slide(1)
    assert "API_Error" in capsys.readouterr().out


def test_what_is_not_decorated_is_told() -> None:
    with pytest.raises(InvalidError, match=r"decorate the function with @wallaroo\.key_extractor"):
        lowered(("key_by", len))


def test_what_application_setup_must_return_is_told() -> None:
    with pytest.raises(InvalidError, match="application_setup returned None; expected what wallaroo.build_application returns"):
        _runner.lower(None, ModuleType("program"))


def test_computations_of_one_name_have_states_of_their_own() -> None:
    app = lowered(("key_by", key), ("to_state", add), ("to_state", add))
    names = [node["name"] for node in app._plan()[1] if node["kind"] == "state"]
    assert names == ["add", "add (2)"]


def test_a_prefix_of_two_pipelines_runs_once() -> None:
    numbers = classic.source("numbers", classic.GenSourceConfig("numbers", Counting(3))).to(double)
    pipeline = numbers.merge(numbers).to_sink(sink())
    app = _runner.lower(classic.build_application("app", pipeline), ModuleType("program"))
    kinds = [node["kind"] for node in app._plan()[1]]
    assert kinds.count("source") == 1
    assert kinds.count("to") == 1


@pytest.mark.parametrize("kind", ["to", "to_state"])
def test_a_parameter_named_ctx_is_one_as_any_other(kind: str) -> None:
    @classic.computation("stateless")
    def stateless(ctx):
        return ctx

    @classic.state_computation("stateful", state=Total)
    def stateful(data, ctx):
        ctx.value += data
        return ctx.value

    app = lowered((kind, stateless if kind == "to" else stateful))
    assert testing.run(app, {"numbers": [1, 2, 3]}).sink("sink") == (["1", "2", "3"] if kind == "to" else ["1", "3", "6"])


def test_several_results_must_be_a_list() -> None:
    several = _runner._of_list(lambda data: data, "several")
    assert several([1, None, 2]) == [1, 2]
    assert several(None) is None
    with pytest.raises(TypeError, match="'several' returned a str; a computation with several results returns a list, or None"):
        several("ab")


# The command line.


def test_options_of_the_original_are_told_from_those_of_the_program() -> None:
    line = _flags.read(
        [
            *("--in", "A@h:1", "-o", "h:2", "-m", "h:3", "--control=h:4", "-t", "--ponythreads", "1", "--ponynoblock"),
            *("--mine", "x", "-z", "--store", "kept", "--log=debug", "-r/tmp/x", "--worker-count=1", "free"),
        ]
    )
    assert line.program == ["--in", "A@h:1", "-o", "h:2", "--mine", "x", "-z", "free"]
    assert line.ours == ["--store", "kept", "--log", "debug"]
    assert line.meant == {"resilience-dir": "/tmp/x", "worker-count": "1"}
    assert line.without_meaning == ["-m", "--control", "-t", "--ponythreads", "--ponynoblock"]


def test_resilience_is_a_store() -> None:
    line = _flags.read(["--run-with-resilience", "-r", "kept/", "--time-between-checkpoints", "2_000_000_000"])
    assert _flags.ours(line, "Word Count (1)") == ["--store", "kept/Word-Count-1", "--checkpoint-every", "2000ms"]
    # As in the original, the directory alone keeps nothing.
    assert _flags.ours(_flags.read(["--resilience-dir", "kept"]), "app") == []
    with pytest.raises(InvalidError, match="needs a place to keep checkpoints in"):
        _flags.ours(_flags.read(["--run-with-resilience"]), "app")
    with pytest.raises(InvalidError, match="--worker-count is 'two'; expected a whole number"):
        _flags.ours(_flags.read(["--worker-count", "two"]), "app")
    with pytest.raises(InvalidError, match="--name has no value"):
        _flags.read(["--name"])


def test_programs_are_as_they_were() -> None:
    """They name nothing of ours but the module that has the place of the original's."""
    programs = [path for path in PROGRAMS.glob("*.py") if path.name != "conftest.py"]
    assert len(programs) == 7
    for program in programs:
        assert "import wallaroo\n" in program.read_text()
        assert "classic" not in program.read_text()


def test_kafka_options_are_parsed_as_in_the_original() -> None:
    arguments = ["--kafka_source_topic", "t", "--kafka_source_brokers", "a:1,b", "--kafka_source_name", "n"]
    assert classic.kafka_parse_source_options(arguments) == ("n", "t", [("a", "1"), ("b", "9092")], "Warn")
    assert classic.kafka_parse_sink_options(["--kafka_sink_topic", "t"])[:2] == ("", "t")
    assert classic.CustomKafkaSourceCLIParser(arguments, decode).to_tuple()[:2] == ("kafka", "n")
