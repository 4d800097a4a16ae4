"""One way to try a hostile answer: a healthy sync, the hostile one with a reader in its middle, a healthy one.

    Trial(server, dest).fails("a reset in the middle of a body", [sends(…, resets)], said=["the connection broke"])

`fails` is for what must cost this table its turn and nothing else; `passes` for what must be overcome. Both assert what
the lake held before, during and after, byte by byte where it must not change, and then write the row of
docs/reliability.md.
"""

from __future__ import annotations

import json
import pathlib

import pyarrow.parquet as pq

from conftest import Run, contents, sync
from hostile_server import Hostile, whole
from reliability import ANSWERS, record
from scripted import page, user

USERS = "/organization/users"
TABLES = ("--tables", "users,invites")
BEFORE = [user("user-1"), user("user-2")]
AFTER = [user("user-2", role="owner"), user("user-3")]
# Short enough to test, and long enough for a good answer on a busy machine.
IMPATIENT = 'timeout = "1s"\n'


def seen(dest, table: str = "users") -> list[tuple[str, str, bool]]:
    """What a reader of the glob finds at this moment: each row's id, role, and whether it is gone at the source."""
    rows = []
    for path in sorted(pathlib.Path(dest, table).glob("**/*.parquet")):
        rows += pq.ParquetFile(path).read(["id", "role", "_deleted"]).to_pylist()
    return sorted((row["id"], row["role"], row["_deleted"]) for row in rows)


TRUE_BEFORE = [("user-1", "reader", False), ("user-2", "reader", False)]
TRUE_AFTER = [("user-1", "reader", True), ("user-2", "owner", False), ("user-3", "reader", False)]


class Trial:
    def __init__(self, server: Hostile, dest, part: str = ANSWERS, config: str = "", retries: int = 1):
        self.server, self.dest, self.part, self.config, self.retries = server, pathlib.Path(dest), part, config, retries
        self.during: list = []

    def healthy(self, users: list[dict]) -> Run:
        self.server.acts[USERS] = [whole(page(*users))]
        return sync(self.dest, self.server, *TABLES)

    def sync(self, *flags, code=0, retries: int | None = None, **how) -> Run:
        retries = self.retries if retries is None else retries
        return sync(self.dest, self.server, *TABLES, *flags, code=code, config=self.config, retries=retries, **how)

    def spied(self, act):
        """The act, after a look at the lake."""

        def spy(connection):
            self.during.append(seen(self.dest))
            act(connection)

        return spy

    def fails(self, fault: str, acts: list, done: str = "", said=(), flags=(), code=2, cure: bool = True, **how) -> Run:
        """The table fails with a message that says where and what to do; it and the other table are as they must be."""
        self.healthy(BEFORE)
        before = contents(self.dest / "users")
        self.server.acts[USERS] = [self.spied(act) for act in acts]
        run = self.sync(*flags, code=code, **how)
        self.assert_untouched(run, before)
        self.assert_told(run, said, cure)
        self.healthy(AFTER)
        assert seen(self.dest) == TRUE_AFTER, "the next sync gives the truth"
        record(fault, done or "every answer of one sync was such", "2 users", "as before; another table was read; exit 2",
               "a healthy sync gave the truth", self.part)
        return run

    def assert_untouched(self, run: Run, before: dict) -> None:
        assert contents(self.dest / "users") == before, "the table is as it was, byte by byte"
        assert self.during and all(rows == TRUE_BEFORE for rows in self.during), self.during
        assert run.table("users")["objects"] == []
        invites = run.table("invites")
        assert invites["status"] in ("ok", "interrupted"), "the other table is not hurt"

    def assert_told(self, run: Run, said, cure: bool) -> None:
        error = run.table("users")["error"]
        message = error["message"].splitlines()[0]
        assert run.table("users")["status"] in ("failed", "interrupted") and message and "\x1b" not in message
        assert message in run.err and "users" in run.err
        for word in said:
            assert word in error["message"], f"{word!r} is not in {error}"
        assert bool(error["cure"]) or not cure, f"no word about what to do: {error}"

    def passes(self, fault: str, acts: list, done: str = "", during: str = "as before", retries: int = 0) -> Run:
        """It costs further attempts at most: the sync ends with the truth."""
        self.healthy(BEFORE)
        self.server.acts[USERS] = [self.spied(act) for act in [*acts, whole(page(*AFTER))]]
        run = self.sync(retries=5)
        assert seen(self.dest) == TRUE_AFTER
        assert self.during and all(rows == TRUE_BEFORE for rows in self.during), self.during
        assert run.table("users")["retries"] >= retries
        record(fault, done or "once; then a good answer", "2 users", during, "the same sync gave the truth; exit 0", self.part)
        return run


def list_of(*records: str, more: str = "") -> bytes:
    """A last_id list of records that are given as text: for what no JSON library would write."""
    return ('{"object":"list","data":[%s],"has_more":false%s}' % (",".join(records), more)).encode()


def text_of(id: str = "user-1", /, **members: str) -> str:
    """A user as JSON text, with members of exactly this text beside or instead of its own."""
    known = {name: json.dumps(value) for name, value in user(id).items()} | members
    return "{%s}" % ",".join(f'"{name}":{text}' for name, text in known.items())
