"""One Spark on this machine for a suite, and how its rows are read without loss."""

from __future__ import annotations

import contextlib
import pathlib

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import col, unix_micros

from warehouses.compare import schema


@contextlib.contextmanager
def spark(folder: pathlib.Path):
    """A session that keeps its tables below `folder` and its ports on loopback."""
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false").config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.warehouse.dir", str(folder / "warehouse")).config("spark.driver.memory", "1g")
        .config("spark.sql.session.timeZone", "UTC").config("spark.log.level", "ERROR")
        .getOrCreate()
    )
    try:
        yield session
    finally:
        session.stop()


def rows(frame: DataFrame, lake: pathlib.Path, table: str) -> list[dict]:
    """The rows of a frame. Moments are taken as microseconds: Python would show them in the machine's zone."""
    moments = {field.name for field in schema(lake, table) if pa.types.is_timestamp(field.type)}
    chosen = frame.select(*[
        unix_micros(col(name)).alias(name) if name in moments else col(name) for name in frame.columns
    ])
    return [row.asDict() for row in chosen.collect()]
