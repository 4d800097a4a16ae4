"""What the lake must hold, worked out without the product.

A second, small and slow decoder: it takes the simulator's records and the catalog's column list and
makes rows of plain Python values; `lake_rows` reads the same rows back through DuckDB. Both sides give
values in one form (`canonical`), so equality is plain `==`.

A line of truth is {"parents": {"projects.id": ...}, "enclosing": {...}, "record": {...}}.
"""

from __future__ import annotations

import copy
import functools
import json
import pathlib
import re
import tomllib
from datetime import date, datetime, timezone
from decimal import ROUND_HALF_EVEN, Context, Decimal

import duckdb

MISSING = object()
SCHEMAS = pathlib.Path(__file__).resolve().parents[2] / "schemas"
UNDERSCORED = ("_synced_at", "_extra", "_deleted", "_valid_from", "_valid_to", "_current")
SECRET_NAMES = {
    "authorization", "cookie", "password", "api_key", "access_token", "refresh_token", "bearer_token", "client_secret",
}
MONEY = Context(prec=80, rounding=ROUND_HALF_EVEN)


class Misfit(Exception):
    """The value does not fit the column."""


class Number(str):
    """A JSON number that keeps its own text, so that nothing is lost through a float."""


def parse(text: bytes | str):
    """JSON with every number as its own text."""
    return json.loads(text, parse_int=Number, parse_float=Number)


# ---- values ---------------------------------------------------------------------------------


def to_string(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return str(value)
    raise Misfit


def number_of(value) -> Decimal:
    """A JSON number, or a string that is one."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", value):
        return Decimal(value)
    raise Misfit


def to_int(value):
    number = number_of(value)
    if number != number.to_integral_value() or not -(2**63) <= number < 2**63:
        raise Misfit
    return int(number)


def to_float(value):
    return float(number_of(value))


def to_bool(value):
    if isinstance(value, bool):
        return value
    raise Misfit


def to_decimal(value):
    number = MONEY.quantize(number_of(value), Decimal(1).scaleb(-18))
    if abs(number) >= Decimal(10) ** 20:
        raise Misfit
    return number


def to_date(value):
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        return date.fromisoformat(value)
    raise Misfit


def to_timestamp(value):
    """Microseconds since 1970, UTC."""
    if isinstance(value, Number):
        return int(MONEY.quantize(Decimal(value) * 1_000_000, Decimal(1)))
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise Misfit from None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        return round((moment - datetime(1970, 1, 1, tzinfo=timezone.utc)).total_seconds() * 1_000_000)
    raise Misfit


TYPES = {
    "string": to_string, "int": to_int, "float": to_float, "bool": to_bool, "decimal": to_decimal,
    "date": to_date, "timestamp": to_timestamp, "json": lambda value: canonical_json(redact(value)),
}


def redact(value):
    """Credentials inside data never reach the lake."""
    if isinstance(value, dict):
        return {
            name: "[redacted]" if is_secret(name) and member is not None else redact(member)
            for name, member in value.items()
        }
    return [redact(item) for item in value] if isinstance(value, list) else value


def is_secret(name: str) -> bool:
    name = name.lower()
    return name in SECRET_NAMES or name.endswith(("secret", "secrets"))


def canonical_json(value) -> str:
    """One text for one JSON value, whatever the order of its members or the spelling of its numbers."""

    def plain(value):
        if isinstance(value, dict):
            return {name: plain(member) for name, member in value.items()}
        if isinstance(value, list):
            return [plain(item) for item in value]
        if isinstance(value, Number):
            number = Decimal(value)
            return {"number": "0" if number == 0 else str(number.normalize(MONEY))}
        return value

    return json.dumps(plain(value), sort_keys=True, ensure_ascii=False)


# ---- records to rows --------------------------------------------------------------------------


def steps(pointer: str) -> list[str]:
    """The members a JSON Pointer names."""
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def follow(value, path: list[str]):
    for step in path:
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return MISSING
    return value


def drop(value, path: list[str]) -> None:
    """Removes the member a path names, and what on the way there is null or holds nothing else."""
    if not path and isinstance(value, dict):
        value.clear()
    if not path or not isinstance(value, dict) or path[0] not in value:
        return
    if len(path) == 1:
        del value[path[0]]
        return
    inner = value[path[0]]
    drop(inner, path[1:])
    if inner is None or inner == {}:
        del value[path[0]]


def sources(column: dict) -> list[str]:
    """Where a column's value is looked for, in order."""
    source = column.get("from") or "/" + column["name"]
    return source.split(" or ") if isinstance(source, str) else list(source)


def namer(column: dict) -> str | None:
    """The column whose value names the member that this one takes ("member named by `type`")."""
    found = re.fullmatch(r"member named by `(.+)`", column.get("from") or "")
    return column.get("named_by") or (found and found[1])


@functools.cache
def ignored(surface: str, table: str) -> list[str]:
    """Members that the table file knows and does not keep."""
    path = SCHEMAS / surface / f"{table}.toml"
    return tomllib.loads(path.read_text()).get("ignore", []) if path.exists() else []


def data_columns(table: dict) -> list[dict]:
    return [column for column in table["columns"] if column["name"] not in UNDERSCORED]


def row_of(table: dict, line: dict) -> dict:
    """One row as the lake must hold it, `_extra` included, the other `_` columns not."""
    row, rest = {}, copy.deepcopy(line["record"])
    for column in data_columns(table):
        value, covered = find(table, column, line)
        try:
            row[column["name"]] = None if value in (MISSING, None) else TYPES[column["type"]](value)
        except Misfit:
            row[column["name"]], covered = None, None
        if column["type"] == "decimal" and row[column["name"]] is not None and loses_digits(value):
            covered = None
        if covered is not None:
            drop(rest, covered)
    for pointer in ignored(table["surface"], table["name"]):
        if not pointer.startswith(".."):
            drop(rest, steps(pointer))
    row["_extra"] = canonical_json(redact(rest)) if rest else None
    return row


def find(table: dict, column: dict, line: dict):
    """The value a column takes, and the path of the record's member that it covers (None: none)."""
    record = line["record"]
    if by := namer(column):
        member = follow(record, steps(sources(named(table, by))[0]))
        return (follow(record, [member]), [member]) if isinstance(member, str) else (MISSING, None)
    found = MISSING, None
    for source in sources(column):
        if source.startswith("{"):
            return line["parents"].get(source.strip("{}"), MISSING), None
        if source.startswith("../"):
            return follow(line.get("enclosing") or {}, steps(source[2:])), None
        found = follow(record, steps(source)), steps(source)
        if found[0] not in (MISSING, None):
            break
    return found


def named(table: dict, name: str) -> dict:
    return next(column for column in table["columns"] if column["name"] == name)


def loses_digits(value) -> bool:
    return value is not None and to_decimal(value) != number_of(value)


def true_rows(table: dict, lines) -> list[dict]:
    """All rows a complete extraction of this table must hold."""
    return [row_of(table, parse(line)) for line in lines]


# ---- the lake, through DuckDB -------------------------------------------------------------------


def glob(dest, name: str) -> str:
    return f"{dest}/{name}/**/*.parquet"


def lake_rows(dest, table: dict) -> list[dict]:
    """The rows a reader sees with nothing but a glob; a moment is given as its microseconds."""
    name = table["name"]
    if table.get("slices") and not list((pathlib.Path(dest) / name).rglob("*.parquet")):
        return []  # no day of a day table had a row
    source = f"read_parquet('{glob(dest, name)}', hive_partitioning=false)"
    reader = duckdb.connect()
    kinds = {column: kind for column, kind, *_ in reader.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
    wanted = (f'epoch_us("{column}")' if "TIME" in kind else f'"{column}"' for column, kind in kinds.items())
    found = reader.execute(f"SELECT {', '.join(wanted)} FROM {source}").fetchall()
    jsons = {column["name"] for column in table["columns"] if column["type"] == "json"} | {"_extra"}
    return [
        {column: canonical_json(parse(value)) if column in jsons and value is not None else value
         for column, value in zip(kinds, values)}
        for values in found
    ]


def without(row: dict, *names: str) -> dict:
    return {name: value for name, value in row.items() if name not in names}


def bag(rows: list[dict]) -> list[str]:
    """Rows in an order of their own: two bags are equal when they hold the same rows equally often."""
    return sorted(repr(sorted(row.items())) for row in rows)


def by_key(table: dict, rows: list[dict]) -> dict[tuple, dict]:
    """Rows by the table's key; a key that comes twice is an error."""
    found = {}
    for row in rows:
        key = tuple(row[name] for name in table["key"])
        assert key not in found, f"{table['name']}: key {key} comes twice"
        found[key] = row
    return found


def difference(left: list[dict], right: list[dict], limit: int = 3) -> str:
    """For messages: a few rows that only one side has."""
    mine, theirs = bag(left), bag(right)
    only_left = [row for row in mine if row not in set(theirs)][:limit]
    only_right = [row for row in theirs if row not in set(mine)][:limit]
    return (
        f"{len(mine)} rows against {len(theirs)}\nonly in the truth:\n  " + "\n  ".join(only_left)
        + "\nonly in the lake:\n  " + "\n  ".join(only_right)
    )
