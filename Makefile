# The commands of this repository. `make` alone lists them.
SUPPORTED := (3, 11) <= sys.version_info[:2] <= (3, 14)
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do $$p -c 'import sys; \
	sys.exit(not $(SUPPORTED))' 2>/dev/null && echo $$p && break; done || echo python3)
EXTRAS ?= dev
VENV ?= .venv
# Test processes: on two cores four, for tests wait much of the time.
PROCESSES ?= 4
BIN := $(VENV)/bin
# One stamp for each set of extras: asking for more installs more, asking again does nothing.
STAMP := $(VENV)/.installed-$(EXTRAS)

.DEFAULT_GOAL := help
.PHONY: help setup demo lock test test-quick test-s3 check generate pictures format bench bench-quick bench-large bench-drum bench-http bench-page datarobot chaos soak clean faults files families engines

help: ## list the commands
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  make \1@\2/' | column -t -s @

setup: $(STAMP) ## install what tests need into .venv, once (EXTRAS=dev,build: torch as well)

$(STAMP): pyproject.toml constraints.txt $(wildcard requirements/*.txt)
	@"$(PYTHON)" -c 'import sys; sys.exit(not $(SUPPORTED))' 2>/dev/null || { echo >&2 "bulkqa needs Python 3.11, 3.12, \
	3.13 or 3.14, and $(PYTHON) is $$('$(PYTHON)' -V 2>&1). Name another: make $(or $(ASKED),$(MAKECMDGOALS)) \
	PYTHON=/path/to/python3"; exit 1; }
	@VENV="$(VENV)" "$(PYTHON)" scripts/install.py $(EXTRAS)
	@touch $@

demo: ## answer the sample file: starts Redis and a worker, shows the answers, stops them
	@$(MAKE) -s setup ASKED=demo EXTRAS=$(if $(wildcard $(STAMP)),$(EXTRAS),local)
	@mkdir -p demo
	@$(BIN)/producer run samples/questions.csv -o demo/answers.json --no-answer-threshold 0

lock: ## choose versions anew after a change of dependencies; UPGRADE=1: the newest (needs uv)
	@UPGRADE=$(UPGRADE) python3 scripts/lock.py

test: setup ## run all tests but the fault suite
	@$(BIN)/python -m pytest -n $(PROCESSES) --dist loadgroup -q --ignore=tests/faults

test-quick: setup ## unit and contract tests but the slow ones: about three minutes on two idle cores
	@$(BIN)/python -m pytest -n $(PROCESSES) --dist loadgroup -q -m "not slow and not build" tests/unit tests/contract tests/test_project.py

test-s3: ## the acceptance tests of jobs with their storage in an S3 (moto's): about five minutes
	@$(MAKE) -s setup EXTRAS=dev
	@BULKQA_TEST_STORAGE=s3 $(BIN)/python -m pytest -n $(PROCESSES) --dist loadgroup -q $(addprefix tests/acceptance/test_, \
		deaths.py backends.py asking.py answers.py independence.py models.py notifications.py serve.py)

faults: setup ## the fault suite: Redis, network, disk and processes fail under real jobs; about eight minutes
	@$(BIN)/python -m pytest -n $(PROCESSES) --dist loadgroup -q tests/faults

files: setup ## files of every writer that is installed, compared cell by cell: COUNT=2000 SEED=1
	@$(BIN)/python -m tests.files.generate --count $(or $(COUNT),2000) --seed $(or $(SEED),1)

families: ## every family of readers that transformers has, built and compared with torch: about ten minutes
	@$(MAKE) -s setup EXTRAS=dev,build
	@$(BIN)/python -m tests.families $(if $(ONLY),--only $(ONLY))

engines: ## install Ray, Spark, Dask, polars and Haystack into .venv-engines (1.5 GB), for the tests with them
	@test -d .venv-engines || python3 -m venv .venv-engines
	@$(if $(shell command -v uv),uv pip install --python .venv-engines,.venv-engines/bin/pip install) -q haystack-ai 'ray[data]' polars 'dask[dataframe]' pyspark 'pandas<3' pyarrow \
		onnxruntime tokenizers numpy

chaos: setup ## a seeded nemesis over several jobs: SEED= to replay, MINUTES=3; then a minute of damaged input files
	@SEED=$(SEED) MINUTES=$(MINUTES) $(BIN)/python -m tests.faults.chaos
	@SEED=$(SEED) MINUTES=1 $(BIN)/python -m tests.faults.fuzz

soak: setup ## an hour of clients that burden a server, beside honest ones: SEED= to replay, MINUTES=60
	@SEED=$(SEED) MINUTES=$(MINUTES) $(BIN)/python -m tests.faults.soak

check: setup ## lint, types, import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

generate: setup ## write the files that are made from the code (`--check` in tests: they are current)
	@$(BIN)/python scripts/generate.py

pictures: ## take the pictures of the page in docs/, with Chromium
	@$(MAKE) -s setup EXTRAS=dev,e2e
	@$(BIN)/python scripts/pictures.py

format: setup ## format the code
	@$(BIN)/ruff check --fix -q . ; $(BIN)/ruff format .

BENCHMARKS := startup control_plane scale submit_speed assemble_speed kernel usual whole_path peers many_cores worker_memory

bench: ## measure every claim, with its conditions: under ten minutes on two idle cores (installs torch)
	@$(MAKE) -s setup EXTRAS=dev,build
	@for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name $(BENCH) || exit 1; done

bench-quick: ## the same in small, about a minute
	@$(MAKE) -s bench BENCH=--quick

bench-large: ## a BERT-large shape on 2,000 rows in 4 GiB: about fifteen minutes
	@$(MAKE) -s setup EXTRAS=dev,build
	@$(BIN)/python -m benchmarks.large_in_4g $(BENCH)

datarobot: ## dist/datarobot, to upload as a custom model (MODEL=directory)
	@$(MAKE) -s setup
	@$(BIN)/python scripts/datarobot.py $(MODEL)

bench-drum: ## that custom model in DataRobot's own drum, 2,000 rows in 4 GiB: about two minutes
	@$(MAKE) -s setup EXTRAS=dev,build
	@$(BIN)/python -m benchmarks.drum $(BENCH)

bench-http: ## the server under load: about four minutes
	@$(MAKE) -s setup EXTRAS=dev,build
	@$(BIN)/python -m benchmarks.http_load $(BENCH)

bench-page: ## bench, and benchmarks/README.md with its plot made anew
	@$(MAKE) -s setup EXTRAS=dev,build,bench
	@rm -f .bench.jsonl
	@$(MAKE) -s bench BENCH="--json .bench.jsonl"
	@$(BIN)/python -m benchmarks.curve --json .bench.jsonl
	@$(BIN)/python -m benchmarks.page .bench.jsonl
	@rm -f .bench.jsonl

clean: ## remove what make made
	rm -rf .venv demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
