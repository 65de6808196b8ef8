"""What tests share."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

#: The root of the repository.
ROOT = Path(__file__).parents[3]

#: Runs a program as a user does, in a directory of its own; bounded in time.
Program = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    def run(source: str, *arguments: str, name: str = "app.py", **environment: str) -> subprocess.CompletedProcess[str]:
        path = tmp_path / name
        path.write_text(source)
        command = [sys.executable, "-W", "error", str(path), *arguments]
        given = {**os.environ, **environment}
        return subprocess.run(
            command, cwd=tmp_path, env=given, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
        )

    return run


@pytest.fixture
def engine_log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, logger="wallaroo"):
        yield caplog
