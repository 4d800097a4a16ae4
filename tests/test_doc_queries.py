"""Every DuckDB query of the pages is run on a lake with two versions of its tables, and sees the columns of both.

The lake's newest days have a column more than the oldest. A query that takes the columns of the first file would not
know it, so each `read_parquet(...)` of each query is asked for that column too.
"""

import pathlib
import re

import duckdb
import pytest

from conftest import ROOT, command
from readers.lake import make

TABLES = ["costs", "projects", "usage_completions", "users", "audit_logs"]
PAGES = sorted(
    path for folder in (".", "docs", "docs/warehouses", "docs/decisions", "schemas", "dbt")
    for path in (ROOT / folder).glob("*.md") if path.name not in ("CHANGELOG.md", "tables.md")
)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.S | re.M)


def demo(folder: pathlib.Path) -> str:
    """What `demo` says that one could ask."""
    return command("demo", "--out", folder / "demo-lake", code=0).err.partition("any DuckDB):\n")[2]


def queries(text: str) -> list[str]:
    """The statements that read files, without their comments."""
    statements = re.sub(r"^\s*--.*$", "", text, flags=re.M).split(";")
    return [statement.strip() for statement in statements if ".parquet'" in statement and "SELECT" in statement]


def of_pages() -> list[tuple[str, str]]:
    return [
        (str(page.relative_to(ROOT)), query)
        for page in PAGES for block in blocks(page.read_text(), "sql") for query in queries(block)
        if "PARQUET" not in query
    ]


def sources(query: str) -> list[str]:
    """Each call that reads files, up to its closing parenthesis."""
    return re.findall(r"read_parquet\([^()]*\)", query)


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> pathlib.Path:
    """With the table of CONTRIBUTING.md as well."""
    own = blocks((ROOT / "CONTRIBUTING.md").read_text(), "toml")[0]
    return make(tmp_path_factory.mktemp("pages"), [*TABLES, "model_limits"], {"admin/model_limits.toml": own})


def in_place(text: str, lake: pathlib.Path) -> str:
    """`lake/` and `demo-lake/` of the pages are the lake, wherever the command began."""
    return re.sub(r"'[^' ]*?(demo-)?lake/", f"'{lake}/", text)


def run(query: str, lake: pathlib.Path) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE answer AS {in_place(query, lake)}")
        assert sources(query), query
        for source in sources(query):
            found = connection.execute(f"SELECT count(later) FROM {in_place(source, lake)}").fetchone()
            assert found[0] > 0, f"{source} does not know the new column"


@pytest.mark.parametrize("page, query", of_pages(), ids=lambda value: re.sub(r"\W+", " ", value)[:60])
def test_a_query_of_a_page_sees_both_versions(page, query, lake):
    run(query, lake)


def test_the_queries_of_the_demo_see_both_versions(lake, tmp_path):
    found = queries(demo(tmp_path))
    assert len(found) == 2
    for query in found:
        run(query, lake)


def test_each_glob_is_in_a_query_that_was_run():
    """No page shows a glob to DuckDB in a way that this file does not find."""
    assert len(of_pages()) >= 7
    for page in PAGES:
        text = "\n".join(blocks(page.read_text(), "sql"))
        globs = [found for found in re.findall(r"'[^']*\*[^']*\.parquet'", text) if not found.startswith("'gs:")]
        run_here = "\n".join(query for where, query in of_pages() if where == str(page.relative_to(ROOT)))
        assert all(found in run_here for found in globs), page
        assert all("union_by_name = true" in source for source in sources(text)), page
