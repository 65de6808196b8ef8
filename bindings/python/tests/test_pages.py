"""Every block of code in the pages about the command does what stands there."""

from __future__ import annotations

import re
import shlex
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from running import Process, Receiver, free_port, send

DOCS = Path(__file__).parents[3] / "docs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> list[tuple[str, str]]:
    """The blocks of a page: language and content."""
    return BLOCK.findall((DOCS / page).read_text())


def write_files(page: str, directory: Path) -> list[str]:
    """Write the blocks that begin with the name of a file; their names."""
    names = []
    for language, content in blocks(page):
        if language in {"python", "csv"}:
            first, _, rest = content.partition("\n")
            name = first.removeprefix("# ")
            assert re.fullmatch(r"\w+\.\w+", name), f"{page}: {first!r} is no name of a file"
            # The name stays a comment where it can, so that line numbers are those of the page.
            (directory / name).write_text(content if language == "python" else rest)
            names.append(name)
    return names


def test_the_command_says_what_the_page_says(tmp_path: Path) -> None:
    assert write_files("python-command.md", tmp_path) == ["stocks.py", "ticks.csv", "costly.py"]
    calls = 0
    for language, content in blocks("python-command.md"):
        assert language in {"python", "csv", "console"}, f"a block of {language} is not tested"
        if language != "console":
            continue
        for call in content.removeprefix("$ ").split("\n$ "):
            line, _, expected = call.partition("\n")
            with Process(tmp_path, *shlex.split(line)[1:]) as process:
                assert process.wait() == 0, process.errors
            assert process.output.rstrip("\n") == expected.rstrip("\n"), line
            calls += 1
    assert calls == 3


def test_python_runs_the_program_of_the_page_too(tmp_path: Path) -> None:
    write_files("python-command.md", tmp_path)
    command = [sys.executable, "stocks.py", "--log", "off"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.count("\n") == 3


def test_the_program_of_the_page_about_the_original_runs(tmp_path: Path) -> None:
    assert write_files("classic.md", tmp_path) == ["votes.py", "objects.py", "check_votes.py"]
    command = next(content for language, content in blocks("classic.md") if language == "text").split()
    port = free_port()
    with Receiver() as out:
        command = [word.replace("7010", str(port)).replace("7002", str(out.port)) for word in command]
        with Process(tmp_path, *command[1:]) as process:
            send(port, [struct.pack(">sI", letter, count) for letter, count in [(b"a", 2), (b"b", 3), (b"a", 5)]])
            assert out.lines(3) == ["a => 2", "b => 3", "a => 7"]
            assert process.stop() == 0


@pytest.mark.parametrize("name", ["objects.py", "check_votes.py"])
def test_other_blocks_run(tmp_path: Path, name: str) -> None:
    write_files("classic.md", tmp_path)
    subprocess.run([sys.executable, name], cwd=tmp_path, timeout=60, check=True)
