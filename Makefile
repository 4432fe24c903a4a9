# The one way to set up, check and run realname-streams. `make help` lists the targets.
#
# Needs Python 3.11 or newer and make. Another Python: make setup PYTHON=python3.13

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LOCK := requirements.lock
# Four processes on two cores, since tests with Kafka mostly wait. A broker to each; tests/sharing.py
# says what stays together, and what begins first.
PARALLEL := --numprocesses 4 --dist loadscope --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-system system-packages check format bench chaos fuzz dashboards lock audit clean up down static manifests
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## Create .venv with the locked packages and this project (instant when done)
	@:

$(STAMP): $(LOCK) pyproject.toml hatch_build.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is older than 3.11. Try: make setup PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing $$(grep -c '^[a-z].*==' $(LOCK)) packages into $(VENV), 30 to 60 s on a fast network ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --root-user-action ignore \
	  --require-hashes --no-deps --requirement $(LOCK)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --root-user-action ignore \
	  --no-deps --no-build-isolation --editable .
	@echo "Making machine code of the hot path, 20 to 60 s ..."
	@$(BIN)/python -c 'from streams.stages.match import warm_up; warm_up()'
	@touch $@
	@echo "Ready. Try: make demo"

demo: setup ## Watch a region work for two minutes; ARGS="--language zh" for Chinese
	@$(BIN)/realname demo $(ARGS)

test: setup static ## All checks, with the tests that start Kafka
	@echo "==> tests, with Kafka"
	@$(BIN)/pytest $(PARALLEL)

# Debian's names, and the commands that tell whether they are there.
SYSTEM_PACKAGES := prometheus prometheus-alertmanager chromium kcat
SYSTEM_COMMANDS := promtool prometheus-alertmanager amtool chromium kcat

test-system: setup system-packages ## Tests with Debian's Prometheus, Alertmanager and Chromium, installed if need be
	@echo "==> tests with Prometheus, Alertmanager and Chromium"
	@$(BIN)/pytest tests/system --numprocesses 4 --dist loadfile

# Does nothing where they are; says so and fails where they cannot be had.
system-packages:
	@for command in $(SYSTEM_COMMANDS); do command -v $$command >/dev/null || missing="$$missing $$command"; done; \
	if [ -n "$$missing" ]; then \
	  command -v apt-get >/dev/null || { \
	    echo "Not found:$$missing; install Debian's $(SYSTEM_PACKAGES), or the like." >&2; exit 1; }; \
	  echo "Installing $(SYSTEM_PACKAGES) with apt-get, as root ..."; \
	  sudo=$$(test "$$(id -u)" = 0 || echo sudo); \
	  $$sudo apt-get update -qq && \
	  $$sudo env DEBIAN_FRONTEND=noninteractive \
	    apt-get install -y -qq --no-install-recommends $(SYSTEM_PACKAGES) >/dev/null; \
	fi

check: setup static ## All checks, without the tests that start Kafka
	@echo "==> tests, without Kafka"
	@$(BIN)/pytest $(PARALLEL) -m "not kafka"

static: setup
	@echo "==> format"
	@$(BIN)/ruff format --check --diff --quiet . || { echo "Run: make format" >&2; exit 1; }
	@echo "==> lint"
	@$(BIN)/ruff check --quiet .
	@echo "==> types"
	@$(BIN)/mypy --strict streams tests bench deploy/grafana
	@echo "==> imports"
	@$(BIN)/lint-imports --no-logo

format: setup ## Format the code and fix what can be fixed
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

bench: setup ## Measure speed beside Kafka Streams, Flink, Faust; see bench/README.md
	@$(BIN)/python -m bench

chaos: setup ## Workers, network and broker fail in every way, and figures are compared; CHAOS_SEED=n CHAOS_RUNS=m
	@$(BIN)/python -m bench.chaos $(if $(CHAOS_SEED),--seed $(CHAOS_SEED)) $(if $(CHAOS_RUNS),--runs $(CHAOS_RUNS))

fuzz: setup ## Mutated records and state logs must not break anything; FUZZ_SEED=n FUZZ_RECORDS=m
	@$(BIN)/python -m bench.fuzz $(if $(FUZZ_SEED),--seed $(FUZZ_SEED)) $(if $(FUZZ_RECORDS),--records $(FUZZ_RECORDS))

manifests: setup ## Make Kubernetes' topics, users and rules anew, from the code
	@$(BIN)/python deploy/kubernetes/make.py

dashboards: setup ## Make Grafana's dashboards anew, from deploy/grafana/source
	@$(BIN)/python -m deploy.grafana.source

asyncapi: setup ## Write schemas/asyncapi.yaml anew from events and topics
	@$(BIN)/python -m tests.asyncapi.write

test-asyncapi: setup ## Have the official AsyncAPI parser read it; needs Node
	@test -d build/asyncapi/node_modules || npm install --silent --no-audit --no-fund --ignore-scripts \
	  --prefix build/asyncapi @asyncapi/parser@3.6.6
	@cp tests/asyncapi/check.mjs build/asyncapi/ && node build/asyncapi/check.mjs schemas/asyncapi.yaml

lock: ## Resolve the newest packages into requirements.lock, and the image's part of them
	@test -x build/lock/bin/uv || { $(PYTHON) -m venv build/lock && build/lock/bin/pip install --quiet uv; }
	@echo "Resolving pyproject.toml into $(LOCK) ..."
	@build/lock/bin/uv pip compile pyproject.toml --extra embedded --group dev \
	  --universal --python-version 3.11 --upgrade --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" --quiet --output-file $(LOCK)
	@build/lock/bin/uv pip compile pyproject.toml --group build --constraint $(LOCK) \
	  --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --custom-compile-command "make lock" --quiet --output-file requirements.image.lock

audit: ## Look the locked packages up among known vulnerabilities; needs the network
	@test -x build/audit/bin/pip-audit || { $(PYTHON) -m venv build/audit && build/audit/bin/pip install --quiet pip-audit; }
	@build/audit/bin/pip-audit --strict --requirement $(LOCK) --require-hashes --disable-pip

clean: ## Remove .venv, caches and build products
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

up: ## Start the whole system in Docker, and wait until it is well
	@docker compose up --detach --wait

down: ## Stop it; volumes stay
	@docker compose down
