# The commands of this repository. `make` alone lists them.
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do $$p -c 'import sys; sys.exit(sys.version_info[:2] \
	not in ((3, 11), (3, 12)))' 2>/dev/null && echo $$p && break; done || echo python3)
EXTRAS ?= dev
BIN := .venv/bin
# One stamp for each set of extras: asking for more installs more, asking again does nothing.
STAMP := .venv/.installed-$(EXTRAS)

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format bench bench-quick clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1@\2/' | column -t -s @

setup: $(STAMP) ## install everything into .venv, once

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not sys.version_info >= (3, 11))' || { echo >&2 "bulkqa needs Python 3.11 or \
	3.12, and $(PYTHON) is $$($(PYTHON) -V 2>&1). Name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12"; exit 1; }
	@test -x $(BIN)/python || { echo "making .venv with $$($(PYTHON) -V)"; $(PYTHON) -m venv .venv; }
	@echo "installing into .venv: about 200 MB the first time"
	@$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

demo: setup ## answer the sample file: starts Redis and a worker, shows the answers, stops them
	@mkdir -p demo
	@$(BIN)/producer run samples/questions.csv --storage demo/storage -o demo/answers.json --no-answer-threshold 0

test: setup ## run all tests
	@$(BIN)/python -m pytest -n 2 --dist loadgroup -q

check: setup ## lint, types, import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: setup ## format the code
	@$(BIN)/ruff check --fix -q . ; $(BIN)/ruff format .

clean: ## remove what make made
	rm -rf .venv demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
