# Two commands on a fresh machine: make demo, make test. Both set themselves up.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
STAMP := $(VENV)/.installed

.PHONY: demo test test-slow coverage lint tables bench docs docs-test scatter clean

demo: $(STAMP)  ## Train the relation network on Sort-of-CLEVR and print its table.
	$(BIN)/pyg-relational train sort-of-clevr --resume

# One thread a process: they share the cores.
test: $(STAMP)  ## Run every test but the slow ones, one process a core.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto -m "not slow"

test-slow: $(STAMP)  ## Run the tests that take minutes.
	$(BIN)/python -m pytest -m slow

coverage: $(STAMP)  ## Run every test but the slow ones, say which lines they run.
	$(BIN)/python -m coverage erase
	OMP_NUM_THREADS=1 $(BIN)/python -m coverage run -m pytest --numprocesses auto -m "not slow"
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report --skip-covered --sort cover

lint: $(STAMP)  ## Style, types, import direction, results tables.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pyg-relational tables --check

tables: $(STAMP)  ## Render examples/results/*.json into README, cards and results page.
	$(BIN)/pyg-relational tables

bench: $(STAMP)  ## Measure the operators; NAME=loader and so on: our own machinery.
	$(if $(NAME),$(BIN)/python examples/benchmarks/$(NAME).py,$(BIN)/pyg-relational benchmark ops) $(ARGS)

# The repository is the source folder, so that links in it are links of the site.
docs: $(STAMP)  ## Build the documentation site, print where it begins.
	rm -rf build/docs
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --jobs 2 \
	  --conf-dir examples/guide --doctree-dir build/doctrees . build/docs
	@echo "$(CURDIR)/build/docs/index.html"

docs-test: $(STAMP)  ## Build the site and open every page of it in Chromium.
	$(BIN)/python -m pytest tests/guide/test_site.py

# torch-scatter must be compiled against the torch that is installed, hence no
# build isolation.
scatter: $(STAMP)  ## Build torch-scatter against the installed torch.
	$(PIP) install --quiet --constraint constraints.txt setuptools wheel
	$(PIP) install --constraint constraints.txt --no-build-isolation torch-scatter

# Installed again only when what is to be installed has changed.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt --editable '.[train,tune,explain,data,ogb,text,vision,hub,bench,docs,dev]'
	touch $(STAMP)

clean:  ## Remove the environment and all caches.
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
