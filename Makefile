# The house's four verbs: setup, demo, test, lint. Needs make, Python 3.11 or newer, and whatever pip is set up to use.
#   make setup PYTHON=python3.12    another interpreter for the environment

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
DEMO := out/demo

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint clean

help:
	@echo "make setup   build .venv with pain3d and what its development needs (minutes the first time)"
	@echo "make demo    six identities, labelled, in $(DEMO); prints where the contact sheet and the report are"
	@echo "make test    all tests"
	@echo "make lint    ruff, codespell, and mypy --strict on an installed copy"
	@echo "make clean   remove build, demo and caches; .venv stays"

setup: $(STAMP)

# Written last: an interrupted set-up is done again.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("pain3d needs Python 3.11 or newer: make setup PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@echo "installing into .venv"
	@rm -f $(STAMP)
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $(STAMP)

# Only a folder that bears the mark of a pain3d run is cleared; into anything else pain3d refuses to write.
demo: $(STAMP)
	@if [ -f $(DEMO)/config.resolved.yaml ]; then rm -rf $(DEMO); fi
	@$(BIN)/pain3d synth $(DEMO) --identities 6 --seed 0

# The command pytest, not python -m pytest: that would put the folders kernels, pipeline and training on sys.path.
test: $(STAMP)
	@$(BIN)/pytest

# mypy looks at a copy that is installed as users install it: the editable tree has its folders under other names.
# build/lib goes first because setuptools would carry deleted modules over from it.
lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/codespell
	@rm -rf build/lib build/mypy
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation --target build/mypy .
	@MYPYPATH=build/mypy $(BIN)/mypy --strict -p pain3d

clean:
	@if [ -f $(DEMO)/config.resolved.yaml ]; then rm -rf $(DEMO); fi
	@rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	@find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
