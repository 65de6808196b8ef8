"""Runs one side of a benchmark in this process, and prints what it took as JSON.

Usage: child.py MODULE.FUNCTION SETTINGS, where SETTINGS is a JSON object with the arguments of the function. A setting
`warm_up_records` names a small file that the side works off before it is measured.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import Any


def main() -> None:
    """Run the side."""
    module, _, function = sys.argv[1].partition(".")
    settings: dict[str, Any] = json.loads(sys.argv[2])
    run = getattr(importlib.import_module(module), function)
    warm_up = settings.pop("warm_up_records", None)
    file = sys.stderr if settings.pop("to_stderr", False) else sys.stdout
    if warm_up is not None:
        run(**{**settings, "records": warm_up})
    cpu, wall = time.process_time(), time.perf_counter()
    result = run(**settings) or {}
    result |= {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    print(json.dumps(result), file=file)


if __name__ == "__main__":
    main()
