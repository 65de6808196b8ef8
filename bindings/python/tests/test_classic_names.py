"""``wallaroo.classic`` has every public name of the original, in the modules where programs look for it."""

from __future__ import annotations

import importlib
import inspect
import io
import signal
from pathlib import Path

import pytest

from test_classic import original
from wallaroo import classic
from wallaroo.classic.experimental import connector_wire_messages as wire
from wallaroo.classic.experimental import connectors

NAMES = {
    "wallaroo.classic": """
        _ARGS Aggregation BaseWrapped Computation ComputationMulti ConnectorDecoder ConnectorEncoder CountWindows
        CountWindowsBuilder CustomKafkaSinkCLIParser CustomKafkaSourceCLIParser Decoder DefaultKafkaSinkCLIParser
        DefaultKafkaSourceCLIParser Encoder GenSourceConfig KeyExtractor OctetDecoder OctetEncoder Pipeline RangeWindows
        RangeWindowsBuilder StateComputation StateComputationMulti TCPSinkConfig TCPSourceConfig Unbuffered
        WallarooParameterError attach_to_module build_application computation computation_multi count_windows decoder deserialize
        dt_to_timestamp encoder hours kafka_parse_sink_options kafka_parse_source_options key_extractor microseconds milliseconds
        minutes nanoseconds range_windows seconds serialize source state_computation state_computation_multi
        tcp_parse_input_addrs tcp_parse_output_addrs
    """,
    "wallaroo.classic.experimental": """
        AtLeastOnceSourceConnector BaseConnector BaseMeta ConnectorError ProtocolError SinkConnector SinkConnectorConfig
        SourceConnector SourceConnectorConfig Stream UnexpectedSocketError abstractmethod connector_wire_messages cwm
        dt_to_timestamp octet_message_decoder octet_message_encoder parse_connector_args stream_message_decoder
        stream_message_encoder
    """,
    "wallaroo.classic.experimental.connectors": """
        AtLeastOnceSourceConnector BaseIter BaseMeta BaseSource ConnectorError FramedFileReader MultiSourceConnector
        ProtocolError ThrottledFileReader abstractmethod cwm
    """,
    "wallaroo.classic.experimental.connector_wire_messages": """
        Ack EosMessage Error Frame Hello ListUncommitted Message Notify NotifyAck Ok ReplyUncommitted Restart TwoPCFrame
        TwoPCPhase1 TwoPCPhase2 TwoPCReply WorkersLeft decode_phase2r encode_phase2r
    """,
}


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_of_the_original_is_there(name: str) -> None:
    module = importlib.import_module(name)
    assert [each for each in NAMES[name].split() if not hasattr(module, each)] == []
    assert sorted(module.__all__) == module.__all__
    assert {each for each in NAMES[name].split() if not each.startswith("_")} - {*module.__all__} == set()
    assert [each for each in module.__all__ if not inspect.getdoc(getattr(module, each))] == []


METHODS = {
    classic.Pipeline: "from_source to to_sink to_sinks key_by collect merge clone __to_tuple__",
    classic.RangeWindowsBuilder: "with_slide with_delay with_late_data_policy over",
    classic.CountWindowsBuilder: "over",
    classic.ConnectorEncoder: "_encode",
    connectors.MultiSourceConnector: """
        connect join write notify end_of_stream error shutdown pending_sends add_source remove_source get_id stream_added
        stream_removed stream_opened stream_closed stream_acked handle_restarted handle_restart handle_invalid_message
        handle_close handle_error handle_write writable
    """,
    classic.experimental.SourceConnector: "connect write",
    classic.experimental.SinkConnector: "listen read",
    connectors.FramedFileReader: "reset point_of_ref wallaroo_acked close __iter__ __next__ next throw",
    connectors.ThrottledFileReader: "reset point_of_ref wallaroo_acked close __iter__ __next__ next throw",
    wire.Hello: "encode decode",
    wire.Frame: "encode decode read_header",
}


@pytest.mark.parametrize("owner", METHODS, ids=lambda owner: owner.__name__)
def test_so_is_every_method(owner: type) -> None:
    assert [name for name in METHODS[owner].split() if not hasattr(owner, name)] == []


LATER = [
    *(each for module in (classic.experimental, connectors) for each in vars(module).values() if inspect.isclass(each)),
]
LATER = [each for each in LATER if each.__name__.endswith(("Connector", "Reader"))]


@pytest.mark.parametrize("class_", LATER, ids=lambda class_: class_.__name__)
def test_a_connector_says_that_it_comes_later_when_it_is_made(class_: type) -> None:
    class Own(class_):  # type: ignore[misc]
        """As programs derive from them, with a constructor of their own."""

        def __init__(self, *_: object) -> None:
            pass

    for made in (class_, Own):
        with pytest.raises(
            NotImplementedError, match=rf"{made.__name__} .*connector protocol of the original, which comes later"
        ):
            made("v", "c", "p", "i", "h", 1)


def test_so_do_its_messages_and_functions() -> None:
    calls = [
        lambda: wire.Hello("v", "c", "p", "i"),
        lambda: wire.Message(1, 2, 3, b"key", b"message"),
        lambda: wire.Frame.encode("anything"),
        lambda: wire.Frame.decode(b"\0"),
        lambda: wire.Hello.decode(b"\0"),
        lambda: wire.encode_phase2r("t", commit=True),
        lambda: classic.experimental.parse_connector_args(["--connector", "c"]),
        lambda: connectors.MultiSourceConnector.get_id(b"name"),
    ]
    for call in calls:
        with pytest.raises(NotImplementedError, match="connector protocol of the original, which comes later"):
            call()


def test_a_source_for_a_connector_can_be_written() -> None:
    """Such a class needs no connector: it iterates over what it has."""

    class Numbers(connectors.BaseIter, connectors.BaseSource):
        at = 0

        def __str__(self):
            return f"at {self.at}"

        def reset(self, pos=0):
            self.at = pos

        def point_of_ref(self):
            return self.at

        def wallaroo_acked(self, point_of_ref):
            pass

        def __next__(self):
            if self.at == 2:
                raise StopIteration
            self.at += 1
            return b"x", self.at

    numbers = Numbers()
    assert list(numbers) == [(b"x", 1), (b"x", 2)]
    numbers.reset(1)
    assert numbers.next() == (b"x", 2)
    with pytest.raises(TypeError, match="abstract"):
        connectors.BaseSource()  # type: ignore[abstract]


def test_a_pipeline_gives_its_topology() -> None:
    numbers = classic.source("numbers", classic.GenSourceConfig("numbers", iter))
    pipeline = numbers.to_sink(classic.TCPSinkConfig("h", "1", str))
    assert pipeline.__to_tuple__("app") == classic.build_application("app", pipeline)


def test_what_is_written_unbuffered_is_there_at_once() -> None:
    raw = io.BytesIO()
    stream = classic.Unbuffered(io.TextIOWrapper(raw, encoding="utf-8"))
    stream.write("half a line")
    assert raw.getvalue() == b"half a line"
    stream.writelines([", and", " more"])
    assert raw.getvalue() == b"half a line, and more"
    assert stream.encoding == "utf-8"


IMPORTS = """
import os
import signal
import sys
import wallaroo
import wallaroo.experimental
import wallaroo.experimental.connectors
from wallaroo.experimental import connector_wire_messages as cwm
from wallaroo.experimental.connectors import MultiSourceConnector, BaseIter

def application_setup(args):
    print([wallaroo.experimental.cwm is cwm, wallaroo.experimental.connectors.BaseIter is BaseIter])
    print([issubclass(MultiSourceConnector, wallaroo.experimental.AtLeastOnceSourceConnector)])
    print([wallaroo.experimental.connectors.__name__])
    sys.stdout.write("half a line")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_program_finds_them_and_what_it_prints_comes_before_its_line_ends(tmp_path: Path) -> None:
    (tmp_path / "imports.py").write_text(IMPORTS)
    with original(tmp_path, "imports") as process:
        assert process.wait() == -signal.SIGKILL
    lines = ["[True, True]", "[True]", "['wallaroo.classic.experimental.connectors']", "half a line"]
    assert process.output.splitlines() == lines, process.errors
