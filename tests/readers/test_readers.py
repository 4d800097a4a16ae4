"""Each table of the catalog, opened by each reader that docs/readers.md names, in its oldest and its newest version.

A reader runs in an environment of its own (`make test-readers` makes them) and prints what it found (read.py,
hyparquet.mjs). Here that is compared with what the lake holds: rows, null values, exact sums of decimals, first, last
and sum of timestamps in microseconds, checksums of texts.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pathlib
import re
import shutil
import subprocess

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from conftest import PATIENCE, ROOT, catalog, clean_environment
from footers import orders_of, with_total_order
from readers.lake import make, tables
from readers.read import arrow_values, figures, plain

HERE = pathlib.Path(__file__).parent
KINDS = {"json": "string"}  # a json column is text
PAGE = (ROOT / "docs/readers.md").read_text()


@dataclasses.dataclass(frozen=True)
class Reader:
    """A version of a reader, and what it makes of values that it has no type for."""

    name: str
    group: str  # the folder of its pins, `tests/readers/<group>` or `tests/warehouses/<group>`
    package: str = ""
    decimals_are_floats: bool = False
    timestamps_are_milliseconds: bool = False

    @property
    def environment(self) -> pathlib.Path:
        return ROOT / (f".venv-{self.group}" if self.name == "spark" else f".venv-readers-{self.group}")

    @property
    def version(self) -> str:
        """What is pinned."""
        if self.name == "hyparquet":
            return json.loads((HERE / self.group / "package.json").read_text())["dependencies"]["hyparquet"]
        folder = ROOT / "tests/warehouses" if self.name == "spark" else HERE
        pins = (folder / self.group / "requirements.txt").read_text()
        return re.search(rf"^{self.package or self.name}==(.+)$", pins, re.M)[1]

    def command(self, lake: pathlib.Path) -> list[str]:
        if self.name != "hyparquet":
            return [str(self.environment / "bin/python"), str(HERE / "read.py"), self.name, str(lake)]
        # JavaScript looks for packages beside the script.
        script = self.environment / "node/hyparquet.mjs"
        shutil.copyfile(HERE / "hyparquet.mjs", script)
        return ["node", str(script), str(lake)]

    def read(self, lake: pathlib.Path, wanted: dict) -> dict:
        environment = clean_environment(HOME=os.environ.get("HOME", "/"), PYTHONDONTWRITEBYTECODE="1")
        done = subprocess.run(
            self.command(lake), input=json.dumps(wanted), capture_output=True, text=True, timeout=2 * PATIENCE, env=environment,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout)


READERS = [
    Reader("chdb", "oldest"), Reader("chdb", "newest"),
    Reader("daft", "oldest", "getdaft"), Reader("daft", "newest-daft"),
    Reader("datafusion", "oldest"), Reader("datafusion", "newest"),
    Reader("duckdb", "oldest"), Reader("duckdb", "newest"),
    Reader("fastparquet", "oldest", decimals_are_floats=True), Reader("fastparquet", "newest", decimals_are_floats=True),
    Reader("hyparquet", "oldest", decimals_are_floats=True, timestamps_are_milliseconds=True),
    Reader("hyparquet", "newest", decimals_are_floats=True, timestamps_are_milliseconds=True),
    Reader("polars", "oldest"), Reader("polars", "newest"),
    Reader("pyarrow", "oldest"), Reader("pyarrow", "newest"),
    Reader("spark", "engines", "pyspark"),
]
OLD_AND_STRICT = [reader for reader in READERS if reader.group == "oldest" and reader.name in ("daft", "datafusion", "polars")]
each = pytest.mark.parametrize("reader", READERS, ids=lambda reader: f"{reader.name}-{reader.version}")


@pytest.fixture(scope="session")
def lake(tmp_path_factory) -> pathlib.Path:
    """`READERS_LAKE` names one that was made before."""
    named = os.environ.get("READERS_LAKE")
    return pathlib.Path(named) if named else make(tmp_path_factory.mktemp("readers"))


@pytest.fixture(scope="session")
def held(lake) -> dict[str, dict]:
    """What each table holds: its files, and of each column its type and all values in the order of the files."""
    found = {}
    for table, files in tables(lake).items():
        contents = [parquet.ParquetFile(lake / file).read() for file in files]
        joined = pa.concat_tables(contents, promote_options="default")
        columns = {name: arrow_values(joined.column(name)) for name in joined.column_names}
        found[table] = {"files": files, "rows": joined.num_rows, "columns": columns}
    return found


def wanted_of(held: dict) -> dict:
    """What a reader is asked for."""
    return {
        table: {"files": what["files"], "types": {name: kind for name, (kind, _) in what["columns"].items()}}
        for table, what in held.items()
    }


def test_the_lake_holds_every_table_in_two_versions(lake, held):
    """Nothing below would mean much otherwise."""
    all_tables = {table["name"] for table in catalog() if not table["retired"]}
    assert set(held) <= all_tables and len(held) > 0.95 * len(all_tables)
    versions = {table: {footer(lake / file)["openai_elt.schema_version"] for file in what["files"]} for table, what in held.items()}
    # A table without news keeps its files.
    assert sum("99" in found for found in versions.values()) > 0.9 * len(held)
    by_day = [table for table, what in held.items() if "date=" in what["files"][0]]
    assert sum(len(versions[table]) == 2 for table in by_day) > len(by_day) / 2
    sizes = {table: [parquet.read_metadata(lake / file).num_rows for file in what["files"]] for table, what in held.items()}
    assert max(sizes["codex_usage"]) > 20_000, "several pages"
    assert any(0 in found for found in sizes.values()), "a file without rows"
    assert {kind for what in held.values() for kind, _ in what["columns"].values()} == {
        "string", "int", "float", "bool", "decimal", "date", "timestamp",
    }


def footer(path: pathlib.Path) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in parquet.read_metadata(path).metadata.items()}


@each
def test_every_table_is_read(reader, lake, held):
    found = reader.read(lake, wanted_of(held))
    wrong = [f"{table}: {what}" for table in held for what in differences(reader, held[table], found[table])]
    assert not wrong, "\n".join(wrong[:20])


def differences(reader: Reader, held: dict, found: dict) -> list[str]:
    """What a reader makes otherwise of one table."""
    if "error" in found:
        return [found["error"]]
    if found["rows"] != held["rows"]:
        return [f"{found['rows']} rows instead of {held['rows']}"]
    found_wrong = []
    for name, (kind, values) in held["columns"].items():
        got = {key: int(value) if is_whole(key, value) else value for key, value in found["columns"][name].items()}
        if not same(reader, kind, expected(reader, kind, values), got):
            found_wrong.append(f"{name}: {got} instead of {expected(reader, kind, values)}")
        if "bounds" in found and found["bounds"][name] != bounds(values):
            found_wrong.append(f"{name}: {found['bounds'][name]} are its bounds instead of {bounds(values)}")
    return found_wrong


def is_whole(key: str, value) -> bool:
    return key in ("first", "last", "sum") and isinstance(value, str) and value.lstrip("-").isdigit()


def expected(reader: Reader, kind: str, values: list) -> dict:
    if kind == "timestamp" and reader.timestamps_are_milliseconds:
        values = [None if value is None else value // 1000 * 1000 for value in values]
    if kind == "decimal" and not reader.decimals_are_floats:
        # As a whole number, an exact sum is compared like one.
        return {key: int(value) if is_whole(key, value) else value for key, value in figures(kind, values).items()}
    return figures(kind, values)


def same(reader: Reader, kind: str, expected: dict, got: dict) -> bool:
    if kind == "float" or kind == "decimal" and reader.decimals_are_floats:
        as_floats = {**expected, "kind": "float"}, got
        sums = [float(each.get("sum", 0)) for each in as_floats]
        return math.isclose(*sums, rel_tol=1e-9) and all(each["nulls"] == expected["nulls"] for each in as_floats)
    return expected == got


def bounds(values: list) -> list:
    some = [value for value in values if value is not None]
    if some and isinstance(some[0], str):
        some.sort(key=str.encode)  # as engines order texts
    return [plain(min(some, key=order)), plain(max(some, key=order))] if some else [None, None]


def order(value):
    return value.encode() if isinstance(value, str) else value


@pytest.mark.parametrize("reader", OLD_AND_STRICT, ids=lambda reader: f"{reader.name}-{reader.version}")
def test_the_order_that_newer_writers_name_is_what_old_readers_refuse(reader, lake, held, tmp_path):
    """The column order `IEEE_754_TOTAL_ORDER` in one table's footers: this suite sees what it is there to see."""
    for file in held["codex_usage"]["files"]:
        copy = tmp_path / file
        copy.parent.mkdir(parents=True)
        copy.write_bytes(with_total_order(lake / file))
    (found,) = reader.read(tmp_path, wanted_of({"codex_usage": held["codex_usage"]})).values()
    assert "error" in found


def test_each_file_names_the_order_that_every_reader_knows(lake, held):
    for what in held.values():
        for file in what["files"]:
            assert set(orders_of(lake / file)) == {"TYPE_ORDER"}, file


def test_the_page_names_these_versions():
    rows = {line.split("|")[1].strip().lower(): [cell.strip() for cell in line.split("|")[2:4]]
            for line in PAGE.splitlines() if re.match(r"\| \w[^|]*\| [\d.]+ \|", line)}
    for name in {reader.name for reader in READERS}:
        versions = [reader.version for reader in READERS if reader.name == name]
        assert [rows[name][0], rows[name][1]] == [versions[0], versions[-1]], name
