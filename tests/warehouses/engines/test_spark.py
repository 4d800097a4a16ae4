"""Spark reads each table's folder."""

from decimal import Decimal

import pytest

from warehouses.compare import decimal_columns, difference, objects, total
from warehouses.lake import TABLES
from warehouses.engines.spark_session import rows, spark


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    with spark(tmp_path_factory.mktemp("spark")) as session:
        yield session


@pytest.fixture(scope="module")
def lake(growing):
    return growing.at("second")


@pytest.mark.parametrize("table", TABLES)
def test_a_folder_is_a_table(session, lake, table):
    frame = session.read.parquet(str(lake / table))
    assert difference(lake, table, rows(frame, lake, table)) == ""
    if objects(lake, table)[0].parent.name.startswith("date="):
        assert dict(frame.dtypes)["date"] == "date"


@pytest.mark.parametrize("table", ["costs", "log_cost_billing", "codex_usage_models"])
def test_sums_are_exact(session, lake, table):
    for column in decimal_columns(lake, table):
        found = session.read.parquet(str(lake / table)).selectExpr(f"CAST(sum({column}) AS STRING)").collect()[0][0]
        assert found is None and total(lake, table, column) is None or Decimal(found) == Decimal(total(lake, table, column))
