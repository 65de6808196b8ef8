"""Another distribution that brings a module ``wallaroo``: it is told at import, because the two overwrite each other's files."""

from __future__ import annotations

import importlib.metadata
import warnings


def warn_of_foreign() -> None:
    """Warn if the distribution ``wallaroo`` is installed, which is not this project's."""
    try:
        foreign = importlib.metadata.distribution("wallaroo")
    except importlib.metadata.PackageNotFoundError:
        return
    # Not `files`: from Python 3.12 on it leaves out what is not there.
    record = foreign.read_text("RECORD")
    if record is not None and not any(line.startswith("wallaroo/") for line in record.splitlines()):
        return
    warnings.warn(
        f"the distribution wallaroo {foreign.version} is installed: another project with a module of the same name; "
        "files of one may have replaced those of the other. Remove both, then install the one you mean: "
        "pip uninstall wallaroo wallaroo-streams; pip install wallaroo-streams",
        RuntimeWarning,
        # The line that imports the module wallaroo, behind the frames of the import system, which are not counted.
        stacklevel=3,
    )
