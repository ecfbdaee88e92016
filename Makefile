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
PERCENT ?= 100
NAMES ?=
SEED ?=
COUNT ?=
JOBS ?=
SEEDS ?= $(if $(SEED),1,100000)
FLAVOUR := $(if $(CUDA),--cuda,)

# The set-up prints the folder that it made. A LIBTORCH of the user's own wins.
WITH_LIBTORCH = LIBTORCH="$$(deploy/libtorch.sh $(FLAVOUR))" && export LIBTORCH &&

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: sweep
sweep: build ## run a small sweep on this machine (GRID=file, WORKERS=n, CUDA=1)
	target/release/swfn-coordinator --grid $(GRID) --local-workers $(WORKERS)

.PHONY: docs
docs: cargo-there ## make the generated parts of docs/: options, axes
	$(WITH_LIBTORCH) UPDATE_DOCS=1 $(CARGO) test --locked --workspace --lib -- reference_of

.PHONY: browser
browser: ## install Chromium, which tests of pages use, if this user may; otherwise skip those
	@command -v chromium chromium-browser google-chrome >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; } || \
	  echo "note: Chromium is missing; tests of pages in a browser are skipped" >&2

.PHONY: quick
quick: cargo-there ## test a change in a minute: changed unit tests, one sweep, one kill
	$(WITH_LIBTORCH) tests/run.py quick

.PHONY: test
test: cargo-there browser ## set up and test: all units, each feature end to end, few faults
	$(WITH_LIBTORCH) tests/run.py test

.PHONY: test-all
test-all: test test-rest ## run all tests

.PHONY: test-rest
test-rest: build ## run what `make test` leaves out: more faults, seeds and checks
	$(WITH_LIBTORCH) tests/run.py rest

FUZZ_CORE = grid specification hello worker-message conversation http session
FUZZ_WORKER = idx gzip checkpoint vae lanes devices
TARGET ?= core worker
FUZZED = $(patsubst core,$(FUZZ_CORE),$(patsubst worker,$(FUZZ_WORKER),$(TARGET)))
# A target ends after SECONDS, or after a minute by default. With SEED the inputs are the same each
# time.
FUZZ_OPTIONS = $(addprefix -runs=,$(RUNS)) $(addprefix -seed=,$(SEED)) \
  $(addprefix -max_total_time=,$(or $(SECONDS),$(if $(RUNS),,60)))

.PHONY: fuzz
fuzz: cargo-there ## fuzz all readers of foreign bytes (TARGET=name|core|worker, SECONDS=n|RUNS=n, SEED=n)
	$(if $(filter $(FUZZ_CORE),$(FUZZED)),tests/fuzz/run.sh build core)
	$(if $(filter $(FUZZ_WORKER),$(FUZZED)),$(WITH_LIBTORCH) tests/fuzz/run.sh build worker)
	$(if $(filter $(FUZZ_WORKER),$(FUZZED)),$(WITH_LIBTORCH)) for target in $(FUZZED); do \
	  tests/fuzz/run.sh fuzz $$target $(FUZZ_OPTIONS); done

.PHONY: fuzz-keep
fuzz-keep: ## add interesting inputs of `make fuzz` to the corpus (TARGET=name)
	$(if $(filter $(FUZZ_WORKER),$(FUZZED)),$(WITH_LIBTORCH)) for target in $(FUZZED); do \
	  tests/fuzz/run.sh keep $$target; done

DENY_VERSION = 0.20.2
DENY = target/tools/bin/cargo-deny

# A debug build is enough: it runs for seconds, and a release build takes minutes longer.
$(DENY): | cargo-there
	$(CARGO) install --locked --debug --root target/tools --version $(DENY_VERSION) cargo-deny

.PHONY: deny
deny: $(DENY) ## check dependencies: licences, origins, bans, advisories (OFFLINE=1: no advisories)
	$(DENY) --locked check licenses bans sources
	$(if $(OFFLINE),,if $(DENY) fetch db; then $(DENY) --locked check advisories; \
	else echo "note: the list of advisories is not reachable and was not checked" >&2; fi)

.PHONY: simulate
simulate: cargo-there ## simulate the scheduler in a cluster (SEEDS=n), or print one history (SEED=n)
	SWFN_SEED=$(SEED) SWFN_SEEDS=$(SEEDS) $(CARGO) test --release --locked \
	  --package swfn-scheduler --lib -- simulation::two_thousand_seeds --ignored --nocapture

PYTHON = $(CURDIR)/target/reference/bin/python

.PHONY: reference
reference: cargo-there ## compare with PyTorch: expected numbers, weights of a trial, peers of bench (2.5 GB, and JAX)
	test -x $(PYTHON) || python3 -m venv target/reference
	$(PYTHON) -m pip install --quiet --disable-pip-version-check \
	  --requirement tests/reference/requirements.txt \
	  --requirement tests/reference/requirements-statistics.txt
	cd tests/reference && $(PYTHON) -B hypotheses.py --check statistics.json
	rm -rf target/reference/golden
	cd tests/reference && $(PYTHON) -B reference.py $(CURDIR)/target/reference/golden
	cd tests/reference && $(PYTHON) -B compare.py golden $(CURDIR)/target/reference/golden
	$(WITH_LIBTORCH) SWFN_PYTHON=$(PYTHON) $(CARGO) test --locked --workspace --test it \
	  -- pytorch:: --ignored

.PHONY: chaos
chaos: cargo-there ## inject all faults of tests/FAULTS.md, 40 min (PERCENT=n, NAMES="P1 zombies", JOBS=n, SEED=n COUNT=n)
	tests/tools.sh
	$(WITH_LIBTORCH) $(CARGO) test --locked --workspace --test chaos -- all --percent $(PERCENT) \
		$(addprefix --jobs=,$(JOBS)) $(addprefix --seed=,$(SEED)) $(addprefix --count=,$(COUNT)) $(NAMES)

.PHONY: mutants
mutants: cargo-there ## plant bugs, which tests must notice and name, 5 min (NAMES="no-lock", JOBS=n)
	tests/tools.sh
	$(WITH_LIBTORCH) $(CARGO) test --locked --workspace --test chaos -- mutants \
	  $(addprefix --jobs=,$(JOBS)) $(NAMES)

CARGO_MUTANTS_VERSION = 27.1.0
CARGO_MUTANTS = target/tools/bin/cargo-mutants

$(CARGO_MUTANTS): | cargo-there
	$(CARGO) install --locked --debug --root target/tools --version $(CARGO_MUTANTS_VERSION) \
	  cargo-mutants

.PHONY: mutate
mutate: $(CARGO_MUTANTS) ## change functions of the scheduler, and see tests fail, 30 min (JOBS=n)
	$(CARGO_MUTANTS) mutants --package swfn-scheduler --output target/mutate --no-shuffle \
	  $(addprefix --jobs=,$(JOBS))

.PHONY: deploy-check
deploy-check: cargo-there ## check the manifests for Kubernetes 1.30 to 1.37, without a cluster
	$(WITH_LIBTORCH) $(CARGO) test --locked --workspace --test it \
	  -- manifests:: --include-ignored --nocapture --test-threads 1

POINTS ?= 10000000

.PHONY: flood
flood: cargo-there ## flood a coordinator from fifty workers and watch its memory (POINTS=n)
	$(WITH_LIBTORCH) SWFN_FLOOD_POINTS=$(POINTS) $(CARGO) test --release --locked --workspace \
	  --test it -- flood:: --include-ignored --nocapture --test-threads 1

.PHONY: kernels
kernels: cargo-there ## time the CPU's kernels, for each width of vectors, and random numbers
	$(WITH_LIBTORCH) $(CARGO) test --release --locked --package swfn-worker --lib timings \
	  -- --ignored --nocapture --test-threads 1

.PHONY: bench
bench: build ## measure speed beside PyTorch and JAX (PARTS="kernels steps start sweep", ROUNDS=n, PYTHON=file)
	$(WITH_LIBTORCH) SWFN_PYTHON=$(PYTHON) $(CARGO) bench --locked --package swfn-tests \
	  --bench speed -- --rounds $(ROUNDS) $(PARTS)

.PHONY: slurm-check
slurm-check: build ## run sweeps on a real Slurm of one node, 6 min (installs Debian's packages)
	tests/slurm.sh

.PHONY: hosts-check
hosts-check: build ## run a sweep on three hosts (network namespaces), with TLS, a token and ssh
	$(WITH_LIBTORCH) tests/hosts.sh

.PHONY: build
build: cargo-there ## build coordinator and worker for release
	$(WITH_LIBTORCH) $(CARGO) build --release --locked --package swfn-coordinator --package swfn-worker

.PHONY: check
check: fmt lint test doc ## check everything that must hold before a commit

.PHONY: release-check
release-check: ## run the remaining checks before a release, which take hours
	$(MAKE) deny reference mutants chaos flood simulate slurm-check hosts-check
	$(MAKE) fuzz RUNS=10000000

.PHONY: fmt
fmt: cargo-there ## check the formatting
	$(CARGO) fmt --all --check

.PHONY: lint
lint: cargo-there ## run clippy; warnings are errors
	$(WITH_LIBTORCH) $(CARGO) clippy --workspace --all-targets --all-features --locked -- -D warnings

.PHONY: doc
doc: cargo-there ## build the documentation; warnings are errors
	$(WITH_LIBTORCH) RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps \
	  --document-private-items --locked

.PHONY: images
images: ## build the images of coordinator and worker (CUDA=1: for GPUs, too)
	deploy/images/build.sh coordinator worker-cpu $(if $(CUDA),worker-cuda)

.PHONY: images-check
images-check: cargo-there ## build the images without an engine and run a sweep in them (CUDA=1: for GPUs, too)
	tests/images.sh $(if $(CUDA),--cuda)

.PHONY: setup
setup: ## fetch libtorch only
	@deploy/libtorch.sh $(FLAVOUR)

.PHONY: cargo-there
cargo-there:
	@command -v $(CARGO) >/dev/null || { echo "error: cargo is missing" >&2; \
	  echo "hint: install Rust from https://rustup.rs" >&2; exit 1; }
