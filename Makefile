# Runs with GNU make 3.81 (macOS) and newer, and needs nothing but Python 3.11+ with venv.
# Settings come from the environment and .env (see .env.example); GANS_DATABASE_URL chooses the database.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install
export DAGSTER_HOME ?= $(CURDIR)

.DEFAULT_GOAL := help
.PHONY: help run dev test check lock

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-6s %s\n", $$1, $$2}' Makefile

run: .venv/.run ## Collect all tables from the sandbox into the database, and show what was stored
	@$(BIN)/gans db upgrade
	@$(BIN)/gans refresh --sandbox

dev: .venv/.session ## Dagster's UI on http://127.0.0.1:3000 with the sandbox beside it; Ctrl-C ends both

test: .venv/.dev ## Run the tests (databases: SQLite, MariaDB or MySQL on the PATH, those of GANS_TEST_MYSQL_URL)
	@env -u DAGSTER_HOME $(BIN)/python -m pytest -n auto

check: .venv/.dev ## Lint, formatting, types, Dagster definitions
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/dg check defs

lock: .venv/.dev ## Make requirements*.lock anew after a change of pyproject.toml; for newer releases delete them first
	@$(BIN)/uv pip compile --quiet pyproject.toml --group build --output-file requirements.lock
	@$(BIN)/uv pip compile --quiet pyproject.toml --group build --group dev --constraints requirements.lock \
		--output-file requirements-dev.lock

# An interrupted make tells its recipe nothing, but deletes the file that it was making: the script ends with that file.
.PHONY: FORCE
.venv/.session: .venv/.run FORCE
	@scripts/dev $@

# The stamps are younger than what they were made from, so that a second make installs nothing. The locks are complete:
# --no-deps leaves nothing to resolve, and the project is built by the locked hatchling (--no-build-isolation), offline.
.venv/.venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "Python 3.11 or newer is needed," \
		"$(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo missing): name another with PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments:" \
		"install its venv module (Debian: apt install python3-venv)" >&2; exit 1; }
	@$(PYTHON) -m venv --clear .venv
	@touch $@

.venv/.run: .venv/.venv requirements.lock pyproject.toml
	@echo "Installing the platform into .venv (about a minute) …"
	@$(PIP) --require-hashes --no-deps -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: .venv/.run requirements-dev.lock
	@echo "Installing what tests and checks need …"
	@$(PIP) --require-hashes --no-deps -r requirements-dev.lock
	@touch $@
