"""The official Python SDK as a document: its methods are called on a client that sends nothing.

The client notes what it was to ask for. Types of answers are the SDK's own pydantic models.
"""

from __future__ import annotations

import functools
import inspect
import re
import types
import typing
import warnings
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from types import SimpleNamespace

import openai
import pydantic
import typing_extensions
from openai._resource import SyncAPIResource
from openai._types import SequenceNotStr

from .shapes import Atom, Endpoint, Parameter, Shape

NAME = "sdk"
READS = {"_get", "_get_api_list"}
SCALAR = {str: "string", bool: "bool", int: "int", float: "number", datetime: "time", date: "date"}


def title() -> str:
    return f"openai {openai.__version__}"


@functools.cache
def endpoints() -> list[Endpoint]:
    client = Noting(api_key="none", admin_api_key="none")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is deprecated is read like the rest
        found = [asked(call, method) for call, method in methods(client, "")]
    # A POST that answers with pages lists; any other does something.
    return [one for one in found if one.method == "GET" or one.cursor]


class Asked(Exception):
    def __init__(self, **what):
        self.what = SimpleNamespace(**what)


class Noting(openai.OpenAI):
    """Raises what it was to send. These are the two ways in which resources read."""

    def get(self, path, *, cast_to, options={}, **_):
        raise Asked(path=path, method="GET", answer=cast_to, options=options, page=None)

    def get_api_list(self, path, *, model, page, body=None, options={}, method="get"):
        raise Asked(path=path, method=method.upper(), answer=page, options=options, page=page)

    def request(self, *_, **__):
        raise AssertionError("nothing is sent")


def methods(resource, name: str):
    """Each method below a resource that reads, with its name. What it calls is in its code."""
    for attribute in sorted(dir(type(resource))):
        static = inspect.getattr_static(type(resource), attribute)
        if attribute.startswith(("_", "with_")):
            continue
        full = f"{name}.{attribute}".strip(".")
        if inspect.isfunction(static):
            if isinstance(resource, SyncAPIResource) and READS & set(inspect.unwrap(static).__code__.co_names):
                yield full, getattr(resource, attribute)
        elif hasattr(static, "__get__"):
            below = getattr(resource, attribute, None)
            if isinstance(below, SyncAPIResource):
                yield from methods(below, full)


def asked(call: str, method) -> Endpoint:
    """What a method asks for. Parameters that must be there get their own names as values."""
    parameters = [one for one in inspect.signature(method).parameters.values() if not one.name.startswith("extra_")]
    needed = {one.name: f"~{one.name}~" for one in parameters if one.default is inspect.Parameter.empty}
    try:
        method(**needed)
    except Asked as noted:
        what = noted.what
    else:
        raise RuntimeError(f"{call} of the SDK did not say what it asks for")
    path = re.sub(r"~(\w+)~", r"{\1}", what.path)
    hints = typing.get_type_hints(inspect.unwrap(method))
    security = what.options.get("security") or {}
    headers = what.options.get("headers") or {}
    streamed = "json" not in headers.get("Accept", "json")
    answer = Shape.of(atoms, None if streamed else what.answer)
    return Endpoint(
        source=NAME, call=call, method=what.method, path=path,
        answer=answer if answer.members else None,
        query={one.name: parameter(hints[one.name]) for one in parameters
               if f"{{{one.name}}}" not in path and one.name != "timeout"},
        headers={name: value for name, value in headers.items() if name.startswith("OpenAI-")},
        surface="admin" if "admin_api_key_auth" in security else "project",
        cursor=cursor(what.page),
    )


def cursor(page) -> tuple[str, str] | None:
    """How the SDK's class of pages comes to the next page: a page is made whose values say where they stand."""
    if page is None:
        return None
    made = pydantic.BaseModel.model_construct.__func__(
        page, data=[SimpleNamespace(id="/id")], has_more=True, last_id="/last_id", next="/next"
    )
    following = made.next_page_info()
    return next(iter(following.params.items())) if following else None


def parameter(hint) -> Parameter:
    shape = Shape.of(atoms, hint)
    both = shape.literals | (shape.items.literals if shape.items else set())
    return Parameter(values=frozenset(both), many="array" in shape.kinds)


def atoms(hint) -> Iterable[Atom]:
    """What a type of Python can be in JSON."""
    origin, arguments = typing_extensions.get_origin(hint), typing_extensions.get_args(hint)
    if hint is None or hint is type(None) or hint in (openai.Omit, openai.NotGiven):
        return
    if hasattr(hint, "__value__"):  # an alias with a name
        yield from atoms(hint.__value__)
    elif origin in (typing.Annotated, typing_extensions.Required, typing_extensions.NotRequired):
        yield from atoms(arguments[0])
    elif origin in (typing.Union, types.UnionType):
        for one in arguments:
            yield from atoms(one)
    elif origin in (typing.Literal, typing_extensions.Literal):
        for value in arguments:
            yield Atom(SCALAR[type(value)], literals=(value,))
    elif origin in (list, Iterable, Sequence, SequenceNotStr):
        yield Atom("array", item=arguments[0])
    elif origin in (dict, Mapping):
        yield Atom("object")
    elif hint in SCALAR:
        yield Atom(SCALAR[hint])
    elif isinstance(hint, type) and issubclass(hint, pydantic.BaseModel):
        yield Atom("object", members={one.alias or name: one.annotation for name, one in hint.model_fields.items()})
    else:
        yield Atom("any")
