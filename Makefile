PYTHON ?= python3
BIN := .venv/bin

.PHONY: install check test demo ui clean

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
	$(BIN)/lint-imports

test: install
	$(BIN)/pytest

demo: install
	$(BIN)/python examples/demo.py run

ui: install
	$(BIN)/python examples/demo.py ui

clean:
	find operators -name "*.nb[ic]" -delete
	rm -rf .demo build dist .mypy_cache .pytest_cache .ruff_cache
