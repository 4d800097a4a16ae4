"""The column rules, read from the files themselves with pyarrow: what makes one output load everywhere."""

import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conftest import ADMIN, admin_tables, catalog, objects, spec, sync

ARROW = {
    "string": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "date": pa.date32(),
    "decimal": pa.decimal128(38, 18), "timestamp": pa.timestamp("us", tz="UTC"), "json": pa.string(),
}


@pytest.fixture(scope="module")
def lake(simulators, tmp_path_factory):
    dest = tmp_path_factory.mktemp("files") / "lake"
    sync(dest, simulators("--size", "small"), *ADMIN)
    return dest


@pytest.fixture(scope="module")
def empty(simulators, tmp_path_factory):
    """The lake of an organization in which nearly nothing is."""
    dest = tmp_path_factory.mktemp("empty") / "lake"
    simulator = simulators("--projects", 1, "--users", 1, "--history-days", 1)
    for table in ("invites", "groups", "certificates", "spend_alerts", "external_keys", "admin_api_keys"):
        simulator.fault(f"/organization/{table}", status=200, body='{"object":"list","data":[],"has_more":false}')
    sync(dest, simulator, *ADMIN)
    return dest


def expected_schema(table: dict) -> list[tuple[str, pa.DataType]]:
    return [(column["name"], ARROW[column["type"]]) for column in table["columns"]]


def is_same(got: pa.DataType, wanted: pa.DataType) -> bool:
    return got == wanted or (pa.types.is_large_string(got) and wanted == pa.string())


@pytest.mark.parametrize("table", admin_tables())
def test_every_file_has_the_columns_of_the_catalog(lake, empty, table):
    wanted = expected_schema(spec(table))
    for path in objects(lake, table) + objects(empty, table):
        schema = pq.read_schema(path)
        assert schema.names == [name for name, _ in wanted], path
        for field, (name, kind) in zip(schema, wanted):
            assert is_same(field.type, kind), f"{path}: {name} is {field.type}, not {kind}"
            assert field.nullable, f"{path}: {name} is not nullable"


@pytest.mark.parametrize("table", admin_tables())
def test_all_files_of_a_table_have_one_schema(lake, empty, table):
    schemas = {pq.ParquetFile(path).schema.to_arrow_schema().remove_metadata() for path in objects(lake, table) + objects(empty, table)}
    assert len(schemas) <= 1
    physical = {str(pq.ParquetFile(path).schema).split("\n", 1)[1] for path in objects(lake, table) + objects(empty, table)}
    assert len(physical) <= 1


def test_empty_tables_have_a_file_with_all_columns(empty):
    for table in ("invites", "groups", "organization_certificates"):
        (path,) = objects(empty, table)
        file = pq.ParquetFile(path)
        assert file.metadata.num_rows == 0
        assert file.schema_arrow.names == [column["name"] for column in spec(table)["columns"]]


@pytest.mark.parametrize("table", admin_tables())
def test_footer_compression_and_statistics(lake, table):
    for path in objects(lake, table):
        file = pq.ParquetFile(path)
        meta, notes = file.metadata, file.metadata.metadata or {}
        assert meta.created_by.startswith("openai-elt"), meta.created_by
        assert notes.get(b"openai_elt.table") == table.encode()
        assert re.fullmatch(rb"[1-9]\d*", notes.get(b"openai_elt.schema_version", b""))
        for group in range(meta.num_row_groups):
            assert meta.row_group(group).num_rows <= 1 << 20
            for index in range(meta.num_columns):
                column = meta.row_group(group).column(index)
                assert column.compression == "ZSTD", column.path_in_schema
                assert column.is_stats_set, f"{path}: no statistics for {column.path_in_schema}"


def test_statistics_are_true_for_the_day_column(lake):
    for path in objects(lake, "costs"):
        file = pq.ParquetFile(path)
        if file.metadata.num_rows == 0:
            continue
        index = file.schema_arrow.names.index("start_time")
        statistics = file.metadata.row_group(0).column(index).statistics
        days = {f"{value:%Y-%m-%d}" for value in (statistics.min, statistics.max)}
        assert days == {path.parent.name.removeprefix("date=")}


def test_physical_types(lake):
    """What decides whether Spark, Snowflake and BigQuery read a moment and an amount as such."""
    schema = pq.ParquetFile(objects(lake, "costs")[0]).schema
    columns = {schema.column(index).name: schema.column(index) for index in range(len(schema))}
    moment = columns["start_time"]
    assert moment.physical_type == "INT64"
    kind = json.loads(moment.logical_type.to_json())
    assert (kind["Type"], kind["isAdjustedToUTC"], kind["timeUnit"]) == ("Timestamp", True, "microseconds")
    assert str(columns["amount"].logical_type) == "Decimal(precision=38, scale=18)"
    assert str(columns["currency"].logical_type) == "String"
    assert all(columns[name].max_definition_level == 1 for name in columns), "every column is optional"


@pytest.mark.parametrize("table", [table["name"] for table in catalog()])
def test_underscore_columns_end_the_first_version(table):
    table = spec(table)
    first = [column["name"] for column in table["columns"] if (column.get("since") or 1) == 1]
    own = ["_synced_at", "_extra"] + (["_deleted"] if table["policy"] == "snapshot" else [])
    assert first[-len(own):] == own
    assert [column["name"] for column in table["columns"]][: len(first)] == first, "a newer column comes after all older ones"
    assert not [name for name in first[: -len(own)] if name.startswith("_")]


@pytest.mark.parametrize("table", [table["name"] for table in catalog()])
def test_names_keys_and_docs(table):
    table = spec(table)
    names = [column["name"] for column in table["columns"]]
    assert all(re.fullmatch(r"_?[a-z][a-z0-9_]*", name) for name in names)
    assert len(set(names)) == len(names)
    assert set(table["key"]) <= set(names)
    assert "date" not in names, "the partition key is in the path only"
    assert table["doc"].strip() and all(column["doc"].strip() for column in table["columns"])
    assert {column["type"] for column in table["columns"]} <= set(ARROW)


def test_json_columns_hold_compact_json(lake):
    for table in admin_tables():
        names = [column["name"] for column in spec(table)["columns"] if column["type"] == "json" or column["name"] == "_extra"]
        for path in objects(lake, table):
            for name in names:
                for text in pq.read_table(path, columns=[name]).column(0).drop_null().to_pylist():
                    outside_strings = re.sub(r'"(?:[^"\\]|\\.)*"', "", text)
                    assert not re.search(r"\s", outside_strings), f"{path}: {name} is not compact: {text}"


def test_the_day_is_in_the_path_only(lake):
    for table in admin_tables():
        for path in objects(lake, table):
            folder = path.relative_to(lake / table).parent
            if spec(table).get("slices"):
                assert re.fullmatch(r"date=\d{4}-\d\d-\d\d", str(folder)), path
            else:
                assert str(folder) == ".", path
            assert path.name == "data.parquet"
