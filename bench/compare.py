"""`openai-elt` and dlt read the same pages in turn, several times; in turn with them goes the limit of one core.

    python bench/compare.py [--rounds 5] [--sets users,usage,audit] [--without-dlt] [--asleep]

The machine's cores are kept awake for it, unless `--asleep` says that they may rest while nobody wants them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import pathlib
import statistics
import sys
import tempfile
from urllib.parse import urlsplit

import measure
import verdict
from measure import ROOT, SETS, TABLES, Cost


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


def on_one_core(name: str, base_url: str, folder: pathlib.Path) -> dict[str, float]:
    """Seconds of one core from all pages of a set in memory to Parquet in memory, by hand (`limit`) and by our
    `engine`; and those to read the pages from the server, and do nothing with them (`only_read`)."""
    return json.loads(measure.run([measure.LIMIT, name, urlsplit(base_url).netloc], folder).out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--without-dlt", action="store_true")
    parser.add_argument("--asleep", action="store_true")
    options = parser.parse_args()
    print(measure.machine(), flush=True)
    # Nothing is removed before the end: a file system that has just lost a thousand files makes new ones slowly.
    with tempfile.TemporaryDirectory() as folder, contextlib.nullcontext() if options.asleep else measure.awake():
        rows, fractions = compare(options.sets.split(","), options.rounds, not options.without_dlt, pathlib.Path(folder))
    print(measure.table(
        ["pages", "tool", "CPU s", "of it system", "wall s", "peak MB", "MB/CPU s", "CPU of dlt ÷ ours", "server CPU s"], rows,
    ))
    print()
    print(measure.table(
        [
            "set", "limit s", "engine s", "engine ÷ limit", "pages only read s", "whole sync CPU s", "sync ÷ limit",
            "sync ÷ (limit and reading)",
        ], fractions,
    ))


def compare(names: list[str], times: int, with_dlt: bool, folder: pathlib.Path) -> tuple[list, list]:
    """The rows of both tables."""
    costs, fractions = [], []
    for name in names:
        with measure.pages(name) as server:
            megabytes = server.told["bytes"][name] / 1e6
            rounds, limits, served = [], [], 0.0
            for number in range(times):
                place, busy = folder / name / str(number), server.cpu()
                rounds.append(one_round(name, server.base_url, with_dlt, place))
                served += (server.cpu() - busy) / times / len(rounds[0])
                limits.append(on_one_core(name, server.base_url, place / "limit"))
        costs += [cost_of(tool, rounds, name, megabytes) + [f"{served:.2f}"] for tool in rounds[0]]
        fractions.append(fraction_of(name, rounds, limits))
    return costs, fractions


def cost_of(tool: str, rounds: list[dict[str, Cost]], name: str, megabytes: float) -> list[str]:
    """What the tool took, and how many times as much dlt did."""
    median = lambda figure: statistics.median(getattr(costs[tool], figure) for costs in rounds)  # noqa: E731
    others = [costs["dlt"].cpu / costs[tool].cpu for costs in rounds if "dlt" in costs and tool != "dlt"]
    return [
        f"{name}, {megabytes:.0f} MB", tool, f"{median('cpu'):.2f}", f"{median('system'):.2f}", f"{median('wall'):.2f}",
        f"{median('peak_mb'):.0f}", f"{megabytes / median('cpu'):.0f}",
        f"{statistics.median(others):.1f}×" if others else "",
    ]


def fraction_of(name: str, rounds: list[dict[str, Cost]], limits: list[dict[str, float]]) -> list[str]:
    """Ratios are those of each round by itself: the machine may be faster in the next one."""
    each = [limit | {"sync": costs["openai-elt"].cpu} for limit, costs in zip(limits, rounds)]
    seconds = lambda what: f"{statistics.median(one[what] for one in each):.2f}"  # noqa: E731
    ratio = lambda of: f"{statistics.median(map(of, each)):.0%}"  # noqa: E731
    return [
        name, seconds("limit"), seconds("engine"), ratio(lambda one: one["limit"] / one["engine"]),
        seconds("only_read"), seconds("sync"), ratio(lambda one: one["limit"] / one["sync"]),
        ratio(lambda one: (one["limit"] + one["only_read"]) / one["sync"]),
    ]


if __name__ == "__main__":
    main()
