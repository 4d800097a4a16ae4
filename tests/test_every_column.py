"""Every column of every table is filled by the simulated organization, or `never_filled.toml` says why not.

A column that nothing ever fills is a column whose pointer nobody has seen work.
"""

import pathlib
import tomllib

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from conftest import catalog, objects, spec, sync
from fixtures.sources import organization

EXCUSES = tomllib.loads((pathlib.Path(__file__).parent / "never_filled.toml").read_text())
# Filled by the product itself; `_extra` only by members that no table knows, which test_bad_input.py sends.
OWN = {"_synced_at", "_extra", "_deleted", "_valid_from", "_valid_to", "_current"}


# A retired table has no rows to look at.
TABLES = [table["name"] for table in catalog() if not table["retired"]]


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    dest = tmp_path_factory.mktemp("columns") / "lake"
    simulator = organization("--size", "small")
    for _ in range(2):
        # Every table by name, also those that are off until named. Types of log files that a
        # workspace does not have are skipped, and that is exit 2.
        sync(dest, simulator, "--tables", ",".join(TABLES), code={0, 2})
        simulator.mutate()
    simulator.stop()
    return dest


def filled(dest, table: str) -> set[str]:
    found = set()
    for path in objects(dest, table):
        content = pq.read_table(path)
        found |= {name for name in content.column_names if pc.any(pc.is_valid(content.column(name))).as_py()}
    return found


@pytest.mark.parametrize("table", TABLES)
def test_every_column_is_filled(lake, table):
    columns = {column["name"] for column in spec(table)["columns"]} - OWN
    never = columns - filled(lake, table)
    reasons = EXCUSES.get(table, {})
    # What depends on the hour at which the test runs is excused either way.
    always = {column for column, reason in reasons.items() if not reason.startswith("sometimes: ")}
    assert never - set(reasons) == set(), "columns that nothing fills: see tests/never_filled.toml"
    assert always - never == set(), "excused in tests/never_filled.toml, but filled or not there: remove the excuse"


def test_excuses_name_known_tables_and_have_a_reason():
    assert set(EXCUSES) <= set(TABLES)
    assert all(isinstance(reason, str) and len(reason) > 10 for table in EXCUSES.values() for reason in table.values())
