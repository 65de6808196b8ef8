"""Formats: how the bytes of a record become a message, and how a message becomes the bytes of a row.

A format is given to a connector: ``file("ticks.csv", csv(Tick))``, ``stdout(json())``.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import msgspec

from ._async import refuse_async
from ._classes import hints_of
from ._describe import attributes_of
from ._fields import plain_path

if TYPE_CHECKING:
    from typing_extensions import TypeForm  # what type checkers bring with them

T = TypeVar("T")


class Format(Generic[T]):
    """How messages of type ``T`` are written as bytes. Made by :func:`json`, :func:`csv`, :func:`lines`, :func:`raw`,
    :func:`decoder` and :func:`encoder`.
    """

    #: The type of the messages, as far as it is known.
    type: Any = None

    def _source(self) -> dict[str, Any]:
        """What the transport has to know."""
        return {"wire": "lines"}

    def _decode(self) -> tuple[str, Callable[..., Any] | None]:
        """How a record becomes an object: a mode and a function."""
        message = f"{type(self).__name__.lstrip('_').lower()} is for sinks: it cannot read"
        raise TypeError(message)

    def _sink(self) -> dict[str, Any]:
        """How an object becomes a row."""
        message = f"{type(self).__name__.lstrip('_').lower()} is for sources: it cannot write"
        raise TypeError(message)

    def _field(self, name: str) -> list[str] | None:
        """Where in the raw bytes a field is; ``None`` if only the decoded object has it."""
        return None


def _needs_no_arguments(function: Any, count: int) -> bool:
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def _json_decoder(type_: Any) -> Callable[[bytes], Any]:
    if type_ is None or type_ is dict:
        return msgspec.json.Decoder().decode
    if hasattr(type_, "model_validate_json"):
        return typing.cast("Callable[[bytes], Any]", type_.model_validate_json)
    return msgspec.json.Decoder(type_, dec_hook=_call).decode


def _call(class_: Any, value: Any) -> Any:
    """An object of a class that msgspec does not know: it is called with the fields by name."""
    if isinstance(value, dict):
        return class_(**value)
    message = f"Expected `object`, got `{type(value).__name__}` for the class {class_.__qualname__}"
    raise ValueError(message)


class _Json(Format[T]):
    def __init__(self, type_: Any) -> None:
        self.type = type_

    def _source(self) -> dict[str, Any]:
        return {"wire": "json"}

    def _decode(self) -> tuple[str, Callable[..., Any]]:
        return "function", _json_decoder(self.type)

    def _sink(self) -> dict[str, Any]:
        return {"encode": msgspec.json.Encoder(enc_hook=attributes_of).encode, "line": True}

    def _field(self, name: str) -> list[str] | None:
        return plain_path(self.type, name.split("."))


@overload
def json() -> Format[Any]: ...
@overload
def json(type_: type[T]) -> Format[T]: ...
@overload
def json(type_: TypeForm[T]) -> Format[T]: ...
def json(type_: Any = None) -> Format[Any]:
    """Each record is a JSON value: a line, unless the connector is framed.

    Args:
        type_: What a record is decoded into: a dataclass, a ``msgspec.Struct``, a ``TypedDict``, ``dict``, or any type that
            msgspec knows, such as a union of structs with tags. Without it records become what JSON says: dicts, lists, numbers.

    Example:
        >>> from dataclasses import dataclass
        >>> import wallaroo
        >>> @dataclass
        ... class Tick:
        ...     symbol: str
        ...     price: float
        >>> ticks = wallaroo.file("ticks.jsonl", wallaroo.json(Tick))
    """
    return _Json(type_)


_SIMPLE = {str: "{0}", int: "int({0})", float: "float({0})", bool: "_bool({0})"}


def _bool(text: str) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in known:
        message = f"expected true or false, found {text!r}"
        raise ValueError(message)
    return known[text.lower()]


def _simple(hint: Any) -> tuple[Any, bool] | None:
    """A type that a column is easily made into, and whether it may be empty."""
    if hint in _SIMPLE:
        return hint, False
    if typing.get_origin(hint) in {typing.Union, types.UnionType}:
        others = [arm for arm in typing.get_args(hint) if arm is not type(None)]
        if len(others) == 1 and len(typing.get_args(hint)) == 2 and others[0] in _SIMPLE:
            return others[0], True
    return None


def _needed_keys(type_: Any) -> set[str]:
    """The keys of a ``TypedDict`` that every dict has; of another type all its hints."""
    hints = hints_of(type_, include_extras=True)
    needed = set(getattr(type_, "__required_keys__", hints))
    for name, hint in hints.items():
        # A class whose annotations are texts, as with `from __future__ import annotations`, does not know it itself.
        origin = typing.get_origin(hint)
        if origin is typing.NotRequired:
            needed.discard(name)
        elif origin is typing.Required:
            needed.add(name)
    return needed


class _Fields:
    """The fields of a message type, for CSV."""

    def __init__(self, type_: Any, rename: Mapping[str, str]) -> None:
        hints = hints_of(type_)
        self.hints: dict[str, Any] = {}
        self.needed: set[str] = set()
        wire: dict[str, str] = {}
        if dataclasses.is_dataclass(type_):
            for field in dataclasses.fields(type_):
                if field.init:
                    self.hints[field.name] = hints.get(field.name, str)
                    missing = dataclasses.MISSING
                    if field.default is missing and field.default_factory is missing:
                        self.needed.add(field.name)
        elif inspect.isclass(type_) and issubclass(type_, msgspec.Struct):
            for info in msgspec.structs.fields(type_):
                self.hints[info.name] = info.type
                wire[info.name] = info.encode_name
                if info.required:
                    self.needed.add(info.name)
        else:
            self.hints = hints
            self.needed = _needed_keys(type_)
        unknown = set(rename) - set(self.hints)
        if unknown:
            message = f"csv renames {sorted(unknown)}, which {type_.__name__} does not have"
            raise TypeError(message)
        self.column = {name: rename.get(name, wire.get(name, name)) for name in self.hints}


class _Csv(Format[T]):
    def __init__(self, type_: Any, delimiter: str, rename: Mapping[str, str], *, header: bool) -> None:
        self.type = type_
        self.delimiter = delimiter
        self.header = header
        self.fields = None if type_ in {None, dict} else _Fields(type_, rename)
        if not header and self.fields is None:
            message = "csv without a header needs a type, whose fields are the columns in their order"
            raise TypeError(message)

    def _source(self) -> dict[str, Any]:
        fields = self.fields
        columns: list[str] = []
        if fields is not None:
            wanted = fields.needed if self.header else fields.hints
            columns = [column for name, column in fields.column.items() if name in wanted]
        return {"wire": "csv", "delimiter": self.delimiter, "header": self.header, "columns": columns}

    def _decode(self) -> tuple[str, Callable[..., Any]]:
        if self.fields is None:
            return "row", lambda row, names: dict(zip(names, row, strict=True))
        converters: dict[tuple[str, ...], Callable[[list[str]], Any]] = {}
        fields, type_ = self.fields, self.type

        def decode(row: list[str], names: tuple[str, ...]) -> Any:
            convert = converters.get(names)
            if convert is None:
                convert = converters[names] = _converter(type_, fields, names)
            try:
                return convert(row)
            except ValueError as error:
                raise _column_error(error, fields, names, row) from None

        return "row", decode

    def _sink(self) -> dict[str, Any]:
        names = list(self.fields.column.values()) if self.fields is not None else None
        getters = list(self.fields.hints) if self.fields is not None else None
        needed = self.fields.needed if self.fields is not None else set()
        delimiter = self.delimiter
        columns: list[Any] = []

        def in_order(message: Mapping[Any, Any]) -> list[Any]:
            if not columns:
                columns.extend(message)
            if list(message) == columns:
                return list(message.values())
            if set(message) != set(columns):
                keys = list(message)
                text = f"the first message had the keys {columns}, this one has {keys}; rows of one file have the same columns"
                raise ValueError(text)
            return [message[name] for name in columns]

        def encode(message: Any) -> str:
            if getters is not None and isinstance(message, Mapping):
                values = [message[name] if name in needed else message.get(name) for name in getters]
            elif getters is not None:
                values = [getattr(message, name) for name in getters]
            elif isinstance(message, Mapping):
                values = in_order(message)
            else:
                values = list(message)
            return delimiter.join(_quoted(value, delimiter) for value in values)

        spec: dict[str, Any] = {"encode": encode, "line": True}
        if names is not None and self.header:
            row = delimiter.join(_quoted(name, delimiter) for name in names)
            spec["header_row"] = f"{row}\n".encode()
        return spec

    def _field(self, name: str) -> list[str] | None:
        if self.fields is None:
            return [name]
        # Of other types the key is what the decoded message has: an int, not its text.
        is_text = self.fields.hints.get(name) is str
        return [self.fields.column[name]] if is_text and plain_path(self.type, [name]) is not None else None


def _converter(type_: Any, fields: _Fields, names: tuple[str, ...]) -> Callable[[list[str]], Any]:
    # Of columns that have one name the last one counts, as in dicts of rows.
    last = {column: at for at, column in enumerate(names)}
    index = {name: last[column] for name, column in fields.column.items() if column in last}
    simple = {name: _simple(fields.hints[name]) for name in index}
    if all(simple.values()) and isinstance(type_, type) and not issubclass(type_, dict):
        arguments = []
        for name, at in index.items():
            kind, may_be_empty = typing.cast("tuple[Any, bool]", simple[name])
            value = _SIMPLE[kind].format(f"row[{at}]")
            arguments.append(f"{name}={value} if row[{at}] else None" if may_be_empty else f"{name}={value}")
        scope = {"make": type_, "_bool": _bool}
        # One expression per header instead of a loop per row: names are identifiers of the user's own class.
        # Under the name of this file, so that tracebacks leave it out.
        code = compile(f"lambda row: make({', '.join(arguments)})", __file__, "eval")
        return typing.cast("Callable[[list[str]], Any]", eval(code, scope))

    def convert(row: list[str]) -> Any:
        values = {name: row[at] for name, at in index.items()}
        return msgspec.convert(values, type_, strict=False, str_keys=True)

    return convert


def _column_error(error: ValueError, fields: _Fields, names: tuple[str, ...], row: list[str]) -> ValueError:
    expected = {int: "a whole number", float: "a number", bool: "true or false"}
    for name, column in fields.column.items():
        simple = _simple(fields.hints[name])
        if column not in names or simple is None:
            continue
        text = row[names.index(column)]
        if simple[1] and not text:
            continue
        try:
            {bool: _bool}.get(simple[0], simple[0])(text)
        except ValueError:
            return ValueError(f"cannot decode column {column!r}: expected {expected[simple[0]]}, found {text!r}")
    return error


def _quoted(value: Any, delimiter: str) -> str:
    text = "" if value is None else str(value)
    if delimiter in text or '"' in text or "\n" in text or "\r" in text:
        doubled = text.replace('"', '""')
        return f'"{doubled}"'
    return text


@overload
def csv(*, delimiter: str = ",") -> Format[dict[str, str]]: ...
@overload
def csv(type_: type[T], *, delimiter: str = ",", header: bool = True, rename: Mapping[str, str] | None = None) -> Format[T]: ...
def csv(
    type_: Any = None,
    *,
    delimiter: str = ",",
    header: bool = True,
    rename: Mapping[str, str] | None = None,
) -> Format[Any]:
    """Each record is a row of CSV; the first one names the columns.

    Args:
        type_: What a row becomes: a dataclass or a ``msgspec.Struct``, whose fields are found by name and made from text by
            their types. Without it rows become dicts of texts; a sink without it writes no header, and the values of dicts in the
            order of the first one's keys.
        delimiter: What separates columns; one ASCII character.
        header: Whether there is a header; without one the fields of the type are the columns in their order.
        rename: Column by field, where their names differ.

    Example:
        >>> from dataclasses import dataclass
        >>> import wallaroo
        >>> @dataclass
        ... class Tick:
        ...     symbol: str
        ...     close: float
        >>> ticks = wallaroo.file("ticks.csv", wallaroo.csv(Tick, rename={"symbol": "Ticker", "close": "Close"}))
    """
    if typing.get_origin(type_) is dict:
        if typing.get_args(type_) != (str, str):
            message = (
                f"csv takes no {type_}: the columns of a dict are texts; give dict, or a dataclass with the types of the columns"
            )
            raise TypeError(message)
        type_ = dict
    return _Csv(type_, delimiter, rename or {}, header=header)


class _Lines(Format[str]):
    type = str

    def _decode(self) -> tuple[str, None]:
        return "text", None

    def _sink(self) -> dict[str, Any]:
        return {"encode": None, "line": True}


def lines() -> Format[str]:
    """Each record is a text: strict UTF-8, without its line end. As a sink: each message as ``str`` prints it."""
    return _Lines()


class _Raw(Format[bytes]):
    type = bytes

    def _decode(self) -> tuple[str, None]:
        return "bytes", None

    def _sink(self) -> dict[str, Any]:
        return {"encode": bytes, "line": False}


def raw() -> Format[bytes]:
    """Each record is its bytes, as they are; as a sink, each message is written as it is, without a line end."""
    return _Raw()


class _Decoder(Format[T]):
    def __init__(self, function: Callable[[bytes], Any]) -> None:
        self.function = function
        self.type = hints_of_function(function).get("return")

    def _decode(self) -> tuple[str, Callable[..., Any]]:
        return "function", self.function


def hints_of_function(function: Any) -> dict[str, Any]:
    """The type hints of a function; none where it has none."""
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):
        return {}


def decoder(function: Callable[[bytes], T | None]) -> Format[T]:
    """Each record is decoded by a function of its bytes; ``None`` filters it out.

    Example:
        >>> import wallaroo
        >>> numbers = wallaroo.file("numbers.txt", wallaroo.decoder(lambda line: int(line)))
    """
    refuse_async(function, "the function of the decoder")
    return _Decoder(function)


class _Encoder(Format[T]):
    def __init__(self, function: Callable[[T], bytes | str], *, line: bool) -> None:
        self.function = function
        self.line = line

    def _sink(self) -> dict[str, Any]:
        return {"encode": self.function, "line": self.line}


def encoder(function: Callable[[T], bytes | str], *, line: bool = True) -> Format[T]:
    """Each message is what a function returns: bytes or text; followed by a line end unless ``line`` is false or the
    connector is framed.
    """
    refuse_async(function, "the function of the encoder")
    return _Encoder(function, line=line)
