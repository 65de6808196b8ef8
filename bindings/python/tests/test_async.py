"""Functions that are async: nothing awaits what they return, so each is refused where it is given, or when it has returned."""

from __future__ import annotations

import asyncio
import functools
import types
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

import wallaroo
from wallaroo import App, State, decoder, encoder, file, lines, memory, source


async def later(message: Any) -> Any:
    return message


async def each_later(message: Any) -> AsyncIterator[Any]:
    yield message


class Later:
    async def __call__(self, message: Any) -> Any:
        return message

    async def method(self, message: Any) -> Any:
        return message


ASYNC: list[Callable[..., Any]] = [
    later,
    each_later,
    Later(),
    Later().method,
    functools.partial(later),
    functools.partial(functools.partial(Later())),
]


def begin() -> wallaroo.Pipeline[Any]:
    return source("numbers", [1])


class OwnSource(wallaroo.Source[int]):
    def open(self, partition: str, position: Any) -> Any:
        return self

    def read(self, count: int) -> list[int] | None:
        return None

    def position(self) -> int:
        return 0

    def close(self) -> None:
        pass


class OwnSink(wallaroo.Sink[int]):
    def write(self, messages: list[int], /) -> None:
        pass


class OwnCodec:
    def encode(self, state: Any) -> bytes:
        return b""

    def decode(self, stored: bytes) -> Any:
        return None


def changed(class_: type, method: str) -> Any:
    """An object of a class with one of its methods async."""

    async def method_(self: Any, *_: Any) -> None:
        return None

    return type(class_.__name__, (class_,), {method: method_})()


@pytest.mark.parametrize("function", ASYNC, ids=["function", "generator", "object", "method", "partial", "of_object"])
@pytest.mark.parametrize(
    ("use", "what"),
    [
        (lambda f: begin().to(f), "the function of the stage '.*' is async; stages are plain functions for now"),
        (lambda f: begin().to_many(f), "the function of the stage '.*' is async; stages are plain functions for now"),
        (lambda f: begin().key_by(f), "the function of the key is async; "),
        (lambda f: begin().split(f), "the function of the stage 'split@.*' is async; "),
        (lambda f: begin().to_sink("out", f), "the function of the sink 'out' is async; "),
        (lambda f: begin().dead_letter("letters", f), "the function of the sink 'letters' is async; "),
        (lambda f: begin().to_sink("out", memory()).dead_letter("letters", f), "the function of the sink 'letters' is async; "),
        (lambda f: source("numbers", f), "the function of the source 'numbers' is async; "),
        (lambda f: decoder(f), "the function of the decoder is async; "),
        (lambda f: encoder(f), "the function of the encoder is async; "),
    ],
    ids=["to", "to_many", "key_by", "split", "sink", "dead_letter", "letters_of_sink", "source", "decoder", "encoder"],
)
def test_an_async_function_is_refused_where_it_is_given(use: Callable[..., Any], what: str, function: Any) -> None:
    with pytest.raises(TypeError, match=what):
        use(function)


def test_an_async_method_is_refused_where_its_object_is_given() -> None:
    for method in ("partitions", "open", "read", "position", "close"):
        with pytest.raises(TypeError, match=f"the method {method} of the source 'numbers' is async; "):
            source("numbers", changed(OwnSource, method))
    for method in ("open", "write", "flush", "close"):
        sink = changed(OwnSink, method)
        with pytest.raises(TypeError, match=f"the method {method} of the sink 'out' is async; "):
            begin().to_sink("out", sink)
        with pytest.raises(TypeError, match=f"the method {method} of the sink 'letters' is async; "):
            begin().dead_letter("letters", sink)
    for method in ("encode", "decode"):
        with pytest.raises(TypeError, match=f"the method {method} of the codec of the state 's' is async; "):
            State("s", dict, codec=changed(OwnCodec, method))


class Coroutine:
    """An awaitable that is no coroutine."""

    def __await__(self) -> Any:
        return iter(())


def hidden(kind: str) -> Callable[..., Any]:
    """A plain function that returns what is to be awaited; nothing can tell before it is called."""
    match kind:
        case "coroutine":
            return lambda *_: later(1)
        case "generator":
            return lambda *_: each_later(1)
        case _:
            return lambda *_: Coroutine()


def end_in(pipeline: wallaroo.Pipeline[Any]) -> Any:
    return App("hidden", pipeline.to_sink("out", memory())).run()


@pytest.mark.parametrize("kind", ["coroutine", "generator", "object"])
def test_what_is_to_be_awaited_is_no_message(kind: str, tmp_path: Path) -> None:
    """With stage, key and position; it was passed on where it was no coroutine."""
    function = hidden(kind)
    path = tmp_path / "in.txt"
    path.write_text("a\n")
    keyed = begin().key_by(lambda number: "k")
    uses: dict[str, Callable[[], Any]] = {
        "h returned": lambda: end_in(begin().to(function).named("h")),
        'key "k"': lambda: end_in(keyed.to(function, state=dict).named("h")),
        "the function of the split returned": lambda: end_in(begin().split(function)[0]),
        "the decoder returned": lambda: end_in(source("lines", file(path, decoder(function)))),
        "the function of the key returned": lambda: end_in(begin().key_by(function).to(lambda m, s: m, state=dict).named("h")),
    }
    for told, use in uses.items():
        with pytest.raises(TypeError) as raised:
            use()
        text = "\n".join([str(raised.value), *raised.value.__notes__])
        assert told in text, (told, text)
        assert "record 1" in text, (told, text)
        assert "async" in text, (told, text)


def test_a_sink_that_yields_is_refused() -> None:
    def yields(message: int) -> Any:
        yield message

    with pytest.raises(TypeError, match="the function of the sink 'out' yields, and nothing takes out what it does"):
        begin().to_sink("out", yields)


def test_items_of_several_messages_are_looked_at_too() -> None:
    with pytest.raises(TypeError, match="many returned coroutine, which nothing awaits"):
        end_in(begin().to_many(lambda number: [number, later(number)]).named("many"))


@pytest.mark.parametrize("kind", ["coroutine", "generator", "object"])
def test_what_a_sink_returns_is_not_left_to_be_awaited(kind: str) -> None:
    function = hidden(kind)
    with pytest.raises(TypeError, match="the function of the sink 'out' returned .* nothing awaits"):
        App("hidden", begin().to_sink("out", function)).run()
    fails = begin().to(lambda number: 1 / 0).dead_letter("letters", function).end()
    with pytest.raises(TypeError, match="the function of the sink 'letters' returned .* nothing awaits"):
        App("hidden", fails).run()
    for method in ("open", "write", "flush"):
        sink = OwnSink()
        setattr(sink, method, function)
        with pytest.raises(TypeError, match=f"the method {method} of the sink returned .* nothing awaits"):
            App("hidden", begin().to_sink("out", sink)).run()


def test_a_future_is_no_message() -> None:
    loop = asyncio.new_event_loop()
    with pytest.raises(TypeError, match="future returned Future, which nothing awaits"):
        end_in(begin().to(lambda number: loop.create_future()).named("future"))
    loop.close()


def test_what_returns_plain_values_goes_through() -> None:
    """Classes of functions that are not async, with attributes of all kinds."""
    out: list[int] = []
    times = functools.partial(lambda by, number: by * number, 3)
    App("plain", begin().to(times).to_sink("out", types.MethodType(lambda _, m: out.append(m), object()))).run()
    assert out == [3]


def test_lines_are_still_lines(tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_text("a\nb\n")
    kept = memory()
    App("lines", source("lines", file(path, lines())).to_sink("kept", kept)).run()
    assert kept.take() == ["a", "b"]
