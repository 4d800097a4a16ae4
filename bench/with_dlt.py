"""The same three sets read with dlt, as its documentation shows it: a REST source into Parquet files.

    python bench/with_dlt.py users|usage|audit BASE_URL FOLDER

Nothing is tuned for or against it: no schema is given, as most people give none, and
the buckets of the usage report are opened by a resource of one line.
"""

from __future__ import annotations

import pathlib
import sys

import dlt
from dlt.sources.helpers.rest_client import RESTClient
from dlt.sources.helpers.rest_client.auth import BearerTokenAuth
from dlt.sources.helpers.rest_client.paginators import JSONResponseCursorPaginator
from dlt.sources.rest_api import rest_api_source
from measure import SINCE, UNTIL

KEY = "sk-admin-of-the-benchmark"


def listing(base_url: str, name: str, path: str, params: dict):
    """A list of the API that goes on after its `last_id`."""
    return rest_api_source({
        "client": {
            "base_url": base_url,
            "auth": {"type": "bearer", "token": KEY},
            "paginator": {
                "type": "cursor", "cursor_path": "last_id", "cursor_param": "after", "has_more_path": "has_more",
            },
        },
        "resources": [{"name": name, "endpoint": {"path": path, "params": params, "data_selector": "data"}}],
    })


@dlt.resource(name="usage")
def usage(base_url: str):
    """The results of all daily buckets, each with its day."""
    client = RESTClient(
        base_url, auth=BearerTokenAuth(KEY), data_selector="data",
        paginator=JSONResponseCursorPaginator(cursor_path="next_page", cursor_param="page"),
    )
    params = {"start_time": SINCE["usage"], "end_time": UNTIL["usage"], "bucket_width": "1d", "limit": 31}
    for page in client.paginate("organization/usage/completions", params=params):
        yield [
            {"start_time": bucket["start_time"], "end_time": bucket["end_time"], **result}
            for bucket in page for result in bucket["results"]
        ]


def main(name: str, base_url: str, folder: str) -> None:
    between = {"effective_at[gte]": SINCE["audit"], "effective_at[lt]": UNTIL["audit"], "limit": 100}
    source = {
        "users": lambda: listing(base_url, "users", "organization/users", {"limit": 100}),
        "usage": lambda: usage(base_url),
        "audit": lambda: listing(base_url, "audit", "organization/audit_logs", between),
    }[name]()
    target = pathlib.Path(folder)
    pipeline = dlt.pipeline(
        f"bench_{name}", pipelines_dir=str(target / "work"),
        destination=dlt.destinations.filesystem(bucket_url=target.as_uri()), dataset_name="lake",
    )
    pipeline.run(source, loader_file_format="parquet")


if __name__ == "__main__":
    main(*sys.argv[1:])
