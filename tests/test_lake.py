"""The promises: a plain glob over each table equals the truth, at every instant.

One organization lives through a story (story.py), and a copy of the lake is kept after each chapter. Each chapter is compared with the simulator's own model, table by table and value by value.
The last tests look while a sync is running and after it was killed.
"""

import shutil
import signal
import time

import pytest

import truth
from conftest import ADMIN, PATIENCE, admin_tables, catalog, failures, keep_copy, objects, settled, spec, start_sync, sync
from scripted import Hold, Scripted
from story import CHAPTERS, Story, compare_after, data
from truth import bag, by_key, difference, lake_rows, true_rows, without


@pytest.fixture(scope="module")
def story(simulators, tmp_path_factory) -> Story:
    simulator = simulators("--size", "small")
    told, dest = Story(), tmp_path_factory.mktemp("story") / "lake"

    def chapter(name: str):
        told.reports[name] = sync(dest, simulator).report
        told.truths[name] = {table: simulator.truth(table) for table in simulator.truth_tables()}
        told.lakes[name] = keep_copy(dest, name)

    chapter("first")
    chapter("idle")
    told.said = simulator.mutate()
    time.sleep(1.1)  # windows are half-open: what happens in this very second belongs to the next sync
    chapter("changed")
    shutil.rmtree(dest / "_state")
    chapter("forgotten")
    return told


def test_the_truth_is_told_for_every_table(story):
    assert set(admin_tables()) <= set(story.truths["first"])


def test_every_chapter_ends_without_a_failure(story):
    for chapter in CHAPTERS:
        report = story.reports[chapter]
        assert report["exit_code"] == 0
        assert failures(report) == {}
        assert sum(report["tables"][table]["misfits"] for table in admin_tables()) == 0


@pytest.mark.parametrize("table", admin_tables())
def test_first_sync_equals_the_truth(story, table):
    rows, true = story.rows("first", table), story.true("first", table)
    assert bag(data(rows)) == bag(true), difference(true, data(rows))
    assert all(row["_synced_at"] for row in rows)
    assert not any(row.get("_deleted") for row in rows)


@pytest.mark.parametrize("table", admin_tables())
def test_keys_are_unique(story, table):
    for chapter in CHAPTERS:
        by_key(spec(table), story.rows(chapter, table))


@pytest.mark.parametrize("table", admin_tables())
def test_idle_second_sync_changes_only_when_rows_were_read(story, table):
    before, after = story.rows("first", table), story.rows("idle", table)
    same = lambda rows: bag([without(row, "_synced_at") for row in rows])
    assert same(after) == same(before), difference(before, after)
    if spec(table)["policy"] == "snapshot":
        assert {row["_synced_at"] for row in after}.isdisjoint(row["_synced_at"] for row in before), "all was read again"


@pytest.mark.parametrize("table", admin_tables())
def test_a_day_later_equals_the_truth(story, table):
    compare_after(story, "idle", "changed", table)


@pytest.mark.parametrize("table", admin_tables())
def test_a_deleted_state_only_costs_work(story, table):
    compare_after(story, "changed", "forgotten", table)


def tombstones(story, table: str) -> list[dict]:
    was = by_key(spec(table), story.rows("idle", table))
    return [row for key, row in by_key(spec(table), story.rows("changed", table)).items()
            if row["_deleted"] and not was[key]["_deleted"]]


def test_the_day_had_everything_in_it(story):
    """The comparison above proves something only when these things did happen."""
    assert tombstones(story, "users"), story.said
    assert tombstones(story, "project_api_keys"), story.said
    assert tombstones(story, "project_users"), story.said
    assert tombstones(story, "group_users") or tombstones(story, "user_role_assignments"), story.said
    for table in ("costs", "usage_completions"):
        before, after = (by_key(spec(table), story.rows(chapter, table)) for chapter in ("idle", "changed"))
        shared = before.keys() & after.keys()
        assert any(without(before[key], "_synced_at") != without(after[key], "_synced_at") for key in shared), table
        assert before.keys() - after.keys(), f"no group of {table} disappeared"
        assert after.keys() - before.keys(), f"no group of {table} appeared"
    archived = [
        {row["id"] for row in story.true(chapter, "projects") if row["status"] == "archived"}
        for chapter in ("idle", "changed")
    ]
    assert archived[1] - archived[0], story.said
    untouched = [row for row in story.rows("changed", "project_users") if row["project_id"] in archived[1] - archived[0]]
    assert untouched and not all(row["_deleted"] for row in untouched)


def test_late_and_same_second_events_are_there_exactly_once(story):
    before = by_key(spec("audit_logs"), story.rows("idle", "audit_logs"))
    after = by_key(spec("audit_logs"), story.rows("changed", "audit_logs"))
    new = [row["effective_at"] for key, row in after.items() if key not in before]
    known = {row["effective_at"] for row in before.values()}
    assert [moment for moment in new if moment <= max(known)], "no event came late"
    assert [moment for moment in new if moment in known], "no new event shares a second with a known one"
    assert len(after) == len(story.rows("changed", "audit_logs"))


@pytest.mark.parametrize("table", [table["name"] for table in catalog() if table.get("slices") and table["surface"] == "admin"])
def test_a_row_is_in_the_partition_of_its_day(story, table):
    import duckdb

    by = spec(table)["slices"]["by"]
    wrong = duckdb.connect().execute(
        f"SELECT count(*) FROM read_parquet('{truth.glob(story.lakes['changed'], table)}', hive_partitioning=true) "
        f"WHERE strftime(make_timestamp(epoch_us({by})), '%Y-%m-%d') <> date::VARCHAR"
    ).fetchone() if objects(story.lakes["changed"], table) else (0,)
    assert wrong == (0,)


def test_the_settled_cursor_never_goes_back(story):
    for table in (table["name"] for table in catalog() if table.get("slices") and table["surface"] == "admin"):
        moments = [settled(story.lakes[chapter], table) for chapter in ("first", "idle", "changed")]
        assert moments == sorted(moments)


# ---- while it runs, and after it was killed ------------------------------------------------------


def assert_readable(dest, simulator, tables) -> None:
    """Each table that is there holds rows of the truth only, none of them twice, and no day by halves."""
    for name in tables:
        if not objects(dest, name):
            continue
        table = spec(name)
        rows, true = lake_rows(dest, table), true_rows(table, simulator.truth(name))
        by_key(table, rows)
        assert set(bag(data(rows))) <= set(bag(true))
        if table.get("slices"):
            by = table["slices"]["by"]
            days = {row[by] // 86_400_000_000 for row in rows}
            assert len(rows) == sum(row[by] // 86_400_000_000 in days for row in true), f"{name} holds a day by halves"


@pytest.mark.parametrize(("path", "nth"), [
    ("/organization/users", 1), ("/organization/costs", 2), ("/organization/audit_logs", 5),
])
def test_a_glob_is_right_during_a_sync_and_after_kill(simulator, tmp_path, path, nth):
    dest, hold = tmp_path / "lake", Hold()
    with Scripted(simulator) as between:
        between.answers[path] = [between.forward] * (nth - 1) + [hold]
        process = start_sync(dest, between, *ADMIN)
        assert hold.arrived.wait(PATIENCE)
        assert_readable(dest, simulator, admin_tables())
        assert strays(dest) == []
        process.send_signal(signal.SIGKILL)
        process.wait()
        hold.released.set()
    assert_readable(dest, simulator, admin_tables())
    assert strays(dest) == []
    sync(dest, simulator, *ADMIN)
    for name in admin_tables():
        rows = lake_rows(dest, spec(name))
        assert bag(data(rows)) == bag(true_rows(spec(name), simulator.truth(name))), name
    assert strays(dest) == [] and not [path for path in dest.glob("_staging/**/*") if path.is_file()]


def strays(lake) -> list:
    """Files in the folders of tables that are no objects: whoever reads a folder would take them for data."""
    return [
        path.relative_to(lake) for path in lake.rglob("*")
        if path.is_file() and path.name != "data.parquet" and not path.relative_to(lake).parts[0].startswith("_")
    ]


def test_the_lake_holds_only_objects_state_and_reports(story):
    """Nothing that a reader, or the next run, could take for data is left behind."""
    for lake in story.lakes.values():
        assert strays(lake) == []
        private = {path.relative_to(lake).parts[0] for path in lake.rglob("*") if path.is_file()} - set(spec_names())
        assert private == {"_state", "_runs"}


def spec_names() -> list[str]:
    return [table["name"] for table in catalog()]


def test_week_after_week(simulator, tmp_path):
    """Days with one sync, with none and with two: what counts is the truth at the end."""
    dest, tables = tmp_path / "lake", ["users", "costs", "usage_completions", "audit_logs", "project_api_keys", "roles"]
    gone: set[str] = set()
    for days in (0, 1, 2, 0, 1, 3):
        before = {row["id"] for row in true_rows(spec("users"), simulator.truth("users"))}
        for _ in range(days):
            simulator.mutate()
        time.sleep(1.1)
        gone |= before - {row["id"] for row in true_rows(spec("users"), simulator.truth("users"))}
        sync(dest, simulator, "--tables", ",".join(tables))
    for name in tables:
        living = [row for row in lake_rows(dest, spec(name)) if not row.get("_deleted")]
        true = true_rows(spec(name), simulator.truth(name))
        if name == "project_api_keys":  # of projects that were archived meanwhile, the keys are kept as they were
            active = {row["project_id"] for row in true}
            living = [row for row in living if row["project_id"] in active]
        assert bag(data(living)) == bag(true), name
    assert gone == {row["id"] for row in lake_rows(dest, spec("users")) if row["_deleted"]}
