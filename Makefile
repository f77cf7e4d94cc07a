# make setup    an environment in .venv with vidsift in it
# make demo     films and random models of its own making, ingested and asked
# make test     what CI runs: formatting, lint, types, tests
# make fix      let the formatter and the linter mend what they can

PYTHON ?= python3
BIN := .venv/bin
# faiss-gpu where there is a GPU, else faiss-cpu; they are one module and exclude each other.
FAISS ?= $(if $(shell command -v nvidia-smi 2>/dev/null),gpu,cpu)
OUT := demo-out

.PHONY: setup dev demo test fix clean

setup: .venv/installed
dev: .venv/installed-dev

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -qq --editable '.[$(FAISS)]'
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/pip install -qq --editable '.[$(FAISS),dev]'
	touch $@

demo: setup
	rm -rf $(OUT)
	$(BIN)/python -m demo $(OUT)/videos --count 12 --seed 0
	$(BIN)/python -m demo.checkpoints $(OUT)/models
	@echo
	@echo "These models are random: real architectures that have learnt nothing. The machinery is real, the answers are not."
	@echo
	$(BIN)/vidsift ingest $(OUT)/videos --library $(OUT)/library --classifier $(OUT)/models/classifier --embedder $(OUT)/models/embedder
	@echo
	$(BIN)/vidsift search "people baking a cake" --library $(OUT)/library -k 3
	@echo
	$(BIN)/vidsift search "a red disc moving to the left" --library $(OUT)/library -k 3
	@echo
	$(BIN)/vidsift sql "select label, count(*) as clips, round(avg(score), 2) as mean_score from labels where rank = 1 group by label order by clips desc, label" --library $(OUT)/library

test: dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest

fix: dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv $(OUT) build *.egg-info
