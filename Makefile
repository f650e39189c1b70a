# What one types here. `make` alone lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON := .venv/bin/python
# Private namespaces need root; everything else does not mind it.
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo --preserve-env=PATH)
# Two files at a time, each in one piece: what it builds and starts serves all of its tests. In the order of
# tests/conftest.py; xdist itself would keep the files with few tests, which take longest, for the end. Both processes
# hash alike, another way in every run, because names of tests show sets.
JOBS ?= 2
AT_ONCE := -n $(JOBS) --dist loadfile --no-loadscope-reorder

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Debian packages, .venv, the C part, the test provider; only what is missing
	@tools/setup

.PHONY: check
check: setup ## layout, lint, types, architecture
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m mypy
	@MYPYPATH=deploy/demo/site:deploy/demo/iam $(PYTHON) -m mypy --explicit-package-bases \
	  deploy/demo/site/demo_site tests/e2e tools bench
	@.venv/bin/lint-imports --no-cache
	@clang-format --dry-run -Werror pam_module/*.[ch] tests/c/*.[ch] bench/c/*.[ch]
	@$(MAKE) -s -C pam_module analyze
	@$(PYTHON) tools/docs.py --check
	@! grep -rnE 'StrictHostKeyChecking[= ]+no' --include='*' --exclude-dir=.git --exclude-dir=.venv \
	  --exclude-dir=node_modules --exclude=Makefile . || { echo "host keys are always checked"; exit 1; }

.PHONY: test
test: check ## everything that CI runs
	@$(AS_ROOT) env PYTHONHASHSEED=$$RANDOM $(PYTHON) -m pytest -q -m "not long" $(AT_ONCE) tests

.PHONY: test-all
test-all: check ## that, and what takes longer
	@$(AS_ROOT) env IDMAP_EXAMPLES=1 $(PYTHON) -m pytest -q tests
	@$(PYTHON) tools/mutate.py

.PHONY: bench
bench: setup ## against the peers and the limits, side by side; BENCH=nss,verify,resolve,registry,rules SIZES=1000,100000 ROUNDS=15 PEERS=0
	@$(AS_ROOT) bench/packages
	@$(MAKE) -s -C bench/c
	@$(AS_ROOT) env PYTHONPATH=.:deploy/demo/site BENCH='$(BENCH)' SIZES='$(SIZES)' ROUNDS='$(ROUNDS)' PEERS='$(PEERS)' SAMPLE='$(SAMPLE)' DATABASES='$(DATABASES)' \
	  $(PYTHON) -m bench

.PHONY: mutate
mutate: setup ## take out each check of the token verifier in turn; a hostile token must then get in
	@$(PYTHON) tools/mutate.py

FUZZ_RUNS ?= 100000000
.PHONY: fuzz
fuzz: setup ## FUZZ_RUNS executions (10^8) over all that the C part parses; then the coverage
	@$(PYTHON) tests/c/fuzz.py build/fuzz run $(FUZZ_RUNS)
	@$(PYTHON) tests/c/fuzz.py build/fuzz coverage

.PHONY: fuzz-coverage
fuzz-coverage: setup ## lines of the parsers that the kept corpus reaches
	@$(PYTHON) tests/c/fuzz.py build/fuzz coverage

.PHONY: demo
demo: setup ## from an IAM group to an ssh login, every claim checked; leaves nothing behind
	@$(AS_ROOT) $(PYTHON) -m demo_site.story

.PHONY: up
up: setup ## the same site, kept running to play with
	@$(AS_ROOT) $(PYTHON) -m demo_site.standing up

.PHONY: down
down: ## end it
	@$(AS_ROOT) $(PYTHON) -m demo_site.standing down

.PHONY: docs
docs: setup ## write the documents that are made from code
	@$(PYTHON) tools/docs.py

.PHONY: clean
clean: ## remove what was built and installed in this checkout
	@rm -rf build dist .venv .run tests/e2e/oidc_provider/node_modules
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
