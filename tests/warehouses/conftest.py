"""What the suites of this folder share: the lakes, and one place where each is loaded from.

A script names the place of the lake, so a loaded lake must stay where it was while it grows. `Growing` is that
place: `at("first")`, then `at("second")` puts what the next sync made into the same folder.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
from dataclasses import dataclass

import pytest

from warehouses.lake import make


@dataclass
class Growing:
    """A lake in one place, at one moment after another."""

    made: pathlib.Path
    place: pathlib.Path
    without: tuple[str, ...] = ()

    def at(self, moment: str) -> pathlib.Path:
        """The lake as it was after that sync, without the tables that are left out."""
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(self.made / moment, self.place, ignore=shutil.ignore_patterns(*self.without))
        return self.place

    @property
    def config(self) -> pathlib.Path:
        """The configuration that the syncs had."""
        return self.made / "openai-elt.toml"

    @property
    def newest_run(self) -> str:
        return max((self.place / "_runs").glob("*.json")).stem

    def changed(self) -> dict[str, list[str]]:
        """The objects that the newest run wrote, by table, as its report tells."""
        report = json.loads((self.place / "_runs" / f"{self.newest_run}.json").read_text())
        return {
            name: [written["path"] for written in table["objects"]]
            for name, table in report["tables"].items() if table["objects"] and name not in self.without
        }


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> pathlib.Path:
    """The three copies; `WAREHOUSE_LAKES` names a folder where they were made before."""
    named = os.environ.get("WAREHOUSE_LAKES")
    if named:
        return pathlib.Path(named)
    out = tmp_path_factory.mktemp("lakes") / "made"
    make(out)
    return out


@pytest.fixture(scope="module")
def growing(made, tmp_path_factory) -> Growing:
    return Growing(made, tmp_path_factory.mktemp("place") / "lake")
