"""Connections that break, stall, lie about their length or answer later: tried again, given up in time, nothing lost."""

import gzip
import json
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from conftest import contents
from hostile import BEFORE, IMPATIENT, TRUE_AFTER, TRUE_BEFORE, USERS, Trial, seen
from hostile_server import Deaf, Hostile, drips, half_closes, head, resets, sends, stalls, whole
from reliability import CONNECTIONS, record
from scripted import Answer, page, user

GOOD = page(user("user-8"), user("user-9")).bytes()  # rows that must not be in the lake: they never came whole
HALF = GOOD[: len(GOOD) // 2]
ZIPPED = gzip.compress(GOOD)
CHUNKED = head(None, transfer_encoding="chunked")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@pytest.fixture
def server():
    with Hostile() as running:
        yield running


@pytest.fixture
def dest(tmp_path):
    return tmp_path / "lake"


BROKEN = {
    "closed before the first byte": sends(b""),
    "reset before the first byte": resets,
    "closed within the headers": sends(head(len(GOOD))[:30]),
    "reset after the headers": sends(head(len(GOOD)), resets),
    "reset in the middle of a body": sends(head(len(GOOD)) + HALF, resets),
    "half-closed in the middle of a body": sends(head(len(GOOD)) + HALF, half_closes),
    "a Content-Length that is too large": sends(head(len(GOOD) + 1) + GOOD),
    "chunks without the last one": sends(CHUNKED + chunk(GOOD)),
    "a chunk that is no chunk": sends(CHUNKED + b"many\r\n" + GOOD),
    "an answer that is no HTTP": sends(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "headers without end": sends(b"HTTP/1.1 200 OK\r\n" + b"x-more: and more\r\n" * 100_000),
    "gzip that breaks off": whole(ZIPPED[:-12], content_encoding="gzip"),
    "gzip that is none": whole(GOOD, content_encoding="gzip"),
    "gzip with a wrong checksum": whole(ZIPPED[:-8] + bytes(8), content_encoding="gzip"),
    "no first byte for too long": stalls,
    "no more headers for too long": sends(head(len(GOOD))[:30], stalls),
    "no more of the body for too long": sends(head(len(GOOD)) + HALF, stalls),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_connection_costs_the_table_its_turn(server, dest, fault):
    run = Trial(server, dest, CONNECTIONS, IMPATIENT).fails(fault, [BROKEN[fault]])
    assert len(server.requests(USERS)) == 4, "a healthy one, one attempt and one retry, a healthy one"
    assert "after 2 attempts" in run.table("users")["error"]["message"]


@pytest.mark.parametrize("fault", [
    "reset before the first byte", "reset in the middle of a body", "a Content-Length that is too large",
    "gzip that breaks off", "no first byte for too long", "no more of the body for too long",
])
def test_a_connection_that_breaks_once_is_tried_again(server, dest, fault):
    Trial(server, dest, CONNECTIONS, IMPATIENT).passes(fault, [BROKEN[fault]], retries=1)


def test_a_content_length_that_is_too_small_is_half_an_answer(server, dest):
    cut = sends(head(len(GOOD) - 30, connection="close") + GOOD)
    Trial(server, dest, CONNECTIONS).fails("a Content-Length that is too small", [cut])


def test_an_address_that_takes_no_connection_is_given_up_in_time(server, dest):
    """The queue of its socket is full: not even the connection comes about."""
    trial = Trial(server, dest, CONNECTIONS, IMPATIENT)
    trial.healthy(BEFORE)
    before = contents(dest / "users")
    with Deaf() as deaf:
        run = trial.sync(env=deaf.env(), code=3)
    error = run.table("users")["error"]
    assert f"127.0.0.1:{deaf.port}" in error["message"] and error["cure"]
    assert contents(dest / "users") == before
    record("no connection for too long", "the API's socket took no further connection during one sync", "2 users",
           "as before; exit 3", "as before", CONNECTIONS)


def test_an_answer_that_drips_without_end_ends_with_the_run(server, dest):
    """It is never silent for as long as `timeout`; --max-duration ends the run in order all the same."""
    trial = Trial(server, dest, CONNECTIONS, IMPATIENT)
    run = trial.fails("a body that drips without end", [sends(head(None) + b"{", drips)], said=["interrupted"],
                      done="a byte now and then, in a sync with --max-duration 3s", flags=["--max-duration", "3s"], cure=False)
    assert run.report["interrupted"]


def test_plain_http_where_tls_is_spoken(server, dest):
    """A server without TLS gets nothing that it could read."""
    trial = Trial(server, dest, CONNECTIONS, IMPATIENT)
    trial.healthy(BEFORE)
    before, asked = contents(dest / "users"), len(server.asked)
    run = trial.sync(env={"OPENAI_BASE_URL": f"https://127.0.0.1:{server.port}/v1"}, code=3)
    assert "could not connect" in run.table("users")["error"]["message"] and run.table("users")["error"]["cure"]
    assert contents(dest / "users") == before
    assert len(server.asked) == asked, "no request could be read"
    record("no TLS behind an https address", "the base URL said https, the server answered in the clear", "2 users",
           "as before; the server could read no request; exit 3", "as before", CONNECTIONS)


# ---- told to slow down --------------------------------------------------------------------------------


def refusal(status: str, **headers):
    return whole(json.dumps({"error": {"message": "slow down"}}).encode(), status, **headers)


def in_seconds(seconds: int) -> str:
    return format_datetime(datetime.now(timezone.utc) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(("fault", "headers"), [
    ("429 without Retry-After", lambda: {}),
    ("429 with Retry-After in seconds", lambda: {"retry_after": "1"}),
    ("429 with Retry-After as a date", lambda: {"retry_after": in_seconds(2)}),
    ("429 with a Retry-After of the past", lambda: {"retry_after": in_seconds(-7200)}),
    ("429 with x-ratelimit headers", lambda: {"x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_requests": "40ms"}),
    ("429 with a Retry-After that means nothing", lambda: {"retry_after": "1e999, soon"}),
    ("429 with a Retry-After below zero", lambda: {"retry_after": "-30"}),
    ("429 with a Retry-After beyond any clock", lambda: {"retry_after": "99999999999999999999"}),
], ids=lambda value: value if isinstance(value, str) else "")
def test_a_refusal_for_the_rate_limit_is_waited_out(server, dest, fault, headers):
    refusals = 1 if "seconds" in fault or "date" in fault else 3
    acts = [refusal("429 Too Many Requests", **headers()) for _ in range(refusals)]
    done = "once; then a good answer" if refusals == 1 else "three times; then a good answer"
    run = Trial(server, dest, CONNECTIONS).passes(fault, acts, done, retries=refusals)
    assert run.table("users")["requests"] == refusals + 1


def test_a_pause_of_hours_ends_the_request_and_says_so(server, dest):
    trial = Trial(server, dest, CONNECTIONS)
    trial.fails("429 that asks for hours", [refusal("429 Too Many Requests", retry_after="7200")],
                "Retry-After: 7200 in one sync", said=["7200 s"])


def test_a_retry_after_is_read_by_the_clock_of_the_api(server, dest):
    """Its clock is an hour ahead: `Date` says so, and two seconds are two seconds."""
    ahead = refusal("429 Too Many Requests", date=in_seconds(3600), retry_after=in_seconds(3602))
    Trial(server, dest, CONNECTIONS).passes("429 with Retry-After as a date, and an API an hour ahead", [ahead], retries=1)


@pytest.mark.parametrize("status", ["500 Internal Server Error", "502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout", "520 ", "599 "])
def test_a_server_error_that_stays(server, dest, status):
    html = b"<html><head><title>\x1b[31mError</title></head><body>" + b"<p>no luck</p>" * 1000
    run = Trial(server, dest, CONNECTIONS).fails(f"{status[:3]} with an HTML page", [whole(html, status)], said=[status[:3], "HTML"])
    assert len(run.table("users")["error"]["message"]) < 600, "a page is not poured out"


@pytest.mark.parametrize("status", ["204 No Content", "300 Multiple Choices", "304 Not Modified", "400 Bad Request", "402 Payment Required", "451 No", "999 ?"])
def test_a_status_that_nobody_expects(server, dest, status):
    body = b"" if status[:3] in ("204", "304") else b'{"error":{"message":"what?"}}'
    Trial(server, dest, CONNECTIONS).fails(f"the status {status[:3]}", [whole(body, status)])
    assert len(server.requests(USERS)) == 3, "asking again would not help"


def test_a_rate_limit_that_never_ends_is_given_up(server, dest):
    """50 refusals of one request, then it is told."""
    trial = Trial(server, dest, CONNECTIONS)
    trial.fails("429 for ever", [refusal("429 Too Many Requests", retry_after="0.001")], said=["slow down"])
    assert 3 < len(server.requests(USERS)) < 100


def test_a_keep_alive_connection_that_dies_between_two_pages(server, dest):
    """The second page is asked for on a connection that the server has closed: tried again, nothing twice."""
    first = Answer({"object": "list", "data": [user("user-2", role="owner")], "has_more": True, "last_id": "user-2"}).bytes()
    trial = Trial(server, dest, CONNECTIONS)
    trial.healthy(BEFORE)
    second = whole(page(user("user-3")))
    server.acts[USERS] = [trial.spied(act) for act in (sends(head(len(first)) + first), second)]
    trial.sync()
    assert seen(dest) == TRUE_AFTER and all(rows == TRUE_BEFORE for rows in trial.during)
    record("a connection that dies between two pages", "the second page was asked for anew", "2 users", "as before",
           "the same sync gave the truth; exit 0", CONNECTIONS)
