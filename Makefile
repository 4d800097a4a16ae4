# Everything a newcomer needs: `make demo` and `make test` set up what they use.
# One build (profile dev) serves the demo, the Rust tests and the outside tests.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BINARY := $(abspath $(or $(CARGO_TARGET_DIR),target)/debug/openai-elt)
VENV := .venv
DBT_VENV := .venv-dbt
ADAPTERS_VENV := .venv-dbt-adapters
BENCH_VENV := .venv-bench
UV := .venv-uv/bin/uv
UV_VERSION := 0.13.8
PYTHON ?= python3
DENY_VERSION := 0.20.2
AZURITE_VERSION := 3.35.0
NODE_READERS := .venv-readers-oldest/node/ready .venv-readers-newest/node/ready
AZURITE := $(if $(shell command -v npm),$(VENV)/azurite/$(AZURITE_VERSION))
PYTEST ?= -n auto
CRASH_STRIDE ?= 5
FUZZ_SECONDS ?= 20
KILLS ?= 1000
STORE_KILLS ?= 100
FUZZ_TARGETS ?=
RACE ?=

.PHONY: help build demo test test-rust test-outside test-warehouses test-readers kills fuzz conformance check fmt clippy deny advisories docs docs-check clean screenshots reliability test-dbt test-dbt-adapters dbt-models bench race

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build the program (target/debug/openai-elt)
	cargo build --locked

demo: build ## Build, then read a simulated organization into demo-lake/, twice, and show what changed
	$(BINARY) demo --out demo-lake

# What the tests show is collected afresh, and compared with docs/reliability.md when all of them have run.
test: ## Run all tests: in Rust, and from outside through the binary
	rm -rf $(VENV)/reliability
	$(MAKE) test-rust
	$(MAKE) test-outside
	PYTHONPATH=tests:tests/support $(VENV)/bin/python -m reliability --check

reliability: ## Write docs/reliability.md from what the last whole `make test` has shown
	PYTHONPATH=tests:tests/support $(VENV)/bin/python -m reliability

test-rust: ## Run the Rust tests only (CRASH_STRIDE=1 crashes at every operation of the store)
	CRASH_STRIDE=$(CRASH_STRIDE) cargo test --locked --workspace

test-outside: build $(VENV)/ready $(AZURITE) ## Run the outside tests only (PYTEST="-k name" chooses)
	OPENAI_ELT_BIN=$(BINARY) $(VENV)/bin/pytest $(PYTEST)

fuzz: ## Attack what comes from outside, FUZZ_SECONDS=20 for each target (FUZZ_TARGETS="paging refusal" chooses)
	FUZZ_SECONDS=$(FUZZ_SECONDS) fuzz/run $(FUZZ_TARGETS)

kills: build $(VENV)/ready ## Kill KILLS=1000 syncs on a disk and STORE_KILLS=100 in an object store, and note the counts in docs/kills.json
	KILLS=$(KILLS) STORE_KILLS=$(STORE_KILLS) KILLS_FILE=docs/kills.json OPENAI_ELT_BIN=$(BINARY) $(VENV)/bin/pytest tests/test_kills.py

# The lake is made once; each suite runs where its engine's pins can be had. bqemulator comes with a pytest
# plugin that wants Docker.
WAREHOUSES := engines snowflake bigquery
LAKES := $(abspath .venv-engines/lakes)
test-warehouses: build $(VENV)/ready $(WAREHOUSES:%=.venv-%/ready) ## Load the lake into real engines and emulators (heavy: Spark, ClickHouse, ...)
	rm -rf $(LAKES)
	OPENAI_ELT_BIN=$(BINARY) PYTHONPATH=tests:tests/support $(VENV)/bin/python -m warehouses.lake $(LAKES)
	for suite in $(WAREHOUSES); do \
	  OPENAI_ELT_BIN=$(BINARY) WAREHOUSE_LAKES=$(LAKES) .venv-$$suite/bin/pytest $(PYTEST) --dist loadgroup -p no:bqemulator tests/warehouses/$$suite; \
	done

# The oldest and the newest version of each reader; the newest Daft wants another pyarrow. Spark is that of the engines.
READERS := oldest newest newest-daft
READERS_LAKE := $(abspath .venv-readers-newest/made)
test-readers: build $(VENV)/ready $(READERS:%=.venv-readers-%/ready) $(NODE_READERS) .venv-engines/ready ## Open each table with old and new readers: polars, pyarrow, DuckDB, Spark, ...
	rm -rf $(READERS_LAKE)
	OPENAI_ELT_BIN=$(BINARY) PYTHONPATH=tests:tests/support $(VENV)/bin/python -m readers.lake $(READERS_LAKE)
	OPENAI_ELT_BIN=$(BINARY) READERS_LAKE=$(READERS_LAKE)/lake $(VENV)/bin/pytest $(PYTEST) --dist load tests/readers

test-dbt: build $(DBT_VENV)/ready ## Build the dbt models on a simulated lake and compare their figures with it
	OPENAI_ELT_BIN=$(BINARY) $(DBT_VENV)/bin/pytest -c dbt/checks/pytest.ini dbt/checks

test-dbt-adapters: build $(ADAPTERS_VENV)/ready ## Build the dbt models on PostgreSQL, compile them for other warehouses (1 GB of adapters)
	OPENAI_ELT_BIN=$(BINARY) $(ADAPTERS_VENV)/bin/pytest -c dbt/portability/pytest.ini dbt/portability

dbt-models: build $(DBT_VENV)/ready ## Write the generated parts of dbt/ and docs/models.md
	$(BINARY) tables --format json | $(DBT_VENV)/bin/python dbt/generate.py
	$(DBT_VENV)/bin/python dbt/describe.py

conformance: $(VENV)/ready ## Compare schemas/ with the official SDK, and with OPENAPI="one.json two.json"
	PYTHONPATH=tests:tests/support $(VENV)/bin/python -m conformance $(OPENAPI)

bench: $(BENCH_VENV)/ready ## Measure against dlt and against the limit of one core, waiting, growth (half an hour; not a test)
	cargo build --locked --release
	cd bench && cargo build --locked --release --bins
	cd bench && cargo bench --locked --bench engine
	$(BENCH_VENV)/bin/python bench/compare.py
	$(BENCH_VENV)/bin/python bench/waiting.py
	$(BENCH_VENV)/bin/python bench/growth.py

race: $(VENV)/ready .venv-engines/ready ## Read a lake while syncs rewrite it, with five readers on a disk and in S3 (RACE="--seconds 60 --readers duckdb"; not a test)
	cargo build --locked --release
	OPENAI_ELT_BIN=$(abspath $(or $(CARGO_TARGET_DIR),target)/release/openai-elt) PYTHONPATH=tests:tests/support $(VENV)/bin/python bench/race.py $(RACE)

check: fmt clippy deny docs-check ## Check format, lints, licences of dependencies, and that docs are up to date

fmt:
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo fmt --manifest-path bench/Cargo.toml --check

clippy:
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cd bench && cargo clippy --locked --all-targets -- -D warnings

# Bans, licences and sources need only the crates themselves. The advisory database is fetched (a public git
# repository), so it has a target of its own that a machine without access can leave out.
deny: | cargo-deny
	cargo deny --locked check bans licenses sources

advisories: | cargo-deny ## Check dependencies against the RustSec advisories (needs access to its git repository)
	cargo deny check advisories

.PHONY: cargo-deny
cargo-deny:
	@cargo deny --version >/dev/null 2>&1 || cargo install cargo-deny --locked --version $(DENY_VERSION)

screenshots: build $(VENV)/ready ## Take the pictures of docs/report.md (needs Chromium)
	OPENAI_ELT_BIN=$(BINARY) SCREENSHOTS=docs/images $(VENV)/bin/pytest tests/test_report.py -k screenshots

docs: build ## Write docs/tables.md from the table files
	$(BINARY) tables --format markdown > docs/tables.md

docs-check: build
	@$(BINARY) tables --format markdown | diff -u docs/tables.md - || { echo "docs/tables.md is not up to date: run make docs" >&2; exit 1; }

# A server of Azure Blob for the tests; a machine without Node has none, and its tests say that they were left out.
.PHONY: azurite
azurite: $(AZURITE)
$(VENV)/azurite/$(AZURITE_VERSION):
	npm install --silent --no-audit --no-fund --prefix $(@D) azurite@$(AZURITE_VERSION)
	touch $@

# pip fills an environment one package after the other and compiles every file of it; uv, from the same index,
# took a tenth of the time for these, and keeps each package once for all of them. It does not read pip's
# configuration, though: where only that knows the way to an index, pip does it.
define environment
$(UV) venv --quiet --allow-existing --python $(PYTHON) $(@D)
VIRTUAL_ENV=$(@D) $(UV) pip install --quiet --system-certs --requirement $< || { \
  $(PYTHON) -m venv $(@D) && $(@D)/bin/pip install --quiet --disable-pip-version-check --requirement $<; }
touch $@
endef

$(UV):
	$(PYTHON) -m venv .venv-uv
	.venv-uv/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(VENV)/ready: requirements-test.txt | $(UV)
	$(environment)

.venv-%/ready: tests/warehouses/%/requirements.txt | $(UV)
	$(environment)

.venv-readers-%/ready: tests/readers/%/requirements.txt | $(UV)
	$(environment)

# The readers in JavaScript.
.venv-readers-%/node/ready: tests/readers/%/package.json
	mkdir -p $(@D)
	cp $< $(@D)
	npm install --silent --no-audit --no-fund --prefix $(@D)
	touch $@

$(DBT_VENV)/ready: dbt/requirements.txt | $(UV)
	$(environment)

$(ADAPTERS_VENV)/ready: dbt/portability/requirements.txt | $(UV)
	$(environment)

$(BENCH_VENV)/ready: bench/requirements.txt | $(UV)
	$(environment)

clean: ## Remove what was built and the demo's lake
	cargo clean
	rm -rf $(VENV) $(WAREHOUSES:%=.venv-%) $(READERS:%=.venv-readers-%) $(DBT_VENV) $(ADAPTERS_VENV) $(BENCH_VENV) .venv-uv dbt/target dbt/logs demo-lake
