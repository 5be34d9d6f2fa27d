import Testing

@testable import StorageLab

/// Which pages stay when the cache is smaller than the data. Counted, not timed: one thread, keys
/// drawn from a seed.
@Suite struct BTreeCacheTests {
  private static let records = 40_000
  private static let cachePages = 200
  /// Records of a full leaf at most: keys this far apart lie on different leaves.
  private static let leafRecords = 40

  private func key(_ number: Int) -> [UInt8] {
    var digits = Array(String(number).utf8)
    digits.insert(
      contentsOf: [UInt8](repeating: UInt8(ascii: "0"), count: 12 - digits.count), at: 0)
    return digits
  }

  /// Opened with nothing in the cache.
  private func database() throws -> BTreeEngine {
    var options = EngineOptions(path: "/db", fileSystem: MemoryFileSystem())
    options.maintenance = .inline
    options.cacheBytes = Self.cachePages * 4096
    let engine = try BTreeEngine.open(options, smallTuning())
    for number in 0..<Self.records {
      try engine.put(key(number), [UInt8](repeating: 1, count: 100))
    }
    try engine.close()
    return try BTreeEngine.open(options, smallTuning())
  }

  private func misses(_ engine: BTreeEngine, _ body: () throws -> Void) throws -> Int {
    let before = engine.cache.misses.load(ordering: .relaxed)
    try body()
    return Int(engine.cache.misses.load(ordering: .relaxed) - before)
  }

  private func read(_ engine: BTreeEngine, _ leaves: Range<Int>) throws {
    for leaf in leaves { #expect(try engine.get(key(leaf * Self.leafRecords)) != nil) }
  }

  @Test func whatIsReadOnceGoesBeforeWhatIsReadTwice() throws {
    let engine = try database()
    try read(engine, 0..<80)
    try read(engine, 0..<80)
    // More than there is room for.
    try read(engine, 100..<300)
    #expect(try misses(engine) { try read(engine, 0..<80) } == 0)
    try engine.close()
  }

  @Test func aScanDoesNotFlushWhatIsInUse() throws {
    let engine = try database()
    try read(engine, 0..<80)
    try read(engine, 0..<80)
    let cursor = try engine.cursor()
    try cursor.seek(key(200 * Self.leafRecords).span.bytes)
    for _ in 0..<(150 * Self.leafRecords) { try cursor.next() }
    cursor.close()
    #expect(try misses(engine) { try read(engine, 0..<80) } == 0)
    try engine.close()
  }

  /// A get misses as often as its leaf is not in the cache: branches stay from the first moment.
  @Test func randomGetsMissLeavesOnly() throws {
    let engine = try database()
    let anatomy = try BTreeAnatomy(of: "/db/data.pages", engine.options.fileSystem)
    let leaves = try #require(anatomy.levels.last).pages
    let branches = anatomy.levels.dropLast().reduce(0) { $0 + $1.pages }
    var random = SeededRandom(seed: 1)
    while engine.cache.residentBytes < Self.cachePages * 4096 {
      _ = try engine.get(key(random.below(Self.records)))
    }
    let gets = 5_000
    let missed = try misses(engine) {
      for _ in 0..<gets { _ = try engine.get(key(random.below(Self.records))) }
    }
    let resident = Double(Self.cachePages - branches) / Double(leaves)
    #expect(resident < 0.25 && branches > 4)
    let expected = Double(gets) * (1 - resident)
    #expect(Double(missed) < expected * 1.01, "\(missed) misses, \(expected) expected")
    #expect(Double(missed) > expected * 0.99, "\(missed) misses, \(expected) expected")
    try engine.close()
  }
}
