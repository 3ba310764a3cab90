# fabench: make run trains, make test tests; make help lists the rest.

PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: .venv/installed  ## train DFA on MNIST parity, k=3, three seeds
	$(BIN)/fabench run learning_rule=dfa k=3

figures: .venv/installed  ## compute what is missing and draw the figures; seed=ten: of ten seeds
	$(BIN)/fabench figures all $(if $(seed),seed=$(seed))

TUNE := $(BIN)/fabench tune -m
OPTIMIZERS := $(addprefix tuned-,sgd momentum nesterov adagrad adadelta rmsprop adam adamax nadam amsgrad)
TUNED := $(addprefix tuned-,long lazy feedback clusters-sgd clusters-rmsprop bits) $(OPTIMIZERS)

tuned: $(TUNED)  ## choose the figures' learning rates anew, into conf/tuned (for a GPU: -j 16)

$(OPTIMIZERS): tuned-%: .venv/installed
	$(TUNE) learning_rule=bp,dfa optimizer=$*

tuned-feedback: .venv/installed
	$(TUNE) learning_rule=dfa optimizer=sgd init_of_B=standard_uniform,gaussian,standard_gaussian

tuned-lazy: .venv/installed
	$(TUNE) learning_rule=ntk,relu_features,gaussian_features,linear_features optimizer=adadelta k=1

tuned-long: .venv/installed
	$(TUNE) experiment=fig_3_2 optimizer=sgd,rmsprop

tuned-clusters-sgd: .venv/installed
	$(TUNE) dataset=clusters trainer=full_batch learning_rule=bp,dfa,relu_features optimizer=sgd optimizer.lr=0.5 tune.span=30

tuned-clusters-rmsprop: .venv/installed
	$(TUNE) dataset=clusters trainer=full_batch learning_rule=bp,dfa,relu_features optimizer=rmsprop optimizer.lr=0.002 tune.span=30

tuned-bits: .venv/installed
	$(TUNE) dataset=sparse_parity dataset.n=40 model.bias=true learning_rule=bp,dfa,ntk,relu_features optimizer=sgd optimizer.lr=0.3

# One thread a worker: two workers with two threads each would wait for each other.
test test-full test-slurm fuzz: export OMP_NUM_THREADS = 1
# Tests start many processes: bytecode is kept, whatever the environment says.
test test-full test-slurm fuzz: export PYTHONDONTWRITEBYTECODE =

test: .venv/installed-test  ## run the test suite
	$(BIN)/python -m pytest -q -n 2

test-full: .venv/installed-test  ## run the suite with the slow tests
	$(BIN)/python -m pytest -q -n 2 -m ''

test-slurm: .venv/installed-test  ## run what needs a Slurm; on Debian, as root, start one
	tests/slurm/start
	$(BIN)/python -m pytest -q -m '' tests/slurm

fuzz: .venv/installed-test  ## 5,000 random command lines, 2,000 trainings, 500 damaged run folders
	FUZZ=1 $(BIN)/python -m pytest -q -n 3 tests/fuzz

lint: .venv/installed-test  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:  ## remove .venv and caches; results stay
	rm -rf .venv .hypothesis .pytest_cache .mypy_cache .ruff_cache dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile --editable .
	touch $@

.venv/installed-test: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[test]'
	touch $@ .venv/installed

.PHONY: help run figures tuned test test-full test-slurm fuzz lint clean
.PHONY: $(TUNED)
