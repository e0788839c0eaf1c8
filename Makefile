# `make help` lists what there is. Everything runs in .venv, which `make install` fills from requirements/*.txt.
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

PORT ?= 8700
BIN := .venv/bin
ARGS ?=

# The first Python that works and that the locks were made for. `make PYTHON=/path/to/python ...` overrules it.
define FIND_PYTHON
for python in $(PYTHON) $(BIN)/python python3.12 python3.13 python3.11 python3 python; do \
	if "$$python" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		>/dev/null 2>&1; then found="$$python"; break; fi; \
done; \
if [ -z "$$found" ]; then \
	echo "Quarterdeck needs Python 3.11, 3.12 or 3.13 with its venv module, and there is none on the PATH." >&2; \
	echo "Install one (on Debian and Ubuntu also python3-venv), or name it: make PYTHON=/path/to/python ..." >&2; \
	exit 1; \
fi
endef

.PHONY: help
help: ## Show this.
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: install
install: ## Install what it takes to run, from the locks.
	@$(FIND_PYTHON); exec "$$found" cli/bootstrap.py embedded

.PHONY: develop
develop: ## Install what it takes to work on it, from the locks.
	@$(FIND_PYTHON); exec "$$found" cli/bootstrap.py dev

.PHONY: up
up: install ## Start everything, run the demo the first time, serve until Ctrl-C. PORT=8700
	@exec $(BIN)/quarterdeck up --port $(PORT) $(ARGS)

.PHONY: demo
demo: install ## Run the demo and stop; its last line is JSON. PORT=8700
	@exec $(BIN)/quarterdeck demo --port $(PORT) $(ARGS)

.PHONY: test
test: develop ## Run the tests. ARGS="tests/cli -k weights"
	@exec $(BIN)/pytest -n 2 --dist loadfile $(ARGS)

.PHONY: chaos
chaos: develop ## Kill, freeze and restart everything by a seeded plan and check what is promised. N=20 (minutes)
	@exec $(BIN)/python -m tests.chaos $(if $(N),--minutes $(N)) $(ARGS)

.PHONY: check
check: develop ## Lint, formatting, types, who may import whom, the API description.
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports
	@$(BIN)/python -m gateway.openapi_export --check docs/openapi.json

.PHONY: bench
bench: develop ## Measure what we say about speed; writes benchmarks/latest.json.
	@exec $(BIN)/python -m benchmarks $(ARGS)

.PHONY: openapi
openapi: develop ## Write the merged API description to docs/openapi.json.
	@exec $(BIN)/python -m gateway.openapi_export docs/openapi.json
