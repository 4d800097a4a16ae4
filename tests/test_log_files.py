"""Log files: every event is in the lake once, whatever happens to lists, files and addresses on the way.

Most of it runs against a scripted Logs Platform of two ports (fixtures/sources.py). `log_auth` stands for all
tables of events; the last part reads the samples of every type and finds each of their values again.
"""

import json
import re
import shutil
from datetime import datetime, timedelta, timezone

import pytest

import truth
from conftest import catalog, contents, objects, settled, spec, state, sync
from fixtures.sources import (
    COMPLIANCE_KEY, ORGANIZATION, OTHER_WORKSPACE, WORKSPACE, Logs, event, iso, kinds, lines, now, organization, samples,
)
from scripted import Answer
from truth import lake_rows

AUTH = ("--tables", "log_auth")


@pytest.fixture
def logs():
    with Logs() as scripted:
        yield scripted


@pytest.fixture
def dest(tmp_path):
    return tmp_path / "lake"


def ids(dest, table: str = "log_auth") -> list[str]:
    """The event ids in the lake, as often as they are there."""
    return sorted(row["event_id"] for row in lake_rows(dest, spec(table)))


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def waiting(dest, table: str = "log_auth") -> list[str]:
    """The ids of the files that the state keeps for later syncs."""
    return [file["id"] for file in state(dest)["tables"][table].get("pending_files", [])]


def told_ids(run, table: str = "log_auth") -> set[str]:
    return {entry["parent"] for entry in run.table(table)["skipped"]}


def told(run, table: str = "log_auth") -> str:
    """What the report says was skipped, and that people read it too, or at least the first of many."""
    skipped = run.table(table)["skipped"]
    assert skipped and all(entry["cure"] for entry in skipped)
    for entry in skipped if len(skipped) < 5 else skipped[:1]:
        assert entry["reason"].splitlines()[0] in run.err
    return json.dumps(skipped)


# ---- once ------------------------------------------------------------------------------------------


def test_an_event_in_two_files_is_there_once(logs, dest):
    logs.add("file-1", [event("e1", 30), event("e2", 30)], hours_ago=29)
    logs.add("file-2", [event("e2", 30), event("e3", 2)], hours_ago=1)
    run = sync(dest, logs, *AUTH)
    assert ids(dest) == ["e1", "e2", "e3"]
    assert run.table("log_auth")["rows_read"] == 4


def test_an_event_twice_in_one_file_is_there_once(logs, dest):
    logs.add("file-1", [event("e1"), event("e1"), event("e2")])
    sync(dest, logs, *AUTH)
    assert ids(dest) == ["e1", "e2"]


def test_a_file_that_is_listed_twice_is_fetched_once(logs, dest):
    file = logs.add("file-1", [event("e1")])
    logs.files.append(file)
    run = sync(dest, logs, *AUTH)
    assert ids(dest) == ["e1"] and run.table("log_auth")["rows_read"] == 1
    assert logs.asked_for(file) == 1


def test_a_boundary_file_that_comes_again_ends_the_list_all_the_same(logs, dest):
    logs.again_at_the_boundary, logs.page_size = True, 2
    files = [logs.add(f"file-{n}", [event(f"e{n}")], hours_ago=9 - n) for n in range(6)]
    sync(dest, logs, *AUTH)
    assert ids(dest) == [f"e{n}" for n in range(6)]
    assert [logs.asked_for(file) for file in files] == [1] * 6


def test_files_of_one_instant_are_not_parted_by_the_edge_of_a_page(logs, dest):
    """`after` is exclusive: asked as told, the list would leave out the files that share the last one's moment."""
    logs.page_size = 4
    instant = now().replace(second=0) - timedelta(hours=2)
    for n, seconds in enumerate((-60, -30, 0, 0, 0, 20, 30)):
        logs.add(f"file-{n}", [event(f"e{n}")], at=instant + timedelta(seconds=seconds))
    sync(dest, logs, *AUTH)
    assert ids(dest) == [f"e{n}" for n in range(7)]


def test_more_files_of_one_instant_than_a_page_holds_are_not_lost_in_silence(logs, dest):
    logs.page_size = 2
    for n in range(5):
        logs.add(f"file-{n}", [event(f"e{n}")], at=moment(iso(now() - timedelta(hours=2))).replace(microsecond=0))
    run = sync(dest, logs, *AUTH, code={0, 2, 3})
    assert run.code or ids(dest) == [f"e{n}" for n in range(5)]


def test_files_of_one_instant_at_midnight_are_in_one_window_or_the_other(logs, dest):
    """Windows end at midnight, and both of their ends are exclusive for the API."""
    midnight = now().replace(hour=0, minute=0, second=0, microsecond=0)
    for n, at in enumerate((midnight - timedelta(microseconds=1), midnight, midnight + timedelta(microseconds=1))):
        logs.add(f"file-{n}", [event(f"e{n}", 40)], at=at)
    sync(dest, logs, *AUTH)
    assert ids(dest) == ["e0", "e1", "e2"]


def test_a_late_event_joins_the_day_it_happened(logs, dest):
    logs.add("file-1", [event("e1", 50)], hours_ago=49)
    sync(dest, logs, *AUTH)
    logs.add("file-2", [event("e2", 50), event("e3", 1)], hours_ago=0.5)
    sync(dest, logs, *AUTH)
    assert ids(dest) == ["e1", "e2", "e3"]
    for path in objects(dest, "log_auth"):
        day = path.parent.name.removeprefix("date=")
        rows = lake_rows(path.parent.parent.parent, spec("log_auth"))
        assert any(datetime.fromtimestamp(row["timestamp"] / 1e6, timezone.utc).strftime("%Y-%m-%d") == day for row in rows)


def test_an_event_without_its_moment_is_not_lost(logs, dest):
    odd = event("e2", timestamp="some day")
    del (gone := event("e3"))["timestamp"]
    logs.add("file-1", [event("e1"), odd, gone])
    sync(dest, logs, *AUTH)
    rows = {row["event_id"]: row for row in lake_rows(dest, spec("log_auth"))}
    assert rows["e2"]["timestamp"] is None and "some day" in rows["e2"]["_extra"]
    assert rows.keys() == {"e1", "e2", "e3"} and rows["e3"]["timestamp"] is None


# ---- files that are not what the list says -----------------------------------------------------------

WRONG = {
    "another hash": lambda file: setattr(file, "sha256", "0" * 64),
    "another size": lambda file: setattr(file, "size", file.size + 1),
    "other bytes": lambda file: setattr(file, "body", file.body.replace(b"saml", b"smal")),
    "half of it": lambda file: setattr(file, "body", file.body[:-40]),
    "nothing": lambda file: setattr(file, "body", b""),
    "an address that fails": lambda file: file.signed.append((Answer("no", status=500),)),
    "an address that is refused": lambda file: file.signed.append((Answer("no", status=403),)),
    "a download that fails": lambda file: file.redirect.append((Answer({"error": {"message": "later"}}, status=503),)),
    "a redirect to nowhere": lambda file: file.redirect.append((Answer("", status=307, headers={"location": "nowhere"}),)),
    "a redirect in the clear": lambda file: file.redirect.append((
        Answer("", status=307, headers={"location": "http://files.example.net/f?signature=clear-1"}),
    )),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_file_that_cannot_be_had_waits_in_the_state_and_holds_nothing_else(logs, dest, wrong):
    """The cursor passes it, or every file since then would be read again by each sync; the state names it."""
    before, bad, same_day, later = (
        logs.add("file-1", [event("e1", 63)], hours_ago=62), logs.add("file-2", [event("e2", 54)], hours_ago=53),
        logs.add("file-3", [event("e3", 53)], hours_ago=52.5), logs.add("file-4", [event("e4", 2)], hours_ago=1),
    )
    good = (bad.body, bad.size, bad.sha256)
    WRONG[wrong](bad)
    run = sync(dest, logs, *AUTH, code=2)
    assert ids(dest) == ["e1", "e3", "e4"], "the other files are committed"
    assert waiting(dest) == [bad.id] and moment(settled(dest, "log_auth")) > moment(later.end_time)
    assert bad.id in told(run)
    assert run.table("log_auth")["status"] == "ok"

    bad.redirect, bad.signed = [], []
    bad.body, bad.size, bad.sha256 = good
    sync(dest, logs, *AUTH)
    assert ids(dest) == ["e1", "e2", "e3", "e4"]
    assert waiting(dest) == []
    assert (logs.asked_for(before), logs.asked_for(same_day)) == (1, 1), "what was read is not asked for again"


def test_a_file_that_stays_wrong_is_asked_for_by_every_sync(logs, dest):
    bad = logs.add("file-1", [event("e1", 60)], hours_ago=59)
    bad.sha256 = "0" * 64
    for n in range(3):
        logs.add(f"good-{n}", [event(f"g{n}", 0)], hours_ago=0)
        asked = logs.asked_for(bad)
        run = sync(dest, logs, *AUTH, code=2)
        assert waiting(dest) == [bad.id] and bad.id in told(run) and logs.asked_for(bad) > asked
        assert ids(dest) == [f"g{k}" for k in range(n + 1)]


def test_the_hash_may_be_in_upper_case(logs, dest):
    file = logs.add("file-1", [event("e1")])
    file.sha256 = file.sha256.upper()
    sync(dest, logs, *AUTH)
    assert ids(dest) == ["e1"]


def test_what_was_wrong_with_a_file_is_said(logs, dest):
    hash, size = logs.add("file-hash", [event("e1")]), logs.add("file-size", [event("e2")])
    hash.sha256, size.size = "0" * 64, size.size + 7
    run = sync(dest, logs, *AUTH, code={2, 3})
    said = told(run)
    assert "sha256" in said and f"{size.size} bytes" not in said.replace(f"instead of {size.size}", "")
    assert "next run" in said


@pytest.mark.parametrize("status", [404, 410])
def test_a_file_that_the_source_has_forgotten_is_told_and_passed(logs, dest, status):
    gone = logs.add("file-gone", [event("e1", 60)], hours_ago=59)
    gone.redirect = [(Answer({"error": {"message": "Log file not found or no longer available."}}, status=status),)]
    logs.add("file-2", [event("e2")])
    run = sync(dest, logs, *AUTH, code=2)
    said = told(run)
    assert "file-gone" in said and "lost" in said
    assert ids(dest) == ["e2"]
    assert moment(settled(dest, "log_auth")) > moment(gone.end_time), "asking again would not bring it back"
    assert logs.asked_for(gone) == 1
    sync(dest, logs, *AUTH)
    assert logs.asked_for(gone) == 1


# ---- addresses -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 403, 410, 404])
def test_an_expired_address_is_asked_for_anew(logs, dest, status):
    file = logs.add("file-1", [event("e1")])
    file.signed = [Answer("AuthenticationFailed: the signature has expired", status=status)] * 2
    run = sync(dest, logs, *AUTH)
    assert ids(dest) == ["e1"]
    assert logs.asked_for(file) == 3, "each attempt needs a redirect of its own"
    used = [asked.one("signature") for asked in logs.store.asked]
    assert len(used) == len(set(used)) == 3
    assert run.table("log_auth")["retries"] == 2


def test_the_key_goes_to_the_api_and_nowhere_else(logs, dest):
    for n in range(3):
        logs.add(f"file-{n}", [event(f"e{n}")])
    sync(dest, logs, *AUTH)
    assert len(logs.store.asked) == 3
    for asked in logs.store.asked:
        assert asked.headers.keys().isdisjoint({"authorization", "cookie", "openai-organization", "proxy-authorization"})
        assert COMPLIANCE_KEY not in asked.raw + json.dumps(asked.headers)
    assert {asked.headers.get("authorization") for asked in logs.asked} == {f"Bearer {COMPLIANCE_KEY}"}


def test_an_address_that_leads_on_is_not_followed_with_the_key(logs, dest):
    file = logs.add("file-1", [event("e1")])
    other = logs.elsewhere(file).headers["location"]
    file.signed = [Answer("", status=302, headers={"location": other})]
    sync(dest, logs, *AUTH, code={0, 2, 3})
    assert all("authorization" not in asked.headers for asked in logs.store.asked)


@pytest.mark.parametrize("fails", [False, True])
def test_a_signature_is_printed_nowhere(logs, dest, fails):
    """Who has the address has the file."""
    file = logs.add("file-1", [event("e1")])
    if fails:
        file.signed = [(Answer("signature rejected", status=403),)]
    run = sync(dest, logs, *AUTH, "--log", "trace", code={0, 2, 3})
    said = run.out + run.err + "".join(path.read_text() for path in dest.glob("_*/*.json"))
    assert "kept-to-itself" not in said and COMPLIANCE_KEY not in said


def test_a_file_that_the_api_gives_itself_is_read_too(logs, dest):
    file = logs.add("file-1", [event("e1")])
    file.redirect = [Answer(file.body)]
    sync(dest, logs, *AUTH)
    assert ids(dest) == ["e1"] and logs.store.asked == []


def test_a_download_that_breaks_off_is_tried_again(logs, dest):
    file = logs.add("file-1", [event("e1")])
    file.signed = [Answer(file.body, cut=30), Answer("busy", status=503)]
    file.redirect = [Answer({"error": {"message": "slow down"}}, status=429, headers={"retry-after": "0"})]
    sync(dest, logs, *AUTH)
    assert ids(dest) == ["e1"]


# ---- lines ---------------------------------------------------------------------------------------------

PIECES = [json.dumps(event(f"e{n}")).encode() for n in range(3)]
FRAMES = {
    "JSON Lines": b"\n".join(PIECES) + b"\n",
    "no last newline": b"\n".join(PIECES),
    "objects on one line": PIECES[0] + PIECES[1] + b"\n" + PIECES[2],
    "objects with space between": b"  " + b" \t ".join(PIECES) + b"  ",
    "empty lines": b"\n\n" + b"\n\n\n".join(PIECES) + b"\n\n",
    "lines that end as on Windows": b"\r\n".join(PIECES) + b"\r\n",
    "an object over several lines": json.dumps(event("e0"), indent=2).encode() + b"\n" + b"\n".join(PIECES[1:]),
}


@pytest.mark.parametrize("frame", FRAMES)
def test_records_are_found_however_they_are_framed(logs, dest, frame):
    logs.add("file-1", FRAMES[frame])
    run = sync(dest, logs, *AUTH)
    assert ids(dest) == ["e0", "e1", "e2"] and run.table("log_auth")["rows_read"] == 3


@pytest.mark.parametrize("line", [
    b"not JSON at all", b"{\"event_id\":\"e9\",", b"[1, 2]", b"42", b"null", b"<html></html>", b"{}", b"{\"type\":\"AUTH_LOG\"}",
])
def test_a_line_that_is_no_record_is_told_and_the_others_are_kept(logs, dest, line):
    logs.add("file-odd", b"\n".join([PIECES[0], line, PIECES[1]]) + b"\n")
    logs.add("file-fine", PIECES[2])
    run = sync(dest, logs, *AUTH, code=2)
    assert ids(dest) == ["e0", "e1", "e2"]
    said = told(run)
    assert "file-odd" in said and "line 2" in said


def test_a_last_line_that_was_cut_is_told(logs, dest):
    logs.add("file-odd", b"\n".join(PIECES)[:-25])
    run = sync(dest, logs, *AUTH, code=2)
    assert ids(dest) == ["e0", "e1"] and "line 3" in told(run)


def test_an_empty_file_is_a_file(logs, dest):
    logs.add("file-1", b"")
    run = sync(dest, logs, *AUTH)
    assert ids(dest) == [] and run.table("log_auth")["rows_read"] == 0


# ---- lists ---------------------------------------------------------------------------------------------


def test_an_empty_page_has_no_last_time_and_ends_the_list(logs, dest):
    run = sync(dest, logs, *AUTH)
    assert run.table("log_auth")["status"] == "ok" and ids(dest) == []
    assert moment(settled(dest, "log_auth")) > now() - timedelta(minutes=5)
    logs.add("file-1", [event("e1", 0)], hours_ago=0)
    sync(dest, logs, *AUTH)
    assert ids(dest) == ["e1"]


def test_a_list_that_goes_on_without_saying_where_is_an_error(logs, dest):
    path = f"/compliance/workspaces/{WORKSPACE}/logs"
    logs.answers[path] = [Answer({"data": [], "has_more": True, "last_end_time": None})]
    run = sync(dest, logs, *AUTH, code=3)
    error = run.table("log_auth")["error"]
    assert "next cursor" in error["message"] and error["cure"]
    assert not (dest / "_state/state.json").exists() or "log_auth" not in state(dest)["tables"]


def test_a_list_that_does_not_advance_is_an_error(logs, dest):
    path, stuck = f"/compliance/workspaces/{WORKSPACE}/logs", iso(now() - timedelta(hours=1))
    logs.answers[path] = [Answer({"data": [], "has_more": True, "last_end_time": stuck})]
    sync(dest, logs, *AUTH, code=3)
    assert len(logs.lists()) < 200


def test_a_list_is_asked_for_as_documented(logs, dest):
    """Strict moments with a zone, no page above the ceiling, nothing older than the source keeps, no gap."""
    sync(dest, logs, *AUTH)
    spans = sorted((moment(asked.one("after")), moment(asked.one("before"))) for asked in logs.lists())
    for asked in logs.lists():
        assert asked.one("event_type") == "AUTH_LOG" and int(asked.one("limit")) <= 100
        for name in ("after", "before"):
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|\+00:00)", asked.one(name))
    assert now() - timedelta(days=31, seconds=5) <= spans[0][0] <= now() - timedelta(days=29)
    assert spans[-1][1] >= now() - timedelta(minutes=5)
    for (_, end), (start, _) in zip(spans, spans[1:]):
        assert start < end, "both ends are exclusive, so windows overlap"


def test_the_next_sync_begins_six_hours_before_the_cursor(logs, dest):
    logs.add("file-1", [event("e1", 100)], hours_ago=99)
    sync(dest, logs, *AUTH)
    cursor = moment(settled(dest, "log_auth"))
    logs.asked.clear()
    sync(dest, logs, *AUTH)
    first = min(moment(asked.one("after")) for asked in logs.lists())
    assert timedelta(hours=6) <= cursor - first <= timedelta(hours=6, minutes=1)


@pytest.mark.parametrize(("days", "said"), [(1, None), (20, None), (26, "sync more often"), (29.9, "sync more often"), (31, "lost"), (300, "lost")])
def test_a_gap_that_nears_what_the_source_keeps_is_told(logs, dest, days, said):
    (dest / "_state").mkdir(parents=True)
    since = (now() - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
    (dest / "_state/state.json").write_text(json.dumps({"version": 1, "tables": {"log_auth": {"settled": since}}}))
    logs.add("file-1", [event("e1")])
    run = sync(dest, logs, *AUTH)
    warned = json.dumps(run.table("log_auth")["warnings"])
    if said is None:
        assert warned == "[]"
    else:
        assert said in warned and said in run.err
    assert ids(dest) == ["e1"]
    assert moment(settled(dest, "log_auth")) > now() - timedelta(minutes=5)


def test_a_table_that_fails_is_the_only_one(logs, dest):
    logs.add("file-1", [event("e1")])
    listing = logs.answers[f"/compliance/workspaces/{WORKSPACE}/logs"][0]
    refused = Answer({"error": {"message": "Missing scopes: chatgpt.enterprise.compliance_logs_platform.audit_log.read"}}, status=403)
    logs.answers[f"/compliance/workspaces/{WORKSPACE}/logs"] = [
        lambda asked: refused if asked.one("event_type") == "AUDIT_LOG" else listing(asked)
    ]
    run = sync(dest, logs, "--tables", "log_auth,log_audit", code=2)
    assert ids(dest) == ["e1"] and run.table("log_audit")["status"] == "forbidden"
    assert "scope" in run.table("log_audit")["error"]["cure"]
    assert "log_audit" not in state(dest)["tables"]


# ---- workspaces, the organization, followers -----------------------------------------------------------


def test_each_workspace_has_its_own_files(dest):
    with Logs(workspaces=(WORKSPACE, OTHER_WORKSPACE)) as logs:
        logs.add("file-1", [event("e1")])
        logs.add("file-2", [event("e2")], owner=OTHER_WORKSPACE)
        sync(dest, logs, *AUTH)
        found = {row["event_id"]: row["workspace_id"] for row in lake_rows(dest, spec("log_auth"))}
        assert found == {"e1": WORKSPACE, "e2": OTHER_WORKSPACE}


def test_a_workspace_that_is_refused_holds_the_cursor_and_not_the_other_one(dest):
    with Logs(workspaces=(WORKSPACE, OTHER_WORKSPACE)) as logs:
        logs.add("file-1", [event("e1")])
        lost = logs.add("file-2", [event("e2", 60)], hours_ago=59, owner=OTHER_WORKSPACE)
        path = f"/compliance/workspaces/{OTHER_WORKSPACE}/logs"
        listing = logs.answers[path]
        logs.answers[path] = [Answer({"error": {"message": "no such workspace"}}, status=404)]
        run = sync(dest, logs, *AUTH, code=2)
        assert ids(dest) == ["e1"]
        said = told(run)
        assert OTHER_WORKSPACE in said and "CHATGPT_WORKSPACE_IDS" in said
        logs.answers[path] = listing
        sync(dest, logs, *AUTH)
        assert ids(dest) == ["e1", "e2"], f"the file of {lost.end_time} was never read"


def test_charges_are_read_from_the_files_of_the_costs(logs, dest):
    file = logs.add("costs-1", samples("COSTS"), type="COSTS", owner=ORGANIZATION)
    sync(dest, logs, "--tables", "log_costs,log_cost_billing")
    assert logs.asked_for(file) == 1, "fetched once, decoded twice"
    events = [json.loads(line) for line in samples("COSTS").splitlines()]
    expected = {
        (one["event_id"], line): (charge["sku"], charge["cost"]["unit"], one["payload"]["day"])
        for one in events for line, charge in enumerate(one["payload"]["measures"]["billing"] or [])
    }
    rows = {(row["event_id"], row["line"]): (row["sku"], row["cost_unit"], str(row["day"]))
            for row in lake_rows(dest, spec("log_cost_billing"))}
    assert rows == expected and len(expected) == 3
    assert ids(dest, "log_costs") == sorted(one["event_id"] for one in events)


def test_a_follower_that_is_named_alone_is_read_too(logs, dest):
    logs.add("costs-1", samples("COSTS"), type="COSTS", owner=ORGANIZATION)
    sync(dest, logs, "--tables", "log_cost_billing")
    assert len(lake_rows(dest, spec("log_cost_billing"))) == 3


def test_files_of_conversations_are_told_once_each(logs, dest):
    logs.add("messages-1", samples("CONVERSATION_MESSAGE"), type="CONVERSATION_MESSAGE")
    logs.add("messages-2", samples("CONVERSATION_MESSAGE"), type="CONVERSATION_MESSAGE", hours_ago=0.5)
    sync(dest, logs, "--tables", "log_conversation_messages,chatgpt_files")
    truth.by_key(spec("chatgpt_files"), lake_rows(dest, spec("chatgpt_files")))
    values = {value for row in lake_rows(dest, spec("chatgpt_files")) for value in row.values() if isinstance(value, str)}
    assert {"boxes.csv", "map.png", "answer.txt"} <= values


def test_conversations_are_off_until_named(logs, dest):
    logs.add("messages-1", samples("CONVERSATION_MESSAGE"), type="CONVERSATION_MESSAGE")
    run = sync(dest, logs, code={0, 2, 3})
    content = {
        "log_conversation_messages", "log_codex", "log_apps", "log_custom_agents", "log_spreadsheet_plugin", "log_other",
        "chatgpt_files", "chatgpt_memories",
    }
    assert content.isdisjoint(run.report["tables"])
    asked = {one.one("event_type") for one in logs.lists()}
    assert asked.isdisjoint({"CONVERSATION_MESSAGE", "CODEX_LOG", "APP_LOG", "CUSTOM_AGENTS_LOG", "CODEX_TURN"})


def test_types_that_are_refused_leave_the_other_types_alone(logs, dest):
    path = f"/compliance/workspaces/{WORKSPACE}/logs"
    listing = logs.answers[path][0]
    unknown = Answer({"error": {"message": "Unknown event type: CHATGPT_USER_ANALYTICS."}}, status=400)
    logs.answers[path] = [lambda asked: unknown if asked.one("event_type") == "CHATGPT_USER_ANALYTICS" else listing(asked)]
    logs.add("turns-1", samples("CODEX_TURN"), type="CODEX_TURN")
    run = sync(dest, logs, "--tables", "log_other", code={0, 2})
    assert len(ids(dest, "log_other")) == 2
    assert "CHATGPT_USER_ANALYTICS" in json.dumps(run.table("log_other"))


# ---- with the simulated organization ------------------------------------------------------------------


@pytest.fixture
def company():
    """A small organization that only this test sees."""
    running = organization("--projects", 4, "--users", 8, "--history-days", 5)
    yield running
    running.stop()


def test_addresses_that_have_always_expired_lose_nothing(company, dest):
    """Its store answers 403 to an address that is too old, and 400 to one that is asked for with the key."""
    company.behave(signed_url_seconds=-5)
    only = company.only("compliance")
    run = sync(dest, only, *AUTH, code={2, 3}, retries=0)
    assert "403" in told(run) and ids(dest) == []
    assert len(waiting(dest)) == len(told_ids(run)), "each of them waits in the state"
    company.behave(signed_url_seconds=300)
    sync(dest, only, *AUTH)
    assert ids(dest) == sorted(json.loads(line)["record"]["event_id"] for line in company.truth("log_auth"))


def test_a_workspace_that_fails_for_one_sync_is_whole_after_the_next(company, dest):
    """Its list was not read, so the cursor stays."""
    one, _ = company.workspace_ids
    only = company.only("compliance")
    company.fault(f"/chatgpt/v1/compliance/workspaces/{one}/logs", status=500)
    sync(dest, only, *AUTH, code=2, retries=0)
    company.heal()
    sync(dest, only, *AUTH)
    assert ids(dest) == sorted(json.loads(line)["record"]["event_id"] for line in company.truth("log_auth"))


# ---- no value of an event is lost --------------------------------------------------------------------


def tables_of(kind: str) -> list[dict]:
    """The tables that read this type of log, on the workspace's or the organization's route."""
    found = []
    for table in catalog():
        request = table["request"]
        asked = [request.get("query") or {}, *(request.get("passes") or [])]
        if not table["same_as"] and any(given.get("event_type") == kind for given in asked):
            found.append(table)
    return found


def test_every_type_has_a_table_and_samples():
    asked = set()
    for table in catalog():
        for given in [table["request"].get("query") or {}, *(table["request"].get("passes") or [])]:
            if table["name"].startswith("log_") and "event_type" in given:
                asked.add(given["event_type"])
    documented = {
        "AUDIT_LOG", "AUTH_LOG", "APP_LOG", "APP_AUTH_LOG", "CODEX_LOG", "CODEX_SECURITY_LOG", "CHATGPT_PLUGIN_SPREADSHEET",
        "CUSTOM_AGENTS_LOG", "CONVERSATION_MESSAGE", "COSTS",
    }
    assert documented <= asked and documented <= set(kinds())
    assert set(kinds()) <= asked


@pytest.mark.parametrize(("kind", "name"), [(kind, table["name"]) for kind in kinds() for table in tables_of(kind)])
def test_each_value_of_an_event_is_in_the_lake(logs, dest, kind, name):
    table = spec(name)
    owner = ORGANIZATION if "{key.organization}" in table["request"]["path"] else WORKSPACE
    logs.add("samples-1", samples(kind), type=kind, owner=owner)
    run = sync(dest, logs, "--tables", name)
    assert run.table(name)["misfits"] == 0
    rows = {row["event_id"]: row for row in lake_rows(dest, table)}
    events = [truth.parse(line) for line in samples(kind).splitlines()]
    assert rows.keys() == {str(one["event_id"]) for one in events}
    for one in events:
        row = rows[one["event_id"]]
        assert row[table["columns"][0]["name"]] == owner
        assert lost(table, row, one) == []


def lost(table: dict, row: dict, record: dict) -> list[str]:
    """The values of a record that are in no column, no json column and not in `_extra` of its row."""
    inner = {source for column in truth.data_columns(table) for source in truth.sources(column)}

    def nothing(path: str, value) -> bool:
        """An empty object with documented members is as good as one whose members are null."""
        return value == {} and any(source.startswith(f"{path}/") for source in inner)

    return [
        path for path, value in leaves(record)
        if not nothing(path, value) and not any(place(row) for place in places(table, path, value))
    ]


def leaves(value, path: str = ""):
    """Each value that has no members, with its JSON Pointer. Null and absent are one for a column."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if value is None or (isinstance(value, (dict, list)) and not value):
        if value is not None and path.count("/") > 1:
            yield path, value
    elif isinstance(value, (dict, list)):
        for name, member in members:
            yield from leaves(member, f"{path}/{str(name).replace('~', '~0').replace('/', '~1')}")
    else:
        yield path, value


def places(table: dict, path: str, value):
    """Where a value may be: tests of a row."""
    ignored = truth.ignored(table["surface"], table["name"])
    if path in ignored:
        yield lambda row: row[table["columns"][0]["name"]] == str(value)  # kept by another column
    for column in truth.data_columns(table):
        sources = [""] if column.get("from") == "" else truth.sources(column)
        for source in sources:
            if column["type"] == "json" and (path == source or path.startswith(f"{source}/")):
                yield lambda row, name=column["name"], below=path[len(source):]: inside(row[name], below, value)
            elif path == source:
                yield lambda row, column=column: row[column["name"]] == truth.TYPES[column["type"]](value)
    yield lambda row: inside(row["_extra"], path, value)


def inside(text: str | None, pointer: str, value) -> bool:
    """Whether a JSON text of the lake has this value at this place."""
    if text is None:
        return False
    found = json.loads(text)
    for step in truth.steps(pointer):
        if isinstance(found, list) and step.isdigit() and int(step) < len(found):
            found = found[int(step)]
        elif isinstance(found, dict) and step in found:
            found = found[step]
        else:
            return False
    return found == json.loads(truth.canonical_json(value))


def test_the_search_for_lost_values_finds_one(logs, dest):
    """The test above proves something only when it can fail."""
    logs.add("samples-1", samples("AUTH_LOG"))
    sync(dest, logs, *AUTH)
    rows = {row["event_id"]: row for row in lake_rows(dest, spec("log_auth"))}
    for line in samples("AUTH_LOG").splitlines():
        record = truth.parse(line)
        row = rows[record["event_id"]]
        assert lost(spec("log_auth"), {**row, "actor_user_id": "nobody"}, record) == ["/actor/user_id"]
        assert "/action_data/action" in lost(spec("log_auth"), {**row, "action_data": None, "action_data_action": None}, record)


def test_a_sync_that_finds_nothing_new_writes_nothing_else(logs, dest):
    logs.add("file-1", [event("e1", 60)], hours_ago=59)
    sync(dest, logs, *AUTH)
    before = contents(dest / "log_auth")
    sync(dest, logs, *AUTH)
    assert contents(dest / "log_auth") == before


def test_what_the_source_has_forgotten_stays_even_without_a_state(logs, dest):
    logs.add("file-1", [event("e1", 60)], hours_ago=59)
    sync(dest, logs, *AUTH)
    logs.files.clear()
    shutil.rmtree(dest / "_state")
    logs.add("file-2", [event("e2", 60), event("e3")])
    sync(dest, logs, *AUTH)
    sync(dest, logs, *AUTH, "--full-refresh")
    assert ids(dest) == ["e1", "e2", "e3"]


def test_until_leaves_later_files_for_later(logs, dest):
    """The half of the time that was asked for is settled; the other half is read by the next sync."""
    logs.add("file-1", [event("e1", 80)], hours_ago=79)
    logs.add("file-2", [event("e2", 8)], hours_ago=7)
    sync(dest, logs, *AUTH, "--until", (now() - timedelta(hours=30)).strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert ids(dest) == ["e1"]
    sync(dest, logs, *AUTH)
    assert ids(dest) == ["e1", "e2"]


def test_lines_of_one_event_type_are_not_hurt_by_another(logs, dest):
    """A file holds events of its type; one of another type is still an event."""
    logs.add("file-1", lines([event("e1"), {**event("e2"), "type": "SOMETHING_ELSE"}]))
    sync(dest, logs, *AUTH)
    assert ids(dest) == ["e1", "e2"]
