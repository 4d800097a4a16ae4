"""Compares the table files with what the API's own documents offer, and prints what is lacking.

    make conformance                                   with the official Python SDK
    make conformance OPENAPI="one.json two.json"       and with OpenAPI documents, where a copy is at hand

The SDK is the one that requirements-test.txt pins: raise it there, run this, and see what the API has grown.
OpenAPI documents are named as above or in the environment variable OPENAI_OPENAPI.

A finding is of one of these kinds:

{kinds}

What is known is in tests/conformance.toml, each with its reason. It is counted, and printed with `--all` only.
Anything else is NEW, and a reason whose finding is no longer there is STALE. Either ends with exit code 1.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import re
import sys
import tomllib
from dataclasses import dataclass

from . import sdk
from .compare import KINDS, Finding, compare
from .openapi import Document
from .tables import read

TESTS = pathlib.Path(__file__).resolve().parent.parent
EXPLAINED = __doc__.format(kinds="\n".join(f"    {kind:<9} {meaning}" for kind, meaning in KINDS.items()))


@dataclass
class Known:
    """Findings that have a reason: one pattern of one entry, in one document. `*` stands for anything."""

    kind: str
    source: str
    pattern: str
    reason: str
    met: int = 0

    def matches(self, finding: Finding) -> bool:
        if (self.kind, self.source) != (finding.kind, finding.source):
            return False
        return re.fullmatch(".*".join(map(re.escape, self.pattern.split("*"))), finding.what) is not None


def known_in(file: pathlib.Path) -> tuple[list[Known], dict[str, str]]:
    content = tomllib.loads(file.read_text())
    found = []
    for entry in content.get("known", []):
        unknown = entry.keys() ^ {"kind", "in", "what", "reason"}
        if unknown or entry["kind"] not in KINDS or not entry["reason"].strip():
            sys.exit(f"{file}: an entry needs kind, in, what and reason, and no more: {entry}")
        found += [Known(entry["kind"], source, what, entry["reason"]) for source in entry["in"] for what in entry["what"]]
    return found, content.get("variants", {})


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("conformance", description=EXPLAINED,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("openapi", nargs="*", help="OpenAPI documents in JSON", metavar="FILE")
    parser.add_argument("--all", action="store_true", help="print what is known as well, with the reasons")
    parser.add_argument("--schemas", type=pathlib.Path, default=TESTS.parent / "schemas", help="another folder of tables")
    parser.add_argument("--known", type=pathlib.Path, default=TESTS / "conformance.toml", help="another file of reasons")
    options = parser.parse_args(arguments)

    files = options.openapi or os.environ.get("OPENAI_OPENAPI", "").split()
    documents = [Document(pathlib.Path(file)) for file in files]
    sources = {sdk.NAME: (sdk.title(), sdk.endpoints())}
    sources |= {document.name: (document.title, document.endpoints()) for document in documents}
    tables = read(options.schemas)
    known, variants = known_in(options.known)

    lines, findings = [], 0
    for source, (_, endpoints) in sources.items():
        # The SDK has some endpoints twice, as beta and not.
        found = {(one.kind, one.what): one for one in compare(source, endpoints, tables, variants)}
        for _, finding in sorted(found.items()):
            findings += 1
            reasons = [one for one in known if one.matches(finding)]
            for one in reasons:
                one.met += 1
            if not reasons:
                lines.append(("NEW", finding.kind, finding.what, source, finding.note))
            elif options.all:
                lines.append(("known", finding.kind, finding.what, source, reasons[0].reason))
    stale = [one for one in known if one.source in sources and not one.met]
    lines += [("STALE", one.kind, one.pattern, one.source, f"was: {one.reason}") for one in stale]

    bad = [line for line in lines if line[0] != "known"]
    new = len(bad) - len(stale)
    show(lines)
    for source, (title, endpoints) in sources.items():
        asked = len({one.name for one in endpoints} & {table.asks for table in tables})
        print(f"{title}: {len({one.name for one in endpoints})} endpoints that read, {asked} of them asked")
    documented = {endpoint.name for _, endpoints in sources.values() for endpoint in endpoints}
    others = [table.name for table in tables if table.asks not in documented]
    if others:
        print(f"in none of these documents: {', '.join(others) if options.all else f'{len(others)} tables'}")
    print(f"{len(tables)} tables: {new} new, {len(stale)} stale, {findings - new} known with a reason")
    if bad:
        print("\nNEW: add the table or column to schemas/, or say in tests/conformance.toml why not."
              "\nSTALE: take the reason out of tests/conformance.toml; what it explained is no longer so.")
    return 1 if bad else 0


def show(lines: list[tuple[str, ...]]) -> None:
    widths = [max((len(line[place]) for line in lines), default=0) for place in range(4)]
    for line in lines:
        print("  ".join([*(text.ljust(width) for text, width in zip(line, widths)), line[4]]))
    if lines:
        print()


if __name__ == "__main__":
    sys.exit(main())
