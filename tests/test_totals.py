"""`verify --totals`: grouped costs add up to ungrouped ones, usage and costs cover the same days."""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from conftest import command, keep_copy, objects, sync

TABLES = "costs,costs_totals,usage_*"


@pytest.fixture(scope="module")
def lake(tmp_path_factory, simulators):
    """A lake of ten days that nobody changes; `broken` gives a copy."""
    dest = tmp_path_factory.mktemp("totals") / "lake"
    sync(dest, simulators("--projects", 4, "--users", 8, "--history-days", 10), "--tables", TABLES)
    return dest


@pytest.fixture
def broken(lake, tmp_path):
    return shutil.copytree(lake, tmp_path / "lake")


def totals(dest, *flags, code: int) -> dict:
    return json.loads(command("verify", "--totals", "--dest", dest, "--format", "json", *flags, code=code).out)


def change(path, amount: str) -> Decimal:
    """Puts an amount into the first row of an object; gives by how much the object's sum changed."""
    table = pq.read_table(path)
    column = table.column("amount")
    before = column[0].as_py()
    values = [Decimal(amount), *column.to_pylist()[1:]]
    changed = table.set_column(table.column_names.index("amount"), "amount", pa.array(values, column.type))
    pq.write_table(changed, path, compression="zstd")
    return Decimal(amount) - before


def day_of(path) -> str:
    return path.parent.name.removeprefix("date=")


def day_of_reading(dest) -> str:
    (read,) = {row.date() for row in pq.read_table(objects(dest, "costs")[-1]).column("_synced_at").to_pylist()}
    return read.isoformat()


def sum_of(path) -> Decimal:
    return sum(pq.read_table(path, columns=["amount"]).column(0).to_pylist(), Decimal(0))


def test_a_whole_lake_adds_up_to_the_last_digit(lake):
    told = totals(lake, "--tolerance", "0", code=0)
    assert told["differences"] == [] and told["coverage"] == []
    days, today = [day_of(path) for path in objects(lake, "costs_totals")], day_of_reading(lake)
    assert len([day for day in days if day < today]) >= 10
    assert told["compared"] == {"from": days[0], "until": today}, "all days but today"
    run = command("verify", "--totals", "--dest", lake, code=0)
    assert "equal to the last digit" in run.err and "cover the same days" in run.err and run.out == ""


def test_a_changed_amount_is_told_with_its_day_and_both_sums(broken):
    path = objects(broken, "costs")[3]
    ungrouped = sum_of(objects(broken, "costs_totals")[3])
    by = change(path, "1000.000000000000000001")
    (one,) = totals(broken, code=4)["differences"]
    assert (one["day"], one["currency"], one["exceeds"]) == (day_of(path), "usd", True)
    assert Decimal(one["difference"]) == by and Decimal(one["ungrouped"]) == ungrouped
    assert Decimal(one["grouped"]) == ungrouped + by
    run = command("verify", "--totals", "--dest", broken, code=4)
    assert day_of(path) in run.out and one["grouped"] in run.out and one["ungrouped"] in run.out


def test_the_tolerance_is_exact(broken):
    path = objects(broken, "costs")[2]
    first = pq.read_table(path, columns=["amount"]).column(0)[0].as_py()
    change(path, str(first + Decimal("0.01")))
    (one,) = totals(broken, code=0)["differences"]
    assert one["difference"] == "0.01" and not one["exceeds"], "the default is a cent, and a cent is within it"
    assert "within" in command("verify", "--totals", "--dest", broken, code=0).err
    assert totals(broken, "--tolerance", "0.009999999999999999", code=4)["tolerance"] == "0.009999999999999999"


@pytest.mark.parametrize(("table", "missing"), [("costs", "grouped"), ("costs_totals", "ungrouped")])
def test_a_day_that_one_side_lacks_is_a_difference_of_its_whole_amount(broken, table, missing):
    path = objects(broken, table)[4]
    amount = sum_of(path)
    path.unlink()
    (one,) = totals(broken, code=4)["differences"]
    assert one["day"] == day_of(path) and one[missing] is None and abs(Decimal(one["difference"])) == amount


def test_usage_without_costs_and_costs_without_usage_are_told(broken):
    days = sorted({day_of(path) for path in objects(broken, "costs")})
    for path in [*broken.glob(f"usage_*/date={days[3]}/*.parquet"), *broken.glob(f"costs*/date={days[5]}/*.parquet")]:
        path.unlink()
    told = totals(broken, code=4)
    assert [(one["day"], one["what"]) for one in told["coverage"]] == [
        (days[3], "costs without usage"), (days[5], "usage without costs"),
    ]
    assert told["differences"] == [], "both kinds of costs lack the day, so they agree"
    assert totals(broken, "--tolerance", "1000000", code=4)["coverage"][0]["exceeds"] is False


def test_today_is_not_compared(broken):
    """At the small hours nothing has been spent today; the newest day, moved to today, is there at any hour."""
    newest = objects(broken, "costs")[-1]
    today, moved = day_of_reading(broken), pq.read_table(newest)
    shift = datetime.fromisoformat(today) - datetime.fromisoformat(day_of(newest))
    at = moved.column_names.index("start_time")
    moved = moved.set_column(at, "start_time", pc.add(moved.column(at), pa.scalar(shift, pa.duration("us"))))
    path = newest.parent.parent / f"date={today}" / newest.name
    path.parent.mkdir(exist_ok=True)
    pq.write_table(moved, path, compression="zstd")
    change(path, "1000")
    assert totals(broken, code=0)["differences"] == []


@pytest.mark.parametrize("table", ["costs", "costs_totals"])
def test_a_table_that_is_not_there_is_named(broken, table):
    shutil.rmtree(broken / table)
    run = command("verify", "--totals", "--dest", broken, code=1)
    assert f"`{table}`" in run.err and "OPENAI_ADMIN_KEY" in run.err


def test_a_lake_without_usage_is_compared_as_far_as_it_goes(lake, tmp_path):
    dest = keep_copy(lake, f"{tmp_path.name}-without-usage")
    for folder in dest.glob("usage_*"):
        shutil.rmtree(folder)
    assert totals(dest, code=0)["coverage_compared"] is None
    assert "no usage" in command("verify", "--totals", "--dest", dest, code=0).err


@pytest.mark.parametrize("tolerance", ["a cent", "-1", "0.0000000000000000001", "1e400", ""])
def test_a_tolerance_that_is_no_amount_is_refused(lake, tolerance):
    run = command("verify", "--totals", "--dest", lake, f"--tolerance={tolerance}", code=1)
    assert "--tolerance" in run.err


def test_totals_add_up_again_after_days_were_restated(tmp_path, simulator):
    for _ in range(2):
        sync(tmp_path / "lake", simulator, "--tables", TABLES)
        assert totals(tmp_path / "lake", "--tolerance", "0", code=0)["differences"] == []
        simulator.mutate()
