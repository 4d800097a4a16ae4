"""The command line as a person and a script meet it: help, catalog, state, check, demo; stdout for data, stderr for people."""

import json

import pytest

from conftest import (
    ROOT, admin_tables, catalog, command, contents, objects, spec, start_simulator, state, sync,
)
from truth import lake_rows, without

COMMANDS = ["sync", "tables", "state", "check", "demo"]


def test_help_is_data_on_stdout():
    run = command("--help", code=0)
    assert run.err == ""
    for name in COMMANDS:
        assert name in run.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name):
    run = command(name, "--help", code=0)
    assert run.err == "" and "Usage" in run.out


def test_help_names_the_variables_and_the_exit_codes():
    said = command("sync", "--help", code=0).out
    for word in ("OPENAI_ADMIN_KEY", "OPENAI_PROJECT_KEYS", "OPENAI_BASE_URL", "_FILE"):
        assert word in said


def test_version():
    run = command("--version", code=0)
    assert run.out.startswith("openai-elt ") and run.err == ""


def test_nothing_typed_is_a_usage_error():
    run = command(code=1)
    assert run.out == "" and "Usage" in run.err


def test_no_flag_takes_a_secret():
    for name in COMMANDS:
        flags = {word.strip(",[]=") for word in command(name, "--help", code=0).out.split() if word.startswith("--")}
        assert not [flag for flag in flags if "key" in flag or "token" in flag or "secret" in flag], flags


# ---- the catalog ---------------------------------------------------------------------------------------


def test_the_catalog_is_complete():
    files = {path.stem for path in (ROOT / "schemas").glob("*/*.toml")}
    assert {table["name"] for table in catalog()} == files
    assert len(admin_tables()) == 47


def test_every_table_says_what_it_is():
    for table in catalog():
        assert table["surface"] in ("admin", "project", "codex", "compliance")
        assert table["policy"] in ("replace", "merge", "snapshot")
        assert table["doc"].endswith(".") and table["columns"]
        assert set(table["parents"]) <= {other["name"] for other in catalog()}


def test_docs_are_what_the_program_says():
    markdown = command("tables", "--format", "markdown", code=0).out
    assert (ROOT / "docs/tables.md").read_text() == markdown, "run `make docs`"
    for table in catalog():
        assert table["name"] in markdown and table["doc"] in markdown
        for column in table["columns"]:
            assert column["doc"].replace("|", "\\|") in markdown, f"{table['name']}.{column['name']}"


def test_tables_for_people():
    said = command("tables", code=0).out
    for table in admin_tables():
        assert table in said


def test_tables_need_no_key_and_no_network():
    assert command("tables", "--format", "json", env={"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}, code=0).out


# ---- state ---------------------------------------------------------------------------------------------


def test_state_show_export_and_reset(simulator, tmp_path):
    dest, env = tmp_path / "lake", simulator.env()
    sync(dest, simulator, "--tables", "costs,usage_embeddings,users")
    shown = command("state", "show", "--dest", dest, env=env, code=0)
    assert "costs" in shown.out and state(dest)["tables"]["costs"]["cursor"][:10] in shown.out
    exported = json.loads(command("state", "export", "--dest", dest, env=env, code=0).out)
    assert exported == state(dest)

    before = {table: contents(dest / table) for table in ("costs", "usage_embeddings")}
    run = command("state", "reset", "costs", "--dest", dest, env=env, code=0)
    assert "costs" not in state(dest)["tables"] and "usage_embeddings" in state(dest)["tables"]
    assert {table: contents(dest / table) for table in before} == before, "rows are not touched"
    assert "costs" in run.out + run.err
    sync(dest, simulator, "--tables", "costs")
    assert state(dest)["tables"]["costs"]["cursor"] == exported["tables"]["costs"]["cursor"]


def test_state_needs_no_key(simulator, tmp_path):
    dest = tmp_path / "lake"
    sync(dest, simulator, "--tables", "costs")
    assert "costs" in command("state", "show", "--dest", dest, code=0).out


def test_state_reset_of_an_unknown_table(simulator, tmp_path):
    dest = tmp_path / "lake"
    sync(dest, simulator, "--tables", "costs")
    before = contents(dest)
    run = command("state", "reset", "cots", "--dest", dest, code=1)
    assert "`cots`" in run.err and "`costs`" in run.err
    assert without(contents(dest), "_state/lease") == without(before, "_state/lease")


def test_state_of_a_destination_without_one(tmp_path):
    run = command("state", "show", "--dest", tmp_path / "lake", code={0, 1})
    assert "panicked" not in run.err and not (tmp_path / "lake").exists()


# ---- check ---------------------------------------------------------------------------------------------


def test_check_looks_at_every_table_and_writes_nothing(simulator, tmp_path):
    dest = tmp_path / "lake"
    run = command("check", "--dest", dest, env=simulator.env(), code=0)
    for table in admin_tables():
        assert table in run.out + run.err
    assert objects(dest, "users") == [] and not (dest / "_state/state.json").exists()
    for request in simulator.requests():
        assert request["method"] == "GET"


def test_check_for_programs(simulator, tmp_path):
    run = command("check", "--dest", tmp_path / "lake", "--format", "json", env=simulator.env(), code=0)
    told = json.dumps(json.loads(run.out))
    for table in admin_tables():
        assert f'"{table}"' in told


def test_check_tells_a_missing_scope_and_its_cure(simulator, tmp_path):
    env = simulator.env(OPENAI_ADMIN_KEY="sk-admin-simulated-noaudit")
    run = command("check", "--dest", tmp_path / "lake", env=env, code=2)
    line = next(line for line in (run.out + run.err).splitlines() if "audit_logs" in line)
    assert "forbidden" in line
    assert "api.audit_logs.read" in run.out + run.err


def test_check_tells_a_wrong_key(simulator, tmp_path):
    run = command("check", "--dest", tmp_path / "lake", env=simulator.env(OPENAI_ADMIN_KEY="sk-admin-wrong-77ab"), code={2, 3})
    assert "wrong key" in run.out + run.err and "OPENAI_ADMIN_KEY" in run.out + run.err


def test_check_tells_a_destination_that_cannot_be_written(simulator):
    run = command("check", "--dest", "/proc/lake", env=simulator.env(), code={1, 2})
    assert "/proc/lake" in run.out + run.err


# ---- demo ----------------------------------------------------------------------------------------------


def test_demo_twice_in_a_row(tmp_path):
    """Also in a folder with something else in it, which stays as it is."""
    out = tmp_path / "demo"
    out.mkdir()
    (out / "thesis.tex").write_text("mine")
    for _ in range(2):
        run = command("demo", "--out", out, code=0)
        assert "costs" in run.out + run.err and str(out) in run.out + run.err
        assert len(lake_rows(out, spec("costs"))) > 100
    assert any(row["_deleted"] for row in lake_rows(out, spec("users"))), "a user left"
    assert (out / "thesis.tex").read_text() == "mine"


def test_demo_serve_ends_with_its_standard_input():
    simulator = start_simulator("--size", "small")
    assert simulator.base_url.startswith("http://127.0.0.1:")
    simulator.process.stdin.close()
    assert simulator.process.wait(30) == 0


def test_demo_serve_ends_at_sigterm():
    simulator = start_simulator("--size", "small")
    simulator.process.terminate()
    assert simulator.process.wait(30) in (0, -15, 143)


# ---- stdout and stderr -----------------------------------------------------------------------------------


def test_text_format_keeps_stdout_for_data(simulator, tmp_path):
    run = command("sync", "--dest", tmp_path / "lake", "--tables", "users,costs", env=simulator.env(), code=0)
    assert "users" in run.err, "the summary a person reads"
    assert run.out == "" or "users" in run.out
    assert "\x1b" not in run.out + run.err, "no colours where there is no terminal"


def test_json_format_is_one_document(simulator, tmp_path):
    run = sync(tmp_path / "lake", simulator, "--tables", "users")
    assert list(run.report["tables"]) == ["users"]
    assert run.out.count('"run_id"') == 1


def test_the_summary_has_the_numbers_of_the_report(simulator, tmp_path):
    """The table that a person reads says what the file in _runs says."""
    dest = tmp_path / "lake"
    run = command("sync", "--dest", dest, "--tables", "users,costs", env=simulator.env(), code=0)
    (path,) = (dest / "_runs").glob("*.json")
    report = json.loads(path.read_text())
    for table in ("users", "costs"):
        line = next(line for line in run.err.splitlines() if line.split()[:1] == [table])
        cells = [cell.replace(",", "") for cell in line.split()]
        for name in ("status", "rows_read", "rows_written", "tombstones", "requests", "retries"):
            assert str(report["tables"][table][name]) in cells, f"{name}: {line}"


@pytest.mark.parametrize("level", ["error", "warn", "info", "debug", "trace"])
def test_log_levels(simulator, tmp_path, level):
    sync(tmp_path / "lake", simulator, "--tables", "users", "--log", level)


def test_an_unknown_log_level(simulator, tmp_path):
    run = sync(tmp_path / "lake", simulator, "--log", "loud", code=1)
    assert "loud" in run.err


def test_a_relative_destination(simulator, tmp_path):
    command("sync", "--dest", "my lake", "--tables", "users", env=simulator.env(), code=0, cwd=tmp_path)
    assert len(lake_rows(tmp_path / "my lake", spec("users"))) == len(simulator.truth("users"))


def test_configuration_is_found_in_the_working_directory(simulator, tmp_path):
    (tmp_path / "openai-elt.toml").write_text("[tables.users]\nhistory = true\n")
    command("sync", "--dest", "lake", "--tables", "users", env=simulator.env(), code=0, cwd=tmp_path)
    assert "_valid_from" in lake_rows(tmp_path / "lake", {"name": "users", "columns": []})[0]
