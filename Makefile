# StorageLab: two commands do all the set-up on a fresh machine that has Swift 6.3.
#
#   make bench    run the main benchmark; prints where its report lies
#   make test     everything CI checks: format, warnings, links, all tests
#
#   make bench-peers   the B-tree beside LMDB (installs liblmdb-dev)
#   make test-peers    the tests of the peers
#   make sanitize      tests under AddressSanitizer and ThreadSanitizer; builds anew for each

SWIFT ?= swift
# Tests run optimised, with assertions on: the long ones take a hundredth of the time.
TEST_FLAGS := -c release --scratch-path .build-test \
  -Xswiftc -enable-testing -Xswiftc -assert-config -Xswiftc Debug

PEERS := --traits LMDB
PEER_HEADERS := lmdb.h:liblmdb-dev

# What runs several threads, for the sanitizers; `make sanitize TESTS=.` runs all.
TESTS ?= CommitQueueTests|WriteAheadLogTests|LogFaultTests|ConformanceTests|BTree|LSM|OpenTableTests|RangeGapTests|RateLimiterTests|SQLite|ReadBodyTests

.PHONY: bench test bench-peers test-peers sanitize build lint format dependencies clean

bench: build
	.build/release/labctl bench $(ARGS)

build: dependencies
	$(SWIFT) build -c release --product labctl

test: dependencies lint
	Scripts/build-without-warnings $(SWIFT) build --build-tests $(TEST_FLAGS)
	$(SWIFT) test --skip-build $(TEST_FLAGS)

# A million records of 16 + 100 bytes: fills, then reads and changes of one database, then
# what two threads read and four make durable.
PEER_BENCH = .build-peers/release/labctl bench run --engines btree,lmdb --keys random \
  --records 1000000 --operations 1000000 --rounds 5 --cache 512MiB $(ARGS)

bench-peers:
	@Scripts/install-dependencies $(PEER_HEADERS)
	$(SWIFT) build -c release --product labctl --scratch-path .build-peers $(PEERS)
	$(PEER_BENCH) fillseq fillrandom fillrandombatch readrandom readmissing fullscan \
	  seekrandom10 readwhilewriting overwrite deleterandom fillsync
	$(PEER_BENCH) --threads 2 readrandom
	$(PEER_BENCH) --threads 4 fillsync

test-peers:
	@Scripts/install-dependencies $(PEER_HEADERS)
	$(SWIFT) test $(TEST_FLAGS) $(PEERS) --filter LMDBEngineTests

sanitize: dependencies
	SWIFT=$(SWIFT) Scripts/sanitize address '$(TESTS)'
	SWIFT=$(SWIFT) Scripts/sanitize thread '$(TESTS)'

lint:
	$(SWIFT) format lint --strict --recursive Sources Tests Package.swift

format:
	$(SWIFT) format --in-place --recursive Sources Tests Package.swift

dependencies:
	@Scripts/install-dependencies

clean:
	rm -rf .build .build-test .build-peers .build-address .build-thread
