"""The story that every warehouse lives through, whatever its SQL is.

A first load; a day later the slices that the sync changed; another day later what changed since. Each script is
run twice, and then every table must hold exactly the lake's rows.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Protocol

from conftest import spec
from warehouses.compare import decimal_columns, difference, objects, tables, total
from warehouses.conftest import Growing
from warehouses.sql import script


class Warehouse(Protocol):
    """What a suite must be able to do with its engine."""

    dialect: str
    flags: tuple[str, ...]
    exact_sums: bool
    json_is_text: bool  # as it is in the lake; else a document is compared with a document

    def run(self, text: str) -> None:
        """Runs a script of the program."""

    def rows(self, table: str) -> list[dict]:
        """All rows of a loaded table, with the lake's column names and without loss."""

    def values(self, expressions: list[str], table: str) -> list:
        """Values such as a count or a sum, worked out by the engine in one query."""


def same(warehouse: Warehouse, growing: Growing) -> None:
    """Every table, every row, every value; row counts and sums also as the engine works them out."""
    differences = []
    for table in tables(growing.place):
        rows = warehouse.rows(table)
        differences.append(difference(growing.place, table, rows, frozenset() if warehouse.json_is_text else json_columns(table)))
        same_sums(warehouse, growing, table, len(rows))
    assert not any(differences), "\n\n".join(filter(None, differences))


def json_columns(table: str) -> frozenset[str]:
    return frozenset(column["name"] for column in spec(table)["columns"] if column["type"] == "json")


def same_sums(warehouse: Warehouse, growing: Growing, table: str, rows: int) -> None:
    columns = decimal_columns(growing.place, table) if warehouse.exact_sums else []
    count, *sums = warehouse.values(["count(*)", *(f"sum({column})" for column in columns)], table)
    assert int(count) == rows
    for column, found in zip(columns, sums, strict=True):
        expected = total(growing.place, table, column)
        assert not isinstance(found, float), f"{table}.{column}: its sum is a float"
        assert (found is None) == (expected is None), f"{table}.{column}: {found} is not {expected}"
        assert found is None or Decimal(found) == Decimal(expected), f"{table}.{column}: {found} is not {expected}"


def live(warehouse: Warehouse, growing: Growing) -> None:
    """The story. A script that loads what is loaded already must change nothing."""
    growing.at("first")
    first = script(warehouse.dialect, growing, *warehouse.flags)
    twice(warehouse, growing, first)
    growing.at("second")
    changed = script(warehouse.dialect, growing, *warehouse.flags, "--changed-by", "last")
    assert oldest_day(growing) not in changed, "an incremental script leaves the other days alone"
    twice(warehouse, growing, changed)
    loaded = growing.newest_run
    growing.at("third")
    twice(warehouse, growing, script(warehouse.dialect, growing, *warehouse.flags, "--changed-since", loaded))


def make_up(warehouse: Warehouse, growing: Growing) -> None:
    """A day whose load failed is made up for by the next."""
    growing.at("first")
    warehouse.run(script(warehouse.dialect, growing, *warehouse.flags))
    loaded = growing.newest_run
    growing.at("third")
    warehouse.run(script(warehouse.dialect, growing, *warehouse.flags, "--changed-since", loaded))
    same(warehouse, growing)


def oldest_day(growing: Growing) -> str:
    """A day that no sync but the first has written."""
    return objects(growing.place, "codex_usage")[0].parent.name.removeprefix("date=")


def twice(warehouse: Warehouse, growing: Growing, text: str) -> None:
    for _ in range(2):
        warehouse.run(text)
    same(warehouse, growing)
