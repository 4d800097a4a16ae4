"""Reads a script with the parser of its dialect. What sqlglot passes through unread is known by how it begins."""

from __future__ import annotations

import sqlglot
from sqlglot import exp

UNREAD = (
    "LOAD HTTPFS", "SET TIME ZONE", "ALTER EXTERNAL TABLE", "EXCHANGE TABLES", "MSCK REPAIR TABLE",
    "CALL SYSTEM.SYNC_PARTITION_METADATA", "CREATE EXTERNAL SCHEMA", "DO $DO$",
)
# Of the pages: what an administrator runs.
UNREAD_ON_PAGES = (
    "CREATE STORAGE INTEGRATION", "CREATE STAGE", "CREATE EXTERNAL LOCATION", "CREATE ROLE", "GRANT", "DESC", "ALTER DEFAULT PRIVILEGES",
)
# BigQuery: WITH PARTITION COLUMNS of an external table.
UNREAD_BIGQUERY = "CREATE OR REPLACE EXTERNAL TABLE"


def parsed(text: str, dialect: str, unread: tuple[str, ...] = UNREAD) -> list[exp.Expression]:
    statements = [s for s in sqlglot.parse(text, dialect=dialect) if s is not None and not isinstance(s, exp.Semicolon)]
    for statement in statements:
        if isinstance(statement, exp.Command):
            words = statement.sql(comments=False).upper()
            known = words.startswith(unread) or (dialect == "bigquery" and words.startswith(UNREAD_BIGQUERY))
            assert known, f"sqlglot does not read this {dialect}: {words[:200]}"
    return statements
