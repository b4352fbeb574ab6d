# Every target is one command; `make` alone lists them.
# `make test` is the whole check: it installs what it needs, as root or through sudo.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run dev test test-rust test-e2e test-browser test-proxies test-letta test-container fuzz lint fmt bench coverage clean

lint_steps := fmt typos shell hadolint deny audit shear clippy doc

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## start the server on 127.0.0.1:8284, with its database in this folder
	cargo run --locked --release -- serve

dev: ## start the server for frontend work on 127.0.0.1:8284, all in memory
	cargo run --locked --release -- dev

test: ## everything that must pass, the cheapest first
	@tests/run tools $(lint_steps) build rust doctest e2e samples bench fuzz browser proxies letta container

test-rust: ## unit, property and HTTP tests
	@tests/run tools build rust doctest

test-e2e: ## the real SDKs, and the documentation's samples for them, against the real binary
	@tests/run tools build e2e samples

test-browser: ## pages in Chromium before `hallpass dev`: the example, the documentation's mistakes, the SDKs
	@tests/run tools build browser

test-proxies: ## outside verifiers and forward-auth with nginx, Traefik, Caddy, Envoy and HAProxy, as documented
	@tests/run tools build proxies

test-letta: ## the official SDKs through the gateway to a real Letta server (700 MB from PyPI, once)
	@tests/run tools build letta

test-container: ## build the image and run it (needs root)
	tests/container

fuzz: ## fuzz each target for a while: RUNS=1000000 TARGETS="expiry"
	tests/fuzz $(or $(RUNS),1000000) $(TARGETS)

lint: ## format, spelling, dependencies, clippy, docs
	@tests/run tools $(lint_steps)

fmt: ## format the code
	cargo fmt
	cargo fmt --manifest-path fuzz/Cargo.toml

bench: ## measure issuing beside other servers; ARGS=gateway, streams, growth, postgres, slow-sync or dev measures those
	cargo build --locked --release --bin hallpass --example bench-server
	tests/packages wrk nginx haproxy
	python3 bench/run.py $(ARGS)

coverage: ## line coverage of the Rust tests, as text
	tests/coverage

clean: ## remove what was built, the check tools too
	cargo clean
	rm -rf .tools
