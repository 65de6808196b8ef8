"""The addresses on the command line of a program."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def _of(args: Sequence[str], *names: str) -> str:
    parser = argparse.ArgumentParser(prog="wallaroo", add_help=False)
    parser.add_argument(*names, dest="addresses", required=True)
    addresses: str = parser.parse_known_args(list(args))[0].addresses
    return addresses


def tcp_parse_input_addrs(args: Sequence[str]) -> list[tuple[str, ...]]:
    """The addresses behind ``--in`` (``NAME@HOST:PORT``, with commas between several) as ``(name, host, port)``.

    Without a name in front of them they are ``(host, port)``.
    """
    return [tuple(address.replace("@", ":").split(":")) for address in _of(args, "-i", "--in").split(",")]


def tcp_parse_output_addrs(args: Sequence[str]) -> list[tuple[str, ...]]:
    """The addresses behind ``--out`` (``HOST:PORT``, with commas between several) as ``(host, port)``."""
    return [tuple(address.split(":")) for address in _of(args, "-o", "--out").split(",")]
