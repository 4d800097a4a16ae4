"""A table is one TOML file: it is added, or replaced, without touching the program.

And a mistake in such a file is told with file, line, caret and what was probably meant, before anything starts.
"""

import json
import re

import pyarrow.parquet as pq
import pytest

import truth
from conftest import command, objects, spec, sync
from truth import lake_rows, true_rows

PEOPLE = """\
# people: the users of the organization, three columns of them.
doc = "One person, in brief."
key = ["id"]

[request]
path  = "/organization/users"
rows  = ["/data"]

[paging]
send  = "after"
from  = "/last_id"
last  = "/id"
while = "/has_more"
size  = { limit = 5 }

[columns]
id       = { type = "string",    doc = "User id." }
mail     = { type = "string",    from = "/email", doc = "Where to write to." }
added_at = { type = "timestamp", doc = "Since when." }
"""

LIMITS = """\
# A child of a built-in table.
doc = "One rate limit of a project, as JSON."
key = ["project_id", "id"]

[request]
path = "/organization/projects/{projects.id}/rate_limits"
rows = ["/data"]

[paging]
send  = "after"
last  = "/id"
while = "/has_more"
size  = { limit = 100 }

[columns]
project_id = { type = "string", from = "{projects.id}", doc = "Whose limit." }
id         = { type = "string", doc = "Which limit." }
whole      = { type = "json",   from = "", doc = "All of it." }
"""


@pytest.fixture
def schemas(tmp_path):
    """Writes table files into a folder for `--schemas`."""

    def write(**files: str):
        folder = tmp_path / "schemas"
        (folder / "admin").mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / "admin" / f"{name}.toml").write_text(text)
        return folder

    return write


def tables_with(folder, format="json") -> str:
    return command("tables", "--schemas", folder, "--format", format, code=0).out


def test_a_new_table_is_in_the_lake(simulator, tmp_path, schemas):
    folder, dest = schemas(people=PEOPLE, limits=LIMITS), tmp_path / "lake"
    report = sync(dest, simulator, "--schemas", folder, "--tables", "people,limits").report
    people = next(table for table in json.loads(tables_with(folder)) if table["name"] == "people")
    rows, true = lake_rows(dest, people), true_rows(spec("users"), simulator.truth("users"))
    assert sorted((row["id"], row["mail"], row["added_at"]) for row in rows) == sorted(
        (row["id"], row["email"], row["added_at"]) for row in true
    )
    assert all("role" in row["_extra"] for row in rows), "what no column covers is kept"
    assert report["tables"]["people"]["requests"] == -(-len(true) // 5), "pages of 5, as the file says"

    limits = next(table for table in json.loads(tables_with(folder)) if table["name"] == "limits")
    rows = lake_rows(dest, limits)
    wanted = [(line["parents"]["projects.id"], truth.canonical_json(line["record"]))
              for line in map(truth.parse, simulator.truth("project_rate_limits"))]
    assert sorted((row["project_id"], row["whole"]) for row in rows) == sorted(wanted)


def test_a_new_table_is_in_the_catalog_and_in_the_docs(schemas):
    folder = schemas(people=PEOPLE)
    people = next(table for table in json.loads(tables_with(folder)) if table["name"] == "people")
    assert (people["surface"], people["key"], people["policy"]) == ("admin", ["id"], "snapshot")
    assert [column["name"] for column in people["columns"]] == ["id", "mail", "added_at", "_synced_at", "_extra", "_deleted"]
    markdown = tables_with(folder, "markdown")
    for said in ("people", "One person, in brief.", "mail", "Where to write to."):
        assert said in markdown
    assert "people" not in [table["name"] for table in json.loads(command("tables", "--format", "json", code=0).out)]


def test_a_file_replaces_the_built_in_table(simulator, tmp_path, schemas):
    folder, dest = schemas(users=PEOPLE), tmp_path / "lake"
    sync(dest, simulator, "--schemas", folder, "--tables", "users")
    (path,) = objects(dest, "users")
    assert pq.read_schema(path).names == ["id", "mail", "added_at", "_synced_at", "_extra", "_deleted"]
    assert len([table for table in json.loads(tables_with(folder)) if table["name"] == "users"]) == 1


def test_a_column_of_a_later_version_goes_to_the_end(simulator, tmp_path, schemas):
    """Old rows keep their values and get null in the new column; loading by position goes on working."""
    dest = tmp_path / "lake"
    sync(dest, simulator, "--schemas", schemas(people=PEOPLE), "--tables", "people")
    first = truth.lake_rows(dest, {"name": "people", "columns": [], "slices": None})
    gone = sorted(row["id"] for row in first)[0]
    keep = [line for line in map(truth.parse, simulator.truth("users")) if line["record"]["id"] != gone]
    body = json.dumps({"object": "list", "data": [line["record"] for line in keep], "has_more": False, "last_id": None})
    simulator.fault("/organization/users", status=200, body=body)
    newer = PEOPLE + 'role = { type = "string", since = 2, doc = "Since version 2." }\n'
    sync(dest, simulator, "--schemas", schemas(people=newer), "--tables", "people")
    (path,) = objects(dest, "people")
    file = pq.ParquetFile(path)
    assert file.schema_arrow.names == ["id", "mail", "added_at", "_synced_at", "_extra", "_deleted", "role"]
    assert file.metadata.metadata[b"openai_elt.schema_version"] == b"2"
    rows = {row["id"]: row for row in file.read().to_pylist()}
    assert rows[gone]["_deleted"] is True and rows[gone]["role"] is None
    assert all(row["role"] for name, row in rows.items() if name != gone)


def changed(old: str, new: str, text: str = PEOPLE) -> str:
    assert old in text
    return text.replace(old, new)


NEWEST = changed("[columns]", '[newest_first]\nby = "added_at"\nfinal = { mail = ["a"] }\n\n[columns]')
UNCHANGED = changed("[columns]", '[unchanged]\nsince = "created_at"\n\n[columns]', LIMITS)

MISTAKES = {
    "an unknown key": (changed("doc = \"One", "docs = \"One"), "docs", "doc"),
    "an unknown key of the request": (changed("rows  =", "row   ="), "row", "rows"),
    "an unknown key of paging": (changed("while =", "whille ="), "whille", "while"),
    "an unknown key of a column": (changed('from = "/email"', 'form = "/email"'), "form", "from"),
    "an unknown type": (changed('mail     = { type = "string"', 'mail     = { type = "sting"'), "sting", "string"),
    "an unknown key of the newest first": (NEWEST.replace("final =", "finals ="), "finals", "final"),
    "a moment of the newest first that is no column": (NEWEST.replace('by = "added_at"', 'by = "added"'), "added", "added_at"),
    "a moment of the parent that it does not have": (UNCHANGED.replace("created_at", "createdat"), "createdat", "created_at"),
    "an unknown policy": (changed('key = ["id"]', 'key = ["id"]\npolicy = "snapshots"'), "snapshots", "snapshot"),
    "an unknown parent": (changed("projects.id", "project.id", LIMITS), "project", "projects"),
    "an unknown column of the parent": (changed("projects.id", "projects.ids", LIMITS), "ids", "id"),
    "a key that is no column": (changed('key = ["id"]', 'key = ["idd"]'), "idd", "id"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_typo_is_shown_with_its_place_and_the_nearest_word(schemas, mistake):
    text, typed, meant = MISTAKES[mistake]
    run = command("tables", "--schemas", schemas(mine=text), code=1)
    assert run.out == ""
    assert_caret(run.err, text, typed)
    assert f"`{meant}`" in run.err.replace('"', "`"), f"the nearest word is not suggested:\n{run.err}"


def assert_caret(message: str, text: str, typed: str) -> None:
    """`path:line:column`, the line as it stands in the file, and a caret under the place."""
    place = re.search(r"admin/mine\.toml:(\d+):(\d+)", message)
    assert place, message
    line, column = int(place[1]), int(place[2])
    written = text.splitlines()[line - 1]
    assert typed in written, f"line {line} is not where the mistake is:\n{message}"
    shown = message.splitlines()
    at = next(index for index, shown_line in enumerate(shown) if shown_line.endswith(written))
    caret = shown[at + 1]
    offset = len(shown[at]) - len(written)
    assert caret.strip(" |0123456789").startswith("^"), message
    assert caret.index("^") - offset == column - 1, f"the caret is not under column {column}:\n{message}"


OTHER_MISTAKES = {
    "no paging": (PEOPLE[: PEOPLE.index("[paging]")] + PEOPLE[PEOPLE.index("[columns]"):], "paging"),
    "no columns": (PEOPLE[: PEOPLE.index("[columns]")], "columns"),
    "a column without doc": (changed(', doc = "Since when."', ""), "doc"),
    "a reserved column": (PEOPLE + '_deleted = { type = "bool", doc = "Mine." }\n', "_deleted"),
    "a column in upper case": (PEOPLE + 'Role = { type = "string", doc = "Role." }\n', "Role"),
    "a column twice": (PEOPLE + 'mail = { type = "string", doc = "Again." }\n', "mail"),
    "a pointer without slash": (changed('"/email"', '"email"'), "email"),
    "not TOML": (changed("[columns]", "[columns"), "mine.toml"),
    "an empty file": ("", "doc"),
    "newest first by a text": (NEWEST.replace('by = "added_at"', 'by = "mail"'), "timestamp"),
    "newest first in several passes": (changed("[request]\n", "[request]\npasses = [{}, { all = true }]\n", NEWEST), "passes"),
    "a full pass of what is always read whole": (changed('key = ["id"]', 'key = ["id"]\nfull_every = "1d"'), "full_every"),
    "an unchanged parent where there is none": (changed("[columns]", '[unchanged]\nsince = "added_at"\n\n[columns]'), "parent"),
    "an unchanged parent known by a text": (UNCHANGED.replace("created_at", "name"), "timestamp"),
    "a child without its parent's column": (changed('project_id = { type = "string", from = "{projects.id}", doc = "Whose limit." }\n', "", LIMITS).replace('"project_id", ', ""), "projects.id"),
    "its own parent": (changed("{projects.id}", "{mine.id}", LIMITS), "parent"),
}


@pytest.mark.parametrize("mistake", OTHER_MISTAKES)
def test_a_file_that_says_too_little_or_too_much_is_refused(schemas, mistake):
    text, said = OTHER_MISTAKES[mistake]
    run = command("tables", "--schemas", schemas(mine=text), code=1)
    assert "mine.toml" in run.err and said in run.err, run.err


def test_a_mistake_stops_a_sync_before_it_starts(simulator, tmp_path, schemas):
    dest = tmp_path / "lake"
    sync(dest, simulator, "--schemas", schemas(mine=PEOPLE.replace("rows", "row ")), code=1)
    assert simulator.requests() == [] and not dest.exists()


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.write_text("x"), lambda path: path.mkdir()],
                         ids=["missing", "a file", "empty"])
def test_a_schemas_folder_that_is_none(tmp_path, make):
    folder = tmp_path / "nowhere"
    make(folder)
    run = command("tables", "--schemas", folder, code=1)
    assert "--schemas" in run.err and "nowhere" in run.err


def test_a_file_in_a_folder_that_is_no_surface(tmp_path):
    (tmp_path / "s/admn").mkdir(parents=True)
    (tmp_path / "s/admn/people.toml").write_text(PEOPLE)
    run = command("tables", "--schemas", tmp_path / "s", code=1)
    assert "admn" in run.err and "admin" in run.err
