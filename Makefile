# Farebox's daily commands. Each one makes .venv when it is missing or older than pyproject.toml.
# A new .venv is made by $(PYTHON): to change the interpreter, `make clean` and then `make test PYTHON=python3.13`.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help run test simulate lint bench clean
# Two recipes that install into the same .venv must not run side by side under `make -j`.
.NOTPARALLEL:

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

run: .venv/.runtime ## serve the quickstart on this machine; needs no key and no other service
	@exec $(BIN)/farebox serve config/quickstart.yaml

test: .venv/.dev ## run the tests; FAREBOX_TEST_REQUIRE=all fails those whose outside tool is missing
	@$(BIN)/pytest

# A run that finds a broken rule prints the history that breaks it, made as short as it can be.
SEED ?= 1
HOURS ?= 168
ACCOUNTS ?= 2000
ENGINE ?= sqlite
simulate: .venv/.dev ## audit simulated life: SEED=1 HOURS=168 ACCOUNTS=2000 ENGINE=sqlite, postgres or memory
	@$(BIN)/python -m tests.simulation --seed $(SEED) --hours $(HOURS) --accounts $(ACCOUNTS) --engine $(ENGINE)

lint: .venv/.dev ## check style, formatting and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

PARTS ?= http
ROWS ?= 10_000_000
bench: .venv/.dev ## measure speed: PARTS=http, or some of "pairs metered reads growth" with ROWS=10_000_000
	@$(BIN)/python -m tests.bench $(PARTS) --rows $(ROWS)

clean: ## remove .venv, caches and built packages; databases stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage dist
	find proxy tests -type d -name __pycache__ -prune -exec rm -rf {} +

# A stamp is touched last, so an installation that broke off is repeated. The developer's installation contains
# the runtime's, and answers for both.
.venv/.runtime: pyproject.toml
	$(make-venv)
	@echo 'Installing farebox into .venv'
	@$(PIP) --editable .
	@touch $@

.venv/.dev: pyproject.toml
	$(make-venv)
	@echo 'Installing farebox and its development tools into .venv'
	@$(PIP) --editable '.[dev]'
	@touch .venv/.runtime $@

# Keeps a .venv that works. One without pip is what `python3 -m venv` leaves behind when ensurepip is not installed;
# one whose interpreter is gone or too old is of no use either.
define make-venv
@if ! $(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
  version=`$(PYTHON) -c 'import platform; print(platform.python_version())'` \
    || { echo 'Farebox needs Python 3.11 or newer, and "$(PYTHON)" does not run. Name one: make PYTHON=/path/to/python3' >&2; exit 1; }; \
  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
    || { echo "Farebox needs Python 3.11 or newer, and \"$(PYTHON)\" is $$version. Name one: make PYTHON=/path/to/python3" >&2; exit 1; }; \
  echo "Making .venv with Python $$version"; \
  $(PYTHON) -m venv --clear .venv; \
fi
endef
