"""A wrong clock of this machine costs nothing: the time that counts is the source's.

The program's clock is moved by a preloaded library, the source's is `World.now`. Twenty hourly runs are a story; in it
the clock is wrong once, sometimes, or always, by up to two days, and in the end the lake is that of a true clock.
"""

import json
import random
import shutil
from datetime import datetime, timedelta, timezone

import pytest

from clockwork import AUDIT, CODEX, COSTS, DAY, HOUR, LOGS, World, at, cursors, found, shifted
from conftest import PATIENCE, command, start_sync, state, sync
from fixtures.sources import OTHER_WORKSPACE, WORKSPACE
from pathlib import Path
from reliability import TIME, record
from scripted import Hold
from stores import until

TABLES = [AUDIT, COSTS, LOGS, CODEX, "users"]
CHOSEN = ("--tables", ",".join(TABLES))
RUNS = 20


@pytest.fixture
def dest(tmp_path):
    return tmp_path / "lake"


def tell(dest, world, offsets, each: timedelta = HOUR, config: str = ""):
    """One run for each offset of the program's clock, in hours. No cursor is ever later than the source's time."""
    for hours in offsets:
        sync(dest, world, *CHOSEN, env=at(world, hours), config=config)
        late = [(name, cursor) for name, cursor in cursors(state(dest)) if cursor > world.now]
        assert late == [] or not world.dated, f"{hours} h off at {world.now}"
        world.now += each
    world.now -= each


def assert_true(dest, world):
    for table in TABLES:
        assert found(dest, table) == world.truth(table), table


def story(run: int, hours: float) -> list[float]:
    return [hours if number == run else 0 for number in range(RUNS)]


STORIES = {
    "20 h ahead once": story(1, 20), "90 min ahead once": story(1, 1.5), "47 h ahead once": story(7, 47),
    "48 h ahead at the first run": story(0, 48), "20 h behind once": story(2, -20), "48 h behind at the first run": story(0, -48),
    "2 h behind always": [-2] * RUNS, "26 h ahead always": [26] * RUNS,
    **{f"anything within two days, {seed}": [random.Random(seed * 100 + n).uniform(-48, 48) for n in range(RUNS - 1)] + [0]
       for seed in range(3)},
}


@pytest.mark.parametrize("name", STORIES)
def test_a_story_with_a_wrong_clock_ends_like_one_with_a_true_one(dest, name):
    with World() as world:
        tell(dest, world, STORIES[name])
        assert_true(dest, world)
    record("this machine's clock is wrong", "by up to 48 hours, ahead or behind, at one run, at some, at all of twenty",
           "what the runs before have read", "no cursor is later than the source's time", "the rows of a true clock", TIME)


@pytest.mark.parametrize("hours", [-4_000, -49, 49, 4_000])
def test_a_clock_that_is_far_off_is_said_and_refuses_nothing(dest, hours):
    with World() as world:
        tell(dest, world, [0])
        world.now += HOUR
        run = sync(dest, world, *CHOSEN, env=at(world, hours))
        assert "this machine's clock is" in run.err and ("ahead of" if hours > 0 else "behind") in run.err
        assert_true(dest, world)


def test_a_true_clock_costs_no_request_more(dest):
    """The time comes with what is asked anyway."""
    with World() as world:
        tell(dest, world, [0])
        world.asked.clear()
        world.now += HOUR
        sync(dest, world, "--tables", AUDIT, env=at(world))
        assert len(world.asked) == 2, "a request for each pass"


@pytest.mark.parametrize("seconds", [-4, -1, 1, 4])
def test_some_seconds_are_no_wrong_clock(dest, seconds):
    with World() as world:
        run = sync(dest, world, *CHOSEN, env=at(world, seconds / 3600))
        assert "clock" not in run.err
        assert all(cursor <= world.now for _, cursor in cursors(state(dest)))


def test_the_stamp_of_a_row_is_the_sources_time(dest):
    from conftest import spec
    from truth import lake_rows

    with World() as world:
        sync(dest, world, *CHOSEN, env=at(world, 20))
        for table in TABLES:
            stamps = {row["_synced_at"] for row in lake_rows(dest, spec(table))}
            assert all(abs(stamp / 1e6 - world.now.timestamp()) < 60 for stamp in stamps), table


def test_the_reports_of_runs_with_a_wrong_clock_are_in_their_true_order(dest):
    """`verify` knows each object by the report of the run that wrote it last, also where that run was killed."""
    with World() as world:
        tell(dest, world, [0, 30, 0, -30, 0])
        reports = [json.loads(path.read_text()) for path in (dest / "_runs").iterdir()]
        starts = sorted(datetime.fromisoformat(report["started_at"]) for report in reports)
        first = world.now - 4 * HOUR
        assert [round((start - first).total_seconds() / 3600) for start in starts] == [0, 1, 2, 3, 4]
        assert all(report["finished_at"] >= report["started_at"] for report in reports)
        command("verify", "--dest", dest, code=0)
        held = Hold()
        usual, world.answers["/organization/users"] = world.answers["/organization/users"], [held]
        world.now += HOUR
        environment = {**at(world, 30)}
        process = start_sync(dest, world, "--tables", "audit_logs,users", env=environment)
        held.arrived.wait(PATIENCE)
        until(lambda: any("finished_at\": null" in path.read_text() and str(world.now.date()) in path.read_text() for path in (dest / "_runs").iterdir()))
        process.kill()
        process.communicate()
        held.released.set()
        world.answers["/organization/users"] = usual
        command("verify", "--dest", dest, code=0)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("ahead", [timedelta(minutes=2), HOUR, 20 * HOUR, 400 * DAY])
def test_a_cursor_from_the_future_heals_by_itself(dest, version, ahead):
    """A run with a wrong clock wrote it: nobody knows what lies before it."""
    with World() as world:
        tell(dest, world, [0])
        path = dest / "_state/state.json"
        world.now += 5 * HOUR
        future = (world.now + ahead).strftime("%Y-%m-%dT%H:%M:%SZ")
        member = "settled" if version == 1 else "cursor"
        path.write_text(json.dumps({"version": version, "tables": {table: {member: future} for table in TABLES}}))
        run = sync(dest, world, *CHOSEN, env=at(world))
        assert "wrong clock" in json.dumps(run.table(AUDIT)["warnings"])
        assert_true(dest, world)
        assert all(cursor <= world.now for _, cursor in cursors(state(dest)))
        assert "wrong clock" not in sync(dest, world, *CHOSEN, env=at(world)).err
    record("a state with a cursor from the future", "minutes, hours and a year ahead, of either version of the state",
           "rows up to the time of the cursor's run", "as before", "the truth: the history is read again, with a warning", TIME)


def test_a_source_that_tells_no_time_is_read_by_this_machines(dest):
    with World() as world:
        world.dated = False
        tell(dest, world, [0, 0, 0])
        assert_true(dest, world)
        far = (world.now + 3 * DAY).strftime("%Y-%m-%dT%H:%M:%SZ")
        (dest / "_state/state.json").write_text(json.dumps({"version": 2, "tables": {AUDIT: {"cursor": far}}}))
        run = sync(dest, world, "--tables", AUDIT, env=at(world), code={3, 4})
        error = run.table(AUDIT)["error"]
        assert "tells no time" in error["message"] and f"state reset {AUDIT}" in error["cure"]


def test_late_events_are_read_within_the_look_back(dest):
    """Three hours late, in each kind of log: by hourly runs each is there in the end, once."""
    with World() as world:
        for n in range(12):
            happened = world.now - HOUR + n * HOUR
            world.late.append((f"late-{n}", happened, happened + 3 * HOUR))
        tell(dest, world, [0] * 16)
        assert len([id for id in found(dest, AUDIT) if id.startswith("late")]) == 12
        assert_true(dest, world)
    record("audit events that turn up three hours late", "one each hour, for twelve hours of hourly runs", "what was there in time",
           "as before", "each of them once: the last six hours are read again", TIME)


def test_a_lake_of_an_older_version_is_gone_on_with(dest):
    """Its cursors are carried over to the workspaces of the first run; an older program refuses what is written then."""
    shutil.copytree(Path(__file__).parent / "fixtures/version_1/lake", dest)
    tables = ("--tables", "users,audit_logs,codex_usage,log_auth")
    now = datetime(2026, 11, 30, 12, tzinfo=timezone.utc)
    with World(now, (WORKSPACE, OTHER_WORKSPACE), days=1) as world:
        sync(dest, world, *tables, env=at(world))
        assert state(dest)["version"] == 2
        first = min(int(asked.one("effective_at[gte]")) for asked in world.requests("/organization/audit_logs"))
        assert datetime.fromtimestamp(first, timezone.utc).date() >= datetime(2026, 11, 29).date(), "not the whole history"
        scopes = state(dest)["tables"]["codex_usage"]["scopes"]
        assert set(scopes) == {f"workspace_id={id}" for id in (WORKSPACE, OTHER_WORKSPACE)}
        assert {f"audit_log-{n}" for n in (1, 2, 3)} < set(found(dest, AUDIT)), "the old rows are there"
        assert "e1" in found(dest, LOGS)
