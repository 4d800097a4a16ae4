"""A sync in its middle, for as long as a test wants: four tables are committed, and the users do not come.

    with Held(company, dest) as held:
        held.process.send_signal(signal.SIGTERM)
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

from conftest import PATIENCE, Simulator, spec, start_sync
from scripted import Hold, Scripted
from stores import until
from truth import bag, lake_rows, true_rows, without

TABLES = ["users", "audit_logs", "costs", "projects", "project_api_keys"]
FLAGS = ("--tables", ",".join(TABLES))
# The history of the simulated organizations here is shorter; windows without rows would only take time.
SINCE = ("--since", f"{datetime.now(timezone.utc) - timedelta(days=9):%Y-%m-%d}")


def assert_true(dest, simulator: Simulator, tables=TABLES) -> None:
    """The lake's rows are those of the source; what is gone there is a tombstone here."""
    for table in tables:
        alive = [row for row in lake_rows(dest, spec(table)) if not row.get("_deleted")]
        assert bag(without(row, "_synced_at", "_deleted") for row in alive) == bag(true_rows(spec(table), simulator.truth(table))), table


def all_but_the_users_are_done(dest) -> bool:
    """Each table's last window is committed: nothing more will happen until the users come."""
    path = dest / "_state/state.json"
    tables = json.loads(path.read_text())["tables"] if path.exists() else {}
    midnight = f"{datetime.now(timezone.utc):%Y-%m-%dT00:00:00}"
    last = tables.get("audit_logs", {}).get("cursor", "") > midnight and tables.get("costs", {}).get("cursor", "") >= midnight
    return last and tables.keys() >= set(TABLES) - {"users"}


class Held:
    """A sync in its middle: the costs and the log are committed, the users do not come."""

    def __init__(self, company, dest, *flags):
        self.hold, self.between = Hold(), Scripted(company)
        self.between.answers["/organization/users"] = [self.hold]
        self.company, self.dest, self.flags = company, dest, flags

    def __enter__(self):
        self.between.__enter__()
        self.process = start_sync(self.dest, self.between, *FLAGS, *SINCE, *self.flags)
        assert self.hold.arrived.wait(PATIENCE)
        until(lambda: all_but_the_users_are_done(self.dest))
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()
        self.hold.released.set()
        self.between.__exit__()
