#!/usr/bin/env python3
"""Fail when a workspace crate depends on one that docs/ARCHITECTURE.md does not allow."""
import json, subprocess, sys

NAME = sys.argv[1]
ANY = None
ALLOWED = {  # crate -> workspace crates it may name in [dependencies]; "" is the facade
    "core": set(),
    "state": {"core"},
    "engine": {"core", "state"},
    "store": {"core", "state"},
    "": {"core", "state", "engine", "store", "console"},
    "cli": {"core", "state", "store"},
    "console": set(),
    "python": {"", "cli"},
    "examples": ANY,
    "bench": ANY,
    "simulation": ANY,
    "acceptance": ANY,
    "crash": ANY,
    "s3": ANY,
    "conformance": ANY,
}
ONLY_IN = {  # third-party crate -> crates that may name it
    "timely": {"engine"},
    "object_store": {"store"},
    "clap": {"", "bench", "cli"},
    "signal-hook": {""},
    "tokio": {"store", "console"},
    "axum": {"console"},
    "hyper": {"console"},
    "hyper-util": {"console"},
    "tower": {"console"},
    "pyo3": {"python"},
    "rmp": {"python"},
    "sonic-rs": {"python"},
}

meta = json.loads(subprocess.check_output(["cargo", "metadata", "--format-version=1", "--no-deps"]))
short = {p["name"]: p["name"].removeprefix(NAME).removeprefix("-") for p in meta["packages"]}
bad = []
for package in meta["packages"]:
    crate = short[package["name"]]
    if crate not in ALLOWED:
        bad.append(f"{package['name']} has no row in ALLOWED; say there what it may depend on")
        continue
    for dep in package["dependencies"]:
        if dep["kind"] is not None:  # dev- and build-dependencies are free
            continue
        if dep["name"] in short and ALLOWED[crate] is not ANY and short[dep["name"]] not in ALLOWED[crate]:
            bad.append(f"{package['name']} must not depend on {dep['name']}")
        if crate not in ONLY_IN.get(dep["name"], {crate}):
            owners = ", ".join(f"{NAME}-{owner}".rstrip("-") for owner in sorted(ONLY_IN[dep["name"]]))
            bad.append(f"{package['name']} must not name {dep['name']}; it belongs to {owners}")
print("\n".join(bad) or "layers ok")
sys.exit(bool(bad))
