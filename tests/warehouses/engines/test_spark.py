"""Spark: each table's folder as it lies, the program's script, and the lake in place."""

import pytest

from warehouses.compare import difference, objects, tables
from warehouses.conftest import Growing
from warehouses.engines.spark_session import rows, spark
from warehouses.growth import live, same
from warehouses.pages import asking
from warehouses.sql import SCHEMA, script, statements

pytestmark = pytest.mark.xdist_group("spark")  # one worker starts it, once


class Spark:
    dialect = "spark"
    flags = ()
    exact_sums = True
    json_is_text = True

    def __init__(self, session, growing):
        self.session, self.growing = session, growing

    def run(self, text: str) -> None:
        for statement in statements(text):
            self.session.sql(statement)

    def rows(self, table: str) -> list[dict]:
        return rows(self.session.table(f"{SCHEMA}.{table}"), self.growing.place, table)

    def values(self, expressions: list[str], table: str) -> list:
        asked = ", ".join(f"CAST({expression} AS STRING)" for expression in expressions)
        return list(self.session.sql(f"SELECT {asked} FROM {SCHEMA}.{table}").collect()[0])


# Each is of the same shape as another table of the lake, and a statement of Spark takes half a second.
ALIKE = ("codex_usage_models", "usage_completions", "log_costs", "fine_tuning_jobs", "videos", "project_api_keys", "files")


@pytest.fixture(scope="module")
def growing(made, tmp_path_factory) -> Growing:
    return Growing(made, tmp_path_factory.mktemp("place") / "lake", without=ALIKE)


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    with spark(tmp_path_factory.mktemp("spark")) as session:
        yield session


@pytest.fixture
def warehouse(session, growing):
    session.sql(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    return Spark(session, growing)


def test_a_folder_is_a_table(session, growing):
    lake = growing.at("second")
    found = []
    for table in tables(lake):
        frame = session.read.parquet(str(lake / table))
        found.append(difference(lake, table, rows(frame, lake, table)))
        if objects(lake, table)[0].parent.name.startswith("date="):
            assert dict(frame.dtypes)["date"] == "date"
    assert not any(found), "\n\n".join(filter(None, found))


def test_a_growing_lake_is_loaded_exactly_and_answers_what_the_page_asks(warehouse, growing):
    live(warehouse, growing)
    for question in asking("spark"):
        assert warehouse.session.sql(question).collect(), question


def test_the_lake_is_read_in_place(warehouse, growing):
    growing.at("second")
    warehouse.run(script("spark", growing, "--external"))
    same(warehouse, growing)
    growing.at("third")
    warehouse.run(script("spark", growing, "--external"))
    same(warehouse, growing)
