# Everything happens in .venv; the only needs are make and Python 3.11 or later.
PYTHON ?= python3
UV ?= uv
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
TIERS := unit conformance integration acceptance faults

.DEFAULT_GOAL := help
.PHONY: help run demo test $(TIERS:%=test-%) check bench storm sweep cross-check requirements clean

help: ## Lists the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/run.stamp ## Starts everything on this machine; Ctrl-C ends it (CLOCK=virtual: time stands still)
	@exec $(BIN)/padawanforge run $(if $(CLOCK),--clock $(CLOCK))

demo: .venv/run.stamp ## Starts everything, shows a player's workflow, and ends
	@exec $(BIN)/padawanforge demo

test: .venv/dev.stamp ## Runs all tests
	$(BIN)/python -m pytest $(TIERS:%=tests/%)

test-unit: .venv/dev.stamp ## Runs the tests without I/O
test-conformance: .venv/dev.stamp ## Runs each port's suite on its twin and its adapter
test-integration: .venv/dev.stamp ## Runs the parts on real servers
test-acceptance: .venv/dev.stamp ## Runs real processes, through HTTP and NATS
test-faults: .venv/dev.stamp ## Runs kills, cuts and the short storm
$(TIERS:%=test-%): test-%:
	$(BIN)/python -m pytest tests/$*

check: .venv/dev.stamp ## Lints, formats, types, import rules, rules without a test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(BIN)/python -m tests.rules

bench: .venv/dev.stamp ## Measures workflows against plain transactions, parked instances, sweeps, retention
	$(BIN)/python -m tests.benchmarks
	$(BIN)/python -m tests.benchmarks.parked
	$(BIN)/python -m tests.benchmarks.sweep
	$(BIN)/python -m tests.benchmarks.retention

storm: .venv/dev.stamp ## Hits everything at random for as long as one likes: make storm SECONDS=600 (SEED=…)
	$(BIN)/python -m tests.faults.storm $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED))

sweep: .venv/dev.stamp ## Cuts off and freezes a process at each of its points, not at a few (a quarter of an hour)
	SWEEP=full $(BIN)/python -m pytest tests/faults/test_crash_sweep.py

cross-check: .venv/dev.stamp .venv/localstripe.stamp ## Compares the Stripe emulator with localstripe, where that behaves as Stripe
	$(BIN)/python -m pytest tests/crosscheck

requirements: ## Pins all dependencies anew, with hashes (needs uv)
	@command -v $(UV) > /dev/null || { echo "uv is missing: install it (pip install uv), or name it with UV=…" >&2; exit 1; }
	$(call compile,run,--extra embedded --extra build)
	$(call compile,dev,--extra embedded --extra build --extra dev)
	$(call compile,localstripe,--extra localstripe)

clean: ## Deletes .venv and caches; the data in .data stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

define compile
$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-header --no-annotate $(2) --output-file requirements/$(1).txt pyproject.toml
endef

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed: install it, or name it with make PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || { echo "This Python cannot make virtual environments: install its venv package (on Debian and Ubuntu python3-venv)" >&2; exit 1; }
	@echo "Making .venv"
	@$(PYTHON) -m venv .venv

# The project itself comes last and apart: pip refuses hashes together with an editable install.
.venv/run.stamp: requirements/run.txt pyproject.toml | .venv/bin/python
	@echo "Installing what running needs, pinned and hashed"
	@$(PIP) install --require-hashes -r requirements/run.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev.stamp: requirements/dev.txt .venv/run.stamp
	@echo "Installing what checks and tests need, pinned and hashed"
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

# Of its own, since what it is licensed under must not be imported here.
.venv/localstripe.stamp: requirements/localstripe.txt | .venv/bin/python
	@echo "Installing localstripe in an environment of its own"
	@$(PYTHON) -m venv .venv/localstripe
	@.venv/localstripe/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes -r requirements/localstripe.txt
	@touch $@
