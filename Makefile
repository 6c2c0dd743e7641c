# Two commands do everything: `make demo` crawls the bundled site, `make test` passes the tests.
# Each builds its own environment in .venv first, when pyproject.toml has changed.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help setup demo test slow bench lint check docs clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

.venv/.ready: pyproject.toml
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear .venv || { rm -rf .venv; \
	  echo "This needs Python's venv module; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/pip install --quiet --disable-pip-version-check --use-pep517 -e '.[dev]'
	@touch $@

setup: .venv/.ready ## an environment in .venv with the program and what its tests need

demo: .venv/.ready ## crawl the bundled demo site: the whole program, with no network
	$(BIN)/crawler demo

test: .venv/.ready ## the test suite (about five minutes on two cores)
	@# Where Python caches nothing (PYTHONDONTWRITEBYTECODE) each of 200 starts would compile the program: 0.3 s.
	@$(BIN)/python -m compileall -q crawler
	@# The long tests stand in a few folders: whoever is through takes over half of what the other has left.
	$(BIN)/pytest -q -n 2 --dist worksteal

slow: .venv/.ready ## the long tests: real documentation sites behind nginx, soaks, politeness at scale
	$(BIN)/pytest -q -m slow

bench: .venv/.ready ## ours and its peers, measured (about an hour; `python -m bench --help` for less)
	$(BIN)/python -m bench all

lint: .venv/.ready ## ruff, mypy --strict and the import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

check: lint test ## everything CI runs

docs: .venv/.ready ## docs/reference.md, written from the code
	$(BIN)/python -m crawler.cli.reference_page > docs/reference.md

clean: ## forget the environment and every cache
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
