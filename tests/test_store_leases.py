"""Two runs never work on one destination at a time: the lease in an object store.

It names its holder, is renewed as long as the run goes on, and is free within a minute when the holder was killed.
The minute is spent once, by all tests that need it (`aged`).
"""

import json
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import pytest

from clockwork import shifted
from conftest import PATIENCE
from reliability import STORES, record
from s3_proxy import CLOSED, Proxy
from scripted import Scripted
from servers import Place
from stores import assert_true, lease, start, state, sync, until

TABLES = ["users", "projects", "costs"]
CHOSEN = ("--tables", ",".join(TABLES))
NAMES = {"seaweed": "S3 (SeaweedFS)", "azurite": "Azure Blob (azurite)"}


class Gate:
    """The API's answer to one path waits until the test opens it."""

    def __init__(self, between: Scripted):
        self.between, self.arrived, self.opened = between, threading.Event(), threading.Event()
        between.answers["/organization/costs"] = [self]

    def __call__(self, asked):
        self.arrived.set()
        self.opened.wait(PATIENCE)
        return self.between.forward(asked)


@dataclass
class Held:
    """A run in the middle of its work: it has the lease, and waits for the API."""

    place: Place
    process: object
    gate: Gate


@pytest.fixture(scope="module")
def organization(simulators):
    return simulators("--projects", 4, "--users", 8, "--history-days", 3)


@pytest.fixture(scope="module")
def held(organization):
    """Starts runs that are held in the middle of their work."""
    running, scripts = [], []

    def start_held(place: Place, env=None) -> Held:
        scripts.append(Scripted(organization).__enter__())
        gate = Gate(scripts[-1])
        running.append(start(place, scripts[-1], *CHOSEN, env=env))
        until(lambda: gate.arrived.is_set() or running[-1].poll() is not None)
        assert gate.arrived.is_set(), running[-1].communicate()[1].decode()
        return Held(place, running[-1], gate)

    yield start_held
    for process in running:
        process.kill()
        process.communicate()
    for script in scripts:
        script.__exit__()


@pytest.fixture(scope="module", params=["seaweed", "azurite"])
def kind(request) -> str:
    return request.param


@pytest.fixture
def place(kind, request) -> Place:
    return request.getfixturevalue(kind).place()


def ends(process, code: int) -> str:
    _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, told.decode()
    return told.decode()


def moment(note: dict) -> datetime:
    return datetime.fromisoformat(note["until"])


def now() -> datetime:
    return datetime.now(timezone.utc)


# ---- two at once -------------------------------------------------------------------------------


def test_two_runs_at_once(organization, held, place, kind):
    first = held(place)
    holder = lease(place)["holder"]
    assert str(first.process.pid) in holder
    until(lambda: place.has("_state/state.json") and {"users", "projects"} <= state(place).keys())
    before = {name: place.read(name) for name in place.names() if name != "_state/lease"}
    refused = sync(place, organization, *CHOSEN, code=4)
    assert holder in refused.err and "lease" in refused.err and "hint:" in refused.err
    with Scripted(organization) as second_source:
        second = start(place, second_source, *CHOSEN, "--lock-wait", "5m", "--log", "info")
        assert "waiting" in second.stderr.readline().decode()
        assert second_source.asked == [], "who waits asks nothing"
        assert {name: place.read(name) for name in before} == before, "and writes nothing"
        first.gate.opened.set()
        ends(first.process, 0)
        ends(second, 0)
        assert second_source.asked != []
    assert_true(place, organization, TABLES)
    record(
        f"two runs at once into {NAMES[kind]}",
        "the first is held in the middle; a second starts, and a third with `--lock-wait`",
        "what the first has committed", "what the first has committed: the second ends with 4 and names the holder, the third waits",
        "all rows, once", part=STORES, only_where="Node is installed" if kind == "azurite" else "",
    )


def test_many_runs_at_the_same_moment(organization, place):
    runs = [start(place, organization, *CHOSEN) for _ in range(4)]
    told = [run.communicate(timeout=PATIENCE)[1].decode() for run in runs]
    codes = [run.returncode for run in runs]
    assert set(codes) <= {0, 4} and 0 in codes, told
    assert all("lease" in text for code, text in zip(codes, told) if code == 4)
    assert_true(place, organization, TABLES)
    runs = [start(place, organization, *CHOSEN, "--lock-wait", "5m") for _ in range(3)]
    for run in runs:
        ends(run, 0)
    assert_true(place, organization, TABLES)


@pytest.mark.parametrize("left", ["a note that is over", "no note"])
def test_what_a_dead_run_left_is_taken_over(organization, place, left):
    over = {"holder": "run of yesterday", "until": (now() - timedelta(seconds=1)).isoformat()}
    place.write("_state/lease", json.dumps(over).encode() if left == "a note that is over" else b"half a no")
    sync(place, organization, *CHOSEN)
    assert_true(place, organization, TABLES)


def test_an_answer_about_the_lease_that_gets_lost_is_no_other_run(organization, held, seaweed):
    """The store has the note, and the run did not hear of it: once when it takes the lease, once when it renews it."""
    with Proxy(seaweed) as proxy:
        written = []

        def lose(asked):
            if asked.method != "PUT" or not asked.path.endswith("/lease"):
                return None
            answer = proxy.forward(asked)
            written.append(answer.status)
            return CLOSED if answer.status == 200 and written.count(200) <= 2 else answer

        proxy.rules.append(lose)
        run = held(seaweed.place(endpoint=proxy.endpoint))
        until(lambda: written.count(200) >= 2 or run.process.poll() is not None)
        run.gate.opened.set()
        ends(run.process, 0)
        assert_true(run.place, organization, TABLES)
    record(
        "the store's answer about the lease is lost", "when the lease is taken, and when it is renewed", "no object",
        "all rows, once: the run knows its own note", "all rows, once", part=STORES,
    )


# ---- clocks that differ -------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [-600, -120, 120, 600])
def test_a_host_with_another_clock_does_not_take_a_living_lease(organization, held, place, kind, seconds):
    """The store's clock says how old the lease is, not the host's."""
    first = held(place)
    note = lease(place)
    for _ in range(2):
        refused = sync(place, organization, *CHOSEN, code=4, env=shifted(seconds))
        assert note["holder"] in refused.err
        assert lease(place)["holder"] == note["holder"]
    first.gate.opened.set()
    ends(first.process, 0)
    sync(place, organization, *CHOSEN, env=shifted(seconds))
    assert_true(place, organization, TABLES)
    record(
        f"hosts with different clocks and one destination in {NAMES[kind]}", "2 and 10 minutes ahead and behind; one of them holds the lease",
        "what was committed", "what was committed: the other ends with 4", "all rows, once", part=STORES,
        only_where="Node is installed" if kind == "azurite" else "",
    )


@pytest.mark.parametrize("side", ["ahead", "behind"])
def test_a_dead_host_with_another_clock_blocks_nobody_for_longer_than_a_lease_lasts(organization, aged, side):
    dead = getattr(aged, side)
    note = lease(dead.place)
    sync(dead.place, organization, *CHOSEN, "--lock-wait", "4m", env=shifted(-300))
    assert side == "behind" or now() < moment(note), "it did not wait for what the dead one's clock said"
    assert_true(dead.place, organization, TABLES)
    record(
        "kill -9 of a run whose host has another clock", "10 minutes ahead or behind; another run waits", "what was committed",
        "what was committed: the lease lasts a minute of the store's clock", "all rows, once, by the run that waited", part=STORES,
    )


# ---- the minute ---------------------------------------------------------------------------------


@dataclass
class Aged:
    killed: Held
    killed_at: datetime
    renewed: Held
    first_end: datetime
    robbed: Held
    ahead: Held
    behind: Held


@pytest.fixture(scope="module")
def aged(held, seaweed) -> Aged:
    """One run that was killed, one that is held for longer than a lease lasts, one whose lease another took."""
    killed, renewed, robbed = (held(seaweed.place()) for _ in range(3))
    ahead, behind = (held(seaweed.place(), shifted(seconds)) for seconds in (600, -600))
    for dead in (killed, ahead, behind):
        dead.process.kill()
        dead.process.communicate()
    note = {"holder": "somebody else", "until": (now() + timedelta(hours=1)).isoformat()}
    robbed.place.write("_state/lease", json.dumps(note).encode())
    return Aged(killed, now(), renewed, moment(lease(renewed.place)), robbed, ahead, behind)


def test_a_killed_run_frees_its_lease_within_a_minute(organization, aged):
    place = aged.killed.place
    note = lease(place)
    assert note["holder"] in sync(place, organization, *CHOSEN, code={0, 4}).err or now() > moment(note)
    assert moment(note) - aged.killed_at <= timedelta(seconds=60)
    sync(place, organization, *CHOSEN, "--lock-wait", "4m")
    assert_true(place, organization, TABLES)
    record(
        "kill -9 of a run that holds the lease of an object store", "killed in the middle; another run at once, and one that waits",
        "what was committed", "what was committed: the lease is taken for at most 60 seconds more, and names its holder",
        "all rows, once, by the run that waited", part=STORES,
    )


def test_a_lease_is_renewed_as_long_as_the_run_goes_on(organization, aged):
    place = aged.renewed.place
    until(lambda: now() > aged.first_end, patience=PATIENCE)
    assert moment(lease(place)) > aged.first_end
    assert lease(place)["holder"] in sync(place, organization, *CHOSEN, code=4).err
    aged.renewed.gate.opened.set()
    ends(aged.renewed.process, 0)
    assert_true(place, organization, TABLES)
    sync(place, organization, *CHOSEN)
    record(
        "a run that takes longer than a lease lasts", "the API holds an answer back for more than a minute; another run starts",
        "what was committed", "what was committed: the lease was renewed, the other run ends with 4", "all rows, once", part=STORES,
    )


def test_a_run_that_lost_its_lease_writes_no_more(organization, aged):
    place = aged.robbed.place
    before = {name: place.read(name) for name in place.names() if not name.startswith("_")}
    aged.robbed.process.wait(PATIENCE)  # at its next renewal; the API is still silent
    told = ends(aged.robbed.process, aged.robbed.process.returncode)
    assert aged.robbed.process.returncode in (2, 4), told
    assert {name: place.read(name) for name in place.names() if not name.startswith("_")} == before
    assert lease(place)["holder"] == "somebody else", "the lease of another is not given back"
    place.write("_state/lease", place.read("_state/lease"))  # as a run that goes on would
    assert "somebody else" in sync(place, organization, *CHOSEN, code=4).err
    place.remove("_state/lease")
    sync(place, organization, *CHOSEN)
    assert_true(place, organization, TABLES)
    record(
        "a run loses its lease (it could not renew it in time, and another run took it)",
        "another holder's note is written in its place", "what was committed",
        "what was committed: the run notices at its next renewal, ends, and leaves the other's lease alone", "all rows, once",
        part=STORES,
    )
