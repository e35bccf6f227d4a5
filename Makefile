# Each target starts from nothing but Python 3.11 and this checkout: .venv is made on the way.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= auto

.PHONY: demo lab test check clean

demo: $(VENV)/run.stamp ## record the first notebook on the offline provider, then replay it
	@$(BIN)/python notebooks/demo.py

lab: $(VENV)/lab.stamp ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

test: $(VENV)/test.stamp ## run the tests
	$(BIN)/python -m pytest -n $(WORKERS)

check: $(VENV)/test.stamp ## lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache build dist

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "llm-magic needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/test.stamp: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@ $(VENV)/run.stamp

$(VENV)/lab.stamp: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[lab]'
	@touch $@
