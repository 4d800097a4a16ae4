"""The table files, as far as they say what is asked and what is kept."""

from __future__ import annotations

import pathlib
import tomllib
from dataclasses import dataclass

from .shapes import anonymous


@dataclass
class Table:
    name: str
    surface: str
    all: dict
    base: "Table | None" = None  # the table whose answers hold this one's rows

    @property
    def request(self) -> dict:
        return self.all["request"]

    @property
    def asks(self) -> str:
        """The endpoint, as `Endpoint.name` has it."""
        request = (self.base or self).request
        return f"{request.get('method', 'GET')} {anonymous(request['path'])}"

    @property
    def files(self) -> dict | None:
        return (self.base or self).all.get("files")

    @property
    def paging(self) -> dict | None:
        return self.all.get("paging") if isinstance(self.all.get("paging"), dict) else None

    @property
    def pointers(self) -> dict[str, list[str]]:
        """Where each column is taken from; nothing for what is not in the answer."""
        found = {}
        for name, column in self.all["columns"].items():
            if "named_by" in column:
                continue
            from_ = column.get("from", f"/{name}")
            spellings = [from_] if isinstance(from_, str) else from_
            found[name] = [one for one in spellings if not one.startswith(("{", "#"))]
        return found

    def column_type(self, name: str) -> str:
        return self.all["columns"][name]["type"]

    def named_by(self) -> list[str]:
        """Where the names of members stand that a column follows."""
        by = [column["named_by"] for column in self.all["columns"].values() if "named_by" in column]
        return [pointer for name in by for pointer in self.pointers.get(name, [])]

    @property
    def sent(self) -> dict[str, set]:
        """Every parameter that is ever sent; with its values, where the table file has them."""
        found: dict[str, set] = {}
        for values in [self.request.get("query", {}), self.request.get("body", {}), *self.request.get("passes", [])]:
            for name, value in values.items():
                found.setdefault(name, set()).update(value if isinstance(value, list) else [value])
        names = [self.all.get("slices", {}).get(end) for end in ("since", "until")]
        if self.paging:
            names += [self.paging["send"], *self.paging.get("size", {})]
        for name in names:
            if name:
                found.setdefault(name.partition("[")[0], set())
        return found


def read(folder: pathlib.Path) -> list[Table]:
    tables = [
        Table(file.stem, file.parent.name, tomllib.loads(file.read_text())) for file in sorted(folder.glob("*/*.toml"))
    ]
    named = {table.name: table for table in tables}
    for table in tables:
        if "same_as" in table.request:
            table.base = named.get(table.request["same_as"])
    # Without its base a table asks nothing; the program refuses it, and here the endpoint is found to be missing.
    return [table for table in tables if table.base or "path" in table.request]
