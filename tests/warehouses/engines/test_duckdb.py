"""DuckDB by the program's script, in a database file; in place; and what its page tells people to ask."""

import json

import duckdb
import pytest

from warehouses.growth import live, make_up, same
from warehouses.pages import asking
from warehouses.sql import SCHEMA, script


class DuckDb:
    dialect = "duckdb"
    flags = ()
    exact_sums = True
    json_is_text = True

    def __init__(self, file):
        self.connection = duckdb.connect(str(file))

    def run(self, text: str) -> None:
        self.connection.execute(text)

    def rows(self, table: str) -> list[dict]:
        found = self.connection.execute(f'SELECT * FROM {SCHEMA}."{table}"').fetch_arrow_table()
        return found.to_pylist()

    def values(self, expressions: list[str], table: str) -> list:
        asked = ", ".join(f"({expression})::VARCHAR" for expression in expressions)
        return list(self.connection.execute(f'SELECT {asked} FROM {SCHEMA}."{table}"').fetchone())


@pytest.fixture
def warehouse(tmp_path):
    warehouse = DuckDb(tmp_path / "analytics.duckdb")
    yield warehouse
    warehouse.connection.close()


def test_a_growing_lake_is_loaded_exactly(warehouse, growing):
    live(warehouse, growing)


def test_a_load_that_failed_is_made_up_for(warehouse, growing):
    make_up(warehouse, growing)


def test_what_a_killed_run_has_committed_is_loaded_too(warehouse, growing):
    """Its report tells no objects: it was written when the run began."""
    growing.at("first")
    warehouse.run(script("duckdb", growing))
    loaded = growing.newest_run
    growing.at("second")
    killed = growing.place / "_runs" / f"{growing.newest_run}.json"
    report = json.loads(killed.read_text())
    killed.write_text(json.dumps({**report, "finished_at": None, "exit_code": None, "tables": {}}))
    warehouse.run(script("duckdb", growing, "--changed-since", loaded))
    same(warehouse, growing)


def test_the_lake_is_read_in_place(warehouse, growing):
    growing.at("second")
    warehouse.run(script("duckdb", growing, "--external"))
    same(warehouse, growing)
    growing.at("third")
    same(warehouse, growing)


def test_what_the_page_asks_is_answered(warehouse, growing):
    growing.at("second")
    warehouse.run(script("duckdb", growing))
    for question in asking("duckdb"):
        assert warehouse.connection.execute(question).fetchall(), question
