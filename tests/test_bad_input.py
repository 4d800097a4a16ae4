"""Bad input: each has its own clear error (what, where, what to do), the right exit code, and loses nothing.

Answers that no healthy API gives come from a scripted server; the rest are settings, destinations and states.
`command` (conftest.py) asserts for every run here that nothing panics and that no key is printed.
"""

import contextlib
import gzip
import json
import os
import signal
import subprocess
import urllib.parse
from datetime import datetime, timezone
from decimal import Decimal

import pytest

import truth
from conftest import (
    BINARY, PATIENCE, clean_environment, command, contents, small_disk, spec, start_sync, state, sync,
)
from reliability import record
from scripted import ADMIN_KEY, Answer, Hold, Scripted, page, user
from truth import bag, lake_rows, true_rows, without

USERS = "/organization/users"


@pytest.fixture
def server():
    with Scripted() as scripted:
        yield scripted


@pytest.fixture
def dest(tmp_path):
    return tmp_path / "lake"


def lake_of(dest, table="users") -> dict[str, dict]:
    return {row["id"]: row for row in lake_rows(dest, spec(table))}


# ---- answers ---------------------------------------------------------------------------------------

TWO = [user("user-1"), user("user-2")]
WHOLE = json.dumps({"object": "list", "data": TWO, "has_more": False}).encode()

BROKEN = {
    "HTML instead of JSON": [Answer("<html><body>Sign in to the proxy</body></html>", headers={"content-type": "text/html"})],
    "HTML that claims to be JSON": [Answer("<html></html>")],
    "nothing at all": [Answer("")],
    "truncated JSON": [Answer(WHOLE[:-20])],
    "a body cut off on the way": [Answer(WHOLE, cut=40)],
    "more than one document": [Answer(WHOLE + WHOLE)],
    "not UTF-8": [Answer(WHOLE.replace(b"user-1@example.com", b"user-1@ex\xffmple.com"))],
    "no list": [Answer({"object": "list", "has_more": False})],
    "a list that is null": [Answer({"object": "list", "data": None, "has_more": False})],
    "a list that is an object": [Answer({"object": "list", "data": {}, "has_more": False})],
    "an answer that is a list": [Answer("[]")],
    "a record that is no object": [Answer({"object": "list", "data": ["user-1"], "has_more": False})],
    "no has_more": [Answer({"object": "list", "data": TWO})],
    "a has_more that is no boolean": [Answer({"object": "list", "data": TWO, "has_more": "yes"})],
    "has_more without a next cursor": [Answer({"object": "list", "data": [], "has_more": True, "last_id": None})],
    "a cursor that repeats": [page(user("user-1"), more=True), page(user("user-2"), more=True, last_id="user-1")],
    "the same page for ever": [page(*TWO, more=True)],
    "a record without its key": [Answer({"object": "list", "data": [{"name": "nobody"}], "has_more": False})],
    "an error in a 200": [Answer({"error": {"message": "The server had an error", "type": "server_error"}})],
    "nested without end": [Answer('{"object":"list","has_more":false,"data":[{"id":"a","x":' + "[" * 100_000 + "]" * 100_000 + "}]}")],
}


@pytest.mark.parametrize("answer", BROKEN)
def test_a_broken_answer_never_empties_a_table(server, dest, answer):
    server.answers[USERS] = [page(*TWO)]
    server.answers["/organization/invites"] = [page()]
    sync(dest, server, "--tables", "users,invites")
    before = contents(dest / "users")
    server.answers[USERS] = list(BROKEN[answer])
    run = sync(dest, server, "--tables", "users,invites", code=2)
    assert contents(dest / "users") == before, "the table's objects are as they were"
    assert run.table("invites")["status"] == "ok", "the other table is not hurt"
    failed = run.table("users")
    assert failed["status"] == "failed" and failed["objects"] == []
    assert_told(run, "users")
    server.answers[USERS] = [page(TWO[0], user("user-3"))]
    sync(dest, server, "--tables", "users,invites")
    assert {name for name, row in lake_of(dest).items() if not row["_deleted"]} == {"user-1", "user-3"}
    record(answer, "every answer of one sync was such", "2 users", "as before; another table was read; exit 2", "a healthy sync gave the truth")


@pytest.mark.parametrize("answer", BROKEN)
def test_a_broken_answer_is_no_first_sync_either(server, dest, answer):
    server.answers[USERS] = list(BROKEN[answer])
    sync(dest, server, "--tables", "users", code=3)
    assert not (dest / "users").exists()
    server.answers[USERS] = [page(*TWO)]
    sync(dest, server, "--tables", "users")
    assert lake_of(dest).keys() == {"user-1", "user-2"}


def assert_told(run, table: str) -> None:
    """What, where and what to do, for people on stderr and for programs in the report."""
    error = run.table(table)["error"]
    assert error["message"], error
    assert error["cure"], f"no word about what to do: {error}"
    assert table in run.err and error["message"].splitlines()[0] in run.err


def test_a_page_that_breaks_late_keeps_the_table(server, dest):
    """The first pages were good: still nothing of them is written, the list was never whole."""
    server.answers[USERS] = [page(*TWO)]
    sync(dest, server, "--tables", "users")
    before = contents(dest / "users")
    server.answers[USERS] = [page(user("user-8"), more=True), page(user("user-9"), more=True), Answer("<html>")]
    sync(dest, server, "--tables", "users", code=3)
    assert contents(dest / "users") == before


def test_a_cut_body_is_asked_for_again(server, dest):
    server.answers[USERS] = [Answer(WHOLE, cut=40), page(*TWO)]
    run = sync(dest, server, "--tables", "users")
    assert lake_of(dest).keys() == {"user-1", "user-2"}
    assert run.table("users")["retries"] >= 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_status_that_may_pass_is_retried(server, dest, status):
    server.answers[USERS] = [Answer({"error": {"message": "later"}}, status=status), page(*TWO)]
    run = sync(dest, server, "--tables", "users")
    assert lake_of(dest).keys() == {"user-1", "user-2"}
    assert (run.table("users")["requests"], run.table("users")["retries"]) == (2, 1)


def test_a_status_that_stays_ends_after_the_configured_attempts(server, dest):
    server.answers[USERS] = [Answer({"error": {"message": "the engine is on fire"}}, status=500)]
    run = sync(dest, server, "--tables", "users", code=3)
    assert len(server.requests(USERS)) == 4, "one attempt and 3 retries, as configured"
    assert "500" in run.table("users")["error"]["message"] and "the engine is on fire" in run.table("users")["error"]["message"]


def test_a_redirect_does_not_carry_the_key_away(server, dest):
    with Scripted() as other:
        target = other.env()["OPENAI_BASE_URL"].replace("127.0.0.1", "localhost")
        server.answers[USERS] = [Answer("", status=302, headers={"location": f"{target}{USERS}"})]
        sync(dest, server, "--tables", "users", code={0, 3})
        assert [asked for asked in other.asked if "authorization" in asked.headers] == []


@pytest.mark.parametrize(("status", "said"), [(401, "OPENAI_ADMIN_KEY"), (403, "permission"), (404, "--exclude")])
def test_each_refusal_has_its_own_cure(server, dest, status, said):
    server.answers[USERS] = [Answer({"error": {"message": f"refused {status}"}}, status=status)]
    run = sync(dest, server, "--tables", "users", code=3)
    error = run.table("users")["error"]
    assert f"refused {status}" in error["message"] and said in error["cure"]
    assert len(server.requests(USERS)) == 1, "asking again would not help"


def test_a_retired_endpoint_is_told_with_its_cure_and_is_no_failure(server, dest):
    server.answers[USERS] = [page(*TWO)]
    sync(dest, server, "--tables", "users")
    before = contents(dest / "users")
    server.answers[USERS] = [Answer({"error": {"message": "refused 410"}}, status=410)]
    run = sync(dest, server, "--tables", "users")
    assert run.table("users")["status"] == "retired upstream"
    assert "refused 410" in run.err and "--exclude" in run.err
    assert contents(dest / "users") == before


def test_the_four_refusals_and_an_empty_list_are_five_outcomes(server, dest):
    outcomes = set()
    for status, code in {401: 3, 403: 3, 404: 3, 410: 0, 200: 0}.items():
        server.answers[USERS] = [page() if status == 200 else Answer({"error": {"message": "no"}}, status=status)]
        entry = sync(dest, server, "--tables", "users", code=code).table("users")
        outcomes.add((entry["status"], (entry["error"] or {}).get("kind")))
    assert len(outcomes) == 5, outcomes


# ---- values that do not fit ----------------------------------------------------------------------


def test_a_value_that_does_not_fit_is_kept_and_counted(server, dest):
    odd = user("user-1", added_at="soon", is_default="perhaps", user={"id": 5, "enabled": 1}, name=["Ada"], new={"a": [1, 2.50]})
    server.answers[USERS] = [page(odd, user("user-2"))]
    run = sync(dest, server, "--tables", "users")
    row = lake_of(dest)["user-1"]
    assert (row["added_at"], row["is_default"], row["user_enabled"], row["name"]) == (None, None, None, None)
    assert row["user_id"] == "5", "a number is a fine string"
    assert row["_extra"] == truth.canonical_json(truth.parse(json.dumps(
        {"added_at": "soon", "is_default": "perhaps", "user": {"enabled": 1}, "name": ["Ada"], "new": {"a": [1, 2.50]}}
    )))
    entry = run.table("users")
    assert entry["misfits"] == 4 and entry["status"] == "ok"
    assert entry["warnings"], "a misfit is a warning"
    warned = json.dumps(entry["warnings"])
    assert "added_at" in warned and "added_at" in run.err
    assert lake_of(dest)["user-2"]["_extra"] is None


def test_strict_makes_a_misfit_an_error_of_the_table(server, dest):
    server.answers[USERS] = [page(*TWO)]
    sync(dest, server, "--tables", "users", "--strict")
    before = contents(dest / "users")
    server.answers[USERS] = [page(user("user-1", added_at="soon"))]
    run = sync(dest, server, "--tables", "users", "--strict", code=3)
    assert contents(dest / "users") == before
    assert "added_at" in run.table("users")["error"]["message"]
    assert_told(run, "users")


def test_strict_does_not_mind_unknown_members(server, dest):
    server.answers[USERS] = [page(user("user-1", shoe_size=44))]
    sync(dest, server, "--tables", "users", "--strict")
    assert lake_of(dest)["user-1"]["_extra"] == truth.canonical_json({"shoe_size": truth.Number("44")})


def test_secrets_inside_data_are_redacted_in_json_and_extra(server, dest):
    tools = [{"type": "mcp", "Authorization": "Bearer sk-live-1", "headers": {"COOKIE": "sk-live-2"}, "env": {"domain_secrets": ["sk-live-3"]}}]
    server.answers[USERS] = [page(user(
        "user-1", tools=tools, password="sk-live-4", session={"my_Client_Secret": "sk-live-5", "plain": "kept"},
        projects={"object": "list", "data": [{"id": "p", "api_key": "sk-live-6"}]},
    ))]
    sync(dest, server, "--tables", "users")
    row = lake_of(dest)["user-1"]
    assert "kept" in row["_extra"] and '"[redacted]"' in row["_extra"] and '"[redacted]"' in row["projects_data"]
    # zstd would hide a value from a search of the bytes: every value of the row is looked at instead.
    assert "sk-live" not in repr(row)


MONEY = {  # as it stands in the answer: (what is in the column, what is kept in `_extra`)
    "12.5": ("12.5", None),
    '"12.50"': ("12.5", None),
    "0E-6176": ("0", None),
    "0.003627500000000000000000000000000000": ("0.0036275", None),
    "-0.06": ("-0.06", None),
    "1e2": ("100", None),
    "0.1234567890123456785": ("0.123456789012345678", "0.1234567890123456785"),
    "0.1234567890123456775": ("0.123456789012345678", "0.1234567890123456775"),
    "99999999999999999999.999999999999999999": ("99999999999999999999.999999999999999999", None),
    "100000000000000000000": (None, "100000000000000000000"),
    "1e400": (None, "1e400"),
    '"twelve"': (None, '"twelve"'),
    "true": (None, "true"),
    "null": (None, None),
}


@pytest.mark.parametrize("text", MONEY)
def test_money_is_exact_or_kept_as_it_came(server, dest, text):
    day = int(datetime.now(timezone.utc).timestamp()) // 86_400 * 86_400
    body = (
        '{"object":"page","has_more":false,"next_page":null,"data":[{"object":"bucket","start_time":%d,"end_time":%d,'
        '"results":[{"object":"organization.costs.result","amount":{"value":%s,"currency":"usd"}}]}]}'
    ) % (day, day + 86_400, text)
    server.answers["/organization/costs"] = [Answer(body)]
    since = datetime.fromtimestamp(day, timezone.utc).strftime("%Y-%m-%d")
    run = sync(dest, server, "--tables", "costs", "--since", since)
    (row,) = lake_rows(dest, spec("costs"))
    amount, kept = MONEY[text]
    assert row["amount"] == (amount and Decimal(amount)) and row["currency"] == "usd"
    extra = '{"amount":{"value":%s}}' % kept
    assert row["_extra"] == (kept and truth.canonical_json(truth.parse(extra)))
    assert run.table("costs")["misfits"] == int(amount is None and text != "null")


def test_a_row_without_its_day_is_not_lost(server, dest):
    event = {"id": "audit_log-1", "type": "logout.succeeded", "effective_at": "some day"}
    server.answers["/organization/audit_logs"] = [page(event)]
    run = sync(dest, server, "--tables", "audit_logs", "--since", "2026-01-01", "--until", "2026-01-02")
    (row,) = lake_rows(dest, spec("audit_logs"))
    assert row["effective_at"] is None and '"some day"' in row["_extra"]
    assert run.table("audit_logs")["misfits"] >= 1


@pytest.mark.parametrize("name", ["a/b", "..", ".", "a b", "a?b=c", "a#b", "a%2Fb", "../../../files", "ü", "a&b"])
def test_an_id_stays_one_segment_of_a_path(server, dest, name):
    """Whatever a parent is called, no other resource is asked for."""
    server.answers[USERS] = [page(user(name))]
    sync(dest, server, "--tables", "user_role_assignments", code={0, 2})
    paths = [asked.path for asked in server.asked if asked.path != USERS]
    for path in paths:
        before, _, after = path.partition("/organization/users/")
        segment = after.removesuffix("/roles")
        assert before == "" and after.endswith("/roles") and "/" not in segment
        assert urllib.parse.unquote(segment) == name
    assert paths or lake_rows(dest, spec("users")), "asked for or not, the parent is there"


def test_a_zipped_answer(server, dest):
    body = gzip.compress(WHOLE)
    server.answers[USERS] = [Answer(body, headers={"content-encoding": "gzip"})]
    sync(dest, server, "--tables", "users")
    assert lake_of(dest).keys() == {"user-1", "user-2"}


def test_an_error_cannot_move_the_cursor_of_a_terminal(server, dest):
    server.answers[USERS] = [Answer({"error": {"message": "\u001b[2J\u001b[1;1Hall is well\r\n"}}, status=404)]
    run = command("sync", "--dest", dest, "--tables", "users", env=server.env(), code=3)
    assert "all is well" in run.err and "\x1b" not in run.err and "\r" not in run.err


@pytest.mark.parametrize("end", ["", "/"])
def test_a_base_url_may_end_in_a_slash(server, dest, end):
    server.answers[USERS] = [page(*TWO)]
    env = {"OPENAI_BASE_URL": server.env()["OPENAI_BASE_URL"] + end}
    sync(dest, server, "--tables", "users", env=env)
    assert lake_of(dest).keys() == {"user-1", "user-2"}


def test_odd_text_survives(server, dest):
    names = ["Zoë 🦀", 'quote " and \\ back', "new\nline\ttab", "\u2028\u0000end", "x" * 100_000, ""]
    server.answers[USERS] = [page(*(user(f"user-{index}", name=name) for index, name in enumerate(names)))]
    sync(dest, server, "--tables", "users")
    assert [lake_of(dest)[f"user-{index}"]["name"] for index in range(len(names))] == names


def test_a_record_that_comes_on_two_pages_is_there_once(server, dest):
    """Lists move under the reader: the same key on two pages is one row."""
    server.answers[USERS] = [page(user("user-1"), user("user-2"), more=True), page(user("user-2"), user("user-3"))]
    run = sync(dest, server, "--tables", "users")
    rows = lake_rows(dest, spec("users"))
    assert sorted(row["id"] for row in rows) == ["user-1", "user-2", "user-3"]
    assert run.table("users")["rows_written"] == 3


def test_a_record_that_changed_between_two_pages_is_there_once(server, dest):
    """One key is one row, also when it came in two versions."""
    server.answers[USERS] = [page(user("user-1", role="reader"), more=True), page(user("user-1", role="owner"))]
    sync(dest, server, "--tables", "users")
    assert [row["id"] for row in lake_rows(dest, spec("users"))] == ["user-1"]


def test_an_empty_list_is_an_answer(server, dest):
    """Unlike a broken one: the rows become tombstones, and an empty table has a file."""
    server.answers[USERS] = [page(*TWO)]
    sync(dest, server, "--tables", "users,invites")
    server.answers[USERS] = [page()]
    run = sync(dest, server, "--tables", "users,invites")
    assert {name: row["_deleted"] for name, row in lake_of(dest).items()} == {"user-1": True, "user-2": True}
    assert run.table("users")["tombstones"] == 2
    assert lake_rows(dest, spec("invites")) == []


# ---- settings --------------------------------------------------------------------------------------


def refused(dest, server, *flags, env=None, config="", said=()):
    """A run that must end with 1 before anything is asked or written, saying these words."""
    run = sync(dest, server, *flags, env=env, config=config, code=1)
    assert server.asked == [] and not dest.exists()
    assert run.out == "" or json.loads(run.out)["exit_code"] == 1
    for word in said:
        assert word in run.err, f"{word!r} is not in:\n{run.err}"
    return run


def test_no_key_at_all(server, dest):
    run = command("sync", "--dest", dest, env={"OPENAI_BASE_URL": server.env()["OPENAI_BASE_URL"]}, code=1)
    assert "OPENAI_ADMIN_KEY" in run.err and not dest.exists()


@pytest.mark.parametrize("value", ["", "  ", "\n"])
def test_an_empty_key(server, dest, value):
    refused(dest, server, env={"OPENAI_ADMIN_KEY": value}, said=["OPENAI_ADMIN_KEY", "empty"])


def test_a_key_that_no_header_can_carry(server, dest):
    refused(dest, server, env={"OPENAI_ADMIN_KEY": "sk-admin-\x07bell"}, said=["OPENAI_ADMIN_KEY"])


def test_a_key_from_a_file(server, dest, tmp_path):
    (tmp_path / "key").write_text(f"{ADMIN_KEY}\n")
    server.answers[USERS] = [page(*TWO)]
    env = server.env()
    del env["OPENAI_ADMIN_KEY"]
    command("sync", "--dest", dest, "--tables", "users", env={**env, "OPENAI_ADMIN_KEY_FILE": str(tmp_path / "key")}, code=0)
    assert {asked.headers["authorization"] for asked in server.asked} == {f"Bearer {ADMIN_KEY}"}


def test_a_key_file_that_is_not_there_or_empty(server, dest, tmp_path):
    env = {name: value for name, value in server.env().items() if name != "OPENAI_ADMIN_KEY"}
    run = command("sync", "--dest", dest, env={**env, "OPENAI_ADMIN_KEY_FILE": "/nonexistent/key"}, code=1)
    assert "OPENAI_ADMIN_KEY_FILE" in run.err and "/nonexistent/key" in run.err
    (tmp_path / "empty").write_text("\n")
    run = command("sync", "--dest", dest, env={**env, "OPENAI_ADMIN_KEY_FILE": str(tmp_path / "empty")}, code=1)
    assert "OPENAI_ADMIN_KEY_FILE" in run.err and not dest.exists()


def test_a_key_given_twice(server, dest, tmp_path):
    (tmp_path / "key").write_text("sk-admin-other-9d2e")
    refused(dest, server, env={"OPENAI_ADMIN_KEY_FILE": str(tmp_path / "key")}, said=["OPENAI_ADMIN_KEY_FILE", "OPENAI_ADMIN_KEY"])


@pytest.mark.parametrize(("flag", "meant"), [("--detination", "--dest"), ("--table", "--tables"), ("--full-refesh", "--full-refresh")])
def test_an_unknown_flag(server, dest, flag, meant):
    refused(dest, server, flag, "x", said=[flag, meant])


def test_an_unknown_command():
    run = command("snyc", code=1)
    assert "snyc" in run.err and "sync" in run.err


def test_no_destination(server):
    run = command("sync", env=server.env(), code=1)
    assert "--dest" in run.err


@pytest.mark.parametrize(("tables", "meant"), [("user", "users"), ("project_apikeys", "project_api_keys"), ("cost", "costs")])
def test_an_unknown_table(server, dest, tables, meant):
    refused(dest, server, "--tables", tables, said=[f"{tables}", f"{meant}"])
    refused(dest, server, "--exclude", tables, said=[f"{tables}", f"{meant}"])


def test_a_glob_that_matches_no_table(server, dest):
    refused(dest, server, "--tables", "zebra*", said=["zebra*"])


@pytest.mark.parametrize(("config", "typed", "meant"), [
    ("[htpp]\nretries = 1\n", "htpp", "http"),
    ("[tables.users]\nhistroy = true\n", "histroy", "history"),
])
def test_an_unknown_configuration_key(server, dest, config, typed, meant):
    run = refused(dest, server, config=config, said=[typed, f"`{meant}`", "lake.toml"])
    assert "^" in run.err, "the place is shown"


def test_an_unknown_table_in_the_configuration(server, dest):
    refused(dest, server, config="[tables.user]\nhistory = true\n", said=["tables.user", "users"])


@pytest.mark.parametrize("config", ["[tables.users]\nhistory = \"yes\"\n", "[tables.users\n", "[tables.costs]\nhistory = true\n"])
def test_a_wrong_configuration_value(server, dest, config):
    refused(dest, server, config=config, said=["lake.toml"] if "costs" not in config else ["costs"])


def test_a_configuration_file_that_is_not_there(server, dest):
    run = command("sync", "--dest", dest, "--config", "/nonexistent/x.toml", env=server.env(), code=1)
    assert "/nonexistent/x.toml" in run.err


@pytest.mark.parametrize("flags", [
    ("--since", "yesterday"), ("--since", "2026-13-01"), ("--until", "2026-02-30"), ("--since", "2026-02-02", "--until", "2026-02-01"),
    ("--concurrency", "0"), ("--concurrency", "many"), ("--format", "yaml"),
])
def test_a_wrong_value_of_a_flag(server, dest, flags):
    refused(dest, server, *flags, said=[flags[0].removeprefix("--")])


@pytest.mark.parametrize("url", ["http://api.example.com/v1", "ftp://127.0.0.1/v1", "not a url", "", "http://127.0.0.1.example.com/v1"])
def test_a_base_url_that_would_carry_the_key_in_the_clear(server, dest, url):
    refused(dest, server, env={"OPENAI_BASE_URL": url}, said=["OPENAI_BASE_URL"])


@pytest.mark.parametrize("keys", ["proj_a=", "=sk-proj-x", "sk-proj-one,sk-proj-two", "proj_a=sk-proj-1,proj_a=sk-proj-2"])
def test_wrong_project_keys(server, dest, keys):
    refused(dest, server, env={"OPENAI_PROJECT_KEYS": keys}, said=["OPENAI_PROJECT_KEYS"])


def test_an_api_that_is_not_there(dest):
    """Nothing listens on port 1 of the loopback."""

    class Nowhere:
        def env(self):
            return {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1", "OPENAI_ADMIN_KEY": ADMIN_KEY}

    run = sync(dest, Nowhere(), "--tables", "users", code=3)
    assert_told(run, "users")
    assert "127.0.0.1:1" in run.table("users")["error"]["message"]


# ---- destinations ----------------------------------------------------------------------------------


def test_a_destination_that_is_a_file(server, dest):
    dest.write_text("my thesis")
    run = sync(dest, server, "--tables", "users", code=1)
    assert str(dest) in run.err and "file" in run.err
    assert dest.read_text() == "my thesis" and server.asked == []


def test_a_destination_below_a_file(server, tmp_path):
    (tmp_path / "thesis").write_text("my thesis")
    dest = tmp_path / "thesis" / "lake"
    run = command("sync", "--dest", dest, "--tables", "users", env=server.env(), code=1)
    assert str(dest) in run.err
    assert (tmp_path / "thesis").read_text() == "my thesis" and server.asked == []


def test_a_destination_that_is_not_writable(server):
    """/proc refuses new folders even to root."""
    run = command("sync", "--dest", "/proc/lake", "--tables", "users", env=server.env(), code=1)
    assert "/proc/lake" in run.err and server.asked == []


@pytest.mark.parametrize("dest", ["", "s3:/bucket", "sftp://host/path", "s3://"])
def test_a_destination_that_is_no_place(server, tmp_path, dest):
    run = command("sync", "--dest", dest, "--tables", "users", env=server.env(), code=1, cwd=tmp_path)
    assert "--dest" in run.err or "destination" in run.err
    assert server.asked == [] and list(tmp_path.iterdir()) == []


def test_a_destination_that_is_full(server, dest):
    """On a disk without room the old object stays whole, and the next run with room is right."""
    server.answers[USERS] = [page(*TWO)]
    sync(dest, server, "--tables", "users,invites")
    before = contents(dest / "users")
    many = [user(f"user-{index}", name=os.urandom(64).hex()) for index in range(2000)]
    server.answers[USERS] = [page(*many)]
    run = sync(dest, server, "--tables", "users,invites", code=2, **small_disk(64 * 1024))
    assert contents(dest / "users") == before, "the old object is whole, and nothing else is beside it"
    error = run.table("users")["error"]
    assert "data.parquet" in error["message"] and error["cure"]
    sync(dest, server, "--tables", "users,invites")
    assert len(lake_of(dest)) == 2000


def test_a_folder_in_the_place_of_an_object(server, dest):
    server.answers[USERS] = [page(*TWO)]
    (dest / "users/data.parquet").mkdir(parents=True)
    run = sync(dest, server, "--tables", "users,invites", code=2)
    assert "users" in run.table("users")["error"]["message"]


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: b"", lambda data: b"PAR1" + os.urandom(300) + b"PAR1", lambda data: data[:40] + b"\0" * 40 + data[80:]],
                         ids=["truncated", "emptied", "noise", "overwritten"])
def test_an_old_object_that_cannot_be_read_is_not_replaced(server, dest, damage):
    """Its rows may be the only copy of what the source has forgotten."""
    server.answers[USERS] = [page(*TWO)]
    sync(dest, server, "--tables", "users,invites")
    path = dest / "users/data.parquet"
    path.write_bytes(damage(path.read_bytes()))
    before = contents(dest / "users")
    run = sync(dest, server, "--tables", "users,invites", code={2, 4})
    assert contents(dest / "users") == before
    assert "users/data.parquet" in run.table("users")["error"]["message"] and run.table("users")["error"]["cure"]


def test_foreign_files_in_the_destination_are_left_alone(server, dest):
    server.answers[USERS] = [page(*TWO)]
    (dest / "users").mkdir(parents=True)
    (dest / "users/README.txt").write_text("mine")
    (dest / "notes").write_text("mine")
    sync(dest, server, "--tables", "users")
    assert (dest / "users/README.txt").read_text() == "mine" and (dest / "notes").read_text() == "mine"


# ---- state and lease ---------------------------------------------------------------------------------

STATES = {
    "empty": "",
    "truncated": '{"version":1,"tables":{"costs":{"settled":"2026-1',
    "not UTF-8": b"\xff\xfe\x00",
    "newer": '{"version":3,"tables":{}}',
    "of two versions": '{"version":2,"tables":{"costs":{"settled":"2026-11-20T00:00:00Z"}}}',
    "a scope that is no scope": '{"version":2,"tables":{"codex_usage":{"scopes":{"workspace_id=ws_1":"2026-11-20T00:00:00Z"}}}}',
    "a scope at an impossible time": '{"version":2,"tables":{"codex_usage":{"scopes":{"workspace_id=a":{"cursor":"+9999-12-31T00:00:00Z"}}}}}',
    "far newer": '{"version":999,"shards":[1,2,3]}',
    "foreign": '{"type":"GLOBAL","global":{"stream_states":[]}}',
    "a list": "[]",
    "null": "null",
    "version as text": '{"version":"1","tables":{}}',
    "a cursor that is no time": '{"version":1,"tables":{"costs":{"settled":"yesterday"}}}',
    "tables as a list": '{"version":1,"tables":[]}',
}


@pytest.mark.parametrize("kind", STATES)
def test_a_state_that_cannot_be_trusted_touches_nothing(server, dest, kind):
    server.answers[USERS] = [page(*TWO)]
    sync(dest, server, "--tables", "users")
    text = STATES[kind]
    (dest / "_state/state.json").write_bytes(text.encode() if isinstance(text, str) else text)
    before = contents(dest)
    server.asked.clear()
    run = sync(dest, server, "--tables", "users", code=4)
    assert server.asked == [], "nothing was asked"
    assert without(contents(dest), "_state/lease") == without(before, "_state/lease"), "nothing was touched"
    assert "state.json" in run.err, "where"
    assert "newer" in run.err if "newer" in kind else True
    for verb in ("show", "export"):
        run = command("state", verb, "--dest", dest, env=server.env(), code=4)
        assert "state.json" in run.err and run.out == ""


def test_a_state_of_a_table_that_is_gone_is_kept(server, dest):
    """A table that was added by --schemas yesterday may come back tomorrow."""
    server.answers[USERS] = [page(*TWO)]
    sync(dest, server, "--tables", "users")
    path = dest / "_state/state.json"
    old = state(dest)
    old["tables"]["my_costs"] = {"cursor": "2026-01-01T00:00:00Z"}
    path.write_text(json.dumps(old))
    sync(dest, server, "--tables", "users")
    assert state(dest)["tables"]["my_costs"]["cursor"] == "2026-01-01T00:00:00Z"


def test_state_at_another_path(server, dest, tmp_path):
    """--state puts the state elsewhere, and there it is found again."""
    server.answers[USERS] = [page(*TWO)]
    elsewhere = tmp_path / "elsewhere/my-state.json"
    sync(dest, server, "--tables", "users,costs", "--state", elsewhere)
    assert not (dest / "_state/state.json").exists()
    cursor = json.loads(elsewhere.read_text())["tables"]["costs"]["cursor"]
    run = sync(dest, server, "--tables", "costs", "--state", elsewhere)
    assert run.table("costs")["settled_before"] == cursor
    elsewhere.write_text("{}")
    run = sync(dest, server, "--tables", "costs", "--state", elsewhere, code=4)
    assert "my-state.json" in run.err


@contextlib.contextmanager
def running(simulator, dest):
    """A run that is in the middle of its work: it waits for the users."""
    hold = Hold()
    with Scripted(simulator) as between:
        between.answers[USERS] = [hold]
        process = start_sync(dest, between, "--tables", "users")
        assert hold.arrived.wait(PATIENCE)
        yield process
        process.kill()
        process.wait()
        hold.released.set()


def test_two_runs_at_once(simulator, dest):
    with running(simulator, dest) as first:
        before = contents(dest)
        run = sync(dest, simulator, "--tables", "invites", code=4)
        assert "lease" in run.err, "what is in the way is named"
        assert contents(dest) == before, "nothing was touched"
        assert simulator.requests("/organization/invites") == []
        assert first.poll() is None, "the first run is not disturbed"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_that_was_ended_leaves_the_lease_free(simulator, dest, how):
    with running(simulator, dest) as process:
        process.send_signal(how)
        _, err = process.communicate(timeout=60)
        assert process.returncode != 0 and b"panicked" not in err
    if how != signal.SIGKILL:
        (path,) = (dest / "_runs").glob("*.json")
        report = json.loads(path.read_text())
        assert report["interrupted"] and report["exit_code"] == process.returncode
        assert b"interrupted" in err
    sync(dest, simulator, "--tables", "users")
    assert bag([without(row, "_synced_at", "_deleted") for row in lake_rows(dest, spec("users"))]) == bag(
        true_rows(spec("users"), simulator.truth("users"))
    )


def test_a_folder_that_is_a_lease_of_someone_else(server, dest):
    """The lease is one of ours or the run stops: a strange one is not stolen."""
    (dest / "_state/lease").mkdir(parents=True)
    run = sync(dest, server, "--tables", "users", code={1, 4})
    assert "lease" in run.err and server.asked == []


def test_no_secret_is_in_any_file_of_a_run(simulator, dest):
    """Keys are looked for in state, lease, reports and, value by value, in the rows."""
    run = sync(dest, simulator, "--log", "trace")
    secrets = [simulator.admin_key, *simulator.project_keys.values()]
    for name, data in contents(dest).items():
        for secret in secrets:
            assert secret.encode() not in data, name
    assert "Bearer" not in run.err


def test_secrets_do_not_come_out_of_an_error(server, dest):
    """An API that echoes the key in its message (as OpenAI's 401 does, in part)."""
    server.answers[USERS] = [Answer({"error": {"message": f"Incorrect API key provided: {ADMIN_KEY}."}}, status=401)]
    sync(dest, server, "--tables", "users", code=3)
    for name, data in contents(dest).items():
        assert ADMIN_KEY.encode() not in data, name


def test_stdout_that_is_closed_is_no_panic(server, dest):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([str(BINARY), "tables", "--format", "json"], env=clean_environment(), stdout=write,
                          stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    os.close(write)
    assert b"panicked" not in done.stderr
