"""Redshift's rules of COPY, on real files. There is no Redshift to run the script on.

COPY of Parquet goes by position and count and looks at no name. So the table that it fills must have exactly the
columns of the file, in the file's order and of its types, and what is taken out of that table must go by name.
The script is read by sqlglot's Redshift dialect.
"""

import fnmatch
import re

import pyarrow as pa
import pytest
import sqlglot
from sqlglot import expressions as sql

from warehouses.compare import objects, schema, tables
from warehouses.sql import script, statements

LAKE = "s3://bucket/openai"
COPY = re.compile(rf'COPY "(?P<table>\w+)__staging" FROM \'{LAKE}/(?P<source>[^\']+)\' IAM_ROLE default FORMAT AS PARQUET FILLRECORD')


def kind(column: pa.DataType) -> str:
    """What a Parquet column is in Redshift."""
    if pa.types.is_decimal(column):
        return f"DECIMAL({column.precision},{column.scale})"
    names = {
        pa.string(): "VARCHAR(65535)", pa.int64(): "BIGINT", pa.float64(): "DOUBLE PRECISION", pa.bool_(): "BOOLEAN",
        pa.date32(): "DATE", pa.timestamp("us", "UTC"): "TIMESTAMP",
    }
    return names[column]


@pytest.fixture(scope="module", params=[(), ("--changed-by", "last")], ids=["first", "changed"])
def asked(request, growing):
    """The statements of a first and of an incremental load."""
    growing.at("second")
    return statements(script("redshift", growing, "--location", LAKE, *request.param))


def staging(asked) -> dict[str, list[tuple[str, str]]]:
    """The tables that COPY fills: name and type of each column, in order."""
    found = {}
    for statement in asked:
        if statement.startswith("CREATE TEMPORARY TABLE"):
            name = re.match(r'CREATE TEMPORARY TABLE "(\w+)__staging"', statement)[1]
            found[name] = re.findall(r'^\s+"(\w+)" ([^,\n]+(?:,\d+\))?),?$', statement, re.M)
    return found


def test_comments_are_made_once_and_not_daily(growing):
    growing.at("second")
    daily = script("redshift", growing, "--location", LAKE, "--changed-by", "last")
    assert "COMMENT ON" not in daily
    assert script("redshift", growing, "--location", LAKE).count("COMMENT ON COLUMN") > 100


def test_every_statement_is_redshift(asked):
    for statement in asked:
        if not statement.startswith("COPY"):  # of COPY sqlglot knows other options than Redshift
            assert sqlglot.parse_one(statement, read="redshift") is not None


def test_copy_fills_the_columns_of_the_file_in_their_order(asked, growing):
    filled = staging(asked)
    assert filled
    for table, columns in filled.items():
        assert columns == [(column.name, kind(column.type)) for column in schema(growing.place, table)], table


def test_copy_reads_objects_that_are_there_and_misses_none(asked, growing):
    """A first load takes all, an incremental one what the run wrote. `_state` and `_runs` are never below a source."""
    copies = [COPY.fullmatch(statement) for statement in asked if statement.startswith("COPY")]
    assert copies and all(copies)
    taken = {}
    for copy in copies:
        below = [str(path.relative_to(growing.place)) for path in objects(growing.place, copy["table"])]
        chosen = fnmatch.filter(below, f"{copy['source']}*")
        assert chosen, copy["source"]
        taken.setdefault(copy["table"], set()).update(chosen)
    changed = {name: set(paths) for name, paths in growing.changed().items()}
    everything = {name: {str(path.relative_to(growing.place)) for path in objects(growing.place, name)} for name in tables(growing.place)}
    assert taken in (changed, everything)


def test_rows_go_on_by_name(asked):
    inserts = [sqlglot.parse_one(statement, read="redshift") for statement in asked if statement.startswith("INSERT")]
    assert inserts
    for insert in inserts:
        into = [column.name for column in insert.this.expressions]
        chosen = insert.expression.expressions
        last = [] if isinstance(chosen[-1], sql.Column) else ["date"]
        assert into == [column.name for column in chosen if isinstance(column, sql.Column)] + last


def test_all_changes_are_one_transaction(growing):
    growing.at("second")
    asked = statements(script("redshift", growing, "--location", LAKE, "--changed-by", "last"))
    assert asked.count("BEGIN") == asked.count("COMMIT") == 1
    begun = asked.index("BEGIN")
    assert not any(statement.startswith(("COPY", "DELETE", "INSERT")) for statement in asked[:begun])
    assert asked[-1] == "COMMIT"
