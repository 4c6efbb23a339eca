# `make` alone prints the targets. `make demo` and `make test` set everything up by themselves.
PYTHON ?=
TORCH  ?= torch==2.13.0
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-browser check mutate kill bench clean

help: ## print this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  make setup TORCH=torch==2.10.0 installs another torch; PYTHON=python3.12 uses another Python (>= 3.11)"

setup: ## make .venv with everything that training, prediction and tests need
	@PYTHON="$(PYTHON)" TORCH="$(TORCH)" VENV="$(VENV)" STAMP="$(STAMP)" bash scripts/setup.sh

demo: setup ## train and score STEP1, STEP2, STEP3 and a small encoder on the project's elementary exam; a few minutes on a CPU
	@$(BIN)/python scripts/demo.py

check: setup ## ruff (lint and format), mypy over src and patches, and the tests of code style and documents
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest tests/house

test: check ## check, then all tests except the slow ones and those in a browser
	@$(BIN)/python -m pytest tests --ignore=tests/house --ignore=tests/browser -m "not slow" -n 2 --dist loadfile

test-slow: setup ## the tests that are marked slow
	@$(BIN)/python -m pytest tests -m slow -n 2 --dist loadfile

test-browser: setup ## the tests of the report's page in Chromium; skipped without Chromium or the package playwright
	@$(BIN)/python -m pytest tests/browser -rs

mutate: setup ## mutation tests: break a copy of the code in known ways, and list what no test catches; some minutes
	@$(BIN)/python tests/mutate.py

kill: setup ## kill and damage trainings 200 times, and compare each with an uninterrupted one; some minutes
	@$(BIN)/python tests/kill.py --kills 200

bench: setup ## two benchmarks that need no GPU, data or model; results go to out/benchmarks
	@$(BIN)/python benchmarks/data.py
	@$(BIN)/python benchmarks/shared_prefix.py

clean: ## remove .venv, build files and the caches of the tools (not ~/.cache/llmtuner)
	rm -rf $(VENV) build src/*.egg-info *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
