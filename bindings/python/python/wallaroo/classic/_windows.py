"""Aggregations over windows. They can be said; to run them comes later."""

from __future__ import annotations

from typing import Any

from ._objects import BaseWrapped, refused


class Aggregation(BaseWrapped):
    """What is computed of the messages of a window: ``initial_accumulator``, ``update``, ``combine`` and ``output``."""

    def name(self) -> str:
        """The name of the aggregation: that of its class, unless it has one of its own."""
        return type(self).__name__


class RangeWindows:
    """Windows of a span of time, with their aggregation."""

    def __init__(self, wrange: int, slide: int, delay: int, agg: Any, late: str) -> None:
        self.range = wrange
        self.slide = slide
        self.delay = delay
        self.aggregation = _complete(agg)
        self.late_data_policy = late


class CountWindows:
    """Windows of a number of messages, with their aggregation."""

    def __init__(self, count: int, agg: Any) -> None:
        self.count = count
        self.aggregation = _complete(agg)


def _complete(aggregation: Any) -> Any:
    for name in ("name", "initial_accumulator", "update", "combine", "output"):
        if not hasattr(aggregation, name):
            message = f"Aggregation must have method '{name}'."
            raise refused(message)
    return aggregation


class RangeWindowsBuilder:
    """Says windows of a span of time; see :func:`range_windows`."""

    def __init__(self, wrange: int) -> None:
        self.range = wrange
        self.slide: int | None = None
        self.delay: int | None = None
        self.late_data_policy = ""

    def with_slide(self, slide: int) -> RangeWindowsBuilder:
        """Let a window begin every ``slide`` nanoseconds; they follow each other without gap otherwise."""
        if self.slide is not None:
            raise refused(_ONCE.format("with_slide"))
        self.slide = slide
        return self

    def with_delay(self, delay: int) -> RangeWindowsBuilder:
        """Wait ``delay`` nanoseconds for late messages."""
        if self.delay is not None:
            raise refused(_ONCE.format("with_delay"))
        self.delay = delay
        return self

    def with_late_data_policy(self, late_data_policy: str) -> RangeWindowsBuilder:
        """Say what happens to later ones: ``drop``, ``fire-per-message`` or ``place-in-oldest-window``."""
        if self.late_data_policy:
            raise refused(_ONCE.format("with_late_data_policy"))
        self.late_data_policy = late_data_policy
        return self

    def over(self, aggregation_cls: type) -> RangeWindows:
        """The windows with their aggregation."""
        slide = self.range if self.slide is None else self.slide
        return RangeWindows(self.range, slide, self.delay or 0, aggregation_cls(), self.late_data_policy or "drop")


_ONCE = "Only call `{}()` once per window specification."


class CountWindowsBuilder:
    """Says windows of a number of messages; see :func:`count_windows`."""

    def __init__(self, count: int) -> None:
        self.count = count

    def over(self, aggregation_cls: type) -> CountWindows:
        """The windows with their aggregation."""
        return CountWindows(self.count, aggregation_cls())


def range_windows(wrange: int) -> RangeWindowsBuilder:
    """Windows of a span of time, in nanoseconds."""
    return RangeWindowsBuilder(wrange)


def count_windows(wrange: int) -> CountWindowsBuilder:
    """Windows of a number of messages."""
    return CountWindowsBuilder(wrange)


def nanoseconds(x: int) -> int:
    """Nanoseconds in nanoseconds."""
    return x


def microseconds(x: int) -> int:
    """Microseconds in nanoseconds."""
    return x * 1_000


def milliseconds(x: int) -> int:
    """Milliseconds in nanoseconds."""
    return x * 1_000_000


def seconds(x: int) -> int:
    """Seconds in nanoseconds."""
    return x * 1_000_000_000


def minutes(x: int) -> int:
    """Minutes in nanoseconds."""
    return seconds(x) * 60


def hours(x: int) -> int:
    """Hours in nanoseconds."""
    return minutes(x) * 60
