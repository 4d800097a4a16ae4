"""The pages of ClickHouse and Spark, run as a reader would: the lines in their order in a shell, then the questions.

What stands in for what cannot be here:

    s3://bucket/openai      the folder of the lake
    openai-elt sync         a day of the made lake takes the place of the one before
    clickhouse-client       the same engine, chdb, with a statement at a time; `spark-sql` is Spark's own
"""

import os
import pathlib
import shutil
import subprocess
import sys

import pyarrow.dataset
import pytest

from conftest import BINARY, PATIENCE, clean_environment
from warehouses.compare import difference, schema
from warehouses.engines.spark_session import SMALL
from warehouses.pages import asking, lines_of

FEW = ["costs", "projects", "audit_logs", "users"]

SYNC = """#!/bin/sh
# What a sync of the next day leaves, and all else by the program.
if [ "$1" != sync ]; then exec {binary} "$@"; fi
cp -r {made}/second/_runs {tables} lake/
"""

CLICKHOUSE = """#!{python}
import sys
from chdb.session import Session
from warehouses.sql import statements
session = Session("clickhouse")
for statement in statements(sys.stdin.read()):
    print(session.query(statement, "CSV").data(), end="")
session.close()
"""


@pytest.fixture
def place(made, tmp_path):
    """A folder with a lake of few tables, where `openai-elt` and the clients are programs on the path."""
    lake = tmp_path / "lake"
    for part in [*FEW, "_runs", "_state"]:
        shutil.copytree(made / "first" / part, lake / part)
    tables = " ".join(str(made / "second" / table) for table in FEW)
    program(tmp_path / "bin/openai-elt", SYNC.format(binary=BINARY, made=made, tables=tables))
    program(tmp_path / "bin/clickhouse-client", CLICKHOUSE.format(python=sys.executable))
    return tmp_path


def program(file: pathlib.Path, text: str) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    file.chmod(0o755)


def run(place, lines: list[str], **more: str) -> str:
    """The lines in one shell, which ends at the first that fails."""
    text = "\n".join(lines).replace("s3://bucket/openai", str(place / "lake"))
    environment = clean_environment(OPENAI_ELT_BIN=str(BINARY), PYTHONPATH=os.pathsep.join(sys.path), **more)
    environment["PATH"] = f"{place}/bin:{pathlib.Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(["sh", "-ec", text], cwd=place, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, f"{text}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def test_the_page_of_clickhouse_does_what_it_says(place):
    (place / "questions.sql").write_text(";\n".join([*asking("clickhouse"), "SELECT max(_synced_at) FROM openai.costs"]))
    ask = ["clickhouse-client --multiquery < questions.sql"]
    before = run(place, lines_of("clickhouse", "First load") + ask).splitlines()
    after = run(place, lines_of("clickhouse", "Every day") + ask).splitlines()
    assert len(before) > 2 and before[-1] < after[-1], "the second sync is not seen"


def test_the_first_load_of_the_page_of_spark(place):
    """`spark-sql` takes half a minute to start, so it starts once; test_spark.py has the rest of the page."""
    (place / "conf").mkdir()
    quick = {**SMALL, "spark.ui.enabled": "false", "spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
    (place / "conf/spark-defaults.conf").write_text("".join(f"{name} {value}\n" for name, value in quick.items()))
    run(place, lines_of("spark", "First load"), SPARK_CONF_DIR=str(place / "conf"))
    for table in FEW:
        loaded = pyarrow.dataset.dataset(place / "spark-warehouse/openai.db" / table, format="parquet").to_table()
        columns = schema(place / "lake", table)
        loaded = loaded.select(columns.names).cast(columns)  # Spark's own files hold moments without their zone
        assert difference(place / "lake", table, loaded.to_pylist()) == "", table
