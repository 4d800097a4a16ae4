"""Buckets of days: what a response says of each requested day, and what the lake holds of it afterwards.

A day with a bucket is replaced, also by nothing; a day without a bucket was not answered and keeps its rows; a bucket
of another day changes nothing; a bucket whose day is unknown is an error. Nothing is there twice.
"""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest

from conftest import command, contents, settled, spec, sync
from reliability import ANSWERS, TIME, record
from scripted import Answer, Scripted
from truth import lake_rows

COSTS = "/organization/costs"
DAY = 86_400
WORKSPACE = "0a1b2c3d-0000-4000-8000-00000000000a"
OTHER = "0a1b2c3d-0000-4000-8000-00000000000b"


@pytest.fixture
def server():
    with Scripted() as running:
        yield running


@pytest.fixture
def dest(tmp_path):
    return tmp_path / "lake"


def today() -> datetime:
    return datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)


def ago(days: int) -> datetime:
    return today() - timedelta(days=days)


def name(day: datetime) -> str:
    return f"{day:%Y-%m-%d}"


def result(amount, item: str = "item", **more) -> dict:
    return {"object": "organization.costs.result", "amount": {"value": amount, "currency": "usd"}, "line_item": item,
            "project_id": "proj_1", **more}


def bucket(day: datetime, *results: dict, unit: float = 1, **more) -> dict:
    start = int(day.timestamp())
    return {"object": "bucket", "start_time": int(start * unit), "end_time": int((start + DAY) * unit), "results": list(results), **more}


def buckets(*items: dict, next_page: str | None = None) -> Answer:
    return Answer({"object": "page", "data": list(items), "has_more": next_page is not None, "next_page": next_page})


def inside(*items: dict):
    """Answers with those buckets that were requested, as the API does, and nothing of other days."""

    def answer(asked):
        start, end = int(asked.one("start_time")), int(asked.one("end_time"))
        return buckets(*(item for item in items if start <= item["start_time"] < end))

    return answer


def warnings(run, table: str = "costs") -> list[str]:
    """All but that --since leaves out what is older."""
    return [text for text in run.table(table)["warnings"] if "--full-refresh reads it" not in text]


def amounts(dest, table: str = "costs") -> Counter:
    """(day, amount) of each row in the lake, and how often."""
    day = lambda row: name(datetime.fromtimestamp(row["start_time"] / 1e6, timezone.utc))
    return Counter((day(row), str(row["amount"].normalize())) for row in lake_rows(dest, spec(table)))


def since(day: datetime, *more: str, table: str = "costs") -> tuple:
    return ("--tables", table, "--since", name(day), *more)


def known(server, dest, days: int = 4) -> Counter:
    """A lake with one amount on each of these days."""
    server.answers[COSTS] = [inside(*(bucket(ago(n), result(n + 1)) for n in range(days)))]
    sync(dest, server, *since(ago(days - 1)))
    held = amounts(dest)
    assert len(held) == days
    return held


# ---- a day that is not known -------------------------------------------------------------------------------

UNKNOWN = {
    "in milliseconds": dict(unit=1_000),
    "in microseconds": dict(unit=1_000_000),
    "in minutes": dict(unit=1 / 60),
    "in days": dict(unit=1 / DAY),
    "null": dict(start_time=None),
    "a word": dict(start_time="today"),
    "an object": dict(start_time={"unix": 1}),
    "a boolean": dict(start_time=True),
    "negative": dict(start_time=-1, end_time=86_399),
    "of the far future": dict(start_time=253_402_300_800),
    "of the year 2200": dict(start_time=7_258_118_400, end_time=7_258_204_800),
}


@pytest.mark.parametrize("with_rows", [True, False], ids=["with results", "without results"])
@pytest.mark.parametrize("fault", UNKNOWN)
@pytest.mark.parametrize("flags", [(), ("--full-refresh",)], ids=["lookback", "full refresh"])
def test_known_days_stay_when_the_day_of_a_bucket_is_unknown(server, dest, fault, with_rows, flags):
    held, before = known(server, dest), contents(dest / "costs")
    cursor = settled(dest, "costs")
    rows = lambda n: [result(100 + n), result(200 + n, "more")] if with_rows else []
    server.answers[COSTS] = [buckets(*(bucket(ago(n), *rows(n), **UNKNOWN[fault]) for n in range(4)))]
    run = sync(dest, server, *since(ago(3), *flags), code=3)
    error = run.table("costs")["error"]
    assert error["cure"] and "start_time" in error["message"] + error["cure"]
    assert warnings(run) == [], "nothing was written, so there is nothing to say of what was"
    assert amounts(dest) == held and contents(dest / "costs") == before
    assert settled(dest, "costs") == cursor
    server.answers[COSTS] = [inside(*(bucket(ago(n), result(n + 11)) for n in range(4)))]
    sync(dest, server, *since(ago(3), *flags))
    assert amounts(dest) == Counter({(name(ago(n)), str(Decimal(n + 11).normalize())): 1 for n in range(4)})
    record(f"costs whose `start_time` is {fault}", f"every bucket of four known days {'with' if with_rows else 'without'} results",
           "4 amounts of 4 days", "as before; exit 3", "a healthy sync gave the truth", TIME)


def test_a_bucket_that_does_not_say_its_day_fails_the_table_although_others_do(server, dest):
    before = (known(server, dest), contents(dest / "costs"))
    for wrong in (bucket(ago(2), result(7), start_time=None), {"object": "bucket", "results": [result(7)]}):
        server.answers[COSTS] = [buckets(bucket(ago(3), result(1)), wrong, bucket(ago(1), result(3)))]
        run = sync(dest, server, *since(ago(3)), code=3)
        assert "/data/1" in run.table("costs")["error"]["message"]
        assert (amounts(dest), contents(dest / "costs")) == before


@pytest.mark.parametrize("table", ["usage_completions", "costs_totals"])
def test_the_day_of_a_bucket_of_any_table_must_be_known(server, dest, table):
    path = spec(table)["request"]["path"]
    row = lambda n: {"object": "r", "input_tokens": n, "num_model_requests": n, "amount": {"value": n, "currency": "usd"}}
    server.answers[path] = [buckets(bucket(ago(1), row(1)))]
    sync(dest, server, *since(ago(1), table=table))
    before = contents(dest / table)
    server.answers[path] = [buckets(bucket(ago(1), row(2), unit=1_000))]
    sync(dest, server, *since(ago(1), table=table), code=3)
    assert contents(dest / table) == before


def test_a_bucket_of_several_days_is_no_day(server, dest):
    """A week's amounts on its first day, beside the old rows of the others: everything would be there twice."""
    held = known(server, dest)
    server.answers[COSTS] = [buckets(bucket(ago(3), result(99), end_time=int(today().timestamp())))]
    run = sync(dest, server, *since(ago(3)), code=3)
    assert "3.0 days" in run.table("costs")["error"]["message"] and amounts(dest) == held


# ---- days without a bucket -----------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [(), ("--full-refresh",)], ids=["lookback", "full refresh"])
def test_a_day_that_the_answer_does_not_mention_keeps_its_rows(server, dest, flags):
    held = known(server, dest)
    missing = ago(2)
    server.answers[COSTS] = [inside(*(bucket(ago(n), result(n + 11)) for n in (3, 1, 0)))]
    run = sync(dest, server, *since(ago(3), *flags))
    kept = (name(missing), "3")
    assert held[kept] == 1 and amounts(dest) == Counter({kept: 1, **{(name(ago(n)), str(Decimal(n + 11).normalize())): 1 for n in (3, 1, 0)}})
    assert run.table("costs")["unanswered_days"] == [name(missing)]
    assert name(missing) in run.err and any(name(missing) in text for text in run.table("costs")["warnings"])
    before = contents(dest / "costs")
    strict = sync(dest, server, *since(ago(3), "--strict", *flags), code=3)
    assert name(missing) in strict.table("costs")["error"]["message"] and contents(dest / "costs") == before
    # What the hint says helps.
    sync(dest, server, *since(ago(3), *flags))
    record("costs for four days answer three buckets", "`has_more` is false, one day is not mentioned", "4 amounts of 4 days",
           "the day that was not mentioned keeps its amount, the others are new; a warning names it",
           "as during; with --strict an error and nothing changes")


def test_a_day_with_a_bucket_and_no_results_is_empty(server, dest):
    known(server, dest)
    server.answers[COSTS] = [inside(bucket(ago(3), result(1)), bucket(ago(2)), bucket(ago(1)), bucket(ago(0), result(2)))]
    run = sync(dest, server, *since(ago(3), "--strict"))
    assert amounts(dest) == Counter({(name(ago(3)), "1"): 1, (name(ago(0)), "2"): 1})
    assert run.table("costs")["unanswered_days"] == [] and warnings(run) == []


def test_a_source_that_never_mentions_empty_days_makes_no_noise(server, dest):
    busy = [bucket(ago(n), result(n + 1)) for n in (9, 5, 1)]
    server.answers[COSTS] = [inside(*busy)]
    for flags in ((), ("--strict",), ("--full-refresh", "--strict")):
        run = sync(dest, server, "--tables", "costs", *flags, config='[tables.costs]\nhistory = "10d"\n')
        assert warnings(run) == [] and run.table("costs")["unanswered_days"] == []
    assert sum(amounts(dest).values()) == 3


def test_the_cursor_waits_two_weeks_for_a_day_that_was_not_answered(server, dest):
    """A hole in the middle of what was answered: the day is requested again, and found when the source has it."""
    all_days = [bucket(ago(n), result(n + 1)) for n in range(30)]
    missing = ago(10)
    server.answers[COSTS] = [inside(*(b for b in all_days if b["start_time"] not in (int(missing.timestamp()), int(ago(25).timestamp()))))]
    config = '[tables.costs]\nhistory = "29d"\n'
    for _ in range(2):
        sync(dest, server, "--tables", "costs", config=config)
        assert settled(dest, "costs").startswith(name(missing)), "held by the hole of ten days ago, not by the older one"
    server.answers[COSTS] = [inside(*all_days)]
    sync(dest, server, "--tables", "costs", config=config)
    assert settled(dest, "costs").startswith(name(today()))
    assert len(amounts(dest)) == 29 + 1 - 1, "all but the hole that is older than two weeks"


# ---- rows that are the same ----------------------------------------------------------------------------------------


def test_two_results_of_one_bucket_that_are_equal_are_both_meant(server, dest):
    server.answers[COSTS] = [buckets(bucket(ago(1), result(5), result(10), result(5)))]
    run = sync(dest, server, *since(ago(1)))
    assert amounts(dest) == Counter({(name(ago(1)), "5"): 2, (name(ago(1)), "1E+1"): 1})
    assert any("all were kept" in text for text in run.table("costs")["warnings"]) and "all were kept" in run.err
    assert run.table("costs")["repeated"] == 0
    command("verify", "--dest", dest, code=0)


def test_a_bucket_or_a_page_that_comes_again_is_money_once_and_told(server, dest):
    whole = bucket(ago(1), result(5), result(10), result(5))
    pages = [buckets(whole, whole, next_page="two"), buckets(whole, next_page="three"), buckets(bucket(ago(1), result(5)))]
    server.answers[COSTS] = pages
    run = sync(dest, server, *since(ago(1)))
    assert amounts(dest) == Counter({(name(ago(1)), "5"): 2, (name(ago(1)), "1E+1"): 1})
    assert run.table("costs")["repeated"] == 7
    assert any("dropped 7 rows" in text for text in run.table("costs")["warnings"]) and "dropped 7 rows" in run.err
    record("results of costs that are equal in every value", "twice in one bucket, and that bucket three times and a half", "nothing",
           "20 dollars", "20 dollars: one bucket's equal results are all kept, a bucket that comes again is dropped; both are told")


def test_equal_rows_are_seen_across_batches(server, dest):
    many = [result(1, f"item {n}") for n in range(9_000)]
    twins = [*many, result(1, "item 0"), result(1, "item 8999"), result(1, "item 0")]
    server.answers[COSTS] = [buckets(bucket(ago(1), *twins), next_page="again"), buckets(bucket(ago(1), *twins, result(1, "item 0")))]
    run = sync(dest, server, *since(ago(1)))
    found = Counter(row["line_item"] for row in lake_rows(dest, spec("costs")))
    assert (found["item 0"], found["item 8999"], found["item 1"]) == (4, 2, 1) and sum(found.values()) == 9_004
    assert run.table("costs")["repeated"] == 9_003


def test_totals_notice_a_repetition_that_was_meant(server, dest):
    """Where a page break falls between two equal results one of them is dropped: the ungrouped costs show it."""
    both = [buckets(bucket(ago(2), result(5)), next_page="two"), buckets(bucket(ago(2), result(5)))]
    server.answers[COSTS] = [lambda asked: (both[1 if asked.one("page") else 0] if "group_by" in asked.raw else buckets(bucket(ago(2), result(10))))]
    run = sync(dest, server, *since(ago(2), table="costs,costs_totals"))
    assert run.table("costs")["repeated"] == 1 and run.table("costs")["warnings"]
    shown = command("verify", "--totals", "--dest", dest, code=4)
    assert name(ago(2)) in shown.out


# ---- any of it -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_any_days_missing_repeated_or_foreign_give_the_rows_of_the_model(server, dest, seed):
    """Five syncs of eight days each; any day can be missing, empty, there twice, on two pages, or not asked for."""
    chance = random.Random(seed)
    model: dict[str, Counter] = {}
    for turn in range(5):
        asked_days = [ago(n) for n in range(8)]
        items, told = [], {}
        for number, day in enumerate(asked_days):
            fate = chance.choice(["missing", "empty", "full", "full", "twice", "equal"])
            rows = [] if fate == "empty" else [result(turn * 100 + number * 10 + k, f"i{k}") for k in range(chance.randint(1, 3))]
            rows += rows[:1] if fate == "equal" else []
            if fate != "missing":
                told[name(day)] = Counter(str(Decimal(row["amount"]["value"]).normalize()) for row in rows)
                items += [bucket(day, *rows)] * (2 if fate == "twice" else 1)
        foreign = [bucket(ago(chance.choice([20, 300, -5])), result(9_999)) for _ in range(chance.randint(0, 2))]
        if not told:
            foreign = []
        everything = [*items, *foreign]
        chance.shuffle(everything)
        cut = chance.randint(1, len(everything)) if everything else 0  # an empty page ends the list
        repeated = everything[max(0, cut - 1):cut]  # pages that overlap by a bucket
        flags = chance.choice([(), ("--full-refresh",)])
        server.answers[COSTS] = [buckets(*everything[:cut], next_page="two" if cut else None), buckets(*repeated, *everything[cut:])]
        # One window: the first sync would cut it, as it does not know yet how large days are.
        run = sync(dest, server, *since(ago(7), *flags), config="") if turn else one_window(dest, server, everything)
        unanswered = sorted(day for day in map(name, asked_days) if day not in told and sum(model.get(day, Counter()).values()))
        assert run.table("costs")["unanswered_days"] == unanswered
        model |= told
        assert amounts(dest) == Counter({(day, amount): n for day, rows in model.items() for amount, n in rows.items()})
        command("verify", "--dest", dest, code=0)


def one_window(dest, server, items):
    """The first sync of many days asks for three of them first: each request gets what it asked for, and the foreign ones."""
    known_days = {int(ago(n).timestamp()) for n in range(8)}

    def answer(asked):
        start, end = int(asked.one("start_time")), int(asked.one("end_time"))
        return buckets(*(i for i in items if start <= i["start_time"] < end or i["start_time"] not in known_days))

    server.answers[COSTS] = [answer]
    return sync(dest, server, *since(ago(7)))


# ---- sources that leave empty days out, and several of them ------------------------------------------------------------


class Codex:
    """Two workspaces of Codex analytics."""

    def __init__(self, server: Scripted):
        self.server = server

    def env(self, **more: str) -> dict[str, str]:
        base = self.server.env()["OPENAI_BASE_URL"]
        return {"CHATGPT_BASE_URL": base, "CODEX_ANALYTICS_KEY": "sk-codex-buckets-71ab", "CHATGPT_WORKSPACE_IDS": f"{WORKSPACE},{OTHER}", **more}

    def says(self, workspace: str, *rows: dict) -> None:
        self.server.answers[f"/analytics/codex/workspaces/{workspace}/code_reviews"] = [
            Answer({"object": "page", "data": list(rows), "has_more": False})
        ]


def review(day: datetime, count: int, **more) -> dict:
    start = int(day.timestamp())
    return {"object": "workspace.code_reviews.result", "start_time": start, "end_time": start + DAY, "number_of_prs_reviewed": count, **more}


def reviews(dest) -> Counter:
    found = lake_rows(dest, spec("codex_code_reviews"))
    day = lambda row: name(datetime.fromtimestamp(row["start_time"] / 1e6, timezone.utc))
    return Counter((row["workspace_id"], day(row)) for row in found)


def test_each_workspace_answers_for_its_own_days(server, dest):
    codex = Codex(server)
    flags = ("--tables", "codex_code_reviews", "--since", name(ago(2)))
    codex.says(WORKSPACE, review(ago(2), 1), review(ago(1), 2))
    codex.says(OTHER, review(ago(2), 3))
    run = sync(dest, codex, *flags)
    both = Counter({(WORKSPACE, name(ago(2))): 1, (WORKSPACE, name(ago(1))): 1, (OTHER, name(ago(2))): 1})
    assert reviews(dest) == both and warnings(run, "codex_code_reviews") == []
    # The same again: days that were always left out are nothing to speak of.
    assert warnings(sync(dest, codex, *flags, "--strict"), "codex_code_reviews") == []
    # One workspace leaves out a day that had rows: this source says so of empty days, and it is told.
    codex.says(WORKSPACE, review(ago(1), 2))
    run = sync(dest, codex, *flags)
    assert reviews(dest) == both - Counter({(WORKSPACE, name(ago(2))): 1})
    assert any(name(ago(2)) in text for text in run.table("codex_code_reviews")["warnings"])
    # The other one counts in milliseconds: its rows stay, the good one is read.
    codex.says(OTHER, review(datetime.fromtimestamp(0, timezone.utc), 3, start_time=int(ago(2).timestamp()) * 1000))
    run = sync(dest, codex, *flags, code=2)
    assert reviews(dest)[(OTHER, name(ago(2)))] == 1 and len(run.table("codex_code_reviews")["skipped"]) == 1
    # It counts in days: its time is one, of no requested day.
    codex.says(OTHER, review(datetime.fromtimestamp(20_000, timezone.utc), 3))
    run = sync(dest, codex, *flags, code=2)
    assert reviews(dest)[(OTHER, name(ago(2)))] == 1 and reviews(dest)[(WORKSPACE, name(ago(1)))] == 1
    (skipped,) = run.table("codex_code_reviews")["skipped"]
    assert OTHER in skipped["parent"] and "1970-01-01" in skipped["reason"]
    # A day of its own is there, and one of another: what would be emptied may have come as that.
    codex.says(OTHER, review(ago(1), 4), review(ago(20), 3))
    run = sync(dest, codex, *flags, code=3)
    assert reviews(dest)[(OTHER, name(ago(2)))] == 1 and name(ago(2)) in run.table("codex_code_reviews")["error"]["message"]
