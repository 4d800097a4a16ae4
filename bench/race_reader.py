"""Reads one table again and again with one reader, and counts what went wrong; race.py starts it.

    python race_reader.py READER < plan

Every row of one day says which sync wrote it, in three columns. A read is wrong when a day has other rows than one
sync wrote: too few, too many, of two syncs, or values of one sync beside those of another.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

COLUMNS = ["start_time", "amount", "line_item", "_synced_at"]
LISTED = ", ".join(COLUMNS)


def duckdb_reader(plan: dict):
    import duckdb

    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    if store := plan["store"]:
        (extension,) = [path for path in extensions() if "httpfs" in path]
        connection.execute(f"LOAD '{extension}'")
        connection.execute(
            f"CREATE SECRET (TYPE s3, KEY_ID '{store['key']}', SECRET '{store['secret']}', REGION 'us-east-1', "
            f"ENDPOINT '{store['host']}', URL_STYLE 'path', USE_SSL false)"
        )
    query = f"SELECT {LISTED} FROM read_parquet('{plan['table']}/*/*.parquet', union_by_name = true, hive_partitioning = false)"
    return lambda: connection.execute(query).fetch_arrow_table()


def extensions() -> list[str]:
    """DuckDB's extensions that were installed as packages."""
    import duckdb_ext

    return [
        os.path.join(folder, name) for root in duckdb_ext.__path__ for folder, _, names in os.walk(root)
        for name in names if name.endswith(".duckdb_extension")
    ]


def polars_reader(plan: dict):
    import polars

    options = None
    if store := plan["store"]:
        options = {
            "aws_access_key_id": store["key"], "aws_secret_access_key": store["secret"], "aws_region": "us-east-1",
            "aws_endpoint_url": f"http://{store['host']}", "aws_allow_http": "true",
        }
    place = f"{plan['table']}/*/*.parquet"
    return lambda: polars.scan_parquet(place, storage_options=options, hive_partitioning=False).select(COLUMNS).collect().to_arrow()


def pyarrow_reader(plan: dict):
    import pyarrow.dataset as dataset
    from pyarrow import fs

    files, place = None, plan["table"]
    if store := plan["store"]:
        place = place.removeprefix("s3://")
        files = fs.S3FileSystem(
            access_key=store["key"], secret_key=store["secret"], endpoint_override=store["host"], scheme="http", region="us-east-1",
        )
    return lambda: dataset.dataset(place, filesystem=files, format="parquet").to_table(columns=COLUMNS)


def datafusion_reader(plan: dict):
    import datafusion
    from datafusion.object_store import AmazonS3

    def read():
        context = datafusion.SessionContext()
        if store := plan["store"]:
            bucket = plan["table"].removeprefix("s3://").split("/")[0]
            context.register_object_store("s3://", AmazonS3(
                bucket_name=bucket, access_key_id=store["key"], secret_access_key=store["secret"], region="us-east-1",
                endpoint=f"http://{store['host']}", allow_http=True,
            ), host=bucket)
        context.register_parquet("costs", f"{plan['table']}/")
        return pa.Table.from_batches(context.sql(f"SELECT {LISTED} FROM costs").collect())

    return read


def chdb_reader(plan: dict):
    import chdb

    source = f"file('{plan['table']}/*/*.parquet', Parquet)"
    if store := plan["store"]:
        address = plan["table"].replace("s3://", f"http://{store['host']}/")
        source = f"s3('{address}/*/*.parquet', '{store['key']}', '{store['secret']}', 'Parquet')"
    query = f"SELECT {LISTED} FROM {source} SETTINGS output_format_arrow_string_as_string = 1, use_hive_partitioning = 0"

    def read():
        answer = chdb.query(query, "Arrow").bytes()
        return pa.ipc.open_file(pa.py_buffer(answer)).read_all()

    return read


READERS = {
    "duckdb": duckdb_reader, "polars": polars_reader, "pyarrow": pyarrow_reader, "datafusion": datafusion_reader,
    "chdb": chdb_reader,
}


def is_wrong(rows: pa.Table, days: int, rows_of_a_day: int) -> str:
    """What is wrong with the rows of one read; empty if each day is as one sync wrote it."""
    rows = rows.select(COLUMNS)
    names = pc.utf8_slice_codeunits(rows.column("line_item").cast(pa.string()), 0, 8)
    rows = rows.append_column("version", names)
    found = rows.group_by("start_time").aggregate([
        (column, word) for column in ("amount", "version", "_synced_at") for word in ("min", "max")
    ] + [("amount", "count")]).to_pylist()
    if len(found) != days:
        return f"{len(found)} days"
    for day in found:
        if day["amount_count"] != rows_of_a_day:
            return f"{day['amount_count']} rows of a day"
        if any(day[f"{column}_min"] != day[f"{column}_max"] for column in ("amount", "version", "_synced_at")):
            return "rows of two syncs in a day"
        if int(day["version_min"]) != int(day["amount_min"]):
            return "values of two syncs in a row"
    return ""


def main(reader: str, plan: dict) -> dict:
    read = READERS[reader](plan)
    with contextlib.suppress(Exception):
        is_wrong(read(), plan["days"], plan["rows"])  # what is loaded at first use takes seconds
    reads, errors, wrong, said = 0, 0, 0, Counter()
    until = time.monotonic() + plan["seconds"]
    while reads < plan["reads"] and time.monotonic() < until:
        reads += 1
        try:
            rows = read()
        except BaseException as error:  # a panic of a reader in Rust is no Exception
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            errors += 1
            said[f"{type(error).__name__}: {error}"[:160]] += 1
            continue
        if what := is_wrong(rows, plan["days"], plan["rows"]):
            wrong += 1
            said[f"wrong: {what}"] += 1
    # Wrong rows first: they are what matters, and they are few.
    most = sorted(said.items(), key=lambda item: (not item[0].startswith("wrong: "), -item[1]))
    return {"reads": reads, "errors": errors, "wrong": wrong, "said": dict(most[:5])}


if __name__ == "__main__":
    json.dump(main(sys.argv[1], json.load(sys.stdin)), sys.stdout)
