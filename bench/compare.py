"""`openai-elt` and dlt read the same pages in turn, several times; beside them the limit of one core.

    python bench/compare.py [--rounds 3] [--sets users,usage,audit] [--without-dlt]

The limit comes from the last `cd bench && cargo bench --bench engine`, if there was one.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import sys
import tempfile

import measure
import verdict
from measure import ROOT, SETS, TABLES, Cost


def median(costs: list[Cost], figure: str) -> float:
    return statistics.median(getattr(cost, figure) for cost in costs)


def one_round(name: str, base_url: str, with_dlt: bool, folder: pathlib.Path) -> dict[str, Cost]:
    """Each tool once. That both wrote the same is a condition, not a result."""
    lake, theirs = folder / "lake", folder / "dlt"
    costs = {"openai-elt": measure.run(measure.sync_command(name, lake), folder / "1", measure.key(base_url))}
    if with_dlt:
        script = ROOT / "bench" / "with_dlt.py"
        costs["dlt"] = measure.run([sys.executable, script, name, base_url, theirs], folder / "2")
        ours, others = verdict.ours(name, TABLES[name], lake), verdict.theirs(name, theirs)
        if ours != others:
            sys.exit(f"{name}: not the same work: openai-elt wrote {ours}, dlt wrote {others}")
    return costs


def on_one_core() -> dict[str, dict[str, float]]:
    """MB/s of the limit and of the engine, by set."""
    found: dict[str, dict[str, float]] = {}
    for name in SETS:
        for what in ("limit", "engine"):
            folder = measure.TARGET.parent / "criterion" / f"whole-{name}" / what / "new"
            try:
                estimates = json.loads((folder / "estimates.json").read_text())
                size = json.loads((folder / "benchmark.json").read_text())["throughput"]["Bytes"]
            except FileNotFoundError:
                continue
            found.setdefault(name, {})[what] = size / estimates["median"]["point_estimate"] * 1_000
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--without-dlt", action="store_true")
    options = parser.parse_args()
    rows, fractions = [], []
    limits = on_one_core()
    for name in options.sets.split(","):
        with tempfile.TemporaryDirectory() as folder, measure.pages(name) as server:
            megabytes = server.told["bytes"][name] / 1e6
            busy, rounds = server.cpu(), []
            # Nothing is removed in between: a file system that has just lost a thousand files makes new ones slowly.
            for number in range(options.rounds):
                place = pathlib.Path(folder) / str(number)
                rounds.append(one_round(name, server.base_url, not options.without_dlt, place))
            served = (server.cpu() - busy) / options.rounds / len(rounds[0])
        for tool in rounds[0]:
            costs = [costs[tool] for costs in rounds]
            cpu = median(costs, "cpu")
            ratio = median([costs["dlt"] for costs in rounds], "cpu") / cpu if not options.without_dlt else None
            rows.append([
                f"{name}, {megabytes:.0f} MB", tool, f"{cpu:.2f}", f"{median(costs, 'system'):.2f}",
                f"{median(costs, 'wall'):.2f}",
                f"{median(costs, 'peak_mb'):.0f}", f"{megabytes / cpu:.0f}",
                f"{ratio:.1f}×" if ratio and tool != "dlt" else "", f"{served:.2f}",
            ])
        if name in limits:
            limit, engine = limits[name]["limit"], limits[name]["engine"]
            ours = megabytes / median([costs["openai-elt"] for costs in rounds], "cpu")
            fractions.append([
                name, f"{limit:.0f}", f"{engine:.0f}", f"{engine / limit:.0%}", f"{ours:.0f}", f"{ours / limit:.0%}",
            ])
    print(measure.machine())
    print(measure.table(
        ["pages", "tool", "CPU s", "of it system", "wall s", "peak MB", "MB/CPU s", "CPU of dlt ÷ ours", "server CPU s"], rows,
    ))
    if fractions:
        print()
        print(measure.table(
            ["set", "limit MB/s", "engine MB/s", "engine ÷ limit", "whole sync MB/CPU s", "sync ÷ limit"], fractions,
        ))


if __name__ == "__main__":
    main()
