"""`schema --dialect`: what warehouses are told, read by a parser of each dialect, and run where the engine is at hand."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import duckdb
import pytest
from sqlglot import exp

from conftest import ROOT, catalog, clean_environment, command, contents, spec, sync
from warehouses.parsing import parsed

DIALECTS = ["snowflake", "bigquery", "redshift", "databricks", "duckdb", "postgres", "clickhouse", "athena", "trino", "spark"]
LOADING = [d for d in DIALECTS if d not in ("postgres", "athena", "trino")]

def script(dialect: str, *flags) -> str:
    return command("schema", "--dialect", dialect, *flags, code=0).out


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("external", [False, True], ids=["tables", "external"])
def test_every_table_parses_in_its_dialect(dialect, external):
    if dialect == "postgres" and external:
        refused = command("schema", "--dialect", "postgres", "--external", code=1)
        assert "cannot read the lake in place" in refused.err
        return
    text = script(dialect, *(["--external"] if external else []))
    statements = parsed(text, dialect)
    made = {table.name.lower() for s in statements if isinstance(s, exp.Create) for table in s.find_all(exp.Table)}
    unread = " ".join(s.sql() for s in statements if isinstance(s, exp.Command))
    for table in catalog():
        assert table["name"] in made or f"`{table['name']}`" in unread, f"nothing makes {table['name']}"
    for column in (c for s in statements for c in s.find_all(exp.ColumnDef) if c.kind):
        kind = column.kind.sql(dialect).upper()
        for wrong in ("UINT", "UNSIGNED", "NANO", "_NS", "STRUCT", "MAP", "ARRAY", "DATETIME64(9"):
            assert wrong not in kind, f"{column.sql()} is {kind}"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_columns_stand_in_the_order_of_the_files(dialect):
    """Loading by position works: the columns are the file's, in its order; `date` is beside them."""
    for statement in parsed(script(dialect, "--tables", "costs,users,audit_logs"), dialect):
        if not isinstance(statement, exp.Create) or statement.kind != "TABLE" or not isinstance(statement.this, exp.Schema):
            continue
        name = statement.this.this.name.lower()
        if name not in ("costs", "users", "audit_logs"):
            continue
        columns = [c.name.lower() for c in statement.this.expressions if isinstance(c, exp.ColumnDef)]
        wanted = [c["name"] for c in spec(name)["columns"]]
        assert [c for c in columns if c != "date"] == wanted


def columns_of(table: str, dialect: str, *flags) -> list[str]:
    """The columns of a table as its CREATE TABLE has them."""
    made = [s for s in parsed(script(dialect, "--tables", table, *flags), dialect) if isinstance(s, exp.Create) and s.kind == "TABLE"]
    made = next(s.this for s in made if isinstance(s.this, exp.Schema) and s.this.this.name.lower() == table)
    return [c.name.lower() for c in made.expressions if isinstance(c, exp.ColumnDef)]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_columns_of_a_version_are_the_first_of_the_next(dialect, tmp_path):
    """Wherever its line stands in the table file: files of before are loaded by position all the same."""
    (tmp_path / "admin").mkdir()
    text = (ROOT / "schemas/admin/invites.toml").read_text()
    later = 'later = { type = "string", from = "/id", doc = "Came later.", since = 9 }'
    (tmp_path / "admin/invites.toml").write_text(text.replace("[columns]\n", f"[columns]\n{later}\n"))
    before = columns_of("invites", dialect)
    assert columns_of("invites", dialect, "--schemas", tmp_path) == [*before, "later"]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("flags", [(), ("--external",)], ids=["tables", "external"])
def test_no_comment_line_is_cut_in_its_middle(dialect, flags, tmp_path):
    """Clients that cut at `;` without looking must not make a statement of the rest of a comment."""
    (tmp_path / "admin").mkdir()
    text = (ROOT / "schemas/admin/invites.toml").read_text()
    later = 'later = { type = "string", from = "/id", doc = "Came later; null: never.", since = 9 }'
    (tmp_path / "admin/invites.toml").write_text(text.replace("[columns]\n", f"[columns]\n{later}\n"))
    if dialect == "postgres" and flags:
        return
    for line in script(dialect, "--schemas", tmp_path, *flags).splitlines():
        assert not line.startswith("--") or ";" not in line.rstrip(";"), line


def test_athena_s_script_is_cut_at_each_semicolon():
    """As its page and everybody does. All tables, whose docs have hundreds of semicolons."""
    pieces = [piece for piece in script("athena").split(";") if piece.strip()]
    assert len(pieces) == len(catalog()) + 1
    for piece in pieces:
        assert len(parsed(piece, "athena")) == 1, piece
    refused = command("schema", "--dialect", "athena", "--location", "s3://bucket/a;b", code=1)
    assert "cannot read" in refused.err


@pytest.fixture
def hostile(tmp_path) -> pathlib.Path:
    """A table file whose words try to get out of their quotes, and whose columns are reserved words."""
    folder = tmp_path / "schemas" / "admin"
    folder.mkdir(parents=True)
    (folder / "select.toml").write_text('''
doc = "It's a \\\\' trap'); DROP TABLE users; -- \\n; DROP TABLE costs; /* `\\" <table> <nothing> ${date} $$ */"
key = ["order"]
paging = "none"

[request]
path = "/organization/trap"
rows = ["/data"]

[columns]
order = { type = "string", doc = "\\\\'; DROP TABLE users; --" }
group = { type = "json",   doc = "''); DELETE FROM costs; '" }
table = { type = "bool",   doc = "ends with a backslash \\\\" }
''')
    return tmp_path / "schemas"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_words_of_a_table_file_stay_words(dialect, hostile):
    text = script(dialect, "--schemas", hostile, "--tables", "select")
    statements = parsed(text, dialect)
    allowed = (exp.Create, exp.Comment, exp.Transaction, exp.Commit, exp.Delete, exp.Insert, exp.Copy, exp.Command,
               exp.Set, exp.Alter, exp.LoadData, exp.Update, exp.Install)
    for statement in statements:
        if isinstance(statement, exp.Drop):
            assert "__staging" in statement.sql()
            continue
        assert isinstance(statement, allowed), statement.sql()
        if isinstance(statement, exp.Delete):
            assert statement.this.name.lower() == "select"
    # The text itself arrived whole, as one literal.
    literals = {node.name for s in statements for node in s.find_all(exp.Literal) if node.is_string}
    assert any("DROP TABLE users" in literal for literal in literals) or dialect == "clickhouse"


def test_names_that_would_leave_their_quotes_are_refused(tmp_path):
    for name in ('x"; DROP TABLE y; --', "a.b.c", "", "a b", "`"):
        refused = command("schema", "--dialect", "duckdb", "--schema", name, code=1)
        assert "--schema" in refused.err and "is not a name" in refused.err


def test_a_lake_with_a_quote_in_its_path(tmp_path, lake):
    odd = tmp_path / "it's a lake"
    odd.symlink_to(lake)
    odd = tmp_path / "o'brien"
    (odd / "users").mkdir(parents=True)
    (odd / "users/data.parquet").write_bytes((lake / "users/data.parquet").read_bytes())
    run_duckdb(tmp_path / "x.duckdb", script("duckdb", "--dest", odd))
    assert ask(tmp_path / "x.duckdb", "SELECT count(*) FROM openai.users")[0][0] > 0


# In DuckDB, for real.

DUCKDB = pathlib.Path(sys.executable).with_name("duckdb")


def run_duckdb(file, sql: str) -> str:
    done = subprocess.run(
        [DUCKDB, "-init", "/dev/null", "-bail", "-batch", str(file)], input=sql.encode(), capture_output=True,
        env=clean_environment(),
    )
    assert done.returncode == 0 and b"Error" not in done.stderr, done.stderr.decode()[-2000:]
    return done.stdout.decode()


def ask(file, sql: str) -> list[tuple]:
    with duckdb.connect(str(file), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def differences(file, dest, tables=None, schema: str = "openai") -> list[str]:
    """The tables whose rows are not those of the lake, to the last digit; both ways, with repetitions."""
    found = []
    with duckdb.connect(str(file), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for table in tables or sorted(p.name for p in pathlib.Path(dest).iterdir() if not p.name.startswith("_")):
            entry = spec(table)
            day = ', "date"' if entry["slices"] else ""
            names = ", ".join(f'"{c["name"]}"' for c in entry["columns"])
            lake = (
                f"SELECT {names}{day} FROM read_parquet('{dest}/{table}/**/data.parquet', "
                + ("hive_partitioning = true, hive_types = {'date': DATE}, union_by_name = true)" if day else "hive_partitioning = false)")
            )
            loaded = f'SELECT {names}{day} FROM {schema}."{table}"'
            for left, right in ((lake, loaded), (loaded, lake)):
                count = connection.execute(f"SELECT count(*) FROM ({left} EXCEPT ALL {right})").fetchone()[0]
                if count:
                    found.append(f"{table}: {count} rows")
    return found


@pytest.fixture(scope="module")
def source(simulators):
    return simulators("--projects", 3, "--users", 6, "--history-days", 4)


@pytest.fixture(scope="module")
def lake(source, tmp_path_factory):
    dest = tmp_path_factory.mktemp("lake") / "lake"
    sync(dest, source, code={0, 2})
    return dest


def test_the_duckdb_script_makes_the_lake(lake, tmp_path):
    before = contents(lake)
    file = tmp_path / "x.duckdb"
    text = script("duckdb", "--dest", lake)
    run_duckdb(file, text)
    assert differences(file, lake) == []
    comments = ask(file, "SELECT comment FROM duckdb_columns() WHERE table_name = 'costs' AND column_name = 'amount'")
    assert comments[0][0] == next(c["doc"] for c in spec("costs")["columns"] if c["name"] == "amount")
    run_duckdb(file, text)
    assert differences(file, lake) == [], "a second load changes nothing"
    assert contents(lake) == before, "the lake is only read"


def test_views_on_the_lake_hold_the_same(lake, tmp_path):
    file = tmp_path / "x.duckdb"
    run_duckdb(file, script("duckdb", "--dest", lake, "--external"))
    assert differences(file, lake) == []


def test_what_a_run_changed_brings_equality(source, tmp_path):
    dest, file = tmp_path / "lake", tmp_path / "x.duckdb"
    first = sync(dest, source, code={0, 2}).report["run_id"]
    run_duckdb(file, script("duckdb", "--dest", dest))
    assert source.mutate()
    sync(dest, source, code={0, 2})
    assert differences(file, dest), "the mutation changes nothing: the test would be empty"
    last = script("duckdb", "--dest", dest, "--changed-by", "last")
    assert "date=*" not in last, "it loads slices, not everything"
    run_duckdb(file, last)
    assert differences(file, dest) == []
    run_duckdb(file, last)
    assert differences(file, dest) == [], "twice is once"
    body = lambda text: text.split("\n", 1)[1]  # noqa: E731
    assert body(script("duckdb", "--dest", dest, "--changed-since", first)) == body(last)
    unknown = command("schema", "--dialect", "duckdb", "--dest", dest, "--changed-by", "never", code=1)
    assert "no report of the run never" in unknown.err and "last" in unknown.err


@pytest.mark.parametrize("dialect", LOADING)
def test_changed_slices_parse_in_every_dialect(dialect, lake):
    location = {"bigquery": "gs://b/p"}.get(dialect, "s3://b/p")
    text = script(dialect, "--dest", lake, "--location", location, "--changed-by", "last")
    assert parsed(text, dialect) and "-- load costs" in text
    assert str(lake) not in text


def test_columns_of_history_are_seen_in_the_lake(source, tmp_path):
    dest = tmp_path / "lake"
    sync(dest, source, "--tables", "users", config="[tables.users]\nhistory = true\n")
    text = script("redshift", "--dest", dest, "--location", "s3://b/p", "--tables", "users")
    made = next(s for s in parsed(text, "redshift") if isinstance(s, exp.Create) and s.args.get("properties"))
    columns = [c.name for c in made.this.expressions]
    with duckdb.connect() as connection:
        file = connection.execute(f"SELECT * FROM '{dest}/users/data.parquet' LIMIT 0").description
    assert columns == [column[0] for column in file], "the temporary table has the file's columns, in its order"
    assert "_valid_from" in columns


def test_a_lake_that_the_warehouse_cannot_read_is_refused(lake):
    refused = command("schema", "--dialect", "bigquery", "--dest", lake, code=1)
    assert "--location" in refused.err


def test_the_script_has_its_placeholder_where_the_lake_is_unknown():
    assert "s3://YOUR_BUCKET/PREFIX (a placeholder" in script("snowflake", "--tables", "costs")
    assert command("schema", "--dialect", "duckdb", "--changed-by", "last", code=1).err.count("--dest")
    assert (ROOT / "src/warehouse/dialects/snowflake.toml").exists()
