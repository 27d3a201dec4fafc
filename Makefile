# context-gateway: `make help` lists every command.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
SCORE := ../shared/eval/score.py
CODE := gateway retrieval demo benchmarks tests

.DEFAULT_GOAL := help
.PHONY: help install demo run test test-all format lock score bench bench-relay bench-added bench-beside bench-http bench-retrieval bench-embedding bench-intent bench-confidence bench-peers bench-streams bench-budgets bench-means bench-store bench-pages bench-traces screenshots faults soak sdks walk clean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11 ...") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(READY)

install: $(READY)  ## make .venv with all that running and testing need, from the lock file

demo: $(READY)  ## send real long prompts through a gateway to a local demo upstream, and show what was saved
	@$(BIN)/python -m demo

run: $(READY)  ## serve on 127.0.0.1:8080 (make run ARGS="--config gateway.yaml --workers 2")
	$(BIN)/context-gateway serve $(ARGS)

test: $(READY)  ## the gate: format, lint, types, import contracts, tests
	$(BIN)/ruff format --check --quiet $(CODE)
	$(BIN)/ruff check --quiet $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/pytest -m "not slow" -n 2 --dist loadfile

test-all: $(READY)  ## the gate's tests and the slow ones
	$(BIN)/pytest

format: $(READY)  ## format the code and mend what the linter can
	$(BIN)/ruff check --fix --quiet $(CODE)
	$(BIN)/ruff format --quiet $(CODE)

lock:  ## resolve requirements.lock again (needs uv)
	./lock.sh

score: $(READY)  ## score a gateway started here over the evaluation cases (make score LIMIT=20; 0: all)
	$(BIN)/python -m benchmarks.score --limit $(or $(LIMIT),20)

bench: bench-relay bench-added  ## the two benchmarks of the request path

bench-relay: $(READY)  ## added time and requests/s of a small prompt, beside a bare relay
	$(BIN)/python -m benchmarks.bench_relay

bench-added: $(READY)  ## added time at 8K to 512K tokens, cold, warm and one turn more
	$(BIN)/python -m benchmarks.bench_added

bench-beside: $(READY)  ## small requests beside windowing, and memory
	$(BIN)/python -m benchmarks.bench_beside

bench-http: $(READY)  ## HTTP clients behind a bare relay (the measurement of decision 8)
	$(BIN)/python -m benchmarks.http_clients

bench-retrieval: $(READY)  ## evidence kept by method and window, milliseconds by length
	$(BIN)/python -m benchmarks.bench_retrieval

bench-embedding: $(READY)  ## loading, memory and speed of the embedding model, beside sentence-transformers
	$(BIN)/python -m benchmarks.bench_embedding

bench-confidence: $(READY)  ## is the confidence calibrated; evidence by tokens, fixed and elastic windows; draws docs/*.svg
	$(BIN)/python -m benchmarks.confidence_train --check --plots

bench-peers: $(READY)  ## beside LiteLLM, Portkey and Headroom, in environments of their own: what is kept of prompts, how fast
	$(BIN)/python -m benchmarks.peers --limit 8
	$(BIN)/python -m benchmarks.bench_peers_speed

bench-streams: $(READY)  ## streams: added delay, 1,000 at once, events/s beside a bare relay
	$(BIN)/python -m benchmarks.bench_streams

bench-budgets: $(READY)  ## are budgets exact: a fleet on one store, killed and paused, against an upstream that bills (needs nginx)
	$(BIN)/python -m benchmarks.bench_budgets

bench-store: $(READY)  ## pairs of reserving and settling a second, by store and callers
	$(BIN)/python -m benchmarks.bench_store

bench-means: $(READY)  ## what keys, budgets and ledger cost a small request, on SQLite and on Redis
	$(BIN)/python -m benchmarks.bench_means

bench-pages: $(READY)  ## a page of the latest requests of 100,000, on SQLite and on Redis
	$(BIN)/python -m benchmarks.bench_pages

bench-traces: $(READY)  ## what traces cost a small request, sampled and not
	$(BIN)/python -m benchmarks.bench_traces

bench-intent: $(READY)  ## whole-document requests told from look-ups
	$(BIN)/python -m benchmarks.bench_intent

screenshots: $(READY)  ## make docs/console/*.png from a gateway with believable traffic (needs chromium)
	$(BIN)/python -m benchmarks.console_screenshots

faults: $(READY)  ## make faults one after the other, and print what held (more of them with nginx, libfaketime and root)
	$(BIN)/python -m benchmarks.faults

soak: $(READY)  ## half an hour of mixed load: memory flat, every request once in the ledger (make soak MINUTES=3)
	$(BIN)/python -m benchmarks.soak --minutes $(or $(MINUTES),30)

sdks: $(READY)  ## every SDK through every case, directly and through the gateway, in a table (needs PyPI and npm once)
	$(BIN)/python -m tests.sdks $(ARGS)

walk: $(READY)  ## type what README.md tells a newcomer to, and time it (make walk ARGS=--from-nothing: from the installation on)
	@$(BIN)/python -m tests.walk $(ARGS)

clean:  ## remove .venv and caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
