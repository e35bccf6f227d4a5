# Each target starts from nothing but Python 3.11 and this checkout: .venv is made on the way.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OTHERS := .venv-others
BENCH := .venv-bench
FRONT := labextension
LABEXTENSIONS := $(VENV)/share/jupyter/labextensions
WORKERS ?= auto

.PHONY: demo lab test check bench clean

demo: $(VENV)/run.stamp ## record the first notebook on the offline provider, then replay it
	@$(BIN)/python notebooks/demo.py

lab: $(VENV)/lab.stamp $(VENV)/front.stamp ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

test: $(VENV)/test.stamp $(OTHERS)/test.stamp $(VENV)/chromium.stamp $(VENV)/front.stamp ## run the tests
	@test ! -d $(FRONT)/node_modules || npm --prefix $(FRONT) test
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

check: $(VENV)/test.stamp $(VENV)/front.stamp ## lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@test ! -d $(FRONT)/node_modules || npm --prefix $(FRONT) run check

bench: $(BENCH)/stamp ## measure us beside other tools and bare SDKs; takes about eight minutes
	$(BENCH)/bin/python tests/benchmarks/run.py

clean:
	rm -rf $(VENV) $(OTHERS) $(BENCH) .mypy_cache .pytest_cache .ruff_cache build dist
	rm -rf $(FRONT)/node_modules $(FRONT)/lib llm_magic/labextension

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "llm-magic needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

# An editable install has no front end: front.stamp links it.
$(VENV)/run.stamp: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/test.stamp: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@ $(VENV)/run.stamp

$(VENV)/lab.stamp: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[lab]'
	@touch $@

# The JupyterLab extension, built with Node.js and linked into $(VENV), so that the next page has what
# was built last. Without npm there is none, and its tests are skipped, or fail when CI is set.
$(VENV)/front.stamp: $(FRONT)/package-lock.json $(FRONT)/tsconfig.json \
		$(shell find $(FRONT)/src $(FRONT)/style $(FRONT)/schema -type f) | $(BIN)/python
	@if command -v npm > /dev/null; then \
		test $(FRONT)/node_modules/.package-lock.json -nt $(FRONT)/package-lock.json || npm --prefix $(FRONT) ci || exit 1; \
		npm --prefix $(FRONT) run --silent build && mkdir -p $(LABEXTENSIONS) \
			&& ln -sfn ../../../../llm_magic/labextension $(LABEXTENSIONS)/llm-magic; \
	else echo "no npm here, so the JupyterLab extension is not built: it needs Node.js 20" >&2; fi
	@touch $@

# The browser of tests/browser, from Debian's packages. Where it cannot be installed those tests are
# skipped, or fail when CI is set.
$(VENV)/chromium.stamp: | $(BIN)/python
	@for name in chromium chromium-browser google-chrome; do \
		command -v $$name > $@ && exit 0; \
	done; \
	if [ $$(id -u) = 0 ]; then as_root=env; else as_root="sudo -n env"; fi; \
	$$as_root apt-get update -qq \
		&& $$as_root DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends \
			chromium fonts-dejavu-core \
		|| { rm $@; echo "tests/browser needs Chromium: apt-get install chromium fonts-dejavu-core" >&2; }

# Other people's libraries want older SDKs than ours, so they have an environment of their own. The
# pip that comes with Python 3.11 takes ten minutes to find versions that go together, a new one half
# a minute.
$(OTHERS)/test.stamp: tests/attachment/requirements.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m venv $(OTHERS)
	$(OTHERS)/bin/python -m pip install --quiet --upgrade pip
	$(OTHERS)/bin/python -m pip install --quiet --requirement $< --editable .
	@touch $@

# Peers have an environment of their own; where one cannot be installed, its rows say so.
$(BENCH)/stamp: pyproject.toml tests/benchmarks/requirements.txt
	@test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --editable .
	-$(BENCH)/bin/python -m pip install --quiet --requirement tests/benchmarks/requirements.txt
	@touch $@
