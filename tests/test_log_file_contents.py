"""What a log file's download brings: the file, the file compressed, half of it, or something else.

What is not the file is downloaded again by later syncs until it is, or until the source says that it is gone; a line
that is no record costs itself and nothing else. Against a scripted Logs Platform (fixtures/sources.py).
"""

import gzip
import hashlib
import io
import json
from datetime import timedelta

import pyarrow
import pytest

import truth
from conftest import catalog, settled, spec, state, sync
from fixtures.sources import ORGANIZATION, OTHER_WORKSPACE, WORKSPACE, Logs, event, iso, lines, now, samples
from reliability import ANSWERS, LIMITS, record
from scripted import Answer, Scripted, page, user
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
    return sorted(row["event_id"] for row in lake_rows(dest, spec(table)))


def skipped(run, table: str = "log_auth") -> list[dict]:
    return run.table(table)["skipped"]


def pending(dest, table: str = "log_auth") -> list[str]:
    return [file["id"] for file in state(dest)["tables"][table].get("pending_files", [])]


def unlisted(file):
    """The list names it without size and hash."""
    file.size = file.sha256 = None
    return file


# ---- something else came ------------------------------------------------------------------------------

EVENTS = [event(f"e{n}", 60) for n in range(4)]
WHOLE = lines(EVENTS)
HTML = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head>\n<body>Welcome to the guest network</body></html>\n"
FOREIGN = {
    "a page of HTML": HTML,
    "a page of HTML after blank lines and a byte order mark": b"\xef\xbb\xbf\r\n\r\n" + HTML,
    "an XML error": b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code></Error>',
    "an error in JSON": b'{"error":{"message":"The server had an error","type":"server_error"}}',
    "an error in JSON over several lines": json.dumps({"error": {"message": "no", "code": 500}}, indent=2).encode(),
    "plain text": b"upstream connect error or disconnect/reset before headers\n",
    "a list": json.dumps(EVENTS).encode(),
    "null": b"null",
    "nothing": b"",
    "blank lines": b"\n \r\n\n",
    "a byte order mark": b"\xef\xbb\xbf",
    "zeros": bytes(4096),
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4,
    "UTF-16": WHOLE.decode().encode("utf-16"),
    "half of it": WHOLE[: len(WHOLE) // 2 + 20],
    "its first line and a half": WHOLE[: WHOLE.index(b"\n") + 40],
    "half of it compressed": gzip.compress(WHOLE)[:-30],
    "its end": WHOLE[60:],
    "a page of HTML, compressed": gzip.compress(HTML),
    "itself with a page at its end": WHOLE[: WHOLE.index(b"\n") + 1] + HTML,
}


@pytest.mark.parametrize("foreign", FOREIGN)
def test_what_came_instead_of_a_file_is_downloaded_again_until_it_is_the_file(logs, dest, foreign):
    bad = unlisted(logs.add("file-bad", WHOLE, hours_ago=59))
    logs.add("file-good", [event("g1", 2)], hours_ago=1)
    bad.body = FOREIGN[foreign]
    for _ in range(2):
        asked = logs.asked_for(bad)
        run = sync(dest, logs, *AUTH, code=2, retries=0)
        assert "g1" in ids(dest) and logs.asked_for(bad) > asked
        assert run.table("log_auth")["status"] == "ok"
        (told,) = skipped(run)
        assert "file-bad" in told["parent"] and "next run" in told["cure"] and told["reason"] in run.err
    bad.body = WHOLE
    run = sync(dest, logs, *AUTH)
    assert ids(dest) == ["e0", "e1", "e2", "e3", "g1"] and pending(dest) == []
    assert any("file-bad" in text for text in run.table("log_auth")["warnings"])
    asked = logs.asked_for(bad)
    run = sync(dest, logs, *AUTH)
    assert logs.asked_for(bad) == asked and run.table("log_auth")["warnings"] == []
    record("a log file that came as something else", f"the list gives no size and hash, and two syncs get: {foreign}",
           "nothing", "the other file's event, and the records among what came; exit 2",
           "when the file comes, every event once, and it is not asked for again; exit 0")


def log_tables() -> list[dict]:
    return [table for table in catalog() if table["name"].startswith("log_") and not table["same_as"]]


def kind_of(table: dict) -> str:
    asked = [table["request"].get("query") or {}, *(table["request"].get("passes") or [])]
    return next(given["event_type"] for given in asked if "event_type" in given)


@pytest.mark.parametrize("name", [table["name"] for table in log_tables()])
def test_each_table_of_log_files_reads_such_a_file_later(logs, dest, name):
    table = spec(name)
    owner = ORGANIZATION if "{key.organization}" in table["request"]["path"] else WORKSPACE
    kind = kind_of(table)
    body = samples(kind)
    file = unlisted(logs.add("file-bad", body, type=kind, owner=owner, hours_ago=59))
    file.body = HTML
    sync(dest, logs, "--tables", name, code=2, retries=0)
    assert ids(dest, name) == []
    file.body = body
    sync(dest, logs, "--tables", name)
    assert ids(dest, name) == sorted(str(truth.parse(line)["event_id"]) for line in body.splitlines())


@pytest.mark.parametrize("name", [table["name"] for table in log_tables()])
def test_each_table_reads_a_log_file_that_is_listed_five_hours_late(logs, dest, name):
    """The cursor is at the time of the first sync, and the file was closed five hours before."""
    table = spec(name)
    owner = ORGANIZATION if "{key.organization}" in table["request"]["path"] else WORKSPACE
    kind = kind_of(table)
    body = samples(kind)
    sync(dest, logs, "--tables", name)
    logs.add("file-late", body, type=kind, owner=owner, hours_ago=5)
    sync(dest, logs, "--tables", name)
    assert ids(dest, name) == sorted(str(truth.parse(line)["event_id"]) for line in body.splitlines())


def test_two_tables_of_one_file_both_get_its_rows_later(logs, dest):
    """The second one may not be read in every sync: the file stays for it."""
    both = ("--tables", "log_costs,log_cost_billing")
    body = samples("COSTS")
    kind = kind_of(spec("log_costs"))
    file = unlisted(logs.add("file-bad", body, type=kind, owner=ORGANIZATION, hours_ago=59))
    good = logs.add("file-good", body.replace(b'"event_id":"', b'"event_id":"other-'), type=kind, owner=ORGANIZATION)
    sync(dest, logs, *both)
    expected = [len(lake_rows(dest, spec(name))) for name in ("log_costs", "log_cost_billing")]
    assert all(expected)
    for path in dest.iterdir():
        path.is_dir() and path.rename(dest.parent / f"gone-{path.name}")
    file.body = HTML
    sync(dest, logs, *both, code=2, retries=0)
    file.body = body
    sync(dest, logs, "--tables", "log_costs")
    assert pending(dest, "log_costs") == [] and pending(dest, "log_cost_billing") == ["file-bad"]
    logs.files.remove(good)
    sync(dest, logs, *both)
    assert [len(lake_rows(dest, spec(name))) for name in ("log_costs", "log_cost_billing")] == expected
    assert pending(dest, "log_cost_billing") == []


def test_each_workspace_has_its_own(dest):
    with Logs((WORKSPACE, OTHER_WORKSPACE)) as logs:
        one = unlisted(logs.add("file-x", [event("e1", 60)], owner=WORKSPACE, hours_ago=59))
        logs.add("file-y", [event("e2", 60)], owner=OTHER_WORKSPACE, hours_ago=59)
        one.body = HTML
        sync(dest, logs, *AUTH, code=2, retries=0)
        assert ids(dest) == ["e2"]
        one.body = lines([event("e1", 60)])
        before = len([asked for asked in logs.asked if asked.path.endswith(("/file-x", "/file-y"))])
        sync(dest, logs, *AUTH)
        assert ids(dest) == ["e1", "e2"]
        again = [asked.path for asked in logs.asked if asked.path.endswith(("/file-x", "/file-y"))][before:]
        assert again == [f"/compliance/workspaces/{WORKSPACE}/logs/file-x"]


@pytest.mark.parametrize("status", [404, 410])
def test_a_file_that_goes_away_meanwhile_is_told_once(logs, dest, status):
    file = unlisted(logs.add("file-bad", WHOLE, hours_ago=59))
    file.body = HTML
    sync(dest, logs, *AUTH, code=2, retries=0)
    logs.files.clear()
    file.redirect = [(Answer({"error": {"message": "Log file not found or no longer available."}}, status=status),)]
    run = sync(dest, logs, *AUTH, code=2)
    (told,) = skipped(run)
    assert "file-bad" in told["parent"] and "lost" in told["cure"]
    assert pending(dest) == []
    asked = logs.asked_for(file)
    sync(dest, logs, *AUTH)
    assert logs.asked_for(file) == asked


def test_a_file_that_a_list_no_longer_names_is_still_downloaded(logs, dest):
    file = unlisted(logs.add("file-bad", WHOLE, hours_ago=59))
    file.body = HTML
    sync(dest, logs, *AUTH, code=2, retries=0)
    logs.files.clear()
    file.body = WHOLE
    sync(dest, logs, *AUTH)
    assert ids(dest) == ["e0", "e1", "e2", "e3"]


def test_a_file_older_than_what_the_source_keeps_is_given_up_with_a_word(logs, dest):
    file = unlisted(logs.add("file-bad", WHOLE, hours_ago=59))
    file.body = HTML
    sync(dest, logs, *AUTH, code=2, retries=0)
    path = dest / "_state/state.json"
    known = json.loads(path.read_text())
    known["tables"]["log_auth"]["pending_files"][0]["time"] = iso(now() - timedelta(days=40))
    path.write_text(json.dumps(known))
    logs.files.clear()
    run = sync(dest, logs, *AUTH, code=2, retries=0)
    (told,) = skipped(run)
    assert "30 days" in told["reason"] and "lost" in told["cure"] and pending(dest) == []
    sync(dest, logs, *AUTH)


def test_a_size_alone_shows_that_nothing_is_missing(logs, dest):
    """An odd line of a file of the right length is the source's own; a page of that length is not the file."""
    odd = logs.add("file-odd", WHOLE + b"not a record\n", hours_ago=59)
    page_of_html = logs.add("file-page", WHOLE, hours_ago=58)
    odd.sha256 = page_of_html.sha256 = None
    page_of_html.body = HTML + b" " * (len(WHOLE) - len(HTML))
    run = sync(dest, logs, *AUTH, code=2, retries=0)
    assert pending(dest) == ["file-page"]
    assert {told["parent"] for told in skipped(run)} == {"file file-odd", "file file-page"}
    page_of_html.body = WHOLE
    sync(dest, logs, *AUTH)
    assert ids(dest) == ["e0", "e1", "e2", "e3"]


def test_when_more_files_fail_than_the_state_keeps_the_cursor_waits(logs, dest):
    """As where a firewall lets nothing of the store through: then it is no matter of single files."""
    for n in range(130):
        unlisted(logs.add(f"file-{n:03}", [event(f"e{n:03}", 60)], hours_ago=59 - n / 60)).body = HTML
    sync(dest, logs, *AUTH, code=2, retries=0)
    kept = pending(dest)
    assert len(kept) == 100
    first_left_out = min(file.end_time for file in logs.files if file.id not in kept)
    assert settled(dest, "log_auth") <= first_left_out
    for file, n in zip(logs.files, range(130)):
        file.body = lines([event(f"e{n:03}", 60)])
    sync(dest, logs, *AUTH)
    assert ids(dest) == [f"e{n:03}" for n in range(130)] and pending(dest) == []


def test_a_page_that_came_once_is_overcome_by_the_next_attempt(logs, dest):
    """A signed address can be answered by a proxy's page for a moment."""
    file = unlisted(logs.add("file-1", WHOLE))
    file.signed = [Answer(HTML, headers={"content-type": "text/html"}), Answer(b"")]
    run = sync(dest, logs, *AUTH)
    assert ids(dest) == ["e0", "e1", "e2", "e3"] and run.table("log_auth")["retries"] == 2


# ---- compressed, whatever the headers say -------------------------------------------------------------


def zstd(data: bytes) -> bytes:
    return pyarrow.compress(data, codec="zstd", asbytes=True)


def named(data: bytes) -> bytes:
    """As `gzip` writes it, with the file's name in its header."""
    written = io.BytesIO()
    with gzip.GzipFile("events.jsonl", "wb", fileobj=written) as file:
        file.write(data)
    return written.getvalue()


PACKED = {
    "gzip": gzip.compress(WHOLE),
    "gzip with a name": named(WHOLE),
    "gzip of two members, cut within a line": gzip.compress(WHOLE[:99]) + gzip.compress(WHOLE[99:]),
    "gzip with an empty member": gzip.compress(b"") + gzip.compress(WHOLE),
    "gzip filled up with zeros": gzip.compress(WHOLE) + bytes(512),
    "gzip in gzip": gzip.compress(gzip.compress(WHOLE)),
    "zstd": zstd(WHOLE),
    "zstd of two frames": zstd(WHOLE[:99]) + zstd(WHOLE[99:]),
}


@pytest.mark.parametrize("listed", ["packed", "unpacked", "not at all"])
@pytest.mark.parametrize("packed", PACKED)
def test_a_compressed_file_is_unpacked(logs, dest, packed, listed):
    body = PACKED[packed]
    file = logs.add("file-1", body if listed == "packed" else WHOLE)
    file.body = body
    if listed == "not at all":
        unlisted(file)
    run = sync(dest, logs, *AUTH)
    assert ids(dest) == ["e0", "e1", "e2", "e3"] and skipped(run) == []


@pytest.mark.parametrize("listed", ["packed", "unpacked"])
def test_a_file_whose_compression_is_said_may_be_listed_either_way(logs, dest, listed):
    packed = gzip.compress(WHOLE)
    file = logs.add("file-1", packed if listed == "packed" else WHOLE)
    file.signed = [(Answer(packed, headers={"content-encoding": "gzip", "content-type": "application/jsonl"}),)]
    sync(dest, logs, *AUTH)
    assert ids(dest) == ["e0", "e1", "e2", "e3"]


def test_a_compressed_file_that_the_api_gives_itself(logs, dest):
    file = logs.add("file-1", WHOLE)
    file.redirect = [Answer(gzip.compress(WHOLE))]
    sync(dest, logs, *AUTH)
    assert ids(dest) == ["e0", "e1", "e2", "e3"]


@pytest.mark.parametrize("listed", [True, False])
def test_a_file_that_unpacks_without_end_is_given_up_in_time(logs, dest, listed):
    written = io.BytesIO()
    with gzip.GzipFile(fileobj=written, mode="wb", compresslevel=1) as file:
        for _ in range(300):
            file.write(bytes(1 << 20))
    bomb = logs.add("file-bomb", written.getvalue())
    listed or unlisted(bomb)
    logs.add("file-good", [event("g1")])
    run = sync(dest, logs, *AUTH, code=2, retries=0)
    (told,) = skipped(run)
    assert "256 MiB" in told["reason"] and ids(dest) == ["g1"]
    record("a log file that unpacks to more than a machine has", "300 MiB of zeros in gzip", "nothing",
           "the other file's event; the file is reported; exit 2", "the same", LIMITS)


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_an_answer_of_the_api_that_is_compressed_without_a_word(dest, pack):
    with Scripted() as server:
        server.answers["/organization/users"] = [Answer(pack(page(user("user-1"), user("user-2"), more=True).bytes())),
                                                 Answer(pack(page(user("user-3")).bytes()))]
        sync(dest, server, "--tables", "users")
        assert sorted(row["id"] for row in lake_rows(dest, spec("users"))) == ["user-1", "user-2", "user-3"]


def test_a_refusal_that_is_compressed_without_a_word_is_told(dest):
    with Scripted() as server:
        server.answers["/organization/users"] = [Answer(gzip.compress(b'{"error":{"message":"members are hidden"}}'), status=403)]
        run = sync(dest, server, "--tables", "users", code=3)
        assert "members are hidden" in run.err


def test_half_of_a_compressed_answer_is_asked_for_again(dest):
    with Scripted() as server:
        whole = gzip.compress(page(user("user-1")).bytes())
        server.answers["/organization/users"] = [Answer(whole[:-9]), Answer(whole)]
        run = sync(dest, server, "--tables", "users")
        assert [row["id"] for row in lake_rows(dest, spec("users"))] == ["user-1"] and run.table("users")["retries"] == 1


# ---- one line ------------------------------------------------------------------------------------------

FIRST, SECOND, THIRD = (json.dumps(event(f"e{n}")).encode() for n in range(3))
LARGE = json.dumps(event("e1", note="x" * (100 << 20))).encode()
LINES = {
    "no JSON": (b"not JSON", ["e0", "e2"]),
    "bytes that are not UTF-8": (SECOND.replace(b"saml", b"s\xe4ml"), ["e0", "e2"]),
    "half a character at its end": (SECOND + b"\xe2\x82", ["e0", "e2"]),
    "UTF-16": (SECOND.decode().encode("utf-16-le"), ["e0", "e2"]),
    "a NUL before it": (b"\0" + SECOND, ["e0", "e2"]),
    "a NUL within a text": (SECOND.replace(b"saml", b"s\0ml"), ["e0", "e2"]),
    "nothing but NULs": (bytes(300), ["e0", "e2"]),
    "half a line": (SECOND[:-25], ["e0", "e2"]),
    "a text without its end": (SECOND[: SECOND.rindex(b'"')], ["e0", "e2"]),
    "a comma too many": (SECOND[:-1] + b",}", ["e0", "e2"]),
    "a bracket too many": (SECOND + b"}", ["e0", "e1", "e2"]),
    "two halves of lines": (SECOND[:40] + SECOND[-40:], ["e0", "e2"]),
    "deeper than anything": (SECOND[:-1] + b',"odd":' + b"[" * 400 + b"]" * 400 + b"}", ["e0", "e2"]),
    "a large line that is broken": (LARGE[:-1], ["e0", "e2"]),
}


@pytest.mark.parametrize("line", LINES)
def test_one_bad_line_costs_itself_and_is_told(logs, dest, line):
    bad, expected = LINES[line]
    file = logs.add("file-odd", b"\n".join([FIRST, bad, THIRD]) + b"\n", hours_ago=59)
    run = sync(dest, logs, *AUTH, code=2)
    assert ids(dest) == expected
    (told,) = skipped(run)
    assert "file-odd" in told["parent"] and "line 2" in told["reason"]
    assert "lost" in told["cure"] and "next" not in told["cure"], "the source lists it so: it stays as it is"
    run = sync(dest, logs, *AUTH)
    assert skipped(run) == [] and logs.asked_for(file) == 1
    record("a log file with a line that is no record", f"its second line: {line}; size and hash are right", "nothing",
           "the records before and behind it; the line is reported once; exit 2", "the same; exit 0")


GOOD_LINES = {
    "a byte order mark before the file": b"\xef\xbb\xbf" + WHOLE,
    "a byte order mark before each line": b"".join(b"\xef\xbb\xbf" + line for line in WHOLE.splitlines(keepends=True)),
    "ends of lines as on Windows": WHOLE.replace(b"\n", b"\r\n"),
    "blank lines": WHOLE.replace(b"\n", b"\n\n \t\n"),
    "no last end of line": WHOLE.rstrip(b"\n"),
}


@pytest.mark.parametrize("good", GOOD_LINES)
@pytest.mark.parametrize("listed", [True, False])
def test_what_hurts_no_line_is_no_matter(logs, dest, good, listed):
    file = logs.add("file-1", GOOD_LINES[good])
    listed or unlisted(file)
    run = sync(dest, logs, *AUTH)
    assert ids(dest) == ["e0", "e1", "e2", "e3"] and skipped(run) == []


def test_a_line_of_100_megabytes_is_a_row(logs, dest):
    logs.add("file-1", b"\n".join([FIRST, LARGE, THIRD]) + b"\n")
    sync(dest, logs, *AUTH)
    assert ids(dest) == ["e0", "e1", "e2"]


def test_of_many_bad_lines_the_first_ones_are_named_and_the_others_counted(logs, dest):
    odd = [line for n in range(40) for line in (json.dumps(event(f"e{n:02}")).encode(), b"\xff", b"no record")]
    logs.add("file-odd", b"\n".join(odd) + b"\n")
    run = sync(dest, logs, *AUTH, code=2)
    assert ids(dest) == [f"e{n:02}" for n in range(40)]
    told = [one["reason"] for one in skipped(run)]
    assert "30 more lines that are not UTF-8" in told and "30 more lines that are no records" in told and len(told) == 22
