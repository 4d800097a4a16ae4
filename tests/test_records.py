"""Each value of a documented record is in the lake: in its column, in a json column or in `_extra`.

`fixtures/records/<table>.json` holds records of the shapes that the API's documents show for a table, with values of
our own. (For log files the same is shown with `fixtures/events/`, in test_log_files.py.)
"""

import json
import pathlib

import pytest

import truth
from conftest import spec, sync
from scripted import Answer, Scripted
from test_log_files import lost
from truth import lake_rows

RECORDS = pathlib.Path(__file__).parent / "fixtures/records"
PROJECT = "proj_records"


@pytest.mark.parametrize("name", sorted(path.stem for path in RECORDS.glob("*.json")))
def test_each_value_of_a_record_is_in_the_lake(tmp_path, name):
    table, text = spec(name), (RECORDS / f"{name}.json").read_text()
    records = truth.parse(text)
    with Scripted() as server:
        server.answers[table["request"]["path"]] = [
            Answer({"object": "list", "data": json.loads(text), "has_more": False, "last_id": None, "next": None})
        ]
        keys = {"OPENAI_PROJECT_KEYS": f"{PROJECT}=sk-proj-records-19ac"}
        base = server.env()["OPENAI_BASE_URL"]
        source = Source({"OPENAI_BASE_URL": base, **keys}) if table["surface"] == "project" else server
        run = sync(tmp_path / "lake", source, "--tables", name)
    assert run.table(name)["misfits"] == 0, run.table(name)["warnings"]
    rows = lake_rows(tmp_path / "lake", table)
    assert len(rows) == len(records)
    for record in records:
        [row] = [row for row in rows if row["id"] == str(record["id"])]
        if name == "audit_logs":  # what the event is about is named by its type
            assert json.loads(row["details"]) == record.pop(record["type"])
        assert lost(table, row, record) == []


class Source:
    """A key of a project and where it is good."""

    def __init__(self, variables: dict[str, str]):
        self.variables = variables

    def env(self, **more: str) -> dict[str, str]:
        return {**self.variables, **more}
