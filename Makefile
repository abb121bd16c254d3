# Two commands do everything: `make run` and `make test`. Each builds what it needs in .venv first.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
RUN_READY := .venv/.ready-run
TEST_READY := .venv/.ready-test
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: run demo test check format bench figures screenshots compiled dictionary constraints clean help

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

run: $(RUN_READY) compiled ## serve on http://127.0.0.1:8420 with SQLite under ./data
	@$(BIN)/mailweir serve

demo: $(RUN_READY) compiled ## a gateway at work, with a day behind it, in a temporary database
	@$(BIN)/mailweir demo

test: $(TEST_READY) compiled ## the whole suite, on SQLite and on a real PostgreSQL
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

check: $(TEST_READY) ## format, lint, types, architecture
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/pyright --pythonpath $(BIN)/python
	@$(BIN)/python -m pytest -q tests/test_architecture.py
	@$(BIN)/mailweir mappings check

format: $(TEST_READY) ## format and mend what the linter can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(TEST_READY) compiled ## measure throughput and latency on this machine
	@$(BIN)/python -m bench

figures: $(TEST_READY) compiled ## measure all of it, an hour, and write the tables of docs/performance.md
	@$(BIN)/python -m bench --page docs/performance.md
	@$(BIN)/python -m bench --only others --page docs/performance.md

screenshots: $(TEST_READY) ## take the pictures of the README anew; needs Chromium
	@$(BIN)/python docs/screenshots.py

dictionary: $(TEST_READY) ## make the next dictionary that what is stored is packed with
	@$(BIN)/python -m tests.store.train_dictionary

# Where the environment forbids Python to keep its bytecode, each process would compile all sources anew.
compiled: $(RUN_READY)
	@$(BIN)/python -m compileall -q app adapters mappings

constraints: ## choose anew the exact versions to install, with their hashes
	@$(PYTHON) -m venv .venv-constraints && .venv-constraints/bin/pip install --quiet uv
	@for kind in run test; do .venv-constraints/bin/uv pip compile pyproject.toml --group build \
		$$([ $$kind = test ] && echo --extra test) --universal --python-version 3.11 --generate-hashes --upgrade \
		--no-header --no-annotate --no-emit-index-url --quiet --output-file constraints/$$kind.txt; done
	@rm -rf .venv-constraints

clean: ## remove what the build made; the data stays
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Mailweir needs Python 3.11 or newer; install it and run make again." >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "Python's venv module is missing (Debian: apt-get install python3-venv)." >&2; exit 1; }

$(RUN_READY): pyproject.toml constraints/run.txt | $(BIN)/python
	@echo "Installing Mailweir into .venv ..."
	@$(PIP) --require-hashes -r constraints/run.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(TEST_READY): $(RUN_READY) constraints/test.txt
	@echo "Installing what the tests need ..."
	@$(PIP) --require-hashes -r constraints/test.txt
	@touch $@
