"""Compares the table files with one document of the API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator

from .shapes import SCALARS, Endpoint, Shape, anonymous, unread
from .tables import Table

KINDS = {
    "endpoint": "an endpoint that no table asks",
    "detail": "a member that only the answer about one item has, not the list that a table asks",
    "field": "a member of the answer that no column and no `ignore` covers",
    "type": "a column of another type than the member",
    "query": "a parameter, or a value of one that takes several, that is documented and not sent",
    "sent": "a parameter, or a value of it, that is sent and not documented",
    "paging": "a list that goes on in another way",
    "header": "a header that should be sent",
    "key": "another kind of key",
    "table": "a table that asks for what the document does not have",
}

# Members of an answer around its list: what paging needs, and tags.
ENVELOPE = {"object", "has_more", "has_before", "first_id", "last_id", "next", "next_page", "cursor", "next_cursor"}
FITS = {
    "string": {"string", "json"},
    "int": {"int", "decimal", "json"},
    "number": {"float", "decimal", "json"},
    "bool": {"bool", "json"},
    "time": {"timestamp", "json"},
    "date": {"date", "json"},
    "object": {"json"},
    "array": {"json"},
    "any": {"json"},
}


@dataclass(frozen=True, order=True)
class Finding:
    kind: str
    what: str
    source: str
    note: str = ""


def compare(
    source: str, endpoints: list[Endpoint], tables: list[Table], variants: dict[str, str]
) -> Iterator[Finding]:
    """Everything in which the tables differ. `variants` says which variant of a union an endpoint's rows are."""
    asked: dict[str, list[Table]] = {}
    for table in tables:
        asked.setdefault(table.asks, []).append(table)
    downloads = {f"GET {anonymous(table.files['path'])}" for table in tables if table.files}

    for endpoint in endpoints:
        name = endpoint.name
        if name in asked:
            yield from requests(endpoint, asked[name])
            for table in asked[name]:
                yield from answers(endpoint, table, variants.get(name))
        elif endpoint.answer and endpoint.detail_of in asked:
            yield from details(endpoint, asked[endpoint.detail_of])
        elif name not in downloads:
            yield Finding("endpoint", name, source, f"{describe(endpoint)}: {endpoint.call}")
    # A document that says whose key it is all about is the one for these surfaces.
    surfaces, known = {endpoint.surface for endpoint in endpoints}, {endpoint.name for endpoint in endpoints}
    for table in tables:
        if table.surface in surfaces and not table.base and table.asks not in known:
            yield Finding("table", table.name, source, f"asks {table.asks}")


def describe(endpoint: Endpoint) -> str:
    if endpoint.answer is None:
        return "a file or a stream"
    return "a list" if endpoint.lists else "one object"


def requests(endpoint: Endpoint, tables: list[Table]) -> Iterator[Finding]:
    """What is sent, and how the list goes on. Tables that read parts of one list count together."""
    sent: dict[str, set] = {}
    for table in tables:
        own = {} if table.base else table.sent
        for name, values in own.items():
            sent.setdefault(name, set()).update(values)
    at = f"{endpoint.name} "
    for name, parameter in endpoint.query.items():
        if name not in sent:
            yield Finding("query", at + name, endpoint.source, " ".join(["not sent", some(parameter.values)]).strip())
        elif parameter.many:
            for value in sorted(parameter.values - sent[name], key=str):
                yield Finding("query", f"{at}{name}={value}", endpoint.source, "value not sent")
    for name, values in sent.items():
        documented = endpoint.query.get(name)
        if documented is None:
            yield Finding("sent", at + name, endpoint.source, "not documented")
        elif documented.values:
            for value in sorted(values - documented.values, key=str):
                if not isinstance(value, bool):
                    yield Finding("sent", f"{at}{name}={value}", endpoint.source, "value not documented")
    for table in tables:
        if table.base:
            continue
        for subject, problem in paging(endpoint, table):
            yield Finding("paging", f"{table.name} {subject}", endpoint.source, problem)
        for header, value in endpoint.headers.items():
            if table.request.get("headers", {}).get(header) != value:
                yield Finding("header", f"{table.name} {header}", endpoint.source, f"`{header}: {value}` is not sent")
        if endpoint.surface and endpoint.surface != table.surface:
            yield Finding("key", table.name, endpoint.source, f"takes a key of surface {endpoint.surface}")


def some(values) -> str:
    named = [str(value) for value in sorted(values, key=str)]
    return f"({', '.join(named[:4])}{', ...' if len(named) > 4 else ''})" if named else ""


def paging(endpoint: Endpoint, table: Table) -> Iterator[tuple[str, str]]:
    """What differs, and how: the parameter with the cursor, the member that says whether there is more, the size."""
    ours = table.paging
    documented = {"after", "page", "cursor"} & endpoint.query.keys()
    if ours is None:
        if endpoint.cursor or documented:
            yield endpoint.cursor[0] if endpoint.cursor else min(documented), "the list has pages, the table has none"
        return
    places = {ours.get("from"), ours.get("last")}
    if endpoint.cursor:
        if ours["send"] != endpoint.cursor[0] or endpoint.cursor[1] not in places:
            yield ours["send"], f"it is `{endpoint.cursor[0]}` from `{endpoint.cursor[1]}`"
    elif not documented:
        yield ours["send"], "the list has no pages"
    else:
        rows = endpoint.answer and endpoint.answer.at(table.request["rows"][0])
        item = rows and rows.items
        within = [ours.get("from") and endpoint.answer and endpoint.answer.at(ours["from"]),
                  ours.get("last") and item and item.at(ours["last"])]
        if not any(within):
            yield ours["send"], "it is not where the table looks for it"
    if "while" in ours and endpoint.answer and endpoint.answer.at(ours["while"]) is None:
        yield ours["while"], "not in the answer"
    for name, size in ours.get("size", {}).items():
        most = endpoint.query[name].most if name in endpoint.query else None
        if most not in (None, size):
            yield name, f"at most {most}, the table sends {size}"


def answers(endpoint: Endpoint, table: Table, variant: str | None) -> Iterator[Finding]:
    """The members of the answer. A list of files is read for what fetches them; their lines are in no document."""
    if table.files:
        if not table.base:
            yield from files(endpoint, table)
        return
    levels = records(endpoint, table, variant)
    if isinstance(levels, str):
        yield Finding("field", f"{table.name} {levels}", endpoint.source, "the rows are not there")
        return
    covered = coverage(table, levels[-1])
    around = "../" * len(levels)
    for out, record in enumerate(reversed(levels)):
        if out and table.base:
            break  # what lies around the rows is the base table's
        prefix = "../" * out
        inner = table.request["rows"][len(levels) - out] if out else None
        for pointer in unread(record, lambda here: here == inner or covered(prefix[:-1] + here)):
            note = "/".join(sorted(record.at(pointer).kinds))
            yield Finding("field", f"{table.name} {prefix[:-1]}{pointer}", endpoint.source, note)
    if table.request["rows"] != [""] and not table.base:
        first = table.request["rows"][0].split("/")[1]
        for name, member in endpoint.answer.members.items():
            if name not in ENVELOPE | {first} and not covered(around + name):
                yield Finding("field", f"{table.name} (answer)/{name}", endpoint.source, "/".join(sorted(member.kinds)))
    yield from types(endpoint, table, levels)


def records(endpoint: Endpoint, table: Table, variant: str | None) -> list[Shape] | str:
    """The shapes of the records, outermost first; or what is missing: a list, or the variant."""
    shape, levels = endpoint.answer, []
    for pointer in table.request["rows"]:
        shape = shape and (shape if pointer == "" else shape.at(pointer))
        shape = shape and (shape if pointer == "" else shape.items)
        if shape is None:
            return pointer
        levels.append(shape)
    if variant:
        levels[-1] = levels[-1].tagged(variant)
        if not levels[-1].atoms:
            return variant
    return levels


def coverage(table: Table, record: Shape | None):
    """Whether a JSON Pointer is covered: by its column, within a `json` column, or by `ignore`."""
    exact, within = set(), set(table.all.get("ignore", []))
    for name, pointers in table.pointers.items():
        (within if table.column_type(name) == "json" else exact).update(pointers)
    for by in table.named_by():
        names = record.at(by) if record else None
        within |= {f"/{name}" for name in (names.literals if names else ())}

    def covered(pointer: str) -> bool:
        if pointer in exact or "" in within:
            return True
        return any(pointer == one or pointer.startswith(one + "/") for one in within)

    return covered


def types(endpoint: Endpoint, table: Table, levels: list[Shape]) -> Iterator[Finding]:
    levels = [endpoint.answer, *levels]  # `../` reaches the answer too
    for name, pointers in table.pointers.items():
        for pointer in pointers:
            out = pointer.count("../")
            if out >= len(levels) or pointer == "":
                continue
            member = levels[-1 - out].at("/" + pointer[3 * out:] if out else pointer)
            if member is None or not member.kinds:
                continue
            kinds = moments(name, member.kinds)
            ours = table.column_type(name)
            if not fits(ours, kinds):
                note = f"{'/'.join(sorted(kinds))} in the document, {ours} in the table"
                yield Finding("type", f"{table.name} {name}", endpoint.source, note)


def moments(name: str, kinds: set[str]) -> set[str]:
    """Documents often say only `integer` of what is Unix seconds; the name tells."""
    if name.endswith(("created", "_at", "_time", "_timestamp")) and kinds <= {"int", "number", "time"}:
        return {"time"}
    return kinds


def fits(ours: str, kinds: set[str]) -> bool:
    if len(kinds) > 1 and kinds <= SCALARS and ours == "string":
        return True  # what can be two things is kept as text
    if "number" in kinds:
        kinds = kinds - {"int"}  # whole numbers are numbers
    if ours == "decimal" and kinds == {"string", "number"}:
        return True  # amounts come in both spellings
    return all(ours in FITS[kind] for kind in kinds)


def files(endpoint: Endpoint, table: Table) -> Iterator[Finding]:
    listed = endpoint.answer and endpoint.answer.at(table.request["rows"][0])
    for key in ("id", "time", "size", "sha256"):
        pointer = table.files.get(key)
        if pointer and not (listed and listed.items and listed.items.at(pointer)):
            yield Finding("field", f"{table.name} {pointer}", endpoint.source, f"`{key}` of a file is not there")


def details(endpoint: Endpoint, tables: list[Table]) -> Iterator[Finding]:
    """One item asked for by its id: is there more than in the list? The member that names the item is not new."""
    covers = [coverage(table, endpoint.answer) for table in tables]
    for pointer in unread(endpoint.answer, lambda here: any(covered(here) for covered in covers)):
        kinds = "/".join(sorted(endpoint.answer.at(pointer).kinds))
        yield Finding("detail", f"{endpoint.name} {pointer}", endpoint.source, kinds)
