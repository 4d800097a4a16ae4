"""An OpenAPI document (JSON, versions 3.0 and 3.1)."""

from __future__ import annotations

import json
import pathlib
import re
from typing import Iterable

from .shapes import Atom, Endpoint, Parameter, Shape

TIMES = {"unixtime": "time", "date-time": "time", "date": "date"}
CURSORS = {"after", "cursor", "page"}


class Document:
    def __init__(self, file: pathlib.Path):
        self.all = json.loads(file.read_text())
        self.name = self.all["info"]["title"]
        self.title = f"{self.name} {self.all['info']['version']}"

    def endpoints(self) -> list[Endpoint]:
        found = []
        for path, operations in self.all["paths"].items():
            for method in ("get", "post"):
                if method in operations:
                    found.append(self.endpoint(method.upper(), path, operations, operations[method]))
        # A POST that answers with pages lists; any other does something.
        return [one for one in found if one.method == "GET" or (one.lists and CURSORS & one.query.keys())]

    def endpoint(self, method: str, path: str, operations: dict, operation: dict) -> Endpoint:
        parameters = [self.resolve(one) for one in [*operations.get("parameters", []), *operation.get("parameters", [])]]
        query = {one["name"].removesuffix("[]"): self.parameter(one.get("schema", {}))
                 for one in parameters if one["in"] == "query"}
        if method == "POST":
            body = self.resolve(operation.get("requestBody", {})).get("content", {}).get("application/json", {})
            shape = Shape.of(self.atoms, body.get("schema", {}))
            query |= {name: Parameter(many="array" in member.kinds) for name, member in shape.members.items()}
        return Endpoint(
            source=self.name, call=operation.get("operationId", operation.get("summary", "")), method=method, path=path,
            answer=self.answer(operation), query=query,
        )

    def answer(self, operation: dict) -> Shape | None:
        for status, response in operation["responses"].items():
            content = self.resolve(response).get("content", {})
            if status.startswith("2") and "application/json" in content:
                shape = Shape.of(self.atoms, content["application/json"].get("schema", {}))
                return shape if shape.members else None
        return None

    def parameter(self, schema: dict) -> Parameter:
        shape = Shape.of(self.atoms, schema)
        both = shape.literals | (shape.items.literals if shape.items else set())
        return Parameter(frozenset(both), "array" in shape.kinds, self.resolve(schema).get("maximum"))

    def resolve(self, node: dict) -> dict:
        while "$ref" in node:
            found = self.all
            for name in node["$ref"].removeprefix("#/").split("/"):
                found = found[name.replace("~1", "/").replace("~0", "~")]
            node = found
        return node

    def atoms(self, schema: dict, described: str = "") -> Iterable[Atom]:
        """What a schema allows. All parts of `allOf` are seen as variants too: a member of one is a member."""
        schema = self.resolve(schema) if isinstance(schema, dict) else {}
        described = f"{described} {schema.get('description', '')}"
        parts = [one for key in ("allOf", "anyOf", "oneOf") for one in schema.get(key, [])]
        for part in parts:
            yield from self.atoms(part, described)
        kinds = schema.get("type", [])
        kinds = [kinds] if isinstance(kinds, str) else list(kinds)
        if not kinds:
            kinds = ["object"] if "properties" in schema else ["array"] if "items" in schema else []
        literals = tuple(value for value in schema.get("enum", [schema.get("const")]) if value is not None)
        if not kinds and not parts:
            kinds = ["string"] if literals else ["any"]
        for kind in kinds:
            if kind == "object":
                yield Atom("object", members=schema.get("properties", {}))
            elif kind == "array":
                yield Atom("array", item=schema.get("items", {}))
            elif kind != "null":
                yield Atom(scalar(kind, schema.get("format"), described), literals=literals)


def scalar(kind: str, format: str | None, described: str) -> str:
    if format in TIMES:
        return TIMES[format]
    if kind in ("integer", "number") and re.search(r"(?i)unix (timestamp|time|seconds|epoch)", described):
        return "time"
    return {"boolean": "bool", "integer": "int"}.get(kind, kind)
