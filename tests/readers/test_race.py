"""`make race` in small: it reads, counts, and would see wrong rows. What it measures is no matter of tests."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from conftest import BINARY, ROOT

sys.path.insert(0, str(ROOT / "bench"))
race = importlib.import_module("race")

WRONG = """
import sys
sys.path.insert(0, "bench")
import pyarrow as pa
import race_reader
columns = {"start_time": [1, 1, 2, 2], "amount": [7, 7, 8, 8], "line_item": ["00000007 a", "00000007 b", "00000008 a", "00000008 b"],
           "_synced_at": [1, 1, 2, 2]}
def told(**changed):
    return race_reader.is_wrong(pa.table({**columns, **changed}), 2, 2)
assert told() == ""
assert told(start_time=[1, 1, 1, 1]) and told(start_time=[1, 2, 2, 2])
assert told(amount=[7, 8, 8, 8]) and told(amount=[8, 8, 8, 8]) and told(_synced_at=[1, 2, 2, 2])
"""


@pytest.mark.parametrize("store", ["disk", "s3"])
def test_each_reader_reads_while_syncs_go_on(store, capsys):
    results = race.main(["--reads", "5", "--rows", "50", "--stores", store, "--binary", str(BINARY)])
    assert [result["reader"] for result in results] == list(race.READERS)
    assert all(result["reads"] == 5 and result["syncs"] > 0 and result["wrong"] == 0 for result in results)
    printed = capsys.readouterr().out
    assert all(f"| {name} | {store} | 5 |" in printed for name in race.READERS)


def test_rows_of_two_syncs_are_seen():
    subprocess.run([str(race.PYTHON), "-c", WRONG], cwd=ROOT, check=True)
