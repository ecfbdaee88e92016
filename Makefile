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
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: sweep
sweep: build ## run a small sweep on this machine (GRID=file, WORKERS=n, CUDA=1)
	target/release/swfn-coordinator --grid $(GRID) --local-workers $(WORKERS)

.PHONY: docs
docs: cargo-there ## make the parts of docs/ that are made from the programs: options, axes
	$(WITH_LIBTORCH) UPDATE_DOCS=1 $(CARGO) test --locked --workspace --lib -- reference_of

.PHONY: browser
browser: ## Chromium, in which a test opens the report, where this user may install packages; elsewhere that test is skipped
	@command -v chromium chromium-browser google-chrome >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; } || \
	  echo "note: no Chromium here; the report is not opened in a browser" >&2

.PHONY: quick
quick: cargo-there ## what a change may break, in a minute: unit tests of what has changed, one sweep, one kill
	$(WITH_LIBTORCH) tests/run.py quick

.PHONY: test
test: cargo-there browser ## all set-up, the tests: all of a unit, each feature end to end, each fault once or twice
	$(WITH_LIBTORCH) tests/run.py test

.PHONY: test-all
test-all: test test-rest ## all tests

.PHONY: test-rest
test-rest: build ## what `make test` leaves out: faults in larger numbers, more seeds, what no release may contain
	$(WITH_LIBTORCH) tests/run.py rest

FUZZ_CORE = grid specification hello worker-message conversation http session
FUZZ_WORKER = idx gzip checkpoint vae lanes devices
TARGET ?= core worker
FUZZED = $(patsubst core,$(FUZZ_CORE),$(patsubst worker,$(FUZZ_WORKER),$(TARGET)))
# A target ends after SECONDS, or after a minute by default. With SEED the inputs are the same each
# time.
FUZZ_OPTIONS = $(addprefix -runs=,$(RUNS)) $(addprefix -max_total_time=,$(or $(SECONDS),$(if $(RUNS),,60))) $(addprefix -seed=,$(SEED))

.PHONY: fuzz
fuzz: cargo-there ## fuzz all that reads other people's bytes (TARGET=name, core or worker; SECONDS=n or RUNS=n for each; SEED=n)
	$(if $(filter $(FUZZ_CORE),$(FUZZED)),tests/fuzz/run.sh build core)
	$(if $(filter $(FUZZ_WORKER),$(FUZZED)),$(WITH_LIBTORCH) tests/fuzz/run.sh build worker)
	$(if $(filter $(FUZZ_WORKER),$(FUZZED)),$(WITH_LIBTORCH)) for target in $(FUZZED); do tests/fuzz/run.sh fuzz $$target $(FUZZ_OPTIONS); done

.PHONY: fuzz-keep
fuzz-keep: ## add what `make fuzz` found interesting to the corpus (TARGET=name)
	$(if $(filter $(FUZZ_WORKER),$(FUZZED)),$(WITH_LIBTORCH)) for target in $(FUZZED); do tests/fuzz/run.sh keep $$target; done

DENY_VERSION = 0.20.2
DENY = target/tools/bin/cargo-deny

# A debug build is enough: it runs for seconds, and a release build takes minutes longer.
$(DENY): | cargo-there
	$(CARGO) install --locked --debug --root target/tools --version $(DENY_VERSION) cargo-deny

.PHONY: deny
deny: $(DENY) ## licences, origins and bans of all dependencies; known vulnerabilities where their list can be fetched (OFFLINE=1: not)
	$(DENY) --locked check licenses bans sources
	$(if $(OFFLINE),,if $(DENY) fetch db; then $(DENY) --locked check advisories; \
	else echo "note: the list of advisories cannot be fetched from here; nothing is said about them" >&2; fi)

.PHONY: simulate
simulate: cargo-there ## the scheduler in a simulated cluster (SEEDS=n), or what happens in one history (SEED=n)
	SWFN_SEED=$(SEED) SWFN_SEEDS=$(SEEDS) $(CARGO) test --release --locked --package swfn-scheduler --lib -- simulation::two_thousand_seeds --ignored --nocapture

PYTHON = $(CURDIR)/target/reference/bin/python

.PHONY: reference
reference: cargo-there ## PyTorch makes the expected numbers again and loads the weights of a trial (2.5 GB)
	test -x $(PYTHON) || python3 -m venv target/reference
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --requirement tests/reference/requirements.txt --requirement tests/reference/requirements-statistics.txt
	cd tests/reference && $(PYTHON) -B hypotheses.py --check statistics.json
	rm -rf target/reference/golden
	cd tests/reference && $(PYTHON) -B reference.py $(CURDIR)/target/reference/golden
	cd tests/reference && $(PYTHON) -B compare.py golden $(CURDIR)/target/reference/golden
	$(WITH_LIBTORCH) SWFN_PYTHON=$(PYTHON) $(CARGO) test --locked --workspace --test it -- pytorch:: --ignored

.PHONY: chaos
chaos: cargo-there ## faults in the numbers of tests/FAULTS.md, 40 minutes (PERCENT=n of the numbers, NAMES="P1 zombies", JOBS=n at a time; SEED=n COUNT=n: one part alone)
	tests/tools.sh
	$(WITH_LIBTORCH) $(CARGO) test --locked --workspace --test chaos -- all --percent $(PERCENT) \
		$(addprefix --jobs=,$(JOBS)) $(addprefix --seed=,$(SEED)) $(addprefix --count=,$(COUNT)) $(NAMES)

.PHONY: mutants
mutants: cargo-there ## planted bugs, each of which some test must notice and name, five minutes (NAMES="no-lock", JOBS=n)
	tests/tools.sh
	$(WITH_LIBTORCH) $(CARGO) test --locked --workspace --test chaos -- mutants $(addprefix --jobs=,$(JOBS)) $(NAMES)

CARGO_MUTANTS_VERSION = 27.1.0
CARGO_MUTANTS = target/tools/bin/cargo-mutants

$(CARGO_MUTANTS): | cargo-there
	$(CARGO) install --locked --debug --root target/tools --version $(CARGO_MUTANTS_VERSION) cargo-mutants

.PHONY: mutate
mutate: $(CARGO_MUTANTS) ## bugs that nobody planned, in the pure scheduler: each change of a function must make a test fail, half an hour (JOBS=n)
	$(CARGO_MUTANTS) mutants --package swfn-scheduler --output target/mutate --no-shuffle $(addprefix --jobs=,$(JOBS))

.PHONY: deploy-check
deploy-check: cargo-there ## manifests for Kubernetes, without a cluster: rendered, linted, compared with the schemas of 1.30 to 1.37, seeded with faults
	$(WITH_LIBTORCH) $(CARGO) test --locked --workspace --test it -- manifests:: --include-ignored --nocapture --test-threads 1

POINTS ?= 10000000

.PHONY: flood
flood: cargo-there ## fifty workers report as fast as they can, and the coordinator's memory stays flat (POINTS=n)
	$(WITH_LIBTORCH) SWFN_FLOOD_POINTS=$(POINTS) $(CARGO) test --release --locked --workspace --test it -- flood:: --include-ignored --nocapture --test-threads 1

.PHONY: kernels
kernels: cargo-there ## timings of the CPU's kernels, for each kind of vectors that the processor has, and of random numbers
	$(WITH_LIBTORCH) $(CARGO) test --release --locked --package swfn-worker --lib timings -- --ignored --nocapture --test-threads 1

.PHONY: bench
bench: build ## speed beside PyTorch's, ten minutes (PARTS="kernels steps start sweep", ROUNDS=n, PYTHON=file)
	$(WITH_LIBTORCH) SWFN_PYTHON=$(PYTHON) $(CARGO) bench --locked --package swfn-tests --bench speed -- --rounds $(ROUNDS) $(PARTS)

.PHONY: slurm-check
slurm-check: build ## sweeps on a real Slurm of one node, six minutes; tasks requeued in the middle, one whose time is up (Debian's packages are installed)
	tests/slurm.sh

.PHONY: hosts-check
hosts-check: build ## a sweep on three hosts that are network name spaces, with TLS, a token and the recipe for ssh
	$(WITH_LIBTORCH) tests/hosts.sh

.PHONY: build
build: cargo-there ## release build of coordinator and worker
	$(WITH_LIBTORCH) $(CARGO) build --release --locked --package swfn-coordinator --package swfn-worker

.PHONY: check
check: fmt lint test doc ## everything that must hold before a commit

.PHONY: release-check
release-check: ## what must hold before a release besides, hours: origins, numbers of PyTorch, planted bugs, faults, floods, simulation, Slurm, several hosts, fuzzing
	$(MAKE) deny reference mutants chaos flood simulate slurm-check hosts-check
	$(MAKE) fuzz RUNS=10000000

.PHONY: fmt
fmt: cargo-there ## formatting
	$(CARGO) fmt --all --check

.PHONY: lint
lint: cargo-there ## clippy, warnings are errors
	$(WITH_LIBTORCH) $(CARGO) clippy --workspace --all-targets --all-features --locked -- -D warnings

.PHONY: doc
doc: cargo-there ## documentation, warnings are errors
	$(WITH_LIBTORCH) RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items --locked

.PHONY: images
images: ## build the images of coordinator and worker (CUDA=1: the worker's for GPUs, too)
	deploy/images/build.sh coordinator worker-cpu $(if $(CUDA),worker-cuda)

.PHONY: images-check
images-check: cargo-there ## build the images without an engine, which compiles all anew, and run a sweep in them (CUDA=1: build the worker's for GPUs, too)
	tests/images.sh $(if $(CUDA),--cuda)

.PHONY: setup
setup: ## put libtorch together, nothing else
	@deploy/libtorch.sh $(FLAVOUR)

.PHONY: cargo-there
cargo-there:
	@command -v $(CARGO) >/dev/null || { echo "error: cargo is missing" >&2; echo "hint: install Rust from https://rustup.rs" >&2; exit 1; }
