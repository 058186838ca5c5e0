# Each target is one command that also works by hand. On a fresh machine only make and Python 3.11 with pip and venv are needed.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
SERVICES := identity inference compliance billing
PROGRAMS := cli gateway $(SERVICES:%=services/%)
LOCKS := requirements-dev.lock requirements-ner.lock $(PROGRAMS:%=%/requirements.lock)
export PYTHONPATH := $(CURDIR):$(CURDIR)/protos/gen
# Two workers: the machines that run this have two cores. `make test TESTS=tests/billing` runs a part.
TESTS ?= tests
PYTEST ?= $(PY) -m pytest -n 2 --dist loadgroup

.PHONY: help venv up test check lint contracts configs locks protos bench phi-eval faults lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

venv: $(READY) ## the environment: every dependency, pinned by hash

$(READY): requirements-dev.lock requirements-ner.lock
	@python=; for name in $${PYTHON:-python3.11 python3 python}; do \
	  if "$$name" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then python=$$name; break; fi; done; \
	if [ -z "$$python" ]; then echo "Python 3.11 was not found; name it with PYTHON=/path/to/python3.11" >&2; exit 1; fi; \
	[ -x $(PY) ] || "$$python" -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --no-input --no-deps --only-binary :all: --require-hashes -r requirements-dev.lock
	$(PY) -m pip install --quiet --disable-pip-version-check --no-input --no-deps --only-binary :all: --ignore-requires-python --require-hashes -r requirements-ner.lock
	@ln -sfn ../../hasp $(VENV)/bin/hasp
	@touch $@

up: $(READY) ## run the suite; Ctrl-C stops it
	@exec ./hasp up

test: $(READY) ## every test but the load tests and the long fault runs
	$(PYTEST) -m "not long" --ignore tests/load $(TESTS)

check: lint contracts configs locks test ## everything that CI runs

lint: $(READY) ## style, types, direction of imports
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m pyright
	$(VENV)/bin/lint-imports

contracts: $(READY) ## buf lint and breaking, stubs fresh
	$(PY) protos/generate.py --check

configs: $(READY) ## Envoy's and compose's configuration
	$(PY) -m gateway.render --validate
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

locks: ## lock files hold versions and hashes, no addresses
	@if grep -nE '://|^ *--(extra-)?index|^ *--find' $(LOCKS); then echo "an address in a lock file" >&2; exit 1; fi

protos: $(READY) ## stubs, descriptor set and documentation from the contracts
	$(PY) protos/generate.py

bench: $(READY) ## overhead of the whole path as a ratio to the direct call
	$(PY) -m tests.load.bench

# DATA: folders of JSONL. BASELINE=1: Presidio with its defaults too (minutes). LATENCY=1: p50, p95, p99 by length. More: ARGS="--misses 20".
DATA ?= tests/phi_eval/small
phi-eval: $(READY) ## the PHI guard's recall, precision and speed on DATA; BASELINE=1 LATENCY=1
	$(PY) -m tests.phi_eval $(DATA) $(if $(BASELINE),--baseline) $(if $(LATENCY),--latency) $(ARGS)

faults: $(READY) ## the long form of the fault tests; they print their figures
	$(PY) -m pytest -s -m long --timeout 5400 tests/faults tests/identity

lock: $(READY) ## resolve every lock file again
	$(PY) -m venv build/lock && build/lock/bin/pip install --quiet --disable-pip-version-check uv==0.13.9
	build/lock/bin/uv pip compile $(COMPILE) -o requirements-dev.lock --group pyproject.toml:dev $(PROGRAMS:%=%/pyproject.toml)
	for folder in $(PROGRAMS); do \
	  build/lock/bin/uv pip compile $(COMPILE) -c requirements-dev.lock -o $$folder/requirements.lock $$folder/pyproject.toml; done
COMPILE := --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11

clean: ## what was built; .hasp with its databases and keys stays
	rm -rf $(VENV) build .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
