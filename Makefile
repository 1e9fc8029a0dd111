# Two commands: `make demo` and `make test` set up all they need first. A second run does no work twice.
# Slow tools (wasm-bindgen, a wasm32 standard library, Chromium) are kept per user in ~/.cache/marotte.

SHELL := /bin/bash
PYTHON ?= python3
REPORTS ?=
export PYTHON

python := .venv/bin/python
# A step that is done leaves an empty file here, as old as its beginning: what is edited during a build is built
# by the next. The phony `gone` does a step again whose result has been removed.
stamps := target/stamps
begin = mkdir -p $(@D) && touch $@.begun
done = mv $@.begun $@
report_args := $(if $(REPORTS),--reports '$(REPORTS)')

find_sources = $(shell find $(1) -type f \( -name '*.rs' -o -name Cargo.toml \) 2>/dev/null)
common := Cargo.toml Cargo.lock $(call find_sources,core)
python_sources := $(common) pyproject.toml $(call find_sources,python)
wasm_sources := $(common) $(call find_sources,wasm/src) wasm/Cargo.toml wasm/build.mjs wasm/tsconfig.json \
	wasm/package.json tools/wasm32-env tools/wasm-bindgen $(shell find wasm/js -name '*.ts' 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help check build examples test demo serve conformance-peer bench lint clean gone

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

check: ## Name the tools that are missing, and how to install them
	@tools/check

build: check $(stamps)/python $(stamps)/wasm ## Build the Python extension into .venv and the npm package into wasm/dist

test: build examples ## Check and test everything; reports/*.xml are the results. STEPS="rust python" runs only these
	@tools/test $(STEPS)

demo: build examples ## Show the build-status demo. REPORTS=folder shows other results than reports/
	$(python) examples/build_status/demo.py $(report_args)

serve: build examples ## Serve the build-status page and keep running
	$(python) examples/build_status/serve.py $(report_args)

PORT ?= 22045
PROFILE ?= draft-2026-07
LANG_OF_PEER ?= python
conformance-peer: build ## Serve the objects of the OCapN conformance suite. PORT=22045 PROFILE=suite-2026-02 LANG_OF_PEER=python|rust
ifeq ($(LANG_OF_PEER),rust)
	cargo run --quiet -p marotte-tests --bin conformance_peer -- $(PORT) $(PROFILE)
else
	$(python) tests/conformance/peer.py $(PORT) $(PROFILE)
endif

bench: build ## Run the benchmarks
	$(python) bench/run.py

lint: check $(stamps)/venv ## Check formatting and lints only
	@tools/test lint

clean: ## Remove everything built here (the per-user cache stays)
	rm -rf target .venv wasm/dist wasm/node_modules reports python/marotte/_core*.so

# The demo's server, client and delay proxy. Cargo knows whether there is anything to do.
examples: check
	cargo build --release -p build-status

$(stamps)/venv: tools/requirements.txt tools/venv $(if $(wildcard .venv/bin/python),,gone)
	@$(begin)
	@tools/venv
	@$(done)

$(stamps)/python: $(stamps)/venv $(python_sources) $(if $(wildcard python/marotte/_core*.so),,gone)
	@$(begin)
	@echo '==> building the Python extension (1-2 minutes from nothing)'
	VIRTUAL_ENV=$(CURDIR)/.venv .venv/bin/maturin develop --release
	@$(done)

# npm writes this file last, so an interrupted install is done again.
wasm/node_modules/.package-lock.json: wasm/package-lock.json wasm/package.json
	@echo '==> installing the npm packages (about 10 seconds)'
	cd wasm && npm ci --no-audit --no-fund
	@touch $@

$(stamps)/wasm: wasm/node_modules/.package-lock.json $(wasm_sources) $(if $(wildcard wasm/dist/*.wasm),,gone)
	@$(begin)
	node wasm/build.mjs
	@$(done)
