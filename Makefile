# Every command a newcomer or CI needs; `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
# KUBE_CONTEXT=kind-... runs demo and cluster tests on that cluster instead of a local one.
export KUBE_CONTEXT

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | awk -F ':.*?## ' '{printf "  %-15s %s\n", $$1, $$2}'

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, found $$($(PYTHON) --version); set PYTHON=..." >&2; exit 1; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@echo "Installing the project and its tools into $(VENV) (about a minute, once)"
	@$(PY) -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

.PHONY: venv
venv: $(VENV)/.installed ## Create the Python environment

.PHONY: demo
demo: venv ## Show the main job on a local control plane; leaves the cluster up
	@$(PY) -m hack.demo up

.PHONY: demo-down
demo-down: venv ## Remove what `make demo` has started
	@$(PY) -m hack.demo down

.PHONY: test
test: venv ## Lint, types, layers, drift, unit, scenario, cluster, chart, engines: about 13 minutes
	@$(PY) -m hack.lanes

.PHONY: proofs
proofs: venv ## What docs/promises.md rests on: every crash, fault and state, 300 random histories: 15 minutes
	@$(PY) -m hack.lanes proofs

.PHONY: histories
histories: venv ## 300 random histories on a real control plane; a failing one is shrunk
	@$(PY) -m hack.lanes histories

.PHONY: test-fast
test-fast: venv ## Lint, types, layers, unit and scenario tests: seconds
	@$(PY) -m hack.lanes fast

.PHONY: test-engines
test-engines: venv ## The engines' own parsers judge every rendering
	@$(BIN)/pytest tests/engines

.PHONY: test-plugin
test-plugin: venv ## vLLM with the plugin against an independent forward, on the CPU
	@$(BIN)/pytest tests/plugin

.PHONY: fmt
fmt: venv ## Format and fix what can be fixed
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

.PHONY: generate
generate: venv ## Write every generated file anew: CRD, chart copies, install.yaml, reference docs, accuracy
	@$(PY) -m hack.generate

.PHONY: bench
bench: venv ## Measure for half an hour; writes docs/benchmarks.md and its plot
	@$(PY) -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	@$(PY) -m hack.bench
