"""The ways to use the models: on a lake without some surface, on tables in a schema, with history; and that the
tests of the project can fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import duckdb
import pyarrow.parquet

from conftest import PROJECT, Lake, binary, dbt, run


def copy_of(lake: Lake, folder, leave_out=()) -> Lake:
    """Hard links: nobody writes into them."""
    def ignore(at, names):
        return [n for n in names if n.startswith("_") or n in leave_out] if os.fspath(at) == os.fspath(lake.folder) else []

    shutil.copytree(lake.folder, folder, copy_function=os.link, ignore=ignore)
    return Lake(folder)


def test_generated_files_are_up_to_date():
    tables = run(binary(), "tables", "--format", "json")
    done = subprocess.run([sys.executable, PROJECT / "generate.py", "--check"], input=tables.stdout, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_the_page_of_the_models_is_up_to_date():
    done = subprocess.run([sys.executable, PROJECT / "describe.py", "--check"], text=True, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_a_lake_without_codex_has_all_marts_and_says_what_is_missing(lake, tmp_path):
    tables = {path.name for path in lake.folder.iterdir() if path.name.startswith("codex_")}
    without = copy_of(lake, tmp_path / "lake", leave_out=tables | {"workload_identity_providers"})
    built = dbt("run", tmp_path, lake=without)
    assert built.code == 0, built.said
    assert "there is no table codex_usage, taken as empty" in built.said
    assert built.rows("openai__codex_adoption_weekly") == []
    assert built.rows("openai__spend_daily")


def test_tables_in_a_schema_give_the_same_marts(lake, built, tmp_path):
    sources = (PROJECT / "models" / "sources.yml").read_text()
    with duckdb.connect(str(tmp_path / "models.duckdb")) as connection:
        connection.execute("BEGIN; CREATE SCHEMA landing")
        for folder in lake.folder.iterdir():
            if f"- name: {folder.name}\n" in sources:
                connection.execute(
                    f"CREATE TABLE landing.{folder.name} AS FROM read_parquet('{folder}/**/*.parquet', union_by_name = true, hive_partitioning = false)"
                )
        connection.execute("COMMIT")
    loaded = dbt("run", tmp_path, variables={"schema": "landing"})
    assert loaded.code == 0, loaded.said
    assert "there is no table" not in loaded.said
    for mart in ("openai__spend_by_line_item", "openai__codex_adoption_weekly", "openai__key_hygiene", "openai__focus_costs"):
        key = lambda row: repr(sorted(row.items()))  # noqa: E731
        assert sorted(loaded.rows(mart), key=key) == sorted(built.rows(mart), key=key), mart


def test_of_a_table_with_history_the_current_versions_are_taken(lake, tmp_path):
    changed = copy_of(lake, tmp_path / "lake", leave_out={"users"})
    (changed.folder / "users").mkdir()
    with duckdb.connect() as connection:
        connection.execute(f"""
            COPY (
                SELECT *, TRUE AS _current FROM '{lake.folder}/users/data.parquet'
                UNION ALL BY NAME
                SELECT * REPLACE ('an older name' AS name), FALSE AS _current FROM '{lake.folder}/users/data.parquet'
            ) TO '{changed.folder}/users/data.parquet' (FORMAT parquet)
        """)
    built = dbt("run", tmp_path, "--select", "+openai__dim_users", lake=changed, variables={"history_tables": ["users"]})
    assert built.code == 0, built.said
    found = built.rows("openai__dim_users")
    assert len({r["user_id"] for r in found}) == len(found)
    assert "an older name" not in {r["user_name"] for r in found}


def test_a_charge_that_is_there_twice_is_noticed(lake, tmp_path):
    """No reader of the lake can see a row twice; a warehouse that was loaded by other means can."""
    broken = copy_of(lake, tmp_path / "lake")
    day = min(path for path in (broken.folder / "costs").iterdir() if pyarrow.parquet.read_metadata(path / "data.parquet").num_rows)
    shutil.copy(day / "data.parquet", day / "again.parquet")
    built = dbt("build", tmp_path, "--select", "stg_openai__costs", lake=broken)
    assert built.code == 1
    assert any(name.startswith("unique_grain_stg_openai__costs") for name in built.status("fail")), built.said


def test_a_mart_that_loses_a_charge_is_noticed(lake, built, tmp_path):
    """The sums are compared for real: one charge taken out of the mart, and its test fails."""
    shutil.copy(built.database, tmp_path / "models.duckdb")
    with duckdb.connect(str(tmp_path / "models.duckdb")) as connection:
        connection.execute("DELETE FROM openai__spend_daily WHERE amount = (SELECT max(amount) FROM openai__spend_daily)")
    tested = dbt("test", tmp_path, "--select", "spend_is_all_of_costs", "focus_is_all_of_costs", lake=lake)
    assert tested.status("fail") == {"spend_is_all_of_costs"}, tested.said


def test_freshness_is_read_from_the_lake(lake, tmp_path):
    fresh = dbt("source freshness", tmp_path, "--select", "source:openai.users", "source:openai.costs", lake=lake)
    assert fresh.code == 0, fresh.said
    assert fresh.said.count("PASS freshness") == 2, fresh.said
