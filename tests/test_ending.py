"""A run ends in order when it is told to: what was committed stays, the state is saved, the exit code says so.

By SIGTERM, Ctrl-C or --max-duration; a second signal ends it at once. And --lock-wait: the next run waits for it.
"""

import json
import signal
import subprocess

import pytest

from conftest import BINARY, PATIENCE, clean_environment, command, contents, settings, start_simulator, start_sync, state, sync
from held import FLAGS, SINCE, TABLES, Held, assert_true
from reliability import PROCESS, record
from scripted import Hold, Scripted, page, user
from stores import until
from truth import without

DONE = [table for table in TABLES if table != "users"]


@pytest.fixture(scope="module")
def company():
    running = start_simulator("--projects", 3, "--users", 5, "--history-days", 4)
    yield running
    running.stop()


@pytest.fixture
def dest(tmp_path):
    return tmp_path / "lake"


def report_of(dest) -> dict:
    (path,) = (dest / "_runs").glob("*.json")
    return json.loads(path.read_text())


def assert_ended_in_order(dest, company, code: int) -> None:
    """Four tables are there with their cursors, the fifth is not, and the report says all of it."""
    report = report_of(dest)
    assert report["interrupted"] and report["exit_code"] == code == 2
    assert {name: entry["status"] for name, entry in report["tables"].items()} == {"users": "interrupted", **dict.fromkeys(DONE, "ok")}
    assert state(dest)["tables"].keys() == set(DONE) and not (dest / "users").exists()
    assert not list(dest.glob("_staging/*")), "nothing half-written is left"
    assert_true(dest, company, DONE)
    assert command("verify", "--dest", dest, code=0)


def assert_next_sync_is_whole(dest, company) -> None:
    company.forget()
    sync(dest, company, *FLAGS, *SINCE)
    assert_true(dest, company)
    assert command("verify", "--dest", dest, code=0)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_signal_ends_the_run_in_order(company, dest, how):
    with Held(company, dest) as held:
        during = contents(dest)
        held.process.send_signal(how)
        _, err = held.process.communicate(timeout=PATIENCE)
        assert b"interrupted" in err and b"panicked" not in err
        assert without(contents(dest), *(name for name in contents(dest) if name.startswith("_"))) == without(
            during, *(name for name in during if name.startswith("_"))), "the tables are as they were at the signal"
    assert_ended_in_order(dest, company, held.process.returncode)
    assert_next_sync_is_whole(dest, company)
    record("SIGTERM" if how == signal.SIGTERM else "Ctrl-C", "in a first sync, after four of five tables were committed", "nothing",
           "four tables with their cursors; exit 2", "the next sync gave the truth of all five", PROCESS)


def test_max_duration_ends_the_run_in_order(company, dest):
    """How far it came depends on the machine; what it says that it did is there, and the rest follows."""
    hold = Hold()
    with Scripted(company) as between:
        between.answers["/organization/users"] = [hold]
        run = sync(dest, between, *FLAGS, *SINCE, "--max-duration", "2s", code=2)
        hold.released.set()
    tables = run.report["tables"]
    assert run.report["interrupted"] and tables["users"]["status"] == "interrupted" and "interrupted" in run.err
    done = [name for name, entry in tables.items() if entry["status"] == "ok"]
    assert {entry["status"] for entry in tables.values()} <= {"ok", "interrupted", "skipped"} and not (dest / "users").exists()
    assert state(dest)["tables"].keys() >= set(done) if done else True
    assert_true(dest, company, done)
    assert command("verify", "--dest", dest, code=0)
    assert_next_sync_is_whole(dest, company)
    record("--max-duration is over", "in a first sync of five tables", "nothing", "the tables that were done, with their cursors; exit 2",
           "the next sync gave the truth of all five", PROCESS)


def test_a_second_signal_ends_it_at_once(company, dest):
    """Both signals are there when the process wakes up: it has no time for order, and the lake is right all the same.

    Each may be taken by a thread of its own, and where these wait for a core the run can end in order in between: then again."""
    for _ in range(5):
        with Held(company, dest) as held:
            tables = {table: contents(dest / table) for table in DONE}
            for one in (signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGCONT):
                held.process.send_signal(one)
            held.process.communicate(timeout=PATIENCE)
        assert {table: contents(dest / table) for table in DONE} == tables and not (dest / "users").exists()
        if held.process.returncode != 2:
            break
    assert held.process.returncode == 130
    assert_next_sync_is_whole(dest, company)
    record("a second signal", "SIGTERM and SIGINT at the same moment, after four of five tables were committed", "nothing",
           "four tables; exit 130", "the next sync gave the truth of all five", PROCESS)


def test_kill_in_the_middle_of_a_table(company, dest):
    with Held(company, dest) as held:
        held.process.kill()
    assert_true(dest, company, DONE)
    assert_next_sync_is_whole(dest, company)
    record("`kill -9`", "in a first sync, after four of five tables were committed", "nothing", "four tables", "the next sync gave the truth of all five", PROCESS)


@pytest.mark.parametrize("value", ["soon", "-5s", "1.5h", "5", ""])
@pytest.mark.parametrize("flag", ["--max-duration", "--lock-wait"])
def test_a_length_of_time_that_is_none(company, dest, flag, value):
    run = sync(dest, company, f"{flag}={value}", code=1)
    assert flag in run.err and not dest.exists()


# ---- --lock-wait ---------------------------------------------------------------------------------------


def waiting(dest, company, wait: str) -> subprocess.Popen:
    """A second run, which says when it has begun to wait."""
    arguments = ["sync", "--dest", dest, "--config", settings(dest), *FLAGS, *SINCE, "--lock-wait", wait, "--log", "info"]
    return subprocess.Popen([str(BINARY), *map(str, arguments)], env=clean_environment(**company.env()), stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def test_a_run_waits_for_the_lease_and_then_goes_on(company, dest):
    with Held(company, dest) as held:
        before = contents(dest)
        second = waiting(dest, company, "5m")
        assert b"another run holds the lease" in second.stderr.readline() and second.poll() is None
        assert contents(dest) == before, "who waits touches nothing"
        held.process.terminate()
        held.process.communicate(timeout=PATIENCE)
        second.communicate(timeout=PATIENCE)
        assert second.returncode == 0
    assert_true(dest, company)
    record("two runs at once, with --lock-wait", "the second one waited until the first one was ended by SIGTERM", "nothing",
           "what the first one had committed", "the second one gave the truth; exit 0", PROCESS)


def test_a_run_that_waits_is_not_patient_for_ever(company, dest):
    with Held(company, dest) as held:
        before = contents(dest)
        run = sync(dest, company, *FLAGS, "--lock-wait", "1s", code=4)
        assert "lease" in run.err and "hint" in run.err and contents(dest) == before
        assert held.process.poll() is None
    record("two runs at once", "the second one with --lock-wait 1s", "what the first one had committed", "as before; exit 4",
           "the first one was not disturbed", PROCESS)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_run_that_waits_ends_at_a_signal(company, dest, how):
    with Held(company, dest):
        before = contents(dest)
        second = waiting(dest, company, "5m")
        second.stderr.readline()
        second.send_signal(how)
        second.communicate(timeout=PATIENCE)
        assert second.returncode != 0 and contents(dest) == before


def test_max_duration_also_ends_a_run_that_has_nothing_yet(dest):
    """Nothing was committed and nothing is wrong: it is no failure of all tables."""
    hold = Hold()
    with Scripted() as server:
        server.answers["/organization/users"] = [hold]
        run = sync(dest, server, "--tables", "users", "--max-duration", "1s", code=2)
        hold.released.set()
        assert run.report["interrupted"] and run.table("users")["status"] == "interrupted"
        server.answers["/organization/users"] = [page(user("user-1"))]
        sync(dest, server, "--tables", "users", "--max-duration", "10m")


def test_ctrl_c_in_the_middle_of_a_commit(dest):
    """Of the days that appeared before it, or while it was heeded, the run report tells: `verify` knows all of them."""
    company, days = start_simulator("--projects", 2, "--users", 3, "--history-days", 120), ("--tables", "usage_completions")
    process = start_sync(dest, company, *days)
    until(lambda: next(dest.glob("usage_completions/date=*/data.parquet"), None) or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    told = {each["path"] for each in report_of(dest)["tables"]["usage_completions"]["objects"]}
    assert told == {str(path.relative_to(dest)) for path in dest.glob("usage_completions/*/*.parquet")} != set()
    assert process.returncode in (0, 2) and b"panicked" not in err
    assert command("verify", "--dest", dest, code=0) and not list(dest.glob("_staging/*"))
    sync(dest, company, *days)
    assert_true(dest, company, ["usage_completions"])
    company.stop()
    record("Ctrl-C", "while a window of many days is committed", "some of its days", "exit 2; the report tells of each day that appeared",
           "`verify` found nothing; the next sync gave the truth", PROCESS)


def test_ctrl_c_ends_the_demo_with_its_first_sync(dest):
    process = subprocess.Popen(
        [str(BINARY), "demo", "--out", str(dest)], env=clean_environment(), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    until(lambda: list(dest.glob("*/data.parquet")))
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2 and "first sync" in said and "second sync" not in said
    assert report_of(dest)["interrupted"] and not list(dest.glob("_staging/*"))
