# make run      a broker on localhost:9092 (ARGS="--topic orders:3" for more, `make run ARGS=--help` for all)
# make test     the tests
# make check    format, lint, types, import contracts, tidiness, then the tests
# make bench    speed, beside Apache Kafka where Java is there
# make compat   stock clients against us, and against Apache Kafka where Java is there; then data directories that
#               change owner between the two
# make golden   frames written again by Apache Kafka's own serializers (needs Java and Maven)
# make fuzz     the long version of the robustness tests
#
# PYTHON=/path/to/python picks the interpreter; ARGS= is handed on.

VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
INPUTS := pyproject.toml .ci/constraints.txt .ci/setup

.PHONY: run test check lint bench compat golden fuzz clean
.DEFAULT_GOAL := run

run: $(VENV)/.ready-to-run
	@exec $(BIN)/python -m kbroker serve $(ARGS)

test: $(VENV)/.ready-to-test
	$(BIN)/python -m pytest $(ARGS)

check: lint
	@$(MAKE) --no-print-directory test

lint: $(VENV)/.ready-to-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/test_tidy.py

bench: $(VENV)/.ready-to-test
	$(BIN)/python -m tests.bench $(ARGS)

compat: $(VENV)/.ready-to-test
	$(BIN)/python -m compat --with-kafka $(ARGS)
	$(BIN)/python -m compat.interchange

golden: $(VENV)/.ready-to-test
	$(BIN)/python -m compat.reference.golden $(ARGS)

fuzz: $(VENV)/.ready-to-test
	KBROKER_FUZZ=1 $(BIN)/python -m pytest tests/wire tests/record tests/protocol_specs tests/log/crash $(ARGS)

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# Core packages are enough to serve; the tests' environment serves too.
$(VENV)/.ready-to-run: $(INPUTS)
	@.ci/setup $(VENV)
	@touch $@

$(VENV)/.ready-to-test: $(INPUTS)
	@.ci/setup $(VENV) test,check
	@touch $@ $(VENV)/.ready-to-run
