"""One organization and its lake, chapter by chapter, and what the lake must hold in each.

    first     the first sync
    idle      a second sync, nothing happened
    changed   a day happened (people left, costs were restated, events came late), and a sync
    forgotten the state was deleted, and a sync
"""

from dataclasses import dataclass, field

from conftest import spec
from truth import by_key, lake_rows, true_rows, without

CHAPTERS = ["first", "idle", "changed", "forgotten"]


@dataclass
class Story:
    """The lake after each chapter, the truth after each chapter, and what was said to have changed."""

    lakes: dict = field(default_factory=dict)
    truths: dict = field(default_factory=dict)
    reports: dict = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def rows(self, chapter: str, table: str) -> list[dict]:
        return lake_rows(self.lakes[chapter], spec(table))

    def true(self, chapter: str, table: str) -> list[dict]:
        return true_rows(spec(table), self.truths[chapter][table])


def data(rows: list[dict]) -> list[dict]:
    """Rows without what the product adds about the reading itself."""
    return [without(row, "_synced_at", "_deleted") for row in rows]


def compare_after(story, earlier: str, later: str, name: str):
    """Truth rows as they are; vanished rows as tombstones; children of archived projects as they were."""
    table = spec(name)
    before, after = by_key(table, story.rows(earlier, name)), by_key(table, story.rows(later, name))
    true = by_key(table, story.true(later, name))
    archived = {row["id"] for row in story.true(later, "projects") if row["status"] == "archived"}
    snapshot = table["policy"] == "snapshot"
    for key, row in true.items():
        assert key in after, f"{key} is missing"
        assert without(after[key], "_synced_at", "_deleted") == row
        assert after[key].get("_deleted") is (False if snapshot else None)
    gone = before.keys() - true.keys()
    assert after.keys() == true.keys() | (gone if snapshot else set())
    for key in gone if snapshot else ():
        if below_projects(table) and before[key]["project_id"] in archived:
            assert after[key] == before[key], "children of an archived project stay untouched"
        else:
            assert without(after[key], "_synced_at") == {**without(before[key], "_synced_at"), "_deleted": True}


def below_projects(table: dict) -> bool:
    return any(parent == "projects" or below_projects(spec(parent)) for parent in table["parents"])
