PYTHON ?= python3
BIN := .venv/bin
EXPORT := --generate-hashes --no-emit-index-url --python-version 3.11 --no-annotate --custom-compile-command "make lock" --quiet
# One more than the two cores that are counted on: many tests wait for processes, deadlines and disks.
WORKERS ?= 3

.PHONY: setup demo serve test check bench lock clean

setup: .venv/.complete ## make .venv from the lock file

.venv/.complete: requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## run the main job on SQLite and local processes
	$(BIN)/yingbi demo

serve: setup ## the same, and leave it running
	$(BIN)/yingbi demo --keep-running

test: setup ## run all tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

check: setup ## format, lint, types, import arrows, lock, documentation
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python docs/tools/lock.py --check
	$(BIN)/python docs/tools/check.py

bench: setup ## measure; prints the machine and medians
	$(BIN)/python -m bench

lock: setup ## resolve anew: everything, and what development needs, at the same versions
	$(BIN)/uv pip compile pyproject.toml --all-extras $(EXPORT) --output-file requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra hub --extra node --extra federated --extra models --extra chain --extra dev --constraint requirements.lock $(EXPORT) --output-file requirements-dev.lock

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis node_modules
