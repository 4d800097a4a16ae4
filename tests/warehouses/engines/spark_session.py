"""One Spark on this machine for a suite, and how its rows are read without loss."""

from __future__ import annotations

import contextlib
import pathlib

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import col, unix_micros

from warehouses.compare import schema


# Some hundred small and different statements: what makes Spark fast on large ones costs it most of the time on these.
# Nothing of it changes what a statement means.
SMALL = {
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.sources.parallelPartitionDiscovery.threshold": "100000",     # folders are listed here, not by a job
    "spark.sql.files.openCostInBytes": "0",                                 # small files are read together, not each by a task
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}


@contextlib.contextmanager
def spark(folder: pathlib.Path):
    """A session that keeps its tables below `folder` and its ports on loopback."""
    settings = {
        **SMALL,
        "spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1", "spark.ui.enabled": "false",
        "spark.sql.warehouse.dir": str(folder / "warehouse"), "spark.driver.memory": "1g",
        "spark.sql.session.timeZone": "UTC", "spark.log.level": "ERROR",
    }
    builder = SparkSession.builder.master("local[2]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
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
