"""Readers in a loop against syncs that rewrite the very slices that they read.

    PYTHONPATH=tests:tests/support .venv/bin/python bench/race.py [--seconds 60] [--reads 10000] [--readers duckdb,polars] [--stores disk,s3]

One table (`costs`) of few days; each sync writes every day anew, with other values. A reader reads the whole table
again and again, at most so many seconds and so many times, while syncs go on without a pause or with `--pause`.
Prints, for each reader and store: reads, syncs per second, errors and wrong rows per 10,000 reads, and the most frequent
messages. Readers run one after the other, in `.venv-engines`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime, timedelta, timezone

from scripted import Answer, Asked, Scripted
from servers import served, start_seaweed

ROOT = pathlib.Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv-engines/bin/python"
READERS = ("duckdb", "polars", "pyarrow", "datafusion", "chdb")
DAYS, DAY = 4, 86_400
TABLE = "costs"


class Source:
    """An organization whose costs are other ones each time they are asked for."""

    def __init__(self, rows: int):
        self.rows, self.version = rows, 0

    def answer(self, asked: Asked) -> Answer:
        self.version += 1
        begin, end = int(asked.one("start_time")), int(asked.one("end_time"))
        buckets = [self.bucket(day) for day in range(begin - begin % DAY, end, DAY)]
        return Answer({"object": "page", "data": buckets, "has_more": False, "next_page": None})

    def bucket(self, day: int) -> dict:
        # Texts of other lengths each time: what two versions share by chance would hide a mixture of them.
        text = "x" * (self.version * 7 % 61)
        return {"object": "bucket", "start_time": day, "end_time": day + DAY, "results": [
            {
                "object": "organization.costs.result", "amount": {"value": self.version, "currency": "usd"},
                "line_item": f"{self.version:08} {row} {text}", "project_id": f"proj_{row}",
            } for row in range(self.rows)
        ]}


class Syncs(threading.Thread):
    """Syncs, one after the other, until told to stop. One that fails ends them, and the bench."""

    def __init__(self, command: list[str], env: dict[str, str], pause: float):
        super().__init__(daemon=True)
        self.command, self.env, self.pause = command, env, pause
        self.count, self.failed, self.stopped = 0, "", threading.Event()

    def once(self) -> bool:
        done = subprocess.run(self.command, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            self.failed = done.stderr[-2000:]
        self.count += 1
        return done.returncode == 0

    def run(self) -> None:
        while not self.stopped.is_set() and self.once():
            self.stopped.wait(self.pause)

    def end(self) -> None:
        self.stopped.set()
        self.join()
        if self.failed:
            sys.exit(f"a sync failed:\n{self.failed}")


@contextlib.contextmanager
def destination(store: str):
    """A place for the lake: its address, the variables for the program, and what the readers need for it."""
    if store == "disk":
        with tempfile.TemporaryDirectory(prefix="openai-elt-race-") as folder:
            yield f"{folder}/lake", {}, None
        return
    with served(start_seaweed) as server:
        place = server.place()
        reader = {"host": server.endpoint.removeprefix("http://"), "key": server.key, "secret": server.secret}
        yield place.url, place.variables, reader


def race(store: str, readers: list[str], options: argparse.Namespace) -> list[dict]:
    """Each reader against the syncs, in one store."""
    results, source = [], Source(options.rows)
    with destination(store) as (dest, variables, given), Scripted() as server:
        server.answers[f"/organization/{TABLE}"] = [source.answer]
        since = f"{datetime.now(timezone.utc) - timedelta(days=DAYS - 1):%Y-%m-%d}"
        env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "NO_COLOR": "1", **server.env(), **variables}
        command = [str(options.binary), "sync", "--dest", dest, "--tables", TABLE]
        if not Syncs([*command, "--since", since], env, 0).once():
            sys.exit("the first sync failed")
        plan = {
            "table": f"{dest}/{TABLE}", "store": given, "days": DAYS, "rows": options.rows, "seconds": options.seconds,
            "reads": options.reads,
        }
        for reader in readers:
            syncs = Syncs(command, env, options.pause)
            syncs.start()
            started = time.monotonic()
            done = subprocess.run(
                [str(PYTHON), str(ROOT / "bench/race_reader.py"), reader], input=json.dumps(plan), capture_output=True, text=True,
                env={**os.environ, "TZ": "UTC"},
            )
            wall = time.monotonic() - started
            syncs.end()
            if done.returncode != 0:
                sys.exit(f"{reader}:\n{done.stderr[-3000:]}")
            results.append({"store": store, "reader": reader, "syncs": syncs.count / wall, **json.loads(done.stdout)})
            server.asked.clear()
    return results


def table_of(results: list[dict]) -> str:
    """The results as a table of Markdown."""
    lines = [
        "| reader | store | reads | syncs a second | errors in 10,000 reads | wrong rows in 10,000 reads |",
        "|---|---|---|---|---|---|",
    ]
    for result in results:
        each = 10_000 / max(result["reads"], 1)
        lines.append(
            f"| {result['reader']} | {result['store']} | {result['reads']:,} | {result['syncs']:.1f} "
            f"| {result['errors'] * each:.0f} | {result['wrong'] * each:.0f} |"
        )
    return "\n".join(lines)


def binary() -> pathlib.Path:
    named = os.environ.get("OPENAI_ELT_BIN")
    return pathlib.Path(named) if named else ROOT / "target/release/openai-elt"


def main(arguments: list[str]) -> list[dict]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="for each reader and store, at most")
    parser.add_argument("--reads", type=int, default=10_000, help="for each reader and store, at most")
    parser.add_argument("--rows", type=int, default=2_000, help="of each day")
    parser.add_argument("--pause", type=float, default=0.3, help="seconds between two syncs")
    parser.add_argument("--readers", default=",".join(READERS))
    parser.add_argument("--stores", default="disk,s3")
    parser.add_argument("--binary", type=pathlib.Path, default=binary())
    options = parser.parse_args(arguments)
    results = [found for store in options.stores.split(",") for found in race(store, options.readers.split(","), options)]
    print(table_of(results))
    for result in results:
        for said, times in result["said"].items():
            print(f"{result['reader']}, {result['store']}: {times} times: {said}")
    return results


if __name__ == "__main__":
    main(sys.argv[1:])
