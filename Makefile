# `make run` and `make test` do all set-up themselves. PYTHON=... names the Python to set up with.
.DEFAULT_GOAL := help
.PHONY: help setup run demo test test-full test-parts chaos check bench train-ner lock clean
export PATH := $(CURDIR)/.venv/bin:$(PATH)
MAKEFLAGS += --no-print-directory

help: ## This list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1	\2/' | expand -t 20

setup: ## Virtual environment from the lock, this checkout, language model (the others call it)
	@scripts/setup

run: setup ## The gateway with a demo model server and a demo payments server; Ctrl-C ends all
	@oncegate demo --serve

demo: setup ## The whole story: crashes, doubts, denials, redaction, audit; exits non-zero if a claim is not so
	@oncegate demo

test: check test-parts ## All checks and tests but the slow ones
	@pytest -q -n 3 --dist worksteal -m "not slow"

test-full: check test-parts ## All checks and tests, the slow ones too; before a release
	@ONCEGATE_TESTS_EXECUTE=1 pytest -q -n 3 --dist worksteal

chaos: setup ## N kills (500) and other faults under traffic, judged; SEED=… goes on with an earlier one
	@python -m tests.faults.rig.chaos --kills $(or $(N),500) $(if $(SEED),--seed $(SEED))

# downloads take what the network takes: no test waits for them; without Node its tests are skipped, and say so
test-parts: setup
	@scripts/mcp-peers
	@scripts/chromium
	@for language in fr es; do oncegate model install --language $$language || true; done
	@! scripts/node >/dev/null 2>&1 || { scripts/conformance --install && scripts/engines >/dev/null && scripts/clients >/dev/null && scripts/axe >/dev/null; }

check: setup ## Lint, format, types, import contracts, tidiness
	@scripts/check

bench: setup ## Added latency and CPU per call, against direct calls in the same run
	@python -m benchmarks.run

train-ner: setup ## The name finder of our own, anew: half an hour on one core; docs/ner.md says how it is judged
	@python -m training.ner.train

lock: setup ## Write the locks anew from pyproject.toml
	@scripts/lock

clean: ## Remove everything that make made
	@rm -rf .venv .build .pytest_cache .ruff_cache .hypothesis dist
