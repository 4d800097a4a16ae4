"""A source with a clock of its own, and a program whose clock is wrong.

`World` answers audit logs, users, costs, Codex usage and log files as they are at `world.now`, which the test moves,
and says so in `Date`. `at(world, hours)` is the environment in which the program's clock is so far off.
What the lake must hold at any time is told by `world.truth(table)`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import pathlib
import subprocess
import tempfile
import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

from conftest import spec
from fixtures.sources import CODEX_KEY, COMPLIANCE_KEY, OTHER_WORKSPACE, WORKSPACE
from scripted import Answer, Asked, Scripted, page, user
from truth import lake_rows

SOURCE = pathlib.Path(__file__).resolve().parents[1] / "fixtures/shifted_clock.c"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
AUDIT, COSTS, LOGS, CODEX = "audit_logs", "costs", "log_auth", "codex_usage"
REFUSED = Answer({"error": {"message": "You do not have access to this workspace."}}, status=403)


@functools.cache
def shifted_clock() -> str:
    """The library to preload, built once."""
    library = pathlib.Path(tempfile.mkdtemp(prefix="shifted-clock-")) / "shifted_clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
    return str(library)


def shifted(seconds: float) -> dict[str, str]:
    """The environment of a program whose clock is so many seconds ahead of this machine's."""
    return {"LD_PRELOAD": shifted_clock(), "CLOCK_SHIFT": str(round(seconds))}


def at(world: World, hours: float = 0) -> dict[str, str]:
    """The environment of a program whose clock is so many hours ahead of the source's."""
    return shifted((world.now - datetime.now(timezone.utc)).total_seconds() + hours * 3600)


def midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class World(Scripted):
    """The source. `refused` are workspaces that answer 403; `dated` says whether responses have a `Date`."""

    def __init__(self, now: datetime | None = None, workspaces: tuple[str, ...] = (WORKSPACE,), days: int = 5):
        super().__init__()
        self.now = (now or datetime.now(timezone.utc)).replace(microsecond=0)
        self.born = midnight(self.now) - days * DAY
        self.workspaces, self.refused, self.failing = workspaces, set(), set()
        self.dated = True
        self.late: list[tuple[str, datetime, datetime]] = []  # events, when they happen, and when they turn up
        self.joined: dict[str, datetime] = {}
        world, handler = self, self.server.RequestHandlerClass

        class Dated(handler):
            def send_response(self, code, message=None):
                self.send_response_only(code, message)
                if world.dated:
                    self.send_header("Date", format_datetime(world.now, usegmt=True))

        self.server.RequestHandlerClass = Dated
        self.answers["/organization/audit_logs"] = [self.audit]
        self.answers["/organization/users"] = [lambda asked: page(*(user(f"user-{n}") for n in range(3)))]
        self.answers["/organization/costs"] = [self.costs]
        for workspace in (WORKSPACE, OTHER_WORKSPACE):
            usage = f"/analytics/codex/workspaces/{workspace}/usage"
            files = f"/compliance/workspaces/{workspace}/logs"
            self.answers[usage] = [functools.partial(self.of, workspace, self.usage)]
            self.answers[files] = [functools.partial(self.of, workspace, self.files)]

    def env(self, **more: str) -> dict[str, str]:
        base = super().env()["OPENAI_BASE_URL"]
        return {
            **super().env(), "CHATGPT_BASE_URL": base, "CODEX_ANALYTICS_KEY": CODEX_KEY,
            "CHATGPT_COMPLIANCE_KEY": COMPLIANCE_KEY, "CHATGPT_WORKSPACE_IDS": ",".join(self.workspaces), **more,
        }

    def of(self, workspace: str, answer, asked: Asked) -> Answer:
        if workspace in self.failing:
            return Answer({"error": {"message": "out of order"}}, status=500)
        return REFUSED if workspace in self.refused else answer(workspace, asked)

    def hours(self, until: datetime | None = None):
        """Every hour since the beginning that is over."""
        moment = self.born
        while moment <= (until or self.now):
            yield moment
            moment += HOUR

    # ---- audit logs: one event each half hour, and those that turn up late

    def events(self) -> list[dict]:
        regular = [(f"audit_log-{moment:%m%d%H}", moment + HOUR / 2, moment + HOUR / 2) for moment in self.hours()]
        known = [(id, happened) for id, happened, told in [*regular, *self.late] if told <= self.now]
        events = [{"id": id, "type": "logout.succeeded", "effective_at": int(moment.timestamp())} for id, moment in known]
        return sorted(events, key=lambda event: -event["effective_at"])

    def audit(self, asked: Asked) -> Answer:
        start, end = int(asked.one("effective_at[gte]")), int(asked.one("effective_at[lt]"))
        found = [] if asked.one("tenant_only") else [e for e in self.events() if start <= e["effective_at"] < end]
        if after := asked.one("after"):
            found = found[[event["id"] for event in found].index(after) + 1:]
        return page(*found[:100], more=len(found) > 100)

    # ---- costs: of each day as many dollars as it has hours so far

    def days(self) -> dict[datetime, int]:
        days = {}
        for moment in self.hours():
            days[midnight(moment)] = days.get(midnight(moment), 0) + 1
        return days

    def costs(self, asked: Asked) -> Answer:
        start, end = int(asked.one("start_time")), int(asked.one("end_time"))
        days, buckets = self.days(), []
        while start < end and start <= self.now.timestamp():
            amount = days.get(datetime.fromtimestamp(start, timezone.utc))
            line = {"object": "organization.costs.result", "amount": {"value": amount, "currency": "usd"}, "project_id": "proj_1"}
            buckets.append({"object": "bucket", "start_time": start, "end_time": start + 86_400, "results": [line] if amount else []})
            start += 86_400
        return Answer({"object": "page", "data": buckets, "has_more": False, "next_page": None})

    # ---- Codex: a user and a day, 90 days back

    def rows(self, workspace: str) -> dict[datetime, int]:
        joined = self.joined.get(workspace, self.born)
        return {day: hours for day, hours in self.days().items() if day >= midnight(joined)}

    def usage(self, workspace: str, asked: Asked) -> Answer:
        start, end = int(asked.one("start_time")), int(asked.one("end_time"))
        if start < midnight(self.now - 90 * DAY).timestamp():
            told = {"loc": ["query", "start_time"], "msg": "start_time cannot be more than 90 days ago", "type": "value_error"}
            return Answer({"detail": [told]}, status=422)
        rows = [
            {"object": "workspace.codex.usage.result", "start_time": int(day.timestamp()), "end_time": int(day.timestamp()) + 86_400,
             "user_id": "user-1", "actor": None, "totals": {"threads": hours, "turns": 1, "credits": 1.5}, "clients": [], "models": []}
            for day, hours in self.rows(workspace).items() if start <= day.timestamp() < end
        ]
        return Answer({"object": "page", "data": rows, "has_more": False})

    # ---- log files: one each hour, kept for 30 days

    def log(self, workspace: str) -> list[tuple[str, datetime]]:
        joined = self.joined.get(workspace, self.born)
        return [(f"{workspace[:4]}-{moment:%m%d%H}", moment) for moment in self.hours() if moment >= joined]

    def files(self, workspace: str, asked: Asked) -> Answer:
        after = datetime.fromisoformat(asked.one("after"))
        before = datetime.fromisoformat(asked.one("before"))
        told = []
        for id, moment in self.log(workspace):
            if after < moment < before and moment > self.now - 30 * DAY:
                event = {"event_id": id, "type": "AUTH_LOG", "timestamp": iso(moment - HOUR / 4)}
                body = json.dumps(event).encode() + b"\n"
                self.answers[f"/compliance/workspaces/{workspace}/logs/{id}"] = [Answer(body)]
                told.append({"id": id, "event_type": "AUTH_LOG", "end_time": iso(moment), "file_name": id,
                             "file_size": len(body), "file_sha256": hashlib.sha256(body).hexdigest()})
        return Answer({"object": "list", "data": told, "has_more": False, "last_end_time": told[-1]["end_time"] if told else None})

    # ---- what a lake must hold

    def truth(self, table: str) -> list:
        of = {
            AUDIT: lambda: [event["id"] for event in self.events()],
            COSTS: lambda: [(int(day.timestamp()), hours) for day, hours in self.days().items()],
            LOGS: lambda: [id for workspace in self.workspaces for id, _ in self.log(workspace)],
            CODEX: lambda: [(workspace, int(day.timestamp()), hours) for workspace in self.workspaces
                            for day, hours in self.rows(workspace).items()],
            "users": lambda: [f"user-{n}" for n in range(3)],
        }
        return sorted(of[table]())


def found(dest, table: str) -> list:
    """The same of a lake."""
    rows = [row for row in lake_rows(dest, spec(table)) if not row.get("_deleted")]
    of = {
        AUDIT: lambda row: row["id"],
        COSTS: lambda row: (row["start_time"] // 1_000_000, int(row["amount"])),
        LOGS: lambda row: row["event_id"],
        CODEX: lambda row: (row["workspace_id"], row["start_time"] // 1_000_000, row["threads"]),
        "users": lambda row: row["id"],
    }
    return sorted(map(of[table], rows))


def cursors(state: dict):
    """Every cursor of a state, with the name of its table."""
    for name, table in state["tables"].items():
        for of in [table, *table.get("scopes", {}).values()]:
            if of.get("cursor"):
                yield name, datetime.fromisoformat(of["cursor"])
