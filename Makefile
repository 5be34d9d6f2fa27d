# StorageLab: two commands do all the set-up on a fresh machine that has Swift 6.3.
#
#   make bench    run the main benchmark; prints where its report lies
#   make test     everything CI checks: format, warnings, links, all tests
#
#   make test-examples   the package in Examples that brings an engine of its own; CI runs it too
#   make install PREFIX=/usr/local   labctl, its man pages and completions; libstoragelab, its header,
#                      its pkg-config file; make uninstall removes them. Needs no Swift afterwards
#   make bench-peers   the B-tree beside LMDB, the LSM tree beside RocksDB and LevelDB (installs
#                      their libraries); also bench-btree-peers, bench-btree-cold (data of four
#                      times the cache) and bench-lsm-peers alone
#   make test-peers    the tests of the peers
#   make bench-c-api   what a call through the C API costs over the Swift call
#   make crash         100,000 crash points over all classes and engines, in memory, 10,000 beneath
#                      several threads, 20,000 of migrations between shards, and hundreds of real kills,
#                      some with a full disk; SEED=… for others than last time
#   make test-pages    every kind of HTML page opened in headless Chromium (installs it)
#   make asan, make tsan   tests under AddressSanitizer and ThreadSanitizer; each builds anew
#   make metamorphic TIME=600   random programs on random configurations, beside an oracle
#   make soak TIME=600     mixed load with faults and restarts on each engine, so many seconds each
#   make flips         every bit of small databases flipped, a sample of large ones', and every other
#                      damage; minutes. EVERY=n tries every nth
#   make faults        every I/O call of a program made to fail, in each class
#   make fuzz TIME=60  libFuzzer on every decoder and on whole directories, TIME seconds in all
#   make corpus        writes the fuzzer's first inputs anew, after a change of a format

SWIFT ?= swift
# Tests run optimised, with assertions on: the long ones take a hundredth of the time.
TEST_FLAGS := -c release --scratch-path .build-test \
  -Xswiftc -enable-testing -Xswiftc -assert-config -Xswiftc Debug

PEERS := --traits LMDB,RocksDB,LevelDB
PEER_HEADERS := lmdb.h:liblmdb-dev rocksdb/c.h:librocksdb-dev leveldb/c.h:libleveldb-dev

# What runs several threads, for the sanitizers; `make sanitize TESTS=.` runs all.
TESTS ?= CommitQueueTests|WriteAheadLogTests|LogFaultTests|ConformanceTests|BTree|LSM|OpenTableTests|RangeGapTests|RateLimiterTests|SQLite|ReadBodyTests|SnapshotHistory|SoakTests|Cluster|Migration|ShardLoad

.PHONY: bench test test-examples bench-peers build-peers bench-btree-peers bench-btree-cold \
  bench-lsm-peers bench-lsm-overload test-peers bench-c-api build-install install uninstall asan tsan \
  sanitize soak metamorphic crash kill build lint format dependencies clean \
  flips faults fuzz corpus

bench: build
	.build/release/labctl bench $(ARGS)

build: dependencies
	$(SWIFT) build -c release --product labctl

test: dependencies lint
	Scripts/build-without-warnings $(SWIFT) build --build-tests $(TEST_FLAGS)
	$(SWIFT) test --skip-build $(TEST_FLAGS)

# As its reader builds it: a package of its own that depends on this one.
EXAMPLE_FLAGS := --package-path Examples/BitcaskEngine -c release --scratch-path .build-examples

test-examples: dependencies
	Scripts/build-without-warnings $(SWIFT) build --build-tests $(EXAMPLE_FLAGS)
	$(SWIFT) test --skip-build $(EXAMPLE_FLAGS)
	.build-examples/release/bitcask-labctl bench fillrandom readrandom --engines bitcask,btree \
	  --records 10000 --operations 10000 --rounds 1 --no-bundle
	.build-examples/release/bitcask-labctl crash --engine bitcask --points 2000

# A million records of 16 + 100 bytes: fills, then reads and changes of one database, then
# what two threads do and four make durable.
PEER_BENCH = .build-peers/release/labctl bench run --keys random --records 1000000 \
  --operations 1000000 --rounds 5
BTREE_BENCH = $(PEER_BENCH) --engines btree,lmdb
LSM_BENCH = $(PEER_BENCH) --engines lsm,lsm:access=map,rocksdb,leveldb --cache 64MiB

bench-peers: bench-btree-peers bench-btree-cold bench-lsm-peers

build-peers:
	@Scripts/install-dependencies $(PEER_HEADERS)
	$(SWIFT) build -c release --product labctl --scratch-path .build-peers $(PEERS)

bench-btree-peers: build-peers
	$(BTREE_BENCH) fillseq fillrandom fillrandombatch readrandom readmissing fullscan \
	  seekrandom10 readwhilewriting overwrite deleterandom fillsync $(ARGS)
	$(BTREE_BENCH) --threads 2 readrandom $(ARGS)
	$(BTREE_BENCH) --threads 4 fillsync $(ARGS)

# Data of four times the cache, and no more in memory than the cache when the clock starts. The
# requests are few, since all that they read stays in the operating system's memory.
BTREE_COLD = $(BTREE_BENCH) --cold --records 2000000 --cache 56MiB --operations 5000

bench-btree-cold: build-peers
	$(BTREE_COLD) --distribution uniform readrandom overwrite $(ARGS)
	$(BTREE_COLD) --distribution zipfian readrandom overwrite $(ARGS)
	$(BTREE_COLD) ycsb-a $(ARGS)

# The cache and each write buffer are smaller than the data. With two threads the reads follow
# a fill of theirs.
bench-lsm-peers: build-peers
	$(LSM_BENCH) fillseq fillrandombatch readrandom readmissing fullscan seekrandom10 \
	  readwhilewriting fillrandom overwrite deleterandom fillsync $(ARGS)
	$(LSM_BENCH) --threads 2 fillrandom readrandom $(ARGS)
	$(LSM_BENCH) --threads 4 fillsync $(ARGS)

# Ten million puts of random records as fast as they go: amplification and stalls.
bench-lsm-overload: build-peers
	$(LSM_BENCH) --records 10000000 --operations 10000000 --rounds 3 fillrandom readrandom $(ARGS)

bench-c-api: dependencies
	$(SWIFT) build -c release --product CAPICost
	directory=$$(mktemp -d) && .build/release/CAPICost $$directory; rm -rf $$directory

# Swift's runtime goes into both files, so that they run where there is no Swift. SwiftPM links no
# dynamic library that way; so the last step is ours.
PREFIX ?= /usr/local
INSTALL_BUILD := -c release --static-swift-stdlib --scratch-path .build-install
INSTALLED := .build-install/release

build-install: dependencies
	$(SWIFT) build $(INSTALL_BUILD) --product labctl
	$(SWIFT) build $(INSTALL_BUILD) --product storagelab-static
	$(SWIFT)c -emit-library -static-stdlib -use-ld=lld -module-name storagelab \
	  -o $(INSTALLED)/libstoragelab.so @$(INSTALLED)/storagelab-static.product/Objects.LinkFileList \
	  -llz4 -lsqlite3 -Xlinker --gc-sections -Xlinker -soname=libstoragelab.so.0 \
	  -Xlinker --version-script=Scripts/storagelab.exports -Xlinker --strip-all

install: build-install
	DESTDIR=$(DESTDIR) Scripts/install $(INSTALLED)/labctl $(INSTALLED)/libstoragelab.so $(PREFIX)

uninstall:
	DESTDIR=$(DESTDIR) Scripts/install --remove $(PREFIX)

# Nightly: minutes, not hours. What CI tries of it are CrashExplorerTests and KillTests.
SEED ?= 1
CRASH_POINTS ?= 25000
MIGRATION_POINTS ?= 10000
CONCURRENT_POINTS ?= 2000
CRASH_ENGINES ?= btree lsm lsm:small+tiered lsm:small+lazy-leveled sqlite
KILLS ?= 60

crash: build kill
	for engine in $(CRASH_ENGINES); do \
	  .build/release/labctl crash --engine $$engine --points $(CRASH_POINTS) --seed $(SEED) || exit 1; \
	  .build/release/labctl crash --engine $$engine --points $(CONCURRENT_POINTS) --writers 4 \
	    --seed $(SEED) || exit 1; \
	done
	for engine in btree lsm; do \
	  .build/release/labctl shard crash --engine $$engine --points $(MIGRATION_POINTS) --seed $(SEED) \
	    || exit 1; \
	done

# As root also on a file system of 16 MiB, which fills up.
kill: build
	for engine in btree lsm sqlite; do \
	  .build/release/labctl kill --engine $$engine --kills $(KILLS) --seed $(SEED) || exit 1; \
	  .build/release/labctl kill --engine $$engine:small --kills $(KILLS) --seed $(SEED) \
	    --file-size-limit 512KiB || exit 1; \
	done
	Scripts/kill-on-a-full-disk .build/release/labctl $(KILLS) $(SEED)

test-pages: build
	command -v chromium >/dev/null || (apt-get update -qq && apt-get install -y -qq chromium)
	Scripts/test-pages .build/release/labctl

test-peers:
	@Scripts/install-dependencies $(PEER_HEADERS)
	$(SWIFT) test $(TEST_FLAGS) $(PEERS) --filter 'LMDBEngineTests|LevelFamilyTests'

sanitize: asan tsan

asan: dependencies
	SWIFT=$(SWIFT) Scripts/sanitize address '$(TESTS)'

tsan: dependencies
	SWIFT=$(SWIFT) Scripts/sanitize thread '$(TESTS)'

TIME ?= 600

# Random programs on random configurations of all engines, for so long.
metamorphic: build
	.build/release/labctl model --seconds $(TIME) --seed $$(date +%s) $(ARGS)

soak: build
	for engine in btree lsm lsm:tiered lsm:lazy-leveled; do \
	  .build/release/labctl soak --engine $$engine --seconds $(TIME) $(ARGS) || exit 1; done

EVERY ?= 1
DAMAGE = .build/release/labctl damage --every $(EVERY)
FLIPPED := btree:small lsm:small lsm:prefix=8+index=binary+compression=none lsm:bloom=0

flips: build
	for engine in $(FLIPPED); do echo "$$engine" && $(DAMAGE) --engine $$engine $(ARGS) || exit 1; done
	$(DAMAGE) --engine lsm:small --merge-operator append $(ARGS)
	$(DAMAGE) --engine btree:small --durability commit $(ARGS)
	$(DAMAGE) --engine lsm:small --durability commit $(ARGS)
	for engine in btree lsm; do echo "$$engine, large" && \
	  .build/release/labctl damage --engine $$engine --keys 20000 --every 30011 $(ARGS) || exit 1; done

faults: build
	for engine in btree:small lsm:small sqlite:small; do for class in process commit; do \
	  echo "$$engine, $$class" && \
	  $(DAMAGE) --faults --engine $$engine --durability $$class $(ARGS) || exit 1; \
	done; done

fuzz: dependencies
	SWIFT=$(SWIFT) Scripts/fuzz $(TIME) $(TARGETS)

corpus: dependencies
	LAB_CORPUS=1 $(SWIFT) test $(TEST_FLAGS) --filter 'FuzzCorpusTests|NotebookFuzzTests'

lint:
	$(SWIFT) format lint --strict --recursive Sources Tests Examples Fuzz Package.swift

format:
	$(SWIFT) format --in-place --recursive Sources Tests Examples Fuzz Package.swift

dependencies:
	@Scripts/install-dependencies

clean:
	rm -rf .build .build-test .build-peers .build-address .build-thread .build-install .build-examples \
	  .build-fuzz .fuzz
