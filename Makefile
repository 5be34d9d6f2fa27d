# StorageLab: two commands do all the set-up on a fresh machine that has Swift 6.3.
#
#   make bench    run the main benchmark; prints where its report lies
#   make test     everything CI checks: format, warnings, links, all tests

SWIFT ?= swift
# Tests run optimised, with assertions on: the long ones take a hundredth of the time.
TEST_FLAGS := -c release --scratch-path .build-test \
  -Xswiftc -enable-testing -Xswiftc -assert-config -Xswiftc Debug

.PHONY: bench test build lint format dependencies clean

bench: build
	.build/release/labctl bench $(ARGS)

build: dependencies
	$(SWIFT) build -c release --product labctl

test: dependencies lint
	Scripts/build-without-warnings $(SWIFT) build --build-tests $(TEST_FLAGS)
	$(SWIFT) test --skip-build $(TEST_FLAGS)

lint:
	$(SWIFT) format lint --strict --recursive Sources Tests Package.swift

format:
	$(SWIFT) format --in-place --recursive Sources Tests Package.swift

dependencies:
	@Scripts/install-dependencies

clean:
	rm -rf .build .build-test
