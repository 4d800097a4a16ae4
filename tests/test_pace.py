"""Requests as fast as a rate limit lets them, as seen by the API that refuses: by what it tells, and by what it does not."""

from conftest import sync
from held import assert_true

TABLES = ("--tables", "users,projects,project_users,project_api_keys,project_rate_limits,user_role_assignments")


def limited(simulators, **how):
    simulator = simulators("--projects", 45, "--users", 12, "--history-days", 2)
    simulator.behave(**how)
    return simulator


def test_a_limit_that_answers_tell_is_never_met(simulators, tmp_path):
    simulator = limited(simulators, rate_limit=30, latency_ms=20)
    run = sync(tmp_path / "lake", simulator, *TABLES, "--log", "debug")
    stats = simulator.stats()
    assert stats["requests"] > 90, "enough to meet the limit, which is 30 at once and 30 in a second"
    assert stats["refused"] == 0
    assert "answers tell a limit of 30 requests" in run.err
    assert_true(tmp_path / "lake", simulator, ["project_api_keys", "project_rate_limits"])


def test_a_limit_that_is_not_told_is_found(simulators, tmp_path):
    """It is met once to be found, and again to be measured: not by every request of a burst."""
    simulator = limited(simulators, rate_limit=30, latency_ms=20, untold_rate_limit=True)
    run = sync(tmp_path / "lake", simulator, *TABLES, "--log", "debug", retries=5)
    stats = simulator.stats()
    assert 0 < stats["refused"] < stats["requests"] / 3
    assert "refused: nobody asks for 1s" in run.err
    assert_true(tmp_path / "lake", simulator, ["project_api_keys", "project_rate_limits"])
