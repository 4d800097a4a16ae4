"""What docs/warehouses tells people to run."""

from __future__ import annotations

import pathlib
import re

from warehouses.sql import statements

PAGES = pathlib.Path(__file__).resolve().parents[2] / "docs/warehouses"
ASKING = "## Ask it something"


def asking(page: str) -> list[str]:
    """The queries that a page shows below `Ask it something`."""
    after = (PAGES / f"{page}.md").read_text().split(ASKING)[1].split("\n## ")[0]
    found = [statement for block in re.findall(r"```sql\n(.*?)```", after, re.S) for statement in statements(block)]
    assert found, f"{page}.md asks nothing"
    return found
