"""Keys, signatures and passwords are in nothing that the program writes, and go to no host but their own.

Every run here is at its most talkative (`--log trace`); everything that it produced is searched (leaks.py).
"""

import json

import pytest

from conftest import command, contents, settings, sync
from fixtures.sources import COMPLIANCE_KEY, Logs, event, organization
from hostile_server import Hostile, whole
from leaks import assert_no_secret, everything
from reliability import TRUST, record
from scripted import Answer, Scripted, page, user

KEY = "sk-admin-Xq7Lw2Vt9Rk4Zp8Mn3Bc6Hy1Jf5Dg0Sa-uTeWiOrPlKmNb"
USERS = "/organization/users"
# Whatever goes wrong in a test, nothing leaves this machine.
NOWHERE = {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1", "CHATGPT_BASE_URL": "http://127.0.0.1:1/v1"}
TRACE = ("--log", "trace")


@pytest.fixture
def dest(tmp_path):
    return tmp_path / "lake"


@pytest.fixture(scope="module")
def company():
    running = organization("--projects", 3, "--users", 5, "--history-days", 3)
    yield running
    running.stop()


def keys_of(company) -> list[str]:
    return [company.admin_key, company.codex_key, company.compliance_key, *company.project_keys.values()]


def test_a_full_run_of_all_surfaces_tells_no_key(company, dest):
    """All tables with rows, some refused, one connection that breaks; `check`, `verify` and `state` afterwards.

    (test_redaction.py does the same with the output for programs.)
    """
    company.fault("/organization/invites", status=403, body=json.dumps({"error": {"message": f"no: {company.admin_key}"}}))
    company.fault("/organization/groups", close=True, times=1)
    flags = ("--dest", dest, "--config", settings(dest), *TRACE)
    runs = [command("sync", *flags, env=company.env(), code=2)]
    company.heal()
    runs += [command("check", *flags, env=company.env(), code={0, 2}),
             command("verify", *flags, env=company.env(), code=0),
             command("state", "show", "--dest", dest, env=company.env(), code=0)]
    produced = "\n".join(run.out + run.err for run in runs) + everything(dest)
    assert len(produced) > 100_000 and '"invites"' in produced
    for word in ("signature=", "sig-", "Bearer ", "bearer "):
        assert word not in "".join(run.out + run.err for run in runs), word
    for key in keys_of(company):
        assert key not in produced
    record("a run that tells everything", "`--log trace`, all surfaces, refusals that quote the key; then `check`, `verify`, `state show`",
           "nothing", "no key and no signature in streams, state, reports or rows", "the same", TRUST)


ECHOES = {
    "whole": KEY,
    "with stars in its middle": f"{KEY[:9]}{'*' * 30}{KEY[-4:]}",
    "without its last character": KEY[:-1],
    "without its scheme": KEY[9:],
    "twice": f"{KEY} {KEY}",
    "with a line break in it": f"{KEY[:30]}\n{KEY[30:]}",
    "as a header": f"Authorization: Bearer {KEY}",
}
BODIES = {
    "an error message": lambda text: json.dumps({"error": {"message": f"Incorrect API key provided: {text}.", "code": "invalid_api_key"}}),
    "escaped JSON": lambda text: '{"error":{"message":"no: %s"}}' % "".join(f"\\u{ord(letter):04x}" for letter in text),
    "an error code": lambda text: json.dumps({"error": {"message": "no", "code": text, "param": text, "type": text}}),
    "a detail": lambda text: json.dumps({"detail": [{"loc": ["header", text], "msg": f"no {text}"}]}),
    "an HTML page": lambda text: f"<html><title>{text}</title></html>",
    "plain text": lambda text: f"no: {text}",
}


@pytest.mark.parametrize("body", BODIES)
def test_a_key_that_the_api_repeats_is_not_repeated(dest, body):
    with Scripted() as server:
        for echo, text in ECHOES.items():
            for status in (401, 500, 422) if echo == "without its last character" else (401,):
                server.answers[USERS] = [Answer(BODIES[body](text), status=status)]
                run = sync(dest, server, "--tables", "users", *TRACE, retries=0, code=3, env={"OPENAI_ADMIN_KEY": KEY})
                assert_no_secret(run.out + run.err, KEY)
    assert_no_secret(everything(dest), KEY)
    record(f"the API repeats the key in {body}", "whole, in part, twice, with a line break", "nothing", "no part of it is shown", "nor kept", TRUST)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_with_the_key(dest, status):
    with Hostile() as other, Scripted() as server:
        server.answers[USERS] = [page(user("user-1"))]
        sync(dest, server, "--tables", "users")
        before = contents(dest / "users")
        port = server.server.server_address[1]
        targets = [f"http://localhost:{other.port}/v1{USERS}", f"//127.0.0.1:{other.port}/v1{USERS}", f"https://127.0.0.1:{other.port}/",
                   f"http://127.0.0.1:{port}@127.0.0.1:{other.port}/", f"/v1{USERS}?again"]
        for target in targets:
            server.answers[USERS] = [Answer("", status=status, headers={"location": target})]
            run = sync(dest, server, "--tables", "users", *TRACE, retries=0, code=3)
            assert run.table("users")["error"]["cure"], "a redirect is explained"
        assert other.asked == [] and contents(dest / "users") == before
    record(f"a redirect ({status}) to another host", "in place of a list", "1 user", "as before; the other host was not asked; exit 3", "as before", TRUST)


@pytest.mark.parametrize("target", [
    "http://192.0.2.7/file?signature=s3cr3t-s1gnature", "http://example.com/file?signature=s3cr3t-s1gnature",
    "http://127.0.0.1.example.com/?signature=s3cr3t-s1gnature", "http://localhost.example.com/?signature=s3cr3t-s1gnature",
    "http://127.0.0.1@192.0.2.7/?signature=s3cr3t-s1gnature", "ftp://127.0.0.1/?signature=s3cr3t-s1gnature",
    "file:///etc/passwd?signature=s3cr3t-s1gnature", "javascript:s3cr3t-s1gnature", "\\\\share\\s3cr3t-s1gnature", "",
])
def test_a_signed_address_in_the_clear_is_not_taken(dest, target):
    """Plain http is for this machine only; no other scheme is one."""
    with Logs() as logs:
        file = logs.add("file-1", [event("e1")], hours_ago=1)
        file.redirect = [(Answer("", status=307, headers={"location": target}),)]
        run = sync(dest, logs, "--tables", "log_auth", *TRACE, retries=0, code={2, 3})
        assert logs.store.asked == [] and "s3cr3t-s1gnature" not in run.out + run.err + everything(dest)
        assert all(skipped["cure"] for skipped in run.table("log_auth")["skipped"])
        file.redirect.clear()
        sync(dest, logs, "--tables", "log_auth")
        assert [asked.headers.get("authorization") for asked in logs.store.asked] == [None], "a signed address gets no key"
    record("a signed address that is not https", "http to another host, ftp, file, a scheme that is none", "nothing",
           "the file is not fetched; no signature is shown; exit 2", "1 event: the file was asked for again", TRUST)


@pytest.mark.parametrize("url", [
    "http://[::ffff:192.0.2.7]/v1", "http://0.0.0.0/v1", "http://localhost.example.com/v1", "http://127.0.0.1@example.com/v1",
    "HTTP://EXAMPLE.COM/v1", "http://example.com#127.0.0.1", "http://169.254.169.254/v1", "file:///v1", "http:/example.com/v1", "data:text/plain,x",
])
@pytest.mark.parametrize("variable", ["OPENAI_BASE_URL", "CHATGPT_BASE_URL"])
def test_a_base_url_in_the_clear_is_refused(dest, variable, url):
    env = {**NOWHERE, "OPENAI_ADMIN_KEY": KEY, "CHATGPT_COMPLIANCE_KEY": COMPLIANCE_KEY, "OPENAI_ORGANIZATION_ID": "org-1", variable: url}
    run = command("sync", "--dest", dest, *TRACE, env=env, code=1)
    assert variable in run.err and not dest.exists()
    assert_no_secret(run.out + run.err, KEY, COMPLIANCE_KEY)


PASSWORD = "hunter2-of-the-proxy"


def test_the_password_of_a_proxy_is_not_told(dest):
    """The proxy is asked for a tunnel, gets its own password and never the key."""
    with Hostile() as proxy:
        proxy.acts["443"] = [whole(b"no", "407 Proxy Authentication Required")]
        env = {"OPENAI_ADMIN_KEY": KEY, "OPENAI_BASE_URL": "https://api.invalid/v1", "HTTPS_PROXY": f"http://ada:{PASSWORD}@127.0.0.1:{proxy.port}"}
        run = command("sync", "--dest", dest, "--tables", "users", "--config", settings(dest, 0), *TRACE, env=env, code=3)
        assert proxy.asked and all("proxy-authorization" in asked.headers and "authorization" not in asked.headers for asked in proxy.asked)
    assert_no_secret(run.out + run.err + everything(dest), KEY, PASSWORD)
    record("a proxy that refuses", "its address holds a password", "nothing", "neither password nor key is told; the proxy got no key; exit 3", "nothing", TRUST)


@pytest.mark.parametrize("url", [f"https://ada:{PASSWORD}@127.0.0.1:1/v1", f"http://ada:{PASSWORD}@example.com/v1", f"http://ada:{PASSWORD}@127.0.0.1:1/v1"])
def test_the_password_of_a_base_url_is_not_told(dest, url):
    env = {"OPENAI_ADMIN_KEY": KEY, "OPENAI_BASE_URL": url}
    run = command("sync", "--dest", dest, "--tables", "users", "--config", settings(dest, 0), *TRACE, env=env, code={1, 3})
    assert_no_secret(run.out + run.err + (everything(dest) if dest.exists() else ""), KEY, PASSWORD)


def test_credentials_of_an_object_store_are_not_told(tmp_path):
    """The store refuses, and quotes all it knows."""
    secret, token = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY", "FwoGZXIvYXdzEBYaDHRva2VuLW9mLXRoZS1zZXNzaW9u"
    with Hostile() as store:
        xml = f"<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message><StringToSign>{token}</StringToSign></Error>".encode()
        refuse = whole(xml, "403 Forbidden", content_type="application/xml")
        store.next_act = lambda path: refuse
        env = {"OPENAI_ADMIN_KEY": KEY, "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token,
               "AWS_ENDPOINT_URL": f"http://127.0.0.1:{store.port}", "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1"}
        for words in (["sync", "--tables", "users"], ["check", "--tables", "users"], ["state", "show"], ["verify"]):
            run = command(*words, "--dest", "s3://bucket/lake", *TRACE, env=env, code={1, 2, 3, 4})
            assert "s3://bucket" in run.out + run.err
            assert_no_secret(run.out + run.err, KEY, secret, token)
        assert store.asked
    record("an object store that refuses", "it quotes the session token in its answer", "nothing", "no credential is told; exit 1", "nothing", TRUST)


def test_keys_that_cannot_be_used_are_not_quoted(dest, tmp_path):
    """A mistake in a variable is told by the variable's name."""
    (tmp_path / "key").write_text(f"{KEY} {KEY}")
    mistakes = [
        {"OPENAI_ADMIN_KEY": f"{KEY} {KEY}"}, {"OPENAI_ADMIN_KEY": f"{KEY}\n{KEY}"}, {"OPENAI_ADMIN_KEY_FILE": str(tmp_path / "key")},
        {"OPENAI_PROJECT_KEYS": f"proj_a={KEY},proj_a={KEY}"}, {"OPENAI_PROJECT_KEYS": f"{KEY},{KEY}"}, {"OPENAI_PROJECT_KEYS": f"={KEY}"},
        {"OPENAI_PROJECT_KEYS": f"{KEY}=proj_a,{KEY}"}, {"CODEX_ANALYTICS_KEY": KEY}, {"CHATGPT_COMPLIANCE_KEY": KEY}, {"OPENAI_ADMIN_KEY_FILE": KEY},
    ]
    for env in mistakes:
        run = command("sync", "--dest", dest, *TRACE, env={**NOWHERE, **env}, code=1)
        assert_no_secret(run.out + run.err, KEY)
        assert any(name in run.err for name in env) and not dest.exists()
