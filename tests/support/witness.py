"""A reader who looks at the lake all the while, and knows every truth there was.

It reads each table as anybody would: a glob through DuckDB, and the folder through pyarrow. What it sees of a slice
must be what the organization was at one moment, whole, and never an older moment than it saw before:

    a day           the rows of that day, all of them, as they were after one of the days that passed
    a whole table   all rows of that moment; what is gone since is kept, marked `_deleted` (or, below a project
                    that was archived, as it was)

Every look at a table is counted, and what is wrong is kept with the reason. Each object is taken once (by a hard link
on a disk, by one GET in a store): a query engine that opens an object twice while it is replaced can mix two versions.
"""

from __future__ import annotations

import pathlib
import random
import threading
from collections import defaultdict

import pyarrow.dataset

from conftest import objects, spec
from story import below_projects, data
from truth import bag, by_key, lake_rows, true_rows, without

DAY = 86_400_000_000  # in microseconds, as moments are read


class Witness:
    """`look` gives a folder with the lake as it is now (or as it was copied from a store)."""

    def __init__(self, look, tables: list[str]):
        self.look, self.tables = look, tables
        self.truths: list[dict[str, object]] = []
        self.seen: dict = {}  # of each slice: the moment it showed, as the number of days that had passed
        self.keys = defaultdict(set)
        self.reads, self.wrong = 0, []  # a table that is not there yet is no read
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self) -> Witness:
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def learn(self, simulator) -> None:
        """The truth of a new moment; to be called before anything can read it."""
        lines = {name: true_rows(spec(name), simulator.truth(name)) for name in self.tables}
        self.truths.append({name: self.by_slice(spec(name), rows) for name, rows in lines.items()})

    def watch(self) -> None:
        while not self.over.is_set():
            for name in random.sample(self.tables, len(self.tables)):
                self.read(name)

    def read(self, name: str, from_moment: int = 0) -> None:
        """One look at one table. What cannot be read at all is as wrong as what reads wrong."""
        try:
            folder = self.look(name)
            if not objects(folder, name):
                assert name not in self.keys, "the table has vanished"
                return
            self.reads += 1
            self.check(spec(name), lake_rows(folder, spec(name)), from_moment)
            self.check_folder(folder, spec(name))
        except Exception as wrong:
            self.wrong.append(f"{name}: {type(wrong).__name__} {wrong}"[:2000])

    def check(self, table: dict, rows: list[dict], from_moment: int) -> None:
        name = table["name"]
        if not table.get("slices"):
            found = by_key(table, rows)
            assert self.keys[name] <= found.keys(), f"rows have vanished: {self.keys[name] - found.keys()}"
            self.keys[name] |= found.keys()
            return self.place(name, "whole", from_moment, lambda moment: self.whole(table, found, moment))
        days = self.by_slice(table, data(rows))
        self.keys[name] |= days.keys()
        for day in self.keys[name]:
            held = days.get(day, [])
            self.place(name, day, from_moment, lambda moment: held == self.truths[moment][name].get(day, []))

    def place(self, name: str, slice_, from_moment: int, agrees) -> None:
        """Finds the moment that a slice shows, not before the one it showed last."""
        first = max(self.seen.get((name, slice_), 0), from_moment)
        now = len(self.truths)
        found = next((moment for moment in range(first, now) if agrees(moment)), None)
        assert found is not None, f"{slice_} is of no moment from {first} to {now - 1}"
        self.seen[name, slice_] = found

    def whole(self, table: dict, found: dict, moment: int) -> bool:
        """Whether a table that is read whole is what it was at a moment, with what is gone since."""
        true = self.truths[moment][table["name"]]
        living = all(
            key in found and not found[key]["_deleted"] and without(found[key], "_synced_at", "_deleted") == row
            for key, row in true.items()
        )
        gone = [key for key in found if key not in true]
        return living and all(self.once_true(table, key, found[key]) for key in gone) and all(
            found[key]["_deleted"] or self.archived(table, found[key], moment) for key in gone
        )

    def once_true(self, table: dict, key: tuple, row: dict) -> bool:
        row = without(row, "_synced_at", "_deleted")
        return any(truth[table["name"]].get(key) == row for truth in self.truths)

    def archived(self, table: dict, row: dict, moment: int) -> bool:
        projects = self.truths[moment]["projects"]
        return below_projects(table) and projects[(row["project_id"],)]["status"] == "archived"

    def check_folder(self, folder, table: dict) -> None:
        """Who takes the folder, and no glob, sees objects only, and none twice."""
        if table["policy"] == "replace":
            return  # rows of a replaced day may share a key
        key = table["key"]
        read = pyarrow.dataset.dataset(pathlib.Path(folder) / table["name"], format="parquet").to_table(columns=key)
        assert len(read.group_by(key).aggregate([])) == read.num_rows, "a key comes twice in the folder"

    @staticmethod
    def by_slice(table: dict, rows: list[dict]) -> dict:
        if not table.get("slices"):
            return by_key(table, rows)
        days = defaultdict(list)
        for row in rows:
            days[row[table["slices"]["by"]] // DAY].append(row)
        return {day: bag(rows) for day, rows in days.items()}

    def assert_ended_true(self) -> None:
        """After a sync in good health: every slice is of the last moment, and none is missing."""
        for name in self.tables:
            self.read(name, from_moment=len(self.truths) - 1)
            if spec(name).get("slices"):
                missing = self.truths[-1][name].keys() - self.keys[name]
                assert not missing, f"{name} has no {missing}"
        assert self.wrong == [], f"{len(self.wrong)} of {self.reads} reads are wrong\n" + "\n".join(self.wrong[:5])
