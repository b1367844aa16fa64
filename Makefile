# Every target sets itself up: a .venv with the locked packages and this project. Needs Python 3.11 to 3.13 and make.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
LOCKED := --universal --python-version 3.11 --generate-hashes --no-strip-extras \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate --quiet
COMPILE := $(BIN)/uv pip compile pyproject.toml $(LOCKED)

.PHONY: help demo test lint lock clean

help: ## Show what there is to make
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 8

demo: $(READY) ## 256 portraits, three edits, end to end, under runs/demo/
	$(BIN)/python -m pipelines.demo

test: $(READY) ## Run the tests
	$(BIN)/python -m pytest

lint: $(READY) ## Check style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lock: $(READY) ## Resolve pyproject.toml again: requirements-dev.lock for developers, requirements.lock to run, -readers for a test
	$(COMPILE) --group dev --upgrade -o requirements-dev.lock
	$(COMPILE) --constraints requirements-dev.lock -o requirements.lock
	$(BIN)/uv pip compile --group pyproject.toml:readers $(LOCKED) --upgrade -o requirements-readers.lock

clean: ## Remove the environment and everything the demo and the trainings wrote
	rm -rf .venv runs build *.egg-info

$(READY): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "coral needs Python 3.11 to 3.13; name one: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Installing the locked packages into .venv (about 7 GB, a few minutes) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)
