"""Every hint is tried: the error is provoked, what its hint says is done, and the error is gone.

`tests/hints.toml` names for each hint and warning of the source (hints.py finds them) the test that tries it, here or in
another file, or says why there is nothing to do. Commands are run as the hint prints them.
"""

from __future__ import annotations

import ast
import functools
import os
import pathlib
import re
import shlex
import shutil
import sys

import pytest

import hints
from conftest import ROOT, Run
from desk import Desk, desk, healthy, hinted, lake, made, org  # noqa: F401, fixtures
from scripted import ADMIN_KEY, Scripted

BIN = pathlib.Path(sys.executable).parent


# ---- the registry --------------------------------------------------------------------------------------


HOW = """
Each hint needs an entry in tests/hints.toml:

    [[hint]]
    text  = '''%s'''
    tried = "test_x.py::test_y"     # a test that provokes it, asserts its text, does what it says and sees it help

or, where it names no command, flag, variable, key or file to do something with:

    advice = "why there is nothing to try"

or, for the few that no test can bring about: unprovoked = "why"
"""
# What can be typed: flags, commands, variables.
TYPED = re.compile(r"(?<![\w-])--[a-z]{2,}|`openai-elt |\b[A-Z]{2,}(?:_[A-Z]+)+\b|\b(?:chmod|pip install) ")


def test_every_hint_has_an_entry():
    known = {entry["text"].strip() for entry in hints.registry()}
    missing = {text: places for text, places in hints.in_source().items() if text not in known}
    assert not missing, "".join(f"\n{' '.join(places)}{HOW % text}" for text, places in missing.items())


def test_every_entry_is_of_a_hint():
    there = hints.in_source()
    stale = [entry["text"] for entry in hints.registry() if entry["text"].strip() not in there]
    assert not stale, f"no hint of the source any more; take the entries out of tests/hints.toml: {stale}"
    texts = [entry["text"].strip() for entry in hints.registry()]
    assert len(texts) == len(set(texts)), "a hint has two entries"


@functools.cache
def file_of(file: str) -> tuple[set[str], str]:
    text = (ROOT / "tests" / file).read_text()
    return {node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)}, text


def quoted(text: str) -> str:
    """The longest piece of a hint that stands in a test as it stands in the source."""
    return max(re.split(r"\{[^{}]*\}|[\"'`\\]", text), key=len).strip()


@pytest.mark.parametrize("entry", hints.registry(), ids=lambda entry: entry["text"][:50])
def test_an_entry_is_true(entry):
    (kind,) = entry.keys() - {"text"}
    assert kind in ("tried", "advice", "unprovoked"), f"one of tried, advice, unprovoked: {entry}"
    if kind != "tried":
        assert len(entry[kind].split()) > 3, "say why"
        assert kind == "unprovoked" or not TYPED.search(entry["text"]), f"it names something to type, so a test must do it: {entry['text']}"
        return
    for tried in [entry["tried"]] if isinstance(entry["tried"], str) else entry["tried"]:
        file, _, name = tried.partition("::")
        names, text = file_of(file)
        assert name in names, f"there is no {tried}"
        # Other suites may take what to do out of the message itself.
        assert not file.startswith("test_hints") or quoted(entry["text"]) in text, f"{file} does not ask whether the hint is shown: {entry['text']}"


def test_the_source_is_read_as_it_is_written():
    text = '''
        fn f() { // .hint("no")
            Err(Error::usage("no").hint(format!("say \\"{x}\\" \\
                 twice"))).rather(match e { A => "one way", _ => "another way" });
            let cure = match has(&["not this one"]) { true => "this one", false => r#"or "this" one"# };
            '"'; track.warn("mind the gap".into()); tell("  hint: carry on"); other("nothing of it"); Reason { hint: Some("wait for it"), kind: "not this" }; const NAMED: &str = "by its name"; e.rather(NAMED)
        }
        #[cfg(test)]
        mod tests { fn g() { e.hint("not a test's"); } }'''
    path = ROOT / "src/example.rs"
    found = hints.hints_of(hints.parsed(path, text))
    assert [literal.text for literal in found] == [
        'say "{x}" twice', "one way", "another way", "this one", 'or "this" one', "mind the gap", "  hint: carry on", "wait for it", "by its name",
    ]
    assert hints.pattern("do not exclude {}, or {{x}}").fullmatch("do not exclude costs, or {x}")


# ---- flags -------------------------------------------------------------------------------------------------

# (the hint, what was typed, what it says to type; a list is several of these)
FLAGS = [
    ("the database is part of --to", "load --dest lake --to duckdb:x.duckdb --schema a.b", "load --dest lake --to duckdb:x.duckdb --schema b"),
    ("--until is the day after the last one told", "report --dest lake --since 2026-01-05 --until 2026-01-05",
     "report --dest lake --since 2026-01-05 --until 2026-01-06"),
    ("give --out a file in a folder that is there, or - for standard output", "report --dest lake --out gone/x.html",
     ["report --dest lake --out x.html", "report --dest lake --out -"]),
    ("leave out --external: the tables are then made to be loaded", "schema --dialect postgres --external", "schema --dialect postgres"),
    ("give --dest the lake", "schema --dialect snowflake --changed-by last", "schema --dialect snowflake --changed-by last --dest lake"),
    ("copy the lake to where it can, and say with --location where that is", "schema --dialect bigquery --dest lake",
     "schema --dialect bigquery --dest lake --location gs://bucket/openai"),
    ("such as openai or catalog.openai: letters, digits, _ and -", "schema --dialect duckdb --schema 'a b'",
     ["schema --dialect duckdb --schema openai", "schema --dialect duckdb --schema catalog.openai"]),
    ("give --dest a folder, such as --dest ./lake, or a URL such as s3://bucket/openai", "verify", "verify --dest ./lake"),
    ("a number of at most 18 decimals, not negative, such as 0.01", "verify --dest lake --totals --tolerance much",
     "verify --dest lake --totals --tolerance 0.01"),
    ("such as 2026-01-01 or 2026-01-01T12:00:00Z, in UTC", "sync --dest lake --dry-run --since yesterday",
     ["sync --dest lake --dry-run --since 2026-01-01", "sync --dest lake --dry-run --since 2026-01-01T12:00:00Z"]),
    ("give --dest the folder that was synced to", "verify --dest nowhere", "verify --dest lake"),
    ("give --dest a folder", "sync --dest a_file --tables users", "sync --dest a_folder --tables users"),
    ("give --dest a folder, or a path where one can be made", "sync --dest a_file/below --tables users",
     "sync --dest a_folder/below --tables users"),
    ("a URL has two slashes after its scheme: s3://bucket/prefix", "sync --dest s3:/bucket/prefix --tables users", []),
    ("a destination is a folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix", "sync --dest ftp://host/x --tables users",
     "sync --dest a_folder --tables users"),
    ("give it a file, such as state.json", "sync --dest lake --state lake --tables users", "sync --dest lake --state state.json --tables users"),
    ("move it away, or name another file", "init a_file", "init another.toml"),
    ("docs/configuration.md describes every key", "tables --config no_key.toml", []),
    ("did you mean {near}? `last` is the newest one", "schema --dialect duckdb --dest lake --changed-by lst",
     "schema --dialect duckdb --dest lake --changed-by last"),
    ("0.5 holds back what would soft-delete more than half of a table; 1 holds nothing back", "tables --config much.toml",
     ["tables --config half.toml", "tables --config none.toml"]),
    ("such as \"90s\" or \"500ms\"", "sync --dest lake --dry-run --config no_duration.toml",
     ["sync --dest lake --dry-run --config seconds.toml", "sync --dest lake --dry-run --config milliseconds.toml"]),
    ("such as duckdb:openai.duckdb or postgres://user@host/database; for other warehouses see `openai-elt schema --help`",
     "load --dest lake --to mysql://x", "load --dest lake --to duckdb:openai.duckdb"),
]


@pytest.mark.parametrize("hint, typed, better", FLAGS, ids=[typed for _, typed, _ in FLAGS])
def test_flags(desk, lake, hint, typed, better):
    desk.env["PATH"] = f"{BIN}:{os.environ['PATH']}"
    desk.write("a_file", "")
    desk.write("no_key.toml", "nothing_like_it = 1\n")
    for name, value in [("much", 7), ("half", 0.5), ("none", 1)]:
        desk.write(f"{name}.toml", f"[hold_back]\nshare = {value}\n")
    for name, value in [("no_duration", "soon"), ("seconds", "90s"), ("milliseconds", "500ms")]:
        desk.write(f"{name}.toml", f'[http]\nbackoff = "{value}"\n')
    shown = hinted(desk(*shlex.split(typed), code={1, 3}), hint)
    for words in [better] if isinstance(better, str) else better:
        desk(*shlex.split(words))
    if "`openai-elt " in shown:
        desk.as_printed(shown)


def test_a_file_that_is_there_can_be_moved_away(desk):
    desk("init")
    hinted(desk("init", code=1), "move it away, or name another file")
    (desk.folder / "openai-elt.toml").rename(desk.folder / "moved.toml")
    desk("init")


@pytest.mark.parametrize("file", [(), ("other.toml",), ("my other.toml",)], ids=" ".join)
def test_what_init_says_comes_next(desk, org, file):
    """The printed commands, in their order, with the variable that is named."""
    said = desk("init", *file).err
    name = file[0] if file else "openai-elt.toml"
    path = desk.folder / name
    path.write_text(path.read_text().replace('# select  = ["costs", "usage_*"]', 'select = ["users"]'))
    desk.env = {"OPENAI_BASE_URL": org.base_url, **{name: org.env()[name] for name in re.findall(r"OPENAI_[A-Z_]+", said)}}
    check, sync = desk.as_printed(said)
    assert "users" in check.out and (desk.folder / "lake/users/data.parquet").is_file()


def test_files_are_downloaded_with_the_table_that_is_named(desk):
    hint = hinted(desk.sync("--tables", "costs", "--download-files", "--dry-run", code=1), "name one that does: --tables chatgpt_files (read with CHATGPT_COMPLIANCE_KEY)")
    flags = re.search(r"--tables \S+", hint)[0].split()
    desk("sync", "--dest", "lake", "--download-files", "--dry-run", *flags)


# ---- names that are near ---------------------------------------------------------------------------------


def meant(run: Run) -> str:
    return re.search(r"`(.+)`", hinted(run, "did you mean `{near}`?"))[1]


def test_a_table_that_was_meant(desk):
    for typed in ("cots", "costss", "user", "audit_log", "usage_completion", "projcts", "Costs"):
        near = meant(desk("tables", typed, code=1))
        desk("tables", near)
        assert meant(desk.sync("--tables", typed, code=1)) == near
    hint = hinted(desk("tables", "nothing_that_is_near_to_any", code=1), "`openai-elt tables{}` lists them all")
    (listed,) = desk.as_printed(hint)
    assert "costs" in listed.out


def test_a_table_of_ones_own_that_was_meant(desk):
    """With --schemas, the printed command lists those tables too."""
    text = (ROOT / "schemas/admin/invites.toml").read_text()
    desk.write("my own/admin/badges.toml", text)
    hint = hinted(desk("tables", "--schemas", "my own", "nothing_that_is_near_to_any", code=1), "`openai-elt tables{}` lists them all")
    (listed,) = desk.as_printed(hint)
    assert "badges" in listed.out


# One line of a configuration each; a word of it is typed without one of its letters.
LINES = ['dest = "lake"', 'select = ["costs"]', 'exclude = ["costs"]', "concurrency = 3", "strict = false", 'full_every = "1d"', 'state = "x.json"',
         '[http]\nretries = 3', '[http]\nbackoff = "1s"', '[http]\ntimeout = "9s"', '[tables.costs]\nlookback = "1d"', '[tables.costs]\nhistory = "9d"',
         '[tables.users]\nhistory = true']


@pytest.mark.parametrize("line", LINES)
def test_a_key_of_the_configuration_that_was_meant(desk, line):
    head, _, last = line.rpartition("\n")
    key = last.partition(" = ")[0]
    for wrong in {key[:-1], key[1:], key[:1] + key, key.upper()[:1] + key[1:]}:
        text = f"{head}\n{last.replace(key, wrong, 1)}\n"
        desk.write("typed.toml", text)
        near = meant(desk("tables", "--config", "typed.toml", code=1))
        desk.write("typed.toml", text.replace(wrong, near, 1))
        desk("tables", "--config", "typed.toml")


def test_a_table_of_the_configuration_that_was_meant(desk):
    desk.write("typed.toml", '[tables.cots]\nlookback = "1d"\n')
    near = meant(desk("tables", "--config", "typed.toml", code=1))
    desk.write("typed.toml", f'[tables.{near}]\nlookback = "1d"\n')
    desk("tables", "--config", "typed.toml")


def test_a_key_of_a_table_file_that_was_meant(desk):
    """Each key and each closed word of real table files, with a letter too many."""
    tried = 0
    for table in ("admin/audit_logs", "compliance/chatgpt_files"):
        text = (ROOT / f"schemas/{table}.toml").read_text()
        places = [m for m in re.finditer(r"^(?P<word>[a-z_]+) *=", text.partition("[columns]")[0], re.MULTILINE)]
        places += [next(re.finditer(r'(?:type|policy)\s*=\s*"(?P<word>[a-z]+)"', text))]
        for place in places:
            at = place.end("word")
            if re.search(r"query|\[key|passes", text[:place.start()].rpartition("\n[")[2].partition("]")[0]):
                continue  # names of parameters are free
            desk.write(f"my/{table}.toml", f"{text[:at]}q{text[at:]}")
            run = desk("tables", "--schemas", "my", code={0, 1})
            if run.code == 0 or "did you mean" not in run.err:
                continue
            assert meant(run) == place["word"], run.err
            tried += 1
        (desk.folder / f"my/{table}.toml").unlink()
    assert tried > 12


def test_a_column_that_was_meant(desk):
    text = (ROOT / "schemas/admin/invites.toml").read_text()
    desk.write("my/admin/invites.toml", re.sub(r"^key\s*=.*$", 'key = ["idd"]', text, flags=re.MULTILINE))
    near = meant(desk("tables", "--schemas", "my", code=1))
    desk.write("my/admin/invites.toml", re.sub(r"^key\s*=.*$", f'key = ["{near}"]', text, flags=re.MULTILINE))
    desk("tables", "--schemas", "my")


# ---- variables -----------------------------------------------------------------------------------------


def test_variables(desk, org):
    """(the hint, what is set wrongly, what it says to set; None takes the variable away)"""
    key = desk.write("admin.key", org.admin_key)
    no_text = desk.folder / "no_text.key"
    no_text.write_bytes(b"\xff\xfe")
    project, project_key = next(iter(org.project_keys.items()))
    entry = "each entry is proj_…=sk-…, with commas between"
    cases = [
        ("set one of them", {"OPENAI_ADMIN_KEY_FILE": str(key)}, {"OPENAI_ADMIN_KEY": None}),
        ("give it a value, or unset {source}", {"OPENAI_ADMIN_KEY": ""}, {"OPENAI_ADMIN_KEY": org.admin_key}),
        ("give it a value, or unset {source}", {"OPENAI_ADMIN_KEY": ""}, {"OPENAI_ADMIN_KEY": None, "OPENAI_ADMIN_KEY_FILE": str(key)}),
        ("write it as UTF-8 without a byte order mark", {"OPENAI_ADMIN_KEY": None, "OPENAI_ADMIN_KEY_FILE": str(no_text)},
         {"OPENAI_ADMIN_KEY_FILE": str(key)}),
        ("the key itself goes into {name}", {"OPENAI_ADMIN_KEY": None, "OPENAI_ADMIN_KEY_FILE": org.admin_key},
         {"OPENAI_ADMIN_KEY_FILE": None, "OPENAI_ADMIN_KEY": org.admin_key}),
        ("{file} names a file that this user may read and that holds the value of {name}", {"OPENAI_ADMIN_KEY": None, "OPENAI_ADMIN_KEY_FILE": "gone.key"},
         {"OPENAI_ADMIN_KEY_FILE": str(key)}),
        ("use https", {"OPENAI_BASE_URL": "http://api.example.com/v1"}, {"OPENAI_BASE_URL": "https://api.example.com/v1"}),
        (entry, {"OPENAI_PROJECT_KEYS": f"{project}="}, {"OPENAI_PROJECT_KEYS": f"{project}={project_key}"}),
        (entry, {"OPENAI_PROJECT_KEYS": f"{project_key}={project}"}, {"OPENAI_PROJECT_KEYS": f"{project}={project_key}"}),
        ("name the project of each key: proj_…=sk-…", {"OPENAI_PROJECT_KEYS": f"{project_key},{project_key}x"},
         {"OPENAI_PROJECT_KEYS": f"{project}={project_key},proj_other={project_key}x"}),
        ("give it the workspace's id, a UUID shown in the workspace settings (chatgpt.com/admin); several with commas between",
         {"CHATGPT_WORKSPACE_IDS": None, "OPENAI_ORGANIZATION_ID": None},
         {"CHATGPT_WORKSPACE_IDS": ",".join([*org.workspace_ids, "0c8e2f5a-6d13-4b7a-9e42-71f0a3b5c6d8"])}),
        ("leave it out: the key is sent in a header, and a proxy is named by HTTPS_PROXY", {"OPENAI_BASE_URL": "https://ada:pw@api.example.com/v1"},
         {"OPENAI_BASE_URL": "https://api.example.com/v1"}),
    ]
    for hint, wrong, right in cases:
        def tried(changes, code):
            gone = tuple(name for name, value in changes.items() if value is None)
            env = {name: value for name, value in changes.items() if value is not None}
            return desk("sync", "--dry-run", "--dest", "lake", "--tables", "users", env=env, without=gone, code=code)

        assert hinted(tried(wrong, 1), hint)
        tried({**wrong, **right}, 0)


def test_a_proxy_is_named_by_its_variable(tmp_path):
    """`HTTPS_PROXY` is asked to connect to the API; it says no, and the API itself is not reached."""
    with Scripted() as proxy:
        port = proxy.server.server_address[1]
        env = {"OPENAI_ADMIN_KEY": ADMIN_KEY, "OPENAI_BASE_URL": "https://api.example.invalid/v1", "HTTPS_PROXY": f"http://127.0.0.1:{port}"}
        run = Desk(tmp_path, env).sync("--tables", "users", code=3)
    assert "501" in run.err or "unsuccessful" in run.err or "tunnel" in run.err, run.err


def test_no_key_and_what_needs_none(org, tmp_path):
    desk = Desk(tmp_path, {"OPENAI_BASE_URL": org.base_url})
    hint = hinted(desk("sync", "--dest", "lake", code=1), "set OPENAI_ADMIN_KEY to an Admin key (platform.openai.com, Settings, Admin keys), or OPENAI_ADMIN_KEY_FILE to a file that holds it; `openai-elt demo` needs none")
    desk("sync", "--dest", "lake", "--dry-run", env={"OPENAI_ADMIN_KEY": org.admin_key})
    desk("sync", "--dest", "lake", "--dry-run", env={"OPENAI_ADMIN_KEY_FILE": str(desk.write("key", org.admin_key))})
    assert "`openai-elt demo`" in hint  # test_cli.py runs it, without any key


# ---- the choice of tables ------------------------------------------------------------------------------

SURFACE_TABLES = {"costs": "admin", "files": "project", "codex_usage": "codex", "chatgpt_users": "compliance"}


@pytest.mark.parametrize("table", SURFACE_TABLES)
def test_a_table_whose_key_is_not_set(org, table, tmp_path):
    """The hint names the variables; with those and no others, the table is read."""
    urls = {"OPENAI_BASE_URL": org.base_url, "CHATGPT_BASE_URL": org.chatgpt_base_url}
    other = {"OPENAI_ADMIN_KEY": org.admin_key} if table != "costs" else {"CODEX_ANALYTICS_KEY": org.codex_key, "CHATGPT_WORKSPACE_IDS": org.workspace_ids[0]}
    desk = Desk(tmp_path, {**urls, **other})
    hint = hinted(desk.sync("--tables", table, code=1), "set {needed}; docs/configuration.md describes each variable")
    named = {name: value for name, value in org.env().items() if re.search(rf"\b{name}\b", hint)}
    assert named
    desk.sync("--tables", table, env=named)


# (the choice of tables, what the message must say, the choice without what was excluded)
LEFT_OUT = [
    (["--tables", "costs", "--exclude", "costs"], "costs"),
    (["--tables", "costs", "--exclude", "co*"], "costs"),
    (["--tables", "usage_*", "--exclude", "usage*"], "usage_*"),
    (["--tables", "project_users", "--exclude", "projects"], "project_users"),
    (["--tables", "project_user_*", "--exclude", "projects"], "project_user_*"),
    (["--tables", "project_user_*", "--exclude", "project_users"], "project_user_*"),
]


@pytest.mark.parametrize("flags, named", LEFT_OUT, ids=[" ".join(flags) for flags, _ in LEFT_OUT])
@pytest.mark.parametrize("by", ["flag", "configuration"])
def test_a_table_that_is_named_and_excluded(desk, flags, named, by):
    """That is what the message says, and not that a key is missing; without what the hint names it works."""
    _, tables, _, excluded = flags
    if by == "configuration":
        desk.write("openai-elt.toml", f'exclude = ["{excluded}"]\n')
        flags = ["--tables", tables]
    run = desk("sync", "--dest", "lake", "--dry-run", *flags, code=1)
    assert named in run.err and "is not set" not in run.err, run.err
    child = "exclude {} as well, or {}"
    hint = hinted(run, child if tables == "project_users" else "leave {pattern} out of --exclude, or of `exclude` in the configuration")
    assert f"leave {excluded} out of --exclude, or of `exclude` in the configuration" in hint
    (desk.folder / "openai-elt.toml").unlink(missing_ok=True)
    desk("sync", "--dest", "lake", "--dry-run", "--tables", tables)
    if tables == "project_users":
        both = f"{excluded},{re.match('exclude (.+) as well', hint)[1]}"
        desk("sync", "--dest", "lake", "--dry-run", "--tables", f"{tables},costs", "--exclude", both)


@pytest.mark.parametrize("named, excluded, left", [("users,costs", "users", ["costs"]), ("usage_*,costs", "usage*", ["costs"]),
                                                   ("project_user_*,costs", "projects", ["costs"]), ("users,projects", "users,costs", ["projects"])])
def test_what_is_excluded_is_left_out_of_what_is_named(desk, named, excluded, left):
    """What the hints of refusals promise: `--exclude` leaves the table out, also of the tables that were named."""
    run = desk.sync("--tables", named, "--exclude", excluded)
    assert list(run.report["tables"]) == left


def test_a_parent_whose_key_is_not_set(org, tmp_path):
    """The children of a table of another surface: the hint names the variable of the parent."""
    text = (ROOT / "schemas/admin/project_users.toml").read_text()
    desk = Desk(tmp_path, {"OPENAI_BASE_URL": org.base_url, "OPENAI_PROJECT_KEYS": org.env()["OPENAI_PROJECT_KEYS"]})
    desk.write("my/project/members.toml", text)
    run = desk("sync", "--dest", "lake", "--dry-run", "--schemas", "my", "--tables", "members", code={0, 1})
    if run.code == 0 or "projects" not in run.err:
        pytest.fail(f"the case is gone: {run.err}")
    hint = hinted(run, "set {needed}; docs/configuration.md describes each variable")
    assert "OPENAI_ADMIN_KEY" in hint
    desk("sync", "--dest", "lake", "--dry-run", "--schemas", "my", "--tables", "members", env={"OPENAI_ADMIN_KEY": org.admin_key})


# ---- table files ------------------------------------------------------------------------------------------


def test_table_files(desk):
    """(the hint, the wrong file, the file that it says)"""
    invites = (ROOT / "schemas/admin/invites.toml").read_text()
    unending = re.sub(r"^\[paging\].*?(?=^\[)", "", invites, flags=re.MULTILINE | re.DOTALL)
    cases = [
        ("the surfaces are admin, project, codex and compliance", ("elsewhere/mine.toml", invites), ("admin/mine.toml", invites)),
        ("give a folder that holds <surface>/<table>.toml", None, ("admin/mine.toml", invites)),
        ("a table file is <dir>/<surface>/<table>.toml, such as admin/my_table.toml", ("my_table.toml", invites), ("admin/my_table.toml", invites)),
        ("schemas/README.md shows the forms of paging", ("admin/mine.toml", unending),
         ("admin/mine.toml", unending.replace("[request]", 'paging = "none"\n\n[request]'))),
        ("the keys are described in schemas/README.md", ("admin/mine.toml", "nothing_like_it = 1\n" + invites), ("admin/mine.toml", invites)),
    ]
    for hint, wrong, right in cases:
        shutil.rmtree(desk.folder / "my", ignore_errors=True)
        if wrong:
            desk.write(f"my/{wrong[0]}", wrong[1])
        hinted(desk("tables", "--schemas", "my", code=1), hint)
        shutil.rmtree(desk.folder / "my", ignore_errors=True)
        desk.write(f"my/{right[0]}", right[1])
        desk("tables", "--schemas", "my")


def test_a_column_with_the_name_of_the_partition(desk):
    text = (ROOT / "schemas/admin/costs.toml").read_text()
    column = '\n{} = {{ type = "string", from = "/nothing", doc = "A day.", since = 9 }}\n'
    desk.write("my/admin/costs.toml", text.rstrip() + column.format("date"))
    hinted(desk("schema", "--dialect", "duckdb", "--schemas", "my", "--tables", "costs", code=1), "give the column another name in the table file")
    desk.write("my/admin/costs.toml", text.rstrip() + column.format("day"))
    desk("schema", "--dialect", "duckdb", "--schemas", "my", "--tables", "costs")


def test_a_table_without_a_column_that_a_page_needs(desk, lake):
    text = (ROOT / "schemas/admin/costs.toml").read_text()
    line = next(line for line in text.splitlines() if line.startswith("amount"))
    desk.write("my/admin/costs.toml", text.replace(line, ""))
    hinted(desk("report", "--dest", "lake", "--schemas", "my", code=1), "a table file of --schemas overrides the built-in one: give it this column too")
    desk.write("my/admin/costs.toml", text)
    desk("report", "--dest", "lake", "--schemas", "my")


def test_history_is_for_tables_that_are_read_whole(desk):
    desk.write("openai-elt.toml", "[tables.costs]\nhistory = true\n")
    hinted(desk("tables", code=1), "the rows of this table are events or buckets: they have no versions")
    desk.write("openai-elt.toml", "[tables.users]\nhistory = true\n")
    desk("tables")
