"""No credential is in the lake or on the screen.

Not one that was sent as data (tool definitions and logs carry them) and not one that the program reads with.
Values are planted under every name that is known to hold secrets, in any case and at any depth, on every surface;
then every value of every file of the lake is looked at.
"""

import json
import re

import pyarrow.parquet as pq
import pytest

from conftest import catalog, spec, sync
from fixtures.sources import COMPLIANCE_KEY, ORGANIZATION, SURFACES, WORKSPACE, Logs, event, lines, organization
from leaks import everything
from scripted import ADMIN_KEY, Answer, Scripted, page, user
from truth import SECRET_NAMES, is_secret

PLANTED = "sk-live-planted"
NAMES = sorted(SECRET_NAMES) + ["secret", "secrets", "domain_secrets", "webhook_secret", "my-secret", "ClientSecret", "SigningSecrets"]
FINE = [
    "secretary", "secret_name_of_team", "authorization_endpoint", "cookies_accepted", "password_policy", "token_usage",
    "access_token_id", "api_key_id",
]


def cases(name: str) -> list[str]:
    return sorted({name, name.upper(), name.title(), name.swapcase()})


@pytest.fixture
def dest(tmp_path):
    return tmp_path / "lake"


def planted() -> dict:
    """Secrets of all names, in a few kinds of values, at several depths; and what only sounds like one."""
    values = [PLANTED + "-text", [PLANTED + "-list"], {"inner": PLANTED + "-object", "list": [{"deep": PLANTED}]}]
    flat = {name: values[index % 3] for index, name in enumerate(one for name in NAMES for one in cases(name))}
    deep = {"tools": [{"type": "mcp", "headers": flat}, [[{"server": {"env": flat}}]]], **flat}
    return {**deep, **{name: "kept" for name in FINE}}


def assert_redacted(dest, kept: int):
    text = everything(dest)
    assert PLANTED not in text, re.findall(f".{{80}}{PLANTED}.{{20}}", text)[:3]
    assert text.count('"[redacted]"') + text.count('\\"[redacted]\\"') > 0
    for name in FINE:
        assert text.count(f'"{name}":"kept"') == kept, f"`{name}` is no secret and must stay"


def test_in_extra_and_json_columns_of_the_admin_surface(dest):
    with Scripted() as server:
        # An unknown member and all below it goes to `_extra`; `projects_data` is a json column.
        server.answers["/organization/users"] = [page(user("user-1", config=planted(), projects={"object": "list", "data": [planted()]}, **{
            name: PLANTED for name in NAMES
        }))]
        sync(dest, server, "--tables", "users")
    assert_redacted(dest, kept=2)


@pytest.mark.parametrize(("kind", "table", "at"), [
    ("APP_LOG", "log_apps", ("input",)), ("APP_LOG", "log_apps", ("output",)), ("AUDIT_LOG", "log_audit", ("action_data",)),
    ("CODEX_LOG", "log_codex", ("event_details",)), ("CODEX_LOG", "log_codex", ("event_details", "environment_fields")),
    ("CUSTOM_AGENTS_LOG", "log_custom_agents", ("event_details",)), ("CODEX_SECURITY_LOG", "log_codex_security", ("event_details", "updated_fields")),
    ("CODEX_TURN", "log_other", ("payload",)), ("AUTH_LOG", "log_auth", ("actor", "agent_runtime")), ("AUTH_LOG", "log_auth", ("unheard_of",)),
    ("CHATGPT_PLUGIN_SPREADSHEET", "log_spreadsheet_plugin", ("event_details",)),
    ("CONVERSATION_MESSAGE", "log_conversation_messages", ("message", "content", "annotations")),
])
def test_in_events_of_log_files(dest, kind, table, at):
    one = event("e1", type=kind)
    inner = one
    for name in at[:-1]:
        inner = inner.setdefault(name, {})
    inner[at[-1]] = [planted()] if at[-1] in ("output", "annotations") else planted()
    with Logs() as logs:
        logs.add("file-1", lines([one]), type=kind)
        run = sync(dest, logs, "--tables", table)
    assert run.table(table)["rows_written"] == 1
    text = everything(dest)
    assert PLANTED not in text and "[redacted]" in text
    assert '"secretary":"kept"' in text


def test_names_with_escapes_are_seen_through(dest):
    """JSON has many spellings of one name."""
    body = (
        '{"object":"list","has_more":false,"data":[{"object":"organization.user","id":"user-1","name":"Ada",'
        '"odd":{"pass\\u0077ord":"%s","\\u0053ECRET":"%s","plain":"kept"},"cook\\u0069e":"%s"}]}' % ((PLANTED,) * 3)
    )
    with Scripted() as server:
        server.answers["/organization/users"] = [Answer(body)]
        sync(dest, server, "--tables", "users")
    text = everything(dest)
    assert PLANTED not in text and '"plain":"kept"' in text


def test_a_secret_is_redacted_whatever_it_is(dest):
    """A number, a boolean, an object: what stands under the name goes, and null stays null."""
    odd = {"password": 12345678901, "api_key": True, "cookie": {"a": ["sk-live-planted"]}, "secret": None}
    with Scripted() as server:
        server.answers["/organization/users"] = [page(user("user-1", odd=odd))]
        sync(dest, server, "--tables", "users")
    text = everything(dest)
    assert "12345678901" not in text and PLANTED not in text and '"secret":null' in text


def test_a_value_that_does_not_fit_its_column_is_redacted_too(dest):
    """It goes to `_extra` as it came, but for its secrets."""
    with Scripted() as server:
        server.answers["/organization/users"] = [page(user("user-1", added_at={"password": PLANTED}, name=[{"client_secret": PLANTED}]))]
        run = sync(dest, server, "--tables", "users", "--log", "trace")
    assert run.table("users")["misfits"] == 2
    assert PLANTED not in everything(dest) + run.out + run.err


def test_no_typed_column_takes_a_secret():
    """Only json columns are redacted, so no other column may be filled from such a member."""
    for table in catalog():
        for column in table["columns"]:
            for source in str(column.get("from") or "").split(" or "):
                assert column["type"] == "json" or not is_secret(source.split("/")[-1]), (table["name"], column)


@pytest.fixture(scope="module")
def company():
    running = organization("--projects", 6, "--users", 12, "--history-days", 10)
    yield running
    running.stop()


SIMULATED = re.compile(r"sk-(admin|proj|codex|compliance)-simulated[\w-]*")


def test_no_key_is_in_any_output_or_file(company, tmp_path):
    """At the most talkative, on all surfaces at once."""
    dest = tmp_path / "lake"
    run = sync(dest, company, "--log", "trace")
    assert run.err.count("\n") > 100, "trace says a lot"
    for text in (run.out, run.err, everything(dest)):
        assert SIMULATED.search(text) is None, SIMULATED.search(text)
        assert "signature=" not in text
        assert re.search(r"(?i)bearer\s+\S*sk-", text) is None


def test_no_key_is_printed_when_everything_is_refused(company, tmp_path):
    for surface in ("admin", "codex", "compliance"):
        variable, key = SURFACES[surface], f"sk-{surface}-nobody"
        run = sync(tmp_path / variable, company, "--tables", "users,codex_usage,chatgpt_users", "--log", "trace", env={variable: key}, code=2)
        assert key not in run.out + run.err + everything(tmp_path / variable)


def test_a_key_that_the_api_repeats_is_not_shown(dest):
    """Some refusals quote the key."""
    with Logs() as logs:
        quoted = Answer({"error": {"message": f"Incorrect API key: {COMPLIANCE_KEY}"}}, status=401)
        logs.answers[f"/compliance/workspaces/{WORKSPACE}/logs"] = [quoted]
        logs.answers[f"/compliance/organizations/{ORGANIZATION}/logs"] = [Answer(f"<html>{COMPLIANCE_KEY}</html>", status=403)]
        run = sync(dest, logs, "--tables", "log_auth,log_costs", "--log", "trace", code=3)
    assert COMPLIANCE_KEY not in run.out + run.err + everything(dest)
    assert ADMIN_KEY not in run.out


def test_tool_definitions_of_the_project_surface_carry_no_credentials(company, tmp_path):
    """The simulated evals, agents and sessions have them, as real ones do."""
    dest = tmp_path / "lake"
    names = [table["name"] for table in catalog() if table["surface"] == "project" and not table["retired"]]
    sync(dest, company.only("project"), "--tables", ",".join(names))
    redacted = 0
    for name in names:
        jsons = [column["name"] for column in spec(name)["columns"] if column["type"] == "json"]
        for path in (dest / name).rglob("*.parquet"):
            content = pq.read_table(path, columns=jsons)
            for column in content.columns:
                for text in column.to_pylist():
                    redacted += sum(check(json.loads(text)) for _ in [0]) if text else 0
    assert redacted, "nothing was there to redact, so nothing is proven"


def check(value) -> int:
    """How many secrets were replaced; one that was not fails."""
    if isinstance(value, list):
        return sum(map(check, value))
    if not isinstance(value, dict):
        return 0
    found = 0
    for name, member in value.items():
        if is_secret(name) and member is not None:
            assert member == "[redacted]", f"{name} is kept: {member}"
            found += 1
        else:
            found += check(member)
    return found
