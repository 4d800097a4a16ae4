"""An S3 server that behaves badly: a proxy before a real one, with rules that tests give.

    with Proxy(seaweed) as proxy:
        proxy.rules.append(lambda asked: SLOW_DOWN if asked.method == "PUT" else None)
        place = seaweed.place(endpoint=proxy.endpoint)

A rule sees each request and gives None (pass it on), or the answer. What is passed on is the client's request, with
the client's own signature. Where a rule takes a header away, the signature is made anew: the real server checks it.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import re
import threading
import urllib.request
from dataclasses import dataclass, field
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from servers import HOST, Seaweed


@dataclass
class Asked:
    """One request to the store."""

    method: str
    raw: str
    headers: dict[str, str]
    body: bytes = field(repr=False)

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.raw).path)

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.raw).query, keep_blank_values=True))


@dataclass
class Answer:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def refusal(status: int, code: str) -> Answer:
    """An error as S3 tells it."""
    return Answer(status, f"<Error><Code>{code}</Code><Message>As the test wants it.</Message></Error>".encode())


SLOW_DOWN = refusal(503, "SlowDown")
CLOSED = Answer(0)  # no answer: the connection is closed


class Proxy:
    def __init__(self, server: Seaweed):
        self.upstream = server
        self.rules: list = []
        self.asked: list[Asked] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                asked = Asked(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                proxy.asked.append(asked)
                answer = next((told for rule in list(proxy.rules) if (told := rule(asked))), None) or proxy.forward(asked)
                if answer is CLOSED:
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                # The length of a HEAD's answer is that of the object.
                for name, value in {"content-length": str(len(answer.body)), **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer((HOST, 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # a client that was killed closes its connections
        self.endpoint = f"http://{HOST}:{self.server.server_address[1]}"

    def __enter__(self) -> Proxy:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def forward(self, asked: Asked) -> Answer:
        """What the real server answers."""
        connection = http.client.HTTPConnection(HOST, self.upstream.port, timeout=120)
        try:
            connection.putrequest(asked.method, asked.raw, skip_host=True, skip_accept_encoding=True)
            for name, value in asked.headers.items():
                connection.putheader(name, value)
            connection.endheaders(asked.body or None)
            answer = connection.getresponse()
            skipped = ("transfer-encoding", "connection")
            headers = {name.lower(): value for name, value in answer.getheaders() if name.lower() not in skipped}
            return Answer(answer.status, answer.read(), headers)
        finally:
            connection.close()

    def without(self, asked: Asked, *names: str) -> Answer:
        """What the real server answers to the same request without these headers."""
        headers = {name: value for name, value in asked.headers.items() if name not in names}
        authorization = signature(self.upstream, asked.method, asked.raw, headers, headers.pop("authorization"))
        return self.forward(Asked(asked.method, asked.raw, {**headers, "authorization": authorization}, asked.body))


# ---- signatures ----------------------------------------------------------------------------------


def signature(server: Seaweed, method: str, raw: str, headers: dict[str, str], like: str = "") -> str:
    """The Authorization header of AWS Signature Version 4, over the headers that `like` signs (or over all)."""
    signed = re.search(r"SignedHeaders=([^,]+)", like)
    names = [name for name in sorted(signed[1].split(";") if signed else headers) if name in headers]
    url = urlsplit(raw)
    query = "&".join(sorted(part if "=" in part else part + "=" for part in url.query.split("&") if part))
    canonical = "\n".join([
        method, url.path, query, *(f"{name}:{headers[name].strip()}" for name in names), "", ";".join(names),
        headers["x-amz-content-sha256"],
    ])
    moment = headers["x-amz-date"]
    scope = f"{moment[:8]}/us-east-1/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{server.secret}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.digest(key, part.encode(), "sha256")
    return f"AWS4-HMAC-SHA256 Credential={server.key}/{scope}, SignedHeaders={';'.join(names)}, Signature={key.hex()}"


def get(server: Seaweed, path: str, query: str = "") -> bytes:
    """One GET of the store."""
    raw = quote(f"/{path}") + (f"?{query}" if query else "")
    headers = {
        "host": f"{HOST}:{server.port}", "x-amz-content-sha256": hashlib.sha256(b"").hexdigest(),
        "x-amz-date": datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ"),
    }
    headers["authorization"] = signature(server, "GET", raw, headers)
    with urllib.request.urlopen(urllib.request.Request(server.endpoint + raw, headers=headers), timeout=60) as answer:
        return answer.read()


def unfinished_uploads(server: Seaweed, prefix: str) -> list[str]:
    """The keys of multipart uploads that were begun and neither completed nor aborted."""
    listed = get(server, server.home, f"prefix={quote(prefix, safe='')}&uploads=").decode()
    return re.findall(r"<Upload>.*?<Key>(.*?)</Key>", listed, re.DOTALL)
