# make run: the daemon with the default rules on 127.0.0.1:9920 (ARGS="--listen HOST:PORT" and other options).  make test: every test.  Needs Python >= 3.11.
PYTHON ?= python3
BIN := .venv/bin
LOCK := deploy/requirements.lock
TEST_LOCK := deploy/requirements-test.lock
OLD := "responder needs Python 3.11 or later, and $(PYTHON) is %d.%d: make PYTHON=python3.11 TARGET" % sys.version_info[:2]
VENV := test -x $(BIN)/python || { $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and $(OLD))' && $(PYTHON) -m venv .venv; }

.PHONY: run test check bench docs lock clean

run: .venv/run
	$(BIN)/responder run $(ARGS)

test: .venv/test check
	$(BIN)/pytest -n auto --dist worksteal

check: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/test
	$(BIN)/python -m tests.bench

docs: .venv/test
	$(BIN)/python deploy/reference.py

lock:
	$(PYTHON) deploy/lock.py

.venv/run: $(LOCK) pyproject.toml
	@$(VENV)
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r $(LOCK)
	$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

.venv/test: $(LOCK) $(TEST_LOCK) pyproject.toml
	@$(VENV)
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r $(TEST_LOCK)
	$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch .venv/run $@

clean:
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache
