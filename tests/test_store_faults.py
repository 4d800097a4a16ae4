"""A store that fails, refuses, loses answers, or does not keep its conditions: no reader sees it, and the next run goes on.

A real S3 server (SeaweedFS) stands behind a proxy that does the evil. What readers see is asked of the real one.
"""

import base64
import random
import signal
import tempfile
import threading
from datetime import datetime

import pytest

from conftest import PATIENCE, command, failures, spec
from reliability import STORES, record
from s3_proxy import CLOSED, SLOW_DOWN, Proxy, refusal, unfinished_uploads
from scripted import Scripted, page, user
from servers import Place
from story import data
from stores import assert_true, lease, on, start, state, sync
from truth import bag, lake_rows, true_rows


TABLES = ["users", "projects", "project_users", "costs", "audit_logs"]  # of every policy, and below a parent
CHOSEN = ("--tables", ",".join(TABLES))


@pytest.fixture(scope="module")
def organization(simulators):
    return simulators("--projects", 6, "--users", 12, "--history-days", 3)


@pytest.fixture
def proxy(seaweed):
    with Proxy(seaweed) as running:
        yield running


@pytest.fixture
def place(seaweed, proxy) -> Place:
    return seaweed.place(endpoint=proxy.endpoint)


class Large:
    """An API whose one table is large: its object goes into the store in parts."""

    def __init__(self, megabytes: int = 12):
        noise = random.Random(1)
        users = [user(f"user-{i}", noise=base64.b64encode(noise.randbytes(100_000)).decode()) for i in range(megabytes * 10)]
        pages = [users[i:i + 20] for i in range(0, len(users), 20)]
        self.count, self.script = len(users), Scripted()
        self.script.answers["/organization/users"] = [page(*each, more=each is not pages[-1]) for each in pages] * 4

    def __enter__(self) -> Scripted:
        return self.script.__enter__()

    def __exit__(self, *_):
        self.script.__exit__()


def is_part(asked) -> bool:
    return asked.method == "PUT" and "partNumber" in asked.query


def is_completion(asked) -> bool:
    return asked.method == "POST" and "uploadId" in asked.query


# ---- a store that overwrites ---------------------------------------------------------------------


def test_a_store_that_overwrites_is_refused(seaweed, proxy, place, organization):
    """It accepts `If-None-Match: *` and writes all the same: two runs could both believe to hold the lease."""
    conditional = ("if-none-match", "if-match")
    proxy.rules.append(lambda asked: proxy.without(asked, *conditional) if asked.headers.keys() & set(conditional) else None)
    for arguments in (("sync", *CHOSEN), ("state", "rebuild")):
        env = {**organization.env(), **place.env()}
        run = command(*arguments, "--dest", place.url, env=env, code=4)
        assert "overwrites" in run.err and "If-None-Match" in run.err and place.url in run.err
    assert [name for name in place.names() if not name.startswith("_state/")] == []
    assert not place.has("_state/state.json")
    checked = command("check", "--dest", place.url, "--tables", "users", env=env, code={1, 2, 3, 4})
    assert "overwrites" in checked.out and "If-None-Match" in checked.out
    record(
        "a store that takes conditional writes and overwrites all the same",
        "every `If-None-Match` and `If-Match` is dropped on its way to the store",
        "no object", "no object: exit 4, with the reason, before anything is written", "the same; `check` says so as well",
        part=STORES,
    )


# ---- a store that is busy ------------------------------------------------------------------------


def test_a_busy_store_is_asked_again(proxy, place, organization):
    """Every request is refused with 503 SlowDown at first, whatever it is."""
    seen, lock = {}, threading.Lock()

    def busy(asked):
        with lock:
            name = (asked.method, asked.raw)
            seen[name] = seen.get(name, 0) + 1
            return SLOW_DOWN if seen[name] <= 2 else None

    proxy.rules.append(busy)
    for _ in range(2):
        assert failures(sync(place, organization, *CHOSEN).report) == {}
        seen.clear()
    assert_true(place, organization, TABLES)
    record(
        "a store answers 503 SlowDown", "each request to the store is refused twice before it is let through, in two syncs",
        "no object", "all rows, once", "all rows, once", part=STORES,
    )


def test_an_answer_of_the_store_that_gets_lost(proxy, place, organization):
    """The store did it, and nobody heard: the second try of a conditional write finds its own work."""
    lost = []

    def lose(asked):
        if asked.method == "PUT" and asked.path not in lost and not asked.path.endswith("/lease"):
            lost.append(asked.path)
            proxy.forward(asked)
            return CLOSED

    proxy.rules.append(lose)
    for _ in range(2):
        lost.clear()
        sync(place, organization, *CHOSEN)
        assert_true(place, organization, TABLES)
    assert {path.rpartition("/")[2] for path in lost} > {"data.parquet", "state.json"}
    record(
        "the store's answer to a write is lost", "the store has written, then the connection is closed: once for each object",
        "no object", "all rows, once: the write is asked for again, and finds its own work", "all rows, once", part=STORES,
    )


def test_a_store_that_refuses_in_the_middle(proxy, place, organization):
    """One table's writes are refused; the others are committed, and the state tells only of those."""
    proxy.rules.append(
        lambda asked: refusal(403, "AccessDenied") if asked.method == "PUT" and "/costs/" in asked.path else None
    )
    run = sync(place, organization, *CHOSEN, code=2)
    assert list(failures(run.report)) == ["costs"] and "AccessDenied" in run.err
    days = sorted({row["start_time"] for row in true_rows(spec("costs"), organization.truth("costs"))})
    settled = datetime.fromisoformat(state(place)["costs"]["cursor"]).timestamp() * 1_000_000
    assert settled <= days[0], "what lies before the first day is settled, no day is"
    assert_true(place, organization, [name for name in TABLES if name != "costs"])
    proxy.rules.clear()
    sync(place, organization, *CHOSEN)
    assert_true(place, organization, TABLES)
    record(
        "a store refuses the objects of one table", "403 to each write below one table's folder", "no object",
        "all rows of the other tables; of this one no object: exit 2", "all rows, once", part=STORES,
    )


def test_a_store_that_is_away_for_the_rest_of_the_run(proxy, place, organization):
    """After its fifth object nothing is answered any more: the run ends, with an error, and the next one is as if nothing was."""
    written = []

    def away(asked):
        if asked.method == "PUT" and asked.path.endswith(".parquet"):
            written.append(asked.path)
        return refusal(403, "AccessDenied") if len(written) > 5 else None

    proxy.rules.append(away)
    run = sync(place, organization, *CHOSEN, code={2, 3, 4})
    assert failures(run.report)
    assert_is_part_of_truth(place, organization)
    proxy.rules.clear()
    place.remove("_state/lease")  # it could not be given back; it would be free after its minute
    sync(place, organization, *CHOSEN)
    assert_true(place, organization, TABLES)
    record(
        "a store is away for the rest of a run", "after its fifth object each request is refused", "no object",
        "days that are whole, or not there", "all rows, once", part=STORES,
    )


def assert_is_part_of_truth(place, organization) -> None:
    """Days may be missing, rows of a day may not."""
    with tempfile.TemporaryDirectory() as folder:
        place.copy_to(folder)
        for name in {name.split("/")[0] for name in place.names() if not name.startswith("_")}:
            rows, true = bag(data(lake_rows(folder, spec(name)))), bag(true_rows(spec(name), organization.truth(name)))
            assert len(set(rows)) == len(rows) and set(rows) <= set(true), name


# ---- uploads in parts ----------------------------------------------------------------------------


@pytest.mark.parametrize("refused", [is_part, is_completion], ids=["a part", "the completion"])
def test_a_failed_upload_leaves_no_parts(seaweed, proxy, place, refused):
    with Large() as api:
        sync(place, api, "--tables", "users")
        before = place.read("users/data.parquet")
        proxy.rules.append(lambda asked: refusal(403, "AccessDenied") if refused(asked) else None)
        run = sync(place, api, "--tables", "users", code={2, 3})
        assert "users" in failures(run.report)
        assert any(is_part(asked) for asked in proxy.asked), "the object is uploaded in parts"
        assert unfinished_uploads(seaweed, place.path.partition("/")[2]) == []
        assert place.read("users/data.parquet") == before
        proxy.rules.clear()
        sync(place, api, "--tables", "users")
        assert on(place, "verify").code == 0
    record(
        "an upload in parts fails", "the store refuses a part, or the completion, of an object of several parts",
        "the whole object of the last sync", "as before; the parts that were there are taken back", "the whole new object",
        part=STORES,
    )


def test_an_interrupted_upload_leaves_no_parts(seaweed, proxy, place):
    """SIGTERM while a part is on its way."""
    arrived, released = threading.Event(), threading.Event()

    def hold(asked):
        if is_part(asked):
            arrived.set()
            released.wait(PATIENCE)

    with Large() as api:
        sync(place, api, "--tables", "users")
        before = place.read("users/data.parquet")
        proxy.rules.append(hold)
        run = start(place, api, "--tables", "users")
        assert arrived.wait(PATIENCE)
        assert unfinished_uploads(seaweed, place.path.partition("/")[2]) != []
        run.send_signal(signal.SIGTERM)
        # Either the slice in hand is dropped at once, or it is finished as soon as the store goes on.
        threading.Timer(1, released.set).start()
        run.communicate(timeout=PATIENCE)
        assert unfinished_uploads(seaweed, place.path.partition("/")[2]) == []
        # Dropped, or finished because it had begun to appear: what is there is what a run report tells.
        assert on(place, "verify").code == 0
        assert run.returncode in (0, 2) or place.read("users/data.parquet") == before
        proxy.rules.clear()
        sync(place, api, "--tables", "users")
        assert on(place, "verify").code == 0
    record(
        "a run is told to end (SIGTERM) while an object is uploaded in parts", "the signal comes while the store holds a part",
        "the whole object of the last sync", "the whole object of the last sync, or the whole new one; no parts are left",
        "the whole new object", part=STORES,
    )


def test_a_killed_upload_is_not_seen(seaweed, proxy, place):
    """Nobody is left to take the parts back: a lifecycle rule of the bucket does. Readers do not see them."""
    arrived, released = threading.Event(), threading.Event()

    def hold(asked):
        if is_completion(asked):
            arrived.set()
            released.wait(PATIENCE)
            return CLOSED

    with Large() as api:
        proxy.rules.append(hold)
        run = start(place, api, "--tables", "users")
        assert arrived.wait(PATIENCE)
        run.kill()
        run.communicate()
        released.set()
        proxy.rules.clear()
        assert not any(name.startswith("users/") for name in place.names())
        assert lease(place)["holder"] in sync(place, api, "--tables", "users", code=4).err
        place.remove("_state/lease")  # what it does by itself when its minute is over is shown in test_store_leases.py
        sync(place, api, "--tables", "users")
        assert on(place, "verify").code == 0
    record(
        "kill -9 before an upload in parts is completed", "all parts are in the store, then the run is killed",
        "no object", "no object; the parts stay, unseen, until a lifecycle rule of the bucket removes them",
        "all rows, once", part=STORES,
    )
