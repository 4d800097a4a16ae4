"""Opens every table of a lake with one reader and prints, as JSON, what it found there.

    python read.py READER LAKE     # in the environment of the reader; it needs nothing else of this project

A table's rows, and of each column how many values are null and a figure that one wrong value would change:

    decimal     the exact sum                      date        first, last, sum of days since 1970
    timestamp   first, last, sum of microseconds   string      bytes, and the sum of the checksums
    int, float  the sum                            bool        how many are true

SQL engines also work out the `bounds` of each column: they may take those from a file's statistics.
A table that could not be read says `error`.
"""

from __future__ import annotations

import decimal
import json
import math
import pathlib
import sys
import zlib
from datetime import date, datetime

EXACT = decimal.Context(prec=80)
NO_SUM = decimal.Decimal(0)


def figures(kind: str, values: list) -> dict:
    """Returns the figures of a column; `values` are Python's: Decimal, int, float, bool, str, date, microseconds."""
    some = [value for value in values if value is not None]
    result = {"kind": kind, "nulls": len(values) - len(some)}
    if not some:
        return result
    if kind == "decimal":
        total = NO_SUM
        for value in some:
            total = EXACT.add(total, value)
        result["sum"] = str(total.normalize(EXACT)) if total else "0"
    elif kind == "string":
        coded = [value.encode() for value in some]
        result |= {"bytes": sum(map(len, coded)), "sum": sum(map(zlib.crc32, coded))}
    elif kind == "float":
        result["sum"] = repr(math.fsum(some))
    elif kind == "date":
        days = [(value - date(1970, 1, 1)).days for value in some]
        result |= {"first": min(days), "last": max(days), "sum": sum(days)}
    elif kind == "timestamp":
        result |= {"first": min(some), "last": max(some), "sum": sum(some)}
    else:
        result["sum"] = int(sum(some))
    return result


# ---- readers that give Arrow ---------------------------------------------------------------------


def of_arrow(table, types: dict[str, str]) -> dict:
    """The figures of an Arrow table."""
    columns = {}
    for name in types:
        kind, values = arrow_values(table.column(name))
        columns[name] = figures(kind, values)
    return {"rows": table.num_rows, "columns": columns}


def arrow_values(column) -> tuple[str, list]:
    import pyarrow as pa

    kind = column.type
    if pa.types.is_timestamp(kind):
        assert kind.unit == "us" and kind.tz in ("UTC", "Etc/UTC", "+00:00"), f"a timestamp came as {kind}"
        return "timestamp", column.cast(pa.int64()).to_pylist()
    for is_kind, name in (
        (pa.types.is_decimal, "decimal"), (pa.types.is_floating, "float"), (pa.types.is_boolean, "bool"),
        (pa.types.is_date, "date"), (pa.types.is_integer, "int"),
    ):
        if is_kind(kind):
            return name, column.to_pylist()
    if pa.types.is_null(kind):
        return "null", column.to_pylist()
    return "string", column.cast(pa.large_string()).to_pylist()


def one_by_one(read):
    """For readers without a way to take files of two versions together: each file by itself."""

    def read_all(lake: pathlib.Path, files: list[str], types: dict[str, str]) -> dict:
        import pyarrow as pa

        tables = [read(lake / file) for file in files]
        try:
            joined = pa.concat_tables(tables, promote_options="default")
        except TypeError:  # before pyarrow 14
            joined = pa.concat_tables(tables, promote=True)
        return of_arrow(joined, types)

    return read_all


def pyarrow_dataset(lake, files, types):
    import pyarrow as pa
    import pyarrow.dataset as dataset
    import pyarrow.parquet as parquet

    schema = pa.unify_schemas([parquet.read_schema(lake / file) for file in files])
    return of_arrow(dataset.dataset([str(lake / file) for file in files], schema=schema, format="parquet").to_table(), types)


def polars_scan(lake, files, types):
    import polars

    if hasattr(polars.Config, "activate_decimals"):
        polars.Config.activate_decimals()  # until 0.20.4 decimals are floats otherwise
    paths = [str(lake / file) for file in files]
    try:
        frame = polars.scan_parquet(newest_first(paths), missing_columns="insert", hive_partitioning=False).collect()
    except TypeError:  # before polars 1.30: no `missing_columns`
        frames = [polars.read_parquet(path) for path in paths]
        # 0.20.0 names the zone of an empty file otherwise, and then cannot join it with others.
        frame = polars.concat([frame for frame in frames if frame.height] or frames, how="diagonal")
    return of_arrow(frame.to_arrow(), types)


def newest_first(paths: list[str]) -> list[str]:
    """The file with most columns decides about them."""
    return sorted(paths, reverse=True)


def daft_frame(path):
    import daft

    return daft.read_parquet(str(path)).to_arrow()


# ---- readers that take SQL -----------------------------------------------------------------------


class Duckdb:
    def __init__(self, lake: pathlib.Path):
        import duckdb

        self.connection, self.lake = duckdb.connect(), lake
        self.connection.execute("SET TimeZone = 'UTC'")

    def source(self, table: str, files: list[str], types: dict[str, str]) -> str:
        glob = f"{self.lake}/{table}/{depth_of(files)}*.parquet"
        return f"read_parquet('{glob}', union_by_name = true, hive_partitioning = false)"

    def arrow(self, sql: str):
        answer = self.connection.execute(sql)
        return answer.to_arrow_table() if hasattr(answer, "to_arrow_table") else answer.fetch_arrow_table()


class Datafusion:
    """Registers the table's files as one; DataFusion joins their columns."""

    def __init__(self, lake: pathlib.Path):
        import datafusion

        self.context, self.lake = datafusion.SessionContext(), lake

    def source(self, table: str, files: list[str], types: dict[str, str]) -> str:
        self.context.register_parquet(table, str(self.lake / table))
        return f'"{table}"'

    def arrow(self, sql: str):
        import pyarrow as pa

        frame = self.context.sql(sql)
        batches = frame.collect()
        return pa.Table.from_batches(batches) if batches else frame.to_arrow_table()


class Chdb:
    """With the columns' types in the query, as the program's own script for ClickHouse has them."""

    types = {
        "string": "String", "decimal": "Decimal(38, 18)", "timestamp": "DateTime64(6, 'UTC')", "date": "Date32",
        "int": "Int64", "float": "Float64", "bool": "Bool",
    }

    settings = "output_format_arrow_string_as_string = 1, input_format_parquet_allow_missing_columns = 1"

    def __init__(self, lake: pathlib.Path):
        import chdb

        self.chdb, self.lake = chdb, lake

    def source(self, table: str, files: list[str], types: dict[str, str]) -> str:
        columns = ", ".join(f"`{name}` Nullable({self.types[kind]})" for name, kind in types.items())
        structure = columns.replace("\\", "\\\\").replace("'", "\\'")
        return f"file('{self.lake}/{table}/{depth_of(files)}*.parquet', Parquet, '{structure}')"

    def arrow(self, sql: str):
        import pyarrow as pa

        answer = self.chdb.query(f"{sql} SETTINGS {self.settings}", "Arrow").bytes()
        return pa.ipc.open_file(pa.py_buffer(answer)).read_all()


def depth_of(files: list[str]) -> str:
    """The folders between a table and its files, as a glob."""
    return "*/" * (files[0].count("/") - 1)


def by_sql(engine_of):
    """Reads all rows, and works out bounds in a second query, which may end at the statistics of the files."""
    engines = {}

    def read(lake, files, types):
        if not engines:
            engines["one"] = engine_of(lake)
        engine, names = engines["one"], list(types)
        source = engine.source(files[0].split("/")[0], files, types)
        found = of_arrow(engine.arrow(f"SELECT * FROM {source}"), types)
        bounds = ", ".join(f'min("{name}") AS "a{index}", max("{name}") AS "b{index}"' for index, name in enumerate(names))
        answer = engine.arrow(f"SELECT {bounds} FROM {source}")
        found["bounds"] = {
            name: [plain(arrow_values(answer.column(f"{letter}{index}"))[1][0]) for letter in "ab"]
            for index, name in enumerate(names)
        }
        return found

    return read


def plain(value):
    """A value as JSON can hold it."""
    if isinstance(value, decimal.Decimal):
        return str(value.normalize(EXACT)) if value else "0"
    return value.isoformat() if isinstance(value, date) else value


# ---- pandas --------------------------------------------------------------------------------------


def fastparquet_file(lake, files, types):
    """Decimals come as floats: that is what this reader makes of them."""
    import fastparquet
    import pandas

    frames = [fastparquet.ParquetFile(str(lake / file)).to_pandas() for file in files]
    rows, columns = sum(len(frame) for frame in frames), {}
    for name, kind in types.items():
        values: list = []
        for frame in frames:
            values += pandas_values(frame[name], kind) if name in frame else [None] * len(frame)
        columns[name] = figures("float" if kind == "decimal" else kind, values)
    return {"rows": rows, "columns": columns}


def pandas_values(column, kind: str) -> list:
    import pandas

    missing = column.isna()
    if kind == "timestamp":
        micros = column.astype("datetime64[us]").astype("int64")  # without a zone, and they are UTC
        return [None if gone else int(value) for value, gone in zip(micros, missing)]
    as_python = {
        "int": int, "bool": bool, "float": float, "decimal": float,
        "date": lambda value: value.date() if isinstance(value, (datetime, pandas.Timestamp)) else value,
        "string": lambda value: value.decode() if isinstance(value, bytes) else value,
    }[kind]
    return [None if gone else as_python(value) for value, gone in zip(column, missing)]


# ---- Spark ---------------------------------------------------------------------------------------


def spark_folder():
    """`mergeSchema` makes one set of columns of both versions."""
    sessions = {}

    def session():
        from pyspark.sql import SparkSession

        builder = SparkSession.builder.master("local[2]")
        for name, value in SPARK.items():
            builder = builder.config(name, value)
        return builder.getOrCreate()

    def read(lake, files, types):
        if not sessions:
            sessions["one"] = session()
        folder = lake / files[0].split("/")[0]
        return of_arrow(sessions["one"].read.option("mergeSchema", "true").parquet(str(folder)).toArrow(), types)

    return read


# What makes Spark fast on large tables costs it most of the time on these.
SPARK = {
    "spark.sql.session.timeZone": "UTC", "spark.sql.shuffle.partitions": "1", "spark.sql.adaptive.enabled": "false",
    "spark.sql.sources.parallelPartitionDiscovery.threshold": "100000", "spark.sql.files.openCostInBytes": "0",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC", "spark.driver.memory": "1g",
    "spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.log.level": "ERROR",
    "spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1",
}

READERS = {
    "pyarrow": pyarrow_dataset,
    "polars": polars_scan,
    "daft": one_by_one(daft_frame),
    "duckdb": by_sql(Duckdb),
    "datafusion": by_sql(Datafusion),
    "chdb": by_sql(Chdb),
    "fastparquet": fastparquet_file,
    "spark": spark_folder(),
}


def main(reader: str, lake: pathlib.Path, wanted: dict) -> dict:
    """`wanted` is {table: {"files": [...], "types": {column: kind}}}."""
    found = {}
    for table, what in wanted.items():
        try:
            found[table] = READERS[reader](lake, what["files"], what["types"])
        except BaseException as error:  # a panic of a reader in Rust is no Exception
            if isinstance(error, KeyboardInterrupt):
                raise
            found[table] = {"error": f"{type(error).__name__}: {error}"[:500]}
    return found


if __name__ == "__main__":
    json.dump(main(sys.argv[1], pathlib.Path(sys.argv[2]), json.load(sys.stdin)), sys.stdout)
