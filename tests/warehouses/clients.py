"""Clients of warehouses that are not here: they cut a script as the real ones do, and parse what they would send.

    python -m warehouses.clients aws athena start-query-execution --query-string ... --query QueryExecutionId

A statement that its dialect cannot parse ends the client as the warehouse would. What was sent is kept in CLIENT_LOG,
a JSON document a line. `aws` starts a statement and tells its state when asked, and takes no second one meanwhile.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys

from warehouses.parsing import parsed

LOG = pathlib.Path(os.environ.get("CLIENT_LOG", "/dev/null"))


def value(words: list[str], *flags: str) -> str:
    found = [words[at + 1] for at, word in enumerate(words[:-1]) if word in flags]
    assert found, f"none of {flags} in {words}"
    return found[0]


def send(client: str, dialect: str, text: str) -> None:
    """A whole script, cut at what ends its statements."""
    statements = parsed(text, dialect)
    assert statements, "nothing was sent"
    with LOG.open("a") as log:
        for statement in statements:
            log.write(json.dumps({"client": client, "sent": statement.sql(dialect, comments=False)}) + "\n")


def aws(words: list[str]) -> None:
    assert words[0] == "athena"
    running = LOG.with_suffix(".running")
    if words[1] == "get-query-execution":
        assert value(words, "--query") == "QueryExecution.Status.State" and value(words, "--output") == "text"
        left = int(running.read_text())
        running.write_text(str(left - 1))
        print("SUCCEEDED" if left <= 0 else "QUEUED")
        return
    assert words[1] == "start-query-execution" and value(words, "--work-group")
    assert not running.exists() or int(running.read_text()) < 0, "TooManyRequestsException: a statement is running"
    text = value(words, "--query-string")
    assert len(parsed(text, "athena")) == 1, f"Athena takes one statement at a time: {text}"
    assert value(words, "--result-configuration").startswith("OutputLocation=s3://")
    send("aws", "athena", text)
    # Only one in a hundred is waited for: a second each, for hundreds of statements, shows no more.
    running.write_text("1" if sum(1 for _ in LOG.open()) % 100 == 1 else "0")
    print("5f0e2a34-0000-0000-0000-000000000000")


def script_of(client: str, words: list[str]) -> tuple[str, str]:
    """The dialect and the script of a call; what a page must say lest an error be overlooked is looked for."""
    match client:
        case "bq":
            assert words[0] == "query" and "--use_legacy_sql=false" in words
            return "bigquery", sys.stdin.read()
        case "snowsql":
            assert value(words, "-o") == "exit_on_error=true"
            return "snowflake", pathlib.Path(value(words, "-f")).read_text()
        case "psql":
            assert value(words, "-v") == "ON_ERROR_STOP=1"
            return "redshift", pathlib.Path(value(words, "-f")).read_text()
        case "dbsqlcli":
            return "databricks", pathlib.Path(value(words, "-e")).read_text()
        case "trino":
            assert value(words, "--catalog") and value(words, "--schema")
            return "trino", pathlib.Path(value(words, "--file")).read_text()
        case "spark-sql":
            return "spark", pathlib.Path(value(words, "-f")).read_text()
        case "clickhouse-client":
            assert "--multiquery" in words
            return "clickhouse", sys.stdin.read()
    raise AssertionError(f"{client} is played by nobody")


if __name__ == "__main__":
    name, *given = sys.argv[1:]
    if name == "aws":
        aws(given)
    else:
        send(name, *script_of(name, given))
