"""Any JSON type in the place of any member: the row says so, the report counts it, and --strict makes it an error."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest

from conftest import command, spec, sync
from reliability import record
from scripted import Answer, Scripted, page, user
from test_buckets import COSTS, ago, bucket, buckets, name, result, since, warnings
from truth import canonical_json, lake_rows, parse


@pytest.fixture
def server():
    with Scripted() as running:
        yield running


@pytest.fixture
def dest(tmp_path):
    return tmp_path / "lake"


def canonical(value) -> str:
    """`_extra` as the tests read it."""
    return canonical_json(parse(json.dumps(value)))


ODD = {"a number": 12.5, "a string": "12.5", "a boolean": True, "a list": [12.5], "an empty list": [], "an empty string": ""}


@pytest.mark.parametrize("odd", ODD)
def test_a_value_where_an_object_is_expected_is_a_mismatch_of_each_column_inside(server, dest, odd):
    wrong = {**result(10, "b"), "amount": ODD[odd]}
    server.answers[COSTS] = [buckets(bucket(ago(1), result(10, "a"), wrong))]
    run = sync(dest, server, *since(ago(1)))
    rows = {row["line_item"]: row for row in lake_rows(dest, spec("costs"))}
    assert rows["a"]["amount"] == Decimal(10) and rows["a"]["_extra"] is None
    assert rows["b"]["amount"] is None and rows["b"]["currency"] is None
    assert rows["b"]["_extra"] == canonical({"amount": ODD[odd]})
    table = run.table("costs")
    assert table["misfits"] == 2 and len(warnings(run)) == 2
    for column, text in zip(("amount", "currency"), warnings(run)):
        assert text.startswith(f"`{column}`") and "/data/0/results/1/amount: expected object" in text and column in run.err
    strict = sync(dest, server, *since(ago(1), "--strict"), code=3)
    assert "expected object" in strict.table("costs")["error"]["message"]
    record(f"{odd} where an object is expected", "the amount of one of two results of costs", "nothing",
           "both columns inside are null, the value is in `_extra`, two mismatches are told", "the same; an error with --strict")


def test_null_in_the_place_of_an_object_is_null(server, dest):
    server.answers[COSTS] = [buckets(bucket(ago(1), {**result(1), "amount": None}))]
    run = sync(dest, server, *since(ago(1), "--strict"))
    assert run.table("costs")["misfits"] == 0 and warnings(run) == []


def test_mismatches_far_inside_and_under_a_column_of_the_same_member(server, dest):
    odd = user("user-1", user="x", projects=5)
    server.answers["/organization/users"] = [page(odd, user("user-2"))]
    run = sync(dest, server, "--tables", "users")
    inside = [column for column in spec("users")["columns"] if str(column.get("from", "")).startswith(("/user/", "/projects/"))]
    assert inside and run.table("users")["misfits"] == len(inside)
    row = next(row for row in lake_rows(dest, spec("users")) if row["id"] == "user-1")
    assert row["_extra"] == canonical({"user": "x", "projects": 5})
    sync(dest, server, "--tables", "users", "--strict", code=3)


@pytest.mark.parametrize("wrong", [5, "x", True, {"a": 1}, [5], ["x"], [None], [[]]], ids=json.dumps)
@pytest.mark.parametrize("place", ["data", "results"])
def test_a_list_of_something_else_is_an_error_and_the_lake_as_it_was(server, dest, place, wrong):
    server.answers[COSTS] = [buckets(bucket(ago(1), result(1)))]
    sync(dest, server, *since(ago(1)))
    before = lake_rows(dest, spec("costs"))
    odd = {"object": "page", "data": wrong, "has_more": False} if place == "data" else {
        "object": "page", "data": [bucket(ago(1), results=wrong)], "has_more": False}
    server.answers[COSTS] = [Answer(odd)]
    sync(dest, server, *since(ago(1)), code=3)
    assert lake_rows(dest, spec("costs")) == before


@pytest.mark.parametrize("odd", [12.5, None, "n/a"], ids=json.dumps)
def test_an_amount_that_is_not_known_is_never_equal(server, dest, odd):
    """The sums are the same to the last digit, and nobody knows what the other result cost."""
    wrong = {**result(0, "b"), "amount": odd} if not isinstance(odd, str) else result(odd, "b")
    server.answers[COSTS] = [buckets(bucket(ago(2), result(10, "a"), wrong))]
    sync(dest, server, *since(ago(2), table="costs,costs_totals"))
    run = command("verify", "--totals", "--dest", dest, "--tolerance", "1000000", code=4)
    assert name(ago(2)) in run.out and "equal to the last digit" not in run.err and "without an amount" in run.out + run.err
    told = json.loads(command("verify", "--totals", "--dest", dest, "--format", "json", code=4).out)
    differences = [one for one in told["differences"] if one["day"] == name(ago(2))]
    assert differences and all(one["exceeds"] for one in differences)
    assert {(one["grouped_unknown"], one["ungrouped_unknown"]) for one in differences} >= {(1, 1)}


# ---- log files ------------------------------------------------------------------------------------------------


class Logs:
    """Lists and files of the compliance API's logs of one workspace."""

    PATH = "/compliance/organizations/org-shapes/logs"

    def __init__(self, server: Scripted):
        self.server = server

    def env(self, **more: str) -> dict[str, str]:
        base = self.server.env()["OPENAI_BASE_URL"]
        return {"CHATGPT_BASE_URL": base, "CHATGPT_COMPLIANCE_KEY": "sk-compliance-shapes-55aa", "CHATGPT_WORKSPACE_IDS": "0a1b2c3d-0000-4000-8000-00000000000a",
                "OPENAI_ORGANIZATION_ID": "org-shapes", **more}

    def has(self, *lines) -> None:
        moment = datetime.now(timezone.utc) - timedelta(hours=6)
        listed = {"id": "log-1", "end_time": f"{moment:%Y-%m-%dT%H:%M:%SZ}", "event_type": "COSTS"}
        self.server.answers[self.PATH] = [Answer({"object": "list", "data": [listed], "has_more": False, "last_end_time": None})]
        self.server.answers[f"{self.PATH}/log-1"] = [Answer("\n".join(map(json.dumps, lines)))]


def event(id: str, **more) -> dict:
    return {"event_id": id, "timestamp": f"{datetime.now(timezone.utc) - timedelta(hours=7):%Y-%m-%dT%H:%M:%SZ}", "type": "COSTS", **more}


def test_a_line_whose_payload_is_no_object_is_counted(server, dest):
    logs = Logs(server)
    logs.has(event("e-1", payload={}), event("e-2", payload="gone"), 5, event("e-3", payload=[1]))
    run = sync(dest, logs, "--tables", "log_costs,log_cost_billing", code={0, 2})
    rows = {row["event_id"]: row for row in lake_rows(dest, spec("log_costs"))}
    assert set(rows) == {"e-1", "e-2", "e-3"}
    table = run.table("log_costs")
    assert table["misfits"] > 0 and table["warnings"]
    assert any("an object was expected" in skipped["reason"] for skipped in table["skipped"]), "the line that is a number"


@pytest.mark.parametrize("wrong", [None, 5, "x", {}], ids=json.dumps)
def test_a_list_of_files_that_is_none_is_an_error(server, dest, wrong):
    logs = Logs(server)
    logs.has(event("e-1"))
    server.answers[logs.PATH] = [Answer({"object": "list", "data": wrong, "has_more": False, "last_end_time": None})]
    run = sync(dest, logs, "--tables", "log_costs", code=3)
    assert "/data" in run.table("log_costs")["error"]["message"]
