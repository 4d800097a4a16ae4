"""Where the tests of hints type commands: a working folder with the keys of a simulated organization.

    desk.sync("--tables", "users")              a sync into `lake`, with few attempts
    hint = hinted(desk("tables", "usrs", code=1), "did you mean `{near}`?")
    desk.as_printed(hint)                       runs the commands that the hint prints
"""

from __future__ import annotations

import json
import pathlib
import re
import shlex
import shutil

import pyarrow.parquet as pq
import pytest

import hints
from conftest import Run, command, objects
from fixtures.sources import organization
from scripted import Scripted

CHOSEN = "costs,costs_totals,users,projects,project_users,audit_logs,usage_completions"


def hinted(run: Run, text: str) -> str:
    """The hint as it was shown: a text of the source, with whatever its placeholders stand for."""
    shown = re.findall(r"hint: (.*)", run.err + "\n" + run.out)
    try:
        report = json.loads(run.out)
        shown += [error["cure"] for error in errors_of(report) if error.get("cure")]
    except (ValueError, AttributeError):
        pass
    found = [hint for hint in shown if hints.pattern(text).fullmatch(hint.strip())]
    assert found, f"expected the hint: {text}\nshown: {shown}\n{run.err[-2000:]}"
    return found[0]


def errors_of(report) -> list[dict]:
    if isinstance(report, list):  # of `check`
        return report
    tables = report["tables"].values()
    return [t["error"] for t in tables if t["error"]] + [skipped for t in tables for skipped in t["skipped"]]


class Desk:
    """A working folder, and whoever types commands there."""

    def __init__(self, folder: pathlib.Path, env: dict[str, str]):
        self.folder, self.env = folder, env

    def __call__(self, *arguments, code: int | set[int] | None = 0, env: dict | None = None, without: tuple[str, ...] = ()) -> Run:
        variables = {name: value for name, value in {**self.env, **(env or {})}.items() if name not in without}
        return command(*arguments, cwd=self.folder, env=variables, code=code)

    def sync(self, *flags, code: int | set[int] | None = 0, env=None) -> Run:
        """With few attempts; the destination is `lake` when none is given."""
        (self.folder / "few.toml").write_text('[http]\nbackoff = "5ms"\nretries = 1\n')
        dest = () if "--dest" in flags else ("--dest", "lake")
        config = () if "--config" in flags else ("--config", "few.toml")
        return self("sync", "--format", "json", *dest, *config, *flags, code=code, env=env)

    def as_printed(self, hint: str, code: int | set[int] | None = 0) -> list[Run]:
        """Runs the commands of a hint, as they stand there."""
        printed = re.findall(r"`openai-elt ([^`]*)`", hint)
        assert printed, f"no command in: {hint}"
        return [self(*shlex.split(words), code=code) for words in printed]

    def write(self, name: str, text: str) -> pathlib.Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


@pytest.fixture(scope="module")
def org():
    running = organization("--projects", 2, "--users", 4, "--history-days", 3)
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def healthy(request):
    """What a test asked of the organization ends with it."""
    yield
    if "org" in request.fixturenames:
        request.getfixturevalue("org").heal()


@pytest.fixture(scope="module")
def made(org, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    Desk(folder, org.env()).sync("--tables", CHOSEN)
    return folder / "lake"


@pytest.fixture
def desk(org, tmp_path):
    return Desk(tmp_path, org.env())


@pytest.fixture
def lake(made, desk):
    """A lake of its own, in the working folder."""
    return pathlib.Path(shutil.copytree(made, desk.folder / "lake"))


@pytest.fixture
def scripted(tmp_path):
    """A working folder whose API is the test's."""
    with Scripted() as server:
        here = Desk(tmp_path, server.env())
        here.server = server
        yield here


def rows(lake: pathlib.Path, table: str) -> int:
    return sum(pq.ParquetFile(file).metadata.num_rows for file in objects(lake, table))
