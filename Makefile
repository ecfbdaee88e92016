# `make sweep` and `make test` do all the set-up that they need; see README.md.
#
# With CUDA=1 everything is built against the CUDA flavour of libtorch (2.5 GB to fetch).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
GRID ?= coordinator/grids/quick.toml
WORKERS ?= auto
ROUNDS ?= 3
PARTS ?=
SEED ?=
SEEDS ?= $(if $(SEED),1,100000)
FLAVOUR := $(if $(CUDA),--cuda,)

# The set-up prints the folder that it made; a LIBTORCH of the user's own wins.
WITH_LIBTORCH = LIBTORCH="$$(deploy/libtorch.sh $(FLAVOUR))" && export LIBTORCH &&

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: sweep
sweep: build ## run a small sweep on this machine (GRID=file, WORKERS=n, CUDA=1)
	target/release/swfn-coordinator --grid $(GRID) --local-workers $(WORKERS)

.PHONY: test
test: cargo-there ## all set-up, all tests
	$(WITH_LIBTORCH) $(CARGO) test --workspace --locked
	deploy/libtorch.test.sh

.PHONY: simulate
simulate: cargo-there ## the scheduler in a simulated cluster (SEEDS=n), or what happens in one history (SEED=n)
	SWFN_SEED=$(SEED) SWFN_SEEDS=$(SEEDS) $(CARGO) test --release --locked --package swfn-coordinator --lib -- simulation::two_thousand_seeds --nocapture

PYTHON = $(CURDIR)/target/reference/bin/python

.PHONY: reference
reference: cargo-there ## PyTorch makes the expected numbers again and loads the weights of a trial (2.5 GB)
	test -x $(PYTHON) || python3 -m venv target/reference
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --requirement tests/reference/requirements.txt
	rm -rf target/reference/golden
	cd tests/reference && $(PYTHON) -B reference.py $(CURDIR)/target/reference/golden
	cd tests/reference && $(PYTHON) -B compare.py golden $(CURDIR)/target/reference/golden
	$(WITH_LIBTORCH) SWFN_PYTHON=$(PYTHON) $(CARGO) test --locked --package swfn-tests --test pytorch -- --ignored

.PHONY: kernels
kernels: cargo-there ## timings of the CPU's kernels, for each kind of vectors that the processor has, and of random numbers
	$(WITH_LIBTORCH) $(CARGO) test --release --locked --package swfn-worker --lib timings -- --ignored --nocapture --test-threads 1

.PHONY: bench
bench: build ## speed beside PyTorch's, ten minutes (PARTS="kernels steps start sweep", ROUNDS=n, PYTHON=file)
	$(WITH_LIBTORCH) SWFN_PYTHON=$(PYTHON) $(CARGO) bench --locked --package swfn-tests --bench speed -- --rounds $(ROUNDS) $(PARTS)

.PHONY: build
build: cargo-there ## release build of coordinator and worker
	$(WITH_LIBTORCH) $(CARGO) build --release --locked --package swfn-coordinator --package swfn-worker

.PHONY: check
check: fmt lint test doc ## everything that must hold before a commit

.PHONY: fmt
fmt: cargo-there ## formatting
	$(CARGO) fmt --all --check

.PHONY: lint
lint: cargo-there ## clippy, warnings are errors
	$(WITH_LIBTORCH) $(CARGO) clippy --workspace --all-targets --locked -- -D warnings

.PHONY: doc
doc: cargo-there ## documentation, warnings are errors
	$(WITH_LIBTORCH) RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items --locked

.PHONY: setup
setup: ## put libtorch together, nothing else
	@deploy/libtorch.sh $(FLAVOUR)

.PHONY: cargo-there
cargo-there:
	@command -v $(CARGO) >/dev/null || { echo "error: cargo is missing" >&2; echo "hint: install Rust from https://rustup.rs" >&2; exit 1; }
