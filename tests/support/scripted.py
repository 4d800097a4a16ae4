"""A server that answers what a test tells it to: for the answers that no healthy API gives.

    with Scripted() as server:
        server.answers["/organization/users"] = [page(user("user-1"))]
        sync(dest, server, "--tables", "users", code=3)

Each path has a list of answers, given one after the other; the last one is given for ever. An answer
may be a function of the request. A path without answers is an empty list, or, with
`Scripted(simulator)`, what the simulated organization answers. Every request is kept in `server.asked`.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

ADMIN_KEY = "sk-admin-scripted-4f1c"


@dataclass
class Answer:
    """One HTTP answer; `cut` sends only so many bytes of the body and then closes."""

    body: bytes | str | dict
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None

    def bytes(self) -> bytes:
        if isinstance(self.body, dict):
            return json.dumps(self.body).encode()
        return self.body.encode() if isinstance(self.body, str) else self.body


@dataclass
class Asked:
    """One request as it came."""

    path: str
    raw: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    at: float

    def one(self, name: str) -> str | None:
        return dict(self.query).get(name)


def page(*items: dict, more: bool = False, last_id: str | None = None) -> Answer:
    """A page of a last_id list."""
    ends = [item.get("id") for item in items] or [None]
    return Answer({
        "object": "list", "data": list(items), "first_id": ends[0], "last_id": last_id or ends[-1], "has_more": more,
    })


def user(id: str, **more) -> dict:
    """A record of /organization/users."""
    return {
        "object": "organization.user", "id": id, "name": f"The {id}", "email": f"{id}@example.com", "role": "reader",
        "added_at": 1_700_000_000, **more,
    }


def lower(headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


EMPTY = page()


class Hold:
    """An answer that does not come: the test goes on while the other side waits."""

    def __init__(self):
        self.arrived, self.released = threading.Event(), threading.Event()

    def __call__(self, asked: Asked) -> Answer:
        self.arrived.set()
        self.released.wait()
        return Answer({"error": {"message": "held for too long"}}, status=500)


class Scripted:
    """The server; also a source for `sync` (it has `.env()`)."""

    def __init__(self, upstream=None):
        self.upstream = upstream
        self.answers: dict[str, list] = {}
        self.asked: list[Asked] = []
        self.lock = threading.Lock()
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                url = urlsplit(self.path)
                path = url.path.removeprefix("/v1")
                with script.lock:
                    asked = Asked(path, url.query, parse_qsl(url.query), lower(self.headers), time.monotonic())
                    script.asked.append(asked)
                    script_of_path = script.answers.get(path, [script.forward if upstream else EMPTY])
                    answer = script_of_path.pop(0) if len(script_of_path) > 1 else script_of_path[0]
                answer = answer(asked) if callable(answer) else answer
                body = answer.bytes()
                self.send_response(answer.status)
                headers = {"content-type": "application/json", "content-length": str(len(body)), **answer.headers}
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body[: answer.cut])
                self.close_connection = self.close_connection or answer.cut is not None

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # a client that was killed closes its connections

    def forward(self, asked: Asked) -> Answer:
        """What the simulated organization answers to this request."""
        url = f"{self.upstream.base_url}{asked.path}?{asked.raw}"
        request = urllib.request.Request(url, headers={"authorization": asked.headers.get("authorization", "")})
        try:
            with urllib.request.urlopen(request) as answer:
                return Answer(answer.read(), status=answer.status)
        except urllib.error.HTTPError as refused:
            return Answer(refused.read(), status=refused.code)

    def __enter__(self) -> Scripted:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def env(self, **more: str) -> dict[str, str]:
        base_url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        keys = self.upstream.env() if self.upstream else {"OPENAI_ADMIN_KEY": ADMIN_KEY}
        return {**keys, "OPENAI_BASE_URL": base_url, **more}

    def requests(self, path: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.path == path]
