"""Files name the column orders that every reader knows, also where a version before this one wrote others.

tests/readers opens each table with real readers, old and new; this is what of it needs none of them.
"""

import pytest

from conftest import objects, spec, sync
from fixtures.sources import organization
from footers import orders_of, with_total_order
from readers.lake import floating
from truth import bag, difference, lake_rows, true_rows, without


@pytest.fixture
def source():
    running = organization("--projects", 3, "--users", 6, "--history-days", 9)
    yield running
    running.stop()


def test_no_file_names_an_order_that_old_readers_refuse(source, tmp_path):
    dest = tmp_path / "lake"
    sync(dest, source, "--tables", ",".join(floating()))
    for table in floating():
        assert objects(dest, table)
        for path in objects(dest, table):
            assert set(orders_of(path)) == {"TYPE_ORDER"}, path


def test_files_of_the_earlier_order_are_read_and_replaced(source, tmp_path):
    """Earlier versions named `IEEE_754_TOTAL_ORDER`: their rows go on, and each file that a sync touches is healed."""
    dest, tables = tmp_path / "lake", ",".join(floating())
    sync(dest, source, "--tables", tables)
    for table in floating():
        for path in objects(dest, table):
            path.write_bytes(with_total_order(path))
            assert "IEEE_754_TOTAL_ORDER" in orders_of(path)
    source.mutate()
    report = sync(dest, source, "--tables", tables).report
    for table in floating():
        assert_true(dest, source, table)
        for written in report["tables"][table]["objects"]:
            assert set(orders_of(dest / written["path"])) == {"TYPE_ORDER"}, written["path"]
    sync(dest, source, "--full-refresh", "--tables", tables)
    for table in floating():
        assert_true(dest, source, table)
        for path in objects(dest, table):
            assert set(orders_of(path)) == {"TYPE_ORDER"}, path


def assert_true(dest, source, table: str) -> None:
    own = ("_synced_at", "_deleted", "_extra")
    rows = [without(row, *own) for row in lake_rows(dest, spec(table)) if not row.get("_deleted")]
    true = [without(row, "_extra") for row in true_rows(spec(table), source.truth(table))]
    assert bag(rows) == bag(true), f"{table}: {difference(true, rows)}"
