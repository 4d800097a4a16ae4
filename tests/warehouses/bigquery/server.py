"""Runs bqemulator without its geography functions: `python bigquery_server.py start --rest-port 9050`.

The emulator refuses to start without DuckDB's `spatial` extension, which it fetches from a site of its own.
No column of a lake is a place, so that one step is left out; everything else is the emulator as released.
"""

from bqemulator.cli import main
from bqemulator.storage import engine

for found in vars(engine).values():
    if isinstance(found, type) and hasattr(found, "_load_spatial"):
        found._load_spatial = lambda self: None

if __name__ == "__main__":
    main()
