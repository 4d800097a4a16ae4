"""How the engine asks: look-back, closed windows, chosen tables and times, refusals it lives with, reports that add up.

What was asked is read from the simulator's own record of requests.
"""

import json
import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from urllib.parse import parse_qsl

import pyarrow.parquet as pq
import pytest

from conftest import (
    ADMIN, PATIENCE, admin_tables, catalog, command, contents, failures, objects, settled, spec, start_sync, state, sync,
)
from scripted import Answer, Hold, Scripted, page, user
from truth import bag, by_key, difference, lake_rows, parse, true_rows, without

DAY = 86_400
DAY_TABLES = [table["name"] for table in catalog() if table["surface"] == "admin" and table.get("slices")]
BUCKET_TABLES = [name for name in DAY_TABLES if spec(name)["policy"] == "replace"]


def unix(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d")


def midnight(days_ago: int = 0) -> int:
    return int(time.time()) // DAY * DAY - days_ago * DAY


def asked(simulator, path: str) -> list[dict[str, list[str]]]:
    """The queries sent to a path and answered, each name with all its values."""
    queries = []
    for request in simulator.requests(path):
        if request["status"] != 200:
            continue
        query: dict[str, list[str]] = {}
        for name, value in parse_qsl(request["query"] or "", keep_blank_values=True):
            query.setdefault(name.removesuffix("[]"), []).append(value)
        queries.append(query)
    return queries


def path_of(table: str) -> str:
    return spec(table)["request"]["path"]


def starts(simulator, table: str) -> list[int]:
    name = "effective_at[gte]" if table == "audit_logs" else "start_time"
    return [int(query[name][0]) for query in asked(simulator, path_of(table))]


def data(rows: list[dict]) -> list[dict]:
    return [without(row, "_synced_at", "_deleted", "_valid_from", "_valid_to", "_current") for row in rows]


def assert_true(dest, simulator, table: str, keep=lambda row: True) -> None:
    """The table equals the truth (or the rows of it that `keep` keeps)."""
    true = [row for row in true_rows(spec(table), simulator.truth(table)) if keep(row)]
    rows = data(lake_rows(dest, spec(table)))
    assert bag(rows) == bag(true), difference(true, rows)


def days_of(dest, table: str) -> set[str]:
    return {path.parent.name.removeprefix("date=") for path in objects(dest, table)}


# ---- times -----------------------------------------------------------------------------------------


def test_the_first_sync_asks_for_the_whole_history(simulator, tmp_path):
    dest = tmp_path / "lake"
    sync(dest, simulator, "--tables", ",".join(DAY_TABLES))
    for table in DAY_TABLES:
        assert midnight(366) <= min(starts(simulator, table)) <= midnight(364), table


@pytest.mark.parametrize("table", ["costs", "usage_completions"])
def test_the_look_back_starts_from_the_settled_cursor(simulator, tmp_path, table):
    """And stays there: a look-back from the previous start would walk back a little further each time."""
    dest = tmp_path / "lake"
    sync(dest, simulator, "--tables", table)
    for _ in range(3):
        cursor = unix(settled(dest, table))
        assert cursor % DAY == 0 and midnight(1) <= cursor <= midnight()
        simulator.forget()
        sync(dest, simulator, "--tables", table)
        assert min(starts(simulator, table)) == cursor - 3 * DAY


def test_the_lookback_of_the_audit_log_is_six_hours(simulator, tmp_path):
    dest = tmp_path / "lake"
    sync(dest, simulator, "--tables", "audit_logs")
    for _ in range(2):
        cursor = unix(settled(dest, "audit_logs"))
        simulator.forget()
        sync(dest, simulator, "--tables", "audit_logs")
        assert min(starts(simulator, "audit_logs")) == cursor - 6 * 3600


def test_the_look_back_is_configurable(simulator, tmp_path):
    dest = tmp_path / "lake"
    sync(dest, simulator, "--tables", "costs")
    cursor = unix(settled(dest, "costs"))
    simulator.forget()
    sync(dest, simulator, "--tables", "costs", config='[tables.costs]\nlookback = "7d"\n')
    assert min(starts(simulator, "costs")) == cursor - 7 * DAY


def test_every_window_is_closed_and_drained_with_one_query(simulator, tmp_path):
    """Newest-first lists without an end would lose what arrives meanwhile; a token goes with its own query only."""
    sync(tmp_path / "lake", simulator, "--tables", "audit_logs,costs,usage_completions")
    for table, since, until, token in [
        ("audit_logs", "effective_at[gte]", "effective_at[lt]", "after"),
        ("costs", "start_time", "end_time", "page"),
        ("usage_completions", "start_time", "end_time", "page"),
    ]:
        chains: dict[str, list[dict]] = {}
        for query in asked(simulator, path_of(table)):
            assert since in query and until in query, f"{table}: {query}"
            chain = {name: values for name, values in query.items() if name != token}
            chains.setdefault(json.dumps(chain, sort_keys=True), []).append(query)
        for chain in chains.values():
            tokens = [query.get(token) for query in chain]
            assert tokens[0] is None and tokens.count(None) == 1, f"{table}: a window was begun twice"
            assert len({str(value) for value in tokens}) == len(tokens), f"{table}: a page was asked for twice"
        spans = sorted({(int(query[0][since][0]), int(query[0][until][0])) for query in chains.values()})
        for (_, end), (start, _) in zip(spans, spans[1:]):
            assert end == start, f"{table}: windows leave a gap or overlap"
        longest = {"audit_logs": 7, "costs": 180, "usage_completions": 31}[table] * DAY
        assert all(0 < end - start <= longest for start, end in spans)
        assert spans[-1][1] <= time.time() + 1, "no window reaches into the future"


def test_audit_logs_are_asked_in_both_passes(simulator, tmp_path):
    sync(tmp_path / "lake", simulator, "--tables", "audit_logs")
    passes = {(query["effective_at[gte]"][0], tuple(query.get("tenant_only", []))) for query in asked(simulator, "/audit_logs")}
    assert {tenant for _, tenant in passes} == {(), ("true",)}
    assert len({start for start, _ in passes}) * 2 == len(passes)


def test_usage_is_always_asked_with_every_dimension(simulator, tmp_path):
    sync(tmp_path / "lake", simulator, "--tables", "usage_*")
    for table in BUCKET_TABLES:
        wanted = spec(table)["request"].get("query", {}).get("group_by")
        for query in asked(simulator, path_of(table)) if wanted else ():
            assert query["group_by"] == wanted and query["bucket_width"] == ["1d"]


def test_since_and_until_bound_what_is_read(simulator, tmp_path):
    dest = tmp_path / "lake"
    since, until = midnight(7), midnight(4)
    sync(dest, simulator, "--since", day(since), "--until", day(until), "--tables", "costs,audit_logs,users")
    wanted = {day(since + offset * DAY) for offset in range(3)}
    for table, column in (("costs", "start_time"), ("audit_logs", "effective_at")):
        assert days_of(dest, table) <= wanted
        inside = lambda row: since <= row[column] // 1_000_000 < until
        assert_true(dest, simulator, table, inside)
    assert_true(dest, simulator, "users")


def test_after_until_the_next_sync_goes_on_from_there(simulator, tmp_path):
    dest = tmp_path / "lake"
    since = midnight(8)
    sync(dest, simulator, "--since", day(since), "--until", day(midnight(4)), "--tables", "costs,audit_logs")
    sync(dest, simulator, "--tables", "costs,audit_logs")
    for table, column in (("costs", "start_time"), ("audit_logs", "effective_at")):
        assert_true(dest, simulator, table, lambda row: row[column] // 1_000_000 >= since)


def test_a_late_since_leaves_no_gap_behind_the_cursor(simulator, tmp_path):
    """What lies between the cursor and --since was not read: the cursor may not pass it."""
    dest = tmp_path / "lake"
    sync(dest, simulator, "--until", day(midnight(6)), "--tables", "costs,audit_logs")
    sync(dest, simulator, "--since", day(midnight(2)), "--tables", "costs,audit_logs")
    sync(dest, simulator, "--tables", "costs,audit_logs")
    for table in ("costs", "audit_logs"):
        assert_true(dest, simulator, table)


def test_full_refresh_reads_the_history_again(simulator, tmp_path):
    dest = tmp_path / "lake"
    sync(dest, simulator, "--tables", "costs,audit_logs,users")
    before = settled(dest, "costs")
    simulator.forget()
    sync(dest, simulator, "--full-refresh", "--tables", "costs,audit_logs,users")
    for table in ("costs", "audit_logs"):
        assert min(starts(simulator, table)) <= midnight(364)
        assert_true(dest, simulator, table)
    assert settled(dest, "costs") >= before


def test_history_is_configurable(simulator, tmp_path):
    sync(tmp_path / "lake", simulator, "--tables", "costs", config='[tables.costs]\nhistory = "30d"\n')
    assert midnight(31) <= min(starts(simulator, "costs")) <= midnight(29)


def test_a_killed_run_goes_on_where_it_was(simulator, tmp_path):
    """State is saved after each committed slice, so a crash costs one window of work at most."""
    dest = tmp_path / "lake"
    hold = Hold()
    with Scripted(simulator) as between:
        between.answers["/organization/audit_logs"] = [between.forward] * 20 + [hold]
        process = start_sync(dest, between, "--tables", "audit_logs", "--concurrency", "1")
        assert hold.arrived.wait(PATIENCE)
        while not (dest / "_state/state.json").exists():
            assert process.poll() is None, "nothing was committed before the 21st request"
        process.kill()
        process.wait()
        hold.released.set()
    cursor = unix(settled(dest, "audit_logs"))
    assert cursor > midnight(364)
    simulator.forget()
    sync(dest, simulator, "--tables", "audit_logs")
    assert min(starts(simulator, "audit_logs")) == cursor - 6 * 3600
    assert_true(dest, simulator, "audit_logs")


def test_a_part_of_a_day_does_not_replace_the_day(simulator, tmp_path):
    """--until may be in the middle of a day; the rows of the whole day are there before and after."""
    dest = tmp_path / "lake"
    sync(dest, simulator, "--tables", "costs,usage_completions,audit_logs")
    noon = datetime.fromtimestamp(midnight(5) + DAY // 2, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    sync(dest, simulator, "--tables", "costs,usage_completions,audit_logs", "--since", day(midnight(7)), "--until", noon)
    for table in ("costs", "usage_completions", "audit_logs"):
        assert_true(dest, simulator, table)


def test_events_that_the_source_forgot_are_kept(simulator, tmp_path):
    dest = tmp_path / "lake"
    sync(dest, simulator, "--tables", "audit_logs")
    before = bag(lake_rows(dest, spec("audit_logs")))
    simulator.fault("/organization/audit_logs", status=200, body='{"object":"list","data":[],"has_more":false}')
    sync(dest, simulator, "--tables", "audit_logs", "--full-refresh")
    assert bag(lake_rows(dest, spec("audit_logs"))) == before


def test_a_day_that_is_empty_now_is_empty(simulator, tmp_path):
    """`results: []` says that nothing was spent after all."""
    dest = tmp_path / "lake"
    sync(dest, simulator, "--tables", "costs")
    start = midnight(2)
    buckets = [
        {"object": "bucket", "start_time": start + offset * DAY, "end_time": start + (offset + 1) * DAY, "results": []}
        for offset in range(-1, 3)
    ]
    body = json.dumps({"object": "page", "data": buckets, "has_more": False, "next_page": None})
    simulator.fault("/organization/costs", status=200, body=body)
    sync(dest, simulator, "--tables", "costs")
    emptied = {day(start + offset * DAY) for offset in range(-1, 3)}
    for row in lake_rows(dest, spec("costs")):
        assert day(row["start_time"] // 1_000_000) not in emptied


# ---- tables ----------------------------------------------------------------------------------------


def test_tables_and_exclude_are_globs(simulator, tmp_path):
    report = sync(tmp_path / "lake", simulator, "--tables", "*s", "--exclude", "usage_*,project*,audit_logs").report
    synced = {name for name, entry in report["tables"].items() if entry["status"] == "ok"}
    wanted = {name for name in admin_tables() if name.endswith("s") and not name.startswith(("usage_", "project")) and name != "audit_logs"}
    assert wanted <= synced
    assert not [name for name in synced if name.startswith("usage_")] and "audit_logs" not in synced


def test_a_child_pulls_its_parents_in(simulator, tmp_path):
    dest = tmp_path / "lake"
    report = sync(dest, simulator, "--tables", "project_user_role_assignments").report
    assert {name for name, entry in report["tables"].items() if entry["status"] == "ok"} == {
        "project_user_role_assignments", "project_users", "projects",
    }
    for table in ("project_user_role_assignments", "project_users", "projects"):
        assert_true(dest, simulator, table)


def test_a_child_without_its_parent_is_a_contradiction(simulator, tmp_path):
    """Named, it is refused before anything starts; not named, it goes with its parent."""
    dest = tmp_path / "lake"
    run = sync(dest, simulator, "--tables", "project_api_keys", "--exclude", "projects", code=1)
    assert "project_api_keys" in run.err and "projects" in run.err
    report = sync(dest, simulator, "--exclude", "projects,usage_*,audit_logs").report
    assert not [name for name, entry in report["tables"].items() if name.startswith("project") and entry["status"] == "ok"]
    assert report["tables"]["users"]["status"] == "ok"


def test_a_surface_without_key_has_no_tables_and_no_error(simulator, tmp_path):
    env = simulator.env()
    del env["OPENAI_PROJECT_KEYS"]
    run = command("sync", "--dest", tmp_path / "lake", "--format", "json", env=env, code=0)
    assert failures(run.report) == {} and "users" in run.report["tables"]
    assert not (tmp_path / "lake/fine_tuning_jobs").exists()


def test_concurrency_is_a_ceiling(simulators, tmp_path):
    simulator = simulators("--projects", 4, "--users", 8, "--history-days", 3, "--latency-ms", 5)
    sync(tmp_path / "one", simulator, "--concurrency", "1", "--tables", "users,project_*")
    assert simulator.stats()["max_concurrent"] == 1
    sync(tmp_path / "four", simulator, "--concurrency", "4", "--tables", "users,project_*")
    assert 1 < simulator.stats()["max_concurrent"] <= 4


# ---- refusals it lives with --------------------------------------------------------------------------


def a_project_of(simulator, table: str) -> str:
    return parse(simulator.truth(table)[0])["parents"]["projects.id"]


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_project_that_fails_keeps_its_children(simulator, tmp_path, status):
    dest = tmp_path / "lake"
    sync(dest, simulator, "--tables", "project_api_keys")
    before = by_key(spec("project_api_keys"), lake_rows(dest, spec("project_api_keys")))
    project = a_project_of(simulator, "project_api_keys")
    simulator.fault(f"/organization/projects/{project}/api_keys", status=status, body='{"error":{"message":"not today"}}')
    run = sync(dest, simulator, "--tables", "project_api_keys", code=2)
    entry = run.table("project_api_keys")
    assert entry["status"] != "failed", "one project does not fail the table"
    (skipped,) = entry["skipped"]
    assert project in skipped["parent"] and skipped["reason"] and skipped["cure"]
    assert project in run.err, "people are told as well"
    after = by_key(spec("project_api_keys"), lake_rows(dest, spec("project_api_keys")))
    assert after.keys() == before.keys()
    for key, row in after.items():
        if row["project_id"] == project:
            assert row == before[key], "untouched, to the microsecond"
        else:
            assert row["_synced_at"] > before[key]["_synced_at"]


def test_a_parent_that_fails_keeps_its_grandchildren(simulator, tmp_path):
    dest = tmp_path / "lake"
    tables = "project_users,project_user_role_assignments"
    sync(dest, simulator, "--tables", tables)
    before = {table: contents(dest / table) for table in tables.split(",")}
    rows = lake_rows(dest, spec("project_user_role_assignments"))
    project = a_project_of(simulator, "project_user_role_assignments")
    simulator.fault(f"/organization/projects/{project}/users", status=500)
    run = sync(dest, simulator, "--tables", tables, code=2)
    assert before
    after = lake_rows(dest, spec("project_user_role_assignments"))
    mine = lambda rows: bag([row for row in rows if row["project_id"] == project])
    assert mine(after) == mine(rows)
    assert not any(row["_deleted"] for row in after)
    assert project in json.dumps(run.table("project_users")["skipped"])


def test_parents_that_cannot_be_listed_keep_all_children(simulator, tmp_path):
    dest = tmp_path / "lake"
    sync(dest, simulator, "--tables", "users,project_users")
    before = {table: contents(dest / table) for table in ("projects", "project_users")}
    simulator.fault("/organization/projects", status=503)
    run = sync(dest, simulator, "--tables", "users,project_users", code=2)
    assert {table: contents(dest / table) for table in before} == before
    assert run.table("users")["status"] == "ok"
    assert run.table("projects")["status"] == "failed"
    assert run.table("project_users")["status"] != "ok"
    assert "projects" in json.dumps([run.table("project_users")["error"], run.table("project_users")["skipped"]])


def test_a_failed_project_is_right_again_after_the_next_sync(simulator, tmp_path):
    dest = tmp_path / "lake"
    project = a_project_of(simulator, "project_service_accounts")
    simulator.fault(f"/organization/projects/{project}/service_accounts", status=500)
    sync(dest, simulator, "--tables", "project_service_accounts", code=2)
    assert project not in {row["project_id"] for row in lake_rows(dest, spec("project_service_accounts"))}
    simulator.heal()
    sync(dest, simulator, "--tables", "project_service_accounts")
    assert_true(dest, simulator, "project_service_accounts")


def test_a_wrong_key_is_told_once_and_touches_nothing(simulator, tmp_path):
    dest = tmp_path / "lake"
    sync(dest, simulator, "--tables", "users,costs")
    before = {table: contents(dest / table) for table in ("users", "costs")}
    run = sync(dest, simulator, "--tables", "users,costs", env={"OPENAI_ADMIN_KEY": "sk-admin-wrong-77ab"}, code=3)
    assert "OPENAI_ADMIN_KEY" in run.err and "401" in run.err
    assert {table: contents(dest / table) for table in before} == before


def test_a_missing_scope_costs_one_table(simulator, tmp_path):
    dest = tmp_path / "lake"
    run = sync(dest, simulator, env={"OPENAI_ADMIN_KEY": "sk-admin-simulated-noaudit"}, code=2)
    bad = failures(run.report)
    assert bad.keys() == {"audit_logs"}
    assert "api.audit_logs.read" in bad["audit_logs"]["message"]
    assert bad["audit_logs"]["cure"] and "api.audit_logs.read" in run.err
    for table in ("users", "costs", "project_api_keys"):
        assert_true(dest, simulator, table)


def test_the_tenant_pass_is_optional(simulator, tmp_path):
    """A key that may not read tenant events still gets all others, and is told."""
    dest = tmp_path / "lake"

    def tenant_is_refused(asked):
        if asked.one("tenant_only"):
            return Answer({"error": {"message": "tenant_only needs a tenant admin"}}, status=403)
        event = {"id": "audit_log-1", "type": "logout.succeeded", "effective_at": int(asked.one("effective_at[gte]"))}
        return page(event)

    with Scripted() as server:
        server.answers["/organization/audit_logs"] = [tenant_is_refused]
        run = sync(dest, server, "--tables", "audit_logs", "--since", day(midnight(1)), code={0, 2})
        entry = run.table("audit_logs")
        assert entry["status"] == "ok" and "tenant_only" in json.dumps([entry["warnings"], entry["skipped"]])
    assert [row["id"] for row in lake_rows(dest, spec("audit_logs"))] == ["audit_log-1"]


def test_costs_are_split_at_the_epoch_of_the_api_key_dimension(simulators, tmp_path):
    simulator, dest = simulators("--projects", 3, "--users", 4, "--history-days", 330), tmp_path / "lake"
    run = sync(dest, simulator, "--tables", "costs")
    assert_true(dest, simulator, "costs")
    refused = [request for request in simulator.requests("/organization/costs") if request["status"] == 400]
    assert refused, "the simulated API did not refuse: this test proves nothing"
    grouped = {True: set(), False: set()}
    for query in asked(simulator, "/organization/costs"):
        grouped["api_key_id" in query["group_by"]].add((int(query["start_time"][0]), int(query["end_time"][0])))
    epoch = max(end for _, end in grouped[False])
    assert epoch in {start for start, _ in grouped[True]}, "the newer part begins where the older one ends"
    rows = lake_rows(dest, spec("costs"))
    assert {row["api_key_id"] for row in rows if row["start_time"] // 1_000_000 < epoch} == {None}
    assert any(row["api_key_id"] for row in rows)
    assert "api_key_id" in json.dumps(run.table("costs")["warnings"])
    simulator.forget()
    sync(dest, simulator, "--tables", "costs")
    assert {request["status"] for request in simulator.requests("/organization/costs")} == {200}


def test_a_dimension_that_the_api_does_not_know_is_left_out(simulators, tmp_path):
    simulator, dest = simulators("--projects", 3, "--users", 4, "--history-days", 6, "--legacy-group-by"), tmp_path / "lake"
    run = sync(dest, simulator, "--tables", "costs,usage_completions,usage_web_search_calls,usage_embeddings")
    for table in ("costs", "usage_completions", "usage_web_search_calls"):
        rows = lake_rows(dest, spec(table))
        assert rows and {row["api_source"] for row in rows} == {None}
        by_key(spec(table), rows)
        assert "api_source" in json.dumps(run.table(table)["warnings"])
        assert_sums_agree(dest, simulator, table)
    assert run.table("usage_embeddings")["warnings"] == []
    assert_true(dest, simulator, "usage_embeddings")


def assert_sums_agree(dest, simulator, table: str) -> None:
    """Grouped by less, the numbers of a day still add up to the same."""
    kinds = {"int", "decimal"}
    numbers = [column["name"] for column in spec(table)["columns"] if column["type"] in kinds]
    sums = []
    for rows in (lake_rows(dest, spec(table)), true_rows(spec(table), simulator.truth(table))):
        total: dict = {}
        for row in rows:
            for name in numbers:
                place = (row["start_time"], row.get("project_id"), name)
                total[place] = total.get(place, 0) + (row[name] or 0)
        sums.append(total)
    assert sums[0] == sums[1]


def test_a_look_back_limit_shrinks_the_window_and_is_told(simulators, tmp_path):
    simulator = simulators("--projects", 3, "--users", 4, "--history-days", 40, "--lookback-limit-days", 20)
    dest = tmp_path / "lake"
    run = sync(dest, simulator, "--tables", "costs,usage_completions")
    for table in ("costs", "usage_completions"):
        oldest = min(starts(simulator, table))
        assert midnight(21) <= oldest <= midnight(18), "all that is allowed is read"
        assert_true(dest, simulator, table, lambda row: row["start_time"] // 1_000_000 >= oldest)
        assert run.table(table)["warnings"], "the user is told what could not be read"
    simulator.forget()
    sync(dest, simulator, "--tables", "costs")
    assert {request["status"] for request in simulator.requests("/organization/costs")} == {200}


def test_a_rate_limit_loses_nothing(simulators, tmp_path):
    simulator, dest = simulators("--projects", 6, "--users", 8, "--history-days", 2, "--rate-limit", 40), tmp_path / "lake"
    run = sync(dest, simulator, "--tables", "users,projects,project_*,user_*", "--concurrency", "16", retries=20)
    for table in ("users", "project_api_keys", "project_user_role_assignments"):
        assert_true(dest, simulator, table)
    assert run.report["exit_code"] == 0


def test_last_ids_that_are_null_lose_nothing(simulator, tmp_path):
    """`last_id` is null on some full pages: the last record's id goes on."""
    simulator.behave(null_last_id=True)
    dest = tmp_path / "lake"
    sync(dest, simulator, "--tables", "users,projects,audit_logs,project_api_keys,project_users")
    for table in ("users", "projects", "audit_logs", "project_api_keys", "project_users"):
        assert_true(dest, simulator, table)


@pytest.mark.parametrize("fault", [{"close": True}, {"truncate": 50, "close": True}, {"status": 502, "body": "<html>"}],
                         ids=["closed", "broken off", "bad gateway"])
def test_a_connection_that_breaks_is_tried_again(simulator, tmp_path, fault):
    dest = tmp_path / "lake"
    for path in ("/organization/users", "/organization/costs", "/organization/projects/*/api_keys"):
        simulator.fault(path, times=2, **fault)
    run = sync(dest, simulator, "--tables", "users,costs,project_api_keys")
    for table in ("users", "costs", "project_api_keys"):
        assert_true(dest, simulator, table)
        assert run.table(table)["retries"] >= 2


@pytest.mark.parametrize("headers", [
    lambda: {"retry-after": "1"},
    lambda: {"retry-after": format_datetime(datetime.now(timezone.utc) + timedelta(seconds=3), usegmt=True)},
    lambda: {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1s"},
    lambda: {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1200ms"},
], ids=["seconds", "date", "x-ratelimit", "x-ratelimit in ms"])
@pytest.mark.parametrize("status", [429, 503])
def test_the_wait_that_the_api_names_is_obeyed(tmp_path, status, headers):
    """The configured backoff of 5 ms would come back much too soon."""
    with Scripted() as server:
        server.answers["/organization/users"] = [
            lambda asked: Answer({"error": {"message": "slow down"}}, status=status, headers=headers()), page(user("user-1")),
        ]
        run = sync(tmp_path / "lake", server, "--tables", "users")
        first, second = server.requests("/organization/users")
        assert second.at - first.at >= 0.95
        assert run.table("users")["retries"] == 1


# ---- history of rows -----------------------------------------------------------------------------------


KEEP_VERSIONS = "[tables.users]\nhistory = true\n[tables.roles]\nhistory = true\n"


def test_history_keeps_each_version_of_a_row(simulator, tmp_path):
    dest, flags = tmp_path / "lake", ("--tables", "users,roles")
    sync(dest, simulator, *flags, config=KEEP_VERSIONS)
    names = pq.read_schema(objects(dest, "users")[0]).names
    assert names[-6:] == ["_synced_at", "_extra", "_deleted", "_valid_from", "_valid_to", "_current"]
    first = {table: lake_rows(dest, spec(table)) for table in ("users", "roles")}
    for rows in first.values():
        assert all(row["_current"] and row["_valid_to"] is None and row["_valid_from"] == row["_synced_at"] for row in rows)

    sync(dest, simulator, *flags, config=KEEP_VERSIONS)
    for table, rows in first.items():
        again = lake_rows(dest, spec(table))
        assert bag(data(again)) == bag(data(rows)), "an idle sync makes no version"
        assert {row["_valid_from"] for row in again} == {row["_valid_from"] for row in rows}

    simulator.mutate()
    sync(dest, simulator, *flags, config=KEEP_VERSIONS)
    for table, before in first.items():
        rows = lake_rows(dest, spec(table))
        true = {row["id"]: row for row in true_rows(spec(table), simulator.truth(table))}
        versions: dict[str, list[dict]] = {}
        for row in rows:
            versions.setdefault(row["id"], []).append(row)
        for name, chain in versions.items():
            chain.sort(key=lambda row: row["_valid_from"])
            assert [row["_current"] for row in chain] == [False] * (len(chain) - 1) + [name in true]
            for old, new in zip(chain, chain[1:]):
                assert old["_valid_to"] == new["_valid_from"], "no moment without a version, none with two"
            if name in true:
                assert data(chain)[-1] == true[name] and chain[-1]["_valid_to"] is None and not chain[-1]["_deleted"]
            else:
                assert chain[-1]["_deleted"] and chain[-1]["_valid_to"] is not None
            old = next(row for row in before if row["id"] == name) if name in {row["id"] for row in before} else None
            if old:
                assert data([chain[0]]) == data([old]), "the first version stays as it was"
    assert len(lake_rows(dest, spec("roles"))) > len(first["roles"]), "a role was renamed: two versions"
    users = lake_rows(dest, spec("users"))
    assert [row for row in users if row["_deleted"]], "a user left"


def test_a_user_who_comes_back_is_no_tombstone(tmp_path):
    dest = tmp_path / "lake"
    with Scripted() as server:
        for who in (["user-1", "user-2"], ["user-2"], ["user-1", "user-2"]):
            server.answers["/organization/users"] = [page(*map(user, who))]
            sync(dest, server, "--tables", "users")
            rows = {row["id"]: row for row in lake_rows(dest, spec("users"))}
            assert {name: not row["_deleted"] for name, row in rows.items()} == {
                "user-1": "user-1" in who, "user-2": True,
            }


def test_history_of_a_user_who_comes_back(tmp_path):
    dest = tmp_path / "lake"
    with Scripted() as server:
        for who in (["user-1"], [], ["user-1"]):
            server.answers["/organization/users"] = [page(*map(user, who))]
            sync(dest, server, "--tables", "users", config=KEEP_VERSIONS)
    rows = sorted(lake_rows(dest, spec("users")), key=lambda row: row["_valid_from"])
    assert [(row["_current"], row["_deleted"]) for row in rows] == [(False, True), (True, False)]
    assert rows[0]["_valid_to"] <= rows[1]["_valid_from"] and rows[1]["_valid_to"] is None


def test_history_can_be_turned_on_later_but_not_silently_off(tmp_path):
    """On: the rows that are there become first versions. Off would drop old versions: it is refused."""
    dest, flags = tmp_path / "lake", ("--tables", "users")
    with Scripted() as server:
        for role, config in (("reader", ""), ("owner", KEEP_VERSIONS), ("member", KEEP_VERSIONS)):
            server.answers["/organization/users"] = [page(user("user-1", role=role), user("user-2"))]
            sync(dest, server, *flags, config=config)
        rows = lake_rows(dest, spec("users"))
        assert {row["id"]: row["role"] for row in rows if row["_current"]} == {"user-1": "member", "user-2": "reader"}
        assert sorted(row["role"] for row in rows if row["id"] == "user-1") == ["member", "owner", "reader"]
        before = contents(dest / "users")
        run = sync(dest, server, *flags, code={1, 3})
        assert "history = true" in run.err and contents(dest / "users") == before


# ---- the run report --------------------------------------------------------------------------------------


def test_the_report_adds_up(simulator, tmp_path):
    dest = tmp_path / "lake"
    simulator.forget()
    run = sync(dest, simulator)
    report = run.report
    assert report["exit_code"] == run.code == 0 and report["version"] and report["run_id"]
    assert datetime.fromisoformat(report["started_at"]) <= datetime.fromisoformat(report["finished_at"])
    assert json.loads((dest / f"_runs/{report['run_id']}.json").read_text()) == report
    assert sum(entry["requests"] for entry in report["tables"].values()) == len(simulator.requests())
    listed = {}
    for name, entry in report["tables"].items():
        assert entry["rows_written"] == sum(written["rows"] for written in entry["objects"]), name
        for written in entry["objects"]:
            listed[written["path"]] = written
        if spec(name).get("slices"):
            assert entry["settled_after"] == state(dest)["tables"][name]["cursor"]
            assert entry["settled_before"] is None
    there = {str(path.relative_to(dest)): path for path in dest.rglob("*.parquet")}
    assert listed.keys() == there.keys(), "every object is in the report, and none that is not there"
    for name, path in there.items():
        assert listed[name]["bytes"] == path.stat().st_size
        assert listed[name]["rows"] == pq.ParquetFile(path).metadata.num_rows
    for table in admin_tables():
        if spec(table)["policy"] == "snapshot":
            assert report["tables"][table]["rows_read"] == len(simulator.truth(table)), table


def test_the_report_counts_tombstones_and_cursors(simulator, tmp_path):
    dest = tmp_path / "lake"
    before = sync(dest, simulator, *ADMIN).report
    simulator.mutate()
    report = sync(dest, simulator, *ADMIN).report
    assert report["run_id"] != before["run_id"]
    for name, entry in report["tables"].items():
        if spec(name)["policy"] == "snapshot" and entry["objects"]:
            dead = sum(row["_deleted"] for row in lake_rows(dest, spec(name)))
            assert entry["tombstones"] == dead, name
        if spec(name).get("slices"):
            assert entry["settled_before"] == before["tables"][name]["settled_after"]
    assert report["tables"]["users"]["tombstones"] > 0


def test_a_failed_run_leaves_a_report_too(simulator, tmp_path):
    dest = tmp_path / "lake"
    simulator.fault("/organization/users", status=404)
    run = sync(dest, simulator, "--tables", "users", code=3)
    assert json.loads((dest / f"_runs/{run.report['run_id']}.json").read_text()) == run.report
    assert run.report["exit_code"] == 3
