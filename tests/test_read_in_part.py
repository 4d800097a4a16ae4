"""Tables that are not read whole every time: what is left unread is known, and nothing that changed is missed for long.

The lists are a test's own, newest first, many pages long. After every sync the lake holds what the source
has, but for deletes and changes below the point where the reading stopped: these come with the full pass.
"""

import json
import time
from dataclasses import dataclass, field

import pytest

from conftest import command, failures, small_disk, spec, state, sync
from fixtures.sources import Keys, organization
from reliability import record
from scripted import Answer, Scripted
from truth import bag, lake_rows

HOUR, DAY = 3_600, 86_400
KEYS = {"proj_a": "sk-proj-scripted-a-11aa", "proj_b": "sk-proj-scripted-b-22bb"}


@dataclass
class Batches:
    """Lists of batches, one for each project key; pages as the API cuts them."""

    lists: dict[str, list[dict]] = field(default_factory=lambda: {project: [] for project in KEYS})
    newest_first: bool = True
    now: int = field(default_factory=lambda: int(time.time()))
    broken: dict[str, int] = field(default_factory=dict)  # project -> page from which on its list fails
    asked: list[tuple[str, int]] = field(default_factory=list)

    def add(self, project: str, count: int, ago: int, every: int = 60, status: str = "completed", name: str = "b") -> None:
        """So many batches, the newest `ago` seconds old, one every so many seconds before it."""
        for number in range(count):
            self.lists[project].append({
                "id": f"batch_{project}_{name}{ago}_{number}", "object": "batch", "status": status, "endpoint": "/v1/responses",
                "input_file_id": "file-1", "completion_window": "24h", "created_at": self.now - ago - number * every,
            })

    def sorted(self, project: str) -> list[dict]:
        return sorted(self.lists[project], key=lambda batch: batch["created_at"], reverse=self.newest_first)

    def __call__(self, asked) -> Answer:
        project = next(p for p, key in KEYS.items() if asked.headers["authorization"].endswith(key))
        batches, after, limit = self.sorted(project), asked.one("after"), int(asked.one("limit"))
        start = 0 if after is None else [batch["id"] for batch in batches].index(after) + 1
        page = start // limit
        self.asked.append((project, page))
        if page >= self.broken.get(project, 10_000):
            return Answer({"error": {"message": "try later"}}, status=500)
        shown = batches[start : start + limit]
        more = start + limit < len(batches)
        return Answer({"object": "list", "data": shown, "last_id": shown[-1]["id"] if shown else None, "has_more": more})

    def env(self, server) -> Keys:
        base = server.env()["OPENAI_BASE_URL"]
        return Keys({"OPENAI_BASE_URL": base, "OPENAI_PROJECT_KEYS": ",".join(f"{p}={k}" for p, k in KEYS.items())})

    def truth(self) -> dict[str, str]:
        return {batch["id"]: batch["status"] for batches in self.lists.values() for batch in batches}


@pytest.fixture
def scene(tmp_path):
    """`run(*flags)` syncs the batches and gives the pages that were asked for."""
    batches = Batches()
    with Scripted() as server:
        server.answers["/batches"] = [batches]

        def run(*flags, code=0, **how):
            batches.asked.clear()
            sync(tmp_path / "lake", batches.env(server), "--tables", "batches", *flags, code=code, retries=0, **how)
            return sorted(batches.asked)

        batches.run, batches.dest = run, tmp_path / "lake"
        yield batches


def kept(scene, deleted: bool = False) -> dict[str, str]:
    return {row["id"]: row["status"] for row in lake_rows(scene.dest, spec("batches")) if bool(row["_deleted"]) == deleted}


def forget_the_full_pass(dest, hours: float) -> None:
    """As if the last full pass had been so many hours earlier."""
    path = dest / "_state/state.json"
    known = json.loads(path.read_text())
    earlier = time.gmtime(time.time() - hours * HOUR)
    known["tables"]["batches"]["last_full_refresh_at"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", earlier)
    path.write_text(json.dumps(known))


def pages(project: str, count: int) -> list[tuple[str, int]]:
    return [(project, page) for page in range(count)]


def test_an_idle_list_costs_one_page(scene):
    scene.add("proj_a", 450, ago=DAY)
    scene.add("proj_b", 30, ago=DAY)
    assert scene.run() == pages("proj_a", 5) + pages("proj_b", 1)
    assert scene.run() == pages("proj_a", 1) + pages("proj_b", 1)
    assert kept(scene) == scene.truth() and kept(scene, deleted=True) == {}


def test_what_is_new_is_read_down_to_what_is_known(scene):
    scene.add("proj_a", 450, ago=DAY)
    scene.run()
    scene.add("proj_a", 130, ago=60, every=1, name="new")
    assert scene.run() == pages("proj_a", 2) + pages("proj_b", 1)
    assert kept(scene) == scene.truth()


def test_nothing_unfinished_is_left_unread(scene):
    scene.add("proj_a", 450, ago=DAY)
    scene.sorted("proj_a")[250]["status"] = "in_progress"
    scene.run()
    assert scene.run() == pages("proj_a", 3) + pages("proj_b", 1)
    scene.sorted("proj_a")[250]["status"] = "completed"
    scene.run()
    assert kept(scene) == scene.truth()
    assert scene.run() == pages("proj_a", 1) + pages("proj_b", 1), "now it is finished"


def test_a_batch_that_turns_up_late_is_read(scene):
    """Made half an hour ago and listed only now, below 150 newer ones."""
    scene.add("proj_a", 150, ago=10 * 60, every=1)
    scene.add("proj_a", 300, ago=DAY)
    scene.run()
    scene.add("proj_a", 1, ago=30 * 60, name="late")
    assert scene.run() == pages("proj_a", 2) + pages("proj_b", 1)
    assert kept(scene) == scene.truth()


def test_batches_of_one_second_are_all_read(scene):
    scene.add("proj_a", 250, ago=30, every=0, name="x")
    scene.add("proj_a", 250, ago=DAY)
    scene.run()
    scene.add("proj_a", 250, ago=30, every=0, name="y")
    scene.run()
    assert kept(scene) == scene.truth()


def test_a_delete_is_seen_by_the_full_pass_within_a_day(scene):
    scene.add("proj_a", 450, ago=DAY)
    scene.run()
    gone = scene.sorted("proj_a")[333]
    scene.lists["proj_a"].remove(gone)
    assert len(scene.run()) == 2 and kept(scene, deleted=True) == {}
    forget_the_full_pass(scene.dest, hours=23.9)
    assert len(scene.run()) == 2 and kept(scene, deleted=True) == {}
    forget_the_full_pass(scene.dest, hours=24)
    assert scene.run() == pages("proj_a", 5) + pages("proj_b", 1)
    assert list(kept(scene, deleted=True)) == [gone["id"]] and kept(scene) == scene.truth()
    assert len(scene.run()) == 2, "and the day begins anew"


def test_a_full_refresh_and_a_shorter_day_read_the_whole_list(scene):
    scene.add("proj_a", 450, ago=DAY)
    scene.run()
    forget_the_full_pass(scene.dest, hours=3)
    assert len(scene.run(config='[tables.batches]\nfull_every = "4h"')) == 2
    assert scene.run(config='[tables.batches]\nfull_every = "3h"') == pages("proj_a", 5) + pages("proj_b", 1)
    assert len(scene.run()) == 2
    assert scene.run("--full-refresh") == pages("proj_a", 5) + pages("proj_b", 1)


def test_the_day_of_all_tables_is_a_setting(tmp_path):
    config = tmp_path / "openai-elt.toml"
    config.write_text('full_every = "6h"\n[tables.files]\nfull_every = "2h"\n')
    told = json.loads(command("tables", "--config", config, "--format", "json", code=0).out)
    every = {table["name"]: table["full_every_seconds"] for table in told}
    assert (every["batches"], every["files"], every["users"]) == (6 * HOUR, 2 * HOUR, None)
    config.write_text('[tables.users]\nfull_every = "2h"\n')
    run = command("tables", "--config", config, code=1)
    assert "[tables.users]" in run.err and "full_every" in run.err


def test_the_newest_one_that_is_gone_is_seen_at_once(scene):
    scene.add("proj_a", 450, ago=DAY)
    scene.run()
    gone = scene.sorted("proj_a")[0]
    scene.lists["proj_a"].remove(gone)
    assert scene.run() == pages("proj_a", 5) + pages("proj_b", 1)
    assert list(kept(scene, deleted=True)) == [gone["id"]]


@pytest.mark.parametrize("disorder", ["oldest first", "one out of place"])
def test_a_list_that_is_not_newest_first_is_read_whole(scene, disorder):
    scene.newest_first = disorder != "oldest first"
    scene.add("proj_a", 450, ago=DAY)
    if disorder == "one out of place":
        scene.sorted = lambda project, sort=scene.sorted: (rows := sort(project))[:40] + rows[200:201] + rows[40:200] + rows[201:]
    scene.run()
    scene.add("proj_a", 5, ago=60)
    assert len(scene.run()) == 6
    assert kept(scene) == scene.truth()


def test_half_of_a_list_is_not_taken_for_all_of_it(scene):
    """The third page of 350 new batches fails. What came is kept, and the gap below it is filled by the next sync."""
    scene.add("proj_a", 450, ago=DAY)
    scene.add("proj_b", 30, ago=DAY)
    scene.run()
    assert "last_full_refresh_at" in state(scene.dest)["tables"]["batches"]
    scene.add("proj_a", 350, ago=2 * HOUR, every=1, name="new")
    scene.broken = {"proj_a": 2}
    scene.run(code=2)
    assert "last_full_refresh_at" not in state(scene.dest)["tables"]["batches"]
    assert len(kept(scene)) == 450 + 30 + 200
    scene.broken = {}
    assert scene.run() == pages("proj_a", 8) + pages("proj_b", 1)
    assert kept(scene) == scene.truth()
    record(
        "a list that is read newest first breaks off", "the third page of 350 new rows was refused", before="480 rows",
        during="680 rows; exit 2; the state knows of no full pass", after="830 rows: the list was read whole",
    )


def test_the_gap_is_known_before_the_rows_above_it_are_there(scene):
    """The object cannot be written: a run that ended here would have left a state that hides nothing."""
    scene.add("proj_a", 450, ago=DAY)
    scene.add("proj_b", 30, ago=DAY)
    scene.run()
    scene.add("proj_a", 350, ago=2 * HOUR, every=1, name="new")
    scene.broken = {"proj_a": 2}
    scene.run(code={2, 3}, **small_disk(4_096))
    assert "last_full_refresh_at" not in state(scene.dest)["tables"]["batches"]
    assert len(kept(scene)) == 480


def test_a_refused_list_costs_the_others_nothing(scene):
    scene.add("proj_a", 450, ago=DAY)
    scene.add("proj_b", 250, ago=DAY)
    scene.run()
    scene.broken = {"proj_b": 0}
    assert scene.run(code=2) == pages("proj_a", 1) + pages("proj_b", 1)
    scene.add("proj_b", 120, ago=60, every=1, name="new")
    scene.broken = {}
    assert scene.run() == pages("proj_a", 1) + pages("proj_b", 2)
    assert kept(scene) == scene.truth()


def test_a_state_without_full_passes_reads_the_whole_list(scene):
    """As an older version wrote it."""
    scene.add("proj_a", 450, ago=DAY)
    scene.run()
    path = scene.dest / "_state/state.json"
    path.write_text(json.dumps({"version": 1, "tables": {"batches": {"settled": state(scene.dest)["tables"]["batches"]["cursor"]}}}))
    assert scene.run() == pages("proj_a", 5) + pages("proj_b", 1)
    assert len(scene.run()) == 2


def test_a_plan_knows_of_both_kinds_of_runs(scene):
    scene.add("proj_a", 450, ago=DAY)
    scene.run()
    scene.run()
    with Scripted() as nobody:
        def planned(*flags):
            run = sync(scene.dest, scene.env(nobody), "--tables", "batches", "--dry-run", *flags)
            return json.loads(run.out)["tables"]["batches"]

        usual, full = planned(), planned("--full-refresh")
        assert nobody.asked == []
    assert (usual["reads"], usual["requests"], usual["at_least"]) == ("part", 2, False)
    assert (full["reads"], full["requests"], full["at_least"]) == ("whole", 6, False)


# ---- parents that did not change ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def company():
    running = organization()
    yield running
    running.stop()


GATED = ["fine_tuning_job_events", "fine_tuning_job_checkpoints", "chat_completion_messages"]


def test_children_of_parents_that_ended_are_not_asked_for_again(company, tmp_path):
    dest = tmp_path / "lake"
    first = sync(dest, company, "--tables", ",".join(GATED)).report
    before = {name: lake_rows(dest, spec(name)) for name in GATED}
    second = sync(dest, company, "--tables", ",".join(GATED)).report
    assert failures(first) == failures(second) == {}
    jobs = lake_rows(dest, spec("fine_tuning_jobs"))
    ended = {row["id"] for row in jobs if row["finished_at"] is not None}
    for name in GATED:
        assert bag(map(without_moment, lake_rows(dest, spec(name)))) == bag(map(without_moment, before[name]))
    assert ended and len(ended) < len(jobs)
    with_rows = {row["fine_tuning_job_id"] for row in before["fine_tuning_job_events"]}
    asked = second["tables"]["fine_tuning_job_events"]["requests"]
    assert asked == len(jobs) - len(ended & with_rows)
    assert second["tables"]["chat_completion_messages"]["requests"] == 0
    again = sync(dest, company, "--tables", ",".join(GATED), "--full-refresh").report["tables"]
    assert {name: again[name]["requests"] for name in GATED} == {name: first["tables"][name]["requests"] for name in GATED}


# Requests of a second sync that finds nothing new, in the small simulated organization: 3 project keys, 2 workspaces.
IDLE = {
    # One window, one page, for each pass, key and workspace.
    "audit_logs": 2, "usage_completions": 1, "usage_embeddings": 1, "codex_usage": 2, "codex_code_reviews": 2,
    # The first page of each list.
    "users": 1, "projects": 1, "files": 3, "batches": 3, "fine_tuning_jobs": 3, "chat_completions": 3, "codex_tasks": 2,
    # Every checkpoint, also of jobs that were not asked about: who may use one can change.
    "fine_tuning_checkpoint_permissions": 8,
    # All of them were read when they were complete.
    "chat_completion_messages": 0,
}
# Only of parents that changed, may still change, or have nothing in the lake: how many these are is the day's matter.
FEWER = ("fine_tuning_job_events", "fine_tuning_job_checkpoints", "agent_session_turn_items", "chatgpt_agent_definitions")
# What the day or the hour decides, at most.
AT_MOST = {
    # One page; on some days its end is told by an empty one behind it.
    "costs": 2, "costs_totals": 2,
    # The list, how new the newest event is, and the files of the last hour or two.
    "log_auth": 5, "log_costs": 4,
}


def test_an_idle_sync_asks_no_more_than_it_must(company, tmp_path):
    tables = ",".join([*IDLE, *FEWER, *AT_MOST])
    first = sync(tmp_path / "lake", company, "--tables", tables).report
    company.forget()
    second = sync(tmp_path / "lake", company, "--tables", tables).report
    assert failures(second) == {}
    windows = [asked for asked in company.requests("/organization/costs") if "page=" not in asked["query"]]
    assert len(windows) == 2, "one window for each table of costs"
    asked = lambda report, names: {name: report["tables"][name]["requests"] for name in names}  # noqa: E731
    assert asked(second, IDLE) == IDLE
    before, after = asked(first, FEWER), asked(second, FEWER)
    assert all(after[name] < before[name] for name in FEWER), (before, after)
    assert all(count <= AT_MOST[name] for name, count in asked(second, AT_MOST).items())


def test_an_idle_sync_lists_the_log_files_of_one_window(company, tmp_path):
    """Which files of the look-back it reads again depends on the hour; its lists do not."""
    for _ in range(2):
        company.forget()
        sync(tmp_path / "lake", company, "--tables", "log_auth,log_costs")
    lists = [asked for asked in company.requests("/logs") if "COSTS" in asked["query"] or "AUTH_LOG" in asked["query"]]
    assert len(lists) == len(company.workspace_ids) + 1


def without_moment(row: dict) -> dict:
    return {name: value for name, value in row.items() if name != "_synced_at"}
