"""The package as it is installed: names, types, versions, and others of the same name."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import wallaroo
from programs import ROOT, Program


def test_all_names_exist_and_are_sorted() -> None:
    assert sorted(wallaroo.__all__) == wallaroo.__all__
    assert [name for name in wallaroo.__all__ if not hasattr(wallaroo, name)] == []


def test_all_holds_every_public_name() -> None:
    public = {name for name, value in vars(wallaroo).items() if not name.startswith("_") and name != "annotations"}
    modules = {name for name in public if type(getattr(wallaroo, name)).__name__ == "module"}
    assert public - modules <= set(wallaroo.__all__)


def test_every_public_name_has_a_docstring() -> None:
    named = [getattr(wallaroo, name) for name in wallaroo.__all__ if name != "__version__"]
    assert [value for value in named if not value.__doc__] == []


def test_type_checkers_find_the_types() -> None:
    package = Path(wallaroo.__file__).parent
    assert (package / "py.typed").is_file()
    assert (package / "_native.pyi").is_file()


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "bindings/python/pyproject.toml").read_text())["project"]
    assert wallaroo.__version__ == project["version"]


def foreign(directory: Path, brings: str) -> str:
    """Another distribution named wallaroo in a directory, as installers leave it."""
    info = directory / "wallaroo-9.9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wallaroo\nVersion: 9.9\n")
    (info / "RECORD").write_text(f"{brings}/__init__.py,,\n")
    before = os.environ.get("PYTHONPATH")
    return os.pathsep.join(filter(None, [before, str(directory)]))


SHOWN = """
import warnings
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    import wallaroo
for warning in seen:
    print(warning.category.__name__, warning.message, warning.filename.rpartition("/")[2], warning.lineno)
"""


def test_a_foreign_distribution_of_the_same_name_is_reported_at_import(program: Program, tmp_path: Path) -> None:
    path = foreign(tmp_path / "other", "wallaroo")
    ran = program(SHOWN, PYTHONPATH=path)
    assert ran.stdout == (
        "RuntimeWarning the distribution wallaroo 9.9 is installed: another project with a module of the same name; files of one "
        "may have replaced those of the other. Remove both, then install the one you mean: pip uninstall wallaroo "
        "wallaroo-streams; pip install wallaroo-streams app.py 5\n"
    )
    assert ran.returncode == 0


def test_a_distribution_of_that_name_that_brings_another_module_is_no_matter(program: Program, tmp_path: Path) -> None:
    path = foreign(tmp_path / "other", "something_else")
    ran = program(SHOWN, PYTHONPATH=path)
    assert (ran.stdout, ran.stderr, ran.returncode) == ("", "", 0)
