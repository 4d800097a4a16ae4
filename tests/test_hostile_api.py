"""Answers that arrive whole and are wrong: odd encodings, records twice, rows out of their time, keys of any kind.

What breaks the envelope fails the table; what is odd in a record is kept as it came; nothing is ever there twice.
(`test_bad_input.py` has the answers that are no list at all; `test_hostile_connections.py` the broken connections.)
"""

import json
from collections import Counter
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pyarrow.parquet as pq
import pytest

from conftest import contents, objects, spec, sync
from hostile import AFTER, BEFORE, TRUE_AFTER, TRUE_BEFORE, USERS, Trial, list_of, seen, text_of
from hostile_server import Hostile, whole
from reliability import ANSWERS, TIME, record
from scripted import Answer, page, user
from truth import lake_rows

AUDIT, COSTS = "/organization/audit_logs", "/organization/costs"
GOOD = page(*AFTER).bytes()


@pytest.fixture
def server():
    with Hostile() as running:
        yield running


@pytest.fixture
def dest(tmp_path):
    return tmp_path / "lake"


def today() -> datetime:
    return datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)


# ---- envelopes ---------------------------------------------------------------------------------------

FAILING = {
    "UTF-16": GOOD.decode().encode("utf-16"),
    "Latin-1": list_of(text_of(name='"Zoë"')).decode().encode("latin-1"),
    "half a UTF-8 character at the end": GOOD + "é".encode()[:1],
    "NaN, which is no JSON": list_of(text_of(added_at="NaN")),
    "a comma too many": list_of(text_of()).replace(b'}]', b'},]'),
    "a comment": b"/* users */" + GOOD,
    "a raw line break within a string": list_of(text_of(name='"Ada\nByron"')),
    "a list of lists": list_of("[]"),
    "a record that is null": list_of("null"),
    "a key that is an object": list_of(text_of(id='{"id":"user-1"}')),
    "a key that is a list": list_of(text_of(id='["user-1"]')),
    "a key that is null": list_of(text_of(id="null")),
}


@pytest.mark.parametrize("fault", FAILING)
def test_an_answer_that_cannot_be_meant_costs_the_table_its_turn(server, dest, fault):
    Trial(server, dest).fails(fault, [whole(FAILING[fault])])


def test_a_byte_order_mark_is_overlooked_or_told(server, dest):
    """Some proxies put one before the text."""
    Trial(server, dest).passes("a byte order mark", [whole(b"\xef\xbb\xbf" + page(*AFTER).bytes())], "before a good answer")


def test_the_list_twice_in_one_answer(server, dest):
    """Which of them is meant nobody knows: a table that takes one of them would bury the others' rows."""
    twice = b'{"object":"list","data":[%s],"data":[%s],"has_more":false}' % (text_of("user-3").encode(), text_of("user-4").encode())
    Trial(server, dest).fails("the list twice in one answer", [whole(twice)])


def test_members_twice_in_one_record(server, dest):
    """One of the two values is kept, the same one each time, and the record is one row."""
    twice = '{"object":"organization.user","id":"user-3","role":"reader","role":"owner","odd":1,"odd":2}'
    trial, kept = Trial(server, dest), set()
    trial.healthy(BEFORE)
    for _ in range(2):
        server.acts[USERS] = [trial.spied(whole(list_of(twice)))]
        trial.sync()
        (row,) = [row for row in lake_rows(dest, spec("users")) if row["id"] == "user-3"]
        kept.add((row["role"], row["_extra"]))
    assert len(kept) == 1 and kept.pop()[0] in ("reader", "owner")
    assert trial.during[0] == TRUE_BEFORE
    record("a member twice in one record", "two roles, and an unknown member twice", "2 users", "as before",
           "one row; of two values the same one each time; exit 0")


# ---- values --------------------------------------------------------------------------------------------

OUT_OF_RANGE = ["9223372036854775808", "-9223372036854775809", "1e400", "253402300800", "-62135596801", "1e18", '"99999-01-01T00:00:00Z"', '"2026-02-30T00:00:00Z"']


def test_numbers_and_times_out_of_range_are_kept_as_they_came(server, dest):
    trial = Trial(server, dest)
    trial.healthy(BEFORE)
    records = [text_of(f"user-{index}", added_at=number) for index, number in enumerate(OUT_OF_RANGE)]
    server.acts[USERS] = [trial.spied(whole(list_of(*records)))]
    run = trial.sync()
    (path,) = objects(dest, "users")
    rows = {row["id"]: row for row in pq.read_table(path, columns=["id", "added_at", "_extra"]).to_pylist()}
    for index, number in enumerate(OUT_OF_RANGE):
        assert (rows[f"user-{index}"]["added_at"], rows[f"user-{index}"]["_extra"]) == (None, '{"added_at":%s}' % number)
    assert run.table("users")["misfits"] == len(OUT_OF_RANGE)
    record("numbers and times out of range", "in a timestamp, as numbers and as texts", "2 users", "as before",
           "the column is null, the value is in `_extra` as it came, a warning says so; exit 0")


def test_lone_surrogates_and_nul_characters(server, dest):
    """Half a character cannot be written as UTF-8; the row, its key and its neighbours are there all the same."""
    texts = {"half": r'"a\ud800b"', "wrong way round": r'"\udc00\ud800"', "nul": r'"a\u0000b"', "whole": r'"\ud83e\udd80"'}
    trial = Trial(server, dest)
    trial.healthy(BEFORE)
    records = [text_of(f"user-{index}", name=text, odd=text) for index, text in enumerate(texts.values())]
    server.acts[USERS] = [trial.spied(whole(list_of(*records)))]
    trial.sync()
    names = {row["id"]: row["name"] for row in lake_rows(dest, spec("users"))}
    assert names == {"user-0": "a\ufffdb", "user-1": "\ufffd\ufffd", "user-2": "a\0b", "user-3": "🦀"}
    extras = [row["_extra"] for path in objects(dest, "users") for row in pq.read_table(path, columns=["_extra"]).to_pylist()]
    odd = [json.loads(extra)["odd"] for extra in filter(None, extras)]
    assert sorted(odd) == sorted(["a\ufffdb", "\ufffd\ufffd", "a\ufffdb", "🦀"]), "no reader of JSON text stops at one"
    record("lone surrogates and NUL characters", "in a name and in an unknown member", "2 users", "as before",
           "every row is there, U+FFFD stands for what is no text; every file is valid UTF-8; exit 0")


def test_keys_of_another_type_and_keys_that_are_odd(server, dest):
    """A number is a fine id; an id may hold anything, and two that differ stay two."""
    ids = ["5", "5.0", "true", '"5"', '""', '" "', r'"a\u0000"', r'"a"', '"a "', '"A"', r'"\u00e9"', r'"e\u0301"', json.dumps("x" * 100_000)]
    trial = Trial(server, dest)
    trial.healthy(BEFORE)
    server.acts[USERS] = [trial.spied(whole(list_of(*(text_of(id=one) for one in ids))))]
    run = trial.sync()
    found = Counter(row["id"] for row in lake_rows(dest, spec("users")) if not row["_deleted"])
    assert found == Counter({"5", "5.0", "true", "", " ", "a\0", "a", "a ", "A", "\u00e9", "e\u0301", "x" * 100_000})
    assert run.table("users")["repeated"] == 1
    record("keys of another type, empty, odd or very long", "numbers, a boolean, blanks, NUL, two spellings of é, 100,000 characters", "2 users",
           "as before", "each key once; exit 0")


# ---- twice -----------------------------------------------------------------------------------------------


def event(id: str, moment: datetime, **more) -> dict:
    return {"id": id, "type": "logout.succeeded", "effective_at": int(moment.timestamp()), **more}


def audit(*items: dict, more: bool = False):
    return whole(page(*items, more=more))


def audit_ids(dest) -> Counter:
    return Counter(row["id"] for row in lake_rows(dest, spec("audit_logs")))


def test_a_record_twice_within_and_across_pages_passes_and_syncs(server, dest):
    """A merge table: the same event from everywhere is one row."""
    yesterday = today() - timedelta(hours=20)
    one, two, three = (event(f"audit_log-{number}", yesterday + timedelta(seconds=number)) for number in (1, 2, 3))
    flags = ("--tables", "audit_logs", "--since", f"{yesterday:%Y-%m-%d}")
    server.acts[AUDIT] = [audit(one)]
    sync(dest, server, *flags)
    assert audit_ids(dest) == Counter({"audit_log-1": 1})
    during = []

    def second(connection):
        during.append(audit_ids(dest))
        audit(two, three, two)(connection)

    server.acts[AUDIT] = [audit(one, one, two, more=True), second, audit(one, one, two, more=True), second, audit(two)]
    run = sync(dest, server, *flags, "--full-refresh")
    assert audit_ids(dest) == Counter({"audit_log-1": 1, "audit_log-2": 1, "audit_log-3": 1})
    assert during and during[0] == Counter({"audit_log-1": 1}) and all(set(ids.values()) == {1} for ids in during)
    assert run.table("audit_logs")["repeated"] >= 3
    record("an event within a page, on two pages, in two passes and in two syncs", "the audit log gave each of 3 events several times",
           "1 event", "1 event", "3 events, each once; exit 0")


def test_a_record_twice_in_a_list_that_is_read_whole(server, dest):
    acts = [whole(page(AFTER[0], AFTER[0], more=True)), whole(page(*AFTER, AFTER[0], AFTER[1]))]
    trial = Trial(server, dest)
    trial.healthy(BEFORE)
    server.acts[USERS] = [trial.spied(act) for act in acts]
    run = trial.sync()
    assert seen(dest) == TRUE_AFTER and trial.during == [TRUE_BEFORE] * 2
    assert run.table("users")["repeated"] == 4
    record("a record within a page and on two pages", "the users came up to four times each", "2 users", "as before", "each once; exit 0")


def bucket(day: datetime, *amounts: str, start: int | None = None) -> dict:
    at = int(day.timestamp()) if start is None else start
    line = {"object": "organization.costs.result", "project_id": "proj_1"}
    return {"object": "bucket", "start_time": at, "end_time": at + 86_400,
            "results": [{**line, "line_item": f"item {n}", "amount": {"value": value, "currency": "usd"}} for n, value in enumerate(amounts)]}


def buckets(*items: dict, next_page: str | None = None):
    return whole(Answer({"object": "page", "data": list(items), "has_more": next_page is not None, "next_page": next_page}))


def amounts(dest) -> list[tuple[str, int]]:
    """Each amount in the lake, with the day of its row."""
    rows = lake_rows(dest, spec("costs"))
    return sorted((datetime.fromtimestamp(row["start_time"] / 1e6, timezone.utc).strftime("%Y-%m-%d"), int(row["amount"])) for row in rows)


def test_a_bucket_twice_is_money_once(server, dest):
    day = today() - timedelta(days=1)
    flags = ("--tables", "costs", "--since", f"{day:%Y-%m-%d}")
    server.acts[COSTS] = [buckets(bucket(day, "1", "2"))]
    sync(dest, server, *flags)
    truth = [(f"{day:%Y-%m-%d}", 1), (f"{day:%Y-%m-%d}", 2)]
    assert amounts(dest) == truth
    server.acts[COSTS] = [buckets(bucket(day, "1", "2"), bucket(day, "1", "2"), next_page="p2"), buckets(bucket(day, "1", "2"))]
    run = sync(dest, server, *flags)
    assert amounts(dest) == truth and run.table("costs")["repeated"] == 4
    record("a bucket of costs within a page and on two pages", "one day's two amounts came three times", "3 dollars", "3 dollars", "3 dollars; exit 0")


# ---- out of their time -------------------------------------------------------------------------------------


def test_costs_outside_the_asked_days_change_no_other_day(server, dest):
    """A replaced day comes from a question for that day only; anything else would lose the rest of it."""
    first, second = today() - timedelta(days=9), today() - timedelta(days=1)
    server.acts[COSTS] = [buckets(bucket(first, "1", "2"), bucket(second, "4"))]
    sync(dest, server, "--tables", "costs", "--since", f"{first:%Y-%m-%d}")
    truth = amounts(dest)
    stray = [bucket(first, "1000"), bucket(today() + timedelta(days=40), "2000"), bucket(first, "3000", start=0)]
    server.acts[COSTS] = [buckets(bucket(second, "5"), *stray)]
    run = sync(dest, server, "--tables", "costs", "--since", f"{second:%Y-%m-%d}")
    assert amounts(dest) == [(day, 5 if amount == 4 else amount) for day, amount in truth]
    assert "outside the requested window" in run.err and run.table("costs")["warnings"]
    record("costs of days that were not asked for", "of last week, of next month and of 1970, in the answer for yesterday",
           "3 amounts of 2 days", "as before", "the asked day is new, all others are as before, a warning says so; exit 0", TIME)


def test_events_outside_the_asked_window_are_kept_on_their_own_day(server, dest):
    """An event is true whenever it is told; it only must not be lost, or be there twice."""
    yesterday = today() - timedelta(hours=20)
    moments = {"early": yesterday - timedelta(days=100), "asked": yesterday, "future": yesterday + timedelta(days=400),
               "1970": datetime(1970, 1, 1, tzinfo=timezone.utc), "2299": datetime(2299, 12, 31, tzinfo=timezone.utc)}
    server.acts[AUDIT] = [audit(*(event(f"audit_log-{name}", moment) for name, moment in moments.items()))]
    for _ in range(2):
        sync(dest, server, "--tables", "audit_logs", "--since", f"{yesterday:%Y-%m-%d}")
        assert audit_ids(dest) == Counter({f"audit_log-{name}": 1 for name in moments})
    for name, moment in moments.items():
        assert (dest / f"audit_logs/date={moment:%Y-%m-%d}/data.parquet").exists(), name
    state = json.loads((dest / "_state/state.json").read_text())
    assert datetime.fromisoformat(state["tables"]["audit_logs"]["cursor"]) <= datetime.now(timezone.utc)
    record("events of another time than was asked for", "of 1970, of 100 days ago, of next year and of 2299, twice", "nothing",
           "each once", "each once, on its own day; the cursor is not moved into the future; exit 0", TIME)


@pytest.mark.parametrize("days", [-3650, -1, 1, 3650])
def test_a_clock_of_the_api_that_is_far_off_changes_nothing(server, dest, days):
    """The cursor is never later than that clock; a `Date` from before there was such an API is none."""
    date = format_datetime(datetime.now(timezone.utc) + timedelta(days=days), usegmt=True)
    good = whole(page(*AFTER), date=date, expires=date, last_modified=date)
    trial = Trial(server, dest, TIME)
    trial.healthy(BEFORE)
    before = json.loads((dest / "_state/state.json").read_text())["tables"]["users"]["cursor"]
    server.acts[USERS] = [trial.spied(good)]
    run = trial.sync()
    assert seen(dest) == TRUE_AFTER and trial.during == [TRUE_BEFORE]
    after, there = datetime.fromisoformat(run.table("users")["settled_after"]), datetime.now(timezone.utc) + timedelta(days=days)
    assert after <= (there if days > -3650 else datetime.now(timezone.utc))
    server.acts[USERS] = [whole(page(*AFTER))]
    assert trial.sync().table("users")["settled_after"] > before and seen(dest) == TRUE_AFTER
    record("an API whose clock is days or years off", "`Date` and other headers ten years and a day off, both ways", "2 users",
           "as before", "the truth; exit 0", TIME)


def test_an_answer_of_another_table_is_no_answer(server, dest):
    """Records of another resource have no place to go wrong: what is no member of a user is in `_extra`."""
    trial = Trial(server, dest)
    trial.healthy(BEFORE)
    before = contents(dest / "users")
    server.acts[USERS] = [buckets(bucket(today(), "1"))]
    run = trial.sync(code=2)
    assert run.table("users")["error"]["cure"] and contents(dest / "users") == before
    record("the answer of another endpoint", "buckets of costs in place of users", "2 users", "as before; exit 2", "as before")
