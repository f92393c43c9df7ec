# opswatch: what a developer runs. `make setup` is what every other target does first.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# One test process more than processors: some wait for a server or a clock.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
# Else each process of the tests compiles what it imports again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test check reference pictures simulate mutants chaos kills load fuzz fuzz-api pollers infra-check snapshots clean requirements release
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

# All tests. Of long searches (random actions, fuzzing, faults of many kinds) a share runs, and with
# THOROUGH=1, as .ci/run sets it, all. The tests of the page need Chromium and say so without it.
# What is installed first is installed side by side. Neighbouring tests share their servers, so each
# process gets a run of them (worksteal), and not every third.
test:
	$(MAKE) --no-print-directory --jobs=3 setup .venv-fastapi/.installed
	$(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=worksteal

# A receiver of 2022 for the tests, in an environment of its own: it needs pydantic 1.
.venv-fastapi/.installed:
	$(PYTHON) -m venv .venv-fastapi
	.venv-fastapi/bin/python -m pip install --quiet --disable-pip-version-check \
	  fastapi==0.75.0 httptools uvicorn==0.17.6
	touch $@

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/mypy

# Writes the sections of docs/reference.md that come from the code.
reference: setup
	$(BIN)/python -m tests.docs.reference

# Draws the README's pictures of the page; needs Chromium.
pictures: setup
	$(BIN)/python -m tests.page.pictures

# 100,000 runs of the deterministic simulation; SEED and RUNS can be given.
simulate: setup
	$(BIN)/python -m tests.simulation --runs $(or $(RUNS),100000) --jobs 2 $(if $(SEED),--seed $(SEED))

# Every seeded bug of the simulation is found within RUNS seeds; some minutes.
mutants: setup
	$(BIN)/python -m tests.simulation --mutants --runs $(or $(RUNS),1500) --jobs 2

# Real processes, killed, paused and starved for some minutes; then everything must add up.
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

# Schemathesis against the running app, without keys, with a viewer's and with an operator's; some
# minutes. EXAMPLES an operation of the API, and SEED, can be given.
fuzz-api: setup
	$(BIN)/python -m tests.web.fuzz --examples $(or $(EXAMPLES),300) $(if $(SEED),--seed $(SEED))

# Several versions of azure-core: its pollers over HTTP, and the client as their polling method; needs
# the package index.
pollers: setup
	tests/web/ladder.sh $(BIN)/python

# checkov needs old versions of many packages, so it has its own environment.
infra-check: .venv-checkov/.installed
	$(PYTHON) tests/infra/as_arm.py .venv-checkov/templates
	.venv-checkov/bin/checkov --config-file infra/checkov.yaml

.venv-checkov/.installed:
	$(PYTHON) -m venv .venv-checkov
	.venv-checkov/bin/python -m pip install --quiet --disable-pip-version-check checkov==3.3.30
	touch $@

# Writes the kept snapshots of the templates, after a deliberate change; needs the Bicep CLI.
snapshots: setup
	$(BIN)/python -m tests.infra.snapshots

# Locks what Azure installs, for every supported Python and platform; needs the package index.
requirements: setup
	{ echo '# What Azure installs, locked from pyproject.toml by `make requirements`.'; \
	  $(BIN)/uv pip compile pyproject.toml --extra app --universal --python-version 3.11 --generate-hashes --no-header --quiet; \
	} > requirements.new
	mv requirements.new requirements.txt

# Builds the wheel and the sdist in dist, and tries them in empty environments; needs the package index.
release: setup
	rm -rf dist
	$(BIN)/uv build --quiet --out-dir dist
	$(BIN)/python -m tests.release dist --demo

clean:
	rm -rf dist $(VENV) .venv-3.13 .venv-checkov .venv-fastapi .venv-fuzz .fuzz node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis
