"""Delta and Iceberg tables over the lake's Parquet, by the libraries that define them in Python.

Two ways, and the price of the first:

    adopt    the table's log points at the lake's own objects; nothing is copied. Right for a lake that no sync
             touches any more: a sync writes a changed day to the same path, and the log would describe the old one
    replace  the rows of each changed slice are replaced in one commit. Right for a lake that grows
"""

import shutil
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from deltalake import DeltaTable, Field, Schema, convert_to_deltalake, write_deltalake
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.expressions import And, GreaterThanOrEqual, LessThan
from pyiceberg.transforms import DayTransform

from warehouses.compare import difference, objects, schema

DAILY = "costs"
DAYS = Schema([Field("date", "date")])


def day_of(path: str) -> str:
    return path.split("date=")[1].split("/")[0]


# ---- Delta -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["costs", "audit_logs", "codex_usage_models"])
def test_delta_adopts_a_table_cut_by_day(made, tmp_path, table):
    adopted = shutil.copytree(made / "second" / table, tmp_path / table)
    convert_to_deltalake(str(adopted), partition_by=DAYS, partition_strategy="hive")
    found = DeltaTable(str(adopted)).to_pyarrow_table()
    assert found.schema.field("date").type == pa.date32()
    assert difference(made / "second", table, found.to_pylist()) == ""


@pytest.mark.parametrize("table", ["users", "invites", "chatgpt_usage_limits_users", "models"])
def test_delta_adopts_a_table_read_whole(made, tmp_path, table):
    adopted = shutil.copytree(made / "second" / table, tmp_path / table)
    convert_to_deltalake(str(adopted))
    assert difference(made / "second", table, DeltaTable(str(adopted)).to_pyarrow_table().to_pylist()) == ""


def test_delta_follows_a_growing_lake_by_replacing_its_changed_days(growing, tmp_path):
    delta = str(tmp_path / "delta")

    def load(paths) -> None:
        for path in paths:
            day = day_of(str(path))
            rows = parquet.ParquetFile(growing.place / path).read()
            rows = rows.append_column("date", pa.array([day] * len(rows), pa.string()))
            write_deltalake(delta, rows, mode="overwrite", predicate=f"date = '{day}'")

    lake = growing.at("first")
    empty = schema(lake, DAILY).append(pa.field("date", pa.string())).empty_table()
    write_deltalake(delta, empty, partition_by=["date"])
    load(path.relative_to(lake) for path in objects(lake, DAILY))
    assert difference(lake, DAILY, DeltaTable(delta).to_pyarrow_table().to_pylist()) == ""
    for moment in ("second", "third"):
        lake = growing.at(moment)
        load(growing.changed()[DAILY])
        load(growing.changed()[DAILY])  # again: nothing may change
        assert difference(lake, DAILY, DeltaTable(delta).to_pyarrow_table().to_pylist()) == ""


# ---- Iceberg ---------------------------------------------------------------------------------------


@pytest.fixture
def catalog(tmp_path):
    catalog = SqlCatalog("lake", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=f"file://{tmp_path}/warehouse")
    catalog.create_namespace("openai")
    return catalog


@pytest.mark.parametrize("table", ["users", "invites", "chatgpt_usage_limits_users", "models", "organization_certificates"])
def test_iceberg_adopts_a_table_read_whole(made, catalog, table):
    lake = made / "second"
    adopted = catalog.create_table(f"openai.{table}", schema(lake, table))
    adopted.add_files([f"file://{path}" for path in objects(lake, table)])
    assert difference(lake, table, adopted.scan().to_arrow().to_pylist()) == ""


@pytest.mark.parametrize("table, column", [("costs", "start_time"), ("audit_logs", "effective_at"), ("log_cost_billing", "timestamp")])
def test_iceberg_adopts_a_table_cut_by_day(made, catalog, table, column):
    lake = made / "second"
    adopted = catalog.create_table(f"openai.{table}", schema(lake, table))
    with adopted.update_spec() as update:
        update.add_field(column, DayTransform(), "date")
    adopted.add_files([f"file://{path}" for path in objects(lake, table)])
    assert difference(lake, table, adopted.scan().to_arrow().to_pylist()) == ""
    days = {task.file.partition[0] for task in adopted.scan().plan_files()}
    assert len(days) == len(objects(lake, table))


def test_iceberg_follows_a_growing_lake_by_replacing_its_changed_days(growing, catalog):
    lake = growing.at("first")
    table = catalog.create_table("openai.costs", schema(lake, DAILY))

    def load(paths) -> None:
        for path in paths:
            day = day_of(str(path))
            rows = parquet.ParquetFile(growing.place / path).read()
            following = date.fromisoformat(day) + timedelta(days=1)
            span = And(GreaterThanOrEqual("start_time", f"{day}T00:00:00+00:00"), LessThan("start_time", f"{following}T00:00:00+00:00"))
            table.overwrite(rows, overwrite_filter=span)

    load(path.relative_to(lake) for path in objects(lake, DAILY))
    for moment in ("second", "third"):
        lake = growing.at(moment)
        load(growing.changed()[DAILY])
        load(growing.changed()[DAILY])
        assert difference(lake, DAILY, table.scan().to_arrow().to_pylist()) == ""
