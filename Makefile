# `make demo` shows what this project does; `make test` is the one gate. Both work on a machine that has make, a C compiler
# and Python 3.11 or later, and nothing else of ours.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help demo test lint programs screenshots docs docs-serve soak fuzz bench clean
.DELETE_ON_ERROR:

help:
	@echo "make demo    source, buffer and writer on this machine: an acquisition of pulses that are already in the past"
	@echo "make test    lint and the test suite, as the continuous integration runs it"
	@echo "make screenshots  takes the pictures of the documentation anew, from the real pages in Chromium"
	@echo "make docs    the documentation as a site, in site/; make docs-serve shows it at http://127.0.0.1:8000 while you write"
	@echo "make lint    ruff, mypy and the contracts between the folders"
	@echo "make soak    the tests that repeat things, often enough to find what is rare; make fuzz; an hour of faults, SOAK_MINUTES=3 for less"
	@echo "make fuzz    a million damaged inputs, some 15 minutes, FUZZ_INPUTS=10000 for less; make fuzz-value lets atheris look for more"
	@echo "make bench   all benchmarks, some minutes; make bench-relay one of limits relay writer start memory reading store"
	@echo "make clean   removes $(VENV), caches and build products"
	@echo "PYTHON=python3.12 make …   takes another interpreter (3.11 or later)"

# The stamp is newer than pyproject.toml once everything is installed: later calls start at once.
$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "sf_bsread_writer needs Python 3.11 or later; '$(PYTHON)' says: $$($(PYTHON) --version 2>&1 || true)" >&2; \
	  echo "Name another one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Installing into $(VENV) (about a minute) …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test,lint]'
	@touch $@

demo: $(INSTALLED)
	@$(BIN)/sf_bsread demo

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

test: programs lint
	$(BIN)/pytest

# Programs that some tests start and pip does not bring, by the names of their Debian packages. The gate is whole where they can
# be installed; elsewhere those tests are skipped.
programs:
	@has() { command -v "$$1" >/dev/null; }; \
	has chromium || has chromium-browser || has google-chrome || set -- chromium; \
	has prometheus && has promtool || set -- "$$@" prometheus; \
	[ $$# -gt 0 ] || exit 0; \
	if has apt-get && [ "$$(id -u)" = 0 ]; then \
	  echo "Installing the Debian packages of programs that tests start: $$* …"; \
	  export DEBIAN_FRONTEND=noninteractive; \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends "$$@" >/dev/null && exit 0; fi; \
	echo "NOT CHECKED: tests that start programs of the packages $$* (Debian's names) are skipped; root may install them"

# The pictures of the documentation, taken from the real pages.
screenshots: $(INSTALLED)
	SCREENSHOTS=.artefacts/screenshots $(BIN)/pytest tests/dashboard/test_pictures.py
	cp .artefacts/screenshots/dashboard-*.png docs/images/

# The theme would print a page that recommends another program.
docs docs-serve: export NO_MKDOCS_2_WARNING := 1

docs: $(INSTALLED)
	$(BIN)/mkdocs build
	@echo "site/index.html; any web server can show the folder"

docs-serve: $(INSTALLED)
	$(BIN)/mkdocs serve

SOAK_MINUTES ?= 60

soak: $(INSTALLED)
	SOAK_KILLS=100 $(BIN)/pytest -m soak --timeout 1200 --log-cli-level INFO
	@$(BIN)/python -m fuzz --inputs $(FUZZ_INPUTS)
	@$(BIN)/python -m soak --minutes $(SOAK_MINUTES) $(if $(SOAK_SEED),--seed $(SOAK_SEED))

FUZZ_INPUTS ?= 1000000

fuzz: $(INSTALLED)
	@$(BIN)/python -m fuzz --inputs $(FUZZ_INPUTS) $(if $(FUZZ_SEED),--seed $(FUZZ_SEED))

FUZZ_RUNS ?= 1000000

fuzz-%: $(INSTALLED)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[fuzz]'
	@$(BIN)/python -m fuzz.guided $* -runs=$(FUZZ_RUNS)

# Figures mean something on a machine that does nothing else; a C compiler and libzmq3-dev bring one more peer.
bench: $(INSTALLED)
	@$(BIN)/python -m bench

bench-%: $(INSTALLED)
	@$(BIN)/python -m bench $*

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist *.egg-info .artefacts demo-output soak-output site
	find sf_bsread_writer tests -name __pycache__ -type d -prune -exec rm -rf {} +
