# Every target, cheapest first. `make demo` and `make test` need nothing but Rust: they set the machine up.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

# Where rustup puts cargo, for shells that have not read its profile.
export PATH := $(PATH):$(HOME)/.cargo/bin

TARGET := $(or $(CARGO_TARGET_DIR),target)
PROGRAM := $(TARGET)/release/counterpoint
OUT := out/demo
DENY_VERSION := 0.20.2
DENY := $(TARGET)/tools/bin/cargo-deny
# Continuous integration builds exactly what was committed.
LOCKED := $(if $(CI),--locked)

# Everything is built from the whole workspace, so that all targets have crates with one set of features: nothing is
# built twice.
step = @printf '\n== %s\n' '$(1)'

.PHONY: help setup fmt fmt-check deny advisories clippy build demo effect experiments test simulate parity chaos kafka doc clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing on this machine (Debian, Ubuntu)
	@ops/setup.sh test

fmt: ## format the code
	cargo fmt --all

fmt-check:
	$(call step,format)
	cargo fmt --all --check

deny: $(DENY)-$(DENY_VERSION) ## check licences, banned crates and sources of all dependencies
	$(call step,dependencies)
	$(DENY) $(LOCKED) check --hide-inclusion-graph bans licenses sources

advisories: $(DENY)-$(DENY_VERSION) ## check dependencies against the RustSec database (fetches it)
	$(DENY) $(LOCKED) check advisories

# Unoptimised: it is built once and runs for seconds.
$(DENY)-$(DENY_VERSION):
	$(call step,build cargo-deny $(DENY_VERSION))
	CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
	CARGO_TARGET_DIR=$(TARGET)/tools/build cargo install --quiet --locked --no-default-features --force \
		--root $(TARGET)/tools cargo-deny --version $(DENY_VERSION)
	rm -rf $(TARGET)/tools/build
	touch $@

clippy: ## lint everything, warnings are errors
	$(call step,lints)
	cargo clippy $(LOCKED) --release --workspace --all-targets -- -D warnings

build: ## build all programs: `counterpoint`, its media worker, and the same with models in it
	@ops/setup.sh models
	$(call step,build)
	cargo build $(LOCKED) --release --workspace --bins

demo: build ## show the collapse and its repair: corpus, pipeline, training, questions; ends with a report
	$(call step,demo)
	$(PROGRAM) demo --out $(OUT) $(if $(SEED),--seed $(SEED))

effect: build ## the demo for SEEDS="1 2 3", and a table of what came of each
	$(call step,effect)
	for seed in $(or $(SEEDS),1 2 3); do $(PROGRAM) demo --out $(OUT)-$$seed --seed $$seed || exit; done

experiments: demo ## the paper's other experiments on the demo's models, each a section of its report
	$(call step,experiments)
	for name in ablations none-of-the-above cross-class mixup; do \
		$(PROGRAM) experiment $$name --samples $(OUT) || exit; \
	done

test: ## set up, check and test everything, as continuous integration does
	$(call step,set-up)
	@ops/setup.sh test
	@$(MAKE) fmt-check deny clippy
	$(call step,build programs and tests)
	cargo build $(LOCKED) --release --workspace --bins --tests
	$(call step,tests)
	cargo test $(LOCKED) --release --workspace --no-fail-fast

simulate: ## run SCHEDULES=2000 fresh schedules of the simulation, or tell every step of the one of SEED=N
	SIMULATION_SCHEDULES=$(or $(SCHEDULES),2000) $(if $(SEED),SIMULATION_SEED=$(SEED)) \
		cargo test $(LOCKED) --release --workspace --test simulation fresh -- --nocapture

# Sizes of the models and lengths of the clips follow from the seed, too.
parity: ## hold the models against transformers on SEEDS=5 fresh random models, or on the one of SEED=N
	@ops/setup.sh parity
	set -- $(or $(SEED),$$(shuf --input-range 1-1000000 --head-count $(or $(SEEDS),5))); \
	for seed in "$$@"; do \
		printf '\n== seed %s\n' "$$seed"; \
		$(TARGET)/tools/parity/bin/python models/omni/tests/parity/reference.py --varied --seed "$$seed" \
			$(TARGET)/parity/$$seed; \
		PARITY_FIXTURES=$$(realpath $(TARGET)/parity/$$seed) \
			cargo test $(LOCKED) --release --workspace --test parity; \
		rm -r $(TARGET)/parity/$$seed; \
	done
	@$(MAKE) build
	$(call step,whole commands against transformers and PEFT)
	for name in questions lora load forward; do \
		$(PROGRAM) bench $$name --layers 2 --width 128 --pixels 112 --seconds 2 --rounds 1; \
	done

chaos: build ## kill the program KILLS=200 times on each engine, and hold what comes of it against the guarantee
	CHAOS_KILLS=$(or $(KILLS),200) $(if $(SEED),CHAOS_SEED=$(SEED)) \
		cargo test $(LOCKED) --release --workspace --test chaos -- --nocapture --test-threads=1

kafka: build ## start a Kafka broker on port 9092 that keeps its data in out/kafka
	@ops/setup.sh test
	$(TARGET)/release/counterpoint-servers kafka --port 9092 --folder out/kafka

doc: ## write the reference of every crate to target/doc
	RUSTDOCFLAGS='-D warnings' cargo doc $(LOCKED) --workspace --no-deps

clean: ## remove everything that was built
	cargo clean
	rm -rf out
