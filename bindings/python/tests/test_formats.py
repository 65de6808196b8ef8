"""Formats: what bytes of sources become, and what messages become in sinks."""

from __future__ import annotations

import datetime
import enum
import socket
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict

import msgspec
import pytest

import wallaroo
from wallaroo import App, DeadLetter, Format, csv, decoder, encoder, file, file_sink, json, lines, memory, raw, source


@dataclass
class Tick:
    symbol: str
    price: float
    size: int = 1
    is_open: bool = False
    note: str | None = None


class Order(msgspec.Struct, rename="camel"):
    order_id: int
    side: str = "buy"


class Row(TypedDict):
    symbol: str
    price: float


class Pair(NamedTuple):
    left: int
    right: str


class Side(enum.Enum):
    BUY = "buy"
    SELL = "sell"


@dataclass
class Rich:
    when: datetime.datetime
    side: Side
    id: uuid.UUID
    sizes: list[int] = field(default_factory=list)
    inner: dict[str, Tick] = field(default_factory=dict)


def read(tmp_path: Path, content: bytes | str, format_: Format[Any], **options: Any) -> list[Any]:
    """What a file becomes."""
    path = tmp_path / "input"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    kept = memory()
    App("read", source("input", file(path, format_, **options)).to_sink("kept", kept)).run()
    return kept.take()


def refused(tmp_path: Path, content: bytes | str, format_: Format[Any], **options: Any) -> tuple[list[Any], list[DeadLetter]]:
    """What a file becomes, and the records that could not be decoded."""
    path = tmp_path / "input"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    kept, letters = memory(), memory()
    begin = source("input", file(path, format_, **options)).dead_letter("letters", letters)
    App("read", begin.to_sink("kept", kept)).run()
    return kept.take(), letters.take()


def written(tmp_path: Path, messages: list[Any], format_: Format[Any] | None, **options: Any) -> bytes:
    """What messages become in a file."""
    path = tmp_path / "output"
    App("write", source("messages", messages).to_sink("output", file_sink(path, format_, **options))).run()
    return path.read_bytes()


# JSON


def test_json_becomes_a_dataclass_with_its_defaults(tmp_path: Path) -> None:
    content = '{"symbol":"A","price":1.5}\n{"symbol":"B","price":2,"size":3,"is_open":true,"note":"x","more":[1]}\n'
    assert read(tmp_path, content, json(Tick)) == [Tick("A", 1.5), Tick("B", 2.0, 3, is_open=True, note="x")]


def test_json_becomes_a_struct_by_its_wire_names(tmp_path: Path) -> None:
    assert read(tmp_path, '{"orderId": 7}\n', json(Order)) == [Order(7)]


def test_json_without_a_type_becomes_what_json_says(tmp_path: Path) -> None:
    content = '{"a": [1, 2.5, null, true]}\n"text"\n3\n[]\n'
    assert read(tmp_path, content, json()) == [{"a": [1, 2.5, None, True]}, "text", 3, []]


def test_a_record_that_is_null_is_no_message(tmp_path: Path) -> None:
    # `None` is how a function says that there is no message, so it cannot be one.
    assert read(tmp_path, "null\n1\n", json()) == [1]


def test_json_becomes_typed_dicts_named_tuples_and_nested_types(tmp_path: Path) -> None:
    assert read(tmp_path, '{"symbol":"A","price":1}\n', json(Row)) == [{"symbol": "A", "price": 1.0}]
    assert read(tmp_path, '[1,"x"]\n', json(Pair)) == [Pair(1, "x")]
    content = (
        '{"when":"2026-01-02T03:04:05Z","side":"sell","id":"12345678123456781234567812345678","sizes":[1,2],'
        '"inner":{"a":{"symbol":"A","price":1}}}\n'
    )
    when = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    rich = Rich(when, Side.SELL, uuid.UUID("12345678123456781234567812345678"), [1, 2], {"a": Tick("A", 1.0)})
    assert read(tmp_path, content, json(Rich)) == [rich]


def test_a_class_that_msgspec_does_not_know_is_called_with_the_fields(tmp_path: Path) -> None:
    class Plain:
        def __init__(self, symbol: str, price: float = 0.0) -> None:
            self.symbol, self.price = symbol, price

    found = read(tmp_path, '{"symbol":"A"}\n', json(Plain))
    assert [(type(one), one.symbol, one.price) for one in found] == [(Plain, "A", 0.0)]


def test_a_model_that_validates_json_itself_does(tmp_path: Path) -> None:
    class Model:
        """Looks as those of pydantic do."""

        def __init__(self, text: str) -> None:
            self.text = text

        @classmethod
        def model_validate_json(cls, record: bytes) -> Model:
            return cls(record.decode())

    assert [one.text for one in read(tmp_path, "{}\n", json(Model))] == ["{}"]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ('{"symbol": 1, "price": 2}', "Expected `str`, got `int` - at `$.symbol`"),
        ('{"symbol": "A"}', "Object missing required field `price`"),
        ('{"symbol": "A", "price": }', "JSON is malformed"),
    ],
)
def test_json_that_does_not_fit_is_told_with_its_bytes(tmp_path: Path, content: str, error: str) -> None:
    kept, letters = refused(tmp_path, f'{content}\n{{"symbol":"B","price":1}}\n', json(Tick))
    assert kept == [Tick("B", 1.0)]
    assert [(one.stage, one.source, one.position, one.key, one.message) for one in letters] == [
        ("input", "input", 1, None, content.encode())
    ]
    assert error in letters[0].error


def test_blank_lines_are_no_records_of_json(tmp_path: Path) -> None:
    assert read(tmp_path, "\n1\n  \r\n2\n\n", json()) == [1, 2]


def test_framed_json_needs_no_line_ends(tmp_path: Path) -> None:
    records = [b'{"symbol":"A",\n"price":1}', b'{"symbol":"B","price":2}']
    content = b"".join(len(record).to_bytes(4, "big") + record for record in records)
    assert read(tmp_path, content, json(Tick), framed=4) == [Tick("A", 1.0), Tick("B", 2.0)]
    content = b"".join(len(record).to_bytes(2, "little") + record for record in records)
    assert read(tmp_path, content, json(Tick), framed=(2, "little")) == [Tick("A", 1.0), Tick("B", 2.0)]


def test_json_of_a_sink_writes_what_msgspec_knows_and_plain_objects(tmp_path: Path) -> None:
    class Plain:
        def __init__(self) -> None:
            self.a = 1

    messages = [Tick("A", 1.5), Order(3), {"k": (1, None)}, Plain(), "text"]
    expected = (
        '{"symbol":"A","price":1.5,"size":1,"is_open":false,"note":null}\n'
        '{"orderId":3,"side":"buy"}\n{"k":[1,null]}\n{"a":1}\n"text"\n'
    )
    assert written(tmp_path, messages, json()).decode() == expected


def test_json_of_a_sink_takes_objects_by_their_attributes_as_states_do(tmp_path: Path) -> None:
    class Slots:
        __slots__ = ("a", "b")

        def __init__(self) -> None:
            self.a = [Side.BUY]

    class Empty:
        pass

    class Model:
        """Looks as those of pydantic do."""

        def model_dump(self, *, mode: str) -> dict[str, Any]:
            return {"mode": mode}

    assert written(tmp_path, [Slots(), Empty(), {"in": [Model()]}], json()).decode() == (
        '{"a":["buy"]}\n{}\n{"in":[{"mode":"json"}]}\n'
    )


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (object(), "object"),
        (1 + 2j, "complex"),
        (lambda: None, "function"),
        (range(3), "range"),
        (ValueError("x"), "ValueError"),
        (Path, "type"),
        (socket.socket, "type"),
        (iter([]), "list_iterator"),
    ],
    ids=["object", "complex", "function", "range", "exception", "class", "other_class", "iterator"],
)
@pytest.mark.parametrize("format_", [json(), None], ids=["json", "default"])
def test_what_has_no_json_form_is_refused_by_a_sink(tmp_path: Path, format_: Any, value: Any, kind: str) -> None:
    """It was written as its `repr`, which no reader makes anything of."""
    for message in (value, {"in": [value]}):
        with pytest.raises(
            TypeError, match=f"a .*{kind} has no JSON form; make it of dicts, lists, text and numbers in a stage before the sink"
        ) as raised:
            written(tmp_path, [message], format_)
        assert 'WAL-0404: the sink "output"' in raised.value.__notes__[0]


def test_a_socket_is_no_plain_object(tmp_path: Path) -> None:
    with socket.socket() as connection, pytest.raises(TypeError, match="a socket.socket has no JSON form"):
        written(tmp_path, [connection], json())


# CSV


def test_csv_becomes_a_dataclass_by_column_name_in_any_order(tmp_path: Path) -> None:
    content = "price,other,symbol\n1.5,x,A\n2,y,B\n"
    assert read(tmp_path, content, csv(Tick)) == [Tick("A", 1.5), Tick("B", 2.0)]


def test_csv_makes_values_by_their_types(tmp_path: Path) -> None:
    content = "symbol,price,size,is_open,note\nA,1e3,-2,true,\nB,.5,7,0,n\n"
    expected = [Tick("A", 1000.0, -2, is_open=True, note=None), Tick("B", 0.5, 7, is_open=False, note="n")]
    assert read(tmp_path, content, csv(Tick)) == expected


def test_csv_quotes(tmp_path: Path) -> None:
    content = 'symbol,price\n"A,""x""\ny",1\n"",2\n'
    assert read(tmp_path, content, csv(Tick)) == [Tick('A,"x"\ny', 1.0), Tick("", 2.0)]


def test_csv_with_line_ends_of_windows_a_byte_order_mark_and_no_last_line_end(tmp_path: Path) -> None:
    assert read(tmp_path, b"\xef\xbb\xbfsymbol,price\r\nA,1\r\nB,2", csv(Tick)) == [Tick("A", 1.0), Tick("B", 2.0)]


def test_csv_renames_and_other_delimiters(tmp_path: Path) -> None:
    content = "Ticker;Close\nA;1\n"
    assert read(tmp_path, content, csv(Tick, delimiter=";", rename={"symbol": "Ticker", "price": "Close"})) == [Tick("A", 1.0)]


def test_csv_without_a_header_has_the_columns_of_the_type(tmp_path: Path) -> None:
    @dataclass
    class Two:
        name: str
        count: int

    assert read(tmp_path, "a,1\nb,2\n", csv(Two, header=False)) == [Two("a", 1), Two("b", 2)]


def test_csv_without_a_type_becomes_dicts_of_text(tmp_path: Path) -> None:
    assert read(tmp_path, "a,b\n1,\n", csv()) == [{"a": "1", "b": ""}]


def test_csv_becomes_structs_and_typed_dicts_and_other_types(tmp_path: Path) -> None:
    assert read(tmp_path, "orderId,side\n3,sell\n", csv(Order)) == [Order(3, "sell")]
    assert read(tmp_path, "symbol,price\nA,1\n", csv(Row)) == [{"symbol": "A", "price": 1.0}]

    @dataclass
    class Dated:
        day: datetime.date
        side: Side
        id: uuid.UUID

    content = "day,side,id\n2026-01-02,buy,12345678-1234-5678-1234-567812345678\n"
    expected = Dated(datetime.date(2026, 1, 2), Side.BUY, uuid.UUID("12345678123456781234567812345678"))
    assert read(tmp_path, content, csv(Dated)) == [expected]


def test_a_missing_column_is_refused_when_the_header_is_read(tmp_path: Path) -> None:
    with pytest.raises(wallaroo.UnavailableError, match='the header has no column "price", it has \\["symbol"\\]'):
        read(tmp_path, "symbol\nA\n", csv(Tick))


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ("A,x,1,true,", "cannot decode column 'price': expected a number, found 'x'"),
        ("A,1,1.5,true,", "cannot decode column 'size': expected a whole number, found '1.5'"),
        ("A,1,1,yes,", "cannot decode column 'is_open': expected true or false, found 'yes'"),
        ("A,1", "the row has 2 columns, the header has 5"),
        ("A,1,1,true,n,more", "the row has 6 columns, the header has 5"),
    ],
)
def test_a_row_that_does_not_fit_is_told_with_its_column(tmp_path: Path, row: str, error: str) -> None:
    kept, letters = refused(tmp_path, f"symbol,price,size,is_open,note\n{row}\nB,1,1,false,\n", csv(Tick))
    assert kept == [Tick("B", 1.0)]
    assert [(one.stage, one.position, one.message.decode()) for one in letters] == [("input", 1, row)]
    assert error in letters[0].error


def test_a_row_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    kept, letters = refused(tmp_path, b"symbol,price\n\xff,1\nB,1\n", csv(Tick))
    assert kept == [Tick("B", 1.0)]
    assert [one.message for one in letters] == [b"\xff,1"]


def test_csv_of_a_sink_has_a_header_and_quotes(tmp_path: Path) -> None:
    messages = [Tick('A,"b"', 1.5), Tick("C", 2.0, note="x\ny")]
    expected = 'symbol,price,size,is_open,note\n"A,""b""",1.5,1,False,\nC,2.0,1,False,"x\ny"\n'
    assert written(tmp_path, messages, csv(Tick)).decode() == expected
    assert written(tmp_path, [{"a": 1, "b": None}, (2, "x")], csv()).decode() == "1,\n2,x\n"


class Loose(TypedDict):
    symbol: str
    size: NotRequired[int]


def test_csv_of_a_typed_dict_has_its_columns_in_their_order(tmp_path: Path) -> None:
    """Its values were looked for as attributes."""
    messages: list[Any] = [{"symbol": "A,B", "price": 1.5}, {"price": 2, "symbol": "C"}]
    content = written(tmp_path, messages, csv(Row))
    assert content.decode() == 'symbol,price\n"A,B",1.5\nC,2\n'
    assert read(tmp_path, content, csv(Row)) == messages
    assert written(tmp_path, [{"symbol": "A"}, {"symbol": "B", "size": 3}], csv(Loose)).decode() == "symbol,size\nA,\nB,3\n"
    with pytest.raises(KeyError, match="price"):
        written(tmp_path, [{"symbol": "A"}], csv(Row))


def test_what_csv_writes_it_reads(tmp_path: Path) -> None:
    messages = [Tick('A,"b"', 1.5, 2, is_open=True, note="x\ny"), Tick("C", -2e300)]
    content = written(tmp_path, messages, csv(Tick))
    assert read(tmp_path, content, csv(Tick)) == messages


def test_csv_of_a_type_that_does_not_have_the_renamed_field_is_refused() -> None:
    with pytest.raises(TypeError, match=r"csv renames \['symbl'\], which Tick does not have"):
        csv(Tick, rename={"symbl": "Ticker"})
    with pytest.raises(TypeError, match="csv without a header needs a type"):
        csv(header=False)  # type: ignore[call-overload]


# Lines, bytes, functions


def test_lines_are_text_without_line_ends(tmp_path: Path) -> None:
    assert read(tmp_path, "a\r\n\nü\nlast", lines()) == ["a", "", "ü", "last"]


def test_lines_that_are_not_utf_8_are_refused(tmp_path: Path) -> None:
    kept, letters = refused(tmp_path, b"ab\xffc\nd\n", lines())
    assert kept == ["d"]
    assert [one.message for one in letters] == [b"ab\xffc"]
    assert "expected UTF-8 text, found another byte at byte 3" in letters[0].error


def test_lines_of_a_sink_are_what_str_says(tmp_path: Path) -> None:
    assert written(tmp_path, ["a", 1, 2.5], lines()) == b"a\n1\n2.5\n"


def test_raw_is_bytes_as_they_are(tmp_path: Path) -> None:
    assert read(tmp_path, b"\xff\x00\n\n", raw()) == [b"\xff\x00", b""]
    assert read(tmp_path, b"\x02\x00\n\x00", raw(), framed=1) == [b"\x00\n", b""]
    assert written(tmp_path, [b"a", b"\xff"], raw()) == b"a\xff"
    assert written(tmp_path, [b"a", b""], raw(), framed=2) == b"\x00\x01a\x00\x00"


def test_a_decoder_is_a_function_of_bytes_whose_none_filters(tmp_path: Path) -> None:
    assert read(tmp_path, b"1\n\n2\n", decoder(lambda line: int(line) if line else None)) == [1, 2]


def test_a_decoder_that_raises_is_told_with_its_place(tmp_path: Path) -> None:
    def number(line: bytes) -> int:
        return int(line)

    kept, letters = refused(tmp_path, b"1\nx\n2\n", decoder(number))
    assert kept == [1, 2]
    assert [(one.position, one.message) for one in letters] == [(2, b"x")]
    assert letters[0].error.startswith("ValueError: invalid literal for int() with base 10: b'x' (test_formats.py:")
    assert letters[0].error.endswith("in number)")


def test_an_encoder_is_a_function_that_returns_text_or_bytes(tmp_path: Path) -> None:
    assert written(tmp_path, [1, 2], encoder(lambda n: f"<{n}>")) == b"<1>\n<2>\n"
    assert written(tmp_path, [1, 2], encoder(lambda n: bytes([n]), line=False)) == b"\x01\x02"
    assert written(tmp_path, [1, 2], encoder(lambda n: f"<{n}>"), framed=1) == b"\x03<1>\x03<2>"


def test_an_encoder_that_returns_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="the encoder returned a int; it must return bytes or str"):
        written(tmp_path, [1], encoder(lambda n: n))


def test_without_a_format_text_is_written_as_it_is_and_all_else_as_json(tmp_path: Path) -> None:
    assert written(tmp_path, ["a", b"b", {"c": 1}, Tick("A", 1.0)], None).decode() == (
        'a\nb\n{"c":1}\n{"symbol":"A","price":1.0,"size":1,"is_open":false,"note":null}\n'
    )


def test_a_format_of_sinks_cannot_read_and_one_of_sources_cannot_write(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="encoder is for sinks: it cannot read"):
        read(tmp_path, "a\n", encoder(str))
    with pytest.raises(TypeError, match="decoder is for sources: it cannot write"):
        written(tmp_path, ["a"], decoder(int))


def test_a_longer_line_than_allowed_is_a_record_that_cannot_be_decoded(tmp_path: Path) -> None:
    kept, letters = refused(tmp_path, "short\n" + "x" * 100 + "\nend\n", lines(), max_line_bytes=10)
    assert kept == ["short", "end"]
    assert [one.position for one in letters] == [2]


def test_a_file_that_does_not_exist_is_unavailable_and_named(tmp_path: Path) -> None:
    kept = memory()
    app = App("read", source("input", file(tmp_path / "absent", lines())).to_sink("kept", kept))
    with pytest.raises(wallaroo.UnavailableError, match="absent") as raised:
        app.run()
    assert raised.value.code.startswith("WAL-")


def test_rows_of_dicts_have_the_columns_of_the_first(tmp_path: Path) -> None:
    """Each had its values in an order of its own."""
    path = tmp_path / "out.csv"
    rows: list[dict[str, Any]] = [{"a": 1, "b": 2}, {"b": 4, "a": 3}]
    App("rows", source("rows", rows).to_sink("out", file_sink(path, csv()))).run()
    assert path.read_text() == "1,2\n3,4\n"
    rows.append({"a": 5, "c": 6})
    with pytest.raises(ValueError, match=r"the first message had the keys \['a', 'b'\], this one has \['a', 'c'\]"):
        App("rows", source("rows", rows).to_sink("out", file_sink(path, csv()))).run()


def test_a_row_may_be_a_dict_of_texts(tmp_path: Path) -> None:
    """With its types written out it was empty."""
    path = tmp_path / "in.csv"
    path.write_text("symbol,price\na,1\n")
    kept = memory()
    App("rows", source("rows", file(path, csv(dict[str, str]))).key_by("symbol").to_sink("kept", kept)).run()
    assert kept.take() == [{"symbol": "a", "price": "1"}]
    with pytest.raises(TypeError, match="the columns of a dict are texts"):
        csv(dict[str, int])
