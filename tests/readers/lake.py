"""The lake that every reader opens: each table of the catalog, in two versions of its columns.

The first sync writes the tables as they are. For the second each table has one column more, `later`; the days that
it does not read again stay as the first one left them. Three answers are given by hand, so that values at the ends of
their types, long texts and columns of several pages are among them.
"""

from __future__ import annotations

import json
import pathlib
from datetime import datetime, timedelta, timezone

from conftest import ROOT, catalog, command
from fixtures.sources import organization
from warehouses.lake import hard_invites, hard_usage

DAYS = 9
LATER = 'later = { type = "string", from = "/object", doc = "Came later.", since = 99 }\n'


def later_schemas(folder: pathlib.Path, own: dict[str, str]) -> pathlib.Path:
    """Every table file of the program and those of `own`, with one column more."""
    texts = {f"{path.parent.name}/{path.name}": path.read_text() for path in (ROOT / "schemas").glob("*/*.toml")}
    return write(folder, {name: text.rstrip() + "\n" + LATER for name, text in {**texts, **own}.items()})


def write(folder: pathlib.Path, texts: dict[str, str]) -> pathlib.Path:
    folder.mkdir(parents=True)
    for name, text in texts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


def make(out: pathlib.Path, names: list[str] | None = None, own: dict[str, str] | None = None) -> pathlib.Path:
    """Writes `out/lake` with all tables, or with those of `names`; `own` holds table files by their place."""
    out.mkdir(parents=True, exist_ok=True)
    config = out / "openai-elt.toml"
    config.write_text('[http]\nbackoff = "5ms"\n')
    dest, source = out / "lake", organization("--projects", 3, "--users", 8, "--history-days", DAYS)
    names = names or [table["name"] for table in catalog() if not table["retired"]]
    since = f"{datetime.now(timezone.utc) - timedelta(days=DAYS):%Y-%m-%d}"
    # Types of log files that a workspace does not have are skipped, and that is exit 2.
    every = ("--dest", dest, "--config", config, "--tables", ",".join(names))
    try:
        hard_answers(source, emptied=False)
        schemas = ("--schemas", write(out / "schemas", own)) if own else ()
        command("sync", *every, *schemas, "--since", since, env=source.env(), code={0, 2})
        source.mutate()
        hard_answers(source, emptied=True)
        schemas = ("--schemas", later_schemas(out / "later", own or {}))
        command("sync", *every, *schemas, env=source.env(), code={0, 2})
    finally:
        source.stop()
    return dest


JSON = {"content-type": "application/json"}


def hard_answers(source, emptied: bool) -> None:
    """Answers with values that are hard to read; one day of Codex has a row, and later none: a file without rows."""
    source.heal()
    source.fault("/organization/invites", status=200, body=hard_invites(), headers=JSON)
    for number, workspace in enumerate(source.workspace_ids):
        codex = f"/chatgpt/v1/analytics/codex/workspaces/{workspace}/usage"
        source.fault(codex, status=200, body=many_rows() if number == 0 else rows_of([] if emptied else [3], 1), headers=JSON)
        path = f"/chatgpt/v1/manage/workspaces/{workspace}/usage_limits/users"
        source.fault(path, status=200, body=hard_usage(), headers=JSON)


def floating() -> list[str]:
    """The tables with a column of floating-point numbers."""
    return [
        table["name"] for table in catalog()
        if not table["retired"] and any(column["type"] == "float" for column in table["columns"])
    ]


def many_rows() -> str:
    """Usage of so many users, on a day of each version, that a column is several pages and has an index of them."""
    return rows_of([6, 1], MANY)


def rows_of(days: list[int], users: int) -> str:
    """Usage of so many users on the days that are so many days ago."""
    today = int(datetime.now(timezone.utc).timestamp()) // 86_400 * 86_400
    rows = [
        {
            "object": "workspace.codex.usage.result", "start_time": day, "end_time": day + 86_400, "user_id": f"user-{number}",
            "actor": {"type": "ACCOUNT_USER", "user_id": f"user-{number}", "email": None if number % 3 else f"{number}@example.com"},
            "totals": {"threads": number, "turns": number % 5, "credits": number / 8, "cost_usd": None if number % 7 else 0.01},
            "code_attribution": {
                "lines_of_code": {"committed_percentage": (number - MANY // 2) / 7}, "commits": {"with_codex_contribution_percentage": -0.0},
            },
        }
        for day in (today - ago * 86_400 for ago in days) for number in range(users)
    ]
    return json.dumps({"object": "page", "data": rows, "has_more": False, "next_page": None})


MANY = 21_000  # a page ends at 20,000 rows


def tables(lake: pathlib.Path) -> dict[str, list[str]]:
    """The Parquet objects by table, relative to the lake."""
    found: dict[str, list[str]] = {}
    for path in sorted(lake.glob("[!_]*/**/*.parquet")):
        found.setdefault(path.relative_to(lake).parts[0], []).append(str(path.relative_to(lake)))
    return found


if __name__ == "__main__":
    import sys

    print(json.dumps({name: len(files) for name, files in tables(make(pathlib.Path(sys.argv[1]))).items()}))
