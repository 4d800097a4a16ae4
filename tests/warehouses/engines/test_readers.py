"""Readers that take the lake as it lies: a folder or a glob, no script, no catalog.

Each must find every row and every value, and the partition `date` as a column where it understands the paths.
"""

import datafusion
import pandas
import polars
import pyarrow
import pyarrow.dataset as dataset
import pytest

from warehouses.compare import decimal_columns, difference, lake_rows, objects, schema, tables, total
from warehouses.lake import DAYS, TABLES


@pytest.fixture(scope="module")
def lake(growing):
    """After the third sync: days have been rewritten, rows are tombstones, versions are closed."""
    return growing.at("third")


def cut_by_day(lake, table) -> bool:
    return objects(lake, table)[0].parent.name.startswith("date=")


def pyarrow_dataset(lake, table):
    return dataset.dataset(lake / table, format="parquet", partitioning="hive").to_table().to_pylist()


def polars_folder(lake, table):
    return polars.scan_parquet(lake / table, hive_partitioning=cut_by_day(lake, table)).collect().to_dicts()


def pandas_folder(lake, table):
    """With Arrow's types: pandas' own would make integers with nulls into floats."""
    frame = pandas.read_parquet(lake / table, dtype_backend="pyarrow", engine="pyarrow")
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def datafusion_folder(lake, table):
    context = datafusion.SessionContext()
    days = [("date", pyarrow.string())] if cut_by_day(lake, table) else []
    context.register_parquet(table, str(lake / table), table_partition_cols=days)
    columns = ", ".join(f'"{name}"' for name in [*schema(lake, table).names, *(name for name, _ in days)])
    return context.sql(f'SELECT {columns} FROM "{table}"').to_arrow_table().to_pylist()


READERS = [pyarrow_dataset, polars_folder, pandas_folder, datafusion_folder]


def test_the_lake_has_what_loaders_get_wrong(lake):
    """Else all that follows would prove little."""
    assert set(TABLES) <= set(tables(lake))
    assert lake_rows(lake, "organization_certificates") == []
    assert any(row["_deleted"] for row in lake_rows(lake, "files"))
    assert any(row["_valid_to"] is not None for row in lake_rows(lake, "users"))
    assert {"back\\slash", "\\N", "", "two\nlines\r\n", "Zoë 東京 🚀"} <= {row["email"] for row in lake_rows(lake, "invites")}
    assert decimal_columns(lake, "chatgpt_usage_limits_users") == ["last_month_usage", "current_month_usage"]
    assert total(lake, "chatgpt_usage_limits_users", "current_month_usage") is None
    assert len(objects(lake, "codex_usage_models")) > DAYS // 2


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_every_row_and_value_is_read(lake, read, table):
    assert difference(lake, table, read(lake, table)) == ""


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_the_day_comes_from_the_path(lake, read):
    """`date` is the UTC day of the column that the table is cut by."""
    rows = read(lake, "costs")
    assert rows and all(str(row["date"])[:10] == row["start_time"].strftime("%Y-%m-%d") for row in rows)
