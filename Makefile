# make quickstart   install what training needs, then train the sample recipe
# make test         install the rest, lint, type-check, run the tests
# make quick        the tests that train nothing, under two minutes
# make slow         the tests that train on the real encoder for minutes
# make tables       fill the README's tables, and write docs/keys.md
# make bench        the fast path beside Trainer + peft, under 15 minutes; DATA=FOLDER where AG News is

PYTHON ?= python3
BIN := .venv/bin
# Modules are compiled when they are first imported: most of those that torch and its like bring never are.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt
PARALLEL := --numprocesses auto --dist worksteal

DATA ?= ../shared/data/ag_news

.PHONY: install quickstart test quick slow bench tables lint clean

install: .venv/installed-dev

# a worker has a core: numpy on two threads in each of two workers takes longer than on one
PYTEST := OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest $(PARALLEL)

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rankwise needs Python 3.11 or newer; type: make PYTHON=python3.12 install")'
	$(PYTHON) -m venv .venv

.venv/installed-run: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable '.[train,minilm]'
	touch $@

.venv/installed-dev: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable '.[dev]'
	touch .venv/installed-run $@

quickstart: .venv/installed-run
	$(BIN)/rankwise train quickstart

test: install lint
	$(PYTEST)

quick: install
	$(PYTEST) -m 'not slow and not long'

slow: install
	$(PYTEST) -m slow

bench: install
	$(BIN)/python benchmarks/speed.py --data $(DATA)
	$(BIN)/python benchmarks/tables.py

tables: install
	$(BIN)/python benchmarks/tables.py
	$(BIN)/rankwise recipes keys > docs/keys.md

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache
