"""The column orders in the footer of a Parquet file: pyarrow does not tell them, so the bytes are read.

They are the last field of the footer, one union of three bytes for each column: the number of its member, an empty
struct, the end. The footer ends with one more byte, its length, and `PAR1`.
"""

from __future__ import annotations

import pathlib

import pyarrow.parquet as parquet

END = 9
ORDERS = {b"\x1c\0\0": "TYPE_ORDER", b"\x2c\0\0": "IEEE_754_TOTAL_ORDER", b"\x3c\0\0": "INT96_TIMESTAMP_ORDER"}
BYTES = {name: order for order, name in ORDERS.items()}


def span(content: bytes, columns: int) -> range:
    """Where each order begins."""
    end = len(content) - END
    return range(end - 3 * columns, end, 3)


def orders_of(path: pathlib.Path) -> list[str]:
    """The name of the order of each column."""
    content, columns = path.read_bytes(), parquet.read_schema(path).names
    return [ORDERS[content[begin:begin + 3]] for begin in span(content, len(columns))]


def with_total_order(path: pathlib.Path) -> bytes:
    """The file as versions of this program wrote it that took the library's order for floating-point columns."""
    content, schema = bytearray(path.read_bytes()), parquet.read_schema(path)
    for begin, field in zip(span(content, len(schema)), schema):
        if field.type == "double":
            content[begin:begin + 3] = BYTES["IEEE_754_TOTAL_ORDER"]
    return bytes(content)
