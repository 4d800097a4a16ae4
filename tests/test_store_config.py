"""Variables of object stores that are not what they should be: each is named, before the first request, and never shown.

The library below panics on some of them, so the cases are a table: every variable that is passed on, with every value
that its form forbids, on a command of those that open a store; and every command that opens a store.
"""

import socket
import subprocess
import threading

import pytest

from conftest import BINARY, Run, clean_environment, command, settings, sync
from leaks import assert_no_secret
from reliability import TRUST, record

SECRET = "zq7WmXv0pLkJ-hidden-9f2c"

# A word that becomes a header or a part of a URL: what breaks it is nothing that anybody wants there.
WORD = [f"{SECRET}\n{SECRET}", f"{SECRET} {SECRET}", f"“{SECRET}”", f'"{SECRET}"', f"'{SECRET}'", f"{SECRET}\u200b", f"\ufeff{SECRET}", f"{SECRET}\x7f{SECRET}", f"{SECRET}\t{SECRET}"]
PHRASE = [value for value in WORD if " " not in value]
LABEL = [*WORD, f"{SECRET}/{SECRET}", f"{SECRET}:{SECRET}@host", f"{SECRET}?x={SECRET}", f"{SECRET}%00"]
URL = [
    *WORD, f"{SECRET}:9000", "minio:9000", f"//{SECRET}", f"ftp://{SECRET}", f"http://{SECRET}:99999", f"http://user:{SECRET}@host",
    f"https://host?{SECRET}", "http://", "https://[::1", f"http://{SECRET} {SECRET}/", "http:/one-slash:9000", f"https://host#{SECRET}",
]
SWITCH = ["maybe", "2", "tru e", f"{SECRET}"]
FILE = [f"/nonexistent/{SECRET}", "/", f'{{"private_key": "{SECRET}"}}', f"/nonexistent/{SECRET}\nx"]
BASE64 = [*WORD, f"{SECRET}", "QUJ", "===="]
TIME = ["soon", "-5s", "5", "s", "99999999999999999999s", f"{SECRET}"]

CLIENT = {
    "ALLOW_HTTP": SWITCH, "ALLOW_INVALID_CERTIFICATES": SWITCH, "CONNECT_TIMEOUT": TIME, "TIMEOUT": TIME, "READ_TIMEOUT": TIME,
    "POOL_IDLE_TIMEOUT": TIME, "HTTP2_MAX_FRAME_SIZE": ["1", "99999999999", "x"], "POOL_MAX_IDLE_PER_HOST": ["-1", "x"],
    "USER_AGENT": PHRASE, "DEFAULT_CONTENT_TYPE": PHRASE, "HTTP1_ONLY": SWITCH, "HTTP2_ONLY": SWITCH, "RANDOMIZE_ADDRESSES": SWITCH,
    "PROXY_URL": ["garbage", f"http://{SECRET} x", "http://", f"gopher://{SECRET}", "://"], "PROXY_CA_CERTIFICATE": [f"{SECRET}"],
    "HTTP2_KEEP_ALIVE_INTERVAL": TIME, "HTTP2_KEEP_ALIVE_TIMEOUT": TIME, "HTTP2_KEEP_ALIVE_WHILE_IDLE": SWITCH,
    "DISABLE_SYSTEM_CERTIFICATES": SWITCH,
}
PROXIES = {
    name: ["garbage", f"http://{SECRET} x", "http://", "gopher://x"]
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy")
}

S3 = {
    "AWS_ACCESS_KEY_ID": WORD, "AWS_SECRET_ACCESS_KEY": PHRASE, "AWS_SESSION_TOKEN": WORD, "AWS_TOKEN": WORD, "AWS_REGION": LABEL,
    "AWS_DEFAULT_REGION": LABEL, "AWS_ENDPOINT_URL": URL, "AWS_ENDPOINT": URL, "AWS_ENDPOINT_URL_S3": URL, "AWS_ENDPOINT_URL_STS": URL,
    "AWS_METADATA_ENDPOINT": URL, "AWS_IMDSV1_FALLBACK": SWITCH, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": [*WORD, "no-slash"],
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": URL, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": FILE, "AWS_WEB_IDENTITY_TOKEN_FILE": FILE,
    "AWS_ROLE_ARN": WORD, "AWS_ROLE_SESSION_NAME": WORD, "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": SWITCH, "AWS_S3_EXPRESS": SWITCH,
    "AWS_UNSIGNED_PAYLOAD": SWITCH, "AWS_SKIP_SIGNATURE": SWITCH, "AWS_CHECKSUM_ALGORITHM": ["md5", f"{SECRET}"],
    "AWS_DISABLE_TAGGING": SWITCH, "AWS_DISABLE_BULK_DELETE": SWITCH, "AWS_REQUEST_PAYER": ["nobody"], "AWS_CONDITIONAL_PUT": ["dynamo"],
    "AWS_SERVER_SIDE_ENCRYPTION": ["rot13"], "AWS_SSE_KMS_KEY_ID": WORD, "AWS_SSE_BUCKET_KEY_ENABLED": SWITCH,
    "AWS_SSE_CUSTOMER_KEY_BASE64": [*BASE64, "QUJD"], "AWS_PROFILE": PHRASE,
    **{f"AWS_{name}": values for name, values in CLIENT.items()},
}
AZURE = {
    "AZURE_STORAGE_ACCOUNT_NAME": LABEL, "AZURE_STORAGE_ACCOUNT_KEY": BASE64, "AZURE_STORAGE_ACCESS_KEY": BASE64,
    "AZURE_STORAGE_MASTER_KEY": BASE64, "AZURE_STORAGE_SAS_TOKEN": [*WORD, SECRET], "AZURE_STORAGE_SAS_KEY": [*WORD, SECRET],
    "AZURE_STORAGE_TOKEN": WORD, "AZURE_CLIENT_ID": LABEL, "AZURE_STORAGE_CLIENT_ID": LABEL, "AZURE_TENANT_ID": LABEL,
    "AZURE_STORAGE_TENANT_ID": LABEL, "AZURE_AUTHORITY_ID": LABEL, "AZURE_STORAGE_AUTHORITY_ID": LABEL, "AZURE_CLIENT_SECRET": PHRASE,
    "AZURE_STORAGE_CLIENT_SECRET": PHRASE, "AZURE_AUTHORITY_HOST": URL, "AZURE_STORAGE_AUTHORITY_HOST": URL, "AZURE_ENDPOINT": URL,
    "AZURE_STORAGE_ENDPOINT": URL, "AZURE_MSI_ENDPOINT": URL, "AZURE_IDENTITY_ENDPOINT": URL, "AZURE_FEDERATED_TOKEN_FILE": FILE,
    "AZURE_USE_AZURE_CLI": SWITCH, "AZURE_SKIP_SIGNATURE": SWITCH, "AZURE_STORAGE_USE_EMULATOR": SWITCH, "AZURE_USE_FABRIC_ENDPOINT": SWITCH,
    "AZURE_CREDENTIAL_TYPE": ["magic"], "AZURE_STORAGE_ENCRYPTION_KEY": [*BASE64, "QUJD"], "AZURE_OBJECT_ID": LABEL,
    "AZURE_MSI_RESOURCE_ID": WORD, "AZURE_DISABLE_TAGGING": SWITCH, "AZURE_FABRIC_SESSION_TOKEN": WORD,
    "AZURE_FABRIC_TOKEN_SERVICE_URL": URL, "AZURE_FABRIC_WORKLOAD_HOST": URL, "AZURE_FABRIC_CLUSTER_IDENTIFIER": WORD,
    **{f"AZURE_{name}": values for name, values in CLIENT.items()},
}
GOOGLE = {
    "GOOGLE_SERVICE_ACCOUNT": FILE, "GOOGLE_SERVICE_ACCOUNT_PATH": FILE, "GOOGLE_APPLICATION_CREDENTIALS": FILE,
    "GOOGLE_SERVICE_ACCOUNT_KEY": [f"{SECRET}", f'"{SECRET}"', f'{{"private_key": "{SECRET}"', f'["{SECRET}"]', f'{{"client_email": "{SECRET}"}}', "{}"],
    "GOOGLE_BASE_URL": URL, "GOOGLE_BEARER_TOKEN": WORD, "GOOGLE_SKIP_SIGNATURE": SWITCH,
    **{f"GOOGLE_{name}": values for name, values in CLIENT.items()},
}
STORES = {"s3://bucket/lake": S3, "az://container/lake": AZURE, "gs://bucket/lake": GOOGLE}


def cases():
    """Every variable with two of its bad values, and one variable of each form with all of them."""
    whole = set()
    for dest, variables in STORES.items():
        for at, (name, values) in enumerate([*variables.items(), *PROXIES.items()]):
            all_of_them = tuple(values) not in whole
            whole.add(tuple(values))
            chosen = values if all_of_them else {values[at % len(values)], values[(at + 3) % len(values)]}
            yield from ((dest, name, value) for value in chosen)


CASES = sorted(cases())

COMMANDS = {
    "sync": ["sync", "--dest", "URL"],
    "dry run": ["sync", "--dest", "URL", "--dry-run"],
    "check": ["check", "--dest", "URL"],
    "state show": ["state", "show", "--dest", "URL"],
    "state export": ["state", "export", "--dest", "URL"],
    "state reset": ["state", "reset", "costs", "--dest", "URL"],
    "state rebuild": ["state", "rebuild", "--dest", "URL"],
    "verify": ["verify", "--dest", "URL"],
    "verify totals": ["verify", "--totals", "--dest", "URL"],
    "load": ["load", "--dest", "URL", "--to", "duckdb:x.duckdb"],
    "report": ["report", "--dest", "URL", "--out", "x.html"],
    "schema": ["schema", "--dialect", "duckdb", "--dest", "URL"],
    "state elsewhere": ["sync", "--dest", "LAKE", "--state", "URL/state.json"],
    "show of a state elsewhere": ["state", "show", "--dest", "LAKE", "--state", "URL/state.json"],
    "report with a state elsewhere": ["report", "--dest", "LAKE", "--state", "URL/state.json", "--out", "x.html"],
}


class Watch:
    """Counts the connections to a port of this machine, and answers none."""

    def __enter__(self):
        self.count = 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.watch, daemon=True).start()
        return self

    def watch(self):
        while True:
            try:
                self.socket.accept()[0].close()
            except OSError:
                return
            self.count += 1

    def __exit__(self, *_):
        self.socket.close()


def good(dest: str, watch: Watch) -> dict[str, str]:
    """Variables that open this store, at an address where nobody answers but everybody is counted."""
    return {
        "s3://bucket/lake": {
            "AWS_ACCESS_KEY_ID": "AKIAEXAMPLEEXAMPLE", "AWS_SECRET_ACCESS_KEY": "a-secret", "AWS_ENDPOINT_URL": watch.url, "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
        },
        "az://container/lake": {
            "AZURE_STORAGE_ACCOUNT_NAME": "account", "AZURE_STORAGE_ACCOUNT_KEY": "QUJDRA==", "AZURE_STORAGE_ENDPOINT": watch.url,
            "AZURE_ALLOW_HTTP": "true",
        },
        "gs://bucket/lake": {"GOOGLE_BEARER_TOKEN": "a-token", "GOOGLE_BASE_URL": watch.url, "GOOGLE_ALLOW_HTTP": "true"},
    }[dest]


def run(name: str, url: str, env: dict[str, str], folder, lake=None) -> Run:
    lake = lake or folder / "lake"
    arguments = [word.replace("URL", url).replace("LAKE", str(lake)) for word in COMMANDS[name]]
    env = {"OPENAI_ADMIN_KEY": "sk-admin-0123456789", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1", **env}
    return command(*arguments, env=env, cwd=folder)


def assert_named(ended: Run, name: str, value: str, case: str) -> None:
    text = ended.err + ended.out
    assert ended.code == 1, f"{case}: exit {ended.code}\n{text}"
    assert name in ended.err and "hint:" in ended.err, f"{case}\n{text}"
    assert "panic" not in text and "internal error" not in text, f"{case}\n{text}"
    assert_no_secret(text, SECRET)
    assert len(value) < 6 or value.strip() not in text, f"{case}\n{text}"


@pytest.mark.parametrize("part", range(4))
def test_a_value_that_its_variable_cannot_have_is_named_before_the_first_request(tmp_path, part):
    (tmp_path / "lake").mkdir()
    names = ["state show", "sync", "check", "verify"]
    with Watch() as watch:
        for index, (dest, name, value) in list(enumerate(CASES))[part::4]:
            env = {**good(dest, watch), name: value}
            if name.startswith("GOOGLE_") and name != "GOOGLE_BEARER_TOKEN":
                env.pop("GOOGLE_BEARER_TOKEN")
            if name.startswith(("AWS_PROFILE", "AWS_WEB", "AWS_CONTAINER")):
                del env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"]
            command_name = names[(index // 4) % len(names)]
            assert_named(run(command_name, dest, env, tmp_path), name, value, f"{command_name} {dest} {name}={value!r}")
        assert watch.count == 0
    record(
        "a variable of an object store holds what it cannot hold",
        "each variable that is passed on to S3, Azure and Google, with line breaks, blanks, quotes, invisible characters, and what is no URL, file, number or base64",
        before="nothing", during="exit 1 that names the variable and not its value; no request", after="nothing is written", part=TRUST,
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_opens_a_store_names_the_variable(tmp_path, name, simulator):
    lake = tmp_path / "synced"
    sync(lake, simulator, "--tables", "users")
    bad = {
        "s3://bucket/lake": {"AWS_ACCESS_KEY_ID": f"{SECRET}\n{SECRET}", "AWS_ENDPOINT_URL": "minio:9000", "AWS_SESSION_TOKEN": f"{SECRET}\n{SECRET}"},
        "az://container/lake": {"AZURE_STORAGE_ACCOUNT_KEY": f"{SECRET}!", "AZURE_STORAGE_ENDPOINT": "azurite:10000"},
        "gs://bucket/lake": {"GOOGLE_SERVICE_ACCOUNT_KEY": SECRET, "GOOGLE_BASE_URL": "gcs:4443"},
    }
    with Watch() as watch:
        for dest, variables in bad.items():
            for variable, value in variables.items():
                env = {**good(dest, watch), variable: value}
                if variable == "GOOGLE_SERVICE_ACCOUNT_KEY":
                    del env["GOOGLE_BEARER_TOKEN"]
                assert_named(run(name, dest, env, tmp_path, lake), variable, value, f"{name} {variable}={value!r}")
        assert watch.count == 0


def test_blanks_around_a_value_do_no_harm(tmp_path, seaweed, simulator):
    place = seaweed.place()
    place.beside.parent.mkdir(parents=True, exist_ok=True)
    for around in ("{}\n", " {} ", "{}\r\n", "\t{}"):
        env = {name: around.format(value) for name, value in place.env(AWS_SESSION_TOKEN="", AWS_PROFILE="").items()}
        ended = command(
            "sync", "--dest", place.url, "--tables", "users", "--config", settings(place.beside), env={**simulator.env(), **env},
        )
        assert ended.code == 0, ended.err
        assert command("state", "show", "--dest", place.url, env=env).code == 0


def test_a_variable_that_is_no_text_stops_nobody_but_who_needs_it(tmp_path):
    """The environment may hold any bytes; only those of the store are looked at."""
    lake = tmp_path / "lake"
    lake.mkdir()
    with Watch() as watch:
        def ended(**more):
            env = {**clean_environment(**good("s3://bucket/lake", watch)), **more}
            env = {key.encode(): value if isinstance(value, bytes) else value.encode() for key, value in env.items()}
            done = subprocess.run([BINARY, "state", "show", "--dest", "s3://bucket/lake"], env=env, capture_output=True)
            return done.returncode, done.stderr.decode()

        code, words = ended(AWS_SECRET_ACCESS_KEY=b"\xff\xfe secret")
        assert code == 1 and "AWS_SECRET_ACCESS_KEY is not UTF-8" in words, words
        assert watch.count == 0
        code, words = ended(SOMETHING_ELSE=b"\xff", AWS_PAGER=b"\xff", AWS_TIMEOUT="1s")
        assert code == 1 and "panic" not in words and "UTF-8" not in words, words
        assert watch.count > 0


@pytest.mark.parametrize("dest", ["s3://", "s3://buc%0aket/x", "s3://b:9000/x", "s3://user:hunter2hunter2@bucket/x", "s3://bücket/x", "gs:///x",
                                  "az://con tainer/x", "memory:///x", "http://host/x", "s3://[::1]/x", "ftp://host/x", "s3://b*/x"])
def test_a_destination_that_names_no_bucket_is_said_so(tmp_path, dest):
    with Watch() as watch:
        env = {**good("s3://bucket/lake", watch), **good("az://container/lake", watch), **good("gs://bucket/lake", watch)}
        for name in ("sync", "state show", "check", "verify"):
            ended = run(name, dest, env, tmp_path)
            assert ended.code == 1 and "hint:" in ended.err and "hunter2" not in ended.err, f"{name} {dest}\n{ended.err}"
        assert watch.count == 0


@pytest.mark.parametrize("there, missing", [("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID")])
def test_half_of_a_key_is_not_passed_over(there, missing):
    ended = command("state", "show", "--dest", "s3://bucket/lake", env={there: SECRET}, code=1)
    assert f"{there} is set, but {missing} is not" in ended.err
    assert_no_secret(ended.err, SECRET)


def test_plain_http_needs_leave(tmp_path):
    with Watch() as watch:
        for dest, switch in (("s3://bucket/lake", "AWS_ALLOW_HTTP"), ("az://container/lake", "AZURE_ALLOW_HTTP")):
            env = good(dest, watch)
            del env[switch]
            ended = command("state", "show", "--dest", dest, env=env, code=1)
            assert f"{switch}=true" in ended.err
        assert watch.count == 0


def test_an_account_is_needed(tmp_path):
    """A connection string is what many have; it is not read, and that is said."""
    connection = f"DefaultEndpointsProtocol=https;AccountName=x;AccountKey={SECRET}"
    ended = command("state", "show", "--dest", "az://container/lake", env={"AZURE_STORAGE_CONNECTION_STRING": connection}, code=1)
    assert "AZURE_STORAGE_ACCOUNT_NAME" in ended.err and "connection string" in ended.err
    assert_no_secret(ended.err, SECRET)
