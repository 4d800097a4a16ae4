"""TLS at a port of this machine, for servers that speak without it, and an authority that vouches for it."""

import pathlib
import socket
import socketserver
import ssl
import subprocess
import threading


def authority(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """A certificate authority of this test, and a certificate for `localhost` with its key."""
    run = lambda *words: subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)  # noqa: E731
    run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "30", "-subj", "/CN=ca",
        "-addext", "basicConstraints=critical,CA:TRUE")
    run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (folder / "ext").write_text("subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n")
    run("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30",
        "-extfile", "ext", "-out", "server.pem")
    (folder / "both.pem").write_bytes((folder / "server.pem").read_bytes() + (folder / "server.key").read_bytes())
    return folder / "ca.pem", folder / "both.pem"


class Door(socketserver.ThreadingTCPServer):
    """Passes what comes through TLS to the server at `inside`: a path, or a host and a port; without one it hangs up."""

    daemon_threads = True

    def __init__(self, certificate: pathlib.Path, inside, protocols=(), greets=None):
        """`protocols` are the server's, the one that it likes best first; who does not get past `greets` is sent away."""
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate)
        if protocols:
            self.context.set_alpn_protocols(list(protocols))
        self.inside, self.greets = inside, greets
        self.turned_away = 0  # connections that did not want TLS
        self.agreed = []  # the protocol of each connection
        super().__init__(("127.0.0.1", 0), Passage)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *_):
        self.shutdown()
        super().__exit__()


class Passage(socketserver.BaseRequestHandler):
    def handle(self):
        if self.server.greets and not self.server.greets(self.request):
            self.server.turned_away += 1
            return
        try:
            outside = self.server.context.wrap_socket(self.request, server_side=True)
        except (ssl.SSLError, OSError):
            return
        self.server.agreed.append(outside.selected_alpn_protocol())
        if self.server.inside is None:
            outside.close()
            return
        with outside, socket.socket(socket.AF_UNIX if isinstance(self.server.inside, str) else socket.AF_INET) as inside:
            inside.connect(self.server.inside)
            back = threading.Thread(target=pour, args=(inside, outside), daemon=True)
            back.start()
            pour(outside, inside)
            inside.shutdown(socket.SHUT_RDWR)
            back.join()


def pour(source, sink) -> None:
    try:
        while chunk := source.recv(65536):
            sink.sendall(chunk)
    except OSError:
        pass
