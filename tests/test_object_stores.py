"""The promises hold in object stores as on a disk: S3 (SeaweedFS) and Azure (azurite), real servers, signatures on.

The same story is told as in test_lake.py, into a bucket, and after each chapter a copy of all objects is compared
with the truth. Beside it: what an object store adds, which is credentials, containers and names.
"""

import dataclasses
import json
import signal
import time
import urllib.parse

import pyarrow.dataset
import pytest

from conftest import PATIENCE, command, failures, spec
from reliability import STORES, record
from scripted import Hold, Scripted
from servers import Place
from stores import CHOSEN, TABLES, assert_true, on, start, state, sync, until
from story import CHAPTERS, Story, compare_after, data
from truth import bag, by_key, difference, without

NAMES = {"seaweed": "S3 (SeaweedFS)", "azurite": "Azure Blob (azurite)"}
NODE = {"seaweed": "", "azurite": "Node is installed"}


@pytest.fixture(scope="module", params=["seaweed", "azurite"])
def kind(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def server(kind, request):
    return request.getfixturevalue(kind)


@pytest.fixture(scope="module")
def organization(simulators):
    """For the tests that change nothing in it."""
    return simulators("--projects", 6, "--users", 12, "--history-days", 10)


@pytest.fixture
def place(server) -> Place:
    return server.place()


@pytest.fixture(scope="module")
def told(server, simulators, tmp_path_factory) -> tuple[Story, Place]:
    simulator = simulators("--projects", 8, "--users", 20, "--history-days", 20)
    story, place, copies = Story(), server.place(), tmp_path_factory.mktemp("story")

    def chapter(name: str):
        story.reports[name] = sync(place, simulator, *CHOSEN).report
        story.truths[name] = {table: simulator.truth(table) for table in TABLES}
        story.lakes[name] = place.copy_to(copies / name)

    chapter("first")
    chapter("idle")
    story.said = simulator.mutate()
    time.sleep(1.1)  # windows are half-open: what happens in this very second belongs to the next sync
    chapter("changed")
    place.remove("_state/state.json")
    chapter("forgotten")
    return story, place


# ---- the story ---------------------------------------------------------------------------------


def test_every_chapter_ends_without_a_failure(told):
    for chapter in CHAPTERS:
        assert failures(told[0].reports[chapter]) == {}
        assert told[0].reports[chapter]["exit_code"] == 0


@pytest.mark.parametrize("table", TABLES)
def test_every_chapter_equals_the_truth(told, table):
    story, _ = told
    rows, true = story.rows("first", table), story.true("first", table)
    assert bag(data(rows)) == bag(true), difference(true, data(rows))
    for chapter in CHAPTERS:
        by_key(spec(table), story.rows(chapter, table))
    idle = [bag([without(row, "_synced_at") for row in story.rows(chapter, table)]) for chapter in ("first", "idle")]
    assert idle[0] == idle[1]
    compare_after(story, "idle", "changed", table)
    compare_after(story, "changed", "forgotten", table)


def test_the_story_in_one_row(told, kind):
    assert set(told[0].lakes) == set(CHAPTERS)
    record(
        f"none: the same story in {NAMES[kind]}",
        "a first sync, an idle one, one after a day had passed, one after the state was deleted; tables of every policy",
        "no object", "all rows of the organization, once, after each sync",
        "all rows of the organization, once; what is gone there has `_deleted`", part=STORES, only_where=NODE[kind],
    )


def test_the_store_holds_only_objects_state_and_reports(told):
    names = told[1].names()
    tables = [name for name in names if not name.startswith("_")]
    assert all(name.split("/")[0] in TABLES and name.endswith("/data.parquet") for name in tables)
    assert {name.split("/")[0] for name in names if name.startswith("_")} == {"_state", "_runs"}


@pytest.mark.parametrize("table", TABLES)
def test_a_reader_of_the_folder_in_the_store_sees_the_same_rows(told, table):
    """No copy here: pyarrow reads the folder of the table where it is."""
    story, place = told
    read = pyarrow.dataset.dataset(f"{place.path}/{table}", filesystem=place.files, format="parquet").to_table()
    assert read.num_rows == len(story.rows("forgotten", table))
    assert len(read.select(spec(table)["key"]).group_by(spec(table)["key"]).aggregate([])) == read.num_rows


def test_verify_reads_everything_back(told):
    story, place = told
    found = json.loads(on(place, "verify", "--format", "json").out)
    assert found["differences"] == []
    assert found["tables"] == {table: len(story.rows("forgotten", table)) for table in TABLES}


# ---- commands ----------------------------------------------------------------------------------


def test_check_tries_the_destination_and_leaves_nothing(place, organization):
    environment = {**organization.env(), **place.env()}
    finding = findings(place, environment, 0)[place.url]
    assert finding["status"] == "ok", finding
    assert [name for name in place.names() if name != "_state/lease"] == []


def test_a_wrong_secret_is_told_without_showing_it(place, organization, kind):
    wrong = "bm90IHRoZSBzZWNyZXQgb2YgdGhpcyBzdG9yZQ=="
    name = {"seaweed": "AWS_SECRET_ACCESS_KEY", "azurite": "AZURE_STORAGE_ACCOUNT_KEY"}[kind]
    run = sync(place, organization, *CHOSEN, code=1, env={name: wrong})
    refusal = {"seaweed": "SignatureDoesNotMatch", "azurite": "AuthorizationFailure"}[kind]
    assert place.url in run.err and refusal in run.err and "<" not in run.err, "the store's word, not its XML"
    assert "AWS_*" in run.err and "AZURE_*" in run.err and not run.out
    finding = findings(place, {**organization.env(), **place.env(), name: wrong}, {1, 2, 3})[place.url]
    assert finding["status"] == "not usable" and finding["cure"]
    for secret in (wrong, place.variables[name]):
        assert secret not in run.err and secret not in json.dumps(finding)
    assert place.names() == []


def findings(place: Place, environment: dict, code) -> dict[str, dict]:
    run = command("check", "--dest", place.url, "--tables", "users", "--format", "json", env=environment, code=code)
    return {each["name"]: each for each in json.loads(run.out)}


def test_a_container_that_is_not_there_is_told(server, organization):
    place = server.place()
    place = dataclasses.replace(place, url=place.url.replace(f"//{server.home}/", "//nobody-made-it/"))
    run = sync(place, organization, *CHOSEN, code=1)
    assert "nobody-made-it" in run.err and "does not exist" in run.err
    assert "bucket" in run.err.partition("hint:")[2] or "container" in run.err.partition("hint:")[2]


def test_the_state_can_be_shown_reset_exported_and_rebuilt(place, organization):
    sync(place, organization, *CHOSEN)
    before = state(place)
    assert set(before) == set(TABLES)
    assert all(name in on(place, "state", "show").out for name in TABLES)
    assert json.loads(on(place, "state", "export").out)["tables"] == before
    on(place, "state", "reset", "costs")
    assert set(state(place)) == set(TABLES) - {"costs"}
    sync(place, organization, *CHOSEN)
    place.remove("_state/state.json")
    on(place, "state", "rebuild")
    rebuilt = state(place)
    assert set(rebuilt) == set(TABLES)
    sync(place, organization, *CHOSEN)
    assert_true(place, organization)


def test_the_state_may_be_elsewhere_in_the_store(server, place, organization):
    elsewhere = server.place()
    for _ in range(2):
        sync(place, organization, *CHOSEN, "--state", f"{elsewhere.url}/of the lake/state.json")
    assert not place.has("_state/state.json")
    assert elsewhere.names() == ["of the lake/state.json"]
    assert_true(place, organization)


ODD = ["with space", "ünïcode/日本", "plus+and&", "a=1,b;c", "tilde~!*'()", "per%25cent", "x" * 200, "deep/" * 20 + "down"]


@pytest.mark.parametrize("prefix", ODD, ids=lambda prefix: prefix[:12])
def test_prefixes_of_any_characters(server, organization, prefix):
    """Where the objects are is what the URL says: another client finds them below that name."""
    place = server.place(urllib.parse.unquote(prefix))
    place = dataclasses.replace(place, url=f"{place.url.partition(server.home)[0]}{server.home}/{prefix}")
    sync(place, organization, "--tables", "users,costs")
    sync(place, organization, "--tables", "users,costs")
    assert_true(place, organization, ["users", "costs"])
    on(place, "verify")


@pytest.mark.parametrize("wrong", ["#more", "?more", "%ff"])
def test_a_prefix_that_is_no_path_of_a_url_is_refused(server, organization, wrong):
    """`#` and `?` end the path of a URL, `%` begins an escape: rows must not go silently to another prefix."""
    place = server.place()
    run = sync(dataclasses.replace(place, url=place.url + wrong), organization, "--tables", "users", code=1)
    assert "hint:" in run.err
    assert place.names() == []


# ---- while it runs -----------------------------------------------------------------------------


def test_a_slice_appears_when_it_is_complete(place, organization, kind):
    """Held at the last page of a table: its pages before are read, and nothing of it is to be seen."""
    path, hold = "/organization/costs", Hold()
    with Scripted(organization) as between:
        between.answers[path] = [between.forward, hold]
        run = start(place, between, "--tables", "users,costs")
        assert hold.arrived.wait(PATIENCE)
        until(lambda: place.has("users/data.parquet"))
        with_half = place.names()
        assert not any(name.startswith("costs/") for name in with_half)
        run.send_signal(signal.SIGTERM)
        assert run.wait(PATIENCE) == 2
        hold.released.set()
    assert_true(place, organization, ["users"])
    sync(place, organization, "--tables", "users,costs")
    assert_true(place, organization, ["users", "costs"])
    record(
        f"a run is told to end (SIGTERM) in the middle of a slice, in {NAMES[kind]}",
        "the API holds back the second page of a table, then the signal comes",
        "no object", "the tables that had ended; of the one in hand no object", "all rows, once",
        part=STORES, only_where=NODE[kind],
    )
