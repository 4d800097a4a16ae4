"""Every hint is tried, part four: what the API refuses with a reason, whose lake it is, and what is held back. See test_hints.py."""

from __future__ import annotations

import re

import pytest

from conftest import ROOT
from desk import Desk, hinted, rows, scripted  # noqa: F401, fixtures
from scripted import Answer, Scripted, page, user

USERS = "/organization/users"


def refusal(status: int, code: str, **headers: str) -> Answer:
    return Answer({"error": {"message": "You may not.", "type": None, "code": code}}, status=status, headers=headers)


# (the code, the status, the hint). Where it names {key}, another key goes into that variable; else what it says is done at OpenAI.
REASONS = [
    ("insufficient_quota", 429, "the quota is used up and does not come back by itself: buy credits or raise the limit ({billing}), then run again"),
    ("billing_not_active", 429, "activate billing, or settle what is due ({billing}), then run again"),
    ("billing_hard_limit_reached", 429, "the spending limit is reached: raise it ({billing}) or wait for the next month, then run again"),
    ("api_key_expired", 401, "the key has expired: make a new one and put it into {key}"),
    ("api_key_revoked", 401, "the key was revoked or disabled: make a new one and put it into {key}"),
    ("account_deactivated", 401, "the account that owns the key is deactivated: reactivate it, or make a key with an active account and put it into {key}"),
    ("organization_deactivated", 401, "the organization is deactivated: its owner or OpenAI's support reactivates it; no key of it can read until then"),
    ("access_terminated", 403, "OpenAI has ended this access: ask OpenAI's support why (help.openai.com)"),
    ("ip_not_authorized", 401, "this machine's address is not on the IP allow-list: add it there ({allow_list}), or run from an address that is on it"),
    ("unsupported_country_region_territory", 403, "the API is not offered in the country, region or territory of this machine's address: run from one where it is"),
    ("mismatched_organization", 401, "the key and the organization do not go together: make a key in the organization that is to be read, and put it into {key}"),
    ("project_archived", 401, "the project is archived, gone, or not the key's: take its key out of {key}, or put a key of an active project there"),
]


@pytest.mark.parametrize("code, status, hint", REASONS, ids=[code for code, _, _ in REASONS])
def test_a_reason(scripted, code, status, hint):
    """With another key where the hint wants one, or when the reason is gone, the same command works."""
    def answer(asked):
        return page(user("user-1")) if asked.headers["authorization"].endswith("new") else refusal(status, code)

    scripted.server.answers[USERS] = [answer]
    flags = ("--tables", "users")
    shown = hinted(scripted.sync(*flags, code=3), hint)
    if "{key}" in hint:
        (variable,) = re.findall(r"\bOPENAI_[A-Z_]+\b", shown)
        scripted.sync(*flags, env={variable: "sk-admin-new"})
    scripted.server.answers[USERS] = [page(user("user-1"))]
    scripted.sync(*flags)


def test_a_workspace_that_is_deactivated(tmp_path):
    """Taken out of the variable, the others are read."""
    with Scripted() as server:
        server.answers["/analytics/codex/workspaces/ws-gone/usage"] = [refusal(403, "deactivated_workspace")]
        server.answers["/analytics/codex/workspaces/ws-1/usage"] = [Answer({"object": "page", "data": [], "has_more": False, "next_page": None})]
        desk = Desk(tmp_path, {"CHATGPT_BASE_URL": server.env()["OPENAI_BASE_URL"], "CODEX_ANALYTICS_KEY": "sk-codex-1", "CHATGPT_WORKSPACE_IDS": "ws-1,ws-gone"})
        hint = "the workspace is deactivated: its owner or OpenAI's support reactivates it, or take it out of CHATGPT_WORKSPACE_IDS"
        shown = hinted(desk.sync("--tables", "codex_usage", code={2, 3}), hint)
        desk.sync("--tables", "codex_usage", env={re.search(r"CHATGPT_\w+", shown)[0]: "ws-1"})


def test_a_request_that_is_not_to_be_repeated(scripted):
    scripted.server.answers[USERS] = [refusal(500, "server_error", **{"x-should-retry": "false"})]
    scripted.server.answers["/organization/invites"] = [page()]
    hint = "the API asks not to repeat this request: the next run asks again; if it stays so, report it to OpenAI's support, or leave the table out by --exclude"
    shown = hinted(scripted.sync("--tables", "users,invites", code=2), hint)
    scripted.sync("--tables", "users,invites", re.search("--exclude", shown)[0], "users")
    scripted.server.answers[USERS] = [page(user("user-1"))]
    scripted.sync("--tables", "users,invites")


# ---- whose lake it is ------------------------------------------------------------------------------------------


def of(organization: str, *users: dict) -> Answer:
    answer = page(*users)
    answer.headers["openai-organization"] = organization
    return answer


def test_a_lake_of_another_organization(scripted):
    """Three ways: its own keys, another destination, and the flag."""
    scripted.server.answers[USERS] = [of("org-one", user("user-1"))]
    scripted.sync("--tables", "users")
    scripted.server.answers[USERS] = [of("org-two", user("user-2"))]
    hint = "nothing was written: give the keys that this destination was synced with, or another --dest; if the change is meant, `sync` takes it by {ACCEPT}"
    shown = hinted(scripted.sync("--tables", "users", code=4), hint)
    assert re.findall("--dest", shown)
    scripted.sync("--tables", "users", "--dest", "another")
    scripted.sync("--tables", "users", *re.findall(r"--accept[a-z-]+", shown))
    scripted.server.answers[USERS] = [of("org-one", user("user-1"))]
    hinted(scripted.sync("--tables", "users", code=4), hint)
    scripted.server.answers[USERS] = [of("org-two", user("user-2"))]
    scripted.sync("--tables", "users")


def test_a_memory_that_is_broken(scripted):
    scripted.server.answers[USERS] = [of("org-one", user("user-1"))]
    scripted.sync("--tables", "users")
    file = scripted.folder / "lake/_state/lake.json"
    good = file.read_text()
    hint = "restore it from a copy, or move it away: the next sync notes anew whose keys it runs with"
    file.write_text(good[:-9])
    hinted(scripted.sync("--tables", "users", code=4), hint)
    file.write_text(good)
    scripted.sync("--tables", "users")
    file.write_text("{")
    hinted(scripted.sync("--tables", "users", code=4), hint)
    file.rename(scripted.folder / "moved")
    scripted.sync("--tables", "users")
    assert "org-one" in file.read_text()


# ---- what is held back -------------------------------------------------------------------------------------------


HELD = "if these rows are gone, the next run in which the same rows are missing soft-deletes them; `--tables {} --accept-deletes` does so at once"


@pytest.mark.parametrize("how", ["the next run", "the flag"])
def test_rows_that_are_missing(scripted, how):
    scripted.server.answers[USERS] = [page(*(user(f"user-{n}") for n in range(50)))]
    scripted.sync("--tables", "users")
    scripted.server.answers[USERS] = [page(user("user-1"))]
    shown = hinted(scripted.sync("--tables", "users", code={2, 3}), HELD)
    flags = re.search(r"`(--tables .*?)`", shown)[1].split() if how == "the flag" else ["--tables", "users"]
    run = scripted.sync(*flags)
    assert run.table("users")["tombstones"] == 49


def test_a_list_that_ends_with_an_empty_page(scripted):
    """The next sync reads it whole; where the source always ends so, the key of a table file says it."""
    audit = "/organization/audit_logs"
    events = [{"id": f"audit_log-{n}", "type": "logout.succeeded", "effective_at": 1_700_000_000} for n in (1, 2)]
    hint = "the next sync reads the list again; if its source ends lists so, say `empty_ends = true` in a table file for --schemas"
    flags = ("--tables", "audit_logs", "--since", "2023-11-01")
    scripted.server.answers[audit] = [lambda asked: page() if asked.one("after") else page(events[0], more=True)]
    shown = hinted(scripted.sync(*flags, code={2, 3}), hint)
    key = re.search(r"`(empty_ends = true)`", shown)[1]
    text = (ROOT / "schemas/admin/audit_logs.toml").read_text()
    scripted.write("my/admin/audit_logs.toml", text.replace("[paging]\n", f"[paging]\n{key}\n"))
    scripted.sync(*flags, "--schemas", "my", "--dest", "another")
    assert rows(scripted.folder / "another", "audit_logs") == 1
    scripted.server.answers[audit] = [lambda asked: page(events[1]) if asked.one("after") else page(events[0], more=True)]
    scripted.sync(*flags)
    assert rows(scripted.folder / "lake", "audit_logs") == 2
