"""A list that broke off looks like one whose rows are gone: such a snapshot is held back until it is confirmed.

A table is held back whole when its own list, or too much of all its lists, is missing; where one of many lists is, the
rows of that one stay and the others are written. The next sync that misses the same rows confirms, and so does a flag.
"""

import json
import re
from collections import Counter

import pytest

from conftest import ROOT, command, contents, objects, spec, state, sync
from reliability import record
from scripted import Answer, Scripted, page, user
from truth import lake_rows

USERS, PROJECTS = "/organization/users", "/organization/projects"
TABLES = ("--tables", "users,invites")


@pytest.fixture
def server():
    with Scripted() as running:
        yield running


@pytest.fixture
def dest(tmp_path):
    return tmp_path / "lake"


def people(count: int, first: int = 0) -> list[dict]:
    return [user(f"user-{n:04}") for n in range(first, first + count)]


def paged(items: list[dict], size: int = 100):
    """A list as the API pages it."""

    def answer(asked):
        ids = [item["id"] for item in items]
        start = ids.index(asked.one("after")) + 1 if asked.one("after") else 0
        return page(*items[start:start + size], more=start + size < len(items))

    return answer


def lists(server, items: list[dict]) -> None:
    server.answers[USERS] = [paged(items)]


def alive(dest, table: str = "users", key: str = "id") -> Counter:
    """The rows that a reader takes for existing."""
    rows = lake_rows(dest, spec(table))
    return Counter(row[key] for row in rows if not row["_deleted"] and row.get("_current", True))


def ids(items) -> Counter:
    return Counter(item["id"] for item in items)


def held(dest, table: str = "users"):
    return state(dest)["tables"].get(table, {}).get("held_back")


def read_at(dest, table: str = "users") -> str:
    return state(dest)["tables"][table]["cursor"]


def assert_held(run, dest, table: str = "users", missing: int | None = None, of: int | None = None) -> None:
    report = run.table(table)
    assert report["status"] == "held back" and report["objects"] == [] and report["tombstones"] == 0
    assert report["error"]["kind"] == "held back" and report["error"]["message"] in run.err
    assert missing is None or f"{missing} of {of} rows" in report["error"]["message"]
    assert "--accept-deletes" in report["error"]["cure"] and held(dest, table)


ALL = people(250)

# What the server answers for the second sync; and the users that are left.
BROKEN = {
    "its second page is empty although more was promised": (lambda: [page(*ALL[:100], more=True), page()], 100),
    "it ends after its first page": (lambda: [page(*ALL[:100])], 100),
    "it ends within its second page": (lambda: [page(*ALL[:100], more=True), page(*ALL[100:110])], 110),
    "it is empty": (lambda: [page()], 0),
    "it begins in its middle": (lambda: [page(*ALL[150:])], 100),
    "other users are in it": (lambda: [page(*people(100, first=1000))], 0),
}


def broken(server, how: str) -> None:
    answers = BROKEN[how][0]()

    def answer(asked):
        return answers[0] if not asked.one("after") else answers[1]

    server.answers[USERS] = [answer]


@pytest.mark.parametrize("how", BROKEN)
def test_a_list_that_broke_off_soft_deletes_nobody(server, dest, how):
    lists(server, ALL)
    sync(dest, server, *TABLES)
    before, cursor = contents(dest / "users"), read_at(dest)
    broken(server, how)
    run = sync(dest, server, *TABLES, code=2)
    assert_held(run, dest, missing=250 - BROKEN[how][1], of=250)
    assert contents(dest / "users") == before and read_at(dest) == cursor
    assert run.table("invites")["status"] == "ok"
    lists(server, ALL)
    run = sync(dest, server, *TABLES)
    assert alive(dest) == ids(ALL) and held(dest) is None and run.table("users")["tombstones"] == 0
    record("a list that broke off", f"250 users, and a list of them without an error: {how}", "250 users",
           "as before, byte by byte; the snapshot is held back and reported; exit 2", "a whole list gave 250 users; exit 0")


@pytest.mark.parametrize("how", BROKEN)
def test_the_next_run_that_says_the_same_is_believed(server, dest, how):
    lists(server, ALL)
    sync(dest, server, *TABLES)
    broken(server, how)
    sync(dest, server, *TABLES, code=2)
    run = sync(dest, server, *TABLES)
    assert run.table("users")["tombstones"] == 250 - BROKEN[how][1]
    assert any("held back" in text for text in run.table("users")["warnings"]) and held(dest) is None
    assert sum(alive(dest).values()) == len({item["id"] for answer in BROKEN[how][0]() for item in json.loads(answer.bytes())["data"]})


@pytest.mark.parametrize("how", BROKEN)
def test_the_flag_of_the_hint_lets_it_through(server, dest, how):
    lists(server, ALL)
    sync(dest, server, *TABLES)
    broken(server, how)
    run = sync(dest, server, *TABLES, code=2)
    flags = re.search(r"`(--tables .*?)`", run.table("users")["error"]["cure"]).group(1).split()
    run = sync(dest, server, *flags)
    assert run.table("users")["tombstones"] == 250 - BROKEN[how][1] and held(dest) is None


def test_the_flag_before_anything_was_held_back(server, dest):
    lists(server, ALL)
    sync(dest, server, *TABLES)
    lists(server, ALL[:10])
    run = sync(dest, server, *TABLES, "--accept-deletes")
    assert run.table("users")["tombstones"] == 240 and alive(dest) == ids(ALL[:10])


def test_a_run_alone_with_a_held_back_table_is_partial(server, dest):
    """It was read, and nothing failed: not "nothing could be synced"."""
    lists(server, ALL)
    sync(dest, server, "--tables", "users")
    lists(server, ALL[:10])
    run = sync(dest, server, "--tables", "users", code=2)
    assert run.report["exit_code"] == 2
    text = command("sync", "--dest", dest, "--tables", "users", env=server.env())
    assert text.code == 0


def test_another_answer_is_no_confirmation(server, dest):
    lists(server, ALL)
    sync(dest, server, *TABLES)
    for left in (100, 99, 98, 120):
        lists(server, ALL[:left])
        run = sync(dest, server, *TABLES, code=2)
        assert_held(run, dest, missing=250 - left, of=250)
        assert alive(dest) == ids(ALL)
    lists(server, ALL[20:140])
    sync(dest, server, *TABLES, code=2)  # as many, and others
    lists(server, list(reversed(ALL[20:140])))
    sync(dest, server, *TABLES)  # the same in another order
    assert alive(dest) == ids(ALL[20:140])


def test_a_good_run_between_two_bad_ones_starts_anew(server, dest):
    lists(server, ALL)
    sync(dest, server, *TABLES)
    for _ in range(2):
        lists(server, ALL[:100])
        assert_held(sync(dest, server, *TABLES, code=2), dest)
        lists(server, ALL)
        sync(dest, server, *TABLES)
    assert alive(dest) == ids(ALL)


def test_a_full_refresh_is_no_confirmation(server, dest):
    lists(server, ALL)
    sync(dest, server, *TABLES)
    lists(server, ALL[:100])
    assert_held(sync(dest, server, *TABLES, "--full-refresh", code=2), dest)


def test_new_rows_do_not_hide_what_is_missing(server, dest):
    lists(server, ALL)
    sync(dest, server, *TABLES)
    lists(server, ALL[:100] + people(400, first=1000))
    assert_held(sync(dest, server, *TABLES, code=2), dest, missing=150, of=250)


def test_without_a_state_it_takes_two_more_runs(server, dest):
    lists(server, ALL)
    sync(dest, server, *TABLES)
    lists(server, ALL[:100])
    sync(dest, server, *TABLES, code=2)
    (dest / "_state/state.json").unlink()
    sync(dest, server, *TABLES, code=2)
    assert alive(dest) == ids(ALL)
    sync(dest, server, *TABLES)
    assert alive(dest) == ids(ALL[:100])


# ---- how much is too much -------------------------------------------------------------------------------

LIMITS = [  # users before, users after, what the configuration says, whether it is held back
    (25, 6, "", False), (25, 5, "", True), (40, 20, "", False), (40, 19, "", True), (20, 0, "", True), (19, 0, "", False),
    (100, 90, "hold_back = { share = 0.05, rows = 5 }", True), (100, 96, "hold_back = { share = 0.01, rows = 5 }", False),
    (100, 90, "[tables.users]\nhold_back = { share = 0.05, rows = 5 }", True),
    (100, 90, "[tables.users.hold_back]\nshare = 0.05\nrows = 5", True),
    (100, 90, "[tables.invites]\nhold_back = { share = 0.05, rows = 5 }", False),
    (100, 0, "hold_back = { share = 1 }", False), (100, 0, "[tables.users]\nhold_back = { share = 1.0 }", False),
    (100, 0, "hold_back = { share = 1 }\n[tables.users]\nhold_back = { share = 0.5 }", True),
    (100, 0, "hold_back = { rows = 101 }", False), (10, 4, "hold_back = { rows = 0 }", True), (10, 10, "hold_back = { share = 0, rows = 0 }", False),
]


@pytest.mark.parametrize(("before", "after", "config", "is_held"), LIMITS)
def test_how_much_is_too_much(server, dest, before, after, config, is_held):
    lists(server, people(before))
    sync(dest, server, *TABLES)
    lists(server, people(after))
    path = dest.parent / "limits.toml"
    path.write_text(f'{config}\n')
    run = command("sync", "--dest", dest, "--config", path, "--format", "json", *TABLES, env=server.env(), code=2 if is_held else 0)
    assert run.table("users")["tombstones"] == (0 if is_held else before - after)
    assert (held(dest) is not None) == is_held


@pytest.mark.parametrize(("config", "said"), [
    ("hold_back = { share = 50 }", "between 0 and 1"), ("hold_back = { share = -0.1 }", "between 0 and 1"),
    ("hold_back = { share = nan }", "between 0 and 1"), ("hold_back = { part = 0.5 }", "unknown field"),
    ("hold_back = 0.5", "hold_back"), ("hold_back = { rows = -1 }", "rows"),
    ("[tables.costs]\nhold_back = { share = 0.5 }", "snapshot"),
])
def test_limits_that_mean_nothing_are_refused(server, dest, config, said):
    path = dest.parent / "limits.toml"
    path.write_text(f"{config}\n")
    run = command("sync", "--dest", dest, "--config", path, *TABLES, env=server.env(), code=1)
    assert said in run.err and server.asked == []


def test_rows_that_were_deleted_before_do_not_count(server, dest):
    lists(server, ALL)
    sync(dest, server, *TABLES)
    lists(server, ALL[:60])
    sync(dest, server, *TABLES, "--accept-deletes")
    lists(server, ALL[:20])
    assert_held(sync(dest, server, *TABLES, code=2), dest, missing=40, of=60)


# ---- pages ----------------------------------------------------------------------------------------------


def promised(items: list[dict]):
    """The first page says that more follow, and the next one is empty."""
    return lambda asked: page() if asked.one("after") else page(*items, more=True)


def test_a_page_that_was_promised_and_came_empty_lets_nobody_go(server, dest):
    """However few they are: the source said that there was more."""
    lists(server, people(30))
    sync(dest, server, *TABLES)
    before = contents(dest / "users")
    server.answers[USERS] = [promised(people(29))]
    run = sync(dest, server, *TABLES, code=2)
    assert_held(run, dest, missing=1, of=30)
    assert contents(dest / "users") == before and "empty page" in run.err
    sync(dest, server, *TABLES)
    assert alive(dest) == ids(people(29))


def test_such_a_page_behind_all_that_is_known_is_a_warning(server, dest):
    lists(server, people(30))
    sync(dest, server, *TABLES)
    server.answers[USERS] = [promised(people(31))]
    run = sync(dest, server, *TABLES)
    assert alive(dest) == ids(people(31)) and any("empty page" in text for text in run.table("users")["warnings"])


AUDIT = "/organization/audit_logs"


def test_such_a_page_of_a_window_is_asked_for_again(server, dest):
    """Of events nobody knows how many there should be."""
    event = {"id": "audit_log-1", "type": "logout.succeeded", "effective_at": 1_700_000_000}
    server.answers[AUDIT] = [promised([event])]
    run = sync(dest, server, "--tables", "audit_logs", "--since", "2023-11-01", code=3)
    assert "empty page" in run.table("audit_logs")["error"]["message"] and run.table("audit_logs")["error"]["cure"]
    server.answers[AUDIT] = [lambda asked: page({**event, "id": "audit_log-2"}) if asked.one("after") else page(event, more=True)]
    sync(dest, server, "--tables", "audit_logs", "--since", "2023-11-01")
    assert {row["id"] for row in lake_rows(dest, spec("audit_logs"))} == {"audit_log-1", "audit_log-2"}


def test_a_source_that_ends_its_lists_so_can_be_described(server, dest):
    """The hint of that error, done as it says."""
    folder = dest.parent / "tables/admin"
    folder.mkdir(parents=True)
    built_in = (ROOT / "schemas/admin/audit_logs.toml").read_text()
    (folder / "audit_logs.toml").write_text(built_in.replace("[paging]\n", "[paging]\nempty_ends = true\n"))
    event = {"id": "audit_log-1", "type": "logout.succeeded", "effective_at": 1_700_000_000}
    server.answers[AUDIT] = [promised([event])]
    flags = ("--tables", "audit_logs", "--since", "2023-11-01")
    run = sync(dest, server, *flags, code=3)
    assert "`empty_ends = true`" in run.table("audit_logs")["error"]["cure"] and "--schemas" in run.table("audit_logs")["error"]["cure"]
    sync(dest, server, *flags, "--schemas", folder.parent)
    assert [row["id"] for row in lake_rows(dest, spec("audit_logs"))] == ["audit_log-1"]


@pytest.mark.parametrize("status", [400, 404, 410, 500])
def test_a_cursor_that_the_source_no_longer_knows_ends_no_list(server, dest, status):
    lists(server, ALL)
    sync(dest, server, *TABLES)
    before = contents(dest / "users")
    server.answers[USERS] = [lambda asked: Answer({"error": {"message": "no such cursor"}}, status=status) if asked.one("after")
                             else page(*ALL[:100], more=True)]
    sync(dest, server, *TABLES, code={0, 2}, retries=0)
    assert contents(dest / "users") == before


TABLE_THAT_MAY_BE_ABSENT = """
doc = "Things."
key = ["id"]
[request]
path   = "/organization/things"
rows   = ["/data"]
absent = [404]
[paging]
send  = "after"
from  = "/last_id"
while = "/has_more"
[columns]
id = { type = "string", doc = "Id." }
"""


def test_404_in_the_middle_of_a_list_that_may_be_absent_is_no_end(server, dest):
    folder = dest.parent / "tables/admin"
    folder.mkdir(parents=True)
    (folder / "things.toml").write_text(TABLE_THAT_MAY_BE_ABSENT)
    flags = ("--schemas", folder.parent, "--tables", "things")
    path = "/organization/things"
    server.answers[path] = [paged(people(12), size=10)]
    sync(dest, server, *flags)
    gone = Answer({"error": {"message": "not found"}}, status=404)
    server.answers[path] = [lambda asked: gone if asked.one("after") else page(*people(10), more=True)]
    run = sync(dest, server, *flags, code=3)
    assert "page 2" in run.table("things")["error"]["message"]
    server.answers[path] = [gone]
    sync(dest, server, *flags)  # as a whole it may be absent, and 12 rows are few


# ---- many lists -------------------------------------------------------------------------------------------

MEMBERS = ("--tables", "projects,project_users")


def project(id: str, status: str = "active") -> dict:
    return {"object": "organization.project", "id": id, "name": id, "created_at": 1_700_000_000, "status": status,
            "archived_at": None if status == "active" else 1_700_000_001}


def member_path(id: str) -> str:
    return f"{PROJECTS}/{id}/users"


def company(server, sizes: dict[str, int], statuses: dict[str, str] | None = None) -> None:
    """Projects with so many users each."""
    server.answers[PROJECTS] = [paged([project(id, (statuses or {}).get(id, "active")) for id in sizes])]
    for id, size in sizes.items():
        server.answers[member_path(id)] = [paged(people(size))]


def members(dest) -> Counter:
    return Counter(row["project_id"] for row in lake_rows(dest, spec("project_users")) if not row["_deleted"])


SIZES = {f"proj_{n}": 40 for n in range(5)}


def test_one_list_of_many_that_broke_off_keeps_its_rows_and_the_others_go_on(server, dest):
    company(server, SIZES)
    sync(dest, server, *MEMBERS)
    company(server, {**SIZES, "proj_1": 5, "proj_2": 35, "proj_3": 44})
    run = sync(dest, server, *MEMBERS, code=2)
    assert members(dest) == Counter({**SIZES, "proj_2": 35, "proj_3": 44})
    (told,) = run.table("project_users")["skipped"]
    assert told["parent"] == "project_id=proj_1" and "35 of 40 rows" in told["reason"] and "--accept-deletes" in told["cure"]
    assert run.table("project_users")["status"] == "ok" and run.table("project_users")["tombstones"] == 5
    run = sync(dest, server, *MEMBERS)
    assert members(dest) == Counter({**SIZES, "proj_1": 5, "proj_2": 35, "proj_3": 44})
    assert held(dest, "project_users") is None
    record("one list of many that broke off", "five projects of 40 users; the list of one of them gave 5", "200 users",
           "40 users of that project, and the truth of the others; exit 2", "the next sync that says the same gives the truth; exit 0")


def test_the_flag_lets_such_a_list_through(server, dest):
    company(server, SIZES)
    sync(dest, server, *MEMBERS)
    company(server, {**SIZES, "proj_1": 5})
    run = sync(dest, server, *MEMBERS, code=2)
    flags = re.search(r"`(--tables .*?)`", run.table("project_users")["skipped"][0]["cure"]).group(1).split()
    sync(dest, server, *flags)
    assert members(dest) == Counter({**SIZES, "proj_1": 5})


def test_small_lists_that_all_broke_off_are_held_back_together(server, dest):
    sizes = {f"proj_{n}": 10 for n in range(8)}
    company(server, sizes)
    sync(dest, server, *MEMBERS)
    before = contents(dest / "project_users")
    company(server, dict.fromkeys(sizes, 3))
    run = sync(dest, server, *MEMBERS, code=2)
    assert_held(run, dest, "project_users", missing=56, of=80)
    assert contents(dest / "project_users") == before
    sync(dest, server, *MEMBERS)
    assert members(dest) == Counter(dict.fromkeys(sizes, 3))


def test_when_every_list_broke_off_the_table_is_as_it_was(server, dest):
    company(server, SIZES)
    sync(dest, server, *MEMBERS)
    before = contents(dest / "project_users")
    company(server, dict.fromkeys(SIZES, 0))
    assert_held(sync(dest, server, *MEMBERS, code=2), dest, "project_users", missing=200, of=200)
    assert contents(dest / "project_users") == before


def test_children_of_parents_that_are_held_back_stay(server, dest):
    sizes = {f"proj_{n:02}": 3 for n in range(30)}
    company(server, sizes)
    sync(dest, server, *MEMBERS)
    before = {name: contents(dest / name) for name in ("projects", "project_users")}
    server.answers[PROJECTS] = [page(project("proj_00"))]
    run = sync(dest, server, *MEMBERS, code=2)
    assert_held(run, dest, "projects", missing=29, of=30)
    assert run.table("project_users")["status"] == "skipped"
    assert {name: contents(dest / name) for name in before} == before
    company(server, sizes)
    sync(dest, server, *MEMBERS)
    assert members(dest) == Counter(sizes) and sum(alive(dest, "projects").values()) == 30


def test_children_of_few_parents_that_are_gone_are_held_back_when_they_are_most_of_their_table(server, dest):
    """The list of projects may have broken off, and it is too short to be judged by itself."""
    company(server, SIZES)
    sync(dest, server, *MEMBERS)
    before = contents(dest / "project_users")
    company(server, {"proj_0": 40, "proj_1": 40})
    run = sync(dest, server, *MEMBERS, code=2)
    assert run.table("projects")["tombstones"] == 3
    assert_held(run, dest, "project_users", missing=120, of=200)
    assert contents(dest / "project_users") == before
    company(server, SIZES)
    sync(dest, server, *MEMBERS)
    assert members(dest) == Counter(SIZES)


def test_the_children_of_one_parent_that_is_gone_go_with_it(server, dest):
    company(server, SIZES)
    sync(dest, server, *MEMBERS)
    company(server, {id: size for id, size in SIZES.items() if id != "proj_4"})
    sync(dest, server, *MEMBERS)
    assert members(dest) == Counter({id: size for id, size in SIZES.items() if id != "proj_4"})


def test_a_source_that_archives_is_believed(server, dest):
    """Children of archived projects are not asked for, and stay: there is nothing to hold back."""
    company(server, SIZES)
    sync(dest, server, *MEMBERS)
    company(server, SIZES, dict.fromkeys(list(SIZES)[:4], "archived"))
    sync(dest, server, *MEMBERS)
    assert members(dest) == Counter(SIZES)


def test_an_emptied_list_is_not_the_source_saying_so(server, dest):
    """404 for a list that may be absent is an empty list."""
    company(server, SIZES)
    sync(dest, server, *MEMBERS)
    for id in SIZES:
        server.answers[member_path(id)] = [page()]
    assert_held(sync(dest, server, *MEMBERS, code=2), dest, "project_users")


# ---- versions, and lists read in part ------------------------------------------------------------------------

VERSIONS = "[tables.users]\nhistory = true\n"


def test_with_history_no_version_is_closed(server, dest):
    lists(server, ALL)
    sync(dest, server, *TABLES, config=VERSIONS)
    lists(server, [{**one, "role": "owner"} for one in ALL])
    sync(dest, server, *TABLES, config=VERSIONS)
    before = contents(dest / "users")
    lists(server, ALL[:100])
    assert_held(sync(dest, server, *TABLES, config=VERSIONS, code=2), dest, missing=150, of=250)
    assert contents(dest / "users") == before
    run = sync(dest, server, *TABLES, config=VERSIONS)
    assert run.table("users")["tombstones"] == 150 and alive(dest) == ids(ALL[:100])
    rows = lake_rows(dest, spec("users"))
    assert len(rows) == 250 + 250 + 100, "both versions of each, and the third of those that changed back"


FILES, KEY = "/files", "sk-proj-scripted-1"


def files(count: int) -> list[dict]:
    return [{"id": f"file-{n:04}", "object": "file", "bytes": n, "created_at": 1_700_000_000 - n, "filename": f"{n}.jsonl",
             "purpose": "batch", "status": "processed"} for n in range(count)]


def test_a_table_that_is_read_in_part_is_read_whole_again_before_it_is_believed(server, dest):
    env = {"OPENAI_PROJECT_KEYS": f"proj_1={KEY}"}
    table = ("--tables", "files")

    def offer(items):
        server.answers[FILES] = [paged(items, size=10)]

    offer(files(60))
    sync(dest, server, *table, env=env)
    full = state(dest)["tables"]["files"]["last_full_refresh_at"]
    offer(files(10))
    assert_held(sync(dest, server, *table, "--full-refresh", env=env, code=2), dest, "files", missing=50, of=60)
    assert state(dest)["tables"]["files"]["last_full_refresh_at"] == full
    offer(files(60))
    run = sync(dest, server, *table, env=env)
    assert run.table("files")["in_part"] and sum(alive(dest, "files").values()) == 60
    offer(files(10))
    sync(dest, server, *table, "--full-refresh", env=env)
    assert sum(alive(dest, "files").values()) == 10


def test_two_projects_keys_are_two_lists(server, dest):
    env = {"OPENAI_PROJECT_KEYS": f"proj_1={KEY}1,proj_2={KEY}2"}
    table = ("--tables", "files", "--full-refresh")

    def offer(one, two):
        server.answers[FILES] = [lambda asked: page(*(one if asked.headers["authorization"].endswith("1") else two))]

    offer(files(60), files(60))
    sync(dest, server, *table, env=env)
    offer(files(60), files(10))
    run = sync(dest, server, *table, env=env, code=2)
    assert [told["parent"] for told in run.table("files")["skipped"]] == ["project_id=proj_2"]
    assert sum(alive(dest, "files").values()) == 60 + 60 or len(lake_rows(dest, spec("files"))) == 120
    sync(dest, server, *table, env=env)
    rows = [row for row in lake_rows(dest, spec("files")) if not row["_deleted"]]
    assert Counter(row["project_id"] for row in rows) == Counter(proj_1=60, proj_2=10)


def test_an_object_that_nobody_changed_is_not_named_in_the_report(server, dest):
    lists(server, ALL)
    sync(dest, server, *TABLES)
    lists(server, ALL[:100])
    run = sync(dest, server, *TABLES, code=2)
    assert run.table("users")["settled_after"] == run.table("users")["settled_before"]
    verified = command("verify", "--dest", dest, code=0)
    assert "differ" not in verified.err or verified.code == 0
    assert len(objects(dest, "users")) == 1
