"""What a document of the API says, whatever kind of document it is: endpoints and the shapes of their answers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Callable, Iterable, Iterator

SCALARS = {"string", "int", "number", "bool", "time", "date"}


@dataclass(frozen=True)
class Atom:
    """One thing that a value can be; a union has several. `members` and `item` are as the document has them."""

    kind: str  # one of SCALARS, `object`, `array`, or `any`
    literals: tuple = ()
    members: dict[str, Any] = field(default_factory=dict)
    item: Any = None


Reader = Callable[[Any], Iterable[Atom]]


class Shape:
    """What a value can be. Variants of a union are seen as one: a member of any of them is a member.

    It is read one level at a time, so that types which contain themselves do no harm.
    """

    def __init__(self, read: Reader, atoms: Iterable[Atom]):
        self.read, self.atoms = read, list(atoms)

    @classmethod
    def of(cls, read: Reader, *documented) -> Shape:
        return cls(read, [atom for one in documented for atom in read(one)])

    @cached_property
    def kinds(self) -> set[str]:
        return {atom.kind for atom in self.atoms}

    @cached_property
    def literals(self) -> set:
        return {literal for atom in self.atoms for literal in atom.literals}

    @cached_property
    def members(self) -> dict[str, Shape]:
        found: dict[str, list] = {}
        for atom in self.atoms:
            for name, documented in atom.members.items():
                found.setdefault(name, []).append(documented)
        return {name: Shape.of(self.read, *documented) for name, documented in found.items()}

    @cached_property
    def items(self) -> Shape | None:
        items = [atom.item for atom in self.atoms if atom.item is not None]
        return Shape.of(self.read, *items) if items else None

    def at(self, pointer: str) -> Shape | None:
        """The value at a JSON Pointer, if it is documented."""
        shape = self
        for name in pointer.split("/")[1:]:
            shape = shape.members.get(unescape(name))
            if shape is None:
                return None
        return shape

    def tagged(self, tag: str) -> Shape:
        """Only those variants whose member `object` is the tag."""
        kept = [atom for atom in self.atoms if tag in Shape(self.read, [atom]).tags]
        return Shape(self.read, kept)

    @property
    def tags(self) -> set:
        return self.members["object"].literals if "object" in self.members else set()


def escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def unescape(name: str) -> str:
    return name.replace("~1", "/").replace("~0", "~")


@dataclass(frozen=True)
class Parameter:
    """A query parameter, or for POST a member of the body."""

    values: frozenset = frozenset()  # the documented values; none: not limited
    many: bool = False  # it takes several values at once
    most: int | None = None


@dataclass
class Endpoint:
    source: str
    call: str  # how the document names it
    method: str
    path: str
    answer: Shape | None  # None: not JSON but a file, or a stream
    query: dict[str, Parameter] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    surface: str | None = None  # whose key it takes, where the document says it
    cursor: tuple[str, str] | None = None  # parameter, JSON Pointer to its value; where the document says it

    @property
    def name(self) -> str:
        return f"{self.method} {anonymous(self.path)}"

    @property
    def detail_of(self) -> str | None:
        """The name of the list that this is one item of, by the path: `/users/{}` is one of `/users`."""
        base, slash, last = anonymous(self.path).rpartition("/")
        return f"{self.method} {base}" if slash and last == "{}" else None

    @property
    def lists(self) -> bool:
        members = self.answer.members if self.answer else {}
        return any("array" in shape.kinds for shape in members.values()) and bool({"data", "has_more"} & members.keys())


def anonymous(path: str) -> str:
    """A path without the names of what is put into it, which differ from document to document."""
    return re.sub(r"\{[^}]*\}", "{}", path.partition("?")[0])


def unread(shape: Shape, covered: Callable[[str], bool], pointer: str = "", inside: tuple = ()) -> Iterator[str]:
    """The documented members that are neither covered nor within something covered."""
    for name, child in shape.members.items():
        here = f"{pointer}/{escape(name)}"
        if covered(here):
            continue
        signature = frozenset(child.members)
        again = bool(signature) and inside.count(signature) > 1
        if child.members and not again:
            yield from unread(child, covered, here, (*inside, signature))
        if again or not child.members or child.kinds - {"object"}:
            yield here
