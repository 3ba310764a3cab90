# fabench: make run trains, make test tests; make help lists the rest.

PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: .venv/installed  ## train DFA on MNIST parity, k=3, three seeds
	$(BIN)/fabench run learning_rule=dfa k=3

figures: .venv/installed  ## compute what is missing and draw the thesis's figures and tables
	$(BIN)/fabench figures all

# One thread a worker: two workers with two threads each would wait for each other.
test test-full: export OMP_NUM_THREADS = 1

test: .venv/installed-test  ## run the test suite
	$(BIN)/python -m pytest -q -n 2

test-full: .venv/installed-test  ## run the suite with the slow tests
	$(BIN)/python -m pytest -q -n 2 -m ''

lint: .venv/installed-test  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:  ## remove .venv and caches; results stay
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/installed-test: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@ .venv/installed

.PHONY: help run figures test test-full lint clean
