# opswatch: what a developer runs. `make setup` is what every other target does first.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

.PHONY: setup demo test check clean requirements
setup: $(VENV)/.installed node_modules/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

node_modules/.installed: package-lock.json
	npm ci --silent --no-audit --no-fund
	touch $@

demo: setup
	$(BIN)/opswatch demo $(if $(KEEP),--keep)

test: setup
	$(BIN)/python -m pytest -n auto

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

requirements: setup
	$(BIN)/python -m opswatch.local.requirements > requirements.txt

clean:
	rm -rf $(VENV) .venv-3.13 node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis
