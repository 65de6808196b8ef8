#!/usr/bin/env python3
"""Fail when a wheel is too large, needs too much, or does not hold what it must."""
import email, sys, zipfile

MAX_BYTES = 20_000_000
MAX_REQUIRED = 3
MUST_HOLD = {"wallaroo/__init__.py", "wallaroo/py.typed", "wallaroo/_native.pyi"}

bad = []
for path in sys.argv[1:]:
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        size = sum(info.compress_size for info in wheel.infolist())
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        message = email.message_from_bytes(wheel.read(metadata))
    required = [line for line in message.get_all("Requires-Dist", []) if "extra ==" not in line]
    native = [name for name in names if name.startswith("wallaroo/_native.") and not name.endswith(".pyi")]
    if size > MAX_BYTES:
        bad.append(f"{path}: {size:,} bytes; at most {MAX_BYTES:,}")
    if len(required) > MAX_REQUIRED:
        bad.append(f"{path}: needs {required}; at most {MAX_REQUIRED}")
    if not MUST_HOLD <= names or len(native) != 1:
        bad.append(f"{path}: must hold {sorted(MUST_HOLD)} and one native module; has {native}")
    others = sorted(name for name in names if not name.startswith(("wallaroo/", metadata.split("/")[0])))
    if others:
        bad.append(f"{path}: must hold the package wallaroo only; has {others}")
    if message["Name"] != "wallaroo-streams":
        bad.append(f"{path}: is the distribution {message['Name']}; expected wallaroo-streams")
    print(f"wheel: {path.rpartition('/')[2]}, {size:,} bytes, needs {', '.join(required)}")
print("\n".join(bad), end="\n" if bad else "")
sys.exit(bool(bad))
