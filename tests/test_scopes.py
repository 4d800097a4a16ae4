"""One cursor for each workspace: who is refused holds nobody else, who is new reads everything, who is gone stays."""

import json
import random
from datetime import datetime

import pytest

from clockwork import CODEX, DAY, HOUR, LOGS, World, at, found
from conftest import command, state, sync
from fixtures.sources import OTHER_WORKSPACE, WORKSPACE
from reliability import TIME, record

BOTH = (WORKSPACE, OTHER_WORKSPACE)
TABLES = [CODEX, LOGS]
CHOSEN = ("--tables", ",".join(TABLES))


@pytest.fixture
def dest(tmp_path):
    return tmp_path / "lake"


def scope(workspace: str) -> str:
    return f"workspace_id={workspace}"


def cursor(dest, table: str, workspace: str) -> datetime | None:
    if not (dest / "_state/state.json").exists():
        return None
    told = state(dest)["tables"].get(table, {}).get("scopes", {}).get(scope(workspace), {}).get("cursor")
    return told and datetime.fromisoformat(told)


def of(rows: list, workspace: str) -> list:
    """The rows of one workspace, of either table."""
    return [row for row in rows if row[0] == workspace or str(row).startswith(workspace[:4])]


def assert_true(dest, world, *workspaces: str):
    for table in TABLES:
        for workspace in workspaces or BOTH:
            assert of(found(dest, table), workspace) == of(world.truth(table), workspace), (table, workspace)


@pytest.mark.parametrize("since", ["the first run", "the fourth run"])
def test_a_refused_workspace_holds_nobody_else(dest, since):
    """It is refused for a hundred days. The other one is read at each run, from its own cursor."""
    with World(workspaces=BOTH) as world:
        if since != "the first run":
            for _ in range(3):
                sync(dest, world, *CHOSEN, env=at(world))
                world.now += HOUR
        held = {table: cursor(dest, table, OTHER_WORKSPACE) for table in TABLES}
        world.refused = {OTHER_WORKSPACE}
        for _ in range(5):
            world.now += 20 * DAY
            run = sync(dest, world, *CHOSEN, env=at(world), code=2)
            for table in TABLES:
                assert run.table(table)["status"] == "ok"
                assert [skip["parent"] for skip in run.table(table)["skipped"]] == [scope(OTHER_WORKSPACE)]
                assert cursor(dest, table, OTHER_WORKSPACE) == held[table]
                assert world.now - cursor(dest, table, WORKSPACE) < DAY
            assert_true(dest, world, WORKSPACE)
        world.refused = set()
        run = sync(dest, world, *CHOSEN, env=at(world))
        rows = of(found(dest, CODEX), OTHER_WORKSPACE)
        kept = [row for row in of(world.truth(CODEX), OTHER_WORKSPACE) if row[1] >= (world.now - 90 * DAY).timestamp()]
        assert rows[-len(kept):] == kept, "what the source still has"
        gaps = [gap["scope"] for gap in run.table(CODEX)["gaps"]]
        assert gaps == ([] if since == "the first run" else [scope(OTHER_WORKSPACE)])
        assert_true(dest, world, WORKSPACE)
    record("one of two workspaces is refused for 100 days", "403 from the first or the fourth run on; then it is let in",
           "both workspaces", "the other one is read at each run; exit 2 names the refused one",
           "all rows of the other; of the refused one what the source still has, and the gap is named", TIME)


def test_a_new_workspace_reads_its_whole_history(dest):
    with World(days=20) as world:
        for _ in range(3):
            sync(dest, world, *CHOSEN, env=at(world))
            world.now += HOUR
        world.workspaces = BOTH
        sync(dest, world, *CHOSEN, env=at(world))
        assert_true(dest, world)
        assert cursor(dest, CODEX, OTHER_WORKSPACE) == cursor(dest, CODEX, WORKSPACE)
    record("a workspace is added", "after runs of another one", "20 days of one", "as before", "20 days of both", TIME)


def test_a_new_workspace_that_fails_at_first_reads_its_whole_history_later(dest):
    with World(days=20) as world:
        sync(dest, world, *CHOSEN, env=at(world))
        world.workspaces, world.failing = BOTH, {OTHER_WORKSPACE}
        for _ in range(3):
            world.now += 5 * HOUR
            sync(dest, world, *CHOSEN, env=at(world), code=2, retries=0)
        world.failing = set()
        sync(dest, world, *CHOSEN, env=at(world))
        assert_true(dest, world)


def test_a_workspace_that_is_left_out_keeps_its_rows_and_goes_on_when_it_comes_back(dest):
    with World(workspaces=BOTH) as world:
        sync(dest, world, *CHOSEN, env=at(world))
        before = {table: of(found(dest, table), OTHER_WORKSPACE) for table in TABLES}
        world.workspaces = (WORKSPACE,)
        for _ in range(3):
            world.now += DAY
            sync(dest, world, *CHOSEN, env=at(world))
            assert {table: of(found(dest, table), OTHER_WORKSPACE) for table in TABLES} == before
        world.workspaces = BOTH
        sync(dest, world, *CHOSEN, env=at(world))
        assert_true(dest, world)


def test_workspaces_with_one_cursor_are_read_together(dest):
    """A slice is written once for both of them."""
    with World(workspaces=BOTH) as world:
        sync(dest, world, *CHOSEN, env=at(world))
        world.now += HOUR
        run = sync(dest, world, *CHOSEN, env=at(world))
        for table in TABLES:
            paths = [written["path"] for written in run.table(table)["objects"]]
            assert len(paths) == len(set(paths)) > 0
        world.failing = {OTHER_WORKSPACE}
        world.now += HOUR
        sync(dest, world, *CHOSEN, env=at(world), code=2, retries=0)
        assert cursor(dest, LOGS, OTHER_WORKSPACE) < cursor(dest, LOGS, WORKSPACE)
        world.failing = set()
        world.now += HOUR
        sync(dest, world, *CHOSEN, env=at(world))
        assert cursor(dest, LOGS, OTHER_WORKSPACE) == cursor(dest, LOGS, WORKSPACE)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_fails_in_a_story_each_workspace_ends_with_its_own_truth(dest, seed):
    """Twelve runs, hours to days apart; at each one a workspace may fail, be refused or be left out."""
    chance = random.Random(seed)
    with World(workspaces=BOTH, days=4) as world:
        for _ in range(11):
            fate = {workspace: chance.choice(["good", "good", "refused", "failing", "left out"]) for workspace in BOTH}
            world.refused = {workspace for workspace in BOTH if fate[workspace] == "refused"}
            world.failing = {workspace for workspace in BOTH if fate[workspace] == "failing"}
            world.workspaces = tuple(w for w in BOTH if fate[w] != "left out") or BOTH
            good = [workspace for workspace in world.workspaces if workspace not in world.refused | world.failing]
            code = 3 if not good else 0 if len(good) == len(world.workspaces) else 2
            # The other workspace alone would look like another company's.
            sync(dest, world, *CHOSEN, "--accept-organization-change", env=at(world, chance.choice([0, 0, 0, 30, -30])), code=code, retries=0)
            for workspace in good:
                for table in TABLES:
                    assert of(found(dest, table), workspace) == of(truth_of(world, table), workspace), (table, fate)
            world.now += chance.choice([HOUR, 7 * HOUR, DAY, 3 * DAY])
        world.refused, world.failing, world.workspaces = set(), set(), BOTH
        sync(dest, world, *CHOSEN, env=at(world))
        assert_true(dest, world)
    record("workspaces fail, are refused and are left out by chance", "twelve runs, hours to days apart, some with a wrong clock",
           "what the runs before have read", "each workspace that answers has its truth at each run", "the truth of each", TIME)


def truth_of(world, table: str) -> list:
    told, world.workspaces = world.workspaces, BOTH
    try:
        return world.truth(table)
    finally:
        world.workspaces = told


def test_only_one_cursor_of_a_state_is_shown_and_json_has_all(dest):
    with World(workspaces=BOTH) as world:
        world.refused = set()
        sync(dest, world, *CHOSEN, env=at(world))
        world.refused = {OTHER_WORKSPACE}
        world.now += DAY
        sync(dest, world, *CHOSEN, env=at(world), code=2)
    shown = json.loads(command("state", "show", "--dest", dest, "--format", "json", code=0).out)
    assert shown["destination"] == str(dest)
    for table in TABLES:
        told = shown["tables"][table]
        assert set(told) == {"cursor", "last_full_refresh_at", "max_event_time", "scopes", "pending_files", "held_back"}
        assert told["cursor"] == told["scopes"][scope(OTHER_WORKSPACE)]["cursor"] < told["scopes"][scope(WORKSPACE)]["cursor"]
    assert CODEX in command("state", "show", "--dest", dest, code=0).out


def test_a_refusal_that_names_a_limit_is_kept_to_for_the_workspace_that_it_is_about(dest):
    """One workspace's analytics reach back 30 days: the other's 90 are read all the same."""
    with World(workspaces=BOTH, days=80) as world:
        usual = world.usage

        def short(workspace, asked):
            if workspace == OTHER_WORKSPACE and int(asked.one("start_time")) < (world.now - 30 * DAY).timestamp():
                from scripted import Answer
                return Answer({"detail": [{"loc": ["query", "start_time"], "msg": "start_time cannot be more than 30 days ago"}]}, status=422)
            return usual(workspace, asked)

        import functools
        for workspace in BOTH:
            world.answers[f"/analytics/codex/workspaces/{workspace}/usage"] = [functools.partial(world.of, workspace, short)]
        run = sync(dest, world, "--tables", CODEX, env=at(world))
        assert "gives nothing before" in json.dumps(run.table(CODEX)["warnings"])
        assert of(found(dest, CODEX), WORKSPACE) == of(world.truth(CODEX), WORKSPACE)
        allowed = [row for row in of(world.truth(CODEX), OTHER_WORKSPACE) if row[1] > (world.now - 30 * DAY).timestamp()]
        assert of(found(dest, CODEX), OTHER_WORKSPACE) == allowed and allowed
        world.now += HOUR
        assert sync(dest, world, "--tables", CODEX, env=at(world)).table(CODEX)["warnings"] == []
