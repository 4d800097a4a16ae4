"""`verify` finds what somebody changed, `state rebuild` never claims what was not read, and `init` gives a file that works.

One small lake is synced once; each test spoils a copy of it.
"""

import json
import re
import shutil
from datetime import datetime, timedelta, timezone

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conftest import command, contents, objects, settled, spec, state, sync
from fixtures.sources import Logs, event
from held import FLAGS, SINCE, TABLES, Held, assert_true
from reliability import INTEGRITY, PROCESS, record
from scripted import Answer
from truth import bag, lake_rows, true_rows, without


@pytest.fixture(scope="module")
def company(simulators):
    return simulators("--projects", 3, "--users", 5, "--history-days", 4)


@pytest.fixture(scope="module")
def original(company, tmp_path_factory):
    dest = tmp_path_factory.mktemp("original") / "lake"
    sync(dest, company, *FLAGS, *SINCE)
    return dest


@pytest.fixture
def lake(original, tmp_path):
    shutil.copytree(original, tmp_path / "lake")
    return tmp_path / "lake"


def verify(lake, *flags, code=0) -> dict:
    return json.loads(command("verify", "--dest", lake, "--format", "json", *flags, code=code).out)


def a_day(lake, table: str = "audit_logs"):
    """The object of the table's oldest day, which no later sync writes anew."""
    return objects(lake, table)[0]


# ---- verify ------------------------------------------------------------------------------------------


def test_an_intact_lake(lake):
    before = contents(lake)
    told = verify(lake)
    assert told["differences"] == [] and told["objects"] == len(list(lake.rglob("*.parquet")))
    assert told["rows"] == sum(pq.ParquetFile(path).metadata.num_rows for path in lake.rglob("*.parquet"))
    run = command("verify", "--dest", lake, code=0)
    assert "all as their runs wrote them" in run.err
    assert contents(lake) == before, "verify writes nothing"


def rewritten(path, change) -> None:
    """The same columns with other rows."""
    pq.write_table(change(pq.ParquetFile(path).read()), path, compression="zstd")


def flip(path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0x20
    path.write_bytes(data)


def end_of_creator(path) -> int:
    """A byte that says who wrote the file: no reader minds it."""
    return path.read_bytes().rindex(b"openai-elt version") + 3


def moved_to_next_day(lake):
    newest = objects(lake, "audit_logs")[-1]
    shutil.copyfile(a_day(lake), newest)
    return newest


def beside(name: str):
    """Another Parquet file in a table's folder: a glob reads it."""

    def spoil(lake):
        path = lake / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(lake / "users/data.parquet", path)
        return path

    return spoil


def spoiled(change, pick=lambda lake: lake / "users/data.parquet"):
    def spoil(lake):
        path = pick(lake)
        change(path)
        return path

    return spoil


SPOILT = {
    "an object was removed": (spoiled(lambda path: path.unlink()), "not there"),
    "an object was cut short": (spoiled(lambda path: path.write_bytes(path.read_bytes()[:-40])), ""),
    "an object was emptied": (spoiled(lambda path: path.write_bytes(b"")), ""),
    "an object was overwritten with noise": (spoiled(lambda path: path.write_bytes(b"PAR1" + bytes(500) + b"PAR1"), a_day), ""),
    "a bit of a value was turned": (spoiled(lambda path: flip(path, 60), a_day), ""),
    "a bit was turned that no reader minds": (spoiled(lambda path: flip(path, end_of_creator(path)), a_day), ""),
    "the rows of an object were doubled": (spoiled(lambda path: rewritten(path, lambda rows: pa.concat_tables([rows, rows])), a_day), "key that is there already"),
    "a row of an object was removed": (spoiled(lambda path: rewritten(path, lambda rows: rows.slice(1)), a_day), "its run wrote"),
    "the rows of a day were put on another day": (moved_to_next_day, "of another day"),
    "an object was replaced by another table's": (
        lambda lake: shutil.copyfile(lake / "projects/data.parquet", lake / "users/data.parquet"), ""),
    "a Parquet file was put beside an object": (beside("users/copy.parquet"), ""),
    "a Parquet file was put into a folder of a table": (beside("users/old/data.parquet"), ""),
    "a Parquet file was put into a folder that is no day": (beside("costs/date=2026-13-45/data.parquet"), ""),
    "an object of an unknown table was added": (beside("my_notes/data.parquet"), "does not know"),
}


@pytest.mark.parametrize("fault", SPOILT)
def test_what_was_changed_is_named(lake, fault):
    spoil, said = SPOILT[fault]
    kept = contents(lake)
    where = str(spoil(lake).relative_to(lake))
    told = verify(lake, code=4)
    assert {difference["path"] for difference in told["differences"]} == {where}, told
    assert any(said in difference["what"] for difference in told["differences"]), told
    run = command("verify", "--dest", lake, code=4)
    assert where in run.out and re.search(r"\d difference", run.err)
    for name in contents(lake).keys() - kept.keys():
        (lake / name).unlink()
    for name, data in kept.items():
        (lake / name).write_bytes(data)
    assert verify(lake)["differences"] == []
    record(fault, "then `verify`", "all as written; exit 0", "`verify` named the object; exit 4", "put back: all as written; exit 0", INTEGRITY)


def test_a_lake_without_its_reports(lake):
    shutil.rmtree(lake / "_runs")
    told = verify(lake, code=4)
    assert len(told["differences"]) == told["objects"] and "no run report tells of it" in told["differences"][0]["what"]
    record("the run reports were removed", "then `verify`", "all as written; exit 0", "`verify` named every object; exit 4",
           "rows are as they were: readers need no report", INTEGRITY)


def test_a_report_that_is_none(lake):
    (path,) = (lake / "_runs").glob("*.json")
    path.write_text(path.read_text()[:200])
    run = command("verify", "--dest", lake, code=4)
    assert path.name in run.err and "not a run report" in run.err
    record("a run report was cut short", "then `verify`", "all as written; exit 0", "`verify` named the report; exit 4",
           "rows are as they were: readers need no report", INTEGRITY)


def test_what_no_reader_takes_for_rows_is_no_difference(lake):
    (lake / "users/README.txt").write_text("mine")
    (lake / "notes").mkdir()
    (lake / "_staging").mkdir(exist_ok=True)
    shutil.copyfile(lake / "users/data.parquet", lake / "_staging/users~data.parquet")
    assert verify(lake)["differences"] == []


def test_the_newest_report_counts(company, lake):
    """After many syncs, also within one second, each object is as its last run wrote it."""
    for _ in range(4):
        sync(lake, company, "--tables", "users,projects")
        assert verify(lake)["differences"] == []


def test_a_place_without_a_lake(tmp_path):
    run = command("verify", "--dest", tmp_path / "nowhere", code=1)
    assert "nowhere" in run.err and not (tmp_path / "nowhere").exists()
    (tmp_path / "empty").mkdir()
    assert "there is no lake at" in command("verify", "--dest", tmp_path / "empty", code=1).err


def test_a_lake_after_kill_is_as_its_runs_wrote_it(company, tmp_path):
    """A run that died has left good objects: they are no false alarm, now or after the next sync."""
    dest = tmp_path / "lake"
    with Held(company, dest) as held:
        held.process.kill()
    assert verify(dest)["differences"] == []
    sync(dest, company, *FLAGS)
    assert verify(dest)["differences"] == []
    assert_true(dest, company)
    record("the program is killed, then `verify`", "`kill -9` after four of five tables were committed", "nothing",
           "four tables, all as written: exit 0", "five tables, all as written: exit 0", PROCESS)


# ---- state rebuild ---------------------------------------------------------------------------------------


def rebuild(lake, code=0):
    return command("state", "rebuild", "--dest", lake, code=code)


@pytest.mark.parametrize("damage", ["removed", "emptied", "of a newer version"])
def test_a_lost_state_is_derived_from_the_lake(company, lake, damage):
    known = state(lake)["tables"]
    path = lake / "_state/state.json"
    {"removed": path.unlink, "emptied": lambda: path.write_text(""), "of a newer version": lambda: path.write_text('{"version":9}')}[damage]()
    before = {table: contents(lake / table) for table in TABLES}
    rebuild(lake)
    derived = state(lake)["tables"]
    assert derived.keys() == known.keys(), "each table of this lake has rows"
    for table, entry in derived.items():
        assert entry["cursor"] <= known[table]["cursor"], "never further than what was read"
    assert {table: contents(lake / table) for table in TABLES} == before
    company.forget()
    sync(lake, company, *FLAGS)
    assert_true(lake, company)
    first = min(int(asked["query"].split("start_time=")[1].split("&")[0]) for asked in company.requests("/organization/costs"))
    assert first > (datetime.now(timezone.utc) - timedelta(days=10)).timestamp(), "not the whole history again"
    record(f"the state was {damage}", "then `state rebuild`", "all rows", "as before", "the next sync went on from there and gave the truth", INTEGRITY)


def test_a_rebuilt_state_does_not_pass_a_gap(company, tmp_path):
    """The log was read up to a day, then only the newest days: what lies between is still to be read."""
    dest, now = tmp_path / "lake", datetime.now(timezone.utc)
    days = [f"{now - timedelta(days=back):%Y-%m-%d}" for back in (3, 2, 1)]
    sync(dest, company, "--tables", "audit_logs", "--since", days[0], "--until", days[1])
    sync(dest, company, "--tables", "audit_logs", "--since", days[2])
    (dest / "_state/state.json").unlink()
    rebuild(dest)
    sync(dest, company, "--tables", "audit_logs")
    start = int(datetime.fromisoformat(days[0]).replace(tzinfo=timezone.utc).timestamp()) * 1_000_000
    rows = [row for row in lake_rows(dest, spec("audit_logs")) if row["effective_at"] >= start]
    true = [row for row in true_rows(spec("audit_logs"), company.truth("audit_logs")) if row["effective_at"] >= start]
    assert bag(without(row, "_synced_at") for row in rows) == bag(true)
    record("the state was removed while a day was still to be read", "then `state rebuild`", "two days of three", "as before",
           "the next sync read the day between", INTEGRITY)


def test_a_rebuilt_state_does_not_pass_a_file_that_failed(tmp_path):
    """A file could not be had; newer ones could. It is asked for again, or its events are lost for good."""
    dest = tmp_path / "lake"
    with Logs() as logs:
        missing = logs.add("file-1", [event("e1", 30)], hours_ago=29)
        logs.add("file-2", [event("e2", 3)], hours_ago=2)
        missing.signed = [(Answer("later", status=503),)]
        run = sync(dest, logs, "--tables", "log_auth", retries=0, code=2)
        assert run.table("log_auth")["skipped"]
        (dest / "_state/state.json").unlink()
        rebuild(dest)
        missing.signed.clear()
        sync(dest, logs, "--tables", "log_auth")
    assert sorted(row["event_id"] for row in lake_rows(dest, spec("log_auth"))) == ["e1", "e2"]
    record("the state was removed while a log file was still to be fetched", "then `state rebuild`", "1 event of 2", "as before",
           "the next sync fetched the file: 2 events", INTEGRITY)


def test_a_state_is_not_rebuilt_or_reset_under_a_running_sync(company, tmp_path):
    dest = tmp_path / "lake"
    with Held(company, dest):
        before = contents(dest)
        for action in (["rebuild"], ["reset", "costs"]):
            run = command("state", *action, "--dest", dest, code=4)
            assert "lease" in run.err and "hint" in run.err
        after = contents(dest)
        assert {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)} == set()
    record("the state is rebuilt or reset under a running sync", "`state rebuild`, `state reset`", "what the sync had committed",
           "as before; refused with exit 4", "as before", INTEGRITY)


def test_a_state_of_nothing(tmp_path):
    run = command("state", "rebuild", "--dest", tmp_path / "nowhere", code=1)
    assert "nowhere" in run.err and not (tmp_path / "nowhere").exists()
    (tmp_path / "empty").mkdir()
    rebuild(tmp_path / "empty")
    assert state(tmp_path / "empty")["tables"] == {}


def test_show_export_and_reset_tell_the_same(lake):
    exported = json.loads(command("state", "export", "--dest", lake, code=0).out)
    assert exported == state(lake)
    shown = command("state", "show", "--dest", lake, code=0).out
    for table in TABLES:
        assert re.search(rf"^{table} +{settled(lake, table)[:10]}", shown, re.M), shown
    run = command("state", "reset", "project*", "costs", "--dest", lake, code=0)
    assert state(lake)["tables"].keys() == {"users", "audit_logs"}
    for table in ("projects", "project_api_keys", "costs"):
        assert table in run.err


# ---- init --------------------------------------------------------------------------------------------


def test_init_writes_a_file_that_is_understood_with_every_key_switched_on(tmp_path):
    command("init", cwd=tmp_path, code=0)
    path = tmp_path / "openai-elt.toml"
    text = path.read_text()
    command("tables", "--config", path, "users", code=0)
    keys = [line.removeprefix("# ") for line in text.splitlines() if re.match(r"# (\[|[a-z_]+ += )", line)]
    assert len(keys) > 8, "the keys are there, commented out"
    above = text.splitlines()
    path.write_text("\n".join([line for line in above if not line.startswith("#")] + keys))
    command("tables", "--config", path, "users", code=0)


def test_init_leaves_a_file_alone_that_is_there(tmp_path):
    (tmp_path / "mine.toml").write_text("mine")
    run = command("init", tmp_path / "mine.toml", code=1)
    assert "already there" in run.err and (tmp_path / "mine.toml").read_text() == "mine"
    run = command("init", tmp_path / "no/such/folder/x.toml", code=1)
    assert "no/such/folder/x.toml" in run.err
