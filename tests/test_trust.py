"""Names and texts of the API reach no other path, no other header and no terminal; private files are private.

Everything that the API, a state, a lease or a folder could say is said here by somebody with bad intentions.
"""

import json
import os
import re
import stat
import urllib.parse

import pytest

from conftest import command, contents, settings, spec, sync
from fixtures.sources import COMPLIANCE_KEY, Logs, event
from hostile_server import Hostile, whole
from reliability import TRUST, record
from scripted import Answer, Scripted, page, user
from truth import lake_rows

USERS = "/organization/users"


@pytest.fixture
def server():
    with Scripted() as running:
        yield running


@pytest.fixture
def dest(tmp_path):
    return tmp_path / "lake"


# ---- paths -------------------------------------------------------------------------------------------

TRAVERSAL = {
    "dots": "../..", "dots and more": "../../../etc/passwd", "one dot": ".", "two dots": "..", "encoded dots": "%2e%2e", "half-encoded": ".%2e/",
    "encoded twice": "%252e%252e%252f", "a slash": "/", "an encoded slash": "%2f", "backslashes": "..\\..\\x", "an address": "http://192.0.2.7/x",
    "a host": "//192.0.2.7/x", "a query": "x?admin=true", "a fragment": "x#y", "NUL": "x\0y", "line breaks": "x\r\nHost: 192.0.2.7\r\n\r\nGET /other",
    "blanks": " ", "nothing": "", "very long": "x" * 20_000, "a parameter": "x;y=z", "right to left": "x\u202ey", "an emoji": "🦀",
}


@pytest.mark.parametrize("name", TRAVERSAL)
def test_an_id_of_a_parent_stays_one_segment_of_a_path(dest, name):
    """The server sees the bytes of the request: one segment, percent-encoded, and nothing else that was not meant."""
    id = TRAVERSAL[name]
    with Hostile() as server:
        server.acts[USERS] = [whole(json.dumps({"object": "list", "data": [user(id)], "has_more": False}).encode())]
        sync(dest, server, "--tables", "user_role_assignments", code={0, 2}, retries=0)
        children = [asked.path for asked in server.asked if asked.path != USERS]
    for path in children:
        segment = path.removeprefix("/organization/users/").removesuffix("/roles")
        assert path == f"/organization/users/{segment}/roles" and re.fullmatch(r"[A-Za-z0-9._~%-]+", segment), path[:200]
        assert urllib.parse.unquote(segment) == id and segment not in (".", "..")
    expected = {"users", "user_role_assignments", "_state", "_runs"}
    assert {path.name for path in dest.iterdir()} - {"_staging"} <= expected, "the lake has no other place"
    assert {path.name for path in dest.parent.iterdir()} == {"lake", "lake.toml"}
    record("an id that would leave its place", "`../..`, `%2e%2e`, `/`, an address, a query, line breaks, NUL, 20,000 characters and more, as the id of a parent",
           "nothing", "asked for as one percent-encoded segment, or left out and told", "no file outside the tables' own places", TRUST)


@pytest.mark.parametrize("name", ["../../users", "%2e%2e", "x?y", "x\r\nHost: y", "", "."])
def test_a_file_of_a_list_stays_one_segment_too(dest, name):
    with Logs() as logs:
        file = logs.add("file-1", [event("e1")], hours_ago=1)
        file.id = name
        sync(dest, logs, "--tables", "log_auth", code={0, 2, 3}, retries=0)
        for asked in logs.asked:
            segments = asked.path.split("/")
            assert segments[1:3] == ["compliance", "workspaces"] and segments[4] in ("logs", "max_event_time"), asked.path
            assert len(segments) == 5 or (len(segments) == 6 and urllib.parse.unquote(segments[5]) == name)
        assert logs.store.asked == []


@pytest.mark.parametrize("workspace", ["../../organizations/org-1", "%2e%2e", "..", "a/b", "a?b", "a#b"])
def test_a_workspace_of_the_settings_is_one_segment_or_refused(dest, workspace):
    with Hostile() as server:
        env = {"CHATGPT_BASE_URL": f"http://127.0.0.1:{server.port}/v1", "CHATGPT_COMPLIANCE_KEY": COMPLIANCE_KEY, "CHATGPT_WORKSPACE_IDS": workspace}
        command("sync", "--dest", dest, "--tables", "log_auth", "--config", settings(dest, 0), env=env, code={0, 1, 2, 3})
        for asked in server.asked:
            assert re.fullmatch(r"/compliance/workspaces/[^/]+/(logs|max_event_time)", asked.path) and urllib.parse.unquote(asked.path.split("/")[3]) == workspace


TABLE = """
doc = "x"
key = ["id"]
[request]
path = "/organization/users"
rows = ["/data"]
[paging]
send = "after"
from = "/last_id"
last = "/id"
while = "/has_more"
[columns]
id = { type = "string", doc = "Id." }
"""


@pytest.mark.parametrize("name", ["..", "a.b", "_state", "_runs", "Users", "a b", "ü", "a-b", "1a", "a\x1b[2J", "date=2026-01-01", "x" * 300])
def test_a_table_has_a_plain_name_or_is_refused(server, dest, tmp_path, name):
    """A table's name is its folder's name."""
    folder = tmp_path / "schemas/admin"
    folder.mkdir(parents=True)
    try:
        (folder / f"{name}.toml").write_text(TABLE)
    except OSError:
        assert len(name) == 300, "no file system takes this name"
        return
    run = sync(dest, server, "--schemas", tmp_path / "schemas", "--tables", "users", code=1)
    assert "a table's name is lower snake case" in run.err and server.asked == [] and not dest.exists()
    assert_plain(run.err)
    record("a table with a name that would leave its place", "`..`, `_state`, `a.b`, capitals, blanks, escape sequences, as a file of `--schemas`",
           "nothing", "refused before anything is asked; exit 1", "nothing", TRUST)


@pytest.mark.parametrize("path", ["//192.0.2.7/x", "http://192.0.2.7/x", "/../../x", "organization/users", "/organization/users?x=y", "/a b"])
def test_a_request_of_a_table_goes_below_the_base_url_or_is_refused(server, dest, tmp_path, path):
    folder = tmp_path / "schemas/admin"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text(TABLE.replace("/organization/users", path))
    sync(dest, server, "--schemas", tmp_path / "schemas", "--tables", "mine", code={0, 1, 2, 3}, retries=0)
    assert all("192.0.2.7" not in asked.headers["host"] for asked in server.asked)
    assert server.asked == [] or ".." not in path, "above the base URL is not below it"


@pytest.mark.parametrize("name", ["../users", "/etc/passwd", "_state", "users/../costs", "users%00"])
def test_a_table_that_is_chosen_must_be_one(server, dest, name):
    for flags in (["--tables", name], ["--exclude", name]):
        run = command("sync", "--dest", dest, *flags, env=server.env(), code=1)
        assert "there is no table" in run.err and server.asked == [] and not dest.exists()


# ---- private files -------------------------------------------------------------------------------------


def assert_private(folder) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
    for path in folder.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077], ids=oct)
def test_state_and_reports_are_private_whatever_the_umask(server, dest, tmp_path, umask):
    server.answers[USERS] = [page(user("user-1"))]
    with_umask = {"preexec_fn": lambda: os.umask(umask)}
    elsewhere = tmp_path / "elsewhere/state.json"
    sync(dest, server, "--tables", "users", **with_umask)
    sync(dest, server, "--tables", "users", **with_umask)
    command("state", "rebuild", "--dest", dest, code=0, **with_umask)
    command("state", "reset", "users", "--dest", dest, code=0, **with_umask)
    sync(dest, server, "--tables", "users", "--state", elsewhere, **with_umask)
    for folder in (dest / "_state", dest / "_runs"):
        assert_private(folder)
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o600
    record("other users of the machine", "umask 000, 022 and 077", "nothing", "state, lease and reports 0600 in folders 0700", "the same after `state rebuild` and `reset`", TRUST)


# ---- terminals -----------------------------------------------------------------------------------------

ESCAPES = {
    "clear the screen": "\x1b[2J\x1b[1;1H", "a colour": "\x1b[31m", "a link (OSC 8)": "\x1b]8;;http://192.0.2.7\x07click\x1b]8;;\x07",
    "a window title": "\x1b]0;owned\x07", "a bell": "\x07", "a carriage return": "\rok", "backspaces": "\b\b\b\b", "C1 control": "\x9b2J\x9d0;x\x9c",
    "right to left": "\u202eevil\u2066x\u2069\u200f", "line breaks": "\nall is well\n", "a line separator": "\u2028\u2029", "delete": "\x7f", "NUL": "\0",
}
UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def assert_plain(text: str) -> None:
    found = UNWANTED.search(text)
    assert found is None, f"{found[0]!r} in {text[max(0, found.start() - 80) : found.end() + 20]!r}"
    assert not re.search(r"^\s*all is well", text, re.M), "an API cannot begin a line of ours"


BAD = "a" + "".join(ESCAPES.values()) + "z"
BODIES = {
    "a message and a code": {"error": {"message": BAD, "code": BAD}}, "a list of details": {"detail": [{"loc": [BAD], "msg": BAD}]},
    "a detail": {"detail": BAD}, "plain text": BAD, "an HTML page": f"<html>{BAD}",
}


@pytest.mark.parametrize("body", BODIES)
def test_what_the_api_says_cannot_move_a_terminal(server, dest, body):
    """In messages, codes, ids, names, values that do not fit, and unknown members; what is shown is plain text."""
    roles = f"{USERS}/{urllib.parse.quote(BAD, safe='')}/roles"
    server.answers[USERS] = [page(user(BAD, name=BAD, added_at=BAD, **{BAD: BAD}))]
    for status in (400, 500):
        server.answers[roles] = server.answers["/organization/invites"] = [Answer(BODIES[body], status=status)]
        run = command("sync", "--dest", dest, "--tables", "users,user_role_assignments,invites", "--config", settings(dest, 0), "--log", "debug",
                      env=server.env(), code=2)
        assert_plain(run.out + run.err)
        assert "user_role_assignments" in run.err and str(status) in run.err
    assert [row["name"] for row in lake_rows(dest, spec("users"))] == [BAD], "the lake has it as it came"
    record(f"escape sequences of {', '.join(ESCAPES)}", "in ids, names, odd values and refusals", "nothing",
           "what is shown is plain; the lake holds the text as it came", "the same", TRUST)


def test_what_stands_in_the_destination_cannot_move_a_terminal(server, dest):
    """Somebody else may write there: a folder, a state and a lease with names of their own."""
    server.answers[USERS] = [page(user("user-1"))]
    sync(dest, server, "--tables", "users")
    bad, folder = "a\x1b[2J\u202e\x07z", "a\u202ez"
    (dest / folder).mkdir()
    (dest / folder / "data.parquet").write_bytes((dest / "users/data.parquet").read_bytes())
    state = json.loads((dest / "_state/state.json").read_text())
    state["tables"][bad] = {"cursor": "2026-01-01T00:00:00Z"}
    (dest / "_state/state.json").write_text(json.dumps(state))
    # A folder that is no table's is passed over.
    runs = [command("verify", "--dest", dest, code=0), command("state", "show", "--dest", dest, code=0), command("state", "reset", bad, "--dest", dest, code={0, 1})]
    (dest / "_runs/x.json").write_text(json.dumps({"tables": {bad: {"objects": [{"path": bad, "rows": 1, "bytes": 1}]}}}))
    runs += [command("verify", "--dest", dest, code=4)]
    (dest / "_runs/x.json").unlink()
    (dest / bad).mkdir()
    (dest / bad / "data.parquet").write_bytes(b"")
    runs += [command("verify", "--dest", dest, code=0), sync(dest, server, "--tables", "users", code={0, 4})]
    for run in runs:
        assert_plain(run.out + run.err)
    record("escape sequences in the names of folders, states and reports", "`verify`, `state show`, `state reset`", "1 user", "what is shown is plain", "1 user", TRUST)


def test_a_lease_whose_holder_has_an_odd_name(server, dest):
    """The holder's note is shown; a lock on it is all that a run needs."""
    import fcntl

    server.answers[USERS] = [page(user("user-1"))]
    sync(dest, server, "--tables", "users")
    before = contents(dest / "users")
    with (dest / "_state/lease").open("w") as lease:
        lease.write("run \x1b[2J\u202eme\nall is well\n")
        lease.flush()
        fcntl.flock(lease, fcntl.LOCK_EX)
        run = command("sync", "--dest", dest, "--tables", "users", env=server.env(), code=4)
    assert "lease" in run.err and contents(dest / "users") == before
    assert_plain(run.err)
