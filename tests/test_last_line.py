"""The last line of `sync`: many logs keep no other, so it says what is missing, why, and what to do."""

from conftest import command


def last_line(simulator, tmp_path, *flags) -> tuple[int, str]:
    config = tmp_path / "openai-elt.toml"
    config.write_text('[http]\nbackoff = "5ms"\nretries = 2\n')
    run = command("sync", "--dest", tmp_path / "lake", "--config", config, *flags, env=simulator.env())
    return run.code, run.err.rstrip().splitlines()[-1]


def test_a_whole_sync_has_nothing_to_explain(simulator, tmp_path):
    code, line = last_line(simulator, tmp_path, "--tables", "users,costs")
    assert code == 0 and line.startswith("2 of 2 tables synced") and line.endswith(" s")


def test_a_table_that_failed_is_named_with_its_reason_and_hint(simulator, tmp_path):
    simulator.fault("/organization/costs", status=403, body='{"error":{"message":"You have insufficient permissions"}}')
    code, line = last_line(simulator, tmp_path, "--tables", "users,costs,costs_totals")
    assert code == 2 and line.startswith("1 of 3 tables synced")
    assert "costs, costs_totals" in line and "insufficient permissions" in line and "hint: " in line


def test_tables_with_different_reasons_are_each_named(simulator, tmp_path):
    simulator.fault("/organization/costs", status=403, body='{"error":{"message":"You have insufficient permissions"}}')
    simulator.fault("/organization/invites", status=500, body="out of order")
    code, line = last_line(simulator, tmp_path, "--tables", "users,costs,invites")
    assert code == 2 and "costs" in line and "invites" in line and line.count("not whole") == 2 and line.count("hint: ") >= 1


def test_a_parent_that_was_skipped_is_named_with_its_reason(simulator, tmp_path):
    command("sync", "--dest", tmp_path / "lake", "--tables", "projects", env=simulator.env(), code=0)
    project = next(iter(simulator.project_keys))
    simulator.fault(f"/organization/projects/{project}/users", status=403, body='{"error":{"message":"not for you"}}')
    code, line = last_line(simulator, tmp_path, "--tables", "projects,project_users")
    assert code == 2 and "project_users" in line and project in line and "not for you" in line
