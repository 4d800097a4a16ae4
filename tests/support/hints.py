"""The hints and warnings of the program, as they are written in its source, and the registry of what tries them.

Every hint tells somebody what to do. `tests/hints.toml` names for each one the test that does it and sees it help, or
says why there is nothing to do. This module finds the texts: string literals that are handed to `.hint(…)`, `.rather(…)`
and `.warn(…)`, that are given a name or are a field `hint` or `cure`, or that are in a function or a file of that name.
"""

from __future__ import annotations

import pathlib
import re
import tomllib
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
REGISTRY = ROOT / "tests/hints.toml"
# The handles of fuzz targets say nothing to users.
NOT_OF_USERS = ("src/workbench",)

TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
      | (?P<raw>b?r(?P<hashes>\#*)".*?"(?P=hashes))
      | (?P<string>b?"(?:\\.|[^"\\])*")
      | (?P<char>'(?:\\.[^']*|[^'\\\n])')""",
    re.VERBOSE | re.DOTALL,
)
# Where a hint begins; it goes on to the end of the brackets, or of the statement.
CALL = re.compile(r"\.(?:hint|rather|warn|warnings\.push)\(|\b(?:warn!|taken)\(")
NAMED = re.compile(r"\blet (?:hint|cure|warning)\b[^=;]*=")
FUNCTION = re.compile(r"\bfn (?:\w*(?:hint|cure|warning)\w*|gap|told)\b[^{;]*\{")
FIELD = re.compile(r"\b(?:hint|cure|warning): *(?!:)")
CONSTANT = re.compile(r"\b(?:const|static) \w*(?:HINT|CURE)\w*\s*:[^=]*=")
TEXT = re.compile(r"\b(?:const|static) (\w+) *: *&(?:'static )?str *=")
# What is looked for in an error is no hint.
SOUGHT = re.compile(r"\b(?:has|contains|starts_with|ends_with|strip_prefix|strip_suffix|member)\(")
SPOKEN = re.compile(r"\s*(?:hint|warning): ")


@dataclass(frozen=True)
class Literal:
    """A string of the source."""

    text: str
    path: str
    line: int
    start: int


@dataclass
class Source:
    """A file of the program: its code with strings and comments blanked out, and its strings."""

    path: str
    code: str
    literals: list[Literal]

    def within(self, start: int, end: int) -> list[Literal]:
        return [literal for literal in self.literals if start <= literal.start < end]


def unescaped(literal: str) -> str:
    if literal.startswith(("r", "br")):
        return literal.partition('"')[2].rpartition('"')[0]
    inner = literal.partition('"')[2][:-1]
    inner = re.sub(r"\\\n\s*", "", inner)
    inner = re.sub(r"\\u\{([0-9a-fA-F_]+)\}", lambda m: chr(int(m[1].replace("_", ""), 16)), inner)
    inner = re.sub(r"\\x([0-9a-fA-F]{2})", lambda m: chr(int(m[1], 16)), inner)
    simple = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}
    return re.sub(r"\\(.)", lambda m: simple.get(m[1], m[1]), inner, flags=re.DOTALL)


def parsed(path: pathlib.Path, text: str) -> Source:
    name = str(path.relative_to(ROOT))
    literals: list[Literal] = []

    def blank(match: re.Match) -> str:
        if match["string"] or match["raw"]:
            line = text.count("\n", 0, match.start()) + 1
            literals.append(Literal(unescaped(match[0]), name, line, match.start()))
        return re.sub(r"[^\n]", " ", match[0])

    code = TOKEN.sub(blank, text)
    for start, end in [(m.start(), closing(code, m.end() - 1)) for m in re.finditer(r"#\[cfg\(test\)\]\s*mod \w+ \{", code)]:
        literals = [literal for literal in literals if not start <= literal.start < end]
        code = code[:start] + re.sub(r"[^\n]", " ", code[start:end]) + code[end:]
    return Source(name, code, literals)


def closing(code: str, start: int, ends: str = ";") -> int:
    """The end of the bracket that opens at `start`; from elsewhere, that of the statement, or of what `ends` it."""
    depth, bracket = 0, code[start] in "([{"
    for place in range(start, len(code)):
        depth += (code[place] in "([{") - (code[place] in ")]}")
        if depth < 0 or (depth == 0 and (code[place] in ends or bracket)):
            return place
    return len(code)


def sources() -> list[Source]:
    named_tests = ("tests.rs", "crash.rs")
    paths = [
        path for path in sorted((ROOT / "src").rglob("*.rs"))
        if not str(path.relative_to(ROOT)).startswith(NOT_OF_USERS) and path.name not in named_tests
    ]
    return [parsed(path, path.read_text()) for path in paths]


def is_sentence(text: str) -> bool:
    said = re.sub(r"\{[^}]*\}", "", SPOKEN.sub("", text))
    return " " in said.strip() and bool(re.search(r"[A-Za-z]{3,}", said))


def hints_of(file: Source) -> list[Literal]:
    spans = [(m.end(), closing(file.code, m.end() - 1)) for m in CALL.finditer(file.code)]
    spans += [(m.end(), closing(file.code, m.end())) for m in NAMED.finditer(file.code)]
    spans += [(m.end(), closing(file.code, m.end() - 1, ",;")) for m in FIELD.finditer(file.code)]
    spans += [(m.end(), closing(file.code, m.end())) for m in CONSTANT.finditer(file.code)]
    spans += [(m.end(), closing(file.code, m.end() - 1)) for m in FUNCTION.finditer(file.code)]
    if pathlib.Path(file.path).stem in ("cure", "cures", "hint", "hints"):
        spans.append((0, len(file.code)))
    # A text that has a name of its own, in the same file.
    texts = {m[1]: file.within(m.end(), closing(file.code, m.end())) for m in TEXT.finditer(file.code)}
    sought = [(m.end(), closing(file.code, m.end() - 1)) for m in SOUGHT.finditer(file.code)]
    found = {literal for span in spans for literal in file.within(*span)}
    found |= {literal for start, end in spans for name in re.findall(r"\b[A-Z][A-Z_]+\b", file.code[start:end]) for literal in texts.get(name, [])}
    found -= {literal for span in sought for literal in file.within(*span)}
    found |= {literal for literal in file.literals if SPOKEN.match(literal.text)}
    return sorted((literal for literal in found if is_sentence(literal.text)), key=lambda each: each.start)


def in_source() -> dict[str, list[str]]:
    """Each hint and warning, and where it stands."""
    found: dict[str, list[str]] = {}
    for file in sources():
        for literal in hints_of(file):
            found.setdefault(literal.text.strip(), []).append(f"{literal.path}:{literal.line}")
    return found


def registry() -> list[dict]:
    return tomllib.loads(REGISTRY.read_text())["hint"]


def pattern(text: str) -> re.Pattern:
    """What people see of a text: its placeholders are anything."""
    pieces = re.split(r"\{[^{}]*\}", text.replace("{{", "\0").replace("}}", "\1"))
    return re.compile(".*?".join(re.escape(piece.replace("\0", "{").replace("\1", "}")) for piece in pieces))
