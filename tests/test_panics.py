"""A panic is an error with an exit code of the table, wherever it happens, and the lease is given back.

No input is known that makes the program panic, so the machine is made to do it: a clock before 1970 is a panic of the
standard library's users. A small library that is loaded before all others gives that time once, to the thread that the
test names, as soon as the test asks for it. So this is the binary as it is shipped, without a hook for tests.
"""

import json
import os
import subprocess

import pytest

from conftest import BINARY, clean_environment, command, settings
from leaks import assert_no_secret
from reliability import PROCESS, record
from scripted import ADMIN_KEY, Hold, Scripted
from stores import lease, until

CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The file of BROKEN_CLOCK is removed by whoever gets the impossible time: so it is given once for each file. */
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(clock, now);
    const char *file = getenv("BROKEN_CLOCK"), *thread = getenv("BROKEN_THREAD");
    if (clock != CLOCK_REALTIME || !file) return done;
    char name[16] = "";
    pthread_getname_np(pthread_self(), name, sizeof name);
    if (thread && strncmp(name, thread, strlen(thread))) return done;
    if (unlink(file) == 0) now->tv_sec = -1000000;
    return done;
}
"""


@pytest.fixture(scope="session")
def clock(tmp_path_factory):
    """The library, made by the compiler that building the program needs too."""
    folder = tmp_path_factory.mktemp("clock")
    (folder / "clock.c").write_text(CLOCK)
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-o", folder / "clock.so", folder / "clock.c", "-ldl"], check=True)
    return folder / "clock.so"


def broken(clock, file, thread: str | None = None) -> dict[str, str]:
    env = {"LD_PRELOAD": str(clock), "BROKEN_CLOCK": str(file)}
    return {**env, "BROKEN_THREAD": thread} if thread else env


def assert_told(code: int, words: str, *codes: int) -> None:
    assert code in codes, f"exit {code}\n{words}"
    assert "internal error at " in words and "please report" in words, words
    assert "panicked" not in words and "stack backtrace" not in words and "RUST_BACKTRACE" not in words, words


@pytest.mark.parametrize("arguments", [["tables"], ["state", "show", "--dest", "LAKE"], ["sync", "--dest", "LAKE"], ["verify", "--dest", "LAKE"]])
def test_a_panic_of_a_command_is_an_error(tmp_path, clock, arguments):
    file = tmp_path / "now"
    file.touch()
    arguments = [word.replace("LAKE", str(tmp_path)) for word in arguments]
    ended = command(*arguments, env=broken(clock, file))
    assert_told(ended.code, ended.err, 3)
    assert not file.exists() and ended.err.count("error") <= 2 and not ended.out


def test_a_backtrace_is_for_those_who_ask(tmp_path, clock):
    file = tmp_path / "now"
    file.touch()
    ended = command("tables", env={**broken(clock, file), "RUST_BACKTRACE": "1"})
    assert ended.code == 3 and "openai_elt" in ended.err and "please report" in ended.err


def test_the_message_of_a_panic_holds_no_key(tmp_path, clock):
    file = tmp_path / "now"
    file.touch()
    ended = command("tables", env={**broken(clock, file), "RUST_BACKTRACE": "full", "OPENAI_ADMIN_KEY": ADMIN_KEY})
    assert_no_secret(ended.err, ADMIN_KEY)


@pytest.mark.parametrize("thread", ["reader", "tokio-rt-worker"])
def test_a_panic_in_the_middle_of_a_sync_costs_its_table_and_gives_the_lease_back(tmp_path, clock, seaweed, simulator, thread):
    """Each request to the store is signed with the time, by the reader and by those who write."""
    place = seaweed.place()
    place.beside.parent.mkdir(parents=True, exist_ok=True)
    base = ["sync", "--dest", place.url, "--config", settings(place.beside), "--tables", "users,projects,costs"]
    assert command(*base, env={**simulator.env(), **place.env()}).code == 0
    before = {name: place.read(name) for name in place.names() if name.endswith(".parquet")}
    simulator.mutate()
    with Scripted(simulator) as server:
        hold = Hold()
        server.answers["/organization/users"] = [lambda asked: (hold(asked), server.forward(asked))[1]]
        file = tmp_path / "now"
        env = {**server.env(), **place.env(), **broken(clock, file, thread)}
        process = subprocess.Popen(
            [str(BINARY), *map(str, base), "--format", "json"], env=clean_environment(**env), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        assert hold.arrived.wait(120)
        file.touch()
        hold.released.set()
        out, err = (text.decode() for text in process.communicate(timeout=300))
    assert not file.exists(), "the clock was not asked for"
    assert_told(process.returncode, err, 2, 3)
    report = json.loads(out)
    bad = [entry for entry in report["tables"].values() if entry["status"] != "ok"]
    assert bad and all("internal error" in entry["error"]["message"] for entry in bad if entry["status"] == "failed"), report
    assert report["exit_code"] == process.returncode and not report["interrupted"]
    # The lease is free at once, and the next run makes everything right.
    assert lease(place)["holder"] == "nobody"
    for name, content in before.items():
        assert place.has(name) and len(place.read(name)) > 0, name
    assert command(*base, env={**simulator.env(), **place.env()}).code == 0
    assert command("verify", "--dest", place.url, env=place.env()).code == 0
    record(
        f"a panic in a thread of a sync ({'of the reader' if thread == 'reader' else 'of those who write'})",
        "the clock jumps before 1970 while a list is read, into a real S3 server",
        before="three tables", during="exit 2 or 3 with an internal error; the report is whole, the lease is free at once", after="the next sync is right",
        part=PROCESS,
    )


def test_a_sync_whose_lease_nobody_renews_any_more_ends(tmp_path, clock, seaweed, simulator):
    """The panic hits the renewal: going on without it would be writing without a lease."""
    place = seaweed.place()
    place.beside.parent.mkdir(parents=True, exist_ok=True)
    with Scripted(simulator) as server:
        hold = Hold()
        server.answers["/organization/users"] = [lambda asked: (hold(asked), server.forward(asked))[1]]
        file = tmp_path / "now"
        env = {**server.env(), **place.env(), **broken(clock, file)}
        process = subprocess.Popen(
            [str(BINARY), "sync", "--dest", place.url, "--config", str(settings(place.beside)), "--tables", "users"],
            env=clean_environment(**env), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        assert hold.arrived.wait(120)
        file.touch()
        until(lambda: not file.exists())
        out, err = (text.decode() for text in process.communicate(timeout=300))
        hold.released.set()
    assert process.returncode in (2, 3), err
    assert "panicked" not in err and not [name for name in place.names() if name.startswith("users/")]
    assert lease(place)["holder"] == "nobody"
    ended = command("sync", "--dest", place.url, "--tables", "users", "--config", settings(place.beside), env={**simulator.env(), **place.env()})
    assert ended.code == 0, ended.err


def test_an_error_before_the_first_request_gives_the_lease_back_too(tmp_path, seaweed, simulator):
    """A state that is broken is found under the lease by `state reset`; the next run need not wait."""
    place = seaweed.place()
    place.beside.parent.mkdir(parents=True, exist_ok=True)
    sync_flags = ["sync", "--dest", place.url, "--config", settings(place.beside), "--tables", "users"]
    assert command(*sync_flags, env={**simulator.env(), **place.env()}).code == 0
    assert command("state", "reset", "no_such_table", "--dest", place.url, env=place.env()).code == 1
    assert lease(place)["holder"] == "nobody"
    assert command(*sync_flags, env={**simulator.env(), **place.env()}).code == 0
