"""Every hint is tried, part five: which store, which variables, whose credentials; a folder that is no lake. See test_hints.py.

The store is a small one of this machine that also gives credentials (shelf.py); `state show` is the shortest way to it.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from urllib.parse import urlsplit

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from desk import Desk, desk, healthy, hinted, lake, made, org  # noqa: F401, fixtures
from shelf import PASSWORD, Shelf
from test_folders import home, lake_of, run  # noqa: F401, fixtures
from tls import Door, authority

S3, GS, AZ = "s3://bucket/lake", "gs://bucket/lake", "az://bucket/lake"


class Town(Shelf):
    """The shelf, with the authority that gives tokens for Azure."""

    def service(self, method, path, headers, body):
        if path.endswith("/oauth2/v2.0/token"):
            return "application/json", json.dumps({"access_token": "a-token", "token_type": "Bearer", "expires_in": 3600})
        return super().service(method, path, headers, body)


@pytest.fixture
def shelf():
    with Town() as server:
        yield server


@pytest.fixture
def at(tmp_path):
    """A working folder which is the home too, on a machine that is none of AWS."""
    return Desk(tmp_path, {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"})


def shown(at, dest: str, env: dict, code=0):
    return at("state", "show", "--dest", dest, env=env, code=code)


def s3(shelf, **more: str) -> dict[str, str]:
    return {"AWS_ENDPOINT_URL": shelf.url, "AWS_ALLOW_HTTP": "true", "AWS_ACCESS_KEY_ID": "AKIAOFVARIABLES001", "AWS_SECRET_ACCESS_KEY": PASSWORD, **more}


def google(shelf, **more: str) -> dict[str, str]:
    return {"GOOGLE_BASE_URL": shelf.url, "GOOGLE_ALLOW_HTTP": "true", **more}


def azure(shelf, **more: str) -> dict[str, str]:
    return {"AZURE_STORAGE_ENDPOINT": shelf.url, "AZURE_ALLOW_HTTP": "true", "AZURE_STORAGE_ACCOUNT_NAME": "account", **more}


def without(env: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in env.items() if name not in names}


KEY = {"AZURE_STORAGE_ACCOUNT_KEY": "QUJDRA=="}

# ---- the URL -----------------------------------------------------------------------------------------------


def test_a_url_with_credentials(at, shelf):
    """They are left out, and the variables that the hint names open the store."""
    hint = "leave them out: credentials come from AWS_*, GOOGLE_* or AZURE_* variables"
    stores = {"s3": s3(shelf), "gs": google(shelf, GOOGLE_BEARER_TOKEN="a-token"), "az": azure(shelf, **KEY)}
    for scheme, env in stores.items():
        prefix = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}[scheme]
        assert f"{prefix}*" in hinted(shown(at, f"{scheme}://ada:sesame@bucket/lake", env, code=1), hint)
        assert all(name.startswith(prefix) for name in env)
        shown(at, f"{scheme}://bucket/lake", env)


def test_a_url_with_a_port(at, shelf):
    """It goes into the variable of its store, whose name is taken from the hint."""
    hint = "the address of the store goes into AWS_ENDPOINT_URL (GOOGLE_BASE_URL, AZURE_STORAGE_ENDPOINT)"
    stores = {"s3": s3(shelf), "gs": google(shelf, GOOGLE_BEARER_TOKEN="a-token"), "az": azure(shelf, **KEY)}
    names = ("AWS_ENDPOINT_URL", "GOOGLE_BASE_URL", "AZURE_STORAGE_ENDPOINT")
    for (scheme, env), name in zip(stores.items(), names):
        bare = without(env, name)
        said = hinted(shown(at, f"{scheme}://bucket:{urlsplit(shelf.url).port}/lake", bare, code=1), hint)
        assert name in re.findall(r"[A-Z]+_[A-Z_]+", said)
        shown(at, f"{scheme}://bucket/lake", {**bare, name: shelf.url})
    assert shelf.signed


def test_a_bucket_that_cannot_exist(at, shelf):
    hint = "the name of a bucket or container has letters, digits, hyphens and dots"
    for wrong in ("s3://buc*ket/lake", "s3://bücket/lake", "s3:///lake"):
        hinted(shown(at, wrong, s3(shelf), code=1), hint)
    for right in ("bucket", "bucket-of.2026", "bucket--1"):
        shown(at, f"s3://{right}/lake", s3(shelf))


# ---- variables of stores -------------------------------------------------------------------------------------


@pytest.mark.parametrize("there, missing", [("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID")])
def test_half_of_a_key(at, shelf, there, missing):
    """Both ways that the hint names: the other half is set; or this one is unset, and a profile gives the key."""
    at.write(".aws/credentials", f"[default]\naws_access_key_id = AKIAOFAPROFILE0017\naws_secret_access_key = {PASSWORD}\n")
    env = s3(shelf)
    said = hinted(shown(at, S3, without(env, missing), code=1), "set {missing} too, or unset {there}")
    assert said == f"set {missing} too, or unset {there}"
    shown(at, S3, env)
    assert all("AKIAOFVARIABLES001" in headers["authorization"] for headers in shelf.signed)
    shelf.signed.clear()
    shown(at, S3, without(env, missing, there))
    assert shelf.signed and all("AKIAOFAPROFILE0017" in headers["authorization"] for headers in shelf.signed)


def test_an_account_of_azure(at, shelf):
    hint = "set AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY or another credential; a connection string is not read"
    connection = {"AZURE_STORAGE_CONNECTION_STRING": f"DefaultEndpointsProtocol=http;AccountName=account;AccountKey=QUJDRA==;BlobEndpoint={shelf.url}"}
    bare = {**without(azure(shelf), "AZURE_STORAGE_ACCOUNT_NAME"), **connection}
    said = hinted(shown(at, AZ, bare, code=1), hint)
    name, key = re.findall(r"AZURE_[A-Z_]+", said)
    shown(at, AZ, {**bare, name: "account", key: "QUJDRA=="})
    shown(at, AZ, {**bare, name: "account", "AZURE_STORAGE_SAS_TOKEN": "sv=1&sig=abc"})  # another credential


def test_variables_that_do_not_go_together(at, shelf):
    """What the message misses is set."""
    hint = "check the variables of this store (AWS_*, GOOGLE_*, AZURE_*) against docs/configuration.md, and the URL"
    customers = {"AWS_SSE_CUSTOMER_KEY_BASE64": base64.b64encode(b"a key of 32 bytes, of the tests.").decode()}
    client = {"AZURE_CLIENT_ID": "id", "AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_SECRET": PASSWORD, "AZURE_AUTHORITY_HOST": shelf.url}
    for dest, wrong, cure in [
        (AZ, azure(shelf, AZURE_CREDENTIAL_TYPE="access_key"), KEY),
        (AZ, azure(shelf, AZURE_CREDENTIAL_TYPE="client_secret"), client),
        (S3, s3(shelf, AWS_SERVER_SIDE_ENCRYPTION="sse-c"), customers),
    ]:
        hinted(shown(at, dest, wrong, code=1), hint)
        shown(at, dest, {**wrong, **cure})


def test_plain_http(at, shelf):
    """For each store both ways: the switch that is printed, and https."""
    hint = "use https, or set {switch}=true where the network may see what is sent"
    trusted, certificate = authority(at.folder)
    inside = urlsplit(shelf.url)
    with Door(certificate, (inside.hostname, inside.port), ["http/1.1"]) as door:
        https = {"SSL_CERT_FILE": str(trusted)}
        for dest, env, name in [(S3, s3(shelf), "AWS_ENDPOINT_URL"), (AZ, azure(shelf, **KEY), "AZURE_STORAGE_ENDPOINT")]:
            bare = {variable: value for variable, value in env.items() if not variable.endswith("_ALLOW_HTTP")}
            said = hinted(shown(at, dest, bare, code=1), hint)
            [(switch, value)] = re.findall(r"(\w+)=(\w+)", said)
            shown(at, dest, {**bare, switch: value})
            shown(at, dest, {**bare, **https, name: f"https://localhost:{door.port}"})
        assert len(door.agreed) >= 2


def test_plain_http_of_a_profile(at, shelf):
    at.write(".aws/config", f"[profile lake]\nregion = us-east-1\nendpoint_url = {shelf.url}\n")
    at.write(".aws/credentials", f"[lake]\naws_access_key_id = AKIAOFAPROFILE0017\naws_secret_access_key = {PASSWORD}\n")
    env = {"AWS_PROFILE": "lake"}
    said = hinted(shown(at, S3, env, code=1), "use https, or set AWS_ALLOW_HTTP=true where the network may see what is sent")
    shown(at, S3, {**env, **dict(re.findall(r"(\w+)=(\w+)", said))})
    trusted, certificate = authority(at.folder)
    inside = urlsplit(shelf.url)
    with Door(certificate, (inside.hostname, inside.port), ["http/1.1"]) as door:
        at.write(".aws/config", f"[profile lake]\nregion = us-east-1\nendpoint_url = https://localhost:{door.port}\n")
        shown(at, S3, {**env, "SSL_CERT_FILE": str(trusted)})


def test_plain_http_of_an_authority(at, shelf):
    """The store is asked over TLS, and who gives the token is not."""
    hint = "an endpoint of plain http needs AWS_ALLOW_HTTP=true (AZURE_ALLOW_HTTP=true)"
    trusted, certificate = authority(at.folder)
    inside = urlsplit(shelf.url)
    with Door(certificate, (inside.hostname, inside.port), ["http/1.1"]) as door:
        env = {"AZURE_STORAGE_ENDPOINT": f"https://localhost:{door.port}", "AZURE_STORAGE_ACCOUNT_NAME": "account", "SSL_CERT_FILE": str(trusted),
               "AZURE_CLIENT_ID": "id", "AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_SECRET": PASSWORD, "AZURE_AUTHORITY_HOST": shelf.url}
        said = hinted(shown(at, AZ, env, code=1), hint)
        switches = dict(re.findall(r"(\w+)=(\w+)", said))
        shown(at, AZ, {**env, "AZURE_ALLOW_HTTP": switches["AZURE_ALLOW_HTTP"]})
    assert {headers["authorization"] for headers in shelf.signed} == {"Bearer a-token"}


def test_nobody_is_at_the_endpoint_or_at_the_proxy(at, shelf):
    """Each of the three variables that the hint names, wrong and then right."""
    hint = "see whether the endpoint is right (AWS_ENDPOINT_URL, AZURE_STORAGE_ENDPOINT), and the proxy if HTTPS_PROXY names one, and run again; nothing of the slice was changed"
    nobody = "127.0.0.1:1"
    for dest, env, name in [(S3, s3(shelf), "AWS_ENDPOINT_URL"), (AZ, azure(shelf, **KEY), "AZURE_STORAGE_ENDPOINT")]:
        assert name in hinted(shown(at, dest, {**env, name: f"http://{nobody}"}, code={1, 3}), hint)
        shown(at, dest, env)
    trusted, certificate = authority(at.folder)
    inside = urlsplit(shelf.url)
    with Door(certificate, (inside.hostname, inside.port), ["http/1.1"]) as door:
        env = s3(shelf, AWS_ENDPOINT_URL=f"https://localhost:{door.port}", SSL_CERT_FILE=str(trusted))
        hinted(shown(at, S3, {**env, "HTTPS_PROXY": f"http://{nobody}"}, code={1, 3}), hint)
        assert not door.agreed
        shown(at, S3, env)


# ---- credentials of Google -------------------------------------------------------------------------------------


def federation(at, shelf, **more) -> dict:
    """What `gcloud iam workload-identity-pools create-cred-config` writes."""
    at.write("subject", "a.subject.token")
    return {
        "type": "external_account", "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/ours",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": f"{shelf.url}/google/token",
        "credential_source": {"file": str(at.folder / "subject")}, **more,
    }


def service_account(at) -> dict:
    """The key file of a service account, with a key that was made for it."""
    made = subprocess.run(["openssl", "genrsa", "2048"], check=True, capture_output=True, text=True).stdout
    return {"type": "service_account", "private_key": made, "private_key_id": "1", "client_email": "writer@p.iam.gserviceaccount.com"}


def impersonation(at, shelf) -> dict:
    url = f"{shelf.url}/google/impersonate/serviceAccounts/writer@p.iam.gserviceaccount.com:generateAccessToken"
    return {"type": "impersonated_service_account", "service_account_impersonation_url": url, "source_credentials": federation(at, shelf)}


def workforce(shelf) -> dict:
    return {
        "type": "external_account_authorized_user", "audience": "//iam.googleapis.com/locations/global/workforcePools/p/providers/x",
        "client_id": "id", "client_secret": PASSWORD, "refresh_token": "again", "token_url": f"{shelf.url}/google/token", "token_info_url": shelf.url,
    }


USER = {"type": "authorized_user", "client_id": "id", "client_secret": PASSWORD, "refresh_token": "again"}


def by_file(at, shelf, content, code=0, name="GOOGLE_APPLICATION_CREDENTIALS"):
    path = at.write("key.json", content if isinstance(content, str) else json.dumps(content))
    return shown(at, GS, google(shelf, **{name: str(path)}), code=code)


def test_a_credentials_file_of_google_that_is_none(at, shelf):
    hint = "it is a key file of a service account, or what `gcloud iam workload-identity-pools create-cred-config` wrote"
    for wrong in (PASSWORD, json.dumps([PASSWORD]), {"private_key": PASSWORD}):
        hinted(by_file(at, shelf, wrong, code=1), hint)
    assert not shelf.asked and not shelf.signed
    by_file(at, shelf, service_account(at))
    by_file(at, shelf, federation(at, shelf))
    assert {headers["authorization"][:8] for headers in shelf.signed} == {"Bearer e", "Bearer a"}


def test_the_kinds_of_credentials_of_google_that_are_named(at, shelf):
    """Each kind of the hint; the token of a user comes from a server of Google, so the file is not refused and no more is seen."""
    hint = "supported are service_account, authorized_user, external_account, impersonated_service_account and external_account_authorized_user"
    said = hinted(by_file(at, shelf, {"type": "gdch_service_account", "key": PASSWORD}, code=1), hint)
    files = [service_account(at), USER, federation(at, shelf), impersonation(at, shelf), workforce(shelf)]
    named = re.findall(r"\w+(?:_\w+)+", said)
    assert sorted(named) == sorted(file["type"] for file in files)
    for file in files:
        if file["type"] != "authorized_user":
            by_file(at, shelf, file)
    path = at.write("key.json", json.dumps(USER))
    found = at("check", "--dest", GS, "--format", "json", "--tables", "users",
               env=google(shelf, GOOGLE_APPLICATION_CREDENTIALS=str(path), HTTPS_PROXY="http://127.0.0.1:1", OPENAI_ADMIN_KEY="sk-admin-0123456789",
                          OPENAI_BASE_URL="http://127.0.0.1:9/v1"), code={2, 3}).out
    [of_store] = [each for each in json.loads(found) if each["surface"] == "destination"]
    assert "the user who signed in with gcloud" in of_store["identity"], of_store


def test_a_file_of_another_kind_goes_into_the_other_variable(at, shelf):
    hint = "give that file to GOOGLE_APPLICATION_CREDENTIALS"
    for name in ("GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH"):
        said = hinted(by_file(at, shelf, federation(at, shelf), code=1, name=name), hint)
        by_file(at, shelf, federation(at, shelf), name=re.search(r"GOOGLE_[A-Z_]+", said)[0])


def test_a_service_account_without_its_key(at, shelf):
    """A new key file, as it is."""
    hinted(by_file(at, shelf, {**service_account(at), "private_key": PASSWORD}, code=1), "make a new key of the service account, and give its file as it is")
    by_file(at, shelf, service_account(at))


def test_half_a_file_of_google(at, shelf):
    """Whole, each of them works."""
    whole = service_account(at)
    for missing in ("client_email", "private_key", "private_key_id"):
        hinted(by_file(at, shelf, without(whole, missing), code=1), "give the file as Google's tools wrote it, whole")
    by_file(at, shelf, whole)
    hint = "let `gcloud` write it again (`gcloud iam workload-identity-pools create-cred-config`), and give it as it is"
    whole = federation(at, shelf)
    for missing in ("audience", "token_url", "credential_source"):
        hinted(by_file(at, shelf, without(whole, missing), code=1), hint)
    by_file(at, shelf, whole)


def test_a_workload_without_its_token(at, shelf):
    """Both causes that the hint names: the token is not there, and a provider that the pool does not have."""
    hint = "see whether the token of the workload is there and its provider is the one of the pool; `gcloud auth application-default print-access-token` tries the same file"
    file = federation(at, shelf)
    (at.folder / "subject").unlink()
    hinted(by_file(at, shelf, file, code=1), hint)
    at.write("subject", "a.subject.token")
    by_file(at, shelf, file)
    hinted(by_file(at, shelf, {**file, "token_url": f"{shelf.url}/google/no-such-pool"}, code=1), hint)
    by_file(at, shelf, file)


# ---- folders ---------------------------------------------------------------------------------------------------


def test_a_folder_that_is_no_lake(desk, lake):
    """What a sync wrote is one."""
    (desk.folder / "other").mkdir()
    hint = "give --dest the folder or URL that `openai-elt sync` wrote to"
    for words in (["verify"], ["report", "--out", "page.html"], ["schema", "--dialect", "duckdb"]):
        hinted(desk(*words, "--dest", "other", code=1), hint)
        desk(*words, "--dest", "lake")
    desk.sync("--dest", "other", "--tables", "users")
    desk("verify", "--dest", "other")


@pytest.mark.parametrize("cure", ["the right", "the owner"])
def test_a_folder_on_the_way_to_the_lake_that_may_not_be_read(home, simulator, cure):  # noqa: F811
    """Given the right to read it, or run as its owner, `verify` is right again."""
    lake, outer = lake_of(home, simulator), home / "outer"
    outer.mkdir()
    shutil.move(lake, outer / "lake")
    as_root = os.geteuid() == 0
    outer.chmod(0o700 if as_root else 0)
    hinted(run(home, "verify", "--dest", outer / "lake", code=1), "let this user read the folder and those on the way to it, or run as its owner")
    if cure == "the owner" and as_root:
        Desk(home, {})("verify", "--dest", outer / "lake")
    else:
        outer.chmod(0o755)
        run(home, "verify", "--dest", outer / "lake", code=0)


# ---- DuckDB ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("added, cure", [
    ("ALTER TABLE openai.users ALTER COLUMN name SET NOT NULL", "ALTER TABLE openai.users ALTER COLUMN name DROP NOT NULL"),
    ("ALTER TABLE openai.users ALTER COLUMN name SET NOT NULL", "DROP TABLE openai.users"),
    ("CREATE UNIQUE INDEX one_of_each ON openai.users (id)", "DROP INDEX openai.one_of_each"),
    ("CREATE UNIQUE INDEX one_of_each ON openai.users (id)", "DROP TABLE openai.users"),
])
def test_a_constraint_that_the_rows_do_not_obey(desk, lake, added, cure):
    """Each of the ways that the hint names: without the constraint or index, or without the table, the lake's rows are there."""
    hint = "the lake's rows need not obey a constraint or unique index that somebody added: drop it, or drop the table, which the next load makes and fills again; nothing of the group was loaded"
    program = os.path.join(os.path.dirname(sys.executable), "duckdb")
    words = ("load", "--dest", "lake", "--tables", "users", "--to", "duckdb:x.duckdb", "--duckdb", program)
    desk(*words)

    def typed(sql: str):
        with duckdb.connect(str(desk.folder / "x.duckdb")) as connection:
            return connection.execute(sql).fetchall()

    names = "SELECT count(*), count(name) FROM openai.users"
    before = typed(names)
    [[count, named]] = before
    typed(added)
    file = lake / "users/data.parquet"
    rows = pq.read_table(file)
    at = rows.schema.get_field_index("name")
    pq.write_table(rows.set_column(at, rows.schema.field(at), pa.nulls(len(rows), rows.schema.field(at).type)), file)
    hinted(desk(*words, code={2, 3}), hint)
    assert typed(names) == before and count > 1 and named
    typed(cure)
    desk(*words)
    assert typed(names) == [(count, 0)]
