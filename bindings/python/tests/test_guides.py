"""The programs in the README and the guides run.

Of each page, in its order and in an empty directory:

- a block `python` is executed; all blocks of a page are one module, whose `test_` functions are called. Behind
  `<!-- file: NAME -->` a block of any kind is written to a file instead. Behind `<!-- needs: MODULES -->` it is executed where
  these modules are installed, and behind `<!-- not run: WHY -->` it is not.
- a block `console` is run: what stands behind `$ ` is a command of bash, and the lines below it are what it prints, where `…`
  stands for anything. `python` is the interpreter of the tests, and the port 7010 any that is free.
"""

from __future__ import annotations

import importlib.util
import os
import re
import socket
import subprocess
import sys
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BLOCK = re.compile(
    r"(?:^<!-- (?P<marker>[a-z ]+): (?P<value>[^\n]*) -->\n)?^```(?P<kind>\w+)[^\n]*\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
ELSEWHERE = {"classic.md", "python-command.md"}  # test_pages.py runs these
PAGES = [
    path
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if path.name not in ELSEWHERE and any(block["kind"] == "python" for block in BLOCK.finditer(path.read_text()))
]


def test_there_are_pages():
    assert ROOT / "README.md" in PAGES
    assert ROOT / "docs" / "python.md" in PAGES


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_the_programs_of_a_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    module = types.ModuleType(f"guide_{page.stem.replace('-', '_')}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    text = page.read_text()
    port = str(free_port())
    ran = 0
    for block in BLOCK.finditer(text):
        line = text.count("\n", 0, block.start("code")) + 1
        where = f"{page.name}:{line}"
        code = block["code"]
        match block["marker"]:
            case "file":
                Path(block["value"]).write_text(code)
            case "not run":
                pass
            case "needs" if missing := [name for name in block["value"].split(", ") if importlib.util.find_spec(name) is None]:
                print(f"{where} is not run: {', '.join(missing)} is not installed")
            case "needs" | None if block["kind"] == "python":
                # Lines in errors are those of the page.
                exec(compile("\n" * (line - 1) + code, page.name, "exec"), module.__dict__)
                for name in re.findall(r"^def (test_\w+)", code, re.MULTILINE):
                    getattr(module, name)()
                ran += 1
            case "needs" | None if block["kind"] == "console":
                console(where, code.replace("7010", port), tmp_path)
                ran += 1
            case None:
                pass
            case other:
                pytest.fail(f"{where}: there is no marker {other!r}")
    assert ran > 0


def test_the_programs_about_types_are_typed(tmp_path):
    pytest.importorskip("mypy", reason="mypy is not installed")
    page = (ROOT / "docs" / "python-typing.md").read_text()
    program = "\n".join(block["code"] for block in BLOCK.finditer(page) if block["kind"] == "python")
    [(call, error)] = re.findall(r"^```text\n([^\n]*)\n(error: [^\n]*)\n```$", page, re.MULTILINE)
    (tmp_path / "right.py").write_text(program)
    (tmp_path / "wrong.py").write_text(f"{program}\n{call}\n")
    for name, expected in [("right.py", "Success: no issues"), ("wrong.py", error)]:
        ended = subprocess.run(
            [sys.executable, "-m", "mypy", "--strict", name],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert expected in ended.stdout, ended.stdout + ended.stderr


def console(where, session, directory):
    """Run the commands of a session, and compare what they print."""
    bin_ = directory / "bin"
    if not bin_.exists():
        bin_.mkdir()
        # Not links: the interpreter finds its environment by its own path.
        for name, module in [("python", ""), ("wallaroo", "-m wallaroo")]:
            (bin_ / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n')
            (bin_ / name).chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WALLAROO_")}
    environment["PATH"] = f"{bin_}{os.pathsep}{environment['PATH']}"
    commands, printed = [], []
    for line in session.splitlines():
        if line.startswith("$ "):
            commands.append(line.removeprefix("$ "))
        elif commands and commands[-1].endswith("\\"):
            commands.append(line)
        else:
            printed.append(line)
    script = "\n".join(commands)
    ended = subprocess.run(
        ["bash", "-c", script], cwd=directory, env=environment, text=True, timeout=120, check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    pattern = "\n".join(re.escape(line).replace("…", ".*") for line in printed)
    assert re.fullmatch(pattern, ended.stdout.strip(), re.DOTALL), f"{where} printed:\n{ended.stdout}"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
