"""What tests share."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from programs import Program

# Machines are busy at times; how long an example takes says nothing.
hypothesis.settings.register_profile(
    "wallaroo", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.load_profile("wallaroo")

# Programs for type checkers, and programs that tests run: nothing there is a test.
collect_ignore = ["typing", "classic_programs"]


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
