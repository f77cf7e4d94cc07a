# make setup    an environment in .venv with vidsift in it
# make demo     films of its own making, ingested with the pocket models and asked; answers beside the truth
# make pocket   train the pocket models again, from a seed (within 90 minutes on 2 cores; goes on where it was interrupted)
# make check    what takes seconds: formatting, lint, who imports whom, types
# make quick    that and the tests without those that start Ray or many processes
# make test     what CI runs: that and the tests
# make fix      let the formatter and the linter mend what they can
# make docs     build the documentation into site/, without a network, and check its links
# make docs-reference   write docs/reference anew from the commands and the tables

PYTHON ?= python3
BIN := .venv/bin
# faiss-gpu where there is a GPU, else faiss-cpu; they are one module and exclude each other.
FAISS ?= $(if $(shell command -v nvidia-smi 2>/dev/null),gpu,cpu)
# Three test processes on two cores: many tests wait for Ray to start. --dist worksteal keeps a file's tests together until one of them has nothing left to do.
PYTEST := $(BIN)/pytest --numprocesses 3 --dist worksteal
OUT := demo-out
WORK := pocket-work

.PHONY: setup dev demo pocket check quick test fix docs docs-reference clean

setup: .venv/installed
dev: .venv/installed-dev

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -qq --editable '.[$(FAISS)]'
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/pip install -qq --editable '.[$(FAISS),dev]'
	touch $@

.venv/installed-docs: .venv/installed
	$(BIN)/pip install -qq --editable '.[$(FAISS),docs]'
	touch $@

demo: setup
	rm -rf $(OUT)
	$(BIN)/vidsift demo $(OUT)

pocket: setup
	$(BIN)/python -m demo.recipe $(WORK) --install

check: dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

quick: check
	$(PYTEST) -m "not slow and not on_ray and not full_size and not hub"

test: check
	$(PYTEST)

fix: dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: .venv/installed-docs docs-reference
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-reference: setup
	$(BIN)/python -m docs.generate

clean:
	rm -rf .venv $(OUT) site build *.egg-info
