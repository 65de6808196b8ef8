"""The page of options has those of Python, with the words of their docstrings."""

from __future__ import annotations

import ast
from pathlib import Path

import wallaroo
from wallaroo import _app

PAGE = Path(__file__).parents[3] / "docs" / "options.md"


def documented():
    """Options with their docstrings, which stand below them."""
    tree = ast.parse(Path(_app.__file__).read_text())
    [options] = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Options"]
    names = [node.target.id for node in options.body if isinstance(node, ast.AnnAssign)]
    texts = [node.value.value for node in options.body[1:] if isinstance(node, ast.Expr)]
    return dict(zip(names, texts, strict=True))


def test_every_option_has_a_docstring():
    assert set(documented()) == set(wallaroo.Options.__annotations__)


def test_the_page_has_the_table():
    rows = [f"| `{name}` | {' '.join(text.replace('``', '`').split())} |" for name, text in documented().items()]
    table = "\n".join(["| option | meaning and default |", "|---|---|", *rows])
    assert table in PAGE.read_text(), f"put this table into {PAGE.name}:\n{table}"
