import Testing

@testable import StorageLab

/// A cursor passes a deleted range in a few steps, both ways, and sees what was written into it.
@Suite struct RangeGapTests {
  private static let count = 20_000

  private func engine(_ directory: TemporaryDirectory, memtableBytes: Int) throws -> LSMEngine {
    var tuning = LSMTest.tinyTuning
    tuning.memtableBytes = memtableBytes
    tuning.baseLevelBytes = 1 << 20
    tuning.tableBytes = 1 << 16
    return try LSMEngine.open(LSMTest.options(directory.file("db")), tuning)
  }

  private func fill(_ engine: LSMEngine) throws {
    var batch = WriteBatch()
    for number in 0..<RangeGapTests.count { batch.put(LSMTest.key(number), [1]) }
    try engine.write(batch)
  }

  /// Walks the whole cursor; what it showed, and how many deleted entries it stepped over.
  private func walk(
    _ cursor: any Cursor, isForward: Bool
  ) throws -> (keys: [[UInt8]], covered: Int) {
    let entries =
      isForward ? try LSMTest.contents(cursor) : try LSMTest.contentsBackward(cursor)
    let covered = try #require(cursor as? LSMCursor).coveredEntries
    return (entries.map { $0[0] }, covered)
  }

  private func expect(
    _ engine: LSMEngine, _ snapshot: (any Snapshot)? = nil, keys: [Int], atMost limit: Int
  ) throws {
    for isForward in [true, false] {
      let cursor = try snapshot?.cursor() ?? engine.cursor()
      let (seen, covered) = try walk(cursor, isForward: isForward)
      #expect(seen == keys.map(LSMTest.key), "forward: \(isForward)")
      #expect(covered <= limit, "forward: \(isForward)")
      cursor.close()
    }
  }

  /// The tombstone in memory, what it deletes in tables below.
  @Test func aTombstoneAboveTheTablesIsPassed() throws {
    let directory = try TemporaryDirectory()
    let engine = try engine(directory, memtableBytes: 1 << 20)
    try fill(engine)
    try engine.checkpoint()
    let before = try engine.snapshot()
    try engine.deleteRange(from: LSMTest.key(10), to: LSMTest.key(RangeGapTests.count - 10))
    try engine.put(LSMTest.key(5000), [2])
    try engine.put(LSMTest.key(5001), [2])
    try engine.delete(LSMTest.key(5001))
    let left =
      Array(0..<10) + [5000] + Array(RangeGapTests.count - 10..<RangeGapTests.count)
    try expect(engine, keys: left, atMost: 200)
    try expect(engine, before, keys: Array(0..<RangeGapTests.count), atMost: 0)
    // A snapshot in between sees the deletion but not what came after.
    let between = try engine.snapshot()
    try engine.deleteRange(from: LSMTest.key(0), to: LSMTest.key(RangeGapTests.count))
    try expect(engine, between, keys: left, atMost: 200)
    try expect(engine, keys: [], atMost: 200)
    // The tombstones are in a table now, the entries in others.
    try engine.checkpoint()
    try expect(engine, between, keys: left, atMost: 400)
    try expect(engine, keys: [], atMost: 400)
    try engine.close()
  }

  /// Tombstone and entries in one memtable: passed as long as nothing came after it.
  @Test func aTombstoneBesideItsEntriesIsPassedWhenItIsTheNewest() throws {
    let directory = try TemporaryDirectory()
    let engine = try engine(directory, memtableBytes: 8 << 20)
    try fill(engine)
    try engine.deleteRange(from: LSMTest.key(1), to: LSMTest.key(RangeGapTests.count))
    try expect(engine, keys: [0], atMost: 100)
    try engine.put(LSMTest.key(7), [3])
    // Now any entry of the memtable may be newer: all are looked at, and right.
    try expect(engine, keys: [0, 7], atMost: RangeGapTests.count)
    // The flush leaves out what the tombstone hides.
    try engine.checkpoint()
    try expect(engine, keys: [0, 7], atMost: 0)
    #expect(try engine.statistics()[detail: "tables.entries"] == 2)
    try engine.close()
  }

  @Test func aFlushKeepsHiddenEntriesForASnapshot() throws {
    let directory = try TemporaryDirectory()
    let engine = try engine(directory, memtableBytes: 8 << 20)
    try fill(engine)
    let before = try engine.snapshot()
    try engine.deleteRange(from: LSMTest.key(0), to: LSMTest.key(RangeGapTests.count))
    try engine.checkpoint()
    try expect(engine, before, keys: Array(0..<RangeGapTests.count), atMost: 0)
    try expect(engine, keys: [], atMost: RangeGapTests.count)
    try engine.close()
  }

  /// Many small deleted ranges beside entries, in every mixture of places, against the oracle.
  @Test func randomRangesLookAsInTheOracle() throws {
    for seed in 0..<12 {
      let directory = try TemporaryDirectory()
      var tuning = LSMTest.tinyTuning
      tuning.memtableBytes = 1 << 14
      let engine = try LSMEngine.open(LSMTest.options(directory.file("db")), tuning)
      let oracle = try MemoryEngine.registryEntry.open(EngineOptions(path: ""))
      var random = SeededRandom(seed: UInt64(seed))
      var snapshots: [(any Snapshot, any Snapshot)] = []
      for round in 0..<60 {
        let start = random.below(900)
        for number in start..<start + 60 {
          try engine.put(LSMTest.key(number), [UInt8(round)])
          try oracle.put(LSMTest.key(number), [UInt8(round)])
        }
        let lower = random.below(900)
        let upper = lower + random.below(400)
        try engine.deleteRange(from: LSMTest.key(lower), to: LSMTest.key(upper))
        try oracle.deleteRange(from: LSMTest.key(lower), to: LSMTest.key(upper))
        if random.chance(0.2) { snapshots.append((try engine.snapshot(), try oracle.snapshot())) }
        if random.chance(0.1) { try engine.checkpoint() }
      }
      for (left, right) in [(try engine.snapshot(), try oracle.snapshot())] + snapshots {
        let expected = try LSMTest.contents(right.cursor())
        #expect(try LSMTest.contents(left.cursor()) == expected)
        #expect(try LSMTest.contentsBackward(left.cursor()) == expected)
      }
      try engine.close()
    }
  }
}
