"""Snowflake's script on fakesnow, which plays Snowflake's SQL, stages and load history on DuckDB.

What fakesnow cannot do, and what stands in for it here:

    ALTER SESSION SET TIMEZONE    left out; moments are compared with their zone all the same
    COPY ... PATTERN = '...'      the files below the folder that the pattern takes, as FILES = (...)
    COMMENT = 'it''s'             the comment without its quote, which fakesnow forgets to double again
    SUM(decimal)                  fakesnow adds as floats: sums are made of the rows, which come back exact

Not shown here, because fakesnow has none of it: storage integrations, external tables, the time limit of the
load history, and that real Snowflake also sees by its content that a file is another one.
"""

import re

import fakesnow
import pytest
import snowflake.connector

from warehouses.growth import live, make_up
from warehouses.pages import asking
from warehouses.sql import SCHEMA, script, statements

COMMENT = re.compile(r"COMMENT = '(?:[^']|'')*'")
COPY_PATTERN = re.compile(r"FROM @[^/]+/(?P<folder>\S+)/\)\s+PATTERN = '(?P<pattern>[^']*)'")


class Snowflake:
    dialect = "snowflake"
    flags = ()
    exact_sums = False
    json_is_text = False

    def __init__(self, connection, growing):
        self.cursor, self.growing = connection.cursor(), growing

    def run(self, text: str) -> None:
        for statement in statements(text):
            if not statement.startswith("ALTER SESSION"):
                statement = COMMENT.sub(lambda found: found[0].replace("''", ""), statement)
                self.cursor.execute(self.with_files(statement))

    def with_files(self, statement: str) -> str:
        """A COPY with a pattern as one that names the files, relative to the folder as COPY wants them."""
        found = COPY_PATTERN.search(statement)
        if not found:
            return statement
        folder = self.growing.place / found["folder"]
        names = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()]
        chosen = ", ".join(f"'{name}'" for name in names if re.fullmatch(found["pattern"], name))
        return statement.replace(f"PATTERN = '{found['pattern']}'", f"FILES = ({chosen})")

    def rows(self, table: str) -> list[dict]:
        self.cursor.execute(f'SELECT * FROM {SCHEMA}."{table.upper()}"')
        names = [column[0].lower() for column in self.cursor.description]
        return [dict(zip(names, row)) for row in self.cursor.fetchall()]

    def values(self, expressions: list[str], table: str) -> list:
        return list(self.cursor.execute(f"SELECT {', '.join(expressions).upper()} FROM {SCHEMA}.{table}").fetchone())


@pytest.fixture
def warehouse(growing):
    with fakesnow.patch():
        connection = snowflake.connector.connect(database="lakes", schema="public")
        yield Snowflake(connection, growing)
        connection.close()


def test_a_growing_lake_is_loaded_exactly(warehouse, growing):
    live(warehouse, growing)


def test_a_load_that_failed_is_made_up_for(warehouse, growing):
    make_up(warehouse, growing)


def test_without_force_a_rewritten_slice_is_not_loaded(warehouse, growing):
    """Why the script says FORCE: a slice keeps its name, and the load history goes by names."""
    growing.at("first")
    warehouse.run(script("snowflake", growing))
    growing.at("second")
    changed = script("snowflake", growing, "--changed-by", "last")
    loads = changed[changed.index("BEGIN TRANSACTION"):]  # fakesnow forgets the history with each CREATE TABLE IF NOT EXISTS
    assert "FORCE = TRUE" in loads
    warehouse.run(loads.replace("FORCE = TRUE", ""))
    assert warehouse.rows("users") == []


def test_what_dies_before_its_commit_changes_nothing(warehouse, growing):
    """All changed slices come in one transaction."""
    growing.at("first")
    warehouse.run(script("snowflake", growing))
    before = warehouse.rows("costs")
    growing.at("second")
    changed = statements(script("snowflake", growing, "--changed-by", "last"))
    assert changed.count("BEGIN TRANSACTION") == 1 and changed[-1] == "COMMIT"
    warehouse.run(";\n".join(changed[:-1]))
    warehouse.run("ROLLBACK")
    assert warehouse.rows("costs") == before


def test_what_the_page_asks_is_answered(warehouse, growing):
    growing.at("second")
    warehouse.run(script("snowflake", growing))
    for question in asking("snowflake"):
        assert warehouse.cursor.execute(question.replace("analytics.openai", SCHEMA)).fetchall(), question
