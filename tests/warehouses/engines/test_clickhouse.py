"""ClickHouse, the real engine, in this process."""

import json

import pyarrow.parquet as parquet
import pytest
from chdb.session import Session

from warehouses.compare import difference, objects
from warehouses.growth import live, make_up, same
from warehouses.pages import asking
from warehouses.sql import SCHEMA, script, statements


class ClickHouse:
    dialect = "clickhouse"
    flags = ()
    exact_sums = True
    json_is_text = True

    def __init__(self, folder):
        self.session = Session(str(folder))

    def run(self, text: str) -> None:
        for statement in statements(text):
            self.session.query(statement)

    def rows(self, table: str) -> list[dict]:
        return self.session.query(f"SELECT * FROM {SCHEMA}.`{table}`", "ArrowTable").to_pylist()

    def values(self, expressions: list[str], table: str) -> list:
        """As text: ClickHouse writes decimals whole."""
        asked = ", ".join(f"toString({expression})" for expression in expressions)
        found = self.session.query(f"SELECT {asked} FROM {SCHEMA}.`{table}`", "TSVRaw").data().rstrip("\n").split("\t")
        return [None if value == "\\N" else value for value in found]


@pytest.fixture
def clickhouse(tmp_path):
    warehouse = ClickHouse(tmp_path / "clickhouse")
    yield warehouse
    warehouse.session.close()


def test_a_growing_lake_is_loaded_exactly(clickhouse, growing):
    live(clickhouse, growing)


def test_a_load_that_failed_is_made_up_for(clickhouse, growing):
    make_up(clickhouse, growing)


@pytest.mark.parametrize("days", [1, 100], ids=["a day", "all days"])
@pytest.mark.parametrize("rows", [0, None], ids=["told", "not told"])
def test_days_that_became_empty_are_emptied(clickhouse, growing, days, rows):
    """A partition is a month, and nothing replaces one by nothing: neither a day of it, nor all of it."""
    growing.at("first")
    clickhouse.run(script("clickhouse", growing))
    emptied = objects(growing.place, "costs")[-days:]
    for file in emptied:
        parquet.write_table(parquet.ParquetFile(file).schema_arrow.empty_table(), file)
    file = growing.place / "_runs" / f"{growing.newest_run}.json"
    report = json.loads(file.read_text())
    written = [{"path": str(path.relative_to(growing.place)), "rows": rows} for path in emptied]
    file.write_text(json.dumps({**report, "tables": {"costs": {**report["tables"]["costs"], "objects": written}}}))
    changed = script("clickhouse", growing, "--changed-by", "last")
    for _ in range(2):
        clickhouse.run(changed)
        assert difference(growing.place, "costs", clickhouse.rows("costs")) == ""


def test_the_lake_is_read_in_place(clickhouse, growing):
    growing.at("second")
    clickhouse.run(script("clickhouse", growing, "--external"))
    same(clickhouse, growing)
    growing.at("third")
    same(clickhouse, growing)


def test_what_the_page_asks_is_answered(clickhouse, growing):
    growing.at("second")
    clickhouse.run(script("clickhouse", growing))
    for question in asking("clickhouse"):
        assert clickhouse.session.query(question, "ArrowTable").num_rows, question
