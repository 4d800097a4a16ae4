"""The models as each warehouse's adapter compiles them, parsed in that warehouse's dialect by sqlglot.

Nothing connects: this shows that the adapter understands the project and that its SQL is words of the dialect,
not that a warehouse runs it. `make test-dbt-adapters` brings the adapters; it is no part of `make test`.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest
import sqlglot
import sqlglot.expressions as expressions

HERE = pathlib.Path(__file__).resolve().parent
PROJECT = HERE.parent
ADAPTERS = ("athena", "bigquery", "clickhouse", "databricks", "postgres", "redshift", "snowflake", "trino")
PATIENCE = 1800  # seconds after which a hanging command is a failure; nothing else here is timed


@pytest.fixture(scope="module", params=ADAPTERS)
def compiled(request, tmp_path_factory):
    """Name of the adapter, and its compiled models and tests by path."""
    folder = tmp_path_factory.mktemp(request.param)
    done = subprocess.run(
        [
            str(pathlib.Path(sys.executable).parent / "dbt"), "--no-use-colors", "compile",
            "--no-introspect", "--no-populate-cache", "--target", request.param,
            "--project-dir", str(PROJECT), "--profiles-dir", str(HERE), "--target-path", str(folder / "target"),
            "--log-path", str(folder / "logs"), "--vars", "{missing_tables: error, organization_id: org-simulated}",
        ],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "DO_NOT_TRACK": "1"},
        capture_output=True, text=True, timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    root = folder / "target" / "compiled" / "openai_elt"
    return request.param, {path.relative_to(root): path.read_text() for path in root.rglob("*.sql")}


def test_every_statement_is_of_the_dialect(compiled):
    adapter, statements = compiled
    models = {path for path in statements if path.name.startswith(("openai__", "stg_openai__")) and "yml" not in str(path)}
    assert len(models) == len(list((PROJECT / "models").rglob("*.sql")))
    wrong = []
    for path, text in statements.items():
        try:
            trees = sqlglot.parse(text, dialect=adapter, error_level=sqlglot.ErrorLevel.RAISE)
        except sqlglot.errors.SqlglotError as error:
            wrong.append(f"{path}: {error}")
            continue
        if len(trees) != 1 or not isinstance(trees[0], expressions.Query):
            wrong.append(f"{path}: is no query")
    assert not wrong, "\n\n".join(wrong[:10])


def test_money_stays_exact(compiled):
    """Amounts are of an exact type with all the digits of the lake."""
    adapter, statements = compiled
    exact = {"bigquery": "bignumeric", "clickhouse": "Nullable(Decimal(38, 18))"}.get(adapter)
    exact = exact or ("decimal(38, 18)" if adapter in ("athena", "databricks", "trino") else "numeric(38, 18)")
    (costs,) = (text for path, text in statements.items() if path.name == "stg_openai__costs.sql")
    assert f"cast(amount as {exact})" in costs
