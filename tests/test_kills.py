"""Syncs that are killed at random moments (SIGKILL), while a reader looks at the lake all the while.

Days pass in between. No read may be wrong, the lease is free again at once on a disk, and one sync in good health ends
with the truth. `KILLS` says how often (default 40 on a disk, an eighth of that in an object store); `make kills` does
it 1,000 times and writes what came of it to docs/kills.json, which the page about reliability takes.
"""

from __future__ import annotations

import json
import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager

import pyarrow.parquet
import pytest

import stores
from conftest import ROOT, start_sync, sync
from reliability import PROCESS, STORES, record
from s3_proxy import get
from stores import CHOSEN, TABLES
from witness import Witness

KILLS = int(os.environ.get("KILLS") or 40)
STORE_KILLS = int(os.environ.get("STORE_KILLS") or max(KILLS // 8, 1))
SEED = int(os.environ.get("KILLS_SEED") or random.SystemRandom().randrange(10**6))
RESULTS = pathlib.Path(os.environ.get("KILLS_FILE") or ROOT / ".venv/kills.json")
MEASURED = json.loads((ROOT / "docs/kills.json").read_text())
DAYS = 12  # so many pass at most, one in ten kills; an organization that loses somebody every day does not last


@pytest.fixture
def organization(simulators):
    return simulators("--projects", 6, "--users", 20, "--history-days", 4)


class Killer:
    """Starts syncs and kills them at a moment between their first and, about, their last."""

    def __init__(self, start, simulator, witness: Witness):
        self.start, self.simulator, self.witness = start, simulator, witness
        self.chance = random.Random(SEED)
        self.kills = self.ended = 0
        self.longest = 3.0  # seconds; learned from the runs that come to their end

    def kill(self, times: int) -> None:
        passed = 0
        while self.kills < times:
            if self.kills * min(DAYS, times // 10 + 1) >= (passed + 1) * times:
                passed += 1
                self.simulator.mutate()
                time.sleep(1.1)  # windows are half-open: what happens in this very second belongs to the next sync
                self.witness.learn(self.simulator)
            self.run(self.chance.choice([(), (), (), ("--full-refresh",)]))

    def run(self, flags) -> None:
        began, process = time.monotonic(), self.start(*flags)
        try:
            _, told = process.communicate(timeout=self.chance.uniform(0, self.longest))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            self.kills += 1
            self.longest *= 1.05
        else:
            # It would be 4 if the killed one still held the lease.
            assert process.returncode == 0, told.decode()
            self.ended += 1
            self.longest = time.monotonic() - began


@contextmanager
def results(where: str, killer: Killer):
    """What came of it is written, also when it is bad."""
    began = time.monotonic()
    try:
        yield
    finally:
        found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        found[where] = {
            "kills": killer.kills, "ended_before": killer.ended, "reads": killer.witness.reads,
            "wrong_reads": len(killer.witness.wrong), "days_passed": len(killer.witness.truths) - 1,
            "seed": SEED, "seconds": round(time.monotonic() - began),
        }
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(json.dumps(found, indent=2) + "\n")


def measured(where: str) -> str:
    """In the words of the page: the counts of the last `make kills`, which do not differ from run to run."""
    counts = MEASURED[where]
    name = {"disk": "KILLS", "S3": "STORE_KILLS"}[where]
    return f"{counts['kills']:,} kills, {counts['reads']:,} reads, {counts['wrong_reads']} wrong (`make kills {name}={counts['kills']}`)"


DAMAGES = {
    "half a day": lambda lake: half(next((lake / "costs").rglob("*.parquet"))),
    "rows of a merged day": lambda lake: half(sorted((lake / "audit_logs").rglob("*.parquet"))[0]),
    "rows of a whole table": lambda lake: half(lake / "users/data.parquet"),
    "a row twice": lambda lake: shutil.copy(lake / "users/data.parquet", lake / "users/more.parquet"),
    "a stray file": lambda lake: shutil.copy(lake / "roles/data.parquet", lake / "roles/data.parquet#1"),
    "half an object": lambda lake: os.truncate(lake / "groups/data.parquet", 1000),
    "no object": lambda lake: (lake / "projects/data.parquet").unlink(),
    "an older object": lambda lake: shutil.copy(lake / "old/users/data.parquet", lake / "users/data.parquet"),
}


def half(path: pathlib.Path) -> None:
    rows = pyarrow.parquet.read_table(path)
    pyarrow.parquet.write_table(rows.slice(rows.num_rows // 2), path)


def test_the_reader_would_see_what_is_wrong(organization, tmp_path):
    """Who always says that all is well says nothing."""
    lake = tmp_path / "lake"
    witness = Witness(lambda name: lake, TABLES)
    for _ in range(2):
        witness.learn(organization)
        sync(lake, organization, *CHOSEN)
        shutil.copytree(lake / "users", lake / "old/users", dirs_exist_ok=True) if len(witness.truths) == 1 else None
        organization.mutate()
        time.sleep(1.1)
    witness.assert_ended_true()
    for name, damage in DAMAGES.items():
        shutil.copytree(lake, tmp_path / "whole", dirs_exist_ok=True)
        damage(lake)
        for table in TABLES:
            witness.read(table)
        assert len(witness.wrong) == 1, f"{name}: {witness.wrong}"
        witness.wrong.clear()
        shutil.rmtree(lake)
        (tmp_path / "whole").rename(lake)


def test_random_kills_on_a_disk(organization, tmp_path):
    dest, views = tmp_path / "lake", tmp_path / "views"

    def look(name: str) -> pathlib.Path:
        """Hard links to the files of a table: DuckDB opens a file twice, and may get two versions of it."""
        shutil.rmtree(views, ignore_errors=True)
        for path in (dest / name).rglob("*"):
            if path.is_file():
                target = views / path.relative_to(dest)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.link(path, target)
        return views

    witness = Witness(look, TABLES)
    witness.learn(organization)
    killer = Killer(lambda *flags: start_sync(dest, organization, *CHOSEN, *flags), organization, witness)
    with results("disk", killer):
        with witness:
            killer.kill(KILLS)
        sync(dest, organization, *CHOSEN)
        witness.assert_ended_true()
    assert witness.reads > killer.kills
    record(
        "kill -9 at a random moment of a sync, on a disk",
        "again and again, while days pass in the organization and a reader looks at every table all the while",
        "no object", f"each slice as it was at one moment, no key twice: {measured('disk')}", "all rows, once", part=PROCESS,
    )


def test_random_kills_in_an_object_store(organization, seaweed):
    place = seaweed.place()

    def look(name: str) -> pathlib.Path:
        """Each object by one GET: a client that asks twice for one object may get two versions of it."""
        folder = pathlib.Path(copies) / name
        for path in place.names(name):
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(get(seaweed, f"{place.path}/{path}"))
        return folder

    witness = Witness(look, TABLES)
    witness.learn(organization)

    def free() -> None:
        """A killed run's lease is free after its minute, as test_store_leases.py shows. It is not waited for here."""
        if place.has("_state/lease"):
            place.remove("_state/lease")

    def start(*flags):
        free()
        return stores.start(place, organization, *CHOSEN, *flags)

    killer = Killer(start, organization, witness)
    with tempfile.TemporaryDirectory() as copies, results("S3", killer):
        with witness:
            killer.kill(STORE_KILLS)
        free()
        stores.sync(place, organization, *CHOSEN)
        witness.assert_ended_true()
    record(
        "kill -9 at a random moment of a sync, into S3 (SeaweedFS)",
        "again and again, while days pass in the organization and a reader looks at every table all the while",
        "no object", f"each slice as it was at one moment, no key twice: {measured('S3')}", "all rows, once", part=STORES,
    )
