"""The pages of ClickHouse, Spark and the lakehouse, run whole as a reader would: every block in its order.

What stands in for what cannot be here:

    s3://bucket/openai      the folder of the lake
    openai-elt sync         a day of the made lake takes the place of the one before
    clickhouse-client       the same engine, chdb, with a statement at a time
    spark-sql               one session of Spark for the whole page, which is told what to run by files: a start takes
                            half a minute; what `spark-sql -f` itself does is shown by the page's first load
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
from warehouses.engines.spark_session import SMALL, spark
from warehouses.pages import blocks
from warehouses.sql import statements

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
    (place / "synced.sql").write_text("SELECT max(_synced_at) FROM openai.costs")
    answers, synced = [], []
    for block in blocks("clickhouse"):
        if block.language == "sql":
            if "CREATE ROLE" in block.text:
                # chdb keeps no roles: that this is ClickHouse's SQL the parser says (tests/test_warehouse_pages.py).
                continue
            (place / "block.sql").write_text(block.text)
            answers.append(run(place, ["clickhouse-client --multiquery < block.sql"]))
        else:
            run(place, block.text.splitlines())
            if "clickhouse-client" in block.text:
                synced.append(run(place, ["clickhouse-client --multiquery < synced.sql"]))
    assert answers and all(answer.strip() for answer in answers)
    assert len(synced) == 2 and synced[0] < synced[1], "the second sync is not seen"


def test_the_page_of_spark_does_what_it_says(place, tmp_path_factory):
    """Its own `spark-sql` once, for the first load; then the page from its top in one session."""
    (place / "bin/spark-sql").write_text("#!/bin/sh\necho \"$2\" >> scripts\n")
    (place / "bin/spark-sql").chmod(0o755)
    with spark(tmp_path_factory.mktemp("spark")) as session:
        told, answers = place / "scripts", []
        for block in blocks("spark"):
            text = block.text.replace("s3a://bucket/openai", str(place / "lake"))
            if block.language == "python":
                exec(compile(text, "spark.md", "exec"), {"spark": session})
            elif block.language == "sql":
                answers += [session.sql(statement).collect() for statement in statements(text)]
            else:
                run(place, text.splitlines())
                for script in told.read_text().split() if told.exists() else []:
                    if "--external" in previous:
                        session.sql("DROP SCHEMA IF EXISTS openai CASCADE")
                    for statement in statements((place / script).read_text()):
                        session.sql(statement)
                    if "--external" in previous:
                        session.sql("DROP SCHEMA openai CASCADE")  # tables of the same names follow
                told.unlink(missing_ok=True)
                previous = text
        assert answers and all(answers)


def test_the_page_of_the_lakehouse_does_what_it_says(place):
    """One Python for all blocks, as in a notebook; a sync in between."""
    lines = []
    for number, block in enumerate(blocks("lakehouse")):
        if block.language == "python":
            lines.append(block.text)
        else:
            lines.append(f"import subprocess; subprocess.run({block.text!r}, shell=True, check=True)")
    (place / "page.py").write_text("\n".join(lines))
    run(place, [f"{sys.executable} page.py"])


def test_the_first_load_of_the_page_of_spark(place):
    """By the real `spark-sql`, which takes half a minute to start."""
    (place / "conf").mkdir()
    quick = {**SMALL, "spark.ui.enabled": "false", "spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
    (place / "conf/spark-defaults.conf").write_text("".join(f"{name} {value}\n" for name, value in quick.items()))
    first = [block.text for block in blocks("spark") if block.language == "sh"][2:4]
    assert "--external" not in first[0] and first[1].startswith("spark-sql")
    run(place, first, SPARK_CONF_DIR=str(place / "conf"))
    for table in FEW:
        loaded = pyarrow.dataset.dataset(place / "spark-warehouse/openai.db" / table, format="parquet").to_table()
        columns = schema(place / "lake", table)
        loaded = loaded.select(columns.names).cast(columns)  # Spark's own files hold moments without their zone
        assert difference(place / "lake", table, loaded.to_pylist()) == "", table
