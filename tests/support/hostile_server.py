"""A server below HTTP: it sends the bytes that a test says, stops where it says, and breaks the connection as it says.

    with Hostile() as server:
        server.acts["/organization/users"] = [sends(b"HTTP/1.1 200 OK\\r\\ncontent-length: 900\\r\\n\\r\\n{", resets)]
        sync(dest, server, "--tables", "users", code=3)

For each path a list of acts, played one after the other, the last one for ever; a path without acts is an empty list.
An act gets the connection and the request; after it the connection is closed. Every request is kept in `server.asked`.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
import time
from urllib.parse import parse_qsl, urlsplit

from scripted import ADMIN_KEY, Answer, Asked

LAUNCHER = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
open(sys.argv[1], "w").write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)
"""


class Connection:
    """One connection, at the moment when its request has been read."""

    def __init__(self, connection: socket.socket, server: Hostile, asked: Asked):
        self.socket, self.server, self.asked = connection, server, asked

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)


# ---- acts ------------------------------------------------------------------------------------------


def head(length: int | None, status: str = "200 OK", **headers: str) -> bytes:
    """A status line and headers; names are written with `_` for `-`."""
    lines = [f"HTTP/1.1 {status}", "content-type: application/json"]
    lines += [] if length is None else [f"content-length: {length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def whole(body: bytes | Answer, status: str = "200 OK", **headers: str):
    """A complete answer."""
    body = body.bytes() if isinstance(body, Answer) else body
    return sends(head(len(body), status, connection="close", **headers) + body)


def sends(data: bytes, end=None):
    """Exactly these bytes; then `end`, or an orderly close."""

    def act(connection: Connection) -> None:
        connection.send(data)
        if end:
            end(connection)

    return act


def resets(connection: Connection) -> None:
    """RST instead of FIN."""
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.socket.close()


def half_closes(connection: Connection) -> None:
    """No more is sent, and what the other side sends is still read, until it closes too."""
    connection.socket.shutdown(socket.SHUT_WR)
    while connection.socket.recv(1024):
        pass


def stalls(connection: Connection) -> None:
    """The connection stays open, and nothing comes, until the test ends or the other side has had enough."""
    connection.socket.settimeout(0.1)
    while not connection.server.over.is_set():
        try:
            if not connection.socket.recv(1024):
                return
        except TimeoutError:
            continue


def drips(connection: Connection) -> None:
    """A byte now and then, without end: never silent for long enough to be given up."""
    while not connection.server.over.wait(0.05):
        connection.send(b" ")


# ---- the server ------------------------------------------------------------------------------------


class Hostile:
    """The server; also a source for `sync` (it has `.env()`)."""

    def __init__(self):
        self.acts: dict[str, list] = {}
        self.asked: list[Asked] = []
        self.lock, self.over = threading.Lock(), threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]

    def env(self, **more: str) -> dict[str, str]:
        return {"OPENAI_ADMIN_KEY": ADMIN_KEY, "OPENAI_BASE_URL": f"http://127.0.0.1:{self.port}/v1", **more}

    def requests(self, path: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.path == path]

    def __enter__(self) -> Hostile:
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.over.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def serve(self) -> None:
        while not self.over.is_set():
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection: socket.socket) -> None:
        try:
            request = self.read(connection)
            if request is not None:
                self.next_act(request.path)(Connection(connection, self, request))
        except OSError:
            pass  # the other side closed first
        finally:
            connection.close()

    def read(self, connection: socket.socket) -> Asked | None:
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            data += more
            if not more or not data[:1].isalpha():
                return None  # gone, or no HTTP (such as TLS)
        first, *lines = data.split(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        url = urlsplit(first.split(" ")[1])
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        asked = Asked(url.path.removeprefix("/v1"), url.query, parse_qsl(url.query), headers, time.monotonic())
        with self.lock:
            self.asked.append(asked)
        return asked

    def next_act(self, path: str):
        with self.lock:
            acts = self.acts.get(path, [whole(json.dumps({"object": "list", "data": [], "has_more": False}).encode())])
            return acts.pop(0) if len(acts) > 1 else acts[0]


class Deaf:
    """An address that takes no further connection: its queue is full, and nobody accepts."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.port = self.listener.getsockname()[1]
        self.waiting: list[socket.socket] = []

    def __enter__(self) -> Deaf:
        while True:
            one = socket.socket()
            one.settimeout(0.3)
            self.waiting.append(one)
            try:
                one.connect(("127.0.0.1", self.port))
            except TimeoutError:
                return self

    def __exit__(self, *_) -> None:
        for one in (*self.waiting, self.listener):
            one.close()

    def env(self, **more: str) -> dict[str, str]:
        return {"OPENAI_ADMIN_KEY": ADMIN_KEY, "OPENAI_BASE_URL": f"http://127.0.0.1:{self.port}/v1", **more}


def measured(path) -> dict:
    """Keyword arguments for `sync`: it is started by a small process that writes the peak of its memory to `path`.

    (Started by a large one, such as this, it would inherit that one's peak.)
    """
    return {"through": [sys.executable, "-S", "-c", LAUNCHER, str(path)]}


def megabytes(path) -> int:
    return int(path.read_text()) // 1024
