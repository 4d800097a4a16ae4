"""What else lies in the folder of a destination: only folders of tables are looked into.

The program runs as a user who may not read all of it. Where the tests run as root, whom nothing is forbidden, the
program runs as nobody.
"""

import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from conftest import BINARY, ROOT, Run, clean_environment, command, settings, sync
from reliability import INTEGRITY, record

NOBODY = 65534
FOREIGN = ["lost+found", ".Trash-1000", "System Volume Information", ".snapshot", "$RECYCLE.BIN", "backup", "Ümlaut"]
TABLES = "users,costs,audit_logs"


@pytest.fixture
def home():
    """A folder that another user can reach, with the program in it."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="openai-elt-folders-", dir="/tmp"))
    folder.chmod(0o777)
    shutil.copy(BINARY, folder / "openai-elt")
    yield folder
    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)
    shutil.rmtree(folder)


def as_nobody():
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def run(home, *arguments, env=None, code=None) -> Run:
    done = subprocess.run(
        [home / "openai-elt", *map(str, arguments)], env=clean_environment(**(env or {})), cwd=home, capture_output=True, preexec_fn=as_nobody,
        timeout=300,
    )
    ended = Run(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert code is None or ended.code == code, f"$ {arguments}\nexit {ended.code}\n{ended.err}\n{ended.out}"
    return ended


def forbidden(folder: pathlib.Path) -> pathlib.Path:
    """A folder with something in it, which nobody may read."""
    folder.mkdir(parents=True)
    (folder / "note").write_text("x")
    if os.geteuid() == 0:
        os.chown(folder, 0, 0)
    folder.chmod(0)
    return folder


def lake_of(home, simulator) -> pathlib.Path:
    lake = home / "lake"
    run(home, "sync", "--dest", lake, "--tables", TABLES, env=simulator.env(), code=0)
    return lake


def commands(home, lake) -> dict[str, list]:
    if not (home / "duckdb").exists():
        shutil.copy(pathlib.Path(importlib.util.find_spec("duckdb_cli").origin).with_name("duckdb"), home / "duckdb")
    duckdb = ["--duckdb", home / "duckdb"]
    return {
        "verify": ["verify", "--dest", lake],
        "verify totals": ["verify", "--totals", "--dest", lake],
        "load": ["load", "--dest", lake, "--to", f"duckdb:{home}/openai.duckdb", *duckdb],
        "report": ["report", "--dest", lake, "--out", home / "report.html"],
        "schema": ["schema", "--dialect", "duckdb", "--dest", lake],
        "schema of a run": ["schema", "--dialect", "duckdb", "--dest", lake, "--changed-by", "last"],
        "state show": ["state", "show", "--dest", lake],
        "state rebuild": ["state", "rebuild", "--dest", lake],
        "dry run": ["sync", "--dest", lake, "--tables", TABLES, "--dry-run"],
        "sync": ["sync", "--dest", lake, "--tables", TABLES],
    }


def test_what_lies_beside_the_tables_is_passed_over(home, simulator):
    lake = lake_of(home, simulator)
    known = {name: run(home, *arguments, env=simulator.env()) for name, arguments in commands(home, lake).items()}
    for name in FOREIGN:
        forbidden(lake / name)
    forbidden(lake / "costs" / "lost+found")
    (lake / "README.txt").write_text("ours")
    (lake / "mine.parquet").write_text("no table's")
    os.symlink("/nonexistent", lake / "dangling")
    (home / "openai.duckdb").unlink(missing_ok=True)
    for name, arguments in commands(home, lake).items():
        ended = run(home, *arguments, env=simulator.env())
        assert ended.code == known[name].code, f"{name}: exit {ended.code}, was {known[name].code}\n{ended.err}\n{ended.out}"
        assert "ermission" not in ended.err, f"{name}\n{ended.err}"
    assert known["verify"].code == known["load"].code == known["report"].code == known["schema"].code == 0
    record(
        "the destination is the root of a volume", "folders such as `lost+found` that this user may not read, beside the tables and in one of them",
        before="three tables", during="every command that reads ends as before", after="as before", part=INTEGRITY,
    )


@pytest.mark.parametrize("folder", ["costs", "costs/date=", "users"])
def test_a_folder_of_a_table_that_may_not_be_read_is_named(home, simulator, folder):
    lake = lake_of(home, simulator)
    if folder.endswith("="):
        folder = str(next((lake / "costs").glob("date=*")).relative_to(lake))
    if os.geteuid() == 0:
        os.chown(lake / folder, 0, 0)
    (lake / folder).chmod(0)
    for name in ("verify", "load", "report", "schema", "state rebuild"):
        ended = run(home, *commands(home, lake)[name], env=simulator.env())
        assert ended.code == 1, f"{name}: exit {ended.code}\n{ended.err}\n{ended.out}"
        assert folder in ended.err and "permission denied" in ended.err.lower(), f"{name}\n{ended.err}"
        assert "let this user read the folder" in ended.err and "write" not in ended.err.split("hint:")[1], f"{name}\n{ended.err}"
    # What the hint says helps.
    (lake / folder).chmod(0o755)
    assert run(home, *commands(home, lake)["verify"]).code == 0


def test_a_table_of_ones_own_that_may_not_be_read_is_named_too(home, simulator):
    """No built-in table has its name; a run has written it."""
    lake, own = home / "lake", home / "own" / "admin"
    own.mkdir(parents=True)
    text = (ROOT / "schemas/admin/users.toml").read_text()
    (own / "my_people.toml").write_text(text)
    run(home, "sync", "--dest", lake, "--schemas", own.parent, "--tables", "my_people", env=simulator.env(), code=0)
    if os.geteuid() == 0:
        os.chown(lake / "my_people", 0, 0)
    (lake / "my_people").chmod(0)
    ended = run(home, "verify", "--dest", lake, "--schemas", own.parent, code=1)
    assert "my_people" in ended.err and "permission denied" in ended.err


def test_a_destination_that_may_not_be_read_is_not_one_that_is_not_there(home, simulator):
    lake = lake_of(home, simulator)
    shutil.move(lake, home / "above")
    (home / "outer").mkdir()
    shutil.move(home / "above", home / "outer" / "lake")
    (home / "outer").chmod(0)
    ended = run(home, "verify", "--dest", home / "outer" / "lake", code=1)
    assert "permission denied" in ended.err and "not there" not in ended.err


# ---- no lake -------------------------------------------------------------------------------------------


READERS = {
    "verify": ["verify"], "verify json": ["verify", "--format", "json"], "verify totals": ["verify", "--totals"],
    "load": ["load", "--to", "duckdb:nothing.duckdb"], "report": ["report", "--out", "nothing.html"],
    "schema": ["schema", "--dialect", "duckdb"],
}


@pytest.mark.parametrize("name", READERS)
def test_a_folder_that_is_no_lake_is_not_one_in_which_all_is_well(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other" / "photos").mkdir(parents=True)
    (tmp_path / "other" / "photos" / "cat.parquet").write_text("meow")
    (tmp_path / "other" / "letter.txt").write_text("dear")
    for folder in ("empty", "other"):
        ended = command(*READERS[name], "--dest", tmp_path / folder, cwd=tmp_path, code=1)
        assert "there is no lake at" in ended.err and "hint:" in ended.err and not ended.out, ended.err
        assert "as their runs wrote them" not in ended.err
    assert not (tmp_path / "nothing.duckdb").exists() and not (tmp_path / "nothing.html").exists()
    assert "not there" in command(*READERS[name], "--dest", tmp_path / "missing", cwd=tmp_path, code=1).err


@pytest.mark.parametrize("name", READERS)
def test_a_prefix_where_nothing_is_is_no_lake(tmp_path, seaweed, name):
    place = seaweed.place()
    ended = command(*READERS[name], "--dest", place.url, env=place.env(), cwd=tmp_path, code=1)
    assert "there is no lake at" in ended.err and not ended.out


def test_a_lake_in_which_nothing_was_written_yet_is_one(tmp_path, simulator):
    simulator.fault("/organization/users", status=403)
    sync(tmp_path / "lake", simulator, "--tables", "users", code=3)
    ended = command("verify", "--dest", tmp_path / "lake", code=0)
    assert "no run has written an object yet" in ended.err


# ---- the list of tables ----------------------------------------------------------------------------------


def test_the_list_of_tables_fits_a_terminal():
    for arguments in (["tables"], ["tables", "*"], ["tables", "usage_completions"]):
        out = command(*arguments, code=0).out
        assert max(map(len, out.splitlines())) <= 80
    words = " ".join(command("tables", "*", code=0).out.split())
    for table in json.loads(command("tables", "--format", "json", code=0).out):
        assert f"{table['name']} ({table['surface']}, {table['policy']}" in words and " ".join(table["doc"].split()) in words
        for column in table["columns"]:
            assert " ".join(column["doc"].split()) in words and f"{column['name']} {column['type']}" in words
