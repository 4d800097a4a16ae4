"""A small object store, and the services beside it that give credentials, all on one port of this machine.

It takes any signature and keeps how each request was signed: so a test sees as whom the program writes, which a real
server would not tell. What is stored is stored for real, with the conditions of S3 and of Google's XML interface.
"""

from __future__ import annotations

import hashlib
import json
import threading
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

KEY, PASSWORD, TOKEN = "ASIAOFTHESHELF0042", "a-secret-of-the-shelf/+1", "a-session-token-of-the-shelf"


def later() -> str:
    return (datetime.now(timezone.utc) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


def credentials_xml(action: str) -> str:
    given = f"<AccessKeyId>{KEY}</AccessKeyId><SecretAccessKey>{PASSWORD}</SecretAccessKey><SessionToken>{TOKEN}</SessionToken><Expiration>{later()}</Expiration>"
    role = "<AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/writer/x</Arn><AssumedRoleId>A:x</AssumedRoleId></AssumedRoleUser>"
    return answer_xml(action, f"<Credentials>{given}</Credentials>{role}")


def answer_xml(action: str, result: str) -> str:
    return f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result>{result}</{action}Result></{action}Response>'


class Shelf:
    """The server. `asked` has (method, path, headers, body) of every request that was not for an object; `signed` those of objects."""

    def __init__(self):
        self.objects: dict[str, bytes] = {}
        self.asked: list[tuple[str, str, dict, bytes]] = []
        self.signed: list[dict[str, str]] = []
        self.lock = threading.Lock()
        shelf = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                url = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with shelf.lock:
                    status, kind, content, more = shelf.answer(self.command, unquote(url.path), parse_qs(url.query, keep_blank_values=True), headers, body)
                self.send_response(status)
                for name, value in {"content-type": kind, "content-length": str(len(content)), **more}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, method, path, query, headers, body):
        if path.startswith("/bucket"):
            self.signed.append(headers)
            return self.stored(method, path.removeprefix("/bucket").lstrip("/"), query, headers, body)
        self.asked.append((method, path, headers, body))
        kind, text = self.service(method, path, headers, body)
        more = {"x-aws-ec2-metadata-token-ttl-seconds": "21600"} if path == "/latest/api/token" else {}
        return (404, "text/plain", b"", {}) if text is None else (200, kind, text.encode(), more)

    # ---- objects -----------------------------------------------------------------------------------

    def stored(self, method, name, query, headers, body):
        xml, none = "application/xml", b""
        if method == "POST" and "delete" in query:
            gone = [key.split("</Key>")[0] for key in body.decode().split("<Key>")[1:]]
            for key in gone:
                self.objects.pop(key, None)
            deleted = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in gone)
            return 200, xml, f"<DeleteResult>{deleted}</DeleteResult>".encode(), {}
        if method == "GET" and not name:
            return 200, xml, self.listing(query).encode(), {}
        there = self.objects.get(name)
        if method == "PUT":
            create = headers.get("if-none-match") == "*" or headers.get("x-goog-if-generation-match") == "0"
            other = headers.get("if-match") not in (None, there and tag(there))
            if (create and there is not None) or other:
                return 412, xml, b"<Error><Code>PreconditionFailed</Code><Message>no</Message></Error>", {}
            self.objects[name] = body
            return 200, xml, none, marks(body)
        if there is None:
            return 404, xml, b"<Error><Code>NoSuchKey</Code><Message>no</Message></Error>", {}
        if method == "DELETE":
            del self.objects[name]
            return 204, xml, none, {}
        more = {**marks(there), "last-modified": "Sun, 01 Nov 2026 00:00:00 GMT"}
        if span := headers.get("range"):
            first, _, last = span.removeprefix("bytes=").partition("-")
            start = int(first) if first else len(there) - int(last)
            end = min(int(last) + 1, len(there)) if first and last else len(there)
            return 206, "application/octet-stream", there[start:end], {**more, "content-range": f"bytes {start}-{end - 1}/{len(there)}"}
        return 200, "application/octet-stream", there, more

    def listing(self, query) -> str:
        prefix = query.get("prefix", [""])[0]
        entry = "<Contents><Key>{}</Key><LastModified>2026-11-01T00:00:00.000Z</LastModified><ETag>{}</ETag><Size>{}</Size></Contents>"
        entries = [entry.format(escape(name), escape(tag(body)), len(body)) for name, body in sorted(self.objects.items()) if name.startswith(prefix)]
        return f"<ListBucketResult><Name>bucket</Name><Prefix>{escape(prefix)}</Prefix><IsTruncated>false</IsTruncated>{''.join(entries)}</ListBucketResult>"

    # ---- who gives credentials -----------------------------------------------------------------------

    def service(self, method, path, headers, body):
        form = {name: values[0] for name, values in parse_qs(body.decode(errors="replace")).items()}
        action = form.get("Action")
        given = {"AccessKeyId": KEY, "SecretAccessKey": PASSWORD, "Token": TOKEN, "Expiration": later()}
        if action == "GetCallerIdentity":
            result = "<Arn>arn:aws:sts::123456789012:assumed-role/writer/x</Arn><UserId>A</UserId><Account>123456789012</Account>"
            return "text/xml", answer_xml(action, result)
        if action in ("AssumeRole", "AssumeRoleWithWebIdentity"):
            return "text/xml", credentials_xml(action)
        if path == "/container":
            return "application/json", json.dumps({**given, "RoleArn": "arn:aws:iam::1:role/task"})
        if path == "/latest/api/token":
            return "text/plain", "a-token-of-the-machine"
        if path == "/latest/meta-data/iam/security-credentials/":
            return "text/plain", "role-of-the-machine"
        if path.startswith("/latest/meta-data/iam/security-credentials/"):
            return "application/json", json.dumps({"Code": "Success", "Type": "AWS-HMAC", "LastUpdated": later(), **given})
        if path == "/google/token":
            return "application/json", json.dumps({
                "access_token": "a-federated-token", "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
                "token_type": "Bearer", "expires_in": 3600,
            })
        if path.startswith("/google/impersonate/"):
            return "application/json", json.dumps({"accessToken": "an-impersonated-token", "expireTime": later()})
        return "text/plain", None


def tag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


def marks(body: bytes) -> dict[str, str]:
    return {"etag": tag(body), "x-goog-generation": str(int(hashlib.md5(body).hexdigest()[:8], 16))}
