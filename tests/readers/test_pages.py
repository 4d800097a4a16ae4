"""The Python of the pages, run on a lake with two versions of its tables: each reader must know the new column."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from conftest import PATIENCE, ROOT, clean_environment
from readers.test_readers import lake  # noqa: F401, a fixture

NEWEST, ENGINES = ".venv-readers-newest", ".venv-engines"


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.S | re.M)


def seen(expression: str, count: str) -> str:
    """After the page's own lines: how many values the new column has, as `count` finds it in `found`."""
    return f"found = {expression}\nassert ({count}) > 0\nprint('seen')"


# Lines of a page are taken up to the reader's own, and that is kept and asked.
LAKEHOUSE = {
    "polars.concat": "found.select(polars.col('later').count()).collect().item()",
    "pyarrow.dataset.dataset": "found.count_rows(filter=pyarrow.dataset.field('later').is_valid())",
    "pandas.read_parquet": "found['later'].count()",
}


@pytest.mark.parametrize("reader", LAKEHOUSE)
def test_the_readers_of_lakehouse(reader, lake):  # noqa: F811
    block = blocks("docs/warehouses/lakehouse.md")[0]
    (line,) = [line for line in block.splitlines() if line.startswith(reader)]
    run(NEWEST, block + "\n" + seen(line.partition("   #")[0], LAKEHOUSE[reader]), lake)


def test_datafusion_of_lakehouse(lake):  # noqa: F811
    block = blocks("docs/warehouses/lakehouse.md")[0]
    block = block.replace("datafusion.SessionContext().register_parquet", "context = datafusion.SessionContext()\ncontext.register_parquet")
    ask = "context.sql('SELECT count(later) AS n FROM costs').to_pydict()['n'][0]"
    run(NEWEST, block + "\n" + seen("None", ask), lake)


def test_chdb_of_readers(lake):  # noqa: F811
    (block,) = blocks("docs/readers.md")
    assert "SELECT *" in block
    block = block.replace("SELECT *", "SELECT count(later)").replace("chdb.query", "answer = chdb.query")
    run(NEWEST, block + "\n" + seen("None", "int(str(answer))"), lake)


def test_spark_of_the_pages(lake):  # noqa: F811
    """One session for both pages: it takes seconds to start."""
    readme = blocks("README.md")[0]
    spark = blocks("docs/warehouses/spark.md")[0]
    text = "\n".join([
        readme, seen("table('costs')", "found.where('later IS NOT NULL').count()"),
        spark, seen("costs", "found.where('later IS NOT NULL').count()"),
    ])
    run(ENGINES, text, lake, said=2)


def run(environment: str, text: str, lake, said: int = 1) -> None:  # noqa: F811
    text = re.sub(r"""(?<=["'])(s3a://bucket/openai/|demo-lake/|lake/)""", f"{lake}/", text)
    more = {"HOME": os.environ.get("HOME", "/"), "PYTHONDONTWRITEBYTECODE": "1", "SPARK_LOCAL_IP": "127.0.0.1"}
    done = subprocess.run(
        [str(ROOT / environment / "bin/python"), "-c", text], capture_output=True, text=True, timeout=2 * PATIENCE,
        env=clean_environment(**more),
    )
    assert done.returncode == 0 and done.stdout.count("seen") == said, f"{text}\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}"
