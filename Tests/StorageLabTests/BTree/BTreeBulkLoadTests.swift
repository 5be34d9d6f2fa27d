import Testing

@testable import StorageLab

@Suite struct BTreeBulkLoadTests {
  private func open(_ fileSystem: MemoryFileSystem) throws -> BTreeEngine {
    var options = EngineOptions(path: "/database", fileSystem: fileSystem)
    options.durability = .process
    options.maintenance = .inline
    options.cacheBytes = 1 << 20
    return try BTreeEngine.open(options, smallTuning())
  }

  private func sortedEntries(_ count: Int) -> [([UInt8], [UInt8])] {
    var random = SeededRandom(seed: 5)
    var entries: [[UInt8]: [UInt8]] = [:]
    for _ in 0..<count { entries[randomKey(&random, space: 10 * count)] = randomValue(&random) }
    return entries.sorted { $0.key.lexicographicallyPrecedes($1.key) }
  }

  @Test func holdsEveryEntryInFullPagesAndIsDurable() throws {
    let fileSystem = MemoryFileSystem()
    let engine = try open(fileSystem)
    let entries = sortedEntries(3_000)
    try engine.bulkLoad { (loader) throws(StorageError) in
      for (key, value) in entries { try loader.add(key, value) }
    }
    #expect(try engine.statistics().entries == UInt64(entries.count))
    for (key, value) in entries { #expect(try engine.get(key) == value) }
    #expect(try engine.verify().problems.isEmpty)
    // Class process promises nothing against power loss; a bulk load does.
    let after = try open(fileSystem.afterCrash(.loseEverythingUnsynced))
    var index = 0
    try after.scan { key, value in
      let isRight =
        index < entries.count && key.withUnsafeBytes { Array($0) } == entries[index].0
        && value.withUnsafeBytes { Array($0) } == entries[index].1
      #expect(isRight, "entry \(index)")
      index += 1
      return isRight
    }
    #expect(index == entries.count)
    // And it is a tree like any other.
    for (key, _) in entries.prefix(1_500) { try after.delete(key) }
    for number in 0..<500 as Range<UInt16> {
      try after.put([9, UInt8(number >> 8), UInt8(number & 255)], [1])
    }
    #expect(try after.verify().problems.isEmpty)
    try after.close()
    try engine.close()
  }

  @Test func refusesDisorderAndStaysEmpty() throws {
    let fileSystem = MemoryFileSystem()
    let engine = try open(fileSystem)
    for keys in [[[2], [1]], [[1], [1]], [[1], []]] as [[[UInt8]]] {
      let code = throwing {
        try engine.bulkLoad { (loader) throws(StorageError) in
          for number in 0..<500 as Range<UInt16> {
            try loader.add([0, UInt8(number >> 8), UInt8(number & 255)], [1, 2, 3])
          }
          for key in keys { try loader.add(key, [1]) }
        }
      }
      #expect(code == .invalidArgument)
      #expect(try engine.statistics().entries == 0)
      #expect(try engine.get([0, 0, 0]) == nil)
    }
    #expect(try engine.verify().problems.isEmpty)
    // Nothing leaked: a load that succeeds needs no more pages than in a new database.
    try engine.bulkLoad { (loader) throws(StorageError) in try loader.add([1], [1]) }
    #expect(try engine.get([1]) == [1])
    #expect(
      throwing {
        try engine.bulkLoad { (loader) throws(StorageError) in try loader.add([2], [1]) }
      } == .invalidArgument, "it is not empty any more")
    try engine.compact()
    #expect(try #require(engine.statistics()[detail: "pages"]) < 16)
    try engine.close()
  }

  /// Separators so long that they need overflow chains, and enough of them to fill branches.
  @Test func longSeparatorsLoseNoPage() throws {
    let fileSystem = MemoryFileSystem()
    let engine = try open(fileSystem)
    try engine.bulkLoad { (loader) throws(StorageError) in
      for number in 0..<6_000 {
        let digits = Array("\(100_000 + number)".utf8)
        try loader.add([UInt8](repeating: 7, count: 600) + digits, digits)
      }
    }
    #expect(try engine.verify().problems == [])
    try engine.compact()
    #expect(try engine.verify().problems == [])
    try engine.close()
  }

  /// An error that the body swallows still ends the load.
  @Test func anErrorCannotBePassedOver() throws {
    let fileSystem = MemoryFileSystem()
    let engine = try open(fileSystem)
    let code = throwing {
      try engine.bulkLoad { (loader) throws(StorageError) in
        try loader.add([2], [1])
        try? loader.add([1], [1])
        try? loader.add([3], [1])
      }
    }
    #expect(code == .invalidArgument)
    #expect(try engine.statistics().entries == 0)
    #expect(try engine.verify().problems == [])
    try engine.close()
  }

  @Test func aFullDeviceEndsTheLoadWithinTheCacheAndLeavesTheDatabaseUsable() throws {
    let fileSystem = MemoryFileSystem()
    let engine = try open(fileSystem)
    fileSystem.capacity = fileSystem.usedBytes + (2 << 20)
    var added = 0
    let code = throwing {
      try engine.bulkLoad { (loader) throws(StorageError) in
        for number in 0..<100_000 {
          try loader.add(Array("\(100_000 + number)".utf8), [UInt8](repeating: 1, count: 200))
          added += 1
        }
      }
    }
    #expect(code == .noSpace)
    #expect(added < 50_000, "the cache of 1 MiB and 2 MiB of medium hold no more")
    #expect(try engine.statistics().entries == 0)
    fileSystem.capacity = nil
    try engine.put([1], [1])
    #expect(try engine.get([1]) == [1])
    try engine.checkpoint()
    #expect(try engine.verify().problems == [])
    try engine.close()
  }

  /// Without power at each I/O call: empty or whole.
  @Test func isAllOrNothingAtEveryCall() throws {
    let fileSystem = MemoryFileSystem()
    let engine = try open(fileSystem)
    // What a tree leaves that was emptied by deletes goes too.
    for number in 0..<200 as Range<UInt8> {
      try engine.put([number], [UInt8](repeating: 1, count: 200))
    }
    try engine.deleteRange(from: [0], to: [255])
    try engine.sync()
    let entries = sortedEntries(300)
    let worlds = Worlds()
    fileSystem.onCall { (call) throws(StorageError) in
      worlds.add(fileSystem.afterCrash(.keepSome(seed: UInt64(call.index))))
    }
    try engine.bulkLoad { (loader) throws(StorageError) in
      for (key, value) in entries { try loader.add(key, value) }
    }
    worlds.add(fileSystem.afterCrash(.loseEverythingUnsynced))
    fileSystem.onCall(nil)
    var counts = Set<UInt64>()
    for world in worlds.all {
      let engine = try open(world)
      let count = try #require(try engine.statistics().entries)
      counts.insert(count)
      #expect(count == 0 || count == UInt64(entries.count))
      #expect(try engine.verify().problems.isEmpty)
      try engine.close()
    }
    #expect(counts == [0, UInt64(entries.count)], "both happened")
    try engine.close()
  }

  private final class Worlds: @unchecked Sendable {
    private(set) var all: [MemoryFileSystem] = []
    func add(_ world: MemoryFileSystem) { all.append(world) }
  }
}
