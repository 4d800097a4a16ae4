"""Real object stores on this machine: SeaweedFS speaks S3, azurite speaks Azure Blob.

Each test worker that asks for one gets one of its own: on free ports of 127.0.0.1, with signatures checked, with data
in a folder that is removed. Whatever becomes of the tests, the server is ended with the session; a server that cannot
be started fails the tests. One skip is allowed, and it says so: azurite where Node is not installed.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass, field

import pytest
from pyarrow import fs

HOST = "127.0.0.1"
PATIENCE = 120  # seconds after which a server that does not answer is a failure
AZURITE = pathlib.Path(__file__).resolve().parents[2] / ".venv/azurite/node_modules/.bin/azurite-blob"


@dataclass
class Place:
    """A destination that nobody used before: its URL, the variables that open it, and another way to look into it."""

    url: str
    variables: dict[str, str]
    files: fs.FileSystem = field(repr=False)
    path: str
    beside: pathlib.Path  # on the disk of the tests, for what belongs to it

    def env(self, **more: str) -> dict[str, str]:
        return {**self.variables, **more}

    def names(self, below: str = "") -> list[str]:
        """The objects of the place, or of one of its folders, by their paths below the place."""
        folder = f"{self.path}/{below}".rstrip("/")
        found = self.files.get_file_info(fs.FileSelector(folder, recursive=True, allow_not_found=True))
        return sorted(each.path[len(self.path) + 1:] for each in found if each.type == fs.FileType.File)

    def read(self, name: str) -> bytes:
        """One object, whole. The client asks for its size first: an object replaced in between is read again."""
        path = f"{self.path}/{name}"
        while True:
            with self.files.open_input_file(path) as stream:
                content = stream.read()
            if len(content) == self.files.get_file_info(path).size:
                return content

    def write(self, name: str, content: bytes) -> None:
        with self.files.open_output_stream(f"{self.path}/{name}") as stream:
            stream.write(content)

    def remove(self, name: str) -> None:
        self.files.delete_file(f"{self.path}/{name}")

    def has(self, name: str) -> bool:
        return self.files.get_file_info(f"{self.path}/{name}").type == fs.FileType.File

    def copy_to(self, folder) -> pathlib.Path:
        """The place as it is now, as a folder: object by object, each of them whole."""
        for name in self.names():
            target = pathlib.Path(folder) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self.read(name))
        return pathlib.Path(folder)


@dataclass
class Seaweed:
    """A running S3 server."""

    port: int
    folder: pathlib.Path
    home = "lake"  # the bucket
    key, secret = "testkey", "a-secret/of+the-tests"

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self.port}"

    def files(self) -> fs.FileSystem:
        return fs.S3FileSystem(
            access_key=self.key, secret_key=self.secret, endpoint_override=self.endpoint, scheme="http",
            region="us-east-1", allow_bucket_creation=True,
        )

    def place(self, prefix: str = "", endpoint: str = "") -> Place:
        """`endpoint` is that of a proxy, if the program shall go through one; the test itself never does."""
        prefix = prefix or uuid.uuid4().hex
        variables = {
            "AWS_ENDPOINT_URL": endpoint or self.endpoint, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret,
        }
        return Place(f"s3://{self.home}/{prefix}", variables, self.files(), f"{self.home}/{prefix}", self.folder / uuid.uuid4().hex)


@dataclass
class Azurite:
    """A running Azure Blob server."""

    port: int
    folder: pathlib.Path
    home = "lake"  # the container
    account = "testaccount"
    key = base64.b64encode(b"a key of the tests, of 64 bytes".ljust(64, b".")).decode()

    def files(self) -> fs.FileSystem:
        authority = f"{HOST}:{self.port}"
        return fs.AzureFileSystem(
            account_name=self.account, account_key=self.key, blob_storage_authority=authority, dfs_storage_authority=authority,
            blob_storage_scheme="http", dfs_storage_scheme="http",
        )

    def place(self, prefix: str = "") -> Place:
        prefix = prefix or uuid.uuid4().hex
        variables = {
            "AZURE_STORAGE_ENDPOINT": f"http://{HOST}:{self.port}/{self.account}", "AZURE_ALLOW_HTTP": "true",
            "AZURE_STORAGE_ACCOUNT_NAME": self.account, "AZURE_STORAGE_ACCOUNT_KEY": self.key,
        }
        return Place(f"az://{self.home}/{prefix}", variables, self.files(), f"{self.home}/{prefix}", self.folder / uuid.uuid4().hex)


@pytest.fixture(scope="session")
def seaweed():
    with served(start_seaweed) as server:
        yield server


@pytest.fixture(scope="session")
def azurite():
    if not AZURITE.exists():
        if shutil.which("npm"):
            pytest.fail("azurite is not installed: run `make azurite`")
        pytest.skip("Azure is not tested: Node with npm is not installed")
    with served(start_azurite) as server:
        yield server


# ---- starting and ending -----------------------------------------------------------------------


@contextlib.contextmanager
def served(start):
    """Starts a server, lends it and ends it; a port that was taken meanwhile is another try."""
    for attempt in range(1, 4):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="openai-elt-server-"))
        server, arguments, env = start(folder)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                arguments, cwd=folder, env={"PATH": os.environ["PATH"], "HOME": str(folder), **env},
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, preexec_fn=die_with_tests,
            )
        try:
            if answers(server, process):
                yield server
                return
            said = (folder / "log").read_text(errors="replace")[-3000:]
        finally:
            end(process)
            shutil.rmtree(folder, ignore_errors=True)
    pytest.fail(f"after {attempt} attempts it does not answer: {arguments[0]}\n{said}")


def answers(server, process: subprocess.Popen) -> bool:
    """Waits until a home for the lakes could be made and is there."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        try:
            with socket.create_connection((HOST, server.port), 1):
                pass
            server.files().create_dir(server.home)
            if server.files().get_file_info(server.home).type == fs.FileType.Directory:
                return True
        except OSError:
            pass
        time.sleep(0.1)
    return False


def die_with_tests() -> None:
    """Nothing outlives tests that are killed themselves (on Linux, which alone can say so)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1: PR_SET_PDEATHSIG


def end(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def start_seaweed(folder: pathlib.Path):
    """SeaweedFS binds everywhere and reports to its makers unless it is told not to."""
    master, volume, filer, s3, admin = free_ports(5)
    identity = {
        "name": "tests", "credentials": [{"accessKey": Seaweed.key, "secretKey": Seaweed.secret}],
        "actions": ["Admin", "Read", "List", "Tagging", "Write"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir()
    return Seaweed(s3, folder), [
        str(pathlib.Path(sys.executable).with_name("weed")), "mini", f"-dir={folder}/data",
        f"-ip={HOST}", f"-ip.bind={HOST}", "-master.telemetry=false", f"-s3.config={folder}/s3.json",
        f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port={s3}",
        f"-admin.port={admin}", "-admin.ui=false", "-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
        f"-filer.localSocket={folder}/filer", f"-s3.localSocket={folder}/s3", "-s3.autoCreateBucket=false",
    ], {}


def start_azurite(folder: pathlib.Path):
    (port,) = free_ports(1)
    return Azurite(port, folder), [
        str(AZURITE), "--blobHost", HOST, "--blobPort", str(port), "--location", str(folder), "--silent",
        "--skipApiVersionCheck", "--disableTelemetry",
    ], {"AZURITE_ACCOUNTS": f"{Azurite.account}:{Azurite.key}"}


def free_ports(count: int) -> list[int]:
    """Free ports of which the one 10,000 above is free as well (there SeaweedFS speaks gRPC).

    Both are below the range from which the system gives ports to everybody who asks for any.
    """
    found: list[int] = []
    for port in random.sample(range(12_000, 22_000), 10_000):
        try:
            for each in (port, port + 10_000):
                with socket.socket() as probe:
                    probe.bind((HOST, each))
        except OSError:
            continue
        found.append(port)
        if len(found) == count:
            return found
    pytest.fail("no free port is left")
