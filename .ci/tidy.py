#!/usr/bin/env python3
"""Repository rules that no linter knows. Each failure says what to do."""
import os, pathlib, re, runpy, subprocess, sys

MAX_FILE_LINES = 800  # code before the test module; tests of a longer file live in <module>/tests.rs
BANNED = {r"\bshard": "say key group (ours) or partition (theirs)", r"\bFIXME\b": "write TODO(topic): reason, or fix it"}
MACHINE_PATH = re.compile(r"(?<![\w.}-])/(work|root|home)/")
UNSAFE = re.compile(r"\bunsafe\s*(\{|\(|fn\b|impl\b|trait\b|extern\b)")
UNSAFE_ALLOWED = re.compile(r"/src/raw\.rs$|^bindings/")
CODE = re.compile(r"^ *(```|~~~).*?^ *\1[^\n]*$|`[^`\n]*`", re.MULTILINE | re.DOTALL)  # of Markdown: blocks and spans
LINK = re.compile(r"\]\(<?([^)\s>]+)|^ *\[[^\]]+\]: *<?([^\s>]+)", re.MULTILINE)


def skipped(name):
    return name == "Cargo.lock" or name.endswith(".csv") or "testdata" in name.split("/")


def check_source(name, lines):
    code = next((i for i, line in enumerate(lines) if line.startswith("#[cfg(test)]")), len(lines))
    if name.endswith(".rs") and code > MAX_FILE_LINES:
        bad.append(f"{name}: {code} lines of code; split it along a noun of docs/GLOSSARY.md")
    if name.endswith(".rs") and "/src/" in name and not re.match(r"\s*//!", "\n".join(lines[:3])):
        bad.append(f"{name}:1: no module doc; say what lives here and which invariants hold")
    for number, line in enumerate(lines, 1):
        if line != line.rstrip():
            bad.append(f"{name}:{number}: trailing blank")
        for pattern, advice in BANNED.items():
            if re.search(pattern, line, re.IGNORECASE) and not name.endswith(".md"):
                bad.append(f"{name}:{number}: {pattern} is not our word; {advice}")
        if name.endswith(".rs") and UNSAFE.search(line.split("//")[0]) and not UNSAFE_ALLOWED.search(name):
            bad.append(f"{name}:{number}: unsafe code; move it to src/raw.rs of the crate")


def check_links(name, text):
    for link in LINK.finditer(CODE.sub("", text)):
        target = (link[1] or link[2]).split("#")[0]
        if not target or ":" in target:  # an anchor of the same page, a URL, or an item path of rustdoc
            continue
        path = os.path.normpath(os.path.join(os.path.dirname(name), target))
        if path != name:
            linked.add(path)
        if path != "." and path not in files and not any(file.startswith(path + "/") for file in files):
            bad.append(f"{name}: link to {target}, which does not exist; correct or remove it")


def tests_of(name, text):
    """The part of a file that is tests."""
    parts = name.split("/")
    if "tests" in parts[:-1] or parts[-1] == "tests.rs":
        return text
    return text.partition("#[cfg(test)]")[2] if name.endswith(".rs") else ""


CODE_OF_ERROR = re.compile(r"^    (\w+) = (\d+),$", re.MULTILINE)
UNTESTED_CODES = {"OpenPipeline": "does not compile in Rust, and cannot be written in Python"}

bad, linked, tests = [], set(), []
os.chdir(pathlib.Path(__file__).parent.parent)
inner = pathlib.Path(".ci/inner-clippy.toml").read_text()  # clippy reads one file only, so it repeats that of the workspace
for line in pathlib.Path("clippy.toml").read_text().splitlines():
    if line.strip() not in inner:
        bad.append(f".ci/inner-clippy.toml: without {line.strip()!r} of clippy.toml; repeat it there")
for crate in ["core", "state", "engine"]:
    if os.path.realpath(f"crates/{crate}/clippy.toml") != os.path.realpath(".ci/inner-clippy.toml"):
        bad.append(f"crates/{crate}/clippy.toml: is not a link to .ci/inner-clippy.toml; make it one")
listed = subprocess.check_output(["git", "ls-files", "-coz", "--exclude-standard"], text=True).split("\0")
files = {name for name in listed if os.path.isfile(name)}  # a deleted file stays listed until it is staged
for name in sorted(files):
    if skipped(name):
        continue
    try:
        text = pathlib.Path(name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        continue  # not a text file
    for number, line in enumerate(text.splitlines(), 1):
        if MACHINE_PATH.search(line) and name != ".ci/tidy.py":
            bad.append(f"{name}:{number}: path of one machine; make it relative, or ask the environment")
    if pathlib.Path(name).suffix in {".rs", ".py", ".go", ".md"} and not name.startswith(".ci/"):
        check_source(name, text.splitlines())
        tests.append(tests_of(name, text))
    if name.endswith(".md"):
        check_links(name, text)
tests = "\n".join(tests)
mutations = runpy.run_path("tests/simulation/mutations.py")["MUTATIONS"]
for name, file, text, _, (suite, test) in mutations:
    if (count := pathlib.Path(file).read_text().count(text)) != 1:
        bad.append(f"tests/simulation/mutations.py: {name}: its text is {count} times in {file}; adapt the mutation to the code")
    if f"fn {test}(" not in pathlib.Path(f"tests/simulation/tests/{suite}.rs").read_text():
        bad.append(f"tests/simulation/mutations.py: {name}: there is no test {suite}::{test}; name the one that notices it")
for code, number in CODE_OF_ERROR.findall(pathlib.Path("crates/core/src/code.rs").read_text()):
    is_tested = f"WAL-{int(number):04}" in tests or re.search(rf"\bCode::{code}\b", tests)
    if bool(is_tested) == (code in UNTESTED_CODES):
        bad.append(f"WAL-{int(number):04} ({code}): no test names it, or one does and it is excused; test it, or correct UNTESTED_CODES")
for name in sorted(files):
    if name.startswith("docs/") and name not in linked:
        bad.append(f"{name}: no other page links to it; link it from where a reader would look, or remove it")
print("\n".join(bad) or f"tidy: {len(files)} files ok")
sys.exit(bool(bad))
