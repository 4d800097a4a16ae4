"""Why `load` has no connection to PostgreSQL: said as it is, with the port."""

import socket
import struct
import threading

import pytest

from conftest import command, sync

# What a server asks for, after the first message: clear text, MD5, SCRAM.
ASKS = {
    "clear text": struct.pack("!cII", b"R", 8, 3),
    "md5": struct.pack("!cII4s", b"R", 12, 5, b"salt"),
    "scram": struct.pack("!cII", b"R", 23, 10) + b"SCRAM-SHA-256\0\0",
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory, simulators):
    folder = tmp_path_factory.mktemp("made") / "lake"
    sync(folder, simulators("--projects", 1, "--users", 2), "--tables", "users")
    return folder


class Asks:
    """A server that asks for a password and says no more."""

    def __init__(self, what: bytes):
        self.socket, self.what = socket.create_server(("127.0.0.1", 0)), what
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            connection.recv(4096)
            connection.sendall(self.what)
            threading.Thread(target=lambda c=connection: c.recv(4096), daemon=True).start()


@pytest.mark.parametrize("name", ASKS)
def test_a_password_that_is_not_given_is_what_is_missing(lake, name):
    server = Asks(ASKS[name])
    ended = command("load", "--dest", lake, "--to", f"postgres://ada@127.0.0.1:{server.port}/x", code=3)
    assert "wants a password, and none is given" in ended.err and "PGPASSWORD" in ended.err and ".pgpass" in ended.err, ended.err
    assert "cannot be reached" not in ended.err and "sslmode" not in ended.err and f"127.0.0.1:{server.port}" in ended.err
    server.socket.close()


def test_the_port_is_a_part_of_every_message(lake):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    for url, shown in ((f"postgres://ada@127.0.0.1:{port}/x", f"127.0.0.1:{port}/x"), (f"postgres://ada@[::1]:{port}/x", f"[::1]:{port}/x")):
        ended = command("load", "--dest", lake, "--to", url, code=3)
        assert shown in ended.err and "cannot be reached" in ended.err and "sslmode" not in ended.err, ended.err
    ended = command("load", "--dest", lake, "--to", "postgres://ada@127.0.0.1/x", env={"PGPORT": str(port)}, code=3)
    assert f"127.0.0.1:{port}/x" in ended.err
