"""The Python API of the original Wallaroo, for programs that were written for it.

``wallaroo run --application-module MODULE --in NAME@HOST:PORT --out HOST:PORT`` runs such a program unchanged: this module
takes the place of ``wallaroo`` for it. New programs are better written with :mod:`wallaroo` itself, which has types, tests
without a network, files, stores and error policies; this module has what the original had, and :func:`take_place` for tests.

    >>> from wallaroo import classic as wallaroo
    >>> @wallaroo.computation(name="convert Celsius to Fahrenheit")
    ... def multiply(data):
    ...     return data * 1.8 + 32
    >>> multiply.compute(100)
    212.0
    >>> multiply.name()
    'convert Celsius to Fahrenheit'
"""

from __future__ import annotations

import pickle
from typing import Any

from . import experimental
from ._addresses import tcp_parse_input_addrs, tcp_parse_output_addrs
from ._configs import GenSourceConfig, TCPSinkConfig, TCPSourceConfig
from ._kafka import (
    CustomKafkaSinkCLIParser,
    CustomKafkaSourceCLIParser,
    DefaultKafkaSinkCLIParser,
    DefaultKafkaSourceCLIParser,
    kafka_parse_sink_options,
    kafka_parse_source_options,
)
from ._objects import (
    BaseWrapped,
    Computation,
    ComputationMulti,
    ConnectorDecoder,
    ConnectorEncoder,
    Decoder,
    Encoder,
    KeyExtractor,
    OctetDecoder,
    OctetEncoder,
    StateComputation,
    StateComputationMulti,
    WallarooParameterError,
    attach_to_module,
    computation,
    computation_multi,
    decoder,
    dt_to_timestamp,
    encoder,
    key_extractor,
    state_computation,
    state_computation_multi,
)
from ._pipelines import Pipeline, build_application, source
from ._place import take_place
from ._unbuffered import Unbuffered
from ._windows import (
    Aggregation,
    CountWindows,
    CountWindowsBuilder,
    RangeWindows,
    RangeWindowsBuilder,
    count_windows,
    hours,
    microseconds,
    milliseconds,
    minutes,
    nanoseconds,
    range_windows,
    seconds,
)
from .experimental import connectors as _connectors  # noqa: F401 - programs import it by the other name

#: The whole command line, set before ``application_setup`` is called.
_ARGS: tuple[str, ...] = ()


def serialize(o: Any) -> bytes:
    """How state objects are stored, unless the program has functions ``serialize`` and ``deserialize`` of its own."""
    return pickle.dumps(o)


def deserialize(bs: bytes) -> Any:
    """What :func:`serialize` stored."""
    return pickle.loads(bs)


__all__ = [
    "Aggregation",
    "BaseWrapped",
    "Computation",
    "ComputationMulti",
    "ConnectorDecoder",
    "ConnectorEncoder",
    "CountWindows",
    "CountWindowsBuilder",
    "CustomKafkaSinkCLIParser",
    "CustomKafkaSourceCLIParser",
    "Decoder",
    "DefaultKafkaSinkCLIParser",
    "DefaultKafkaSourceCLIParser",
    "Encoder",
    "GenSourceConfig",
    "KeyExtractor",
    "OctetDecoder",
    "OctetEncoder",
    "Pipeline",
    "RangeWindows",
    "RangeWindowsBuilder",
    "StateComputation",
    "StateComputationMulti",
    "TCPSinkConfig",
    "TCPSourceConfig",
    "Unbuffered",
    "WallarooParameterError",
    "attach_to_module",
    "build_application",
    "computation",
    "computation_multi",
    "count_windows",
    "decoder",
    "deserialize",
    "dt_to_timestamp",
    "encoder",
    "experimental",
    "hours",
    "kafka_parse_sink_options",
    "kafka_parse_source_options",
    "key_extractor",
    "microseconds",
    "milliseconds",
    "minutes",
    "nanoseconds",
    "range_windows",
    "seconds",
    "serialize",
    "source",
    "state_computation",
    "state_computation_multi",
    "take_place",
    "tcp_parse_input_addrs",
    "tcp_parse_output_addrs",
]
