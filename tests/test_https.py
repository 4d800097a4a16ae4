"""The API over TLS: asked only where the machine trusts the server, over HTTP/2 where that speaks it."""

from urllib.parse import urlsplit

import pytest

from conftest import sync
from tls import Door, authority

USERS = ("--tables", "users")


@pytest.fixture(scope="module")
def simulator(simulators):
    return simulators("--projects", 2, "--users", 12, "--history-days", 2)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return authority(tmp_path_factory.mktemp("authority"))


def over(door, host: str = "localhost", trusted=None) -> dict[str, str]:
    # Without a file of its own, it is the machine's authorities that are trusted.
    return {"OPENAI_BASE_URL": f"https://{host}:{door.port}/v1", **({"SSL_CERT_FILE": str(trusted)} if trusted else {})}


def test_a_trusted_server_is_asked(simulator, certificates, tmp_path):
    trusted, certificate = certificates
    with Door(certificate, inside(simulator), ["http/1.1"]) as door:
        run = sync(tmp_path / "lake", simulator, *USERS, env=over(door, trusted=trusted))
        assert run.table("users")["rows_read"] == len(simulator.truth("users"))
        assert set(door.agreed) == {"http/1.1"}


def test_another_server_learns_nothing(simulator, certificates, tmp_path):
    trusted, certificate = certificates
    nobody = tmp_path / "nobody.pem"
    nobody.touch()
    simulator.forget()
    with Door(certificate, inside(simulator)) as door:
        for what, env, said in [
            ("an authority that nobody trusts", over(door), "UnknownIssuer"),
            ("a name that the certificate does not have", over(door, "127.0.0.1", trusted), "certificate"),
            ("a machine that trusts nobody", over(door, trusted=nobody), "No CA certificates were loaded"),
        ]:
            table = sync(tmp_path / "lake", simulator, *USERS, env=env, code=3).table("users")
            error = table["error"]
            assert "could not connect" in error["message"] and said in error["message"], what
            assert "SSL_CERT_FILE" in error["cure"], what
            assert table["retries"] == 0, f"{what}: it would be the same the next time"
        assert simulator.requests() == [] and door.agreed == []


def test_http_2_is_agreed_on_where_the_server_speaks_it(simulator, certificates, tmp_path):
    trusted, certificate = certificates
    with Door(certificate, None, ["h2", "http/1.1"]) as door:
        sync(tmp_path / "lake", simulator, *USERS, env=over(door, trusted=trusted), code=3)
        assert set(door.agreed) == {"h2"}


def inside(simulator) -> tuple[str, int]:
    at = urlsplit(simulator.base_url)
    return at.hostname, at.port
