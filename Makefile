# Commands of this project; `make` lists them.
#
#   VENV    virtual environment; default: .venv
#   PYTHON  interpreter that creates it; default: the first one >= 3.11
#   ARGS    further arguments, as in `make test ARGS="-k cron"`

SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?=
ARGS ?=
PIP := $(BIN)/pip --disable-pip-version-check install --quiet
PYTEST := $(BIN)/python -m pytest

.PHONY: help
help: ## List the commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---- Environment -----------------------------------------------------------------------------
# requirements/run.txt has the packages of the service, dev.txt adds all extras and the tools; both
# are pinned with hashes, from one resolution. Stamp files record the installed state.

$(BIN)/python:
	@python="$(PYTHON)"; \
	for candidate in python3 python3.13 python3.12 python3.11; do \
	  [ -n "$$python" ] && break; \
	  $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	    && python=$$candidate; \
	done; \
	[ -n "$$python" ] || { echo "Python 3.11 or newer is needed (PYTHON=...)."; exit 2; }; \
	echo "Creating $(VENV) with $$($$python --version)"; \
	$$python -m venv $(VENV)

$(VENV)/.run: requirements/run.txt pyproject.toml | $(BIN)/python
	@echo "Installing the service"
	@$(PIP) --require-hashes -r requirements/run.txt
	@$(PIP) --no-build-isolation --no-deps -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(BIN)/python
	@echo "Installing the service and development tools"
	@$(PIP) --require-hashes -r requirements/dev.txt
	@$(PIP) --no-build-isolation --no-deps -e .
	@touch $(VENV)/.run $@

# ---- Service ---------------------------------------------------------------------------------

.PHONY: run
run: $(VENV)/.run ## Start API, scheduler and workers in one process, on SQLite
	@$(BIN)/workbell up $(ARGS)

.PHONY: demo
demo: $(VENV)/.run ## Start it with sample data in a temporary folder
	@$(BIN)/workbell demo $(ARGS)

# ---- Checks ----------------------------------------------------------------------------------

.PHONY: test
test: $(VENV)/.dev ## Run all tests for which this machine has the servers
	$(PYTEST) -n auto --dist worksteal $(ARGS)

.PHONY: check
check: lint types contracts ## Run linters, type checkers and import contracts

.PHONY: lint
lint: $(VENV)/.dev ## Check code style and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

.PHONY: format
format: $(VENV)/.dev ## Format all files
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

.PHONY: types
types: mypy pyright ## Check types with mypy and pyright

.PHONY: mypy
mypy: $(VENV)/.dev
	$(BIN)/mypy

.PHONY: pyright
pyright: $(VENV)/.dev
	$(BIN)/pyright --pythonpath $(BIN)/python

.PHONY: contracts
contracts: $(VENV)/.dev ## Check the import rules between layers
	$(BIN)/lint-imports --config pyproject.toml

.PHONY: coverage
coverage: $(VENV)/.dev ## Run all tests and require their coverage (htmlcov)
	$(BIN)/coverage erase
	$(MAKE) test PYTEST="$(BIN)/coverage run -m pytest"
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage html --quiet
	$(BIN)/coverage xml --quiet -o htmlcov/coverage.xml
	$(BIN)/coverage report --include='src/domain/*,src/services/*' --fail-under=99
	$(BIN)/coverage report --fail-under=95

.PHONY: faults
faults: $(VENV)/.dev ## Inject faults and account for all jobs (DATABASE_URL=, REDIS_URL=: your servers)
	$(BIN)/python -m tests.faults.run $(if $(DATABASE_URL),--database "$(DATABASE_URL)") \
	  $(if $(REDIS_URL),--redis "$(REDIS_URL)") $(ARGS)

.PHONY: soak
soak: $(VENV)/.dev ## Run a soak test of 30 minutes
	$(BIN)/python -m tests.faults.soak $(ARGS)

.PHONY: bench-faults
bench-faults: $(VENV)/.dev ## Inject faults into Workbell, Celery, Dramatiq; write docs/guarantees.md
	$(BIN)/python -m tests.faults.run --json benchmarks/results/guarantees/faults.json $(ARGS)
	$(BIN)/python -m benchmarks.faults_peers.measure $(ARGS)
	$(BIN)/python -m benchmarks.guarantees

# ---- Benchmarks ------------------------------------------------------------------------------

.PHONY: bench
bench: $(VENV)/.dev ## Run all benchmarks and write PERFORMANCE.md
	$(BIN)/workbell bench jobs
	$(BIN)/workbell bench deadlines
	$(BIN)/workbell bench ticks
	$(BIN)/workbell bench idle
	$(BIN)/workbell bench identity
	$(BIN)/workbell bench http
	$(BIN)/workbell bench delivery
	$(BIN)/workbell bench page

.PHONY: bench-peers
bench-peers: $(VENV)/.dev ## Compare with other products (needs PostgreSQL, Redis; ARGS=--quick)
	$(BIN)/python -m benchmarks.peers.run $(ARGS)
	$(BIN)/workbell bench page

# ---- Artifacts -------------------------------------------------------------------------------

.env.example: src/entrypoints/config/settings.py src/entrypoints/config/option.py | $(VENV)/.run
	$(BIN)/python -c 'from workbell.entrypoints.config.settings import example; print(example(), end="")' > $@

.PHONY: docs
docs: $(VENV)/.dev .env.example ## Build the documentation (build/site)
	$(BIN)/mkdocs build --strict --site-dir build/site

.PHONY: build
build: $(VENV)/.dev ## Build wheel and source distribution (dist)
	rm -rf build dist
	$(BIN)/python -m build --no-isolation

.PHONY: migration
migration: $(VENV)/.dev ## Create an empty migration: name="add labels"
	@[ -n "$(name)" ] || { echo 'The name is missing: make migration name="add labels"'; exit 2; }
	$(BIN)/alembic revision -m "$(name)"

.PHONY: lock
lock: | $(BIN)/python ## Update the pinned requirements (ARGS=--upgrade: newer versions)
	@$(BIN)/python -m venv $(VENV)/lock && $(VENV)/lock/bin/pip install --quiet uv
	@pin() { $(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	  --no-config --group build pyproject.toml "$$@"; }; \
	pin --extra dev -o requirements/dev.txt $(ARGS) && \
	pin --extra all -c requirements/dev.txt -o requirements/all.txt && \
	pin -c requirements/dev.txt -o requirements/run.txt

.PHONY: clean
clean: ## Remove build results, caches and the virtual environment
	rm -rf $(VENV) build dist htmlcov .coverage* *.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
