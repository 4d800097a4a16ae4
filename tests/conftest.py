"""What every suite shares: the binary under test, a simulated organization, one way to run `sync`.

The product is only ever seen from outside: its command line, its exit codes, its files.
Nothing here knows how it is built inside.
"""

from __future__ import annotations

import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import urllib.request
from dataclasses import dataclass, field

import pytest

import reliability
from servers import azurite, seaweed  # noqa: F401, fixtures: real object stores

ROOT = pathlib.Path(__file__).resolve().parent.parent
PATIENCE = 300  # seconds after which a hanging command is a failure; nothing else here is timed


def find_binary() -> pathlib.Path:
    """`OPENAI_ELT_BIN`, else the newest of the two builds of this checkout."""
    named = os.environ.get("OPENAI_ELT_BIN")
    found = [pathlib.Path(named)] if named else [
        path for path in (ROOT / f"target/{profile}/openai-elt" for profile in ("debug", "release")) if path.exists()
    ]
    if not found or not found[0].exists():
        pytest.exit("openai-elt is not built: run `make build`, or set OPENAI_ELT_BIN", returncode=2)
    return max(found, key=lambda path: path.stat().st_mtime)


BINARY = find_binary()


@dataclass
class Run:
    """One finished command."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict:
        """The run report of `--format json`: the whole of stdout, and one JSON document."""
        return json.loads(self.out)

    def table(self, name: str) -> dict:
        return self.report["tables"][name]


def clean_environment(**more: str) -> dict[str, str]:
    """No credential, proxy or terminal setting of the machine reaches the command."""
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "NO_COLOR": "1", "TZ": "Pacific/Auckland", **more}


def command(*arguments, env: dict[str, str] | None = None, code: int | set[int] | None = None, cwd=None, through=(), **how) -> Run:
    """Runs the binary to its end, `through` another command. No input whatsoever may make it panic or print a key."""
    environment = clean_environment(**(env or {}))
    done = subprocess.run(
        [*through, str(BINARY), *map(str, arguments)], env=environment, cwd=cwd, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE, **how,
    )
    run = Run(done.returncode, done.stdout.decode(), done.stderr.decode())
    shown = f"$ openai-elt {' '.join(map(str, arguments))}\nexit {run.code}\n{run.err[-6000:]}\n{run.out[-3000:]}"
    assert "panicked" not in run.err, shown
    for secret in secrets_of(environment):
        assert secret not in run.out and secret not in run.err, f"a secret is printed\n{shown}"
    if code is not None:
        allowed = code if isinstance(code, set) else {code}
        assert run.code in allowed, f"expected exit {allowed}\n{shown}"
    return run


def secrets_of(environment: dict[str, str]) -> list[str]:
    """The values of the key variables of an environment."""
    values = [value for name, value in environment.items() if name.endswith("_KEY")]
    values += [pair.partition("=")[2] or pair for pair in environment.get("OPENAI_PROJECT_KEYS", "").split(",")]
    return [value for value in values if value.startswith("sk-")]


def fetch(url: str, method: str = "GET", body=None) -> bytes:
    """A request to the simulator's control plane."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return answer.read()


@dataclass
class Simulator:
    """A running simulated organization and its control plane."""

    base_url: str
    control_url: str
    admin_key: str
    project_keys: dict[str, str]
    process: subprocess.Popen = field(repr=False)

    def env(self, **more: str) -> dict[str, str]:
        keys = ",".join(f"{project}={key}" for project, key in self.project_keys.items())
        return {
            "OPENAI_BASE_URL": self.base_url,
            "OPENAI_ADMIN_KEY": self.admin_key,
            "OPENAI_PROJECT_KEYS": keys,
            **more,
        }

    def truth_tables(self) -> list[str]:
        return json.loads(fetch(f"{self.control_url}/truth"))["tables"]

    def truth(self, table: str) -> list[bytes]:
        """The lines of what a complete extraction of this table must hold now (see truth.py)."""
        return [line for line in fetch(f"{self.control_url}/truth/{table}").splitlines() if line.strip()]

    def mutate(self) -> list[str]:
        """Lets a day happen; gives plain sentences of what changed."""
        return json.loads(fetch(f"{self.control_url}/mutate", "POST"))

    def requests(self, path: str = "") -> list[dict]:
        """What was asked since the last `forget`, as {method, path, query, status}; `path` filters by its end."""
        return [asked for asked in json.loads(fetch(f"{self.control_url}/requests")) if asked["path"].endswith(path)]

    def forget(self) -> None:
        fetch(f"{self.control_url}/requests", "DELETE")

    def fault(self, path: str, **what) -> None:
        """From now on `path` (below /v1) is answered as said, `times` times or for ever."""
        fetch(f"{self.control_url}/faults", "POST", [{"path": f"/v1{path}", "times": None, **what}])

    def heal(self) -> None:
        fetch(f"{self.control_url}/faults", "DELETE")

    def behave(self, **how) -> None:
        """How the API behaves from now on: null_last_id, legacy_group_by, latency_ms, ..."""
        fetch(f"{self.control_url}/behavior", "POST", how)

    def stats(self) -> dict:
        return json.loads(fetch(f"{self.control_url}/stats"))

    def stop(self) -> None:
        self.process.stdin.close()
        self.process.stdout.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start_simulator(*flags) -> Simulator:
    process = subprocess.Popen(
        [str(BINARY), "demo", "--serve", "--port", "0", *map(str, flags)], env=clean_environment(),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )
    line = process.stdout.readline()
    assert line, f"`demo --serve` ended with {process.wait()} before it said where it serves"
    ready = json.loads(line)
    return Simulator(*(ready[name] for name in ("base_url", "control_url", "admin_key", "project_keys")), process)


@pytest.fixture(scope="module")
def simulators():
    """Starts simulated organizations for this module: `simulators("--projects", 3)`."""
    running = []

    def start(*flags) -> Simulator:
        running.append(start_simulator(*flags))
        return running[-1]

    yield start
    for simulator in running:
        simulator.stop()


@pytest.fixture
def simulator():
    """A small organization that only this test sees: 6 projects, 12 users, 10 days."""
    running = start_simulator("--projects", 6, "--users", 12, "--history-days", 10)
    yield running
    running.stop()


def settings(dest, retries: int = 3, more: str = "") -> pathlib.Path:
    """A configuration file beside the lake: few attempts, and next to no waiting between them."""
    path = pathlib.Path(f"{dest}.toml")
    path.write_text(f'[http]\nbackoff = "5ms"\nretries = {retries}\n{more}')
    return path


def sync(dest, source, *flags, code: int | set[int] | None = 0, config: str = "", retries: int = 3, env=None, **how) -> Run:
    """`openai-elt sync --format json` of `source` (anything with `.env()`) into `dest`."""
    return command(
        "sync", "--dest", dest, "--config", settings(dest, retries, config), "--format", "json", *flags,
        env={**source.env(), **(env or {})}, code=code, **how,
    )


def start_sync(dest, source, *flags, env=None) -> subprocess.Popen:
    """A sync that goes on while the test does something else."""
    return subprocess.Popen(
        [str(BINARY), "sync", "--dest", str(dest), "--config", str(settings(dest)), *map(str, flags)],
        env=clean_environment(**source.env(), **(env or {})), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )


def small_disk(limit: int) -> dict:
    """Keyword arguments for `command`: a disk on which no file can grow past `limit` bytes."""

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return {"preexec_fn": limited, "restore_signals": False}


def pytest_sessionfinish(session, exitstatus):
    reliability.note_session(session, int(exitstatus))


_CATALOG: list[dict] = []


def catalog() -> list[dict]:
    """`openai-elt tables --format json`, asked once."""
    if not _CATALOG:
        _CATALOG.extend(json.loads(command("tables", "--format", "json", code=0).out))
    return _CATALOG


def spec(name: str) -> dict:
    """One table of the catalog."""
    return next(table for table in catalog() if table["name"] == name)


def admin_tables() -> list[str]:
    """What these suites are about; the other surfaces have suites of their own."""
    return [table["name"] for table in catalog() if table["surface"] == "admin"]


ADMIN = ("--tables", ",".join(admin_tables()))  # parents on the project surface are read along with them


def failures(report: dict) -> dict:
    """The tables of a report that failed. A table that is retired upstream is reported, and is no failure."""
    return {
        name: entry["error"] for name, entry in report["tables"].items()
        if entry["error"] and entry["status"] != "retired upstream"
    }


def contents(folder) -> dict[str, bytes]:
    """Every file below a folder, byte by byte: equal before and after means nothing was touched."""
    folder = pathlib.Path(folder)
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def objects(dest, table: str) -> list[pathlib.Path]:
    """The Parquet objects of a table."""
    return sorted((pathlib.Path(dest) / table).rglob("*.parquet"))


def state(dest) -> dict:
    return json.loads((pathlib.Path(dest) / "_state/state.json").read_text())


def settled(dest, table: str) -> str:
    return state(dest)["tables"][table]["cursor"]


def keep_copy(dest, name: str) -> pathlib.Path:
    """A copy of a lake as it is now."""
    copy = pathlib.Path(dest).parent / name
    shutil.copytree(dest, copy)
    return copy
