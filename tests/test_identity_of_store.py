"""As whom the program writes to an object store: profiles, roles, federation; what is not there is said at once."""

import json
import stat
import sys

import pytest

from conftest import command, settings
from leaks import assert_no_secret
from reliability import TRUST, record
from shelf import KEY, PASSWORD, TOKEN, Shelf

DEST = "s3://bucket/lake"


@pytest.fixture
def shelf():
    with Shelf() as server:
        yield server


def aws(home, shelf, **more: str) -> dict[str, str]:
    """An environment with a home of its own, and without keys."""
    home.mkdir(exist_ok=True)
    (home / ".aws").mkdir(exist_ok=True)
    return {
        "HOME": str(home), "AWS_ENDPOINT_URL_S3": shelf.url, "AWS_ALLOW_HTTP": "true", "AWS_ENDPOINT_URL_STS": shelf.url,
        "AWS_EC2_METADATA_DISABLED": "true", **more,
    }


def profile(home, config: str = "", credentials: str = "") -> None:
    (home / ".aws" / "config").write_text(config)
    (home / ".aws" / "credentials").write_text(credentials)


def check(dest: str, source, env, *flags, code=0) -> str:
    return command("check", "--dest", dest, "--tables", "users", *flags, env={**source.env(), **env}, code=code).out


def finding(dest: str, source, env) -> dict:
    [found] = [f for f in json.loads(check(dest, source, env, "--format", "json")) if f["surface"] == "destination"]
    return found


def signed_by(shelf, key: str, token: str | None) -> None:
    assert shelf.signed
    for headers in shelf.signed:
        assert f"Credential={key}/" in headers["authorization"] and headers.get("x-amz-security-token") == token


def own_keys(name: str = "default") -> str:
    return f"[{name}]\naws_access_key_id = AKIAOFAPROFILE0017\naws_secret_access_key = {PASSWORD}\n"


# ---- AWS -----------------------------------------------------------------------------------------------


def test_a_profile_with_keys_works_on_a_real_server(tmp_path, seaweed, simulator):
    place = seaweed.place()
    place.beside.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / ".aws").mkdir()
    profile(tmp_path, credentials=f"[default]\naws_access_key_id = {seaweed.key}\naws_secret_access_key = {seaweed.secret}\n")
    env = {name: value for name, value in place.env(HOME=str(tmp_path)).items() if "KEY" not in name}
    for _ in range(2):
        command("sync", "--dest", place.url, "--tables", "users,costs", "--config", settings(place.beside), env={**simulator.env(), **env}, code=0)
    command("verify", "--dest", place.url, env=env, code=0)
    assert "of the default credentials" in check(place.url, simulator, env)


def test_the_profile_that_is_named_is_used_with_its_region_and_endpoint(tmp_path, shelf, simulator):
    env = aws(tmp_path, shelf, AWS_PROFILE="lake")
    del env["AWS_ENDPOINT_URL_S3"]
    profile(tmp_path, f"[profile lake]\nregion = eu-central-7\nendpoint_url = {shelf.url}\n", own_keys() + own_keys("lake").replace("0017", "0018"))
    found = finding(DEST, simulator, env)
    assert found["status"] == "ok" and "of the profile `lake`" in found["identity"], found
    signed_by(shelf, "AKIAOFAPROFILE0018", None)
    assert all("/eu-central-7/s3/" in headers["authorization"] for headers in shelf.signed)


def test_a_role_is_assumed(tmp_path, shelf, simulator):
    profile_text = "[profile writer]\nrole_arn = arn:aws:iam::123456789012:role/writer\nsource_profile = base\nregion = us-east-1\n"
    env = aws(tmp_path, shelf, AWS_PROFILE="writer")
    profile(tmp_path, profile_text, own_keys("base"))
    found = finding(DEST, simulator, env)
    assert found["identity"].startswith("arn:aws:sts::123456789012:assumed-role/writer/x"), found
    signed_by(shelf, KEY, TOKEN)
    [assumed] = [(headers, body) for _, _, headers, body in shelf.asked if b"Action=AssumeRole&" in body]
    assert "Credential=AKIAOFAPROFILE0017/" in assumed[0]["authorization"] and b"role%2Fwriter" in assumed[1]
    said = check(DEST, simulator, env)
    assert "requests are sent as arn:aws:sts::123456789012:assumed-role/writer/x" in said and "ASIA…0042" in said
    assert_no_secret(said, PASSWORD, TOKEN)


def program(folder, text: str):
    path = folder / "give"
    path.write_text(f"#!{sys.executable}\nprint({text!r})\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_a_program_gives_credentials(tmp_path, shelf, simulator):
    env = aws(tmp_path, shelf, AWS_PROFILE="of-a-program")
    given = json.dumps({"Version": 1, "AccessKeyId": KEY, "SecretAccessKey": PASSWORD, "SessionToken": TOKEN})
    profile(tmp_path, f"[profile of-a-program]\ncredential_process = {program(tmp_path, given)}\n")
    assert finding(DEST, simulator, env)["status"] == "ok"
    signed_by(shelf, KEY, TOKEN)


@pytest.mark.parametrize("member", ["AccessKeyId", "SessionToken"])
def test_credentials_that_fit_no_header_are_an_error(tmp_path, shelf, member):
    env = aws(tmp_path, shelf, AWS_PROFILE="of-a-program")
    given = {"Version": 1, "AccessKeyId": KEY, "SecretAccessKey": PASSWORD, "SessionToken": TOKEN}
    profile(tmp_path, f"[profile of-a-program]\ncredential_process = {program(tmp_path, json.dumps({**given, member: given[member] + chr(10) + PASSWORD}))}\n")
    ended = command("state", "show", "--dest", DEST, env=env, code=1)
    assert "no key has" in ended.err and "internal error" not in ended.err and not shelf.signed
    assert_no_secret(ended.err, PASSWORD, TOKEN)


def test_a_web_identity_is_exchanged(tmp_path, shelf, simulator):
    (tmp_path / "token").write_text("a.web.token")
    env = aws(tmp_path, shelf, AWS_WEB_IDENTITY_TOKEN_FILE=f"{tmp_path}/token\n", AWS_ROLE_ARN="arn:aws:iam::1:role/web\n")
    assert finding(DEST, simulator, env)["status"] == "ok"
    signed_by(shelf, KEY, TOKEN)
    assert any(b"WebIdentityToken=a.web.token" in body for _, _, _, body in shelf.asked)


def test_a_container_gives_credentials(tmp_path, shelf, simulator):
    env = aws(tmp_path, shelf, AWS_CONTAINER_CREDENTIALS_FULL_URI=f"{shelf.url}/container", AWS_CONTAINER_AUTHORIZATION_TOKEN="Basic x")
    assert finding(DEST, simulator, env)["status"] == "ok"
    signed_by(shelf, KEY, TOKEN)
    [asked] = [headers for _, path, headers, _ in shelf.asked if path == "/container"][:1]
    assert asked["authorization"] == "Basic x"


def test_a_machine_gives_credentials(tmp_path, shelf, simulator):
    env = aws(tmp_path, shelf, AWS_METADATA_ENDPOINT=shelf.url, AWS_EC2_METADATA_DISABLED="false")
    assert finding(DEST, simulator, env)["status"] == "ok"
    signed_by(shelf, KEY, TOKEN)


def test_keys_in_variables_win_and_it_is_said(tmp_path, shelf, simulator):
    env = aws(tmp_path, shelf, AWS_PROFILE="lake", AWS_ACCESS_KEY_ID="AKIAOFVARIABLES001", AWS_SECRET_ACCESS_KEY=PASSWORD)
    del env["AWS_ENDPOINT_URL_STS"]
    profile(tmp_path, credentials=own_keys("lake"))
    found = finding(DEST, simulator, env)
    assert found["identity"] == "access key AKIA…S001 of AWS_ACCESS_KEY_ID"
    signed_by(shelf, "AKIAOFVARIABLES001", None)


@pytest.mark.parametrize("config", ["", "[profile other]\nregion = us-east-1\n", "[profile lake]\nregion = us-east-1\n"])
def test_a_profile_without_credentials_is_no_reason_to_write_as_another(tmp_path, shelf, config):
    """On a machine of AWS its role would be next: then the lake would be written by somebody else."""
    env = aws(tmp_path, shelf, AWS_PROFILE="lake", AWS_METADATA_ENDPOINT=shelf.url, AWS_EC2_METADATA_DISABLED="false")
    profile(tmp_path, config, own_keys("another"))
    ended = command("sync", "--dest", DEST, env={**env, "OPENAI_ADMIN_KEY": "sk-admin-0123456789"}, code=1)
    assert "the AWS profile `lake` gives no credentials" in ended.err and "hint:" in ended.err
    assert not shelf.signed and not [path for _, path, _, _ in shelf.asked if path.startswith("/latest")]
    record(
        "AWS_PROFILE names a profile without credentials", "the machine has a role that could be used instead",
        before="nothing", during="exit 1 that names the profile; neither the machine nor the store is asked", after="nothing is written", part=TRUST,
    )


def test_without_any_credentials_it_is_said_what_was_tried(tmp_path, shelf):
    for more in ({}, {"AWS_EC2_METADATA_DISABLED": "false", "AWS_METADATA_ENDPOINT": "http://127.0.0.1:9"}):
        for name in (["state", "show"], ["verify"], ["check"]):
            env = aws(tmp_path, shelf, **more)
            ended = command(*name, "--dest", DEST, env={**env, "OPENAI_ADMIN_KEY": "sk-admin-0123456789", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"})
            said = ended.err + ended.out
            assert ended.code in ({1} if name != ["check"] else {2, 3}), said
            for place in ("AWS_ACCESS_KEY_ID", "profile files", "AWS_WEB_IDENTITY_TOKEN_FILE", "container", "metadata service", "AWS_PROFILE"):
                assert place in said, said
    assert not shelf.signed


# ---- Google ----------------------------------------------------------------------------------------------

GS = "gs://bucket/lake"


def google(shelf, **more: str) -> dict[str, str]:
    return {"GOOGLE_BASE_URL": shelf.url, "GOOGLE_ALLOW_HTTP": "true", **more}


def federation(folder, shelf, **more) -> str:
    (folder / "subject").write_text("a.subject.token")
    path = folder / "federation.json"
    path.write_text(json.dumps({
        "type": "external_account", "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/ours",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": f"{shelf.url}/google/token",
        "credential_source": {"file": str(folder / "subject")}, **more,
    }))
    return str(path)


def test_a_workload_is_federated(tmp_path, shelf, simulator):
    env = google(shelf, GOOGLE_APPLICATION_CREDENTIALS=federation(tmp_path, shelf))
    found = finding(GS, simulator, env)
    assert found["status"] == "ok" and "workloadIdentityPools/pool/providers/ours" in found["identity"], found
    assert {headers["authorization"] for headers in shelf.signed} == {"Bearer a-federated-token"}
    assert any(b"a.subject.token" in body for _, _, _, body in shelf.asked)
    command("sync", "--dest", GS, "--tables", "users", "--config", settings(tmp_path / "lake"), env={**simulator.env(), **env}, code=0)
    command("verify", "--dest", GS, env=env, code=0)


def test_a_federated_workload_impersonates_a_service_account(tmp_path, shelf, simulator):
    url = f"{shelf.url}/google/impersonate/serviceAccounts/writer@p.iam.gserviceaccount.com:generateAccessToken"
    env = google(shelf, GOOGLE_APPLICATION_CREDENTIALS=federation(tmp_path, shelf, service_account_impersonation_url=url))
    found = finding(GS, simulator, env)
    assert found["status"] == "ok" and "writer@p.iam.gserviceaccount.com" in found["identity"], found
    assert {headers["authorization"] for headers in shelf.signed} == {"Bearer an-impersonated-token"}


def test_a_subject_token_that_is_not_there_is_said(tmp_path, shelf):
    path = federation(tmp_path, shelf, credential_source={"file": str(tmp_path / "missing")})
    ended = command("state", "show", "--dest", GS, env=google(shelf, GOOGLE_APPLICATION_CREDENTIALS=path), code=1)
    assert "no Google token could be got" in ended.err and "GOOGLE_APPLICATION_CREDENTIALS" in ended.err and not shelf.signed


PEM = "-----BEGIN PRIVATE KEY-----\nYS1zZWNyZXQta2V5LW9mLXNvbWVib2R5\n-----END PRIVATE KEY-----\n"
BROKEN = {
    "no JSON": (PASSWORD, "not a JSON object"),
    "a list": (json.dumps([PASSWORD]), "not a JSON object"),
    "no type": (json.dumps({"private_key": PASSWORD}), "has no `type`"),
    "an unknown type": (json.dumps({"type": "gdch_service_account", "key": PASSWORD}), "`gdch_service_account` are not supported"),
    "half a service account": (json.dumps({"type": "service_account", "private_key": PASSWORD}), "has no `client_email`"),
    "no PEM": (json.dumps({"type": "service_account", "private_key": PASSWORD, "client_email": "a@b", "private_key_id": "1"}), "no key in PEM"),
    "a PEM of nothing": (json.dumps({"type": "service_account", "private_key": PEM, "client_email": "a@b", "private_key_id": "1"}), "cannot be opened"),
    "half a user": (json.dumps({"type": "authorized_user", "client_secret": PASSWORD}), "has no `client_id`"),
    "half a federation": (json.dumps({"type": "external_account", "client_secret": PASSWORD}), "not a complete one"),
    "half an impersonation": (json.dumps({"type": "impersonated_service_account", "key": PASSWORD}), "not a complete one"),
    "half a workforce": (json.dumps({"type": "external_account_authorized_user", "client_secret": PASSWORD}), "not a complete one"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_credentials_file_that_cannot_be_used_is_refused_before_any_request(tmp_path, shelf, name):
    text, words = BROKEN[name]
    (tmp_path / "key.json").write_text(text)
    for variable in ("GOOGLE_APPLICATION_CREDENTIALS", "HOME"):
        if variable == "HOME":
            usual = tmp_path / ".config/gcloud"
            usual.mkdir(parents=True)
            (usual / "application_default_credentials.json").write_text(text)
        value = str(tmp_path if variable == "HOME" else tmp_path / "key.json")
        ended = command("state", "show", "--dest", GS, env=google(shelf, **{variable: value}), code=1)
        assert words in ended.err and "hint:" in ended.err, ended.err
        assert_no_secret(ended.err, PASSWORD, "YS1zZWNyZXQta2V5LW9mLXNvbWVib2R5")
    assert not shelf.signed and not shelf.asked


def test_a_service_account_is_named(tmp_path, shelf, simulator):
    key = {"type": "service_account", "private_key": "", "private_key_id": "1", "client_email": "writer@p.iam.gserviceaccount.com", "disable_oauth": True}
    (tmp_path / "key.json").write_text(json.dumps(key))
    env = google(shelf, GOOGLE_SERVICE_ACCOUNT=str(tmp_path / "key.json"))
    assert "writer@p.iam.gserviceaccount.com" in finding(GS, simulator, env)["identity"]


# ---- Azure -----------------------------------------------------------------------------------------------


def test_an_account_and_its_credential_are_named(simulator):
    env = {"AZURE_STORAGE_ACCOUNT_NAME": "ouraccount", "AZURE_STORAGE_ACCOUNT_KEY": "QUJDRA==", "AZURE_STORAGE_ENDPOINT": "http://127.0.0.1:9",
           "AZURE_ALLOW_HTTP": "true", "AZURE_TIMEOUT": "1s"}
    out = command("check", "--dest", "az://container/x", "--tables", "users", "--format", "json", env={**simulator.env(), **env}, code=2).out
    assert json.loads(out)[0]["identity"] == "storage account ouraccount, with the account key of AZURE_STORAGE_ACCOUNT_KEY"


def test_a_folder_has_no_identity(tmp_path, simulator):
    assert "identity" not in finding(str(tmp_path / "lake"), simulator, {})
