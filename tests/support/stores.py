"""Running the program against an object store, and looking at what it left there.

The store is looked at through pyarrow's own client; rows are read from a copy of all objects on the disk, so that the
same eyes (story.py, truth.py) see a lake in a bucket and a lake in a folder.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time

from conftest import PATIENCE, Run, clean_environment, command, settings, spec, BINARY
from servers import Place
from story import data
from truth import bag, difference, lake_rows, true_rows

# Read whole, by project, and by group; with days that are replaced; with days that are merged.
TABLES = [
    "users", "projects", "project_users", "project_api_keys", "groups", "group_users", "roles", "costs",
    "usage_completions", "audit_logs",
]
CHOSEN = ("--tables", ",".join(TABLES))


def sync(place: Place, source, *flags, code: int | set[int] | None = 0, env=None, config: str = "") -> Run:
    """`openai-elt sync --format json` into an object store."""
    return command(
        "sync", "--dest", place.url, "--config", settings(place.beside, more=config), "--format", "json", *flags,
        env={**source.env(), **place.env(), **(env or {})}, code=code,
    )


def start(place: Place, source, *flags, env=None) -> subprocess.Popen:
    """A sync that goes on while the test does something else."""
    return subprocess.Popen(
        [str(BINARY), "sync", "--dest", place.url, "--config", str(settings(place.beside)), *map(str, flags)],
        env=clean_environment(**source.env(), **place.env(), **(env or {})), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )


def on(place: Place, *arguments, code: int | set[int] = 0) -> Run:
    """Another command on the destination."""
    return command(*arguments, "--dest", place.url, env=place.env(), code=code)


def lease(place: Place) -> dict:
    return json.loads(place.read("_state/lease"))


def state(place: Place) -> dict:
    return json.loads(place.read("_state/state.json"))["tables"]


def assert_true(place: Place, simulator, tables=TABLES) -> None:
    """The place holds what the organization has: what is not there any more counts as gone."""
    with tempfile.TemporaryDirectory() as folder:
        place.copy_to(folder)
        for name in tables:
            rows = [row for row in lake_rows(folder, spec(name)) if not row.get("_deleted")]
            true = true_rows(spec(name), simulator.truth(name))
            assert bag(data(rows)) == bag(true), f"{name}: {difference(true, data(rows))}"


def until(what, *, patience: float = PATIENCE):
    """Waits until `what()` gives something, and gives it."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.05)
    raise AssertionError("what was waited for did not come")
