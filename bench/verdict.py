"""Whether two tools did the same work: rows counted and numbers added up, from the Parquet they wrote."""

from __future__ import annotations

import pathlib

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

# For each set: the column of a moment, a column of numbers, a column of names; as both tools call them.
COLUMNS = {
    "users": ("added_at", None, "email"),
    "usage": ("start_time", "input_tokens", "model"),
    "audit": ("effective_at", None, "id"),
}


def fingerprint(name: str, files: list[pathlib.Path]) -> dict[str, int]:
    """Rows, the sum of the moments in seconds, the sum of the numbers, and the characters of the names."""
    moments, numbers, names = COLUMNS[name]
    found = {"rows": 0, "seconds": 0, "numbers": 0, "characters": 0}
    for path in files:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=[c for c in (moments, numbers, names) if c]):
                found["rows"] += batch.num_rows
                found["seconds"] += seconds(batch[moments])
                found["numbers"] += total(batch[numbers]) if numbers else 0
                found["characters"] += total(pc.utf8_length(batch[names]))
    return found


def total(values: pa.Array) -> int:
    return pc.sum(values).as_py() or 0


def seconds(values: pa.Array) -> int:
    """One tool writes moments, the other leaves the seconds of the answer."""
    if pa.types.is_timestamp(values.type):
        unit = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[values.type.unit]
        return total(pc.divide(values.cast(pa.int64()), unit))
    return total(values)


def ours(name: str, table: str, lake: pathlib.Path) -> dict[str, int]:
    return fingerprint(name, sorted((lake / table).rglob("*.parquet")))


def theirs(name: str, folder: pathlib.Path) -> dict[str, int]:
    return fingerprint(name, sorted((folder / "lake" / name).glob("*.parquet")))


