"""Answers without measure: huge, packed, nested, endless. Memory stays bounded, and what is legitimate is read whole.

The bounds asserted here are generous; the page states them. Memory is the peak resident set of the program's process.
"""

import gzip
import json

import pyarrow.parquet as pq
import pytest

from conftest import contents, objects
from hostile import BEFORE, Trial, list_of, seen, text_of
from hostile_server import Hostile, head, measured, megabytes, sends, whole
from reliability import LIMITS, record
from scripted import page, user

USERS = "/organization/users"


@pytest.fixture
def server():
    with Hostile() as running:
        yield running


@pytest.fixture
def dest(tmp_path):
    return tmp_path / "lake"


def spaces(megabytes: int):
    """An object that begins and then goes on with spaces, in chunks."""

    def act(connection):
        connection.send(head(None, transfer_encoding="chunked") + b"1\r\n{\r\n")
        piece = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
        for _ in range(megabytes):
            connection.send(piece)
        connection.send(b"0\r\n\r\n")

    return act


def bomb(megabytes: int):
    """So much unpacked, and next to nothing on the way."""
    packed = gzip.compress(b"{" + b" " * (megabytes << 20), compresslevel=9)
    assert len(packed) < megabytes << 10 << 2
    return whole(packed, content_encoding="gzip")


TOO_LARGE = {
    "a gzip bomb": bomb(300),
    "a body without end": spaces(4000),
    "an announced length of a petabyte": sends(head(1 << 50) + b"{"),
}


@pytest.mark.parametrize("fault", TOO_LARGE)
def test_an_answer_beyond_measure_is_refused(server, dest, tmp_path, fault):
    bound = 400
    Trial(server, dest, LIMITS).fails(
        fault, [TOO_LARGE[fault]], f"memory stayed below {bound} MB", said=["larger than 256 MiB"], **measured(tmp_path / "memory"))
    assert megabytes(tmp_path / "memory") < bound
    assert len(server.requests(USERS)) == 3, "asking again would not help"


def reads_whole(server, dest, tmp_path, fault: str, body: bytes, expected: list, bound: int):
    """A large answer that is in order: read, in bounded memory, and healthy afterwards."""
    trial = Trial(server, dest, LIMITS)
    trial.healthy(BEFORE)
    server.acts[USERS] = [trial.spied(whole(body))]
    run = trial.sync(**measured(tmp_path / "memory"))
    assert [name for name, _, deleted in seen(dest) if not deleted] == expected
    assert megabytes(tmp_path / "memory") < bound
    record(fault, f"memory stayed below {bound} MB", "2 users", "as before", "every record; exit 0", LIMITS)
    return run


def test_a_page_of_60_megabytes_is_read(server, dest, tmp_path):
    records = [user(f"user-{index:05}", note="n" * 20_000) for index in range(3000)]
    body = page(*records).bytes()
    assert len(body) > 60_000_000
    reads_whole(server, dest, tmp_path, "a page of 60 MB", body, [one["id"] for one in records], 300)
    (path,) = objects(dest, "users")
    extra = pq.read_table(path, columns=["id", "_extra"]).to_pylist()
    assert all(len(json.loads(row["_extra"])["note"]) == 20_000 for row in extra if row["id"] in ("user-00000", "user-02999"))


def test_strings_of_20_megabytes_are_read(server, dest, tmp_path):
    long = "x" * 20_000_000
    body = page(user("user-1", name=long), user("user-2", note=long)).bytes()
    reads_whole(server, dest, tmp_path, "strings of 20 MB", body, ["user-1", "user-2"], 400)
    (path,) = objects(dest, "users")
    rows = {row["id"]: row for row in pq.read_table(path, columns=["id", "name", "_extra"]).to_pylist()}
    assert rows["user-1"]["name"] == long and json.loads(rows["user-2"]["_extra"]) == {"note": long}


def test_very_many_members_are_read(server, dest, tmp_path):
    members, lists = json.dumps({f"member_{index}": index for index in range(100_000)}), f"[{','.join(['[0]'] * 200_000)}]"
    body = list_of(text_of("user-1", odd=members), text_of("user-2", odd=lists))
    reads_whole(server, dest, tmp_path, "an object of 100,000 members, a list of 200,000 lists", body, ["user-1", "user-2"], 150)


def test_a_number_of_a_million_digits_is_kept_as_it_came(server, dest, tmp_path):
    digits = "7" * 1_000_000
    run = reads_whole(server, dest, tmp_path, "a number of a million digits", list_of(text_of("user-1", added_at=digits)), ["user-1"], 150)
    assert run.table("users")["misfits"] == 1
    (path,) = objects(dest, "users")
    kept = next(row["_extra"] for row in pq.read_table(path, columns=["id", "_extra"]).to_pylist() if row["id"] == "user-1")
    assert kept == '{"added_at":%s}' % digits


DEEP = "[" * 100_000 + "]" * 100_000
OBJECTS = '{"a":' * 100_000 + "1" + "}" * 100_000
NESTED = {
    "100,000 lists in each other, in an unknown member": list_of(text_of(odd=DEEP)),
    "100,000 objects in each other, in an unknown member": list_of(text_of(odd=OBJECTS)),
    "100,000 lists in each other, in a json column": list_of(text_of(projects='{"object":"list","data":%s}' % DEEP)),
    "100,000 lists in each other, as a key": list_of(text_of(id=DEEP)),
    "100,000 lists in each other, beside the list": b'{"object":"list","odd":%s,"data":[],"has_more":false}' % DEEP.encode(),
    "100,000 lists that never close": list_of(text_of(odd="[" * 100_000)),
    "100,000 lists in each other, and nothing else": DEEP.encode(),
}


@pytest.mark.parametrize("fault", NESTED)
def test_deep_nesting_is_an_error_of_the_table(server, dest, fault):
    Trial(server, dest, LIMITS).fails(fault, [whole(NESTED[fault])])


@pytest.mark.parametrize("status", ["400 Bad Request", "404 Not Found", "500 Internal Server Error"])
def test_deep_nesting_in_a_refusal(server, dest, status):
    trial = Trial(server, dest, LIMITS)
    trial.healthy(BEFORE)
    before = contents(dest / "users")
    for text in ('{"error":%s}' % DEEP, '{"detail":%s}' % OBJECTS, '{"error":{"message":%s}}' % OBJECTS):
        server.acts[USERS] = [whole(text.encode(), status)]
        run = trial.sync(code=2)
        assert status[:3] in run.table("users")["error"]["message"] and len(run.err) < 2_000
    assert contents(dest / "users") == before
    record(f"100,000 levels in the body of a {status[:3]}", "in message, detail and error", "2 users",
           "as before; a short message; exit 2", "as before", LIMITS)


def test_two_hundred_levels_are_kept(server, dest):
    """Below the limit nothing is lost."""
    deep = "[" * 200 + "]" * 200
    trial = Trial(server, dest, LIMITS)
    trial.healthy(BEFORE)
    server.acts[USERS] = [trial.spied(whole(list_of(text_of("user-1", odd=deep))))]
    trial.sync()
    (path,) = objects(dest, "users")
    kept = [row["_extra"] for row in pq.read_table(path, columns=["id", "_extra"]).to_pylist() if row["id"] == "user-1"]
    assert kept == ['{"odd":%s}' % deep]
    record("200 lists in each other", "in an unknown member", "2 users", "as before", "kept in `_extra` as it came; exit 0", LIMITS)


def test_a_list_without_end_ends_with_the_run(server, dest):
    """Each page is new and leads to another one."""
    count = iter(range(10**9))

    def endless(connection):
        first = next(count) * 2
        whole(page(user(f"user-e{first}"), user(f"user-e{first + 1}"), more=True))(connection)

    run = Trial(server, dest, LIMITS).fails("a list without end", [endless], "always one more page, in a sync with --max-duration 3s",
                                            said=["interrupted"], flags=["--max-duration", "3s"], cure=False)
    assert run.report["interrupted"]


def test_many_bombs_at_once(server, dest, tmp_path):
    """Eight tables, each with an answer larger than is allowed: together they take what all may take, and one more of them."""
    bound = 800
    tables = {
        "users": USERS, "invites": "/organization/invites", "projects": "/organization/projects", "groups": "/organization/groups",
        "roles": "/organization/roles", "admin_api_keys": "/organization/admin_api_keys",
        "organization_certificates": "/organization/certificates", "organization_spend_alerts": "/organization/spend_alerts",
    }
    trial = Trial(server, dest, LIMITS)
    trial.healthy(BEFORE)
    before = contents(dest / "users")
    explosive = bomb(300)
    server.acts |= {path: [explosive] for path in tables.values()}
    run = trial.sync("--tables", ",".join(tables), code={2, 3}, **measured(tmp_path / "memory"))
    told = [name for name in tables if "larger than 256 MiB" in json.dumps(run.report["tables"].get(name))]
    assert len(told) == 8, run.err
    assert contents(dest / "users") == before and megabytes(tmp_path / "memory") < bound
    record("gzip bombs from all sides", f"eight tables at the same time; memory stayed below {bound} MB", "2 users",
           "as before; exit 3", "as before", LIMITS)
