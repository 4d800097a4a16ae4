"""Running one command and saying what it cost: CPU, wall time, peak memory of the process alone.

Also what all scripts of this folder share: the sets, their server, the program.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
BINARY = pathlib.Path(os.environ.get("OPENAI_ELT_BIN", TARGET / "openai-elt"))
SERVER, LIMIT = TARGET / "bench-server", TARGET / "bench-limit"

SETS = ("users", "usage", "audit")
TABLES = {"users": "users", "usage": "usage_completions", "audit": "audit_logs"}
DAY = 86_400
BEGIN = 1_701_388_800  # midnight of 2023-12-01 UTC, as in pages.rs
SINCE = {"usage": BEGIN, "audit": BEGIN}
UNTIL = {"usage": BEGIN + 744 * DAY, "audit": BEGIN + 365 * DAY}


@dataclass
class Cost:
    """What one command took of the machine."""

    code: int
    user: float
    system: float
    wall: float
    peak_mb: float
    out: str

    @property
    def cpu(self) -> float:
        return self.user + self.system


def clean_environment(**more: str) -> dict[str, str]:
    """Nothing of the machine's own settings reaches what is measured."""
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "NO_COLOR": "1", **more}


def run(command: list, folder: pathlib.Path, env: dict[str, str] | None = None) -> Cost:
    """Runs a command to its end. What it prints goes to files in `folder`; a failure ends the benchmark.

    A process of its own starts it and does nothing else: until a program is loaded, the memory of the
    process that starts it counts as its own, and this one may have read whole tables.
    """
    folder.mkdir(parents=True, exist_ok=True)
    out, err = folder / "stdout", folder / "stderr"
    starter = [sys.executable, "-E", "-S", __file__, out, err, *command]
    told = subprocess.run(
        [str(part) for part in starter], env=env or clean_environment(), cwd=folder,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True,
    )
    code, user, system, wall, peak_kb = json.loads(told.stdout)
    if code != 0:
        shown = " ".join(map(str, command))
        sys.exit(f"{shown}\nended with {code}:\n{err.read_text()[-4000:]}")
    return Cost(code, user, system, wall, peak_kb / 1024, out.read_text())


def start(out: str, err: str, *command: str) -> None:
    """Starts the command, waits for it, and prints what it cost."""
    with open(out, "w") as stdout, open(err, "w") as stderr:
        started = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    print(json.dumps([process.returncode, usage.ru_utime, usage.ru_stime, wall, usage.ru_maxrss]))


@dataclass
class Served:
    """A running server: where it is, and what it has."""

    base_url: str
    told: dict
    pid: int

    def cpu(self) -> float:
        """The seconds it has worked so far, so that a server in the way would be seen."""
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def awake() -> Iterator[None]:
    """No core sleeps meanwhile: each has a loop that runs only when nobody else wants to.

    A sleeping core of a virtual machine is waked by the hypervisor, and begins with cold caches; both count as
    time of whoever is measured, and come to a fifth of a sync, more or less from one minute to the next.
    """
    loop = "import os\nos.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\nwhile True: pass"
    loops = [subprocess.Popen([sys.executable, "-E", "-S", "-c", loop]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in loops:
            process.kill()
            process.wait()


@contextlib.contextmanager
def serving(command: list) -> Iterator[Served]:
    """A server that prints one line of JSON when it is ready, and ends when its input closes."""
    process = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        line = process.stdout.readline()
        if not line:
            sys.exit(f"{command[0]} did not start")
        told = json.loads(line)
        yield Served(told["base_url"], told, process.pid)
    finally:
        process.stdin.close()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def pages(*names: str, scale: float = 1):
    """The server of the sets."""
    return serving([SERVER, "--scale", scale, *names])


def sync_command(name: str, lake: pathlib.Path) -> list:
    """`openai-elt sync` of one of the sets."""
    command = [BINARY, "sync", "--dest", lake, "--tables", TABLES[name], "--format", "json"]
    if name in SINCE:
        moment = lambda second: time.strftime("%Y-%m-%d", time.gmtime(second))  # noqa: E731
        command += ["--since", moment(SINCE[name]), "--until", moment(UNTIL[name])]
    return command


def key(base_url: str) -> dict[str, str]:
    """The environment of `openai-elt`."""
    return clean_environment(OPENAI_ADMIN_KEY="sk-admin-of-the-benchmark", OPENAI_BASE_URL=base_url)


def machine() -> str:
    """What the figures were measured on, and how busy it was with other things."""
    model = next(
        (line.partition(":")[2].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown",
    )
    memory = int(pathlib.Path("/proc/meminfo").read_text().split()[1]) / 2**20
    load = os.getloadavg()[2]
    return f"{os.cpu_count()} × {model}, {memory:.0f} GiB, Linux {os.uname().release}; load {load:.1f} over 15 min\n"


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table with its columns aligned."""
    width = [max(len(row[at]) for row in [heads, *rows]) for at in range(len(heads))]
    line = lambda cells: "| " + " | ".join(cell.rjust(width[at]) if at else cell.ljust(width[at]) for at, cell in enumerate(cells)) + " |"  # noqa: E731
    rule = "|" + "|".join("-" * (w + 1) + ("-" if not at else ":") for at, w in enumerate(width)) + "|"
    return "\n".join([line(heads), rule, *map(line, rows)])


if __name__ == "__main__":
    start(*sys.argv[1:])
