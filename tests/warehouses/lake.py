"""The lake that every suite of this folder loads, at three moments.

    PYTHONPATH=tests:tests/support python -m warehouses.lake OUT

One simulated organization is synced, a day goes by, it is synced again, another day, again. After each sync a
copy of the whole lake is kept: `OUT/first`, `OUT/second`, `OUT/third`. The tables are few, chosen so that every
policy, every column type and every shape of a table is among them, and three are answered by hand:

    invites                       strings and moments that loaders get wrong: quotes, `\\N`, an empty string, emoji
    chatgpt_usage_limits_users    decimals at the ends of DECIMAL(38,18), and one that a float cannot hold
    organization_certificates     a table without any row
"""

from __future__ import annotations

import json
import pathlib
import shutil
import sys
import time
from datetime import datetime, timedelta, timezone

from conftest import command
from fixtures.sources import Organization, organization

MOMENTS = ["first", "second", "third"]
DAYS = 18  # of history: each day more is a slice more of eight tables, loaded a dozen times by each engine

TABLES = [
    "costs", "usage_completions",                       # replace, by day
    "audit_logs", "log_cost_billing",                   # merge, by day; the second with dates
    "videos",                                           # merge, whole
    "projects", "project_api_keys", "files", "models",  # snapshot, whole; the last with a date
    "fine_tuning_job_checkpoints",                      # floats
    "users",                                            # snapshot with every version of a row
    "codex_usage_models",                               # replace, another host
    "invites", "chatgpt_usage_limits_users", "organization_certificates",
]

CONFIG = '[http]\nbackoff = "5ms"\n[tables.users]\nhistory = true\n[tables.costs]\nlookback = "3d"\n'

HARD_STRINGS = [
    "it's", 'say "so"', "back\\slash", "\\N", "", " ", "NULL", "null", "a,b;c\td", "two\nlines\r\n", "100%_$1:id",
    "Zoë 東京 🚀", "{}", "-- no comment", "$$ dollar $$", "\u00a0", "x" * 5000,
]
HARD_DECIMALS = [
    "0", "0.1", "-0.1", "0.000000000000000001", "-0.000000000000000001", "12.5", "1E-6", "2.675",
    "0.1234567890123456", "123456789.123456789012345678", "9007199254740993.000000000000000001",
    "99999999999999999999.999999999999999999", "-99999999999999999999.999999999999999999",
]
HARD_MOMENTS = ["1970-01-01T00:00:00Z", "1999-12-31T23:59:59.999999Z", "2038-01-19T03:14:08Z", "2026-03-29T01:30:00.000001Z",
                "2026-10-25T00:30:00.5Z", "2199-12-31T23:59:59.123456Z"]


def hard_invites() -> str:
    """Every hard string once, in a plain column, in a json column and in `_extra`."""
    rows = [
        {
            "id": f"invite-{number:02}", "object": "organization.invite", "email": text, "role": "reader", "status": None,
            "created_at": HARD_MOMENTS[number % len(HARD_MOMENTS)], "expires_at": None,
            "projects": [{"id": text, "role": "member"}], "unheard_of": {text: [text, None, 1.5]},
        }
        for number, text in enumerate(HARD_STRINGS)
    ]
    return json.dumps({"object": "list", "data": rows, "has_more": False, "last_id": rows[-1]["id"]})


def hard_usage() -> str:
    """Every hard decimal once, as a number of the JSON text: a float must never come between."""
    rows = [
        f'{{"id": "user-{number:02}", "last_month_usage": {text}, "current_month_usage": null,'
        f' "effective_monthly_usage_limit": {{"limit": {{"limit": {limit}, "type": "limited"}}}}}}'
        for number, text in enumerate(HARD_DECIMALS)
        for limit in [(9223372036854775807, -9223372036854775808, 0)[number % 3]]
    ]
    return f'{{"data": [{", ".join(rows)}], "has_more": false, "cursor": null}}'


def answer_by_hand(source: Organization) -> None:
    def always(path: str, body: str) -> None:
        source.fault(path, status=200, body=body, headers={"content-type": "application/json"})

    always("/organization/invites", hard_invites())
    always("/organization/certificates", '{"object": "list", "data": [], "has_more": false}')
    for workspace in source.workspace_ids:
        always(f"/chatgpt/v1/manage/workspaces/{workspace}/usage_limits/users", hard_usage())


def make(out: pathlib.Path) -> None:
    """Writes the three copies. Takes some seconds."""
    out.mkdir(parents=True)
    config = out / "openai-elt.toml"
    config.write_text(CONFIG)
    source, dest = organization("--projects", 6, "--users", 12, "--history-days", 10), out / "growing"
    since = ("--since", f"{datetime.now(timezone.utc) - timedelta(days=DAYS):%Y-%m-%d}")
    try:
        answer_by_hand(source)
        for moment in MOMENTS:
            if moment != MOMENTS[0]:
                since = ()
                source.mutate()
                time.sleep(1.1)  # windows are half-open: what happens in this very second belongs to the next sync
            command("sync", "--dest", dest, "--config", config, "--tables", ",".join(TABLES), *since, env=source.env(), code=0)
            shutil.copytree(dest, out / moment)
    finally:
        source.stop()
    shutil.rmtree(dest)


if __name__ == "__main__":
    make(pathlib.Path(sys.argv[1]))
