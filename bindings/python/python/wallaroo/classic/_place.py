"""How programs of the original find their module."""

from __future__ import annotations

import sys


def take_place() -> None:
    """Let ``import wallaroo`` give this module: for tests of a program, and its own tools. ``wallaroo run`` does it itself.

    Call it before the program is imported, in ``conftest.py`` for pytest. It holds for the whole process: ``wallaroo`` itself is
    not found by that name afterwards.
    """
    names = [name for name in sys.modules if name.startswith("wallaroo.classic.experimental")]
    for name in ["wallaroo.classic", *names]:
        sys.modules[name.replace("wallaroo.classic", "wallaroo", 1)] = sys.modules[name]
