"""Pipelines: what an application is built from.

A pipeline is a value: every method makes a new one and changes none. Using a pipeline twice runs what is before it once.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, Protocol, TypeVar, overload

from ._async import refuse_async, refuse_async_methods
from ._connectors import Connector, Sink, Source, as_letters, as_sink, as_source
from ._fields import misspelt
from ._formats import Format, hints_of_function
from ._location import caller
from ._native import Context

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")

OnError = Literal["fail", "skip"]


class Codec(Protocol):
    """A stored form of your own for the objects of a state."""

    def encode(self, state: Any, /) -> bytes:
        """The stored form of an object."""

    def decode(self, stored: bytes, /) -> Any:
        """The object of a stored form; of those that older versions of the program wrote, too."""


class State(Generic[S]):
    """A state: a name for a set of state objects, one per key.

    All stages that are given the same ``State`` work on the same objects. The object of an unseen key is what calling the
    type without arguments gives. Objects are stored as their attributes by name: adding one with a default, removing and
    reordering attributes just works.

    Args:
        name: The name, unique in the application; objects are stored under it.
        type_: The class of the objects, or a container such as ``dict``, ``list`` or ``collections.Counter``.
        expire_after: Seconds without a message for its key after which an object is dropped; never by default.
        aliases: New by old names of attributes that were renamed: ``{"old": "new"}``.
        classes: Classes of objects inside of state objects that no type hint leads to.
        codec: ``"pickle"``, or an object with ``encode`` and ``decode``. With pickle whoever can write to the store can
            run code in your program: use it only with stores you trust.

    Example:
        >>> from dataclasses import dataclass
        >>> import wallaroo
        >>> @dataclass
        ... class Stock:
        ...     high: float = 0.0
        >>> stocks = wallaroo.State("stocks", Stock)
    """

    def __init__(
        self,
        name: str,
        type_: Callable[[], S],
        *,
        expire_after: float | None = None,
        aliases: Mapping[str, str] | None = None,
        classes: Iterable[type] = (),
        codec: Literal["pickle"] | Codec | None = None,
    ) -> None:
        if not isinstance(name, str):
            message = f"the name of a state is a str; found {type(name).__name__} (State(name, type))"
            raise TypeError(message)
        if not isinstance(type_, type):
            message = f"the type of the state {name!r} must be a class; found {type_!r}"
            raise TypeError(message)
        if expire_after is not None and not expire_after > 0:
            message = f"expire_after of the state {name!r} is {expire_after!r}; expected seconds above 0"
            raise ValueError(message)
        if codec is not None and not isinstance(codec, str):
            refuse_async_methods(codec, ("encode", "decode"), f"the codec of the state {name!r}")
        self.name = name
        self.type: type[S] = type_
        self.expire_after = expire_after
        self.aliases = dict(aliases or {})
        self.classes = tuple(classes)
        self.codec = codec

    def __repr__(self) -> str:
        """``State('stocks', Stock)``."""
        return f"State({self.name!r}, {self.type.__name__})"


@dataclass(frozen=True, slots=True)
class Policy:
    """What happens to a message for which user code fails."""

    on_error: str = "fail"
    letters: tuple[str, dict[str, Any]] | None = None

    def spec(self) -> dict[str, Any]:
        """The policy for the native module."""
        letters = None if self.letters is None else {"name": self.letters[0], "sink": self.letters[1]}
        return {"on_error": self.on_error, "dead_letter": letters}


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A source, stage or sink."""

    kind: str
    inputs: tuple[tuple[Node, int], ...]
    location: tuple[str, int]
    name: str | None = None
    is_name_given: bool = False
    policy: Policy = field(default_factory=Policy)
    settings: dict[str, Any] = field(default_factory=dict)


def function_name(function: Any) -> str | None:
    """The name of a function as people know it; none for lambdas and objects."""
    name = getattr(function, "__qualname__", None)
    if not isinstance(name, str):
        function = getattr(function, "func", None)
        return None if function is None else function_name(function)
    name = name.rpartition("<locals>.")[2]
    return None if "<lambda>" in name else name


def _made_name(what: str, location: tuple[str, int]) -> str:
    file = re.split(r"[/\\]", location[0])[-1]
    return f"{what}@{file}:{location[1]}"


def _positional(function: Any) -> list[inspect.Parameter] | None:
    """The parameters that take what is given by place; none where they cannot be told."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    kinds = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    return [parameter for parameter in parameters if parameter.kind in kinds]


def _advice(function: Any, taken: int, count: int) -> str:
    """What the author of a function with other arguments may have meant."""
    if (taken, count) == (2, 1):
        return "; a stage with state is to(f, state=State(name, class))"
    if (taken, count) == (1, 2) and inspect.ismethod(function):
        return f"; it is the method of one object: name that of the class, {function.__qualname__}"
    return ""


def call_spec(function: Any, name: str, count: int, *, many: bool, state_first: bool) -> dict[str, Any]:
    """How a function of the user is called with ``count`` values, and with the context if it has a parameter for it."""
    if not callable(function):
        message = f"expected a function for the stage {name!r}, found a {type(function).__name__}"
        raise TypeError(message)
    refuse_async(function, f"the function of the stage {name!r}", "stages")
    if not many and inspect.isgeneratorfunction(function):
        message = f"the function of the stage {name!r} yields its messages; use to_many for it"
        raise TypeError(message)
    parameters = _positional(function)
    context: int | Literal["keyword"] | None = None
    if parameters is not None:
        names = [parameter.name for parameter in parameters]
        keyword = inspect.signature(function).parameters.get("ctx")
        if "ctx" in names:
            context = names.index("ctx")
        elif keyword is not None and keyword.kind is inspect.Parameter.KEYWORD_ONLY:
            context = "keyword"
        takes_context = context is not None
        given = count + takes_context
        required = sum(parameter.default is inspect.Parameter.empty for parameter in parameters)
        variadic = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in inspect.signature(function).parameters.values())
        if required > given or (len(parameters) < count and not variadic and not takes_context):
            what = "the message" if count == 1 else "the message and the state object"
            noun = "argument" if len(parameters) == 1 else "arguments"
            message = (
                f"the function of the stage {name!r} takes {len(parameters)} {noun}; it is called with {what}"
                f", and with the context if a parameter is named ctx{_advice(function, len(parameters), count)}"
            )
            raise TypeError(message)
    return {
        "function": function,
        "many": many,
        "context": context,
        "state_first": state_first,
        "name": name,
    }


def _message_type(hint: Any, *, many: bool) -> Any:
    """The type of the messages that a function with this return type passes on; ``None`` if it is not one type."""
    arms = typing.get_args(hint) if typing.get_origin(hint) in {typing.Union, types.UnionType} else (hint,)
    kept = [arm for arm in arms if arm is not type(None)]
    if len(kept) != 1:
        return None
    if not many:
        return kept[0]
    items = typing.get_args(kept[0])
    return items[0] if len(items) in {1, 3} else None  # Iterable[T], Iterator[T], list[T]; Generator[T, …, …]


def _is_method_of(function: Any, class_: type) -> bool:
    """Whether a function is a method of a class, or of one that it comes from, by whatever name."""
    return any(value is function for base in class_.__mro__ for value in vars(base).values())


def _refuse_method_of_subclass(function: Any, name: str, class_: type) -> None:
    """Raise an error for a method that objects of a class do not have."""
    waiting: list[type] = list(type.__subclasses__(class_))
    while waiting:
        below = waiting.pop()
        if any(value is function for value in vars(below).values()):
            message = (
                f"{name} is a method of {below.__name__}, and the state's objects are {class_.__name__}; "
                f"give state={below.__name__}, or a method of {class_.__name__}"
            )
            raise TypeError(message)
        waiting.extend(type.__subclasses__(below))


class End:
    """A pipeline that has come to its end: give it to :class:`App`. Nothing runs before."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def on_error(self, policy: OnError) -> End:
        """What happens to a message that the encoder of the sink fails for: ``"fail"`` (the default) or ``"skip"``."""
        return End(replace(self._node, policy=Policy(_policy(policy))))

    def dead_letter(self, name: str, sink: Connector[Any] | Sink[Any] | Callable[[Any], Any]) -> End:
        """Send messages that the encoder of the sink fails for to another sink, as :class:`DeadLetter`."""
        return End(replace(self._node, policy=Policy("dead_letter", (name, as_letters(name, sink)))))

    def __repr__(self) -> str:
        """``End('alerts')``."""
        return f"End({self._node.name!r})"


def _policy(policy: str) -> str:
    if policy not in {"fail", "skip"}:
        message = f"the error policy is {policy!r}; expected 'fail' or 'skip', or use .dead_letter(name, sink)"
        raise ValueError(message)
    return policy


class Pipeline(Generic[T]):
    """Messages of type ``T`` on their way through an application. Made by :func:`source`."""

    def __init__(self, node: Node, output: int = 0, type_: Any = None) -> None:
        self._node = node
        self._output = output
        self._type = type_

    def _then(self, kind: str, name: str | None, settings: dict[str, Any], type_: Any = None) -> Pipeline[Any]:
        location = caller()
        inputs = ((self._node, self._output),)
        return Pipeline(Node(kind, inputs, location, name, False, settings=settings), type_=type_)

    # What is called (message, state) stands before what is called (state, message): lambdas are the former.
    @overload
    def to(self, function: Callable[[T], None]) -> Pipeline[Any]: ...
    @overload
    def to(self, function: Callable[[T], R | None]) -> Pipeline[R]: ...
    @overload
    def to(self, function: Callable[[T, Context], None]) -> Pipeline[Any]: ...
    @overload
    def to(self, function: Callable[[T, Context], R | None]) -> Pipeline[R]: ...
    @overload
    def to(self, function: Callable[[T, S], None], *, state: State[S] | type[S]) -> Pipeline[Any]: ...
    @overload
    def to(self, function: Callable[[T, S], R | None], *, state: State[S] | type[S]) -> Pipeline[R]: ...
    @overload
    def to(self, function: Callable[[T, S, Context], None], *, state: State[S] | type[S]) -> Pipeline[Any]: ...
    @overload
    def to(self, function: Callable[[T, S, Context], R | None], *, state: State[S] | type[S]) -> Pipeline[R]: ...
    @overload
    def to(self, function: Callable[[S, T], None], *, state: State[S] | type[S]) -> Pipeline[Any]: ...
    @overload
    def to(self, function: Callable[[S, T], R | None], *, state: State[S] | type[S]) -> Pipeline[R]: ...
    @overload
    def to(self, function: Callable[[S, T, Context], None], *, state: State[S] | type[S]) -> Pipeline[Any]: ...
    @overload
    def to(self, function: Callable[[S, T, Context], R | None], *, state: State[S] | type[S]) -> Pipeline[R]: ...
    def to(self, function: Callable[..., Any], *, state: Any = None) -> Pipeline[Any]:
        """Call a function for each message and pass on what it returns: one message, or ``None`` for none.

        With ``state`` the function also gets the state object of the message's key: a method of the state's class is called
        ``method(state, message)``, any other function ``function(message, state)``. All calls for one key come one after
        another, in the order of the messages.

        Args:
            function: The function. A parameter named ``ctx`` gets the :class:`Context`. A list that it returns is one message;
                for several see :meth:`to_many`.
            state: A :class:`State`, or a class for a state that only this stage has.

        Example:
            >>> import wallaroo
            >>> class Count:
            ...     def __init__(self):
            ...         self.seen = 0
            ...
            ...     def add(self, word):
            ...         self.seen += 1
            ...         return f"{word} {self.seen}"
            >>> words = wallaroo.source("words", ["to", "be", "or", "not", "to", "be"])
            >>> counted = wallaroo.memory()
            >>> app = wallaroo.App(
            ...     "count", words.key_by(lambda word: word).to(Count.add, state=Count).to_sink("counted", counted)
            ... )
            >>> app.run()
            >>> counted.take()
            ['to 1', 'be 1', 'or 1', 'not 1', 'to 2', 'be 2']
        """
        return self._stage(function, state, many=False)

    @overload
    def to_many(self, function: Callable[[T], Iterable[R] | None]) -> Pipeline[R]: ...
    @overload
    def to_many(self, function: Callable[[T, Context], Iterable[R] | None]) -> Pipeline[R]: ...
    @overload
    def to_many(self, function: Callable[[T, S], Iterable[R] | None], *, state: State[S] | type[S]) -> Pipeline[R]: ...
    @overload
    def to_many(self, function: Callable[[T, S, Context], Iterable[R] | None], *, state: State[S] | type[S]) -> Pipeline[R]: ...
    @overload
    def to_many(self, function: Callable[[S, T], Iterable[R] | None], *, state: State[S] | type[S]) -> Pipeline[R]: ...
    @overload
    def to_many(self, function: Callable[[S, T, Context], Iterable[R] | None], *, state: State[S] | type[S]) -> Pipeline[R]: ...
    def to_many(self, function: Callable[..., Any], *, state: Any = None) -> Pipeline[Any]:
        """As :meth:`to`, for a function that returns or yields several messages, which are passed on one by one.

        Example:
            >>> import wallaroo
            >>> lines = wallaroo.source("lines", ["to be", "or not"])
            >>> words = wallaroo.memory()
            >>> wallaroo.App("words", lines.to_many(str.split).to_sink("words", words)).run()
            >>> words.take()
            ['to', 'be', 'or', 'not']
        """
        return self._stage(function, state, many=True)

    def _stage(self, function: Any, state: Any, *, many: bool) -> Pipeline[Any]:
        what = "to_many" if many else "to"
        name = function_name(function)
        location = caller()
        shown = name or _made_name(what, location)
        type_ = _message_type(hints_of_function(function).get("return"), many=many)
        if state is None:
            call = call_spec(function, shown, 1, many=many, state_first=False)
            settings: dict[str, Any] = {"call": call, "function": function}
            return self._then("to", shown, {**settings, "is_lambda": name is None}, type_)
        is_own = isinstance(state, type)
        if is_own:
            state = State(shown, state)
        elif not isinstance(state, State):
            message = f"state is {state!r}; expected a State, or a class"
            raise TypeError(message)
        is_method = _is_method_of(function, state.type)
        if not is_method and inspect.isfunction(function):
            _refuse_method_of_subclass(function, shown, state.type)
        call = call_spec(function, shown, 2, many=many, state_first=is_method)
        settings = {"call": call, "function": function, "state": state, "is_own": is_own, "is_lambda": name is None}
        return self._then("state", shown, settings, type_)

    def key_by(self, key: str | Callable[[T], Hashable]) -> Pipeline[T]:
        """Give each message its key, for all following stages until the next ``key_by`` or ``collect``.

        Args:
            key: The name of a field, with dots for fields of fields; or a function that returns the key. A named field of JSON
                and CSV is found in the raw bytes, without decoding them, where it is a ``str``, ``int`` or ``bool`` without a
                default and no ``__post_init__`` can change it; else it is what the decoded message has. Keys are
                ``str``, ``bytes``, ``int``, ``bool``, ``uuid.UUID``, and tuples of these; no floats.

        Raises:
            ValueError: The type of the messages has no such field.
        """
        if isinstance(key, str):
            if not key:
                message = "the name of the key's field is empty"
                raise ValueError(message)
            wrong = misspelt(self._type, key.split("."))
            if wrong is not None:
                message = f"key_by({key!r}): {wrong}"
                raise ValueError(message)
            return self._then("key_by", None, {"field": key, "type": self._type}, self._type)
        if not callable(key):
            message = f"key_by takes the name of a field or a function; found a {type(key).__name__}"
            raise TypeError(message)
        refuse_async(key, "the function of the key")
        return self._then("key_by", None, {"function": key}, self._type)

    def collect(self) -> Pipeline[T]:
        """Bring all messages together under one key, for all following stages until the next ``key_by``."""
        return self._then("collect", None, {}, self._type)

    def merge(self, other: Pipeline[T]) -> Pipeline[T]:
        """The messages of both pipelines. Not a join: those of different pipelines interleave freely."""
        if not isinstance(other, Pipeline):
            message = f"merge takes another Pipeline; found a {type(other).__name__}"
            raise TypeError(message)
        location = caller()
        inputs = ((self._node, self._output), (other._node, other._output))
        return Pipeline(Node("merge", inputs, location), type_=self._type)

    def split(self, predicate: Callable[[T], object]) -> tuple[Pipeline[T], Pipeline[T]]:
        """Two pipelines: the messages for which ``predicate`` holds, and the others.

        Example:
            >>> import wallaroo
            >>> small, large = wallaroo.source("numbers", range(10)).split(lambda n: n < 5)
        """
        location = caller()
        call = call_spec(predicate, _made_name("split", location), 1, many=False, state_first=False)
        node = Node("split", ((self._node, self._output),), location, settings={"call": call})
        return Pipeline(node, 0, self._type), Pipeline(node, 1, self._type)

    def named(self, name: str) -> Pipeline[T]:
        """Name the last stage: how it is found in errors, metrics and stored state. By default the name of its function."""
        node = self._last("named", {"source", "to", "state"})
        settings = node.settings
        if settings.get("is_own"):
            # A state that only this stage has is known under the stage's name.
            settings = {**settings, "state": State(name, settings["state"].type)}
        return Pipeline(replace(node, name=name, is_name_given=True, settings=settings), self._output, self._type)

    def on_error(self, policy: OnError) -> Pipeline[T]:
        """What happens to a message for which the last stage (or the source's decoder) fails.

        Args:
            policy: ``"fail"``, the default: the application stops and says why. ``"skip"``: the message is dropped and counted,
                and the state object is as before the call. For dead letters see :meth:`dead_letter`.
        """
        return self._with_policy("on_error", Policy(_policy(policy)))

    def dead_letter(self, name: str, sink: Connector[Any] | Sink[Any] | Callable[[Any], Any]) -> Pipeline[T]:
        """Send messages for which the last stage (or the source's decoder) fails to a sink, as :class:`DeadLetter`."""
        return self._with_policy("dead_letter", Policy("dead_letter", (name, as_letters(name, sink))))

    def _with_policy(self, what: str, policy: Policy) -> Pipeline[T]:
        node = self._last(what, {"source", "to", "state", "split"})
        return Pipeline(replace(node, policy=policy), self._output, self._type)

    def _last(self, what: str, kinds: set[str]) -> Node:
        if self._node.kind not in kinds:
            message = f"{what} is about a stage: put it behind the stage, and not behind {self._node.kind}"
            raise ValueError(message)
        if self._node.kind == "split":
            message = f"{what} cannot be said of a split; let the stage before it fail"
            raise ValueError(message)
        return self._node

    def to_sink(self, name: str, sink: Connector[Any] | Sink[Any] | Callable[[T], Any]) -> End:
        """End the pipeline in a sink: ``stdout()``, ``file_sink(…)``, a function, or a :class:`Sink` of your own."""
        location = caller()
        spec = as_sink(name, sink)
        return End(Node("sink", ((self._node, self._output),), location, name, True, settings={"sink": spec}))

    def end(self) -> End:
        """End the pipeline without a sink; messages that come here are dropped."""
        return End(Node("end", ((self._node, self._output),), caller()))

    def __repr__(self) -> str:
        """``Pipeline(behind 'on_tick')``."""
        return f"Pipeline(behind {self._node.name or self._node.kind!r})"


@overload
def source(name: str, connector: Connector[T]) -> Pipeline[T]: ...
@overload
def source(name: str, connector: Source[T]) -> Pipeline[T]: ...
@overload
def source(name: str, connector: Iterable[T]) -> Pipeline[T]: ...
@overload
def source(name: str, connector: Callable[[], Iterable[T]]) -> Pipeline[T]: ...
def source(name: str, connector: Any) -> Pipeline[Any]:
    """Begin a pipeline with the messages of a source.

    Args:
        name: The name of the source, unique in the application; positions are stored under it.
        connector: ``file(…)``, ``tcp_listener(…)``, ``channel(…)``, a :class:`Source` of your own, anything that can be iterated
            over, or a function that returns such a thing and can be called again.
    """
    if not isinstance(name, str):
        message = f"the name of a source is a str; found a {type(name).__name__} (source(name, connector))"
        raise TypeError(message)
    spec, format_, type_ = as_source(name, connector)
    settings: dict[str, Any] = {"connector": spec, "format": format_, "type": type_}
    return Pipeline(Node("source", (), caller(), name, True, settings=settings), type_=type_)


def format_of(node: Node) -> Format[Any] | None:
    """The format of what a source reads, if that is bytes."""
    return node.settings.get("format")
