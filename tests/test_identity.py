"""The lake remembers whose it is: keys of another organization, workspace or project are refused before anything is written.

Responses carry `openai-organization` and `openai-project`. A project's rows carry its id from there, whatever name its
key has in OPENAI_PROJECT_KEYS, so that one project is one project.
"""

import json

import pytest

from conftest import command, contents, objects, settings, spec, state, sync
from fixtures.sources import CODEX_KEY, COMPLIANCE_KEY, ORGANIZATION, OTHER_WORKSPACE, WORKSPACE, Keys, organization
from reliability import INTEGRITY, record
from scripted import Answer, Scripted, page, user
from servers import Place
from truth import bag, by_key, lake_rows, true_rows, without
import stores

OURS, THEIRS = "org-Kestrel", "org-Merlin"
ACCEPT = "--accept-organization-change"
USERS = "/organization/users"
KEYS = {"ours": "sk-admin-ours-3a1b", "theirs": "sk-admin-theirs-8f2c"}
ADMIN_TABLES = ("--tables", "users,invites,costs")


class Companies(Scripted):
    """Two companies behind one address: whose key it is says what is answered, and the headers say whose it was."""

    def __init__(self, headers: bool = True):
        super().__init__(upstream=self)
        self.headers = headers
        self.of = {KEYS["ours"]: (OURS, None), KEYS["theirs"]: (THEIRS, None)}
        self.lists = {(OURS, USERS): [user("user-1"), user("user-2")], (THEIRS, USERS): [user("user-9")]}
        self.lost = False

    def project(self, key: str, project: str, organization: str = OURS, *files: str) -> str:
        self.of[key] = (organization, project)
        self.lists[(project, "/files")] = [file(name) for name in files]
        return key

    def forward(self, asked) -> Answer:
        company, project = self.of[asked.headers["authorization"].removeprefix("Bearer ")]
        answer = page(*self.lists.get((project or company, asked.path), []))
        if self.headers:
            answer.headers = {"openai-organization": company, **({"openai-project": project} if project else {})}
        return answer

    def env(self, who: str = "ours", **more: str) -> dict[str, str]:
        base = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        keys = {} if "OPENAI_PROJECT_KEYS" in more else {"OPENAI_ADMIN_KEY": KEYS[who]}
        return {"OPENAI_BASE_URL": base, "CHATGPT_BASE_URL": base, **keys, **more}

    def keys(self, who: str = "ours", **more: str) -> Keys:
        return Keys(self.env(who, **more))


def file(id: str) -> dict:
    return {"object": "file", "id": id, "bytes": 1, "created_at": 1_700_000_000, "filename": f"{id}.txt", "purpose": "batch", "status": "processed"}


@pytest.fixture
def dest(tmp_path):
    return tmp_path / "lake"


@pytest.fixture
def server():
    with Companies() as running:
        yield running


def untouched(dest) -> dict[str, bytes]:
    """Everything but the note of who had the lease last."""
    return without(contents(dest), "_state/lease")


def users(dest) -> dict[str, bool]:
    return {row["id"]: bool(row["_deleted"]) for row in lake_rows(dest, spec("users"))}


def owner(dest) -> dict:
    return json.loads((dest / "_state/lake.json").read_text())


def assert_refused(run, *words: str) -> None:
    assert run.out == "" and all(word in run.err for word in words) and "hint: " in run.err and ACCEPT in run.err, run.err


# ---- another organization ------------------------------------------------------------------------------


@pytest.mark.parametrize("tables", ["users", "costs", "users,invites,costs,groups"])
def test_a_key_of_another_organization_touches_nothing(server, dest, tables):
    sync(dest, server.keys(), "--tables", "users")
    before = untouched(dest)
    server.asked.clear()
    run = sync(dest, server.keys("theirs"), "--tables", tables, code=4)
    assert_refused(run, OURS, THEIRS, "OPENAI_ADMIN_KEY")
    assert untouched(dest) == before, "nothing was written"
    assert 1 <= len(server.asked) <= 2, "one response tells it"
    sync(dest, server.keys(), "--tables", "users")
    assert users(dest) == {"user-1": False, "user-2": False}
    record("a key of another organization", "a second sync with it, into the same destination", "2 users",
           "as before, byte by byte; exit 4, which names both organizations", "2 users", INTEGRITY)


def test_the_flag_of_the_hint_says_that_it_is_meant(server, dest):
    sync(dest, server.keys(), "--tables", "users")
    sync(dest, server.keys("theirs"), "--tables", "users", code=4)
    sync(dest, server.keys("theirs"), "--tables", "users", ACCEPT)
    assert users(dest) == {"user-1": True, "user-2": True, "user-9": False}
    sync(dest, server.keys("theirs"), "--tables", "users")
    assert_refused(sync(dest, server.keys(), "--tables", "users", code=4), THEIRS, OURS)


def test_no_request_more_is_sent_for_it(server, dest):
    """The header of a response that is wanted anyway tells it: each list is asked for once."""
    for _ in range(2):
        server.asked.clear()
        run = sync(dest, server.keys(), *ADMIN_TABLES)
        paths = [(asked.path, asked.raw) for asked in server.asked]
        assert len(paths) == len(set(paths)), paths
        assert sum(run.table(name)["requests"] for name in ("users", "invites", "costs")) == len(paths)


@pytest.mark.parametrize("how", [("state", "reset", "*"), ("state", "rebuild")], ids=["state reset", "state rebuild"])
def test_the_memory_is_the_destinations_and_not_the_states(server, dest, how):
    sync(dest, server.keys(), "--tables", "users")
    command(*how, "--dest", dest, code=0)
    before = untouched(dest)
    sync(dest, server.keys("theirs"), "--tables", "users", code=4)
    assert untouched(dest) == before


def test_a_state_elsewhere_changes_nothing(server, dest, tmp_path):
    sync(dest, server.keys(), "--tables", "users", "--state", tmp_path / "one.json")
    sync(dest, server.keys("theirs"), "--tables", "users", "--state", tmp_path / "two.json", code=4)
    assert not (tmp_path / "two.json").exists()
    sync(tmp_path / "another", server.keys("theirs"), "--tables", "users", "--state", tmp_path / "two.json")


def test_a_lake_of_before_learns_whose_it_is(server, dest):
    sync(dest, server.keys(), "--tables", "users")
    (dest / "_state/lake.json").unlink()
    sync(dest, server.keys(), "--tables", "users")
    assert OURS in json.dumps(owner(dest))
    sync(dest, server.keys("theirs"), "--tables", "users", code=4)


def test_without_the_header_nothing_is_remembered_and_nothing_fails(dest):
    """A proxy on the way takes headers away."""
    with Companies(headers=False) as server:
        sync(dest, server.keys(), "--tables", "users")
        assert not (dest / "_state/lake.json").exists()
        sync(dest, server.keys("theirs"), "--tables", "users")
        server.headers = True
        sync(dest, server.keys(), "--tables", "users")
        assert_refused(sync(dest, server.keys("theirs"), "--tables", "users", code=4), OURS, THEIRS)


def test_a_refused_key_teaches_nothing(server, dest):
    server.answers[USERS] = [Answer({"error": {"message": "no"}}, status=401, headers={"openai-organization": THEIRS})]
    sync(dest, server.keys(), "--tables", "users", code=3)
    del server.answers[USERS]
    sync(dest, server.keys(), "--tables", "users")
    assert users(dest) == {"user-1": False, "user-2": False}


def test_the_other_credentials_of_the_run_write_nothing_either(server, dest):
    """The project key is ours, the Admin key is not: neither writes, whichever answers first."""
    key = server.project("sk-proj-ours-77aa", "proj_1", OURS, "file-1")
    both = {"OPENAI_PROJECT_KEYS": f"proj_1={key}"}
    sync(dest, server.keys(**both, OPENAI_ADMIN_KEY=KEYS["ours"]), "--tables", "users,files")
    before = untouched(dest)
    run = sync(dest, server.keys(**both, OPENAI_ADMIN_KEY=KEYS["theirs"]), "--tables", "users,files", code=4)
    assert_refused(run, OURS, THEIRS, "OPENAI_ADMIN_KEY")
    stranger = server.project("sk-proj-theirs-99cc", "proj_9", THEIRS, "file-9")
    more = {"OPENAI_PROJECT_KEYS": f"proj_1={key},proj_9={stranger}"}
    run = sync(dest, server.keys(**more, OPENAI_ADMIN_KEY=KEYS["ours"]), "--tables", "users,files", code=4)
    assert_refused(run, OURS, THEIRS, "proj_9")
    assert untouched(dest) == before
    run = sync(dest.parent / "new", server.keys(**more), "--tables", "files", code=4)
    assert_refused(run, OURS, THEIRS)
    assert not (dest.parent / "new/files").exists()


def test_an_organization_may_be_told_by_its_name(server, dest):
    """An id and a name cannot be compared; two names can."""
    server.of[KEYS["theirs"]] = ("kestrel-inc", None)
    sync(dest, server.keys(), "--tables", "users")
    sync(dest, server.keys("theirs"), "--tables", "users")
    server.of[KEYS["theirs"]] = ("merlin-inc", None)
    assert_refused(sync(dest, server.keys("theirs"), "--tables", "users", code=4), "kestrel-inc", "merlin-inc")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version":99}', '{"version":1,"whose":"mine"}'])
def test_a_memory_that_cannot_be_trusted_touches_nothing(server, dest, text):
    sync(dest, server.keys(), "--tables", "users")
    path = dest / "_state/lake.json"
    path.write_text(text)
    before = untouched(dest)
    run = sync(dest, server.keys(), "--tables", "users", code=4)
    assert "lake.json" in run.err and "hint: " in run.err and untouched(dest) == before
    path.unlink()
    sync(dest, server.keys(), "--tables", "users")


def test_the_memory_is_private(server, dest):
    sync(dest, server.keys(), "--tables", "users")
    assert (dest / "_state/lake.json").stat().st_mode & 0o077 == 0
    assert not any(key in (dest / "_state/lake.json").read_text() for key in KEYS.values())


@pytest.fixture(params=["seaweed", "azurite"])
def place(request) -> Place:
    return request.getfixturevalue(request.param).place()


def test_it_is_the_same_in_an_object_store(server, place):
    stores.sync(place, server.keys(), "--tables", "users")
    held = {name: place.read(name) for name in place.names() if name != "_state/lease"}
    run = stores.sync(place, server.keys("theirs"), "--tables", "users", code=4)
    assert_refused(run, OURS, THEIRS)
    assert {name: place.read(name) for name in place.names() if name != "_state/lease"} == held
    stores.sync(place, server.keys("theirs"), "--tables", "users", ACCEPT)
    stores.sync(place, server.keys("theirs"), "--tables", "users")


def test_check_reports_it(server, dest):
    sync(dest, server.keys(), "--tables", "users")
    before = contents(dest)
    flags = ("check", "--dest", dest, "--config", settings(dest), "--tables", "users")
    assert "another owner" not in command(*flags, env=server.env(), code=0).out
    run = command(*flags, env=server.env("theirs"), code=4)
    assert all(word in run.out for word in (OURS, THEIRS, ACCEPT))
    found = json.loads(command(*flags, "--format", "json", env=server.env("theirs"), code=4).out)
    assert [finding["status"] for finding in found if finding["name"] == str(dest)] == ["ok", "another owner"]
    assert contents(dest) == before


# ---- workspaces and the organization of the log files --------------------------------------------


@pytest.fixture(scope="module")
def company():
    running = organization("--projects", 3, "--users", 5, "--history-days", 3)
    yield running
    running.stop()


CHATGPT = {"codex": "codex_code_reviews", "compliance": "chatgpt_users"}


@pytest.mark.parametrize("surface", CHATGPT)
def test_a_workspace_that_answers_for_another_organization(company, dest, surface):
    source, tables = company.only(surface), ("--tables", CHATGPT[surface])
    sync(dest, source, *tables)
    before = untouched(dest)
    company.fault("/chatgpt/v1/", headers={"openai-organization": THEIRS})
    try:
        assert_refused(sync(dest, source, *tables, code=4), THEIRS, company.organization_id)
        assert untouched(dest) == before
        sync(dest, source, *tables, ACCEPT)
    finally:
        company.heal()
    sync(dest, source, *tables, code=4)


@pytest.mark.parametrize("surface", CHATGPT)
def test_workspaces_come_and_go_but_not_all_at_once(company, dest, surface):
    first, second = company.workspace_ids
    tables = ("--tables", CHATGPT[surface])
    source = Keys({name: value for name, value in company.only(surface).env().items() if name != "OPENAI_ORGANIZATION_ID"})
    sync(dest, source, *tables, env={"CHATGPT_WORKSPACE_IDS": first})
    before = untouched(dest)
    company.forget()
    assert_refused(sync(dest, source, *tables, env={"CHATGPT_WORKSPACE_IDS": second}, code=4), first, second)
    assert untouched(dest) == before and company.requests() == [], "what is configured needs no request"
    sync(dest, source, *tables, env={"CHATGPT_WORKSPACE_IDS": f"{first},{second}"})
    sync(dest, source, *tables, env={"CHATGPT_WORKSPACE_IDS": second})


def test_log_files_of_another_organization(company, dest):
    tables = ("--tables", "log_costs")
    sync(dest, company.only("compliance"), *tables)
    before = untouched(dest)
    assert_refused(sync(dest, company.only("compliance"), *tables, env={"OPENAI_ORGANIZATION_ID": THEIRS}, code=4), THEIRS, "OPENAI_ORGANIZATION_ID")
    assert untouched(dest) == before


def test_all_surfaces_of_the_simulated_organization_agree(company, dest):
    for _ in range(2):
        sync(dest, company, "--tables", "users,files,codex_code_reviews,chatgpt_users,log_costs")
    known = owner(dest)
    assert known["organization_id"] == known["log_files_of"] == company.organization_id
    assert known["projects"] == {project: project for project in company.project_keys}
    assert set(known["workspaces"]) == set(company.workspace_ids)


# ---- projects ----------------------------------------------------------------------------------------


def project_rows(dest, table: str = "files") -> list[tuple[str, str]]:
    return sorted((row["project_id"], row["id"]) for row in lake_rows(dest, spec(table)) if not row.get("_deleted"))


def test_a_name_that_answers_for_another_project(server, dest):
    one, two = server.project("sk-proj-one-11", "proj_1", OURS, "file-1"), server.project("sk-proj-two-22", "proj_2", OURS, "file-2")
    for name in ("web", "proj_1"):
        dest = dest.parent / name
        sync(dest, server.keys(OPENAI_PROJECT_KEYS=f"{name}={one}"), "--tables", "files")
        before = untouched(dest)
        run = sync(dest, server.keys(OPENAI_PROJECT_KEYS=f"{name}={two}"), "--tables", "files", code=4)
        assert_refused(run, name, "proj_1", "proj_2")
        assert untouched(dest) == before
        sync(dest, server.keys(OPENAI_PROJECT_KEYS=f"{name}={one},more={two}"), "--tables", "files")
        assert project_rows(dest) == [("proj_1", "file-1"), ("proj_2", "file-2")]
    dest = dest.parent / "web"
    sync(dest, server.keys(OPENAI_PROJECT_KEYS=f"web={two}"), "--tables", "files", ACCEPT)
    sync(dest, server.keys(OPENAI_PROJECT_KEYS=f"web={two}"), "--tables", "files")
    assert project_rows(dest) == [("proj_1", "file-1"), ("proj_2", "file-2")]
    record("a project key under the name of another one", "`web` was the key of one project, and is that of a second one", "1 file",
           "as before; exit 4, which names both projects", "the files of both, each under its project", INTEGRITY)


def test_a_misnamed_key_is_corrected_as_its_hint_says(server, dest):
    one, two = server.project("sk-proj-one-11", "proj_1", OURS, "file-1"), server.project("sk-proj-two-22", "proj_2", OURS, "file-2")
    run = sync(dest, server.keys(OPENAI_PROJECT_KEYS=f"proj_1={two}"), "--tables", "files", code=3)
    assert "correct the name" in run.table("files")["error"]["cure"]
    sync(dest, server.keys(OPENAI_PROJECT_KEYS=f"proj_1={one},proj_2={two}"), "--tables", "files")
    assert project_rows(dest) == [("proj_1", "file-1"), ("proj_2", "file-2")]


@pytest.mark.parametrize("names", [["", "proj_1"], ["web", "proj_1"], ["proj_1", "web"], ["", "web", "proj_1", "shop"]], ids=str)
def test_one_project_is_one_whatever_its_key_is_called(server, dest, names):
    key = server.project("sk-proj-one-11", "proj_1", OURS, "file-1", "file-2")
    for name in names:
        sync(dest, server.keys(OPENAI_PROJECT_KEYS=f"{name}={key}" if name else key), "--tables", "files")
        assert project_rows(dest) == [("proj_1", "file-1"), ("proj_1", "file-2")]


TREE = ["files", "vector_stores", "vector_store_files", "evals", "eval_runs", "containers", "container_files"]


def test_the_tables_of_a_project_are_the_same_under_any_name(company, tmp_path):
    """Parents and children, with a nickname and with the id: the same rows, and the second sync doubles none."""
    project, key = next(iter(company.project_keys.items()))
    flags = ("--tables", ",".join(TREE))
    sync(tmp_path / "id", company.only("project"), *flags, env={"OPENAI_PROJECT_KEYS": f"{project}={key}"})
    for name in (f"web={key}", key, f"{project}={key}"):
        sync(tmp_path / "name", company.only("project"), *flags, env={"OPENAI_PROJECT_KEYS": name})
        for table in TREE:
            rows = [[without(row, "_synced_at") for row in lake_rows(tmp_path / lake, spec(table))] for lake in ("id", "name")]
            assert rows[0] and bag(rows[0]) == bag(rows[1]), table


def test_two_keys_of_one_project_read_it_once(server, dest):
    one, two = server.project("sk-proj-one-11", "proj_1", OURS, "file-1"), "sk-proj-again-33"
    server.of[two] = (OURS, "proj_1")
    run = sync(dest, server.keys(OPENAI_PROJECT_KEYS=f"web={one},proj_1={two}"), "--tables", "files,batches")
    assert project_rows(dest) == [("proj_1", "file-1")]
    (warning,) = [warning for table in ("files", "batches") for warning in run.table(table)["warnings"]]
    assert "`web`" in warning and "`proj_1`" in warning and warning in run.err
    assert run.table("files")["rows_read"] == 1 and not run.table("files")["skipped"]


def test_of_two_keys_of_one_project_the_good_one_reads(server, dest):
    good = server.project("sk-proj-one-11", "proj_1", OURS, "file-1")
    revoked = Answer({"error": {"message": "no", "code": "invalid_api_key"}}, status=401)
    forward = server.forward
    server.forward = lambda asked: revoked if asked.headers["authorization"].endswith("revoked") else forward(asked)
    for names in (("proj_1", "web"), ("web", "proj_1")):
        sync(dest, server.keys(OPENAI_PROJECT_KEYS=f"web={good}"), "--tables", "files")
        keys = {"proj_1": "sk-proj-revoked", "web": good}
        run = sync(dest, server.keys(OPENAI_PROJECT_KEYS=",".join(f"{name}={keys[name]}" for name in names)), "--tables", "files")
        assert project_rows(dest) == [("proj_1", "file-1")] and run.table("files")["rows_read"] == 1


@pytest.mark.parametrize("name", ["web", ""])
def test_rows_of_a_name_become_rows_of_the_id(dest, name):
    """As an older version wrote them, or behind a proxy that takes headers away."""
    with Companies(headers=False) as server:
        key = server.project("sk-proj-one-11", "proj_1", OURS, "file-1", "file-2")
        keys = server.keys(OPENAI_PROJECT_KEYS=f"{name}={key}" if name else key)
        sync(dest, keys, "--tables", "files,batches")
        assert project_rows(dest) == [(name or "default", "file-1"), (name or "default", "file-2")]
        server.headers = True
        server.lists[("proj_1", "/files")] = [file("file-2"), file("file-3")]
        for flags in ((), ("--full-refresh",)):
            sync(dest, keys, "--tables", "files,batches", *flags)
            rows = [(row["project_id"], row["id"]) for row in lake_rows(dest, spec("files"))]
            assert {project for project, _ in rows} == {"proj_1"} and len(rows) == len(set(rows)) == 3
        server.headers = False
        sync(dest, keys, "--tables", "files")
        assert {project for project, _ in project_rows(dest)} == {"proj_1"}, "what was learned is remembered"
    record("rows under the nickname of a project", "responses tell the project's id from now on", "2 files under the name",
           "3 files, all under the id, none twice", "the same", INTEGRITY)


def test_children_of_a_name_stay_children_of_the_id(company, tmp_path):
    """The parents' rows and the children's are of the name; the next sync finds them as the id's."""
    project, key = next(iter(company.project_keys.items()))
    dest, flags = tmp_path / "lake", ("--tables", "vector_stores,vector_store_files")
    strip = {"openai-project": "", "openai-organization": ""}
    for path in ("/vector_stores", "/vector_stores/*/files"):
        company.fault(path, headers=strip)
    sync(dest, company.only("project"), *flags, env={"OPENAI_PROJECT_KEYS": f"web={key}"})
    company.heal()
    assert {row["project_id"] for row in lake_rows(dest, spec("vector_store_files"))} == {"web"}
    sync(dest, company.only("project"), *flags, env={"OPENAI_PROJECT_KEYS": f"web={key}"})
    for table in ("vector_stores", "vector_store_files"):
        rows = [row for row in lake_rows(dest, spec(table)) if not row.get("_deleted")]
        true = [row for row in true_rows(spec(table), company.truth(table)) if row["project_id"] == project]
        assert bag(without(row, "_synced_at", "_deleted") for row in rows) == bag(true), table
        assert len(lake_rows(dest, spec(table))) == len(rows)


def test_rows_that_are_there_under_both_names_become_one(dest):
    """The lake of somebody who had given the nickname first and the id afterwards."""
    with Companies(headers=False) as server:
        key = server.project("sk-proj-one-11", "proj_1", OURS, "file-1", "file-2")
        for name in ("web", "proj_1"):
            sync(dest, server.keys(OPENAI_PROJECT_KEYS=f"{name}={key}"), "--tables", "files")
        assert len(project_rows(dest)) == 4
        server.headers = True
        server.lists[("proj_1", "/files")] = [file("file-2")]
        sync(dest, server.keys(OPENAI_PROJECT_KEYS=f"web={key}"), "--tables", "files")
        rows = [(row["project_id"], row["id"]) for row in lake_rows(dest, spec("files"))]
        assert sorted(rows) == [("proj_1", "file-1"), ("proj_1", "file-2")]


def test_a_project_that_becomes_known_late_writes_no_row_under_its_name(server, dest):
    """The first requests fail, so its id is not known when the tables begin; rows under the name would be doubled later."""
    key = server.project("sk-proj-one-11", "proj_1", OURS, "file-1")
    keys = server.keys(OPENAI_PROJECT_KEYS=f"web={key}")
    broken = Answer({"error": {"message": "later"}}, status=500)
    server.answers["/files"] = [broken, server.forward]
    run = sync(dest, keys, "--tables", "files", code={0, 3})
    assert project_rows(dest) == [("proj_1", "file-1")] if run.code == 0 else not (dest / "files").exists()
    sync(dest, keys, "--tables", "files")
    assert project_rows(dest) == [("proj_1", "file-1")]


def test_dry_run_knows_the_parents_of_a_nickname(company, tmp_path):
    project, key = next(iter(company.project_keys.items()))
    flags, env = ("--tables", "vector_stores,vector_store_files"), {"OPENAI_PROJECT_KEYS": f"web={key}"}
    sync(tmp_path / "lake", company.only("project"), *flags, env=env)
    planned = sync(tmp_path / "lake", company.only("project"), *flags, "--dry-run", "--full-refresh", env=env).report["tables"]
    assert planned["vector_store_files"]["lists"] == len(project_rows(tmp_path / "lake", "vector_stores"))
