"""What docs/warehouses tells people to run."""

from __future__ import annotations

import pathlib
import re
from dataclasses import dataclass

from warehouses.sql import statements

PAGES = pathlib.Path(__file__).resolve().parents[2] / "docs/warehouses"


def section(page: str, heading: str) -> str:
    """What stands below a heading; for an empty one, what stands above the first."""
    text = (PAGES / f"{page}.md").read_text()
    sections = {part.partition("\n")[0].strip(): part.partition("\n")[2] for part in re.split(r"^## ", text, flags=re.M)[1:]}
    return sections[heading] if heading else text.split("\n## ")[0]


def sql_of(page: str, heading: str) -> list[str]:
    """The statements of a section."""
    blocks = re.findall(r"```sql\n(.*?)```", section(page, heading), re.S)
    found = [statement for block in blocks for statement in statements(block)]
    assert found, f"{page}.md: {heading} has no SQL"
    return found


def asking(page: str) -> list[str]:
    """The queries that a page shows below `Ask it something`."""
    return sql_of(page, "Ask it something")


@dataclass(frozen=True)
class Block:
    """Something that a page tells to run: lines for a shell, SQL, or Python."""

    language: str
    text: str


def blocks(page: str) -> list[Block]:
    """All blocks of a page in their order: what is fenced, and what is indented, which is for a shell."""
    found: list[Block] = []
    fence, lines = "", []
    for line in (PAGES / f"{page}.md").read_text().splitlines():
        if fence:
            if line == "```":
                found.append(Block({"bash": "sh"}.get(fence, fence), "\n".join(lines)))
                fence, lines = "", []
            else:
                lines.append(line)
        elif line.startswith("```"):
            fence = line.removeprefix("```")
            assert fence in ("sh", "bash", "sql", "python"), f"{page}.md: what runs {fence!r}?"
        elif re.match(r" {4}\S", line):
            found.append(Block("sh", line.strip()))
    return found
