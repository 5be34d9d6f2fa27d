import Testing

@testable import StorageLab

/// What the file takes beside what is in it.
@Suite struct BTreeSpaceTests {
  private static func key(_ number: Int) -> [UInt8] {
    let hash = Hash64.hash(UInt64(number))
    return (0..<16).map { UInt8(truncatingIfNeeded: hash >> (8 * UInt64($0 % 8))) &+ UInt8($0) }
  }

  private static func options(_ fileSystem: any FileSystem, cacheBytes: Int) -> EngineOptions {
    var options = EngineOptions(path: "/db", fileSystem: fileSystem)
    // No log: the file system holds the pages and next to nothing else.
    options.durability = .none
    options.maintenance = .inline
    options.cacheBytes = cacheBytes
    return options
  }

  /// Random inserts fill pages to three quarters, and updates of everything between any two
  /// checkpoints leave no second copy behind.
  @Test func randomLoadsAndUpdatesOfEverythingStaySmall() throws {
    let base = MemoryFileSystem()
    let engine = try BTreeEngine.open(Self.options(base, cacheBytes: 64 << 20))
    defer { try? engine.close() }
    let records = 30_000
    let live = Int64(records * 116)
    for number in 0..<records {
      try engine.put(Self.key(number), [UInt8](repeating: UInt8(number & 0xff), count: 100))
    }
    try engine.checkpoint()
    #expect(base.usedBytes * 2 <= live * 3, "\(base.usedBytes) bytes for \(live)")
    for round in 1...3 {
      for number in 0..<records {
        try engine.put(Self.key(number), [UInt8](repeating: UInt8(round), count: 100))
      }
      try engine.checkpoint()
      #expect(base.usedBytes <= live * 2, "\(base.usedBytes) bytes for \(live)")
    }
    try expectSound(engine)
  }

  /// Pages are never lost between the tree, the snapshots and the free list.
  @Test func aMillionOperationsBesideSnapshotsLeakNoPage() throws {
    var random = SeededRandom(seed: 31)
    var tuning = smallTuning()
    tuning.checkpointPageBytes = 16 << 20
    let base = MemoryFileSystem()
    let options = Self.options(base, cacheBytes: 4 << 20)
    let engine = try BTreeEngine.open(options, tuning)
    var snapshots: [any Snapshot] = []
    for step in 1...1_000_000 {
      let key = Self.key(random.below(4000))
      switch random.below(100) {
      case 0..<60: try engine.put(key, [UInt8](repeating: 1, count: random.below(100)))
      case 60: try engine.put(key, [UInt8](repeating: 2, count: 2000 + random.below(6000)))
      default: try engine.delete(key)
      }
      if random.below(20_000) == 0 {
        if snapshots.count == 4 { snapshots.remove(at: random.below(4)).close() }
        snapshots.append(try engine.snapshot())
      }
      if step % 250_000 == 0 { try expectSound(engine) }
    }
    #expect(!snapshots.isEmpty)
    for snapshot in snapshots { snapshot.close() }
    try engine.deleteRange(from: [], to: [0xff])
    try engine.deleteRange(from: [0xff], to: [UInt8](repeating: 0xff, count: 20))
    try engine.checkpoint()
    let counts = engine.space.counts
    #expect(counts.dead == 0)
    // Two superblocks and an empty leaf.
    #expect(counts.free + counts.list + 3 == counts.pages, "\(counts)")
    #expect(base.usedBytes < 64 << 10)
    try expectSound(engine)
    try engine.close()
  }

  /// Room given back is room that nobody counts any more, and pages there can be used again.
  @Test func punchedPagesAreUsedAgain() throws {
    let base = MemoryFileSystem()
    let options = Self.options(base, cacheBytes: 8 << 20)
    let engine = try BTreeEngine.open(options, smallTuning())
    for number in 0..<5000 { try engine.put(Self.key(number), [UInt8](repeating: 1, count: 100)) }
    try engine.checkpoint()
    let full = base.usedBytes
    for number in 0..<5000 where number % 50 != 0 { try engine.delete(Self.key(number)) }
    try engine.checkpoint()
    #expect(base.usedBytes * 4 < full)
    for number in 0..<5000 { try engine.put(Self.key(number), [UInt8](repeating: 3, count: 100)) }
    try engine.checkpoint()
    #expect(base.usedBytes <= full * 5 / 4)
    try expectSound(engine)
    try engine.close()
    let again = try BTreeEngine.open(options, smallTuning())
    #expect(try again.statistics().entries == 5000)
    for number in 0..<5000 {
      #expect(try again.get(Self.key(number)) == [UInt8](repeating: 3, count: 100))
    }
    try expectSound(again)
    try again.close()
  }
}
