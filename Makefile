# opswatch: what a developer runs. `make setup` is what every other target does first.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

.PHONY: setup demo test check simulate chaos kills load fuzz infra-check clean requirements
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

# 100,000 runs of the deterministic simulation; SEED and RUNS can be given.
simulate: setup
	$(BIN)/python -m tests.simulation --runs $(or $(RUNS),100000) --jobs 2 $(if $(SEED),--seed $(SEED))

# Real processes, killed, paused and starved for some minutes; then the books must balance.
chaos: setup
	$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED))

# Real processes, killed at 200 random instants while 300 deliveries are under way; some eight minutes.
kills: setup
	$(BIN)/python -m tests.chaos.kills $(if $(SEED),--seed $(SEED))

# 20,000 watches at once: memory over a simulated hour, punctuality and rate; WATCHES can be given.
# Half an hour; needs Linux.
load: setup
	$(BIN)/python -m benchmarks.many_watches $(if $(WATCHES),--watches $(WATCHES))

# libFuzzer on the core's parsers; RUNS a target. An input that breaks something is kept in .fuzz.
# atheris has an environment of its own: it is not for every machine.
fuzz: .venv-fuzz/.installed
	for target in intake arm shaped-intake shaped-arm; do \
	  .venv-fuzz/bin/python -m tests.fuzz.atheris_targets $$target -runs=$(or $(RUNS),50000) || exit 1; \
	done

.venv-fuzz/.installed:
	$(PYTHON) -m venv .venv-fuzz
	.venv-fuzz/bin/python -m pip install --quiet --disable-pip-version-check atheris==3.0.0 hypothesis isodate msgspec
	touch $@

# checkov brings old versions of much: it has an environment of its own.
infra-check: .venv-checkov/.installed
	.venv-checkov/bin/checkov --config-file infra/checkov.yaml

.venv-checkov/.installed:
	$(PYTHON) -m venv .venv-checkov
	.venv-checkov/bin/python -m pip install --quiet --disable-pip-version-check checkov==3.3.30
	touch $@

requirements: setup
	$(BIN)/python -m opswatch.local.requirements > requirements.txt

clean:
	rm -rf $(VENV) .venv-3.13 .venv-checkov .venv-fuzz .fuzz node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis
