# All commands for developers and CI. They need make, Python >= 3.11 and a package index that pip can reach.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# PYTHON=/path/to/python3 overrides the search, for whatever environment is being made.
PYTHON ?=
PYTEST_ARGS ?=

# The newest Airflow lives in .venv, where editors look; the others in .venv-<minor>.
NEWEST := 3.3
OLDEST := 2.11
MATRIX := lowest 3.0 3.1 3.2

# What each Airflow runs on; the first one found is taken.
PYTHONS_3.3  := 3.13 3.12 3.11
PYTHONS_3.2  := 3.12 3.13 3.11
PYTHONS_3.1  := 3.12 3.13 3.11
PYTHONS_3.0  := 3.12 3.11
PYTHONS_2.11 := 3.11 3.12
PYTHONS_lowest := 3.12 3.11
PYTHONS_recipes := 3.13 3.12 3.11

home = .venv$(if $(filter $(NEWEST),$(1)),,-$(1))
BIN := $(call home,$(NEWEST))/bin
RUN := $(BIN)/python

# An Airflow or a Python path that the calling shell has set must not leak into what is made here.
unexport AIRFLOW_HOME PYTHONPATH PYTHONHOME

.PHONY: help
help: ## show this list
	@awk 'BEGIN {FS = ": *[^#]*## "} /^[a-z][a-z0-9.-]*:.*## / {printf "make %-16s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "PYTHON=/path/to/python3 chooses the interpreter of a new environment."
	@echo "PYTEST_ARGS='-k landing -x' goes to pytest."

# ---------------------------------------------------------------------------------------------------- environments
# pip and not uv: pip uses the index, proxy and certificates that this machine is configured with; uv needs them set
# again. The pip that comes with Python 3.11 does not support dependency groups (25.1 does), so it is upgraded first.
# -qq: some machines make pip warn about every package.
PIP_INSTALL := -m pip install -qq --disable-pip-version-check --no-input

# An environment is up to date while its stamp is newer than the files that it was made from.
define environment
$(call home,$(1))/.stamp: pyproject.toml constraints/airflow-$(1).txt
	@python="$(PYTHON)"; [ -n "$$$$python" ] || python=$$$$(sh scripts/find_python.sh $(PYTHONS_$(1))) || exit 1; \
	echo "Making $(call home,$(1)): Airflow $(1) on $$$$("$$$$python" -V). This takes a minute or two."; \
	[ "$$$$($(call home,$(1))/bin/python -V 2>/dev/null)" = "$$$$("$$$$python" -V)" ] || \
	"$$$$python" -m venv --clear $(call home,$(1))
	@$(call home,$(1))/bin/python $(PIP_INSTALL) "pip>=25.1"
	@$(call home,$(1))/bin/python $(PIP_INSTALL) --constraint constraints/airflow-$(1).txt --editable ".[sql,parquet,emulator]" $(2)
	@if pkg-config --exists libmariadb || pkg-config --exists mysqlclient; then \
	$(call home,$(1))/bin/python $(PIP_INSTALL) --constraint constraints/airflow-$(1).txt --group mysql; \
	else echo "No headers of MariaDB or MySQL (pkg-config finds none): the tests against MariaDB will be skipped."; fi
	@touch $$@
endef
$(eval $(call environment,$(NEWEST),--group test --group lint --group docs))
$(foreach minor,$(OLDEST) $(MATRIX),$(eval $(call environment,$(minor),--group test)))
$(eval $(call environment,recipes,--group test --group recipes))

.PHONY: servers
servers: ## install PostgreSQL, MariaDB, Redis and Chromium for the tests that need them (Debian, as root)
	@sh scripts/servers.sh

.PHONY: env env-2.11
env: $(call home,$(NEWEST))/.stamp ## make .venv with the newest Airflow and all tools, if it is not up to date
env-2.11: $(call home,$(OLDEST))/.stamp ## make .venv-2.11 with the oldest supported Airflow

# ----------------------------------------------------------------------------------------------------------- tests
.PHONY: test test-2.11 matrix $(addprefix test-,$(MATRIX))
test: env ## run the whole suite on the newest Airflow
	@sh scripts/suite.sh $(RUN) $(PYTEST_ARGS)

test-2.11: env-2.11 ## run the whole suite on Airflow 2.11
	@sh scripts/suite.sh $(call home,$(OLDEST))/bin/python $(PYTEST_ARGS)

$(addprefix test-,$(MATRIX)): test-%: .venv-%/.stamp
	@sh scripts/suite.sh .venv-$*/bin/python $(PYTEST_ARGS)

matrix: test-2.11 $(addprefix test-,$(MATRIX)) test ## run the whole suite on every Airflow, and with the lowest declared versions (test-lowest)

# Both parts of the suite add to one file. Processes that tests start are not counted.
.PHONY: coverage
coverage: env ## run the suite on the newest Airflow and show the lines and branches that it covers
	@rm -f .coverage
	@sh scripts/suite.sh $(RUN) --cov --cov-append --cov-report= $(PYTEST_ARGS); status=$$?; \
	$(RUN) scripts/coverage_table.py && exit $$status

# Separate, because the providers of the warehouses are many packages, and Google's do not go with the pins of $(NEWEST).
.PHONY: test-recipes
test-recipes: .venv-recipes/.stamp ## test warehouses, recipes and other readers of landed files, in an environment of its own
	.venv-recipes/bin/python -m pytest -n 2 --dist=loadfile tests/recipes tests/warehouse/test_merge.py $(PYTEST_ARGS)

# Separate, because the rest of the suite needs no browser and no playwright.
.PHONY: ui-test screenshots
ui-test: env ## test the connection form and example DAGs of the newest Airflow in a browser (make servers installs one)
	@$(RUN) $(PIP_INSTALL) --constraint constraints/airflow-$(NEWEST).txt --group ui
	@echo "A browser looks at an Airflow of its own; both take about a minute to come up."
	$(RUN) -m pytest tests/ui $(PYTEST_ARGS)

# Separate, because it takes both cores for minutes, and only it needs Celery and Redis.
.PHONY: distributed-test
distributed-test: env ## test an Airflow of several workers and triggerers, some of which are killed (make servers installs Redis)
	@$(RUN) $(PIP_INSTALL) --constraint constraints/airflow-$(NEWEST).txt --group distributed
	$(RUN) -m pytest tests/distributed $(PYTEST_ARGS)

screenshots: export ROBOFY_SCREENSHOTS := docs/images
screenshots: ui-test ## the same, and take the pictures in docs/images anew

# --------------------------------------------------------------------------------------------------------- linting
.PHONY: lint format
lint: env ## run ruff, mypy and import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: env ## format the code and fix what ruff can fix safely
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# --------------------------------------------------------------------------------------------------- documentation
# -W: a link to a page or heading that does not exist fails, and so does a page in no table of contents. -E: docstrings
# are read anew. The test also checks links to files outside of docs/, as GitHub resolves them.
.PHONY: docs arguments links
docs: env ## the documents and the API reference as web pages in build/docs; a warning or a dead link is an error
	$(BIN)/sphinx-build -W --keep-going -q -E -b html -d build/doctrees docs build/docs
	$(RUN) -m pytest -q tests/docs/test_docs.py -k "lead_somewhere or are_there"
	@echo "build/docs/index.html"

arguments: env ## write docs/reference/arguments.md anew, from the docstrings
	@$(RUN) -m scripts.arguments

links: env ## try the links to other web sites (needs a network)
	$(BIN)/sphinx-build -q -E -b linkcheck -d build/doctrees docs build/links

# --------------------------------------------------------------------------------------------------- seeing it work
.PHONY: demo airflow bench
demo: env ## run a real DAG that fetches leads from the emulator into a file, and check the file
	@$(RUN) -m scripts.demo

airflow: env ## start the Airflow UI with the example DAGs and the emulator; Ctrl-C ends both
	@$(RUN) -m scripts.airflow_ui

# The others are measured as they come, without Airflow's constraints; HttpOperator alone needs an Airflow.
.venv-bench-%/.stamp: pyproject.toml
	@$(RUN) -m venv --clear .venv-bench-$*
	@.venv-bench-$*/bin/python $(PIP_INSTALL) "pip>=25.1"
	@.venv-bench-$*/bin/python $(PIP_INSTALL) $(if $(filter http,$*),--constraint constraints/airflow-$(NEWEST).txt) --group bench-$*
	@touch $@

bench: env .venv-bench-http/.stamp .venv-bench-dlt/.stamp .venv-bench-singer/.stamp ## measure time and memory, and write docs/benchmarks.md (more than twenty minutes)
	$(RUN) -m benchmarks

# ------------------------------------------------------------------------------------------------------- packaging
.PHONY: build check-dist release-check constraints clean
build: env ## build sdist and wheel in dist/
	@rm -rf dist
	$(BIN)/hatchling build

check-dist: build ## install the wheel, then the sdist, in an empty environment, and check that Airflow finds it
	@sh scripts/check_dist.sh $(RUN) constraints/airflow-$(NEWEST).txt

release-check: env ## list what keeps this commit from being released
	@$(RUN) -m scripts.release_check

constraints: env ## pin the packages of every Airflow version anew
	@$(RUN) $(PIP_INSTALL) --group constraints
	$(RUN) scripts/constraints.py

clean: ## remove environments, caches and everything made here
	rm -rf .venv $(addprefix .venv-,$(OLDEST) $(MATRIX) recipes) .demo .airflow-ui build dist
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
