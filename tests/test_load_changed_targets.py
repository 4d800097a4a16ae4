"""`load` into a database that somebody else has changed: tables dropped, rows deleted, types altered, rights taken.

What the target lacks is loaded again. What was changed is reported, and repaired, or refused with a cure; the cure is
then carried out here, and must help.
"""

from __future__ import annotations

import re
import shutil
import subprocess

import duckdb
import pytest

from conftest import BINARY, ROOT, clean_environment, spec, sync
from reliability import INTEGRITY, record
from test_load import BIN, PSQL, Duck, Postgres, differences, lake, load, loaded, made, replace, server, source, target  # noqa: F401

SOME = ["costs", "users", "invites", "audit_logs", "usage_completions"]
ONLY = ("--tables", ",".join(SOME))


def change(target, sql: str) -> None:
    """What a user does to the database."""
    if isinstance(target, Postgres):
        target.psql(target.name, f"SET search_path = openai; {sql}")
        return
    with duckdb.connect(str(target.file)) as connection:
        connection.execute(f"SET TimeZone = 'UTC'; SET schema = 'openai.openai'; {sql}")


def days(lake, table: str = "costs") -> list[str]:
    return [folder.name.removeprefix("date=") for folder in sorted((lake / table).iterdir())]


def slices(lake, tables=None) -> int:
    return sum(len(list((lake / table).rglob("data.parquet"))) for table in tables or SOME)


def told(run, table: str) -> str:
    """All that the report says about a table."""
    entry = run.report["tables"][table]
    return " ".join([*entry["warnings"], *(str(v) for v in (entry["error"] or {}).values())])


def cure(run, table: str) -> str:
    """The statement of SQL in a hint, between backticks."""
    return re.search(r"`([A-Z][^`]*)`", run.report["tables"][table]["error"]["cure"])[1]


# ---- Rows that are not there any more -----------------------------------------------------------

LOSSES = {
    "a table dropped": ("DROP TABLE costs", "all"),
    "a table truncated": ("TRUNCATE costs", "all"),
    "all rows deleted": ("DELETE FROM costs", "all"),
    "a day deleted": ("DELETE FROM costs WHERE \"date\" = '{day}'", 1),
    "a row deleted": ("DELETE FROM costs WHERE {row}", 1),
    "a day doubled": ("INSERT INTO costs SELECT * FROM costs WHERE \"date\" = '{day}'", 1),
    "a day moved to another": ("UPDATE costs SET \"date\" = '{other}' WHERE \"date\" = '{day}'", 2),
    "a column dropped": ("ALTER TABLE costs DROP COLUMN amount", "all"),
    "a column renamed": ("ALTER TABLE costs RENAME COLUMN amount TO money", "all"),
    "the day column dropped": ("{free} ALTER TABLE costs DROP COLUMN \"date\"", 0),
    "a table read whole dropped": ("DROP TABLE users", 1),
    "a table read whole truncated": ("DELETE FROM users", 1),
    "a row of a table read whole doubled": ("INSERT INTO users SELECT * FROM users LIMIT 1", 1),
    "a column of a table read whole dropped": ("ALTER TABLE users DROP COLUMN email", 1),
    "the bookkeeping dropped": ("DROP TABLE _openai_elt_slices", "everything"),
    "the bookkeeping emptied": ("DELETE FROM _openai_elt_slices", "everything"),
    "the bookkeeping of a day changed": ("UPDATE _openai_elt_slices SET \"rows\" = 1000000 WHERE path LIKE 'costs/%{day}%'", 1),
    "the bookkeeping forgets its numbers": ("UPDATE _openai_elt_slices SET \"rows\" = NULL WHERE path = 'users/data.parquet'", 1),
    "the schema dropped": ("DROP SCHEMA openai CASCADE", "everything"),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_what_the_target_lost_is_loaded_again(target, lake, loss):
    load(target, lake, *ONLY)
    statement, expected = LOSSES[loss]
    row = "ctid = (SELECT ctid FROM costs LIMIT 1)" if isinstance(target, Postgres) else "rowid = (SELECT min(rowid) FROM costs)"
    free = "DROP INDEX IF EXISTS openai.costs__date;" if isinstance(target, Postgres) else ""
    change(target, statement.format(day=days(lake)[1], other=days(lake)[2], row=row, free=free))

    run = load(target, lake, *ONLY)
    assert differences(target, lake, SOME) == {}
    wanted = {"all": slices(lake, ["costs"]), "everything": slices(lake)}.get(expected, expected)
    assert loaded(run) == wanted
    if expected != "everything":
        table = "users" if "whole" in loss or "its numbers" in loss else "costs"
        assert told(run, table), "what was repaired is told"
        assert "nothing has changed" not in run.err
    again = load(target, lake, *ONLY)
    assert loaded(again) == 0 and not any(t["warnings"] for t in again.report["tables"].values())
    if isinstance(target, Postgres) and loss == "a row deleted":
        record(
            "rows of a loaded table are deleted, doubled or truncated, its table, a column of it, or the bookkeeping dropped",
            "`load` counts the rows of each slice in DuckDB and in PostgreSQL and loads again those that are not what was loaded",
            before="a loaded database", during="the change is reported", after="the lake's rows, in every table", part=INTEGRITY,
        )


WORDS = ["day", "path", "rows", "fingerprint", "loaded_at", "new", "counts", "relation", "current", "file"]


def test_columns_named_as_words_of_the_bookkeeping_mean_themselves(target, source, tmp_path):  # noqa: F811
    """Else a count is of other rows than those of the slice, and each load repairs what is right."""
    dest, schemas = tmp_path / "lake", tmp_path / "schemas/admin"
    schemas.mkdir(parents=True)
    text = (ROOT / "schemas/admin/costs.toml").read_text().rstrip()
    more = "".join(f'\n{word} = {{ type = "{"date" if word == "day" else "string"}", from = "/{word}", doc = "A word.", since = 9 }}' for word in WORDS)
    (schemas / "costs.toml").write_text(text + more + "\n")
    flags = ("--schemas", tmp_path / "schemas", "--tables", "costs")
    sync(dest, source, *flags)
    load(target, dest, *flags)
    again = load(target, dest, *flags)
    assert loaded(again) == 0 and not told(again, "costs")
    change(target, f"DELETE FROM costs WHERE \"date\" = '{days(dest)[1]}'")
    assert loaded(load(target, dest, *flags)) == 1
    assert loaded(load(target, dest, *flags)) == 0


@pytest.mark.parametrize("table", SOME)
def test_every_table_dropped_comes_back(target, lake, table):
    load(target, lake, *ONLY)
    change(target, f"DROP TABLE {table}")
    load(target, lake, *ONLY)
    assert differences(target, lake, SOME) == {}


def test_a_load_killed_in_a_repair_is_repaired_by_the_next(target, lake):
    """A column is added in one step with forgetting what lacks its values: else a kill in between leaves it empty for good."""
    load(target, lake, *ONLY)
    change(target, "ALTER TABLE costs DROP COLUMN amount")
    (lake / "costs" / f"date={days(lake)[-1]}" / "data.parquet").rename(lake / "kept")
    (lake / "costs" / f"date={days(lake)[-1]}" / "data.parquet").write_bytes(b"PAR1 broken")
    load(target, lake, *ONLY, code=2)
    shutil.move(lake / "kept", lake / "costs" / f"date={days(lake)[-1]}" / "data.parquet")
    load(target, lake, *ONLY)
    assert differences(target, lake, SOME) == {}


def test_rows_of_days_that_were_never_loaded_are_refused_until_the_cure(target, lake):
    load(target, lake, *ONLY)
    change(target, "INSERT INTO costs (\"date\", amount) VALUES ('1999-01-01', 5), (NULL, 7)")
    run = load(target, lake, *ONLY, code=2)
    assert "2 rows" in told(run, "costs") and "1999-01-01" in told(run, "costs")
    assert all(run.report["tables"][table]["status"] == "ok" for table in SOME if table != "costs")
    change(target, cure(run, "costs"))
    load(target, lake, *ONLY)
    assert differences(target, lake, SOME) == {}


def test_what_neither_lake_nor_target_has_any_more_is_told_once(target, lake):
    load(target, lake, *ONLY)
    day = days(lake)[0]
    shutil.rmtree(lake / "costs" / f"date={day}")
    change(target, f"DELETE FROM costs WHERE \"date\" = '{day}'")
    run = load(target, lake, *ONLY)
    assert day in told(run, "costs") and "neither" in told(run, "costs")
    assert not told(load(target, lake, *ONLY), "costs")


def test_what_the_lake_lost_and_the_target_lost_a_part_of_is_told(target, lake):
    load(target, lake, *ONLY)
    day = days(lake)[0]
    shutil.rmtree(lake / "costs" / f"date={day}")
    row = "ctid = (SELECT ctid FROM costs WHERE \"date\" = '{0}' LIMIT 1)" if isinstance(target, Postgres) else \
        "rowid = (SELECT min(rowid) FROM costs WHERE \"date\" = '{0}')"
    change(target, f"DELETE FROM costs WHERE {row.format(day)}")
    for _ in range(2):
        run = load(target, lake, *ONLY)
        assert "no longer in the lake" in told(run, "costs") and "other rows than were loaded" in told(run, "costs")


def test_what_a_user_added_survives(target, lake):
    """Views on the tables, columns and indexes beside them: also when slices, columns and whole tables are repaired."""
    load(target, lake, *ONLY)
    change(target, "ALTER TABLE costs ADD COLUMN team varchar DEFAULT 'all of us'")
    change(target, "CREATE INDEX by_project ON costs (project_id)")
    change(target, "CREATE VIEW spend AS SELECT project_id, sum(amount) AS amount FROM costs GROUP BY 1")
    change(target, "CREATE TABLE budgets AS SELECT 'a' AS project_id, 5 AS budget")
    before = target.rows("SELECT project_id, amount FROM spend ORDER BY 1, 2")
    change(target, f"DELETE FROM costs WHERE \"date\" = '{days(lake)[1]}'")
    run = load(target, lake, *ONLY)
    assert loaded(run) == 1 and differences(target, lake, SOME) == {}
    assert target.rows("SELECT project_id, amount FROM spend ORDER BY 1, 2") == before
    assert target.rows("SELECT count(*) FROM costs WHERE team IS DISTINCT FROM 'all of us'") == [["0"]]
    assert target.rows("SELECT budget FROM budgets") == [["5"]]
    catalog = "SELECT count(*) FROM pg_indexes WHERE indexname = 'by_project'" if isinstance(target, Postgres) else \
        "SELECT count(*) FROM duckdb_indexes() WHERE index_name = 'by_project'"
    assert target.rows(catalog) == [["1"]]


def test_a_bookkeeping_of_another_shape_is_refused_until_the_cure(target, lake):
    load(target, lake, *ONLY)
    change(target, "ALTER TABLE _openai_elt_slices DROP COLUMN fingerprint")
    run = load(target, lake, *ONLY, code={1, 3, 4})
    assert "fingerprint" in run.err
    change(target, re.search(r"`(DROP[^`]*)`", run.err)[1])
    load(target, lake, *ONLY)
    assert differences(target, lake, SOME) == {}


# ---- Columns of another type --------------------------------------------------------------------

# Types that hold a value of ours not at all, not whole, or as other bits. What may not be cast is made anew.
OTHERS = {
    "string": ["bigint", "varchar(10)", "bytea", "uuid", "json"],
    "json": ["bytea", "varchar(10)", "bigint"],
    "int": ["double precision", "integer", "text", "numeric(10,2)", "timestamp"],
    "float": ["real", "bigint", "numeric(38,18)", "text"],
    "bool": ["smallint", "text", "bigint"],
    "decimal": ["double precision", "numeric(10,2)", "text", "bigint", "numeric(30,18)"],
    "date": ["timestamp", "text", "integer"],
    "timestamp": ["timestamp", "text", "bigint", "date", "timestamptz(0)"],
}
IN_DUCKDB = {"bytea": "BLOB", "json": "INTEGER", "numeric(38,18)": "DECIMAL(38,10)", "timestamptz(0)": "TIMESTAMP_S", "varchar(10)": "ENUM ('a')"}


# A column of each type, in tables cut by day and in tables read whole.
COLUMNS = {
    "string": [("costs", "line_item"), ("users", "email")],
    "json": [("audit_logs", "_extra"), ("invites", "projects")],
    "int": [("usage_completions", "input_tokens"), ("files", "bytes")],
    "float": [("fine_tuning_job_checkpoints", "metrics_train_loss")],
    "bool": [("users", "_deleted")],
    "decimal": [("costs", "amount")],
    "date": [("costs", "date")],
    "timestamp": [("users", "_synced_at"), ("costs", "start_time")],
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_column_of_another_type_is_refused_until_the_cure(target, made, tmp_path, kind):  # noqa: F811
    for table, column in COLUMNS[kind]:
        assert kind in ("date", next((c["type"] for c in spec(table)["columns"] if c["name"] == column), None))
        alone = tmp_path / table
        shutil.copytree(made / table, alone / table)
        load(target, alone)
        for other in OTHERS[kind] if isinstance(target, Postgres) else [IN_DUCKDB.get(o, o) for o in OTHERS[kind]]:
            change(target, f'ALTER TABLE {table} DROP COLUMN "{column}"; ALTER TABLE {table} ADD COLUMN "{column}" {other}')
            change(target, "DELETE FROM _openai_elt_slices")
            before = target.rows(f"SELECT CAST(t AS varchar) FROM {table} AS t")
            run = load(target, alone, code=3)
            assert f"`{column}`" in told(run, table), (other, told(run, table))
            assert target.rows(f"SELECT CAST(t AS varchar) FROM {table} AS t") == before, "no byte was sent"
            change(target, cure(run, table))
            load(target, alone)
            assert differences(target, alone) == {}, other
    if isinstance(target, Postgres) and kind == "int":
        record(
            "a column of a loaded table is given another type",
            "each of the eight types, in DuckDB and PostgreSQL: the types of the target are compared before a byte is sent",
            before="a loaded database", during="an error that names the column and the statement that helps; nothing is written",
            after="after that statement the next load fills the column, and every value is the lake's", part=INTEGRITY,
        )


# Types that hold every value of ours exactly.
AS_GOOD = {
    "string": ["varchar", "text"], "json": ["json", "jsonb", "text", "varchar"], "decimal": ["numeric", "numeric(60,30)"],
    "timestamp": ["timestamptz(6)"],
}
AS_GOOD_IN_DUCKDB = {"json": ["JSON"], "int": ["HUGEINT"]}


def test_types_that_hold_every_value_are_taken(target, made, tmp_path):  # noqa: F811
    for kind, others in (AS_GOOD if isinstance(target, Postgres) else AS_GOOD_IN_DUCKDB).items():
        for table, column in COLUMNS[kind]:
            alone = tmp_path / table
            shutil.copytree(made / table, alone / table, dirs_exist_ok=True)
            load(target, alone)
            for other in others:
                change(target, f'ALTER TABLE {table} DROP COLUMN "{column}"; ALTER TABLE {table} ADD COLUMN "{column}" {other}')
                change(target, "DELETE FROM _openai_elt_slices")
                load(target, alone)
                assert differences(target, alone) == {}, (column, other)


def test_a_generated_column_is_refused_until_the_cure(target, made, tmp_path):  # noqa: F811
    shutil.copytree(made / "users", tmp_path / "lake/users")
    load(target, tmp_path / "lake")
    made_anew = "ALTER TABLE users DROP COLUMN email; ALTER TABLE users ADD COLUMN email text GENERATED ALWAYS AS (id) STORED"
    if isinstance(target, Duck):  # which cannot add one to a table
        columns = ", ".join(f'"{c["name"]}"' for c in spec("users")["columns"] if c["name"] != "email")
        types = ", ".join(target.rows("SELECT string_agg('\"' || column_name || '\" ' || data_type, ', ') FROM duckdb_columns() WHERE table_name = 'users' AND column_name <> 'email'")[0])
        made_anew = (
            f"CREATE TABLE other ({types}, email VARCHAR GENERATED ALWAYS AS (id)); INSERT INTO other ({columns}) SELECT {columns} FROM users;"
            "DROP TABLE users; ALTER TABLE other RENAME TO users"
        )
    change(target, made_anew)
    change(target, "DELETE FROM _openai_elt_slices")
    run = load(target, tmp_path / "lake", code=3)
    assert "`email`" in told(run, "users") and "computed" in told(run, "users")
    change(target, cure(run, "users"))
    load(target, tmp_path / "lake")
    assert differences(target, tmp_path / "lake") == {}


@pytest.mark.parametrize("constraint", [
    "ALTER COLUMN name SET NOT NULL", "ADD CONSTRAINT odd CHECK (email <> 'b')", "ADD CONSTRAINT one UNIQUE (object)",
    "ADD COLUMN must varchar NOT NULL",
])
def test_a_constraint_that_refuses_rows_is_named_and_its_cure_helps(server, made, tmp_path, constraint):  # noqa: F811
    target = Postgres(server, f"c{abs(hash(constraint)):x}")
    alone = tmp_path / "lake"
    shutil.copytree(made / "users", alone / "users")
    load(target, alone)
    change(target, f"DELETE FROM users; ALTER TABLE users {constraint}")
    replace(alone / "users/data.parquet", "email", ["a", "b"])
    replace(alone / "users/data.parquet", "name", [None])
    run = load(target, alone, code=3)
    change(target, cure(run, "users"))
    load(target, alone)
    assert differences(target, alone) == {}


def test_a_view_in_the_place_of_a_table_is_refused_until_the_cure(target, lake):
    load(target, lake, "--tables", "users,invites")
    change(target, "ALTER TABLE users RENAME TO people")
    change(target, "CREATE VIEW users AS SELECT * FROM people WHERE email LIKE '%@example.com'")
    run = load(target, lake, "--tables", "users,invites", code=2)
    assert "view" in told(run, "users")
    change(target, cure(run, "users"))
    load(target, lake, "--tables", "users,invites")
    assert differences(target, lake, ["users", "invites"]) == {}


def test_a_trigger_that_swallows_rows_is_refused(server, lake):
    target = Postgres(server, "swallows")
    load(target, lake, "--tables", "users")
    change(target, """
        CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
        CREATE TRIGGER swallows BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION swallow(); DELETE FROM users""")
    run = load(target, lake, "--tables", "users", code=3)
    assert "trigger" in told(run, "users")
    change(target, "DROP TRIGGER swallows ON users")
    load(target, lake, "--tables", "users")
    assert differences(target, lake, ["users"]) == {}


def test_a_constraint_in_duckdb_is_refused_until_the_cure(made, tmp_path):  # noqa: F811
    target, alone = Duck(tmp_path), tmp_path / "lake"
    shutil.copytree(made / "users", alone / "users")
    load(target, alone)
    change(target, "DELETE FROM users; ALTER TABLE users ALTER COLUMN name SET NOT NULL")
    replace(alone / "users/data.parquet", "name", [None])
    run = load(target, alone, code=3)
    assert "constraint" in told(run, "users").lower() and "drop" in run.report["tables"]["users"]["error"]["cure"]
    change(target, "DROP TABLE users")
    load(target, alone)
    assert differences(target, alone) == {}


# ---- Rights -------------------------------------------------------------------------------------


class Role(Postgres):
    """A database as a role of few rights sees it; `psql` stays the administrator's."""

    def __init__(self, server, name: str):
        super().__init__(server, name)
        self.role = f"loader_{name}"
        self.psql(name, f"CREATE ROLE {self.role} LOGIN; REVOKE CREATE ON DATABASE {name} FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC")
        self.to = f"postgres:///{name}?user={self.role}&host={self.socket}"


def test_a_role_that_owns_its_schema_needs_no_right_to_make_schemas(server, lake):
    target = Role(server, "owns_schema")
    target.psql(target.name, f"CREATE SCHEMA openai AUTHORIZATION {target.role}")
    load(target, lake, *ONLY)
    assert differences(target, lake, SOME) == {}
    # The tables made beforehand by the script, by the same role.
    target.psql(target.name, f"DROP SCHEMA openai CASCADE; CREATE SCHEMA openai AUTHORIZATION {target.role}")
    text = subprocess.run([BINARY, "schema", "--dialect", "postgres", "--dest", lake], capture_output=True, env=clean_environment(), check=True).stdout
    subprocess.run(
        [PSQL, "-X", "-v", "ON_ERROR_STOP=1", "-q", "-h", target.socket, "-U", target.role, "-d", target.name],
        input=text, check=True, capture_output=True, env=clean_environment(),
    )
    load(target, lake, *ONLY)
    assert differences(target, lake, SOME) == {}


def test_a_role_that_may_only_fill_tables_fills_them(server, lake):
    """Tables and bookkeeping belong to somebody else, and so do all rights to make any."""
    target = Role(server, "fills")
    load(Administrator(target), lake, *ONLY)
    target.psql(target.name, f"""
        GRANT USAGE ON SCHEMA openai TO {target.role};
        GRANT SELECT, INSERT, DELETE ON ALL TABLES IN SCHEMA openai TO {target.role}""")
    change(target, "DELETE FROM costs; DELETE FROM users")
    run = load(target, lake, *ONLY)
    assert loaded(run) == slices(lake, ["costs", "users"]) and differences(target, lake, SOME) == {}


class Administrator:
    def __init__(self, role: Role):
        self.to, self.env = f"postgres:///{role.name}?user=postgres&host={role.socket}", {}


MISSING = {
    "no schema and no right to make one": "SELECT 1",
    "a schema of somebody else": "CREATE SCHEMA openai",
    "a schema that may only be looked into": "CREATE SCHEMA openai; GRANT USAGE ON SCHEMA openai TO {role}",
}


@pytest.mark.parametrize("missing", MISSING)
def test_the_cure_for_a_missing_right_helps(server, lake, missing):
    target = Role(server, f"lacks{list(MISSING).index(missing)}")
    target.psql(target.name, MISSING[missing].format(role=target.role))
    run = load(target, lake, "--tables", "users", code={1, 2, 3})
    target.psql(target.name, re.search(r"`(GRANT[^`]*)`", run.err)[1])
    load(target, lake, "--tables", "users")
    assert differences(target, lake, ["users"]) == {}


def test_the_cures_for_missing_rights_on_tables_help(server, lake):
    target = Role(server, "lacks_tables")
    load(Administrator(target), lake, "--tables", "users")
    for _ in range(4):
        run = load(target, lake, "--tables", "users", code={0, 1, 2, 3})
        if run.code == 0:
            break
        target.psql(target.name, re.search(r"`(GRANT[^`]*)`", run.err + told_if_any(run))[1])
    assert run.code == 0 and differences(target, lake, ["users"]) == {}
    target.psql(target.name, "ALTER TABLE openai.users DROP COLUMN email")
    run = load(target, lake, "--tables", "users", code=3)
    target.psql(target.name, cure(run, "users"))
    load(target, lake, "--tables", "users")
    assert differences(target, lake, ["users"]) == {}


def told_if_any(run) -> str:
    return told(run, "users") if run.out else ""


# ---- JSON in PostgreSQL ---------------------------------------------------------------------------

HARD_JSON = [
    '{"a":"\\u0000","b":"\\ud800","c":"\\udc00 \\ud83d\\ude00 \\ud83d"}', '{"\\u0000":1,"\\\\u0000":"\\\\ud800"}', "[]", '"x"', "1e400",
    '{"a":1e999999,"b":-1e-999999,"c":[1E+99999999999999999999]}', '{"a":1,"a":2}', "null", "[" * 200 + "]" * 200, '{"id":"abc"}',
]


def test_json_is_jsonb_and_no_value_breaks_it(server, lake):
    target = Postgres(server, "jsonb")
    replace(lake / "invites/data.parquet", "_extra", HARD_JSON)
    run = load(target, lake, *ONLY)
    kinds = target.rows("SELECT DISTINCT data_type FROM information_schema.columns WHERE table_schema = 'openai' AND column_name = '_extra'")
    assert kinds == [["jsonb"]]
    found = {row[0] for row in target.rows("SELECT _extra::text FROM invites")}
    assert '{"a": "\ufffd", "b": "\ufffd", "c": "\ufffd \U0001f600 \ufffd"}' in found
    assert '{"\ufffd": 1, "\\\\u0000": "\\\\ud800"}' in found
    assert '{"a": "1e999999", "b": "-1e-999999", "c": ["1E+99999999999999999999"]}' in found
    assert "7 values" in told(run, "invites")
    assert target.rows("SELECT _extra->>'id' FROM invites WHERE _extra->>'id' IS NOT NULL") == [["abc"]]
    assert not told(load(target, lake, *ONLY), "invites")


def as_of_old(target) -> None:
    """The tables as an older version of the program made them."""
    for table, column in target.rows("SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'openai' AND data_type = 'jsonb'"):
        change(target, f'ALTER TABLE "{table}" ALTER COLUMN "{column}" TYPE json USING "{column}"::text::json')


def kinds(target) -> list:
    return sorted(k for k, in target.rows("SELECT DISTINCT data_type FROM information_schema.columns WHERE table_schema = 'openai' AND data_type LIKE 'json%'"))


def test_json_columns_of_before_become_jsonb(server, lake):
    target = Postgres(server, "carried")
    load(target, lake, *ONLY)
    as_of_old(target)
    run = load(target, lake, *ONLY)
    assert kinds(target) == ["jsonb"] and loaded(run) == 0 and differences(target, lake, SOME) == {}


def test_json_columns_with_text_that_jsonb_refuses_are_loaded_again(server, lake):
    target = Postgres(server, "carried_hard")
    load(target, lake, *ONLY)
    as_of_old(target)
    replace(lake / "invites/data.parquet", "_extra", HARD_JSON)
    change(target, "UPDATE invites SET _extra = '{\"a\":\"\\u0000\"}'")
    change(target, "UPDATE audit_logs SET _extra = '{\"a\":\"\\ud800\"}'")
    load(target, lake, *ONLY)
    assert kinds(target) == ["jsonb"] and differences(target, lake, [t for t in SOME if t != "invites"]) == {}
    assert {row[0] for row in target.rows("SELECT _extra->>'id' FROM invites")} == {None, "abc"}


def test_json_columns_that_a_view_holds_stay_and_are_told_of_until_the_cure(server, lake):
    target = Postgres(server, "carried_view")
    load(target, lake, *ONLY)
    as_of_old(target)
    change(target, "CREATE VIEW extras AS SELECT _extra FROM invites")
    run = load(target, lake, *ONLY)
    assert kinds(target) == ["json", "jsonb"] and "`_extra`" in told(run, "invites") and "view" in told(run, "invites")
    assert differences(target, lake, SOME) == {}
    change(target, "DROP VIEW extras")
    load(target, lake, *ONLY)
    assert kinds(target) == ["jsonb"] and differences(target, lake, SOME) == {}


# ---- DuckDB: views of before ----------------------------------------------------------------------


def test_views_on_the_lake_give_way_to_tables(lake, tmp_path):
    target = Duck(tmp_path)
    for _ in range(2):
        script = subprocess.run(
            [BINARY, "schema", "--dialect", "duckdb", "--external", "--dest", lake], capture_output=True, env=clean_environment(), check=True,
        ).stdout
        script = script.replace(b"SET TimeZone", b"ATTACH '%s' AS x; USE x; SET TimeZone" % str(target.file).encode(), 1)
        subprocess.run([BIN / "duckdb", "-init", "/dev/null", "-bail"], input=script, check=True, capture_output=True)
        load(target, lake)
        assert differences(target, lake) == {}
        assert loaded(load(target, lake)) == 0
        target.file.unlink()
