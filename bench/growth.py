"""What grows with the data: CPU per row and peak memory at ten times the size, the rewriting of a large slice,
and what does not depend on the data at all: start-up and size.

    python bench/growth.py [--scales 1,3,10] [--rewrite-millions 10]

The server holds a set in memory: ten million users are 4.5 GB there.
"""

from __future__ import annotations

import argparse
import itertools
import json
import pathlib
import shutil
import statistics
import tempfile

import measure
from measure import BINARY, SETS, TABLES

USERS = 200_000  # in the set of scale 1


def scaled(name: str, scale: float, folder: pathlib.Path, again: str = "") -> tuple[measure.Cost, dict]:
    """One sync of a set of that size into `folder`/lake; what is there stays there."""
    with measure.pages(name, scale=scale) as server:
        lake = folder / "lake"
        cost = measure.run(measure.sync_command(name, lake), folder / f"run{again}", measure.key(server.base_url))
    return cost, json.loads(cost.out)["tables"][TABLES[name]]


def sizes(scales: list[float]) -> str:
    rows = []
    # Nothing is removed in between, as in compare.py.
    with tempfile.TemporaryDirectory() as folder:
        for name, scale in itertools.product(SETS, scales):
            cost, report = scaled(name, scale, pathlib.Path(folder) / name / f"{scale:g}")
            count = report["rows_read"]
            rows.append([
                f"{name} ×{scale:g}", f"{count:,}", f"{cost.cpu:.2f}", f"{cost.cpu / count * 1e6:.2f}",
                f"{cost.peak_mb:.0f}", f"{cost.wall:.1f}",
            ])
    return measure.table(["set", "rows", "CPU s", "CPU µs a row", "peak MB", "wall s"], rows)


def rewriting(millions: float) -> str:
    """A whole table's slice: written, written again, and nearly emptied, so that most rows become tombstones."""
    scale = millions * 1e6 / USERS
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        steps = [("first sync", scale), ("the same rows again", scale), ("a tenth of them is left", scale / 10)]
        for number, (what, size) in enumerate(steps):
            cost, report = scaled("users", size, folder, str(number))
            count = report["rows_read"]
            held = max(count, 1)
            rows.append([
                what, f"{count:,}", f"{report['tombstones']:,}", f"{cost.cpu:.1f}", f"{cost.peak_mb:.0f}",
                f"{cost.peak_mb * 2**20 / held:.0f}", f"{cost.wall:.1f}",
            ])
        shutil.rmtree(folder / "lake")
    return measure.table(
        ["rewriting one slice", "rows read", "tombstones", "CPU s", "peak MB", "peak bytes ÷ key", "wall s"], rows,
    )


def start_up() -> str:
    rows = []
    for arguments in (["--version"], ["tables"], ["tables", "--format", "json"]):
        with tempfile.TemporaryDirectory() as folder:
            costs = [measure.run([BINARY, *arguments], pathlib.Path(folder)) for _ in range(20)]
        milliseconds = [statistics.median(getattr(cost, part) for cost in costs) * 1_000 for part in ("wall", "cpu")]
        rows.append([" ".join(arguments), *(f"{ms:.1f}" for ms in milliseconds), f"{costs[0].peak_mb:.0f}"])
    size = BINARY.stat().st_size / 1e6
    return measure.table(["start-up", "wall ms", "CPU ms", "peak MB"], rows) + f"\n\nThe program: {size:.1f} MB."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scales", default="1,3,10")
    parser.add_argument("--rewrite-millions", type=float, default=10)
    options = parser.parse_args()
    print(measure.machine())
    print(start_up() + "\n")
    with measure.awake():
        print(sizes([float(scale) for scale in options.scales.split(",")]) + "\n")
        if options.rewrite_millions:
            print(rewriting(options.rewrite_millions))


if __name__ == "__main__":
    main()
