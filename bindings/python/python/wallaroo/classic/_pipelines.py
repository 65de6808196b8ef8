"""Pipelines of the original, and the topology that ``build_application`` makes of one.

The topology is what it was in the original, because programs read it: ``(name, root, stages, edges)``. ``stages`` are lists of
stages, each a tuple that begins with what it is; ``edges`` are, of each list, the lists whose messages come together in it.
"""

from __future__ import annotations

from typing import Any

from ._objects import StateComputation, refused
from ._windows import CountWindows, RangeWindows

Stage = tuple[Any, ...]
Topology = tuple[str, int, list[list[Stage]], list[list[int]]]


class Pipeline:
    """A pipeline from a source on; every method makes a new one."""

    def __init__(self, stages: list[list[Stage]], edges: list[list[int]], root: int = 0) -> None:
        self._stages = stages
        self._edges = edges
        self._root = root

    @classmethod
    def from_source(cls, name: str, source_config: Any) -> Pipeline:
        """A pipeline that begins with a source."""
        return cls([[("source", name, source_config.to_tuple())]], [[]])

    def clone(self) -> Pipeline:
        """The same pipeline."""
        return Pipeline([list(stages) for stages in self._stages], [list(edges) for edges in self._edges], self._root)

    def _is_closed(self) -> bool:
        last = self._stages[self._root][-1:]
        return bool(last) and last[0][0] in {"to_sink", "to_sinks"}

    def _with(self, stage: Stage) -> Pipeline:
        if self._is_closed():
            message = "You can't add stages after to_sink/s."
            raise refused(message)
        pipeline = self.clone()
        pipeline._stages[pipeline._root].append(stage)
        return pipeline

    def to(self, computation: Any) -> Pipeline:
        """Call a computation for each message."""
        if isinstance(computation, StateComputation):
            return self._with(("to_state", computation))
        if isinstance(computation, RangeWindows):
            spans = (computation.range, computation.slide, computation.delay)
            return self._with(("to_range_windows", *spans, computation.aggregation, computation.late_data_policy))
        if isinstance(computation, CountWindows):
            return self._with(("to_count_windows", computation.count, computation.aggregation))
        return self._with(("to", computation))

    def key_by(self, key_extractor: Any) -> Pipeline:
        """Give each message its key, for all following computations until the next ``key_by`` or ``collect``."""
        return self._with(("key_by", key_extractor))

    def collect(self) -> Pipeline:
        """Bring all messages together under one key."""
        return self._with(("collect", ""))

    def merge(self, pipeline: Pipeline) -> Pipeline:
        """The messages of both pipelines."""
        if self._is_closed() or pipeline._is_closed():
            message = "You can't merge pipelines after to_sink/s."
            raise refused(message)
        left, right = self.clone(), pipeline.clone()
        root = len(left._stages)
        moved = root + 1
        stages = [*left._stages, [], *right._stages]
        edges = [*left._edges, [left._root, right._root + moved], *([at + moved for at in e] for e in right._edges)]
        return Pipeline(stages, edges, root)

    def to_sink(self, sink_config: Any) -> Pipeline:
        """End in a sink."""
        return self._with(("to_sink", sink_config.to_tuple()))

    def to_sinks(self, sink_configs: list[Any]) -> Pipeline:
        """End in several sinks; all messages go to each of them."""
        return self._with(("to_sinks", [config.to_tuple() for config in sink_configs]))

    def __to_tuple__(self, app_name: str) -> Topology:
        """The topology of an application of this pipeline."""
        whole = self.clone()
        return app_name, whole._root, whole._stages, whole._edges

    def _sources(self) -> list[Stage]:
        return [stage for stages in self._stages for stage in stages if stage[0] == "source"]

    def _sinks(self) -> list[Stage]:
        return [stage for stages in self._stages for stage in stages if stage[0] == "to_sink"]


def source(name: str, source_config: Any) -> Pipeline:
    """Begin a pipeline with the messages of a source."""
    return Pipeline.from_source(name, source_config)


def build_application(app_name: str, pipeline: Pipeline) -> Topology:
    """The application of a pipeline, for ``application_setup`` to return."""
    if not pipeline._is_closed():
        message = "An application must end with to_sink/s."
        raise refused(message)
    return pipeline.__to_tuple__(app_name)
