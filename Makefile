# Everything runs in .venv, which is created on first use. `make help` lists the targets.
PYTHON ?= python3
BIN := .venv/bin
SLOTS := packages/hydra-slots
HYDRA_VERSIONS ?= 1.3.2 1.4.0rc3
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help install demo test test-slow test-faults test-hydra test-slurm lint format docs picture bench clean
.DEFAULT_GOAL := help

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

install: .venv/installed ## Set up .venv with everything that demo, test and lint need

.venv/installed: pyproject.toml $(SLOTS)/pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable $(SLOTS) --editable ".[test,lint]"
	touch $@

demo: install ## Compare 5 regularizers on scikit-learn's digits, 8 seeds each
	$(BIN)/rdrop-exp -m sweep=demo

test: install ## Run the test suite (no network, GPU or account needed)
	$(BIN)/python -m pytest -n 2 --dist worksteal
	cd $(SLOTS) && ../../$(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: install ## Run the slow tests as well
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not faults and not gpu"
	cd $(SLOTS) && ../../$(BIN)/python -m pytest -n 2 --dist worksteal -m "not faults"

test-faults: install ## Inject a fault at every file operation of a trial, and kill workers and runners at random (about 5 minutes)
	$(BIN)/python -m pytest -s -m faults tests/faults
	cd $(SLOTS) && ../../$(BIN)/python -m pytest -s -m faults tests/test_faults.py

test-hydra: ## Run the tests of hydra-slots with other versions of Hydra, each in a new environment
	@for version in $(HYDRA_VERSIONS); do echo "== Hydra $$version"; \
	$(PYTHON) -m venv .venv-hydra-$$version && \
	.venv-hydra-$$version/bin/python -m pip install --quiet "hydra-core==$$version" --editable "$(SLOTS)[test]" && \
	(cd $(SLOTS) && ../../.venv-hydra-$$version/bin/python -m pytest -n 2 --dist worksteal -m "not faults") || exit 1; done

test-slurm: install ## Run a sweep on a real Slurm, with preemption, scancel and a killed daemon (root; apt-get installs Slurm; 10 minutes)
	$(BIN)/python -m tests.slurm

lint: install ## Check style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/oxlint rdrop_exp
	$(BIN)/mypy
	cd $(SLOTS) && ../../$(BIN)/mypy

format: install ## Fix style and formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/docs ## Regenerate docs/options.md from options.py, and build the documentation site in site/
	$(BIN)/python -m rdrop_exp.config.reference > docs/options.md
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --config-file docs/site/mkdocs.yml
	@echo "Built site/index.html (python -m http.server -d site serves it with its search)"

.venv/docs: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	touch $@

picture: demo ## Draw docs/report.png from the demo's report (needs Chromium)
	$(BIN)/python docs/picture.py outputs/demo docs/report.png

bench: install ## Run every CPU benchmark (about an hour)
	@for file in $(filter-out benchmarks/plain.py benchmarks/clock.py,$(wildcard benchmarks/*.py)); do echo "== $$file"; $(BIN)/python $$file || exit 1; done

clean: ## Remove build files, caches and results (keeps .venv and data)
	rm -rf build dist site *.egg-info .mypy_cache .ruff_cache .hypothesis .pytest_cache outputs/*/
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +
