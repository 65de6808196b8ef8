"""Programs that tests run as a user does."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

#: The root of the repository.
ROOT = Path(__file__).parents[3]

#: What the fixture `program` gives: runs a source text with arguments, and environment variables as keywords.
Program = Callable[..., "subprocess.CompletedProcess[str]"]
