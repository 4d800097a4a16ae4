"""The program's scripts, as a data engineer would ask for them, and a script as its statements."""

from __future__ import annotations

import re

from conftest import command

SCHEMA = "openai"

# What may hide a semicolon: comments, quoted texts and names, dollar quotes.
TOKEN = re.compile(r"--[^\n]*|'(?:[^'\\]|\\.|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|\$\$.*?\$\$|;|[^-'\"`$;]+|.", re.S)


def script(dialect: str, growing, *flags) -> str:
    """`openai-elt schema` for the lake where it is now. `--location` says where a warehouse that reads no disk sees it."""
    return command(
        "schema", "--dialect", dialect, "--dest", growing.place, "--config", growing.config, "--schema", SCHEMA,
        *flags, code=0,
    ).out


def statements(text: str) -> list[str]:
    """The statements of a script, without comments and without the semicolons between them."""
    found, now = [], ""
    for token in TOKEN.findall(text):
        if token == ";":
            found.append(now.strip())
            now = ""
        elif not token.startswith("--"):
            now += token
    return [statement for statement in [*found, now.strip()] if statement]
