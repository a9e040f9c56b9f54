# The house's front door: `make help` lists what can be done.
# Rules: nothing is installed outside this directory, nothing needs root; `make check` is exactly what CI runs.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.made-from-lock
BENCH := var/bench
BENCH_STAMP := $(BENCH)/.made-from-lock
PYTHON_DIRECTORIES := sidecar clients/python/src examples bench tests ops

# The last released contract; `buf breaking` holds the contract in proto/ to it.
CONTRACT_IMAGE := proto/released.binpb

N ?= 100000
VOYAGES ?= 10000
LAWS ?= 5
SECONDS ?= 60
CYCLES ?= 200
CUTS ?= 60
SEED ?=
EVENTS ?= 300000
MINUTES ?= 60
JOURNALLED ?= 1000000

.PHONY: help setup demo test test-ops test-concurrency test-power test-crash sim laws fuzz mutants check lint types floors contract proto bench bench-memory bench-recovery bench-peers profile test-client-protobuf fmt lock dashboard toolchains clean test-flips soak sim-core sim-shell

help: ## List these targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-20s %s\n", $$1, $$2}'

setup: $(STAMP) ## Make .venv from the locked, hashed packages; does nothing while the lock is unchanged.

$(STAMP): ops/requirements-dev.txt pyproject.toml clients/python/pyproject.toml
	@python="$$(bash ops/find-python)" || exit 1; \
	echo "setup: installing ops/requirements-dev.txt into $(VENV) with $$python (half a minute or more the first time)"; \
	test -x $(BIN)/python || "$$python" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r ops/requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index \
		--editable clients/python --editable .
	@touch $@
	@echo "setup: done"

demo: setup ## Start a sidecar and run the example bot over 2007-2009 through it; ends with a table and a plot.
	@echo "demo: starting a sidecar and a bot that trades recorded prices through it"
	@$(BIN)/python -m examples.demo

test: setup ## Run every test.
	@echo "test: running every test in tests/ (a skip is named below, and fails in CI)"
	@$(BIN)/python -m pytest

test-ops: setup ## Try out what ops/ holds: alert rules, dashboard, unit, image, and the circle of alerts.
	@echo "test-ops: promtool, amtool, systemd-analyze, hadolint, and a real Prometheus and Alertmanager"
	@$(BIN)/python -m pytest tests/ops

dashboard: setup ## Write the Grafana dashboard anew from ops/grafana/panels.yaml.
	@$(BIN)/python ops/grafana/make_dashboard.py

sim: ## Both simulations: N commands through core and model, then VOYAGES of the shell: make sim N=100000.
	@$(MAKE) sim-core N=$(N)
	@$(MAKE) sim-shell N=$(VOYAGES)

sim-core: setup ## Drive N random commands through the core and a model of the page: make sim-core N=100000.
	@echo "sim-core: driving $(N) commands through the core and the model"
	@$(BIN)/python -m tests.simulation $(N)

sim-shell: setup ## Sail N voyages of service and store over a simulated disk and clock: make sim-shell N=10000.
	@echo "sim-shell: sailing $(if $(filter command line,$(origin N)),$(N),$(VOYAGES)) voyages; a broken promise is printed with its seed"
	@$(BIN)/python -m tests.voyage $(if $(filter command line,$(origin N)),$(N),$(VOYAGES)) $(if $(SEED),--first $(SEED))

laws: setup ## Hold the core to its laws on LAWS times as many histories as the tests do: make laws LAWS=10.
	@echo "laws: $(LAWS) times the histories of make test"
	@LAWS=$(LAWS) $(BIN)/python -m pytest --timeout 0 tests/simulation/test_law_*.py

fuzz: setup ## Throw N inputs of garbage at a real server: make fuzz N=100000 SEED=1.
	@echo "fuzz: $(N) inputs of garbage against a real server; a failure names its input"
	@$(BIN)/python -m tests.access.fuzz $(N) $(SEED)

mutants: setup ## Change single lines of the core in a copy and see every one caught; ten minutes on two cores.
	@echo "mutants: changing single lines of sidecar/core in copies; a line nobody misses is named"
	@$(BIN)/python -m tests.mutants

check: setup toolchains lint types floors contract ## All that CI runs: lint, types, floors, contract, then every test.
	@$(MAKE) test

test-concurrency: setup ## Play rounds of 64 connections against a real sidecar: make test-concurrency SECONDS=300 SEED=1.
	@echo "test-concurrency: 64 connections, $(SECONDS) seconds; a difference is printed with its seed"
	@$(BIN)/python -m tests.concurrency --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

test-crash: setup ## Kill a loaded sidecar at random and at every point of its write path: make test-crash CYCLES=200 SEED=1.
	@echo "test-crash: $(CYCLES) deaths at random, then every named point, every disk error, every byte; half an hour"
	@$(BIN)/python -m tests.crash --cycles $(CYCLES) --points --births --disk $(if $(SEED),--seed $(SEED))
	@$(MAKE) test-flips

test-power: setup ## Cut the power of a loaded sidecar's disk, as root on a loop device: make test-power CUTS=60 SEED=1.
	@echo "test-power: $(CUTS) power cuts; only what was acknowledged before a cut counts"
	@$(BIN)/python -m tests.crash --cycles 0 --cuts $(CUTS) $(if $(SEED),--seed $(SEED))

test-flips: setup ## Flip every byte of a small journal, and cut it at every byte; five minutes on two cores: SEED=1.
	@echo "test-flips: every byte of a small data directory flipped and cut; a wrong outcome is printed as its case"
	@$(BIN)/python -m tests.disk $(if $(SEED),--seed $(SEED))

lint: setup ## Hold the Python to ruff: every rule, and its format.
	@echo "check: ruff"
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: setup ## Hold the Python to mypy, strict.
	@echo "check: mypy"
	@$(BIN)/mypy

floors: setup ## Hold the imports to the floors: core, store, service, then server and command line.
	@echo "check: import-linter"
	@$(BIN)/lint-imports

contract: setup ## Hold proto/ to buf's rules and to the last release, and prove the generated code fresh.
	@echo "check: buf, ops/generate"
	@$(BIN)/buf lint
	@$(BIN)/buf format --diff --exit-code
	@$(BIN)/buf breaking --against $(CONTRACT_IMAGE)
	@ops/generate --check

proto: setup ## Generate the code of the contract anew.
	@ops/generate

bench: setup ## Measure every figure of docs/speed.md beside its goal: make bench EVENTS=300000.
	@echo "bench: measuring, for about six minutes; keep the machine quiet"
	@$(BIN)/python -m bench --events $(EVENTS) --journalled $(JOURNALLED)

bench-memory: setup ## Fill the remembered ids to their bound, then watch memory under load: make bench-memory MINUTES=60.
	@echo "bench-memory: filling the state, then $(MINUTES) minutes of paced load"
	@$(BIN)/python -m bench.memory --minutes $(MINUTES)

bench-recovery: setup ## Kill -9 a sidecar behind JOURNALLED events and time its start: make bench-recovery JOURNALLED=1000000.
	@echo "bench-recovery: journalling $(JOURNALLED) events, then a kill -9 and three starts"
	@$(BIN)/python -m bench.recovery --events $(JOURNALLED)

soak: setup ## Keep a sidecar under mixed load and 100,000 cancelled calls: make soak MINUTES=10.
	@echo "soak: $(MINUTES) minutes of mixed load; the first and the last are printed side by side"
	@$(BIN)/python -m bench.soak --minutes $(MINUTES)

bench-peers: $(BENCH_STAMP) ## Measure one decision of ours and of other libraries, in one run.
	@$(BENCH)/bin/python -m bench.peers

profile: setup $(BENCH_STAMP) ## Show where the time of a decision and of a call goes: the top five by own time.
	@$(BIN)/python -m bench.hot_path --py-spy $(BENCH)/bin/py-spy --keep $(BENCH)

$(BENCH_STAMP): ops/requirements-bench.txt
	@python="$$(bash ops/find-python)" || exit 1; \
	echo "bench: installing ops/requirements-bench.txt into $(BENCH), which the product never uses"; \
	test -x $(BENCH)/bin/python || "$$python" -m venv $(BENCH)
	@$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

test-client-protobuf: ## Run the client's tests with each protobuf it promises: 4.25, 5, 6 and 7.
	@echo "test-client-protobuf: making an environment for each protobuf in var/protobuf"
	@ops/test-client-protobuf var/protobuf

fmt: setup ## Format the Python and the contract, and mend what ruff can mend.
	@$(BIN)/ruff check --fix --exit-zero --quiet
	@$(BIN)/ruff format
	@$(BIN)/buf format --write

lock: ## Resolve the packages of both pyproject.toml files anew into ops/requirements*.txt.
	@python="$$(bash ops/find-python)" && "$$python" ops/lock.py

toolchains: ## Say which optional tools are absent, and what that leaves out.
	@for pair in $(OPTIONAL_TOOLS); do \
		command -v "$${pair%%:*}" >/dev/null || \
		echo "NOTICE: $${pair%%:*} is absent: $$(tr _ ' ' <<<"$${pair#*:}") is left out"; \
	done

# command:what_is_left_out_without_it. ops/ci-packages installs them all; the tests that need one say so where it is absent.
OPTIONAL_TOOLS := \
	chromium:the_page_in_a_real_browser \
	curl:the_webhooks_as_scripts_call_them \
	openssl:the_webhooks_as_scripts_sign_them \
	promtool:the_alert_rules_and_the_dashboard \
	amtool:the_routing_of_the_alerts \
	prometheus:the_circle_of_alerts \
	prometheus-alertmanager:the_circle_of_alerts \
	systemd-analyze:the_systemd_unit \
	strace:the_deaths_of_the_sidecar_and_what_it_asks_the_kernel

clean: ## Remove what was made here, but for committed files.
	@rm -rf $(VENV) .venv-gen .venv-lock build dist out var .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@find . -name '*.egg-info' -type d -prune -exec rm -rf {} +
	@echo "clean: done"
