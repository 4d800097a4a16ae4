"""The project, Codex and compliance surfaces: what is in the lake, and whose key it takes.

The first part is the story of test_lake.py for every table of these surfaces, also those that are off until
named: after the first sync, an idle one, a day later, and without a state, a plain glob equals the truth.
The second part takes keys away, or gives wrong ones. The third is about Codex, against a scripted server.
"""

import json
import shutil
import time
import tomllib
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest

from conftest import catalog, command, keep_copy, spec, sync
from fixtures.sources import CODEX_KEY, OTHER_WORKSPACE, SURFACES, WORKSPACE, Keys, organization
from scripted import Answer, Scripted
from truth import SCHEMAS, bag, by_key, canonical_json, difference, drop, follow, lake_rows, parse, redact, row_of, steps, without

CHAPTERS = ["first", "idle", "changed", "forgotten"]
DAY = 86_400


def tables_of(*surfaces: str, off_too: bool = True) -> list[str]:
    return [
        table["name"] for table in catalog()
        if table["surface"] in surfaces and not table["retired"] and (off_too or not table["only_if_named"])
    ]


TABLES = tables_of("project", "codex", "compliance")


# ---- the truth -----------------------------------------------------------------------------------


def seen(table: dict) -> dict:
    """The table, with what truth.py does not know yet said in words that it does.

    The place in a list (`#`) and members further out than one record come as bound values.
    """
    def told(column: dict) -> dict:
        source = column.get("from")
        further = source == "#" or (isinstance(source, str) and source.startswith("../../"))
        return {**column, "from": "{%s}" % source} if further else column

    return {**table, "columns": [told(column) for column in table["columns"]]}


def true_rows(table: dict, lines) -> list[dict]:
    """All rows that a complete extraction must hold."""
    rows, last, place = [], None, 0
    for line in expanded(table, map(parse, lines)):
        around = json.dumps([line["parents"], line.get("enclosing")], sort_keys=True)
        place = place + 1 if around == last else 0
        last = around
        bound = {**line["parents"], "#": str(place)}
        for column in table["columns"]:
            source = str(column.get("from"))
            if source.startswith("../../"):
                bound[source] = line["enclosing"][".."][source.removeprefix("../../")]
            for spelling in source.split(" or ") if " or " in source else ():
                if follow(line["record"], steps(spelling)) is None:
                    drop(line["record"], steps(spelling))  # null in one spelling is nothing to keep
        row = row_of(seen(table), {**line, "parents": bound})
        for column in table["columns"]:
            if column.get("from") == "":
                row |= {column["name"]: canonical_json(redact(line["record"])), "_extra": None}
        rows.append(row)
    return rows


def expanded(table: dict, lines):
    """The records inside the records, where the truth tells those of the list itself; texts as the list they were in."""
    inner = [] if table["same_as"] else (table["request"].get("rows") or [])[1:]
    texts: dict[str, dict] = {}
    for line in lines:
        if isinstance(line["record"], str):
            whole = texts.setdefault(json.dumps(line["parents"]), {**line, "record": {"object": "list", "data": []}})
            whole["record"]["data"].append(line["record"])
        elif inner and "enclosing" not in line:
            yield from within(inner, line)
        else:
            yield line
    yield from texts.values()


def within(pointers: list[str], line: dict):
    if not pointers:
        yield line
        return
    record = line["record"]
    around = {name: value for name, value in record.items() if f"/{name}" != pointers[0]} | {"..": line.get("enclosing")}
    for one in follow(record, steps(pointers[0])) or []:
        yield from within(pointers[1:], {**line, "record": one, "enclosing": around})


@dataclass
class Story:
    """The lake after each chapter, the truth after each chapter, and what was said to have changed."""

    lakes: dict = field(default_factory=dict)
    truths: dict = field(default_factory=dict)
    reports: dict = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    read: dict = field(default_factory=dict)

    def rows(self, chapter: str, table: str) -> list[dict]:
        return self.once(("rows", chapter, table), lambda: lake_rows(self.lakes[chapter], spec(table)))

    def true(self, chapter: str, table: str) -> list[dict]:
        """Without the children of parents that are not to be asked for them."""
        def work() -> list[dict]:
            lines = self.truths[chapter][table]
            for parent in spec(table)["parents"]:
                if skipped := self.not_asked(chapter, parent):
                    lines = [line for line in lines if parse(line)["parents"].get(f"{parent}.id") not in skipped]
            return true_rows(spec(table), lines)

        return self.once(("true", chapter, table), work)

    def not_asked(self, chapter: str, parent: str) -> set[str]:
        """The ids of the rows of a parent whose children its table file says to leave alone."""
        path = SCHEMAS / spec(parent)["surface"] / f"{parent}.toml"
        skip = tomllib.loads(path.read_text()).get("children", {}).get("skip", {})
        return {
            row["id"] for row in (self.true(chapter, parent) if skip else ())
            if any(row[name] in values for name, values in skip.items())
        }

    def once(self, what: tuple, work) -> list[dict]:
        if what not in self.read:
            self.read[what] = work()
        return self.read[what]


@pytest.fixture(scope="module")
def company():
    """A simulated organization with all four surfaces, which no test of this module changes but the story."""
    running = organization("--projects", 6, "--users", 14, "--history-days", 10)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def story(tmp_path_factory) -> Story:
    simulator = organization("--projects", 6, "--users", 14, "--history-days", 10)
    told, dest = Story(), tmp_path_factory.mktemp("surfaces") / "lake"

    def truths() -> dict:
        return {table: simulator.truth(table) for table in simulator.truth_tables() if table in TABLES}

    def chapter(name: str):
        for _ in range(5):  # a file is closed every ten minutes: only a quiet sync can be compared
            if name == "first":  # the source may have forgotten by now what an earlier attempt has read
                shutil.rmtree(dest, ignore_errors=True)
            before = truths()
            # Types of log files that a workspace does not have are skipped, and that is exit 2.
            told.reports[name] = sync(dest, simulator, "--tables", ",".join(TABLES), code={0, 2}).report
            told.truths[name] = truths()
            if told.truths[name] == before:
                break
        shutil.rmtree(dest.parent / name, ignore_errors=True)
        told.lakes[name] = keep_copy(dest, name)

    for _ in range(5):
        chapter("first")
        chapter("idle")
        if told.truths["idle"] == told.truths["first"]:
            break
    told.said = simulator.mutate()
    time.sleep(1.1)  # windows are half-open: what happens in this very second belongs to the next sync
    chapter("changed")
    shutil.rmtree(dest / "_state")
    chapter("forgotten")
    simulator.stop()
    return told


def test_the_truth_is_told_for_every_table(story):
    assert set(TABLES) - set(story.truths["first"]) == set()


def test_every_chapter_ends_without_a_failure(story):
    for chapter in CHAPTERS:
        report = story.reports[chapter]
        assert {table: entry["error"] for table, entry in report["tables"].items() if entry["error"]} == {}
        assert {table: entry["skipped"] for table, entry in report["tables"].items() if entry["skipped"] and table != "log_other"} == {}
        assert sum(entry["misfits"] for entry in report["tables"].values()) == 0


def data(rows: list[dict]) -> list[dict]:
    """Rows without what the product adds about the reading itself."""
    return [without(row, "_synced_at", "_deleted") for row in rows]


@pytest.mark.parametrize("table", TABLES)
def test_first_sync_equals_the_truth(story, table):
    rows, true = story.rows("first", table), story.true("first", table)
    assert bag(data(rows)) == bag(true), difference(true, data(rows))
    assert all(row["_synced_at"] for row in rows)
    assert not any(row.get("_deleted") for row in rows)


@pytest.mark.parametrize("table", TABLES)
def test_every_table_has_rows(story, table):
    """Or the comparison proves nothing."""
    assert story.true("first", table) or story.true("changed", table)


@pytest.mark.parametrize("table", TABLES)
def test_keys_are_unique(story, table):
    for chapter in CHAPTERS:
        by_key(spec(table), story.rows(chapter, table))


@pytest.mark.parametrize("table", TABLES)
def test_idle_second_sync_changes_only_when_rows_were_read(story, table):
    before, after = story.rows("first", table), story.rows("idle", table)
    same = lambda rows: bag([without(row, "_synced_at") for row in rows])
    assert same(after) == same(before), difference(before, after)


@pytest.mark.parametrize("table", TABLES)
def test_a_day_later_equals_the_truth(story, table):
    compare_after(story, "idle", "changed", table)


@pytest.mark.parametrize("table", TABLES)
def test_a_deleted_state_only_costs_work(story, table):
    compare_after(story, "changed", "forgotten", table)


def compare_after(story, earlier: str, later: str, name: str):
    """Truth rows as they are; vanished rows as tombstones (snapshot), as they were (merge), or gone (replace)."""
    table = spec(name)
    before, after = by_key(table, story.rows(earlier, name)), by_key(table, story.rows(later, name))
    true = by_key(table, story.true(later, name))
    gone = before.keys() - true.keys()
    for key, row in true.items():
        assert key in after, f"{key} is missing"
        assert without(after[key], "_synced_at", "_deleted") == row
        assert after[key].get("_deleted") is (False if table["policy"] == "snapshot" else None)
    assert after.keys() == true.keys() | (gone if table["policy"] != "replace" else set())
    skipped = {id for parent in table["parents"] for id in story.not_asked(later, parent)}
    for key in gone if table["policy"] != "replace" else ():
        expected = without(before[key], "_synced_at")
        if table["policy"] == "snapshot" and skipped.isdisjoint(key):
            expected["_deleted"] = True
        assert without(after[key], "_synced_at") == expected


def test_the_day_had_everything_in_it(story):
    """The comparison above proves something only when things did happen on every surface."""
    for surface in ("project", "codex", "compliance"):
        changed = [table for table in tables_of(surface) if story.truths["idle"][table] != story.truths["changed"][table]]
        assert changed, f"nothing happened on {surface}: {story.said}"
    def keys(chapter: str, name: str) -> set:
        return by_key(spec(name), story.true(chapter, name)).keys()

    snapshots, merged = ([name for name in TABLES if spec(name)["policy"] == kind] for kind in ("snapshot", "merge"))
    assert any(keys("idle", name) - keys("changed", name) for name in snapshots), "no row is gone"
    assert any(keys("changed", name) - keys("idle", name) for name in merged), "no event came"
    before, after = (by_key(spec("codex_usage"), story.rows(chapter, "codex_usage")) for chapter in ("idle", "changed"))
    assert before.keys() - after.keys() and after.keys() - before.keys(), "no restated day has other users"
    assert any(without(before[key], "_synced_at") != without(after[key], "_synced_at") for key in before.keys() & after.keys())


def test_each_row_names_its_key(story):
    """Every project with a key, every workspace: rows of each, and of nobody else."""
    asked = {"project_id": set(), "workspace_id": set(), "organization_id": set()}
    for name in TABLES:
        first = spec(name)["columns"][0]["name"]
        assert first in asked, f"{name} does not begin with what its key stands for"
        values = {row[first] for row in story.rows("first", name)}
        assert None not in values
        asked[first] |= values
    assert len(asked["project_id"]) >= 3 and len(asked["workspace_id"]) == 2 and len(asked["organization_id"]) == 1


def test_no_file_column_changes_with_the_day(story):
    """Addresses of files are signed anew at each request; rows that held them would change at every sync."""
    for name in tables_of("compliance"):
        assert "download_url" not in repr(story.rows("first", name))


def test_the_retired_tables_are_reported_and_never_fail(company, tmp_path):
    retired = [table["name"] for table in catalog() if table["retired"]]
    assert "assistants" in retired
    run = sync(tmp_path / "lake", company.only("project"), "--tables", ",".join([*retired, "models"]))
    for name in retired:
        assert run.table(name)["status"] == "retired upstream" and not (tmp_path / "lake" / name).exists()


# ---- whose key it takes ------------------------------------------------------------------------------


def surfaces_in(report: dict) -> set[str]:
    return {spec(name)["surface"] for name in report["tables"]}


@pytest.mark.parametrize("surface", SURFACES)
def test_with_one_key_the_other_surfaces_stay_silent(company, tmp_path, surface):
    dest = tmp_path / "lake"
    run = sync(dest, company.only(surface))
    assert surfaces_in(run.report) == {surface}
    others = [name for other in SURFACES if other != surface for name in tables_of(other)]
    folders = {path.name for path in dest.iterdir()}
    assert folders.isdisjoint(others) and not any(f"{name} " in run.err for name in others)
    for name, entry in run.report["tables"].items():
        assert (entry["status"] == "ok" or spec(name)["retired"]) and entry["skipped"] == []


@pytest.mark.parametrize("surface", SURFACES)
def test_check_with_one_key_asks_for_one_surface(company, surface):
    run = command("check", "--format", "json", env=company.only(surface).env(), code=0)
    assert {finding["surface"] for finding in json.loads(run.out)} == {surface}


def named(finding: dict) -> str:
    """The table of a finding: `files (proj_1)`."""
    return finding["name"].split(" ")[0]


WRONG = {  # the key of one surface is wrong: what the cure must say
    "admin": ("OPENAI_ADMIN_KEY", "sk-admin-of-somebody-else", ["OPENAI_ADMIN_KEY", "Admin key"]),
    "project": ("OPENAI_PROJECT_KEYS", "proj_unknown=sk-proj-simulated-revoked", ["OPENAI_PROJECT_KEYS"]),
    "codex": ("CODEX_ANALYTICS_KEY", "sk-codex-of-somebody-else", ["CODEX_ANALYTICS_KEY", "codex.enterprise.analytics.read"]),
    "compliance": ("CHATGPT_COMPLIANCE_KEY", "sk-compliance-of-somebody-else", ["CHATGPT_COMPLIANCE_KEY", "scope"]),
}


@pytest.mark.parametrize("surface", WRONG)
def test_check_says_which_tables_a_wrong_key_costs_and_the_cure(company, surface):
    variable, key, words = WRONG[surface]
    run = command("check", "--format", "json", env=company.env(**{variable: key}), code=2)
    findings = json.loads(run.out)
    bad = [finding for finding in findings if finding["cure"]]
    lacking = {named(finding) for finding in bad}
    children = {table["name"] for table in catalog() if any(spec(parent)["surface"] == surface for parent in table["parents"])}
    assert lacking - children == set(tables_of(surface, off_too=False)) - children
    for finding in bad:
        assert finding["status"] == "wrong key", finding
        assert all(word in finding["cure"] for word in words), finding["cure"]
    text = command("check", env=company.env(**{variable: key}), code=2).out
    assert all(word in text for word in words)


@pytest.mark.parametrize("surface", WRONG)
def test_sync_says_which_tables_a_wrong_key_costs_and_the_cure(company, tmp_path, surface):
    variable, key, words = WRONG[surface]
    few = {
        "admin": ["users", "projects"], "project": ["files", "batches"], "codex": ["codex_usage", "codex_code_reviews"],
        "compliance": ["chatgpt_users", "chatgpt_gpts", "log_auth"],
    }
    every = ",".join(name for names in few.values() for name in names)
    run = sync(tmp_path / "lake", company, "--tables", every, code=2, env={variable: key})
    for other, names in few.items():
        for name in names:
            entry = run.table(name)
            if other != surface:
                assert entry["status"] == "ok" and entry["error"] is None, (name, entry)
                continue
            assert entry["status"] == "wrong key", (name, entry)
            assert all(word in entry["error"]["cure"] for word in words), entry["error"]
            assert name in run.err and entry["error"]["cure"] in run.err
            assert not (tmp_path / "lake" / name).exists()


def test_a_key_without_its_scope_says_which_scope(company, tmp_path):
    env = {"CHATGPT_COMPLIANCE_KEY": "sk-compliance-simulated-auditonly"}
    run = sync(tmp_path / "lake", company.only("compliance"), "--tables", "log_audit,log_auth,chatgpt_users", code=2, env=env)
    assert run.table("log_audit")["status"] == "ok" and run.table("log_audit")["rows_written"] > 0
    for name in ("log_auth", "chatgpt_users"):
        error = run.table(name)["error"]
        assert run.table(name)["status"] == "forbidden" and "scope" in error["cure"]
        assert "chatgpt.enterprise.compliance" in error["message"], "the API's own word, which names the scope"
    findings = json.loads(command("check", "--format", "json", env=company.only("compliance").env(**env), code=2).out)
    assert {named(finding) for finding in findings if not finding["cure"]} == {"log_audit"}


def test_the_newer_usage_needs_a_scope_of_its_own(company, tmp_path):
    env = {"CODEX_ANALYTICS_KEY": "sk-codex-simulated-codexonly"}
    run = sync(tmp_path / "lake", company.only("codex"), "--tables", "codex_code_reviews,chatgpt_usage", code=2, env=env)
    assert run.table("codex_code_reviews")["status"] == "ok"
    assert run.table("chatgpt_usage")["status"] == "forbidden" and "scope" in run.table("chatgpt_usage")["error"]["cure"]


def test_an_admin_key_is_no_project_key(company, tmp_path):
    project = next(iter(company.project_keys))
    env = {"OPENAI_PROJECT_KEYS": f"{project}={company.admin_key}"}
    run = sync(tmp_path / "lake", company.only("project"), "--tables", "files", code=3, env=env)
    assert run.table("files")["status"] in ("forbidden", "wrong key") and "key" in run.table("files")["error"]["cure"]


@pytest.mark.parametrize(("surface", "table"), [("codex", "codex_usage"), ("compliance", "chatgpt_users")])
def test_a_workspace_that_is_not_there_is_told_by_its_id(company, tmp_path, surface, table):
    env = {"CHATGPT_WORKSPACE_IDS": f"{company.workspace_ids[0]},{OTHER_WORKSPACE}"}
    run = sync(tmp_path / "lake", company.only(surface), "--tables", table, code=2, env=env)
    skipped = run.table(table)["skipped"]
    assert skipped and len({entry["reason"] for entry in skipped}) == 1
    assert OTHER_WORKSPACE in skipped[0]["reason"] and "CHATGPT_WORKSPACE_IDS" in skipped[0]["cure"]
    assert len(skipped) == 1, "one refusal is told once, not for every window of time"
    assert {row["workspace_id"] for row in lake_rows(tmp_path / "lake", spec(table))} == {company.workspace_ids[0]}
    findings = json.loads(command("check", "--tables", table, "--format", "json", env=company.only(surface).env(**env), code=2).out)
    (bad,) = [finding for finding in findings if finding["cure"]]
    assert OTHER_WORKSPACE in bad["name"] and "CHATGPT_WORKSPACE_IDS" in bad["cure"]


@pytest.mark.parametrize("surface", ["codex", "compliance"])
def test_a_key_without_a_workspace_is_a_mistake_of_the_settings(company, tmp_path, surface):
    env = {name: value for name, value in company.only(surface).env().items() if name not in ("CHATGPT_WORKSPACE_IDS", "OPENAI_ORGANIZATION_ID")}
    run = sync(tmp_path / "lake", Keys(env), code=1)
    assert SURFACES[surface] in run.err and "CHATGPT_WORKSPACE_IDS" in run.err
    assert not (tmp_path / "lake").exists()


def test_without_the_organization_its_log_files_are_left_out(company, tmp_path):
    env = {name: value for name, value in company.only("compliance").env().items() if name != "OPENAI_ORGANIZATION_ID"}
    run = sync(tmp_path / "lake", Keys(env), "--dry-run")
    assert "log_auth" in run.out and "log_costs" not in run.out
    run = sync(tmp_path / "lake", Keys(env), "--tables", "log_costs", code=1)
    assert "OPENAI_ORGANIZATION_ID" in run.err or "key or id is not set" in run.err


# ---- several project keys ----------------------------------------------------------------------------


def project_keys(keys: dict[str, str]) -> dict[str, str]:
    return {"OPENAI_PROJECT_KEYS": ",".join(f"{project}={key}" for project, key in keys.items())}


def test_one_refused_project_key_keeps_its_rows_and_stops_nobody(company, tmp_path):
    dest, tables = tmp_path / "lake", ["files", "batches", "vector_stores", "vector_store_files", "models"]
    sync(dest, company.only("project"), "--tables", ",".join(tables))
    before = {name: by_key(spec(name), lake_rows(dest, spec(name))) for name in tables}
    revoked, *rest = company.project_keys
    env = project_keys({**company.project_keys, revoked: "sk-proj-simulated-revoked"})
    run = sync(dest, company.only("project"), "--tables", ",".join(tables), code=2, env=env)
    for name in tables:
        after = by_key(spec(name), lake_rows(dest, spec(name)))
        assert after.keys() == before[name].keys()
        for key, row in after.items():
            if row["project_id"] == revoked:
                assert row == before[name][key], f"{name}: a row of the refused key was touched"
            else:
                assert row["_synced_at"] > before[name][key]["_synced_at"] or spec(name)["policy"] != "snapshot"
                assert not row.get("_deleted")
        assert {row["project_id"] for row in after.values()} >= set(rest), name
        assert run.table(name)["status"] == "ok"
    skipped = run.table("files")["skipped"]
    assert [revoked in entry["parent"] for entry in skipped] == [True]
    assert "OPENAI_PROJECT_KEYS" in skipped[0]["cure"] and revoked in run.err


def test_a_refused_key_of_a_first_sync_leaves_the_others_whole(company, tmp_path):
    revoked, *rest = company.project_keys
    env = project_keys({revoked: "sk-proj-simulated-revoked", **{project: company.project_keys[project] for project in rest}})
    sync(tmp_path / "lake", company.only("project"), "--tables", "files", code=2, env=env)
    assert {row["project_id"] for row in lake_rows(tmp_path / "lake", spec("files"))} == set(rest)


def test_check_names_the_project_of_a_refused_key(company):
    revoked = next(iter(company.project_keys))
    env = company.only("project").env(**project_keys({**company.project_keys, revoked: "sk-proj-simulated-revoked"}))
    findings = json.loads(command("check", "--tables", "files", "--format", "json", env=env, code=2).out)
    assert {(revoked in finding["name"], finding["status"]) for finding in findings if finding["cure"]} == {(True, "wrong key")}
    assert len(findings) == len(company.project_keys)


def test_a_key_under_the_name_of_another_project_is_refused(company, tmp_path):
    """Its rows would be filed as another project's."""
    first, second, *_ = company.project_keys
    env = project_keys({first: company.project_keys[first], "proj_misnamed": company.project_keys[second]})
    run = sync(tmp_path / "lake", company.only("project"), "--tables", "files", code=2, env=env)
    assert {row["project_id"] for row in lake_rows(tmp_path / "lake", spec("files"))} == {first}
    (skipped,) = run.table("files")["skipped"]
    assert "proj_misnamed" in json.dumps(skipped) and second in skipped["reason"] and "OPENAI_PROJECT_KEYS" in skipped["cure"]
    findings = json.loads(command("check", "--tables", "files", "--format", "json", env=company.only("project").env(**env), code=2).out)
    assert [second in finding["detail"] for finding in findings if finding["cure"]] == [True]


def test_a_lone_key_needs_no_name(company, tmp_path):
    """The response tells the project, and that is what rows carry."""
    project, key = next(iter(company.project_keys.items()))
    sync(tmp_path / "lake", company.only("project"), "--tables", "files", env={"OPENAI_PROJECT_KEYS": key})
    assert {row["project_id"] for row in lake_rows(tmp_path / "lake", spec("files"))} == {project}


def test_a_project_key_that_is_left_out_keeps_its_rows(company, tmp_path):
    dest = tmp_path / "lake"
    sync(dest, company.only("project"), "--tables", "vector_stores,containers")
    before = {name: by_key(spec(name), lake_rows(dest, spec(name))) for name in ("vector_stores", "containers")}
    left_out, *rest = company.project_keys
    sync(dest, company.only("project"), "--tables", "vector_stores,containers", env=project_keys({p: company.project_keys[p] for p in rest}))
    for name, rows in before.items():
        after = by_key(spec(name), lake_rows(dest, spec(name)))
        assert {key: row for key, row in after.items() if row["project_id"] == left_out} == {
            key: row for key, row in rows.items() if row["project_id"] == left_out
        }, "nobody asked for them, so nobody knows that they are gone"


# ---- Codex: shapes and numbers -----------------------------------------------------------------------


USAGE = f"/analytics/codex/workspaces/{WORKSPACE}/usage"
MIDNIGHT = int(datetime.now(timezone.utc).timestamp()) // DAY * DAY


class Codex(Scripted):
    """A workspace whose rows are what the test says, cut by the times that are asked for."""

    def __init__(self, *rows: dict):
        super().__init__()
        self.rows = list(rows)
        self.answers[USAGE] = [self.page]

    def env(self, **more: str) -> dict[str, str]:
        return {
            "CHATGPT_BASE_URL": f"http://127.0.0.1:{self.server.server_address[1]}/v1",
            "CODEX_ANALYTICS_KEY": CODEX_KEY, "CHATGPT_WORKSPACE_IDS": WORKSPACE, **more,
        }

    def page(self, asked) -> Answer:
        start, end = int(asked.one("start_time")), int(asked.one("end_time"))
        return Answer({"object": "page", "data": [row for row in self.rows if start <= row["start_time"] < end], "has_more": False})


def usage(days_ago: int = 1, user: str = "user-Nadia7", **more) -> dict:
    start = MIDNIGHT - days_ago * DAY
    return {
        "object": "workspace.codex.usage.result", "start_time": start, "end_time": start + DAY, "user_id": user,
        "actor": {"type": "ACCOUNT_USER", "user_id": user, "email": None},
        "totals": {"threads": 3, "turns": 8, "credits": 1.5}, "clients": [], "models": [], **more,
    }


def read(tmp_path, server, table: str = "codex_usage", code=0) -> list[dict]:
    sync(tmp_path / "lake", server, "--tables", "codex_usage,codex_usage_clients,codex_usage_models", code=code)
    return lake_rows(tmp_path / "lake", spec(table))


def test_both_shapes_of_code_attribution_fill_the_same_columns(tmp_path):
    nested = {"lines_of_code": {"added": 12, "removed": 0, "committed": 7, "total_committed_lines": 40, "committed_percentage": 17.5},
              "commits": {"with_codex_contribution": 2, "with_codex_contribution_percentage": 33.3, "total_commits": 6}}
    with Codex(
        usage(user="nested", code_attribution=nested), usage(user="flat", code_attribution={"lines_added": 12, "lines_removed": 0}),
        usage(user="none", code_attribution=None), usage(user="absent"),
        usage(user="half", code_attribution={"lines_of_code": {"added": 5, "removed": None}, "commits": None}),
    ) as server:
        rows = {row["user_id"]: row for row in read(tmp_path, server)}
    lines = lambda user: tuple(rows[user][f"code_attribution_lines_{what}"] for what in ("added", "removed", "committed"))
    assert lines("nested") == (12, 0, 7) and lines("flat") == (12, 0, None) and lines("half") == (5, None, None)
    assert lines("none") == lines("absent") == (None, None, None)
    assert rows["nested"]["code_attribution_commits_total_commits"] == 6
    assert all(row["_extra"] is None for row in rows.values())


def test_credits_dollars_and_estimates_are_three_things_and_null_is_not_zero(tmp_path):
    given = {
        "zeros": {"credits": 0, "cost_usd": 0, "estimated_cost_usd": 0.0}, "nulls": {"credits": None, "cost_usd": None, "estimated_cost_usd": None},
        "absent": {}, "each": {"credits": 12.125, "cost_usd": 0.1, "estimated_cost_usd": 0.88}, "text": {"credits": "0.30"},
    }
    rows = [usage(user=user, totals={"threads": 1, "turns": None, **money}, clients=[{"client_id": "CODEX_CLI", "threads": 1, "turns": 0, **money}],
                  models=[{"model": "codex-large", "speed": None, **money}]) for user, money in given.items()]
    with Codex(*rows) as server:
        for table in ("codex_usage", "codex_usage_clients", "codex_usage_models"):
            found = {row["user_id"]: row for row in read(tmp_path, server, table)}
            for user, money in given.items():
                for name in ("credits", "cost_usd", "estimated_cost_usd"):
                    value = money.get(name)
                    assert found[user][name] == (None if value is None else Decimal(str(value))), (table, user, name)


def test_clients_and_models_have_the_day_and_the_user_of_their_row(tmp_path):
    client = lambda id, turns: {"client_id": id, "threads": 1, "turns": turns, "credits": 0.5, "new_member": {"a": 1}}
    model = lambda name, speed: {"model": name, "speed": speed, "credits": 0.25}
    with Codex(
        usage(
            2, "one", clients=[client("CODEX_CLI", 1), client("CODEX_OF_TOMORROW", 2)],
            models=[model("a", "fast"), model("a", "standard"), model("a", None)],
        ),
        usage(1, "one", clients=[client("CODEX_CLI", 3)], models=None),
        usage(1, "two", clients=[client("CODEX_CLI", 4)], models=[model("other", None)]),
    ) as server:
        clients, models = read(tmp_path, server, "codex_usage_clients"), lake_rows(tmp_path / "lake", spec("codex_usage_models"))
        days = {(row["workspace_id"], row["start_time"] // 1_000_000, row["end_time"] // 1_000_000) for row in clients}
        assert days == {(WORKSPACE, MIDNIGHT - d * DAY, MIDNIGHT - (d - 1) * DAY) for d in (1, 2)}
        assert {(row["start_time"] // 1_000_000, row["user_id"], row["client_id"], row["turns"]) for row in clients} == {
            (MIDNIGHT - 2 * DAY, "one", "CODEX_CLI", 1), (MIDNIGHT - 2 * DAY, "one", "CODEX_OF_TOMORROW", 2),
            (MIDNIGHT - DAY, "one", "CODEX_CLI", 3), (MIDNIGHT - DAY, "two", "CODEX_CLI", 4),
        }
        assert all(json.loads(row["_extra"]) == {"new_member": {"a": {"number": "1"}}} for row in clients)
        assert sorted((row["user_id"], row["model"], str(row["speed"])) for row in models) == [
            ("one", "a", "None"), ("one", "a", "fast"), ("one", "a", "standard"), ("two", "other", "None"),
        ]
        asked = [one.one("start_time") for one in server.requests(USAGE)]
        assert len(asked) == 4 and len(set(asked)) == 4, "fetched once for three tables"


@pytest.mark.parametrize("change", [{"models": None}, {"models": ...}, {"clients": None}, {"clients": ...}])
def test_a_row_without_its_lists_is_a_row(tmp_path, change):
    row = {name: value for name, value in {**usage(), **change}.items() if value is not ...}
    with Codex(row) as server:
        assert len(read(tmp_path, server)) == 1
        assert lake_rows(tmp_path / "lake", spec("codex_usage_models")) == lake_rows(tmp_path / "lake", spec("codex_usage_clients")) == []


def test_restated_days_are_replaced_and_settled_ones_stay(tmp_path):
    client = [{"client_id": "CODEX_CLI", "threads": 1, "turns": 1, "credits": 1}]
    with Codex(usage(10, "old"), usage(1, "one", clients=client), usage(1, "two", clients=client)) as server:
        read(tmp_path, server)
        server.rows = [usage(1, "two", totals={"threads": 9, "turns": 9, "credits": 9}), usage(1, "three", clients=client)]
        rows = {row["user_id"]: row for row in read(tmp_path, server)}
        assert rows.keys() == {"old", "two", "three"}, "who is gone from a restated day is gone, older days stay"
        assert rows["two"]["credits"] == 9
        assert {row["user_id"] for row in lake_rows(tmp_path / "lake", spec("codex_usage_clients"))} == {"three"}


def test_a_workspace_that_fails_for_one_sync_is_whole_after_the_next(tmp_path):
    """Its days are older than the look-back by then: only a cursor that waited brings them."""
    other, both = USAGE.replace(WORKSPACE, OTHER_WORKSPACE), {"CHATGPT_WORKSPACE_IDS": f"{WORKSPACE},{OTHER_WORKSPACE}"}
    with Codex(usage(40), usage(1)) as server:
        server.answers[other] = [Answer({"error": {"message": "out of order"}}, status=500)]
        sync(tmp_path / "lake", server, "--tables", "codex_usage", code=2, env=both, retries=0)
        assert {row["workspace_id"] for row in lake_rows(tmp_path / "lake", spec("codex_usage"))} == {WORKSPACE}
        server.answers[other] = [server.page]
        sync(tmp_path / "lake", server, "--tables", "codex_usage", env=both)
        found = by_key(spec("codex_usage"), lake_rows(tmp_path / "lake", spec("codex_usage")))
        assert len(found) == 4 and {key[0] for key in found} == {WORKSPACE, OTHER_WORKSPACE}


def test_a_user_without_a_name_is_a_row_of_its_own(tmp_path):
    with Codex(usage(user=None, actor=None), usage(user="one")) as server:
        assert {row["user_id"] for row in read(tmp_path, server)} == {None, "one"}


def test_a_question_that_the_api_cannot_process_is_explained(tmp_path):
    detail = [{"loc": ["query", "start_time"], "msg": "start_time cannot be more than 90 days ago", "type": "value_error", "input": "1"}]
    with Codex() as server:
        server.answers[USAGE] = [Answer({"detail": detail}, status=422)]
        run = sync(tmp_path / "lake", server, "--tables", "codex_usage", code=3)
    error = run.table("codex_usage")["error"]
    assert "422" in error["message"] and "start_time cannot be more than 90 days ago" in error["message"]
    assert error["cure"] and "codex_usage" in run.err
    assert '"loc"' not in error["message"], "in words, not as the API's JSON"


def test_the_history_is_what_the_api_allows(tmp_path):
    with Codex() as server:
        read(tmp_path, server)
        starts = sorted(int(asked.one("start_time")) for asked in server.requests(USAGE))
        assert MIDNIGHT - 90 * DAY <= starts[0] <= MIDNIGHT - 89 * DAY and all(start % DAY == 0 for start in starts)
        assert all(1 <= int(asked.one("limit")) <= 30_000 for asked in server.requests(USAGE))
        assert {name for asked in server.requests(USAGE) for name, _ in asked.query} <= {"start_time", "end_time", "limit", "page"}


def test_older_than_the_api_allows_is_not_asked_for_and_that_is_said(company, tmp_path):
    since = (datetime.now(timezone.utc) - timedelta(days=200)).strftime("%Y-%m-%d")
    run = sync(tmp_path / "lake", company.only("codex"), "--tables", "codex_usage", "--since", since)
    assert "the source keeps 90 days: nothing before" in json.dumps(run.table("codex_usage")["warnings"])
