"""What a lake holds, and whether an engine holds the same: every row, every value, nothing rounded.

The lake is read by pyarrow, which shares no code with the program under test. Values are brought into one
written form: decimals with 18 places, moments as microseconds since 1970, floats by their shortest exact text.
A decimal that comes back as a float is a failure even when the digits agree.
"""

from __future__ import annotations

import functools
import json
import pathlib
from collections import Counter
from datetime import date, datetime, timedelta, timezone
from decimal import Context, Decimal

import pyarrow as pa
import pyarrow.parquet as parquet

EXACT = Context(prec=80)
SCALE = Decimal(1).scaleb(-18)
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def objects(lake: pathlib.Path, table: str) -> list[pathlib.Path]:
    """The Parquet objects of a table, oldest day first."""
    return sorted((lake / table).rglob("*.parquet"))


def tables(lake: pathlib.Path) -> list[str]:
    """The tables that have a folder."""
    return sorted(path.name for path in lake.iterdir() if path.is_dir() and not path.name.startswith("_"))


def once(read):
    """Reads a state of a table once, however many engines are compared with it: copies of an object keep its time."""
    known = {}

    @functools.wraps(read)
    def found(lake: pathlib.Path, table: str, *how):
        stats = ((path.relative_to(lake), path.stat()) for path in objects(lake, table))
        state = (table, how, *((path, stat.st_mtime_ns, stat.st_size) for path, stat in stats))
        if state not in known:
            known[state] = read(lake, table, *how)
        return known[state]

    return found


@once
def schema(lake: pathlib.Path, table: str) -> pa.Schema:
    """The columns of a table. All its objects must agree, or no engine could load it."""
    found = {parquet.read_schema(path).remove_metadata() for path in objects(lake, table)}
    assert len(found) == 1, f"{table}: objects disagree about their columns"
    return found.pop()


@once
def lake_rows(lake: pathlib.Path, table: str) -> list[dict]:
    """The rows of a table; not to be changed."""
    return [row for path in objects(lake, table) for row in parquet.ParquetFile(path).read().to_pylist()]


def micros(moment) -> int:
    """A moment as microseconds since 1970. A moment without a zone says nothing."""
    if isinstance(moment, int):
        return moment
    moment = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    assert moment.tzinfo is not None, f"a moment without a zone: {moment!r}"
    return (moment - EPOCH) // timedelta(microseconds=1)


def written(value, kind: pa.DataType):
    """A value in the one written form of its type."""
    if value is None:
        return None
    if pa.types.is_decimal(kind):
        assert isinstance(value, (Decimal, str, int)), f"a decimal came back as {type(value).__name__}: {value!r}"
        return format(EXACT.add(EXACT.quantize(Decimal(value), SCALE), 0), "f")  # adding 0 makes -0 a 0
    if pa.types.is_timestamp(kind):
        return micros(value)
    if pa.types.is_date(kind):
        return value.isoformat() if isinstance(value, date) else str(value)
    if pa.types.is_floating(kind):
        return repr(float(value))
    if pa.types.is_boolean(kind):
        assert value in (True, False), f"not a bool: {value!r}"
        return bool(value)
    if pa.types.is_integer(kind):
        assert not isinstance(value, float), f"an integer came back as a float: {value!r}"
        return int(value)
    assert isinstance(value, str), f"a text came back as {type(value).__name__}: {value!r}"
    return value


def bag(rows: list[dict], columns: pa.Schema) -> Counter:
    """Rows in written form, with how often each is there. Columns that the lake does not have are left out."""
    return Counter(tuple(written(row[column.name], column.type) for column in columns) for row in rows)


@once
def lake_bag(lake: pathlib.Path, table: str, json_columns: frozenset[str]) -> Counter:
    """The rows of a table in written form; not to be changed."""
    return bag([plain(row, json_columns) for row in lake_rows(lake, table)], schema(lake, table))


def difference(lake: pathlib.Path, table: str, got: list[dict], json_columns: frozenset[str] = frozenset()) -> str:
    """What an engine has too few or too many of; empty when it holds exactly the lake's rows.

    Columns in `json_columns` were loaded into a JSON type, which may write the same document differently.
    """
    columns = schema(lake, table)
    expected = lake_bag(lake, table, json_columns)
    found = bag([plain(row, json_columns) for row in got], columns)
    missing, extra = expected - found, found - expected
    if not missing and not extra:
        return ""
    shown = [f"{table}: {expected.total()} rows in the lake, {found.total()} in the engine"]
    for word, rows in (("missing", missing), ("extra", extra)):
        shown += [f"{word} {rows.total()}, such as"] + [str(dict(zip(columns.names, row))) for row in list(rows)[:2]]
    return "\n".join(shown)


def plain(row: dict, json_columns: frozenset[str]) -> dict:
    """The row with its JSON documents in one spelling."""
    return {
        name: json.dumps(json.loads(value) if isinstance(value, str) else value, sort_keys=True)
        if name in json_columns and value is not None else value
        for name, value in row.items()
    }


def decimal_columns(lake: pathlib.Path, table: str) -> list[str]:
    return [column.name for column in schema(lake, table) if pa.types.is_decimal(column.type)]


def total(lake: pathlib.Path, table: str, column: str) -> str | None:
    """The exact sum of a decimal column, in written form; None when it has no value at all."""
    values = [row[column] for row in lake_rows(lake, table) if row[column] is not None]
    result = Decimal(0)
    for value in values:
        result = EXACT.add(result, value)
    return written(result, pa.decimal128(38, 18)) if values else None
