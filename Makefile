# SPDX-License-Identifier: MIT OR Apache-2.0
# Two commands do everything: `make seal` and `make test`.

.PHONY: seal test chaos vm gpus build setup lint schemas docs fuzz bench-pipe bench-daemon bench-pc1 bench-pc2 bench-c2 kernels clean-demo help
.DEFAULT_GOAL := help

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
BIN := $(TARGET)/release
# Where `make seal` puts its sector.
OUT ?= $(TARGET)/demo/sector

help: ## what there is to make
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

setup: ## the system packages and Rust, unless they are there
	@tools/setup

build: setup ## the worker and the processors
	$(CARGO) build --release --locked --workspace

seal: build ## seal a 2KiB sector of real data and show its verified proof
	@mkdir -p $(dir $(OUT))
	@head -c 2000 LICENSE-APACHE > $(dir $(OUT))piece.bin
	$(BIN)/sealpipe seal --size 2KiB --piece $(dir $(OUT))piece.bin --out $(OUT)

test: build ## all tests
	$(CARGO) test --release --locked --workspace

vm: build ## placement on two NUMA nodes, in a virtual machine without hardware support
	@tools/vm $(TARGET)/vm
	REQUIRE_VM=1 $(CARGO) test --release --locked -p sealpipe-tests --test vm -- --nocapture

gpus: build ## two GPUs that pc2 and c2 share, from data to verified proofs; GPUS=1 for one
	REQUIRE_GPU=1 SEALPIPE_GPUS=$(or $(GPUS),2) $(CARGO) test --release --locked -p sealpipe-tests --test gpus -- --nocapture

chaos: build ## kills, wedged processes and full disks at random for half an hour and more: the full storm
	SEALPIPE_CHAOS_KILLS=$(or $(KILLS),10) $(CARGO) test --release --locked -p sealpipe-tests --test chaos -- --nocapture
	SEALPIPE_STORM_SECTORS=40 SEALPIPE_STORM_ECHOES=500 SEALPIPE_STORM_STRIKES=$(or $(KILLS),10) \
	  $(CARGO) test --release --locked -p sealpipe-tests --test storm -- --nocapture

lint: setup ## formatting and clippy
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings

schemas: setup ## write schemas/ anew from the types
	UPDATE_SCHEMAS=1 $(CARGO) test --release -p sealpipe-protocol --test schemas

docs: setup ## write the tables and pictures of docs/ anew from the simulator
	UPDATE_DOCS=1 $(CARGO) test --release --locked -p sealpipe-worker --test allocation

fuzz: setup ## fuzz the protocol's codec, messages and peer for ten minutes
	protocol/fuzz/run

bench-pipe: setup ## the pipe's speed against a plain copy
	$(CARGO) run --release --locked -p sealpipe-protocol --example pipe_bench

bench-daemon: build ## a daemon with 1,000 sectors queued: how fast it answers, how much memory it takes
	$(CARGO) run --release --locked -p sealpipe-tests --example daemon_bench
	$(CARGO) run --release --locked -p sealpipe-worker --example scheduler_bench

bench-pc1: setup ## labelling against filecoin-proofs, both built for this cpu; BENCH_PC1="16 24" in lg of nodes
	RUSTFLAGS="-C target-cpu=native" $(CARGO) build --release --locked --target-dir $(TARGET)/native -p sealpipe-pc1 --example bench
	FIL_PROOFS_PARENT_CACHE=$(TARGET)/native/parents $(TARGET)/native/release/examples/bench all $(or $(BENCH_PC1),16 24)

bench-pc2: setup ## pc2 on this machine's GPU: kernels, and 512 MiB x 11 layers in a RAM disk
	$(CARGO) build --release --locked -p sealpipe-pc2
	$(BIN)/sealpipe-pc2 bench
	$(BIN)/sealpipe-pc2 bench --lg8-nodes 8
	rm -rf /dev/shm/sealpipe-pc2-bench

bench-c2: setup ## c2 on this machine's GPU: 20 sectors of 2KiB from one process, and the kernels; makes test parameters
	$(CARGO) build --release --locked -p sealpipe-c2
	$(BIN)/sealpipe-c2 bench --kernels

kernels: ## compile the GPU kernels anew; needs nvcc 13.0, and only who changes one needs it
	processors/gpu/cuda/poseidon_constants.py > processors/gpu/cuda/poseidon_constants.cuh
	processors/gpu/compile processors/pc2 pc2
	processors/gpu/compile processors/c2 c2

clean-demo: ## forget the sector of `make seal`
	rm -rf $(TARGET)/demo
