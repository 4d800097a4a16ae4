"""Every hint is tried, part two: what the API, the lake and its state make of a run. See test_hints.py."""

from __future__ import annotations

import html
import json
import pathlib
import re
import shutil
import sys
from datetime import datetime, timedelta, timezone

import pyarrow.parquet as pq
import pytest

from clockwork import AUDIT, World, at
from conftest import ROOT, contents, objects, start_sync, state
from desk import CHOSEN, Desk, desk, healthy, hinted, lake, made, org, rows, scripted  # noqa: F401, fixtures
from fixtures.sources import Logs, event
from scripted import Answer, Hold, Scripted, page, user


# ---- what the API answers ----------------------------------------------------------------------------------

HELD_BY = {"admin": "/organization/users", "project": "/files", "codex": "/chatgpt/v1/analytics/codex", "compliance": "/chatgpt/v1/compliance"}


def test_strict_is_switched_off_where_it_was_switched_on(scripted):
    """The hint names the flag and the key of the configuration; without them the value is kept."""
    scripted.server.answers["/organization/users"] = [page(user("user-1", added_at="long ago"))]
    hint = "--strict, or `strict = true` in the configuration, makes a value that does not fit its column an error; without it the value is kept in _extra"
    hinted(scripted.sync("--tables", "users", "--strict", code=3), hint)
    scripted.write("strict.toml", "strict = true\n")
    hinted(scripted.sync("--tables", "users", "--config", "strict.toml", code=3), hint)
    scripted.write("strict.toml", "strict = false\n")
    scripted.sync("--tables", "users", "--config", "strict.toml")
    kept = pq.ParquetFile(scripted.folder / "lake/users/data.parquet").read()["_extra"].to_pylist()
    assert "long ago" in kept[0]


REFUSED = "the API's answer is not the documented one; if it stays, report it with this message"


@pytest.mark.parametrize("answer", [Answer({"object": "page", "data": 3, "has_more": False}), Answer({"object": "page", "data": []})],
                         ids=["no list", "no end"])
def test_what_was_committed_before_a_bad_answer_is_not_denied(scripted, answer):
    """Two windows: the first is committed, the second is nonsense. No hint says that nothing was changed."""
    path = "/organization/costs"

    def costs(asked):
        start = int(asked.one("start_time"))
        if len(scripted.server.requests(path)) > 1:
            return answer
        bucket = {"object": "bucket", "start_time": start, "end_time": start + 86400, "results": [
            {"object": "organization.costs.result", "amount": {"value": 1.5, "currency": "usd"}, "line_item": "a", "project_id": "p"}]}
        return Answer({"object": "page", "data": [bucket], "has_more": False, "next_page": None})

    scripted.server.answers[path] = [costs]
    run = scripted.sync("--tables", "costs_totals", code={2, 3})
    table = run.table("costs_totals")
    assert table["objects"], "something was committed"
    assert "was changed" not in hinted(run, REFUSED)


def test_a_parent_that_failed_tells_why(org, desk):
    org.fault("/organization/projects", status=500)
    run = desk.sync("--tables", "project_users", code=3)
    name = re.fullmatch("see what is said of (.+)", hinted(run, "see what is said of {parent}"))[1]
    assert run.table(name)["error"]["message"] and run.table(name)["error"]["cure"]


# (surface, table, the path of its list, status, the hint)
REFUSALS = [
    ("users", "/organization/users", 403, "give the Admin key the permission that the message names (read is enough), or check the organization's IP allow-list; --exclude leaves the table out"),
    ("users", "/organization/users", 404, "the organization does not have this feature, or the base URL is wrong; --exclude leaves the table out"),
    ("files", "/files", 403, "give the project key read permission for this resource; --exclude leaves the table out"),
    ("chatgpt_users", "/chatgpt/v1/compliance/workspaces/*", 404, "check CHATGPT_WORKSPACE_IDS, and that the workspace has this product; --exclude leaves the table out"),
    ("users", "/organization/users", 410, "OpenAI has retired this endpoint; --exclude leaves the table out"),
    ("users", "/organization/users", 500, "run again later: what was committed stays, and the next run goes on from there"),
    ("users", "/organization/users", 400, "the API refused the request; if it stays, report it with this message"),
]


@pytest.mark.parametrize("table, path, status, hint", REFUSALS, ids=[f"{table} {status}" for table, _, status, _ in REFUSALS])
def test_a_refusal(org, desk, table, path, status, hint):
    """`--exclude` leaves the table out, and the run is good; when the API is well again, so is the next run."""
    org.fault(path, status=status)
    expected = 0 if status == 410 else {2, 3}
    run = desk.sync("--tables", f"{table},costs_totals", code=expected)
    if status == 410:
        assert any(hint in warning for warning in run.table(table)["warnings"]), run.table(table)
    else:
        hinted(run, hint)
    if "--exclude" in hint:
        run = desk.sync("--tables", f"{table},costs_totals", *re.findall("--exclude", hint), table)
        assert table not in run.report["tables"] and run.table("costs_totals")["status"] == "ok"
    if "run again later" in hint:
        org.heal()
        assert desk.sync("--tables", table).table(table)["status"] == "ok"


def test_a_wrong_key(org, tmp_path):
    """With the right key in the variable that the hint names, the error is gone."""
    cases = [
        ("OPENAI_ADMIN_KEY", "users", "OPENAI_ADMIN_KEY must be an Admin key of this organization (platform.openai.com, Settings, Admin keys), not a project key"),
        ("OPENAI_PROJECT_KEYS", "files", "check the keys of OPENAI_PROJECT_KEYS: one may be revoked, or belong to another project"),
        ("CODEX_ANALYTICS_KEY", "codex_usage", "CODEX_ANALYTICS_KEY must be a workspace Admin key with the scope codex.enterprise.analytics.read"),
        ("CHATGPT_COMPLIANCE_KEY", "chatgpt_users", "CHATGPT_COMPLIANCE_KEY must be a key with compliance scopes of this workspace (admin.openai.com, Credentials)"),
    ]
    for variable, table, hint in cases:
        right = org.env()[variable]
        wrong = ",".join(f"{entry.partition('=')[0]}=sk-proj-wrong" for entry in right.split(",")) if "PROJECT" in variable else "sk-wrong-key"
        desk = Desk(tmp_path / variable, {**org.env(), variable: wrong})
        desk.folder.mkdir()
        hinted(desk.sync("--tables", table, code={2, 3}), hint)
        desk.sync("--tables", table, env={variable: right})


# ---- the lake ------------------------------------------------------------------------------------------------


CUT = "something else changed or cut the file: restore it, or move it away and run `openai-elt state reset {table} --dest {}`, so that the next sync reads its table again; what the source no longer has of it is lost then"


@pytest.mark.parametrize("where", ["lake", "my lake"])
@pytest.mark.parametrize("table", ["users", "audit_logs", "project_users"])
def test_an_object_that_was_cut(desk, lake, table, where):
    """Restored, or moved away and read again by the command as it is printed: both times the lake is as before."""
    lake = lake.rename(desk.folder / where)
    flags = ("--dest", where, "--tables", table)
    before, whole = rows(lake, table), contents(lake)
    file = objects(lake, table)[-1]
    file.write_bytes(file.read_bytes()[:-9])
    hint = hinted(desk.sync(*flags, code={2, 3}), CUT)
    file.write_bytes(whole[str(file.relative_to(lake))])
    desk.sync(*flags)
    file.write_bytes(b"PAR1")
    assert hinted(desk.sync(*flags, code={2, 3}), CUT) == hint
    file.rename(desk.folder / "moved")
    desk.as_printed(hint)
    desk.sync(*flags)
    assert rows(lake, table) == before


def test_a_file_of_the_api_that_is_no_json(scripted):
    """Cut short at one run and whole at the next."""
    scripted.server.answers["/organization/users"] = [Answer('{"object": "list", "data": [{"id": "us')]
    hinted(scripted.sync("--tables", "users", code=3), "the answer was cut short or is not JSON; if it stays, report it with this message")
    scripted.server.answers["/organization/users"] = [page(user("user-1"))]
    scripted.sync("--tables", "users")


def test_an_object_that_was_cut_stops_a_report_no_longer(desk, lake):
    file = objects(lake, "costs")[0]
    file.write_bytes(b"PAR1")
    hint = hinted(desk("report", "--dest", "lake", code=4), CUT)
    file.unlink()
    desk.as_printed(hint)
    desk.sync("--tables", "costs")
    desk("report", "--dest", "lake")
    assert file.exists()


def test_a_column_that_the_table_does_not_know(desk, lake):
    hint = "it was written by a newer version, with --schemas or with history = true: use the same again"
    text = (ROOT / "schemas/admin/users.toml").read_text()
    desk.write("my/admin/users.toml", text.rstrip() + '\nlater = { type = "string", from = "/id", doc = "Came later.", since = 9 }\n')
    desk.write("history.toml", "[tables.project_users]\nhistory = true\n")
    for table, flags in [("users", ("--schemas", "my")), ("project_users", ("--config", "history.toml"))]:
        desk.sync("--tables", table, *flags)
        hinted(desk.sync("--tables", table, code={2, 3}), hint)
        desk.sync("--tables", table, *flags)


def test_totals_want_both_tables(desk, lake):
    shutil.rmtree(lake / "costs_totals")
    shutil.rmtree(lake / "costs")
    desk("state", "reset", "costs*", "--dest", "lake")
    hint = hinted(desk("verify", "--dest", "lake", "--totals", code=1), "costs and costs_totals are read with OPENAI_ADMIN_KEY: sync both, with the same history")
    both = ",".join(re.findall(r"costs\w*", hint)[:2])
    desk.sync("--tables", both)
    desk("verify", "--dest", "lake", "--totals")


def test_a_lake_without_reports(desk, lake):
    shutil.rmtree(lake / "_runs")
    hinted(desk("schema", "--dialect", "duckdb", "--dest", "lake", "--changed-by", "last", code=1), "sync first: each run leaves its report in _runs/")
    desk.sync("--tables", "users")
    desk("schema", "--dialect", "duckdb", "--dest", "lake", "--changed-by", "last")


def test_a_table_of_which_only_its_file_knows(desk, lake):
    """`verify` and `load` say which flag they lack; with it they are content."""
    text = (ROOT / "schemas/admin/invites.toml").read_text()
    desk.write("my/admin/badges.toml", text)
    desk.sync("--tables", "badges", "--schemas", "my")
    said = desk("verify", "--dest", "lake", code=4)
    assert "give the --schemas it was written with" in said.out
    desk("verify", "--dest", "lake", "--schemas", "my")
    to = ("load", "--dest", "lake", "--to", "duckdb:x.duckdb", "--duckdb", pathlib.Path(sys.executable).parent / "duckdb", "--exclude", CHOSEN)
    assert "badges: not loaded" in (said := desk(*to)).err and "give the --schemas it was written with" in said.err
    with_it = desk(*to, "--schemas", "my")
    assert "not loaded" not in with_it.err and re.search(r"^badges +1 +[1-9]", with_it.out, re.MULTILINE), with_it.out


@pytest.mark.parametrize("where", ["lake", "my lake"])
def test_a_page_without_a_table_says_how_to_get_it(desk, lake, where):
    """The variables and the command that the page prints: afterwards it does not ask for them."""
    lake = lake.rename(desk.folder / where)
    shutil.rmtree(lake / "audit_logs")
    desk("state", "reset", "audit_logs", "--dest", where)
    desk("report", "--dest", where, "--out", "one.html")
    asked = re.findall(r"This lake does not have .*?</p>", (desk.folder / "one.html").read_text())
    assert len(asked) > 1 and any("codex" in text for text in asked) and any("audit_logs" in text for text in asked)
    keys = desk.env
    for text in asked:
        named = {name: keys[name] for name in re.findall(r"<code>([A-Z_]+)</code>", text)}
        urls = {name: value for name, value in keys.items() if name.endswith("_URL")}
        desk.env = {**urls, **named}
        desk.as_printed("`" + html.unescape(re.search(r"<code>(openai-elt .*?)</code>", text)[1]) + "`")
    desk("report", "--dest", where, "--out", "two.html")
    assert "This lake does not have" not in (desk.folder / "two.html").read_text()


def test_an_amount_that_no_sum_can_hold(scripted):
    """Read again as the hint says, the day is right and the page is made."""
    amount = ["99999999999999999999", "99999999999999999998"]
    today = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)

    def costs(asked):
        start = int(asked.one("start_time"))
        day = int((today - timedelta(days=2)).timestamp())
        results = ",".join('{"object":"organization.costs.result","amount":{"value":%s,"currency":"usd"},"line_item":"%d","project_id":"p"}' % (a, i)
                           for i, a in enumerate(amount))
        bucket = '{"object":"bucket","start_time":%d,"end_time":%d,"results":[%s]}' % (day, day + 86400, results if start <= day else "")
        return Answer('{"object":"page","data":[%s],"has_more":false,"next_page":null}' % (bucket if start <= day < int(asked.one("end_time") or day + 1) else ""))

    scripted.server.answers["/organization/costs"] = [costs]
    scripted.sync("--tables", "costs")
    hint = hinted(scripted("report", "--dest", "lake", code=4), "an amount in the lake is wrong: look for the largest one, and read its day again (`sync --tables TABLE --since DAY`)")
    amount[:] = ["1", "2"]
    words = re.search(r"`(sync [^`]*)`", hint)[1].replace("TABLE", "costs").replace("DAY", str((today - timedelta(days=2)).date())).split()
    scripted.sync(*words[1:])
    scripted("report", "--dest", "lake")


# ---- the state -------------------------------------------------------------------------------------------------


def test_a_state_that_is_broken(desk, lake):
    """Restored, or moved away: both times the next sync is good and the rows are the same."""
    hint = "restore it from a copy, or move it away: without it the next sync reads the whole history again and writes the same rows"
    file = lake / "_state/state.json"
    good, before = file.read_text(), {table: rows(lake, table) for table in CHOSEN.split(",")}
    for broken in (good[:-9], "{}", "[]", re.sub(r'"version": ?\d+', '"version": 0', good)):
        file.write_text(broken)
        hinted(desk("sync", "--dest", "lake", "--tables", CHOSEN, code=4), hint)
    file.write_text(good)
    desk.sync("--tables", CHOSEN)
    file.write_text("{}")
    file.rename(desk.folder / "moved.json")
    desk.sync("--tables", CHOSEN)
    assert {table: rows(lake, table) for table in CHOSEN.split(",")} == before


def test_a_state_of_a_clock_that_was_wrong(tmp_path):
    """The source tells no time, and the state is ahead: the printed command lets the next sync read the table."""
    with World() as world:
        world.dated = False
        desk = Desk(tmp_path, {**world.env(), **at(world)})
        desk.sync("--tables", AUDIT, "--dest", "my lake")
        ahead = (world.now + timedelta(days=9)).strftime("%Y-%m-%dT%H:%M:%SZ")
        (tmp_path / "my lake/_state/state.json").write_text(json.dumps({"version": 2, "tables": {AUDIT: {"cursor": ahead}}}))
        hint = "set this machine's clock right; if a wrong clock wrote the state, `openai-elt state reset {name} --dest {dest}` lets the next sync read the table again"
        desk.as_printed(hinted(desk.sync("--tables", AUDIT, "--dest", "my lake", code={3, 4}), hint))
        desk.sync("--tables", AUDIT, "--dest", "my lake")


@pytest.mark.parametrize("table, code", [("cstos_of_nothing_near", 1)])
@pytest.mark.parametrize("where", ["lake", "it's a lake"])
def test_a_table_that_the_state_does_not_know(desk, lake, table, code, where):
    lake.rename(desk.folder / where)
    for flags in (("--dest", where), ("--dest", where, "--state", "else where.json"), ("--config", "the lake.toml")):
        desk.write("the lake.toml", f'dest = "{where}"\n')
        shutil.copy(desk.folder / where / "_state/state.json", desk.folder / "else where.json")
        hint = hinted(desk("state", "reset", table, *flags, code=code), "`openai-elt state show{}` lists them")
        (listed,) = desk.as_printed(hint)
        assert "costs" in listed.out
    near = re.search(r"`(.+)`", hinted(desk("state", "reset", "cots", "--dest", where, code=1), "did you mean `{near}`?"))[1]
    desk("state", "reset", near, "--dest", where)


def test_a_state_that_was_rebuilt_without_reports(desk, lake):
    """The printed command reads the whole history again: what was missing in the middle is there afterwards."""
    before = rows(lake, "audit_logs")
    shutil.rmtree(lake / "_runs")
    day = objects(lake, "audit_logs")[0]
    day.unlink()
    desk.write("some.toml", 'dest = "lake"\nselect = ["audit_logs"]\n')
    run = desk("state", "rebuild", "--config", "some.toml")
    assert re.search("warning: no run report tells of .*: a gap in what was read could not be seen", run.err)
    hint = hinted(run, "`openai-elt sync --full-refresh{}` reads the whole history again")
    desk.as_printed(hint, code={0, 2})
    assert day.exists() and rows(lake, "audit_logs") == before


def test_a_run_that_goes_on(scripted):
    """When it has ended, the other one works; `--lock-wait` waits for it."""
    held = Hold()
    scripted.server.answers["/organization/users"] = [held, page(user("user-1"))]
    first = start_sync(scripted.folder / "lake", scripted.server, "--tables", "users")
    assert held.arrived.wait(60)
    hinted(scripted("sync", "--dest", "lake", "--tables", "users", code=4), "wait until it has ended; a sync does so with --lock-wait")
    held.released.set()
    scripted("sync", "--dest", "lake", "--tables", "users", "--lock-wait", "5m")
    first.communicate()


def test_a_day_that_was_not_answered(scripted):
    """Without `--strict` the day keeps its rows, and a warning names it."""
    today = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    left_out = []

    def costs(asked):
        start, end = int(asked.one("start_time")), int(asked.one("end_time") or today.timestamp() + 86400)
        result = {"object": "organization.costs.result", "amount": {"value": 1.5, "currency": "usd"}, "line_item": "a", "project_id": "p"}
        days = [day for day in range(start, end, 86400) if day not in left_out]
        buckets = [{"object": "bucket", "start_time": day, "end_time": day + 86400, "results": [result]} for day in days]
        return Answer({"object": "page", "data": buckets, "has_more": False, "next_page": None})

    scripted.server.answers["/organization/costs"] = [costs]
    flags = ("--tables", "costs_totals", "--since", str((today - timedelta(days=6)).date()))
    scripted.sync(*flags)
    left_out.append(int((today - timedelta(days=2)).timestamp()))
    hint = "--strict makes a day that was not answered an error; without it the day keeps its rows, and a warning names it"
    before = rows(scripted.folder / "lake", "costs_totals")
    hinted(scripted.sync(*flags, "--strict", code={2, 3}), hint)
    run = scripted.sync(*flags)
    day = str((today - timedelta(days=2)).date())
    assert any(day in warning for warning in run.table("costs_totals")["warnings"])
    assert rows(scripted.folder / "lake", "costs_totals") == before


# ---- warnings -----------------------------------------------------------------------------------------------------


def warned(run, text: str) -> str:
    import hints
    found = [w for table in run.report["tables"].values() for w in table["warnings"] if hints.pattern(text).fullmatch(w)]
    assert found, (text, run.err)
    return found[0]


def test_what_was_not_asked_for_is_read_by_the_flag_that_the_warning_names(desk, org):
    since = (datetime.now(timezone.utc) - timedelta(days=1)).date()
    run = desk.sync("--tables", "audit_logs", "--since", str(since))
    warning = warned(run, "what lies before {day} was not asked for; --full-refresh reads it")
    assert str(since) in warning
    some = rows(desk.folder / "lake", "audit_logs")
    desk.sync("--tables", "audit_logs", *re.findall(r"--[a-z-]+", warning))
    assert some < rows(desk.folder / "lake", "audit_logs") == len(org.truth("audit_logs"))


def test_a_dimension_that_is_not_offered_is_null(desk, org):
    org.behave(legacy_group_by=True)
    try:
        run = desk.sync("--tables", "costs")
        warning = warned(run, "`{value}` is null: the API does not group by it here ({error})")
        column = re.match(r"`(\w+)`", warning)[1]
        values = [v for file in objects(desk.folder / "lake", "costs") for v in pq.ParquetFile(file).read()[column].to_pylist()]
        assert values and set(values) == {None}
    finally:
        org.behave(legacy_group_by=False)


def test_a_dimension_that_is_null_before_a_day(desk):
    run = desk.sync("--tables", "costs")
    warning = warned(run, "`{value}` is null before {}: the API groups by it only from then on")
    column, day = re.match(r"`(\w+)` is null before (\S+):", warning).groups()
    for file in objects(desk.folder / "lake", "costs"):
        if file.parent.name < f"date={day}":
            assert set(pq.ParquetFile(file).read()[column].to_pylist()) <= {None}
