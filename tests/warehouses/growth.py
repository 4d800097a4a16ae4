"""The story that every warehouse lives through, whatever its SQL is.

A first load; the same script again; a day later the slices that the sync changed; the same again; another day.
After each step every table must hold exactly the lake's rows.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Protocol

from warehouses.compare import decimal_columns, difference, tables, total
from warehouses.conftest import Growing
from warehouses.sql import script


class Warehouse(Protocol):
    """What a suite must be able to do with its engine."""

    dialect: str

    def run(self, text: str) -> None:
        """Runs a script of the program."""

    def rows(self, table: str) -> list[dict]:
        """All rows of a loaded table, with the lake's column names and without loss."""

    def value(self, expression: str, table: str):
        """One value, such as a sum, worked out by the engine."""


def same(warehouse: Warehouse, growing: Growing) -> None:
    """Every table, every row, every value; row counts and sums also as the engine works them out."""
    differences = []
    for table in tables(growing.place):
        rows = warehouse.rows(table)
        differences.append(difference(growing.place, table, rows))
        assert int(warehouse.value("count(*)", table)) == len(rows)
        for column in decimal_columns(growing.place, table):
            expected, found = total(growing.place, table, column), warehouse.value(f"sum({column})", table)
            assert not isinstance(found, float), f"{table}.{column}: its sum is a float"
            assert (found is None) == (expected is None), f"{table}.{column}: {found} is not {expected}"
            assert found is None or Decimal(found) == Decimal(expected), f"{table}.{column}: {found} is not {expected}"
    assert not any(differences), "\n\n".join(filter(None, differences))


def live(warehouse: Warehouse, growing: Growing) -> None:
    """The story. A script that loads what is loaded already must change nothing."""
    growing.at("first")
    first = script(warehouse.dialect, growing)
    for _ in range(2):
        warehouse.run(first)
        same(warehouse, growing)
    for moment in ("second", "third"):
        growing.at(moment)
        changed = script(warehouse.dialect, growing, "--changed-by", "last")
        assert len(changed) < len(first) + 20_000, "an incremental script names the changed slices only"
        for _ in range(2):
            warehouse.run(changed)
            same(warehouse, growing)
