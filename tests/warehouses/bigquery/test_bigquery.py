"""BigQuery's script on bqemulator, which speaks BigQuery's API and SQL over DuckDB.

What the emulator cannot do, and what stands in for it here:

    LOAD DATA INTO t FROM FILES (...)               a load job with the same files and options
    a load of .../date=2026-11-20/data.parquet      the emulator adds the path's `date` as a last column, BigQuery does not:
                                                    the staging table gets such a column, which nothing reads
    gs://bucket/table/*                             `*` goes over slashes in BigQuery, not in the emulator: /**/*.parquet
    gs://bucket/...                                 a folder on this disk (the emulator's own BQEMU_GCS_LOCAL_ROOT)

Not shown here: how real BigQuery reads DECIMAL(38,18) into BIGNUMERIC (the emulator casts), external tables,
quotas, and that a load job with a known id is not done twice.
"""

import re
import socket
import subprocess
import sys
import time

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from warehouses.bigquery import server
from warehouses.growth import live
from warehouses.pages import asking
from warehouses.sql import SCHEMA, script, statements

PROJECT, PATIENCE = "acme", 60
LOAD = re.compile(
    r"LOAD DATA INTO (?P<table>\S+)\s*FROM FILES \(format = 'PARQUET', uris = \[(?P<uris>[^]]*)\],"
    r" decimal_target_types = \[(?P<decimals>[^]]*)\], enable_list_inference = true\)", re.S,
)


def texts(listed: str) -> list[str]:
    return re.findall(r"'([^']*)'", listed)


class BigQuery:
    dialect = "bigquery"
    flags = ("--location", "gs://lake")
    exact_sums = True
    json_is_text = True

    def __init__(self, client: bigquery.Client):
        self.client = client

    def run(self, text: str) -> None:
        """Statements up to a load are one query, as transactions need; a load is a job of its own."""
        together = []
        for statement in [*statements(text), None]:
            load = statement and LOAD.fullmatch(statement)
            if statement and not load:
                together.append(statement)
                continue
            if together:
                self.client.query(";\n".join(together) + ";").result(timeout=PATIENCE)
                together = []
            if load:
                self.load(load)

    def load(self, asked: re.Match) -> None:
        table, uris = asked["table"].replace("`", ""), texts(asked["uris"])
        by_day = any(uri.endswith("/*") or "/date=" in uri for uri in uris)
        if by_day:
            self.client.query(f"ALTER TABLE {asked['table']} ADD COLUMN `date` DATE").result(timeout=PATIENCE)
        options = bigquery.LoadJobConfig(
            source_format="PARQUET", write_disposition="WRITE_APPEND", decimal_target_types=texts(asked["decimals"]),
        )
        found = [re.sub(r"/\*$", "/**/*.parquet", uri) for uri in uris]
        self.client.load_table_from_uri(found, f"{PROJECT}.{table}", job_config=options).result(timeout=PATIENCE)

    def rows(self, table: str) -> list[dict]:
        return [dict(row) for row in self.client.query(f"SELECT * FROM {SCHEMA}.{table}").result(timeout=PATIENCE)]

    def values(self, expressions: list[str], table: str) -> list:
        asked = f"SELECT {', '.join(expressions)} FROM {SCHEMA}.{table}"
        return list(next(iter(self.client.query(asked).result(timeout=PATIENCE))).values())


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


@pytest.fixture
def warehouse(growing, tmp_path):
    """The emulator, with the place of the lake as its bucket."""
    rest, grpc = free_port(), free_port()
    log = (tmp_path / "emulator.log").open("w")
    process = subprocess.Popen(
        [sys.executable, server.__file__, "start", "--rest-port", str(rest), "--grpc-port", str(grpc), "--project", PROJECT],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "BQEMU_GCS_LOCAL_ROOT": str(growing.place.parent)},
        stdout=log, stderr=subprocess.STDOUT,
    )
    try:
        wait_until_it_listens(process, rest, log.name)
        yield BigQuery(bigquery.Client(
            project=PROJECT, credentials=AnonymousCredentials(), client_options={"api_endpoint": f"http://127.0.0.1:{rest}"},
        ))
    finally:
        process.terminate()
        process.wait(PATIENCE)


def wait_until_it_listens(process: subprocess.Popen, port: int, log: str) -> None:
    for _ in range(PATIENCE * 10):
        assert process.poll() is None, f"the emulator ended: {open(log).read()[-3000:]}"
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"the emulator does not listen: {open(log).read()[-3000:]}")


def test_a_growing_lake_is_loaded_exactly_and_answers_what_the_page_asks(warehouse, growing):
    live(warehouse, growing)
    for question in asking("bigquery"):
        assert list(warehouse.client.query(question).result(timeout=PATIENCE)), question
