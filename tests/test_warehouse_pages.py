"""docs/warehouses: every command line it shows is one that the program understands, every page is linked and links."""

import re
import shlex

import pytest

from conftest import ROOT, command

PAGES = sorted((ROOT / "docs/warehouses").glob("*.md"))


def command_lines(text: str) -> set[str]:
    """The calls of `openai-elt` in indented and fenced blocks, up to what the shell does with them."""
    lines = re.findall(r"^(?: {4}|)(openai-elt [^\n|>#;]*)", text, re.M)
    return {re.split(r"\s\|\||\s&&", line)[0].strip() for line in lines}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_flags_and_dialects_exist(page):
    lines = command_lines(page.read_text())
    for line in lines:
        words = [word for word in shlex.split(line)[1:] if not word.startswith("$")]
        usage = command(words[0], "--help", code=0).out
        for flag in re.findall(r"--[a-z-]+", " ".join(words)):
            assert re.search(rf"{flag}\b", usage), f"{page.name}: {flag} of `{line}`"
        if "--dialect" in words:
            assert words[words.index("--dialect") + 1] in usage, line


def test_each_page_is_in_the_table():
    listed = (ROOT / "docs/warehouses/README.md").read_text()
    assert {page.name for page in PAGES} - {"README.md"} == set(re.findall(r"\]\((\w+\.md)\)", listed))
