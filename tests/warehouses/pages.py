"""What docs/warehouses tells people to run."""

from __future__ import annotations

import pathlib
import re

from warehouses.sql import statements

PAGES = pathlib.Path(__file__).resolve().parents[2] / "docs/warehouses"


def section(page: str, heading: str) -> str:
    """What stands below a heading; for an empty one, what stands above the first."""
    text = (PAGES / f"{page}.md").read_text()
    sections = {part.partition("\n")[0].strip(): part.partition("\n")[2] for part in re.split(r"^## ", text, flags=re.M)[1:]}
    return sections[heading] if heading else text.split("\n## ")[0]


def lines_of(page: str, heading: str) -> list[str]:
    """The command lines of a section: what is indented."""
    found = re.findall(r"^ {4}(\S.*)$", section(page, heading), re.M)
    assert found, f"{page}.md: {heading} tells nothing to run"
    return found


def sql_of(page: str, heading: str) -> list[str]:
    """The statements of a section."""
    blocks = re.findall(r"```sql\n(.*?)```", section(page, heading), re.S)
    found = [statement for block in blocks for statement in statements(block)]
    assert found, f"{page}.md: {heading} has no SQL"
    return found


def asking(page: str) -> list[str]:
    """The queries that a page shows below `Ask it something`."""
    return sql_of(page, "Ask it something")
