"""A cursor or a wish that is older than the source keeps: the run reads what there is, and names what is lost.

Codex analytics look back 90 days and log files are kept for 30. Costs and usage have limits that only the API knows.
"""

import json
import tomllib
from datetime import datetime, timedelta

import pytest

from clockwork import AUDIT, CODEX, COSTS, DAY, HOUR, LOGS, World, at, found, iso, midnight
from conftest import ROOT, catalog, settled, state, sync
from fixtures.sources import WORKSPACE
from reliability import TIME, record
from scripted import Answer

KEPT = {CODEX: 90, LOGS: 30}


@pytest.fixture
def dest(tmp_path):
    return tmp_path / "lake"


def kept(world, table: str) -> list:
    """What the source still has of it."""
    if table == LOGS:
        return [id for id, moment in world.log(WORKSPACE) if moment > world.now - 30 * DAY]
    return [row for row in world.truth(table) if row[1] >= midnight(world.now - 90 * DAY).timestamp()]


@pytest.mark.parametrize("table", KEPT)
@pytest.mark.parametrize("days", [1, 10])
def test_a_cursor_beyond_what_the_source_keeps_is_moved_up(dest, table, days):
    """So many days more than the source keeps, the pipeline was paused; then it goes on, and says what is lost."""
    with World(days=3) as world:
        sync(dest, world, "--tables", table, env=at(world))
        before, cursor = found(dest, table), settled(dest, table)
        world.now += timedelta(days=KEPT[table] + days)
        run = sync(dest, world, "--tables", table, env=at(world))
        gap = run.table(table)["gaps"][0]
        assert gap["from"] == cursor and gap["to"] > gap["from"] and gap["scope"] == f"workspace_id={WORKSPACE}"
        warned = json.dumps(run.table(table)["warnings"])
        assert "is lost" in warned and f"keeps {KEPT[table]}" in warned and "is lost" in run.err
        assert found(dest, table) == sorted(set(before) | set(kept(world, table)))
        world.now += HOUR
        run = sync(dest, world, "--tables", table, env=at(world))
        assert run.table(table)["gaps"] == run.table(table)["warnings"] == []
    record("a pipeline that was paused for longer than the source keeps", "Codex analytics for 91 and 100 days, log files for 31 and 40",
           "the rows of before", "exit 0; the report names the gap", "the rows of before, and all that the source still has", TIME)


def test_the_edge_is_no_gap(dest):
    with World(days=3) as world:
        sync(dest, world, "--tables", CODEX, env=at(world))
        world.now = midnight(world.now) + 90 * DAY + 5 * HOUR
        run = sync(dest, world, "--tables", CODEX, env=at(world))
        assert run.table(CODEX)["gaps"] == []
        assert found(dest, CODEX) == world.truth(CODEX)


@pytest.mark.parametrize("table", KEPT)
@pytest.mark.parametrize("how", ["--since", "history"])
def test_a_wish_beyond_what_the_source_keeps_is_cut_there(dest, table, how):
    with World(days=120) as world:
        since = world.now - 200 * DAY
        flags = ("--since", f"{since:%Y-%m-%d}") if how == "--since" else ()
        config = f'[tables.{table}]\nhistory = "200d"\n' if how == "history" else ""
        run = sync(dest, world, "--tables", table, *flags, env=at(world), config=config)
        warned = json.dumps(run.table(table)["warnings"])
        assert f"the source keeps {KEPT[table]} days: nothing before" in warned
        assert found(dest, table) == kept(world, table)


@pytest.mark.parametrize("table", [table["name"] for table in catalog() if (table["slices"] or {}).get("retention_seconds")])
def test_every_table_with_a_limit_asks_no_further(table, tmp_path):
    """Whatever its cursor is."""
    spec = next(each for each in catalog() if each["name"] == table)
    origin = spec["same_as"] or table
    asked_by = tomllib.loads((ROOT / f"schemas/{spec['surface']}/{origin}.toml").read_text())["slices"]["since"]
    with World(days=1) as world:
        (tmp_path / "lake/_state").mkdir(parents=True)
        old = {"cursor": "2020-01-01T00:00:00Z"}
        text = json.dumps({"version": 2, "tables": {table: old, origin: old}})
        (tmp_path / "lake/_state/state.json").write_text(text)
        environment = {**at(world), "OPENAI_ORGANIZATION_ID": "org-Kestrel"}
        empty = Answer({"object": "page", "data": [], "has_more": False, "last_end_time": None})
        for below in (f"workspaces/{WORKSPACE}", "organizations/org-Kestrel"):
            world.answers[f"/compliance/{below}/logs"] = [empty]
        run = sync(tmp_path / "lake", world, "--tables", table, env=environment, code={0, 2, 3})
        starts = [asked.one(asked_by) for asked in world.asked if asked.one(asked_by)]
        oldest = min(float(start) if start.replace(".", "").isdigit() else moment(start) for start in starts)
        assert oldest >= (midnight(world.now) - timedelta(seconds=spec["slices"]["retention_seconds"] + 5)).timestamp()
        if not spec["same_as"]:
            assert run.table(table)["gaps"][0]["from"] == "2020-01-01T00:00:00Z", run.err


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


WORDS = {
    "its code": ("reporting_lookback_exceeded", "Requested range exceeds the allowed lookback of 60 days."),
    "its words": (None, "start_time cannot be more than 60 days ago."),
}


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("status", [400, 422])
def test_a_limit_that_only_the_api_knows_is_kept_to(dest, words, status):
    code, message = WORDS[words]
    with World(days=100) as world:
        usual = world.costs

        def limited(asked):
            if int(asked.one("start_time")) < (world.now - 60 * DAY).timestamp():
                return Answer({"error": {"message": message, "code": code, "param": "start_time"}}, status=status)
            return usual(asked)

        world.answers["/organization/costs"] = [limited]
        (dest / "_state").mkdir(parents=True)
        old = iso(midnight(world.now - 90 * DAY))
        (dest / "_state/state.json").write_text(json.dumps({"version": 2, "tables": {COSTS: {"cursor": old}}}))
        run = sync(dest, world, "--tables", COSTS, env=at(world))
        assert "gives nothing before" in run.err
        assert run.table(COSTS)["gaps"][0]["to"][:10] == f"{midnight(world.now) - 59 * DAY:%Y-%m-%d}"
        assert found(dest, COSTS) == [row for row in world.truth(COSTS) if row[1] and row[0] > (world.now - 60 * DAY).timestamp()]
        assert state(dest)["tables"][COSTS]["cursor"][:10] == f"{world.now:%Y-%m-%d}"
        world.now += HOUR
        assert sync(dest, world, "--tables", COSTS, env=at(world)).table(COSTS)["warnings"] == []


def test_an_api_that_refuses_what_it_allows_is_an_error(dest):
    """Asked for less and less, it would be obeyed until nothing is left."""
    with World(days=10) as world:
        refusal = Answer({"error": {"message": "start_time cannot be more than 60 days ago."}}, status=400)
        world.answers["/organization/costs"] = [refusal]
        run = sync(dest, world, "--tables", COSTS, env=at(world), code=3)
        assert len(world.asked) < 20 and "60 days" in json.dumps(run.table(COSTS)["error"])


def test_a_pause_of_an_audit_log_without_a_known_limit_is_read_whole(dest):
    with World(days=2) as world:
        sync(dest, world, "--tables", AUDIT, env=at(world))
        world.now += 40 * DAY
        run = sync(dest, world, "--tables", AUDIT, env=at(world))
        assert run.table(AUDIT)["warnings"] == [] and len(found(dest, AUDIT)) == len(set(world.truth(AUDIT)))
