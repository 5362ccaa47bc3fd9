PYTHON ?= python3
BIN := .venv/bin

.PHONY: install check format fast test mutants fuzz hooks demo ui clean

install: .venv/.installed

.venv/.installed: constraints.txt pyproject.toml examples/check_system.sh
	@sh examples/check_system.sh $(PYTHON)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	MYPYPATH=tests:examples $(BIN)/mypy benchmarks --exclude benchmarks/peers
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# What one runs while working: a file stays with one process, as its tests share what it trained, in the
# order that tests/conftest.py gives them.
fast: install
	OMP_NUM_THREADS=1 $(BIN)/pytest -q --numprocesses auto --dist loadfile --no-loadscope-reorder -m "not slow and not airflow"

# What starts a real Airflow comes last: beside more than one of its kind its time-outs would mean little.
test: install
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder -m "not airflow"
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m airflow

# Half an hour on two cores, the first time: a verdict stands until its module or its tests change.
mutants: install
	OMP_NUM_THREADS=1 PYTHONPATH=tests $(BIN)/python -m mutants --jobs 2

# 20,000 damaged files of every format, some minutes: no traceback, no hang, no loss that is not counted.
fuzz: install
	OMP_NUM_THREADS=1 PYTHONPATH=tests $(BIN)/python -m fuzz

hooks: install
	$(BIN)/pre-commit install

demo: install
	$(BIN)/python examples/demo.py run

ui: install
	$(BIN)/python examples/demo.py ui

clean:
	find operators -name "*.nb[ic]" -delete
	rm -rf .demo .mutants build dist .mypy_cache .pytest_cache .ruff_cache
