"""docs/reliability.md, made by the tests: what was done to the program, and what the lake held all the while.

A test that has passed, after its last assertion, tells what it has shown:

    record("a reset in the middle of a body", "…", before="2 users", during="2 users", after="3 users", part=ANSWERS)

Each row is a small JSON file of its own in `RELIABILITY_DIR` (default `.venv/reliability/`), so that workers and
other programs (`cargo test`) can add theirs: {"part", "fault", "done", "before", "during", "after"}, all texts.
A row says nothing that differs from run to run, such as times or sizes.

    python -m reliability            writes docs/reliability.md from the rows
    python -m reliability --check    says whether the page is what the tests gave

The comparison is made after a run of all tests only: a part of them gives a part of the rows.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import json
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/reliability.md"
MEMBERS = ("part", "fault", "done", "before", "during", "after")

# The parts of the page, in its order; a row of another part comes after these.
PROCESS = "The program dies, or is told to end"
STORES = "The destination fails"
ANSWERS = "The API answers nonsense"
CONNECTIONS = "The connection fails"
LIMITS = "Answers without measure"
TIME = "Clocks and windows"
TRUST = "Somebody tries to get at keys, paths or the terminal"
INTEGRITY = "Somebody changes the lake"
PARTS = (PROCESS, STORES, CONNECTIONS, ANSWERS, LIMITS, TIME, INTEGRITY, TRUST)

INTRODUCTION = """\
# Reliability

<!-- Written by the tests: `make test`, then `make reliability`. -->

What is promised: a plain glob over the lake is right at every instant. It never sees half an object, a row twice, or
a table that an unlucky answer has emptied. Whatever goes wrong costs repeated work and never data: the next sync in
good health ends with the rows that it would have had anyway.

How it is shown: each row below was written by a test that did this to the program, looked at the lake before, during
and after, and passed. A row that no test writes any more, or that a test writes differently, fails `make test`.
"During" is what a reader of the lake saw between the fault and the next sync, or, where a sync was held up, in its middle.
"as before" means the same rows; the files of a table that failed are the same byte by byte.

    make test                               all of it
    CRASH_STRIDE=1 make test-rust           the crash at every operation of the store
    make test-outside PYTEST="-k hostile"   what follows about the API
"""


# ---- what tests call -------------------------------------------------------------------------------


def folder() -> pathlib.Path:
    return pathlib.Path(os.environ.get("RELIABILITY_DIR") or ROOT / ".venv/reliability")


def record(fault: str, done: str, before: str, during: str, after: str, part: str = ANSWERS, only_where: str = "") -> None:
    """Adds a row. `only_where` names what a machine must have for this test (`Node is installed`)."""
    done = f"{done} ({optional(only_where)})" if only_where else done
    row = dict(zip(MEMBERS, (part, fault, done, before, during, after)))
    text = json.dumps(row, ensure_ascii=False, indent=1)
    place = folder()
    place.mkdir(parents=True, exist_ok=True)
    # Named after its content: two workers that show the same thing write the same file.
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    aside = place / f"{name}.{os.getpid()}"
    aside.write_text(text)
    aside.replace(place / f"{name}.json")


def optional(what: str) -> str:
    return f"only where {what}"


# ---- the page --------------------------------------------------------------------------------------


def rows() -> list[dict[str, str]]:
    found = [json.loads(path.read_text()) for path in sorted(folder().glob("*.json"))]
    for row in found:
        assert row.keys() == set(MEMBERS) and all(isinstance(text, str) and text for text in row.values()), row
    place = {part: index for index, part in enumerate(PARTS)}
    return sorted(found, key=lambda row: (place.get(row["part"], len(PARTS)), *(row[name] for name in MEMBERS)))


def page(found: list[dict[str, str]]) -> str:
    text, part = INTRODUCTION, None
    for row in found:
        if row["part"] != part:
            part = row["part"]
            text += f"\n## {part}\n\n| fault | what was done | before | during | after |\n|---|---|---|---|---|\n"
        cells = (row[name].replace("|", "\\|").replace("\n", " ") for name in MEMBERS[1:])
        text += f"| {' | '.join(cells)} |\n"
    return text


def stale(committed: str, made: str) -> list[str]:
    """The lines in which the page differs; rows that need what this machine lacks may be missing."""
    differing = difflib.unified_diff(committed.splitlines(), made.splitlines(), "docs/reliability.md", "the tests", "", "", 0)
    lines = [line for line in differing if not line.startswith(("---", "+++", "@@"))]
    return [line for line in lines if not (line.startswith("-") and optional("") in line)]


# ---- whether all tests ran -------------------------------------------------------------------------


def marker() -> pathlib.Path:
    return folder() / "all-tests-ran"


def note_session(session, status: int) -> None:
    """Called at the end of a pytest session (conftest.py): a page is compared only after a whole one."""
    config = session.config
    if hasattr(config, "workerinput"):
        return
    chosen = any(config.getoption(name, None) for name in ("keyword", "markexpr", "deselect", "ignore", "ignore_glob", "lf"))
    whole = status == 0 and not chosen and config.args_source == config.ArgsSource.TESTPATHS
    folder().mkdir(parents=True, exist_ok=True)
    marker().touch() if whole else marker().unlink(missing_ok=True)


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m reliability", description=__doc__.partition("\n")[0])
    options.add_argument("--check", action="store_true", help="compare the page with the tests instead of writing it")
    check = options.parse_args().check
    if not marker().exists():
        print("docs/reliability.md: not all tests ran, so it is not " + ("compared" if check else "written"), file=sys.stderr)
        return 0 if check else 1
    made = page(rows())
    if not check:
        PAGE.write_text(made)
        return 0
    differing = stale(PAGE.read_text() if PAGE.exists() else "", made)
    if differing:
        print("\n".join(differing), file=sys.stderr)
        print("docs/reliability.md is not what the tests show: run make reliability, and look at what changed", file=sys.stderr)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
