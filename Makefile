# One line per command; what a line does is in .ci/ or in the crate it runs.
.DEFAULT_GOAL := help
.PHONY: help demo test check test-python wheel test-slow crash-test bench bench-full

help: ## list the commands
	@sed -n 's/^\([a-z-]*\): ## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 12

demo: ## run the stocks example, in Rust on two workers and in Python
	.ci/demo

test: ## check, then run all fast tests and count them
	.ci/test

check: ## format, lints, docs, layers, tidy
	.ci/check

test-python: ## build the Python wheel, install it into a fresh environment, and test it there
	.ci/python

WHEEL ?= python3
wheel: ## build the wheel of a release for WHEEL: interpreters, or --abi3
	.ci/wheel $(WHEEL)

test-slow: ## run the slow tests: more seeds, more cases
	.ci/test-slow

RUNS ?= 1000
crash-test: ## kill an application RUNS times, and check what comes out
	cargo build --release --locked -p wallaroo-crash
	target/release/crash-test $(RUNS)

bench: ## run the benchmarks, normal size; also as JSON lines in target/
	cargo run --release --locked -p wallaroo-bench -- normal --json target/bench.json
	python3 benches/python/bench.py normal --json target/bench-python.json

bench-full: ## run the benchmarks, full size; also as JSON lines in target/
	cargo run --release --locked -p wallaroo-bench -- full --json target/bench-full.json
	python3 benches/python/bench.py full --json target/bench-full-python.json
