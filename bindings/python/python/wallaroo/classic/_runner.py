"""Programs of the original, as applications: ``wallaroo run`` calls this."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

# All of the package that is needed later is imported here: when this module has taken the place of `wallaroo`, an import by that
# name would not find it any more.
from .. import _describe, _errors, _loading, _logging, _main, testing  # noqa: F401
from .. import classic as _classic
from .._app import App
from .._connectors import Connector, tcp_listener, tcp_sink
from .._errors import InvalidError
from .._formats import encoder as encoder_format
from .._formats import raw
from .._pipeline import End, Node, Pipeline, State, call_spec
from .._pipeline import source as source_pipeline
from . import _flags
from ._framing import Framed, framing
from ._generated import Generated
from ._place import take_place
from ._unbuffered import Unbuffered

_HELP = """\
Run a program that was written for the original Wallaroo

Usage: wallaroo run PROGRAM --in NAME@HOST:PORT --out HOST:PORT [OPTIONS] [-- ARGUMENTS]
       wallaroo run --application-module MODULE --in NAME@HOST:PORT --out HOST:PORT [OPTIONS]

Options that are not listed here are the program's: its application_setup gets them, with --in and --out.

Options:
      --store <ADDRESS>             Keep checkpoints in this directory, and go on from there
      --checkpoint-every <TIME>     Time between two checkpoints, like 200ms, 5s, 1m
      --log <LEVEL>                 off, error, warn, info, debug, trace
  -h, --help                        Print help
  and those of every application that are about its store: --retain, --savepoint, --drop-savepoint, --from,
  --take-over, --drop-state, --rename-state, --drop-source, --drop-sink, --reset-sink

Options of the original:
      --run-with-resilience         Keep checkpoints in a directory of --resilience-dir
  -r, --resilience-dir <DIRECTORY>
      --time-between-checkpoints <NANOSECONDS>
  All others are accepted, and those that mean nothing here are named once.
"""


def run(program: _loading.Program, options: Sequence[str], behind: Sequence[str]) -> int:
    """Run a program with a command line; the exit code."""
    if any(option in {"-h", "--help"} for option in options):
        print(_HELP, end="")
        return 0
    line = _flags.read(options)
    app = _load(program, options, line, behind)
    if line.without_meaning:
        named = ", ".join(line.without_meaning)
        _main.say(app.name, f"without a meaning here: {named} (docs/classic.md says why)")
    return _main.run(app, _flags.ours(line, app.name), {}, f"wallaroo run {program.shown}") or 0


def application(program: _loading.Program, options: Sequence[str], behind: Sequence[str]) -> App:
    """The application of a program, built with a command line."""
    return _load(program, options, _flags.read(options), behind)


def _load(program: _loading.Program, options: Sequence[str], line: _flags.CommandLine, behind: Sequence[str]) -> App:
    take_place()
    everything = [program.shown, *options, *behind]
    # Programs ask whether they are in the first process of a cluster; here there is no other.
    is_said = {"--cluster-initializer", "-t"} & set(everything)
    _classic._ARGS = tuple(everything) if is_said else (*everything, "--cluster-initializer")
    sys.stdout, sys.stderr = _unbuffered(sys.stdout), _unbuffered(sys.stderr)
    module = _loading.load(program, [*line.program, *behind])
    setup = getattr(module, "application_setup", None)
    if not callable(setup):
        message = f"{program.shown} has no function application_setup(args), which a program for the original Wallaroo has"
        raise InvalidError(message)
    topology = setup([program.shown, *line.program, *behind])
    return lower(topology, module)


def _unbuffered(stream: Any) -> Any:
    """What a program prints comes at once, as the original did it: also where nobody has a terminal."""
    return stream if stream is None or stream.isatty() else Unbuffered(stream)


def lower(topology: Any, module: ModuleType) -> App:
    """An application of what ``build_application`` returned.

    Args:
        topology: That.
        module: The program; its ``serialize`` and ``deserialize`` are how state is stored.

    Raises:
        InvalidError: It holds what cannot be run here.
    """
    if not (isinstance(topology, tuple) and len(topology) == 4):
        message = f"application_setup returned {topology!r}; expected what wallaroo.build_application returns"
        raise InvalidError(message)
    name, root, stages, edges = topology
    lowering = _Lowering(stages, edges, module)
    lowering.node(root)
    return App(name, *lowering.ends)


_KEYS = {"key_by", "collect"}
#: A name has 1 to 255 bytes, with those of a number behind it, and none of these characters. The original took any.
_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f-\x9f=]")
_LONGEST_NAME = 200


class _Lowering:
    def __init__(self, stages: list[list[Any]], edges: list[list[int]], module: ModuleType) -> None:
        self.stages = stages
        self.edges = edges
        self.ends: list[End] = []
        self.names: set[str] = set()
        #: By what is before it and the stage: a prefix that several pipelines have runs once.
        self.made: dict[tuple[int, int], Pipeline[Any]] = {}
        own = getattr(module, "serialize", None), getattr(module, "deserialize", None)
        self.place = _place(getattr(module, "application_setup", None))
        self.codec: Any = "pickle" if None in own else _Serialized(own)

    def node(self, at: int) -> Pipeline[Any] | None:
        """The pipeline at the end of a list of stages; none behind a sink."""
        pipeline = self._merged(*self.edges[at]) if self.edges[at] else None
        for stage in self.stages[at]:
            pipeline = self.stage(pipeline, stage)
        return pipeline

    def _merged(self, left: int, right: int) -> Pipeline[Any]:
        if self._ends_with_key(left) != self._ends_with_key(right):
            message = (
                "a pipeline that ends with key_by or collect can only be merged with another such; put key_by after the merge"
            )
            raise InvalidError(message)
        is_keyed = self._is_keyed(left) or self._is_keyed(right)
        sides = []
        for at in (left, right):
            side = self.node(at)
            assert side is not None
            # In the original the messages of a source have one key until a key extractor gives them theirs.
            sides.append(self._placed(side.collect()) if is_keyed and not self._is_keyed(at) else side)
        return self._placed(sides[0].merge(sides[1]))

    def _is_keyed(self, at: int) -> bool:
        return any(stage[0] in _KEYS for stage in self.stages[at]) or any(self._is_keyed(edge) for edge in self.edges[at])

    def _ends_with_key(self, at: int) -> bool:
        stages = self.stages[at]
        return stages[-1][0] in _KEYS if stages else all(self._ends_with_key(edge) for edge in self.edges[at])

    def stage(self, before: Pipeline[Any] | None, stage: tuple[Any, ...]) -> Pipeline[Any] | None:
        kind = stage[0]
        if kind in {"to_sink", "to_sinks"}:
            assert before is not None
            for config in [stage[1]] if kind == "to_sink" else stage[1]:
                self.sink(before, config)
            return None
        known = self.made.get((id(before), id(stage)))
        if known is None:
            lower = getattr(self, f"_{kind}", None)
            if lower is None:
                message = f"the topology has a stage {kind!r}, which is not known"
                raise InvalidError(message)
            known = self.made[id(before), id(stage)] = lower(before, *stage[1:])
        return known

    def name(self, wanted: str) -> str:
        """A name for it that can be used here and is its own."""
        wanted = _NOT_IN_NAMES.sub("_", wanted).encode(errors="replace")[:_LONGEST_NAME].decode(errors="ignore") or "unnamed"
        name, number = wanted, 2
        while name in self.names:
            name = f"{wanted} ({number})"
            number += 1
        self.names.add(name)
        return name

    def _source(self, _: None, name: str, config: tuple[Any, ...]) -> Pipeline[Any]:
        kind = config[0]
        shown = self.name(str(config[1] or name))
        if kind not in {"gen", "tcp"}:
            raise _later(shown, kind, what="source")
        if kind == "gen":
            return self._placed(source_pipeline(shown, Generated(config[2])))
        return self._listener(shown, *config[2:])

    def _listener(
        self,
        name: str,
        host: str,
        port: Any,
        decoder: Any,
        is_valid: bool = True,  # noqa: FBT001 - in the order of the topology
        _parallelism: int = 10,
        max_size: int = 16384,
        *_: Any,
    ) -> Pipeline[Any]:
        if not is_valid:
            return self._placed(source_pipeline(name, []))
        decode = _function(decoder, "decode")
        if decoder.header_length() < 1:
            length = decoder.header_length()
            message = f"the decoder of the source {name!r} has a header of {length} bytes; it must have at least one"
            raise InvalidError(message)
        framed = framing(decoder)
        if framed is None:
            records = source_pipeline(name, Framed(host, int(port), decoder, max_size))
        else:
            # A message that is too long ends its connection and nothing else: that is what "skip" says. An exception of the
            # decoder ends the application, so it has a stage of its own.
            listener = tcp_listener(f"{host}:{port}", raw(), framed=framed, max_frame_bytes=max_size)
            records = source_pipeline(name, listener).on_error("skip")
        return self._stage(self._placed(records), "to", self.name(f"{name} decoder"), decode, is_many=False, settings={})

    def _placed(self, pipeline: Pipeline[Any]) -> Pipeline[Any]:
        """The pipeline, with its last node where the program says its pipeline."""
        return Pipeline(replace(pipeline._node, location=self.place), pipeline._output)

    def sink(self, before: Pipeline[Any], config: tuple[Any, ...]) -> None:
        shown = self.name(str(config[1] or "sink"))
        if config[0] != "tcp":
            raise _later(shown, config[0], what="sink")
        _, _, host, port, encoder = config
        encode = _function(encoder, "encode")

        def bytes_of(message: Any) -> Any:
            encoded = encode(message)
            return b"" if encoded is None else encoded

        sink: Connector[Any] = tcp_sink(f"{host}:{port}", encoder_format(bytes_of, line=False))
        self.ends.append(End(replace(before.to_sink(shown, sink)._node, location=self.place)))

    def _key_by(self, before: Pipeline[Any], extractor: Any) -> Pipeline[Any]:
        key = _function(extractor, "extract_key")
        return _then(before, "key_by", None, {"function": key}, key)

    def _collect(self, before: Pipeline[Any], _: Any) -> Pipeline[Any]:
        return self._placed(before.collect())

    def _to(self, before: Pipeline[Any], computation: Any) -> Pipeline[Any]:
        return self._call(before, "to", computation)

    def _to_state(self, before: Pipeline[Any], computation: Any) -> Pipeline[Any]:
        return self._call(before, "state", computation)

    def _call(self, before: Pipeline[Any], kind: str, computation: Any) -> Pipeline[Any]:
        is_many = hasattr(computation, "compute_multi")
        function = _function(computation, "compute_multi" if is_many else "compute")
        name = self.name(str(computation.name()))
        settings = {"state": State(name, _made_by(computation), codec=self.codec)} if kind == "state" else {}
        return self._stage(before, kind, name, function, is_many=is_many, settings=settings)

    def _stage(
        self,
        before: Pipeline[Any],
        kind: str,
        name: str,
        function: Callable[..., Any],
        *,
        is_many: bool,
        settings: dict[str, Any],
    ) -> Pipeline[Any]:
        called = _of_list(function, name) if is_many else function
        # Functions of the original get no context, whatever their parameters are named.
        call = {**call_spec(_plain, name, 1, many=is_many, state_first=False), "function": called}
        return _then(before, kind, name, {**settings, "call": call, "function": None, "is_lambda": False}, function)

    def _to_range_windows(self, _: Pipeline[Any], *__: Any) -> Pipeline[Any]:
        name = "range_windows"
        raise _later(name, "windows", what="stage")

    def _to_count_windows(self, _: Pipeline[Any], *__: Any) -> Pipeline[Any]:
        name = "count_windows"
        raise _later(name, "windows", what="stage")


def _plain(message: Any) -> Any:
    """A function as the original had them."""
    return message


class _Serialized:
    """State objects, by the functions of the program."""

    def __init__(self, functions: tuple[Any, Any]) -> None:
        self.encode, self.decode = functions


def _then(before: Pipeline[Any], kind: str, name: str | None, settings: dict[str, Any], function: Any) -> Pipeline[Any]:
    inputs = ((before._node, before._output),)
    return Pipeline(Node(kind, inputs, _place(function), name, name is not None, settings=settings))


def _place(function: Any) -> tuple[str, int]:
    """Where a function is, for messages."""
    code = getattr(function, "__code__", None)
    if code is None:
        return "(program)", 0
    file = Path(code.co_filename)
    return str(file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file), code.co_firstlineno


def _function(wrapped: Any, method: str) -> Callable[..., Any]:
    """The function of a decorated object; of an object of the program's own, its method."""
    function = getattr(type(wrapped), "_function", None)
    if function is not None and hasattr(wrapped, method):
        return function  # type: ignore[no-any-return]
    own = getattr(wrapped, method, None)
    if not callable(own):
        decorators = {
            "compute": "computation or state_computation",
            "encode": "encoder",
            "decode": "decoder",
            "extract_key": "key_extractor",
        }
        message = f"{wrapped!r} cannot be used here; decorate the function with @wallaroo.{decorators.get(method, method)}"
        raise InvalidError(message)
    return own  # type: ignore[no-any-return]


def _of_list(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The results of a computation with several, without those that are ``None``."""

    def several(*values: Any) -> list[Any] | None:
        results = function(*values)
        if results is None:
            return None
        if not isinstance(results, list):
            message = f"{name!r} returned a {type(results).__name__}; a computation with several results returns a list, or None"
            raise TypeError(message)
        return [result for result in results if result is not None]

    return several


def _made_by(computation: Any) -> type:
    """A class whose objects are the first state objects of a computation."""
    state = getattr(type(computation), "_state", None)
    if isinstance(state, type):
        return state
    name = getattr(state, "__name__", type(computation).__name__)
    return type(name, (), {"__new__": lambda _: computation.initial_state()})


def _later(name: str, kind: str, *, what: str) -> InvalidError:
    kinds = {
        "kafka": "Kafka",
        "kafka-internal": "Kafka",
        "source_connector": "connectors",
        "sink_connector": "connectors",
        "windows": "windows",
    }
    return InvalidError(
        f"the {what} {name!r} needs {kinds.get(kind, kind)}, which programs of the original cannot use yet; it comes later "
        "(docs/classic.md)"
    )
