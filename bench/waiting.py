"""Waiting: many small requests to an API with latency and a rate limit, beside the time that the limit allows.

    python bench/waiting.py [--projects 500] [--latency-ms 100] [--rate 50] [--sizes 1,8,32] [--limits told,untold]

The API is the simulated organization of the program itself (`demo --serve`). Its rate limit is a
bucket that holds one second's requests, so the least possible time is (requests - rate) / rate.
It is told by the headers of every answer, or untold: then only a refusal tells to retry after whole
seconds. 10,000 projects with 8 tables below each are `--projects 10000`: 73,000 requests, 25 minutes
for each kind.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import pathlib
import tempfile
import urllib.request

import measure
from measure import BINARY

CHILDREN = (
    "project_users", "project_service_accounts", "project_api_keys", "project_rate_limits",
    "project_groups", "project_roles", "project_certificates", "project_spend_alerts",
)


def stats(server: measure.Served) -> dict:
    with urllib.request.urlopen(f"{server.told['control_url']}/stats", timeout=60) as answer:
        return json.load(answer)


@contextlib.contextmanager
def serve(projects: int, **behavior):
    command = [BINARY, "demo", "--serve", "--projects", projects, "--users", 50, "--history-days", 1]
    with measure.serving(command) as server:
        request = urllib.request.Request(f"{server.told['control_url']}/behavior", json.dumps(behavior).encode())
        urllib.request.urlopen(request, timeout=60).close()
        yield server


def sync(server: measure.Served, concurrency: int | None) -> tuple[measure.Cost, dict]:
    environment = measure.clean_environment(
        OPENAI_BASE_URL=server.base_url, OPENAI_ADMIN_KEY=server.told["admin_key"],
    )
    with tempfile.TemporaryDirectory() as folder:
        command = [BINARY, "sync", "--dest", pathlib.Path(folder) / "lake", "--format", "json"]
        command += ["--tables", ",".join(CHILDREN)]
        command += ["--concurrency", concurrency] if concurrency else []
        return measure.run(command, pathlib.Path(folder), environment), stats(server)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--projects", type=int, default=500)
    parser.add_argument("--latency-ms", type=int, default=100)
    parser.add_argument("--rate", type=int, default=50)
    parser.add_argument("--limits", default="told,untold", help="kinds of limits to try, empty for none")
    parser.add_argument("--sizes", default="1,8,32,128,auto", help="values of --concurrency to try without a limit, empty for none")
    options = parser.parse_args()
    print(measure.machine())

    rows = []
    for kind in filter(None, options.limits.split(",")):
        limit = {"rate_limit": options.rate, "untold_rate_limit": kind == "untold"}
        with serve(options.projects, latency_ms=options.latency_ms, **limit) as server:
            cost, seen = sync(server, None)
        asked, refused = seen["requests"], seen["refused"]
        least = (asked - refused - options.rate) / options.rate
        rows.append([
            f"{options.projects:,} projects × {len(CHILDREN)} tables, {options.latency_ms} ms, {options.rate}/s {kind}",
            f"{asked:,}", f"{refused}", f"{refused / asked:.2%}", f"{cost.wall:.1f}", f"{least:.1f}",
            f"{cost.wall / least:.3f}", f"{cost.cpu:.2f}", f"{cost.peak_mb:.0f}",
        ])
    print(measure.table(
        ["with a limit", "requests", "refused", "share", "wall s", "least possible s", "wall ÷ least", "CPU s", "peak MB"],
        rows,
    ))

    rows = []
    for size in [None if size == "auto" else int(size) for size in filter(None, options.sizes.split(","))]:
        projects = options.projects if size is None or size > 4 else max(1, options.projects // 10)
        with serve(projects, latency_ms=options.latency_ms) as server:
            cost, seen = sync(server, size)
        asked = seen["requests"]
        rows.append([
            f"--concurrency {size}" if size else "as it comes", f"{asked:,}", f"{seen['max_concurrent']}",
            f"{cost.wall:.1f}", f"{asked / cost.wall:.0f}",
            f"{seen['max_concurrent'] / (options.latency_ms / 1000):.0f}", f"{cost.cpu:.2f}", f"{cost.peak_mb:.0f}",
        ])
    print()
    print(measure.table(
        ["without a limit", "requests", "most in flight", "wall s", "requests/s", "latency allows", "CPU s", "peak MB"], rows,
    ))


if __name__ == "__main__":
    main()
