# Everything runs in .venv, made on first use. `make help` lists the targets.
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help install demo test test-slow test-faults test-hydra-next lint format bench clean
.DEFAULT_GOAL := help

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

install: .venv/installed ## Set up .venv with everything that demo, test and lint need

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test,lint]"
	touch $@

demo: install ## The main job on scikit-learn's digits: 8 regularizers x 3 seeds, and the comparison
	$(BIN)/rdrop-exp -m sweep=demo

test: install ## The test suite: no network, GPU or account
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: install ## The slow tests as well
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not faults and not gpu"

test-faults: install ## Kill workers and runners at random; nothing may be lost
	$(BIN)/python -m pytest -m faults

test-hydra-next: install ## The launcher's tests with Hydra's release candidate, in a second environment
	$(PYTHON) -m venv --system-site-packages .venv-next
	.venv-next/bin/python -m pip install --quiet --upgrade "hydra-core==1.4.0rc3" pytest pytest-timeout rich cloudpickle
	PYTHONPATH=. .venv-next/bin/python -m pytest tests/launch

lint: install ## Style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install ## Repair style and formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install ## Every benchmark that a CPU can run; each prints its table
	@for file in $(filter-out benchmarks/plain.py benchmarks/clock.py,$(wildcard benchmarks/*.py)); do echo "== $$file"; $(BIN)/python $$file || exit 1; done

clean: ## Remove what was built and written here, but not .venv and data
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .hypothesis .pytest_cache outputs/*/
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +
