"""`sync --dry-run` tells what a sync will ask before it asks anything, and is right about it.

The plan is compared with what the simulator then really was asked.
"""

import json

import pytest

from conftest import command, contents, spec, sync
from truth import lake_rows

TABLES = "users,projects,project_api_keys,project_users,costs,audit_logs,usage_completions,fine_tuning_jobs,files"


def plan(dest, source, *flags) -> dict:
    return json.loads(sync(dest, source, "--dry-run", *flags).out)


def test_a_plan_asks_nothing_and_writes_nothing(simulator, tmp_path):
    dest = tmp_path / "lake"
    plan(dest, simulator)
    assert simulator.requests() == [] and not dest.exists()
    sync(dest, simulator, "--tables", TABLES)
    before = contents(dest)
    simulator.forget()
    plan(dest, simulator)
    assert simulator.requests() == [] and contents(dest) == before


def test_before_the_first_sync_a_plan_is_a_lower_bound(simulator, tmp_path):
    dest = tmp_path / "lake"
    planned = plan(dest, simulator, "--tables", TABLES)
    tables = planned["tables"]
    assert planned["at_least"] and planned["seconds"] is None
    assert tables["users"]["requests"] == 1 and tables["users"]["at_least"]
    assert tables["costs"]["windows"] == tables["costs"]["lists"] == tables["costs"]["requests"] > 1
    # Two passes over each window, and nobody knows yet how many projects there are.
    assert tables["audit_logs"]["lists"] == 2 * tables["audit_logs"]["windows"]
    assert tables["project_api_keys"]["lists"] is None and tables["project_api_keys"]["parent"] == "projects"
    done = sync(dest, simulator, "--tables", TABLES).report["tables"]
    for name, table in tables.items():
        assert table["requests"] <= done[name]["requests"], name


def test_after_a_sync_a_plan_says_what_the_next_one_asks(simulator, tmp_path):
    dest = tmp_path / "lake"
    for _ in range(2):
        sync(dest, simulator, "--tables", TABLES)
    planned = plan(dest, simulator, "--tables", TABLES)
    simulator.forget()
    done = sync(dest, simulator, "--tables", TABLES).report["tables"]
    assert not planned["at_least"] and planned["seconds"] > 0
    assert {name: table["requests"] for name, table in planned["tables"].items()} == {
        name: table["requests"] for name, table in done.items()
    }
    assert planned["requests"] == len(simulator.requests())
    from_lake = [row for row in lake_rows(dest, spec("projects")) if row["status"] != "archived"]
    assert planned["tables"]["project_users"]["lists"] == len(from_lake)


def test_windows_of_a_plan_follow_the_flags(simulator, tmp_path):
    dest = tmp_path / "lake"
    sync(dest, simulator, "--tables", "costs,users")
    usual = plan(dest, simulator, "--tables", "costs")["tables"]["costs"]
    assert usual["windows"] == 1 and usual["from"] < usual["until"]
    since = plan(dest, simulator, "--tables", "costs", "--since", "2026-01-01")["tables"]["costs"]
    assert since["from"] == "2026-01-01T00:00:00Z" and since["windows"] > 1 and since["at_least"]
    whole = plan(dest, simulator, "--tables", "costs", "--full-refresh")["tables"]["costs"]
    assert whole["windows"] > 1 and whole["from"] < usual["from"] and whole["at_least"]


@pytest.mark.parametrize("synced", [False, True])
def test_a_plan_for_people_names_each_table_and_the_sum(simulator, tmp_path, synced):
    dest = tmp_path / "lake"
    if synced:
        sync(dest, simulator, "--tables", TABLES)
        sync(dest, simulator, "--tables", TABLES)
    run = command("sync", "--dest", dest, "--dry-run", "--tables", TABLES, env=simulator.env(), code=0)
    assert all(name in run.out for name in TABLES.split(","))
    assert "9 tables, " + ("about" if synced else "at least") in run.out
