# Farebox's daily commands. Each one makes .venv when it is missing or older than pyproject.toml.
# A new .venv is made by $(PYTHON). Each further interpreter gets a folder of its own:
# `make test PYTHON=python3.13 VENV=.venv-3.13`.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

RANGE := (3, 11) <= sys.version_info < (3, 15)

.DEFAULT_GOAL := help
.PHONY: help run test quick simulate lint bench clean
# Two recipes that install into the same .venv must not run side by side under `make -j`.
.NOTPARALLEL:

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

run: $(VENV)/.runtime ## serve the quickstart on this machine; needs no key and no other service
	@exec $(BIN)/farebox serve config/quickstart.yaml

# Tests start hundreds of processes. None of them compiles what another has compiled, whatever the caller's shell says.
test quick: export PYTHONDONTWRITEBYTECODE :=

# A worker that has run out of tests takes some of another's, so that all processors are busy to the end.
MARKS ?=
PYTEST = $(BIN)/pytest --numprocesses auto --dist worksteal
test: $(VENV)/.dev ## run all tests on all processors, or MARKS="not acceptance" of them
	@$(PYTEST) -m '$(MARKS)'

quick: $(VENV)/.dev ## run the tests that take less than a minute together
	@$(PYTEST) -m 'not (acceptance or simulation or storage)'

# A run that finds a broken rule prints the history that breaks it, made as short as it can be.
SEED ?= 1
HOURS ?= 168
ACCOUNTS ?= 2000
ENGINE ?= sqlite
simulate: $(VENV)/.dev ## audit simulated life: SEED=1 HOURS=168 ACCOUNTS=2000 ENGINE=sqlite, postgres or memory
	@$(BIN)/python -m tests.simulation --seed $(SEED) --hours $(HOURS) --accounts $(ACCOUNTS) --engine $(ENGINE)

lint: $(VENV)/.dev ## check style, formatting and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

PARTS ?= http families
ROWS ?= 10_000_000
bench: $(VENV)/.dev ## measure speed: PARTS=http, families, attacks, or some of "pairs metered reads growth" with ROWS=10_000_000
	@$(BIN)/python -m tests.bench $(PARTS) --rows $(ROWS)

clean: ## remove .venv, caches and built packages; databases stay
	rm -rf .venv .venv-* .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage dist
	find proxy tests -type d -name __pycache__ -prune -exec rm -rf {} +

# A stamp is touched last, so an installation that broke off is repeated. The developer's installation contains
# the runtime's, and answers for both.
$(VENV)/.runtime: pyproject.toml
	$(make-venv)
	@echo 'Installing farebox into $(VENV)'
	@$(PIP) --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml
	$(make-venv)
	@echo 'Installing farebox and its development tools into $(VENV)'
	@$(PIP) --editable '.[dev]'
	@touch $(VENV)/.runtime $@

# Keeps an environment that works. `python3 -m venv` leaves one without pip when ensurepip is not installed. The
# interpreter of another may be gone, or out of range.
define make-venv
@if ! $(BIN)/python -c 'import pip, sys; sys.exit(not $(RANGE))' >/dev/null 2>&1; then \
  version=`$(PYTHON) -c 'import platform; print(platform.python_version())'` \
    || { echo 'Farebox needs Python 3.11 to 3.14, and "$(PYTHON)" does not run. Name one: make PYTHON=/path/to/python3' >&2; exit 1; }; \
  $(PYTHON) -c 'import sys; sys.exit(not $(RANGE))' \
    || { echo "Farebox needs Python 3.11 to 3.14, and \"$(PYTHON)\" is $$version. Name one: make PYTHON=/path/to/python3" >&2; exit 1; }; \
  echo "Making $(VENV) with Python $$version"; \
  $(PYTHON) -m venv --clear $(VENV); \
fi
endef
