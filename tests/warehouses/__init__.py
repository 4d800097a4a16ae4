"""Suites that load the lake into real engines: `make test-warehouses`. Each needs a heavy engine, so `make test` leaves them out."""
