"""The reference of the API: every public name is documented, and it is built without warnings."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import wallaroo


def members(owner):
    """What the reference shows of a class."""
    return {
        f"{owner.__name__}.{name}": member
        for name, member in vars(owner).items()
        if not name.startswith("_") and (callable(member) or isinstance(member, property))
    }


def test_every_public_name_is_documented():
    public = {name: getattr(wallaroo, name) for name in wallaroo.__all__ if name != "__version__"}
    for value in list(public.values()):
        if inspect.isclass(value):
            public |= members(value)
    assert [name for name, value in public.items() if not inspect.getdoc(value)] == []


def test_the_reference_is_built_without_warnings(tmp_path):
    pytest.importorskip("pdoc", reason="pdoc is not installed")
    arguments = ["--docformat", "google", "--no-show-source", "--output-directory", str(tmp_path), "wallaroo"]
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pdoc", *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    page = (tmp_path / "wallaroo.html").read_text()
    shown = {"App.run", "App.start", "Pipeline.to", "Running.send_durable", "Context.forget", "csv", "State"}
    assert [name for name in shown if f'id="{name}"' not in page] == []
