# Windvane. `make help` lists every target.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export NO_MKDOCS_2_WARNING := 1
# Compiled once, not in each of the many processes that the demo and the tests start.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo test test-all check format docs bench bench-watch bench-serving bench-staying-up \
  bench-steward bench-recorder bench-rollout setup dev lock clean

help: ## List every target
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

demo: .venv/.demo ## Set up and watch the whole loop on a year of real flights
	$(BIN)/windvane demo flights $(ARGS)

test: dev ## Set up and pass every check: format, lint, types, contracts, docs, tests
	$(MAKE) --no-print-directory check docs
	@bash tools/install_chromium.sh
	$(BIN)/pytest -n 2 --dist worksteal -m "not slow" --slice auto $(ARGS)

test-all: dev ## The tests with the slow ones
	@bash tools/install_chromium.sh
	@bash tools/make_torch.sh
	$(BIN)/pytest -n 2 --dist worksteal $(ARGS)

check: dev ## Seconds: format, lint, types, import contracts
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/lint-imports --no-logo | tail -n 4
	$(BIN)/basedpyright --level error

format: dev ## Format and fix what can be fixed
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format .

docs: dev ## Build the documentation into site/
	$(BIN)/mkdocs build --strict --quiet

bench: bench-watch bench-rollout bench-staying-up bench-steward bench-recorder bench-serving ## Every benchmark; hours

bench-watch: dev ## False alarms, faults found, real rows, peers, cost of watching; hours, ARGS=--short in ten minutes
	@PYTHON=$(PYTHON) tools/make_peers.sh --of watching
	$(BIN)/python benchmarks/bench_watch.py $(ARGS)

bench-rollout: dev ## Equal versions that go back, worse ones that are found; hours, ARGS=--short in half an hour
	$(BIN)/python benchmarks/bench_rollout.py $(ARGS)

bench-serving: dev ## The gateway against its peers and its floors, over an hour; ARGS=--short in 25 minutes
	@PYTHON=$(PYTHON) tools/make_peers.sh --of serving
	$(BIN)/python benchmarks/bench_serving.py $(ARGS)

bench-steward: dev ## One steward over 1,000 models, on SQLite and PostgreSQL; eight minutes
	$(BIN)/python benchmarks/bench_steward.py $(ARGS)

bench-recorder: dev ## One recorder over full spools, and beside a gateway under load; ARGS=--short in two minutes
	$(BIN)/python benchmarks/bench_recorder.py $(ARGS)

bench-staying-up: dev ## Noisy neighbours, overload, swaps under load
	$(BIN)/python benchmarks/bench_staying_up.py $(ARGS)

setup: .venv/.demo ## Only what running needs
dev: .venv/.dev

lock: dev ## Renew the hashed pins (needs uv)
	requirements/compile.sh
	tools/make_peers.sh --lock

clean: ## Remove the environment and everything built
	rm -rf .venv .bench .torch site .windvane .pytest_cache .ruff_cache .hypothesis .import_linter_cache

.venv/bin/python:
	@bash tools/make_venv.sh $(PYTHON)

# A stamp is newer than its pins, or the pins are installed again: a second run does nothing.
.venv/.demo: requirements/demo.txt pyproject.toml | .venv/bin/python
	@echo "installing what running needs ..."
	@$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements/demo.txt
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: requirements/dev.txt requirements/models.txt pyproject.toml | .venv/bin/python
	@echo "installing what developing needs ..."
	@$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements/dev.txt
	@$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements/models.txt
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch .venv/.demo $@
