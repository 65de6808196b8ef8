"""Sources and sinks of Kafka. They can be said; to run them comes later."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

_LEVELS = ["Fine", "Info", "Warn", "Error"]


def _parser(side: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="wallaroo", add_help=False)
    parser.add_argument(f"--kafka_{side}_topic", dest="topic", default="")
    parser.add_argument(f"--kafka_{side}_brokers", dest="brokers", default="")
    parser.add_argument(f"--kafka_{side}_log_level", dest="log_level", default="Warn", choices=_LEVELS)
    return parser


def _brokers(text: str) -> list[tuple[str, str]]:
    brokers = []
    for broker in text.split(","):
        host, _, port = broker.partition(":")
        brokers.append((host, port or "9092"))
    return brokers


def kafka_parse_source_options(args: Sequence[str]) -> tuple[Any, ...]:
    """``(name, topic, [(host, port)], log_level)`` of the options ``--kafka_source_…``."""
    parser = _parser("source")
    parser.add_argument("--kafka_source_name", dest="name")
    found = parser.parse_known_args(list(args))[0]
    return found.name, found.topic, _brokers(found.brokers), found.log_level


def kafka_parse_sink_options(args: Sequence[str]) -> tuple[Any, ...]:
    """``(name, topic, [(host, port)], log_level, max_produce_buffer_ms, max_message_size)`` of ``--kafka_sink_…``."""
    parser = _parser("sink")
    parser.add_argument("--kafka_sink_max_produce_buffer_ms", dest="buffer_ms", type=int, default=0)
    parser.add_argument("--kafka_sink_max_message_size", dest="message_size", type=int, default=100_000)
    found = parser.parse_known_args(list(args))[0]
    return "", found.topic, _brokers(found.brokers), found.log_level, found.buffer_ms, found.message_size


class CustomKafkaSourceCLIParser:
    """A source of Kafka, as the command line says it."""

    def __init__(self, args: Sequence[str], decoder: Any) -> None:
        self._name, self.topic, self.brokers, self.log_level = kafka_parse_source_options(args)
        self.decoder = decoder

    def to_tuple(self) -> tuple[Any, ...]:
        """For the topology."""
        return ("kafka", self._name, self.topic, self.brokers, self.log_level, self.decoder)


class CustomKafkaSinkCLIParser:
    """A sink of Kafka, as the command line says it."""

    def __init__(self, args: Sequence[str], encoder: Any) -> None:
        options = kafka_parse_sink_options(args)
        self._name, self.topic, self.brokers, self.log_level = options[:4]
        self.max_produce_buffer_ms, self.max_message_size = options[4:]
        self.encoder = encoder

    def to_tuple(self) -> tuple[Any, ...]:
        """For the topology."""
        what = ("kafka", self._name, self.topic, self.brokers, self.log_level)
        return (*what, self.max_produce_buffer_ms, self.max_message_size, self.encoder)


class DefaultKafkaSourceCLIParser:
    """A source of Kafka, which the original read from the command line itself."""

    def __init__(self, decoder: Any, name: str = "kafka_source") -> None:
        self.decoder = decoder
        self.name = name

    def to_tuple(self) -> tuple[Any, ...]:
        """For the topology."""
        return ("kafka-internal", self.name, self.decoder)


class DefaultKafkaSinkCLIParser:
    """A sink of Kafka, which the original read from the command line itself."""

    def __init__(self, encoder: Any, name: str = "kafka_sink") -> None:
        self.encoder = encoder
        self.name = name

    def to_tuple(self) -> tuple[Any, ...]:
        """For the topology."""
        return ("kafka-internal", self.name, self.encoder)
