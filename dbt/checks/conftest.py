"""What the checks share: a lake that the binary made, the models built on it, and a plain way to read both.

The expected figures are computed here in Python from the Parquet files, row by row: no SQL of the models is reused.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from dataclasses import dataclass

import duckdb
import pyarrow.dataset
import pytest

PROJECT = pathlib.Path(__file__).resolve().parent.parent
ROOT = PROJECT.parent
PATIENCE = 1800  # seconds after which a hanging command is a failure; nothing else here is timed
ORGANIZATION = "org-simulated"


def binary() -> pathlib.Path:
    path = pathlib.Path(os.environ.get("OPENAI_ELT_BIN", ROOT / "target/debug/openai-elt"))
    if not path.exists():
        pytest.exit("openai-elt is not built: run `make build`, or set OPENAI_ELT_BIN", returncode=2)
    return path


def run(*command, env=None) -> subprocess.CompletedProcess:
    """Runs a command without the machine's credentials and settings, and says all that it said when it fails."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "NO_COLOR": "1", **(env or {})}
    return subprocess.run([str(c) for c in command], env=environment, capture_output=True, text=True, timeout=PATIENCE)


@dataclass
class Lake:
    """A folder of Parquet, read by pyarrow."""

    folder: pathlib.Path

    def rows(self, table: str) -> list[dict]:
        """All rows, tombstones too. `_state` and its like begin with an underscore and are not read."""
        found = pyarrow.dataset.dataset(self.folder / table, format="parquet")
        return found.to_table(columns=[n for n in found.schema.names if n != "date"]).to_pylist()

    def living(self, table: str) -> list[dict]:
        return [row for row in self.rows(table) if not row["_deleted"]]


@dataclass
class Built:
    """What one `dbt` command left: its exit code, its words, its results and its database."""

    code: int
    said: str
    results: list[dict]
    database: pathlib.Path

    def rows(self, model: str) -> list[dict]:
        with duckdb.connect(str(self.database), read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return connection.execute(f'SELECT * FROM "{model}"').fetch_arrow_table().to_pylist()

    def status(self, status: str) -> set[str]:
        """Names of nodes, without the hash that dbt puts behind those of tests."""
        return {r["unique_id"].split(".")[2] for r in self.results if r["status"] == status}


def dbt(command: str, folder: pathlib.Path, *arguments, lake: Lake | None = None, variables: dict | None = None) -> Built:
    database = folder / "models.duckdb"
    said = {"organization_id": ORGANIZATION, "organization_name": "Simulated", **(variables or {})}
    environment = {"OPENAI_ELT_DUCKDB": str(database), "DO_NOT_TRACK": "1"}
    if lake:
        environment["OPENAI_ELT_LAKE"] = str(lake.folder)
    recall(folder / "target" / PARSED)
    done = run(
        pathlib.Path(sys.executable).parent / "dbt", "--no-use-colors", *command.split(), *arguments,
        "--project-dir", PROJECT, "--profiles-dir", PROJECT, "--target-path", folder / "target",
        "--log-path", folder / "logs", "--vars", json.dumps(said),
        env=environment,
    )
    remember(folder / "target" / PARSED)
    results = folder / "target" / "run_results.json"
    listed = json.loads(results.read_text())["results"] if results.exists() else []
    return Built(done.returncode, done.stdout + done.stderr, listed, database)


# What dbt remembers of a project that it has read; it sees by itself what has changed since. Reading it takes longer
# than most commands.
PARSED = "partial_parse.msgpack"
_parsed: list[bytes] = []


def remember(parsed: pathlib.Path) -> None:
    if not _parsed and parsed.exists():
        _parsed.append(parsed.read_bytes())


def recall(parsed: pathlib.Path) -> None:
    if _parsed:
        parsed.parent.mkdir(parents=True, exist_ok=True)
        parsed.write_bytes(_parsed[0])


@pytest.fixture(scope="session")
def lake(tmp_path_factory) -> Lake:
    folder = tmp_path_factory.mktemp("lake")
    done = run(binary(), "demo", "--out", folder)
    assert done.returncode == 0, done.stderr
    return Lake(folder)


@pytest.fixture(scope="session")
def built(lake, tmp_path_factory) -> Built:
    """All models and all of their tests, on the lake itself."""
    return dbt("build", tmp_path_factory.mktemp("built"), lake=lake)
