"""What the API says no to: the reason it gives is told with its cure, and what will not pass by itself is asked once.

A refusal is of the key (quota, billing, a closed account), then no other request of that key is sent to the same wall;
or of one request (a scope, `x-should-retry: false`), then the other tables are read.
"""

import json

import pytest

from conftest import command, settings, sync
from fixtures.sources import CODEX_KEY, COMPLIANCE_KEY, WORKSPACE
from reliability import ANSWERS, record
from scripted import Answer, Scripted, page, user

ADMIN = "sk-admin-Zt6Qw3Vn8Rk5Xp9Lm2Bc7Hy4"
SURFACES = {  # its variable and key, what else it needs, and tables without parents
    "admin": ("OPENAI_ADMIN_KEY", ADMIN, {}, ["users", "invites", "groups", "admin_api_keys", "roles", "costs"]),
    "project": ("OPENAI_PROJECT_KEYS", "proj_a=sk-proj-scripted-51dd", {}, ["files", "batches", "vector_stores", "evals"]),
    "codex": ("CODEX_ANALYTICS_KEY", CODEX_KEY, {"CHATGPT_WORKSPACE_IDS": WORKSPACE}, ["codex_usage", "codex_code_reviews"]),
    "compliance": ("CHATGPT_COMPLIANCE_KEY", COMPLIANCE_KEY, {"CHATGPT_WORKSPACE_IDS": WORKSPACE}, ["chatgpt_users", "chatgpt_gpts", "log_auth"]),
}


class Refusing(Scripted):
    """Every path is answered with `answer`, but those in `answers`."""

    def __init__(self, answer: Answer, surface: str = "admin"):
        super().__init__(upstream=self)
        self.surface, self.answer = surface, answer

    def forward(self, asked) -> Answer:
        return self.answer

    def env(self, **more: str) -> dict[str, str]:
        base = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        variable, key, needs, _ = SURFACES[self.surface]
        return {"OPENAI_BASE_URL": base, "CHATGPT_BASE_URL": base, variable: key, **needs, **more}

    @property
    def tables(self) -> list[str]:
        return SURFACES[self.surface][3]


def refusal(status: int, code, message: str = "You may not.", kind=None, **headers: str) -> Answer:
    error = {"message": message, "type": kind, "param": None, "code": code}
    return Answer({"error": error}, status=status, headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.fixture
def dest(tmp_path):
    return tmp_path / "lake"


# ---- what will not come back -----------------------------------------------------------------------

WALLS = {  # the refusal, and a word of its cure
    "no quota is left": (refusal(429, "insufficient_quota"), "quota"),
    "no quota is left, said by the type": (refusal(429, None, kind="insufficient_quota"), "quota"),
    "no quota is left, beside a generic code": (refusal(429, "rate_limit_exceeded", kind="insufficient_quota"), "quota"),
    "no quota is left, and yet a time to wait": (refusal(429, "insufficient_quota", retry_after="1"), "quota"),
    "billing is not active": (refusal(429, "billing_not_active"), "billing"),
    "billing is not active, as a 403": (refusal(403, "billing_not_active"), "billing"),
    "the hard limit is reached": (refusal(429, "billing_hard_limit_reached"), "limit"),
    "the hard limit is reached, as a 400": (refusal(400, "billing_hard_limit_reached"), "limit"),
    "payment is required": (refusal(402, None), "billing"),
    "no quota is left, said below `detail`": (Answer({"detail": {"code": "insufficient_quota", "message": "No."}}, status=429), "quota"),
}


@pytest.mark.parametrize("wall", WALLS)
def test_what_will_not_come_back_is_asked_once(dest, wall):
    answer, word = WALLS[wall]
    with Refusing(answer) as server:
        run = sync(dest, server, "--tables", ",".join(server.tables), code=3, retries=3)
        # Requests that were on their way when the first refusal came; none is repeated.
        assert len(server.asked) <= 2, [asked.path for asked in server.asked]
        for table in server.tables:
            error = run.table(table)["error"]
            assert word in error["cure"] and run.table(table)["retries"] == 0, error
            assert "run again later" not in error["cure"]
        server.asked.clear()
        found = json.loads(command("check", "--config", settings(dest, 3), "--tables", ",".join(server.tables), "--format", "json",
                                   env=server.env(), code=3).out)
        assert {word in finding["cure"] for finding in found} == {True}
        assert len(server.asked) <= len(server.tables)
    record(f"429 and its like: {wall}", "at every request of a key", "nothing", "two requests at most for six tables; exit 3, and the cure", "nothing", ANSWERS)


def test_a_wall_in_the_middle_of_a_run_stops_the_requests_of_that_key(dest):
    """The first page came; then the quota is used up. The rows of the tables stay as they were."""
    with Refusing(refusal(429, "insufficient_quota")) as server:
        server.answers["/organization/users"] = [page(user("user-1"), more=True), refusal(429, "insufficient_quota")]
        server.answers["/organization/invites"] = [page()]
        run = sync(dest, server, "--tables", ",".join(server.tables), code={2, 3}, retries=3)
        assert "quota" in run.table("users")["error"]["cure"] and not (dest / "users").exists()
        assert len(server.asked) <= 10, [asked.path for asked in server.asked]


def test_the_quota_of_one_project_is_not_that_of_another(dest):
    keys = {"proj_a": "sk-proj-empty-11", "proj_b": "sk-proj-full-22"}

    def answer(asked):
        return refusal(429, "insufficient_quota") if asked.headers["authorization"].endswith(keys["proj_a"]) else page()

    with Refusing(None, "project") as server:
        server.forward = answer
        env = {"OPENAI_PROJECT_KEYS": ",".join(f"{name}={key}" for name, key in keys.items())}
        run = sync(dest, server, "--tables", ",".join(server.tables), code=2, env=env)
        for table in server.tables:
            (skipped,) = run.table(table)["skipped"]
            assert "proj_a" in skipped["parent"] and "quota" in skipped["cure"] and run.table(table)["status"] == "ok"
        assert len([asked for asked in server.asked if asked.headers["authorization"].endswith(keys["proj_a"])]) <= 2


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504])
def test_x_should_retry_false_is_obeyed_and_is_of_one_table(dest, status):
    with Scripted() as server:
        server.answers["/organization/users"] = [page(user("user-1"))]
        server.answers["/organization/invites"] = [refusal(status, None, x_should_retry="false", retry_after="1")]
        run = sync(dest, server, "--tables", "users,invites,groups", code=2, retries=3)
        assert len(server.requests("/organization/invites")) == 1 and run.table("invites")["retries"] == 0
        assert run.table("users")["status"] == "ok" and run.table("groups")["status"] == "ok"
        assert run.table("invites")["error"]["cure"] and "x-should-retry" in run.table("invites")["error"]["message"]
    record(f"{status} with `x-should-retry: false`", "at one of three lists", "nothing", "asked once; the other two are there; exit 2", "the same", ANSWERS)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422, 429, 500])
def test_x_should_retry_true_is_asked_again(dest, status):
    """As the official SDKs do, whatever the status."""
    with Scripted() as server:
        again = refusal(status, "some_code", x_should_retry="true")
        server.answers["/organization/users"] = [again, again, page(user("user-1"))]
        run = sync(dest, server, "--tables", "users", retries=3)
        assert run.table("users")["rows_written"] == 1 and run.table("users")["retries"] == 2
        server.answers["/organization/users"] = [again]
        server.asked.clear()
        run = sync(dest, server, "--tables", "users", retries=2, code={0, 3} if status == 410 else 3)
        assert len(server.asked) == (50 if status == 429 else 3)


@pytest.mark.parametrize("headers", [{}, {"x_should_retry": "maybe"}, {"x_should_retry": ""}])
def test_a_rate_limit_still_passes(dest, headers):
    with Scripted() as server:
        limited = refusal(429, "rate_limit_exceeded", kind="requests", **headers)
        server.answers["/organization/users"] = [limited, limited, page(user("user-1"))]
        assert sync(dest, server, "--tables", "users").table("users")["rows_written"] == 1


def test_a_lock_that_is_taken_is_asked_again(dest):
    """409: the official SDKs ask again."""
    with Scripted() as server:
        server.answers["/organization/users"] = [refusal(409, None), page(user("user-1"))]
        assert sync(dest, server, "--tables", "users").table("users")["rows_written"] == 1


# ---- the reason of a refusal ---------------------------------------------------------------------------

OF_THE_KEY = {  # code: words of its cure
    "ip_not_authorized": ["allow-list"], "account_deactivated": ["account"], "organization_deactivated": ["organization"],
    "access_terminated": ["support"], "invalid_api_key": ["{variable}"], "api_key_expired": ["expired", "{variable}"],
    "token_revoked": ["revoked", "{variable}"], "mismatched_organization": ["organization", "{variable}"],
    "unsupported_country_region_territory": ["country"],
}
OF_A_REQUEST = {"missing_scope": ["scope", "permission"], "insufficient_permissions": ["scope", "permission"]}


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("code", [*OF_THE_KEY, *OF_A_REQUEST])
@pytest.mark.parametrize("surface", SURFACES)
def test_the_reason_that_the_api_gives_is_told_with_its_cure(dest, surface, code, status):
    said = f"The reason is {code.replace('_', ' ')}."
    with Refusing(refusal(status, code, said), surface) as server:
        run = sync(dest, server, "--tables", ",".join(server.tables[:2]), code=3)
        findings = json.loads(command("check", "--tables", ",".join(server.tables[:2]), "--format", "json", env=server.env(), code=3).out)
        variable, key, *_ = SURFACES[surface]
        told = [(run.table(table)["error"]["message"], run.table(table)["error"]["cure"]) for table in server.tables[:2]]
        told += [(finding["detail"], finding["cure"]) for finding in findings]
        for message, cure in told:
            assert said in message and code in message, message
            if code in OF_A_REQUEST:
                assert any(word in cure for word in OF_A_REQUEST[code]), cure
            else:
                assert all(word.format(variable=variable) in cure for word in OF_THE_KEY[code]), cure
            if code != "invalid_api_key":
                assert "must be" not in cure, "the key is what it must be"
        for table in server.tables[:2]:
            assert run.table(table)["status"] in ("wrong key", "forbidden") and run.table(table)["error"]["cure"] in run.err
    if surface == "admin" and status == 401:
        record(f"401 `{code}`", "at every request of a key, on each of four surfaces", "nothing", "the API's reason and its cure, in `sync` and `check`; exit 3", "nothing", ANSWERS)


@pytest.mark.parametrize("status", [401, 403, 429])
def test_an_unknown_reason_is_told_as_it_is(dest, status):
    with Refusing(refusal(status, "moon_phase_wrong", "Not under this moon.", x_should_retry="false")) as server:
        run = sync(dest, server, "--tables", "users", code=3)
        error = run.table("users")["error"]
        assert "moon_phase_wrong" in error["message"] and "Not under this moon." in error["message"]
        assert "must be" not in error["cure"], "nobody knows whether the key is wrong"


@pytest.mark.parametrize("code", ["missing_scope", None])
@pytest.mark.parametrize("status", [401, 403])
def test_a_scope_that_is_missing_costs_one_table(dest, code, status):
    """Also where it comes as a 401: the other tables of the key are read."""
    with Scripted() as server:
        server.answers["/organization/users"] = [page(user("user-1"))]
        said = "You have insufficient permissions for this operation. Missing scopes: api.groups.read."
        server.answers["/organization/groups"] = [refusal(status, code, said)]
        run = sync(dest, server, "--tables", "users,groups,invites", code=2)
        assert run.table("users")["status"] == run.table("invites")["status"] == "ok"
        assert run.table("groups")["status"] == "forbidden" and "api.groups.read" in run.table("groups")["error"]["message"]


@pytest.mark.parametrize("body", [
    {"error": "ip_not_authorized"}, {"error": {"code": 401, "type": "ip_not_authorized", "message": "No."}},
    {"code": "ip_not_authorized", "message": "No."}, {"detail": {"code": "ip_not_authorized", "message": "No."}},
    {"error": {"code": "IP_NOT_AUTHORIZED", "message": "No."}},
])
def test_the_reason_is_found_where_the_api_puts_it(dest, body):
    with Refusing(Answer(body, status=401)) as server:
        run = sync(dest, server, "--tables", "users", code=3)
        assert "allow-list" in run.table("users")["error"]["cure"], run.table("users")["error"]


def test_a_reason_repeats_no_key(dest):
    with Refusing(refusal(401, ADMIN, f"no: {ADMIN}", kind=ADMIN)) as server:
        run = sync(dest, server, "--tables", "users", code=3)
        assert ADMIN[:14] not in run.out + run.err
