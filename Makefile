# make quickstart   install, then train the sample recipe
# make test         install, lint, type-check, run the tests
# make tables       fill the README's tables
# make bench        the fast path beside Trainer + peft, under 15 minutes; DATA=FOLDER where AG News is
# make slow         the tests that train on the real encoder for minutes

PYTHON ?= python3
BIN := .venv/bin

DATA ?= ../shared/data/ag_news

.PHONY: install quickstart test slow bench tables lint clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rankwise needs Python 3.11 or newer; type: make PYTHON=python3.12 install")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

quickstart: install
	$(BIN)/rankwise train quickstart

test: install lint
	$(BIN)/python -m pytest

slow: install
	$(BIN)/python -m pytest -m slow

bench: install
	$(BIN)/python benchmarks/speed.py --data $(DATA)
	$(BIN)/python benchmarks/tables.py

tables: install
	$(BIN)/python benchmarks/tables.py

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache
