# Two commands for newcomers: `make tour` and `make test`. `make` alone lists every verb.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# `pip` reads the pins from the environment, so that every install below obeys them.
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help tour test check lint types format docs bench bench-lineage bench-adapt bench-run replicate-r1 replicate-r1-smollm2 serve lock clean

help: ## list the verbs
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 24

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Seedstock needs Python 3.11 or later; set PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.tour: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing Seedstock with its engine (about a minute) ..."
	$(BIN)/python -m pip install --quiet --editable '.[run,tour,adapt,eval]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing Seedstock with all that its tests need (about two minutes) ..."
	$(BIN)/python -m pip install --quiet --editable '.[run,tour,adapt,eval,ray,postgres,signing,dev]'
	@touch $@ $(VENV)/.tour

tour: $(VENV)/.tour ## publish, download and run a real model, end to end
	$(BIN)/seedstock tour $(TOUR)

test: $(VENV)/.dev ## the whole test suite
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(TESTS)

check: lint types test ## all that continuous integration checks

lint: $(VENV)/.dev ## style and generated docs
	$(BIN)/ruff check src tests scripts recipes
	$(BIN)/ruff format --check src tests scripts recipes
	$(BIN)/python scripts/docs.py --check

types: $(VENV)/.dev ## mypy, strict
	$(BIN)/mypy

format: $(VENV)/.dev ## put the code in its one format
	$(BIN)/ruff check --fix src tests scripts recipes
	$(BIN)/ruff format src tests scripts recipes

docs: $(VENV)/.dev ## write docs/cli.md and docs/api.md
	$(BIN)/python scripts/docs.py

bench: $(VENV)/.dev ## measure against peers and physical floors; writes docs/benchmarks.md
	$(BIN)/python -m tests.bench $(BENCH)

bench-lineage: $(VENV)/.dev ## build families of models, judge what their weights say; writes docs/benchmarks.md
	$(BIN)/python -m tests.bench.lineage.build
	$(BIN)/python -m tests.bench.lineage $(BENCH)

bench-adapt: $(VENV)/.dev ## training, merging and rollouts against the same done bare; writes docs/benchmarks.md
	$(BIN)/python -m tests.bench.adapt $(BENCH)

bench-run: $(VENV)/.dev ## answers through the hub against llama.cpp asked directly, abandoned streams, adapters; writes docs/benchmarks.md
	$(BIN)/python -m tests.bench.run $(BENCH)

replicate-r1: $(VENV)/.dev ## make the small DeepSeek-R1 again, three seeds; writes docs/r1-tiny.md
	$(BIN)/python recipes/r1-tiny/report.py $(R1)

replicate-r1-smollm2: $(VENV)/.dev ## the same steps with SmolLM2-135M, a night; R1=--smoke: only whether they run
	$(BIN)/python recipes/r1-smollm2/fetch.py
	$(BIN)/seedstock recipe run recipes/r1-smollm2/recipe.toml $(R1)

serve: $(VENV)/.tour ## run a hub on this folder's ./seedstock-data
	$(BIN)/seedstock serve

lock: ## pin what a fresh install takes today
	rm -rf .cache/lock && $(PYTHON) -m venv .cache/lock
	PIP_CONSTRAINT= .cache/lock/bin/python -m pip install --quiet '.[run,tour,adapt,eval,ray,postgres,signing,dev]'
	(echo "# Written by 'make lock'. Every install of this repository obeys it."; \
	 .cache/lock/bin/python -m pip freeze --exclude seedstock) > constraints.txt

clean: ## remove what the verbs above made
	rm -rf $(VENV) .cache build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
