#!/usr/bin/env python3
"""Writes the lists of marts and columns in docs/models.md from the properties beside the models.

    .venv-dbt/bin/python dbt/describe.py            writes them
    .venv-dbt/bin/python dbt/describe.py --check    exit 1 when they are not up to date, or a column is not described

Promises: what stands between the two marks is made from models/marts/**/*.yml alone; the rest of the page is not
touched. Needs PyYAML, which dbt brings.
"""

import re
import sys
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "models.md"
CHAPTERS = {
    "spend": "Spend and prices",
    "usage": "Usage",
    "codex": "Codex",
    "security": "Keys, access and audit",
    "directory": "Names",
}
FOCUS = "focus"


def main():
    page = PAGE.read_text(encoding="utf-8")
    wanted = between(page, "marts", "\n".join(marts()))
    wanted = between(wanted, "focus", "\n".join(focus()))
    if "--check" in sys.argv[1:]:
        if wanted != page:
            sys.exit("docs/models.md is not up to date: run `make dbt-models`")
    else:
        PAGE.write_text(wanted, encoding="utf-8")


def between(page, mark, text):
    begin, end = f"<!-- {mark}: made by dbt/describe.py -->", f"<!-- {mark}: end -->"
    found = re.compile(f"(?<={re.escape(begin)}\n).*?(?={re.escape(end)})", re.DOTALL)
    if not found.search(page):
        sys.exit(f"docs/models.md has no marks for {mark}: {begin} and {end}")
    return found.sub(lambda _: text + "\n", page)


def models(folder):
    """The models of a folder as they are described, in that order; none of them may lack a description."""
    described = []
    for path in sorted((HERE / "models" / "marts" / folder).glob("*.yml")):
        described += yaml.safe_load(path.read_text(encoding="utf-8"))["models"]
    undescribed = {p.stem for p in (HERE / "models" / "marts" / folder).glob("*.sql")} - {m["name"] for m in described}
    if undescribed:
        sys.exit("not described: " + ", ".join(sorted(undescribed)))
    return described


def marts():
    for folder, title in CHAPTERS.items():
        yield f"\n### {title}\n"
        for model in models(folder):
            yield f"#### {model['name']}\n\n{model['description']}\n\n| column | meaning |\n|---|---|"
            yield from (f"| `{c['name']}` | {cell(c)} |" for c in model["columns"])
            yield ""


def focus():
    yield "\n| column | source |\n|---|---|"
    for model in models(FOCUS):
        yield from (f"| `{c['name']}` | {cell(c)} |" for c in model["columns"])
    yield ""


def cell(column):
    return column["description"].replace("|", "\\|")


if __name__ == "__main__":
    main()
