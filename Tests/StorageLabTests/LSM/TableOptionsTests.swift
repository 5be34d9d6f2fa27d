import Testing

@testable import StorageLab

/// Options of tables: compression by level, how an index is searched.
@Suite struct TableOptionsTests {
  /// How the data blocks of each level's tables are stored.
  private func kinds(_ fileSystem: any FileSystem) throws -> [Int: Set<TableFormat.BlockKind>] {
    let outcome = try #require(
      try ManifestReader(directory: "/db", fileSystem: fileSystem).read())
    var kinds: [Int: Set<TableFormat.BlockKind>] = [:]
    for (level, tables) in outcome.state.levels.enumerated() {
      for table in tables {
        let path = joinPath("/db", TableMetadata.fileName(table.number))
        let reader = try TableReader(
          TableHandle(try fileSystem.open(path, .read)), number: table.number,
          fileBytes: table.fileBytes, cache: BlockCache(budget: 0, counters: LSMCounters()))
        for block in 0..<reader.blockCount {
          let handle = reader.handle(block)
          var stored = [UInt8](repeating: 0, count: Int(handle.length))
          let kind = try stored.withMutableBytes { (buffer) throws(StorageError) in
            try reader.readStored(into: buffer, at: handle.offset)
            return try TableFormat.check(
              ByteSlice(UnsafeRawBufferPointer(buffer)), fileNumber: table.number,
              offset: handle.offset, path: path
            ).kind
          }
          kinds[level, default: []].insert(kind)
        }
      }
    }
    return kinds
  }

  @Test func eachLevelHasItsCompression() throws {
    let fileSystem = MemoryFileSystem()
    var tuning = LSMTest.tinyTuning
    // All levels but the last one, which is 6, are stored as they are.
    tuning.compression = [.none, .none, .none, .none, .none, .none, .lz4]
    let engine = try LSMEngine.open(LSMTest.options("/db", fileSystem), tuning)
    var random = SeededRandom(seed: 2)
    for _ in 0..<3000 {
      try engine.put(LSMTest.key(random.below(2000)), [UInt8](repeating: 1, count: 60))
    }
    try engine.checkpoint()
    let mixed = try kinds(fileSystem)
    #expect(mixed.keys.contains { $0 < 6 })
    for (level, kinds) in mixed where level < 6 { #expect(kinds == [.raw], "level \(level)") }
    #expect(mixed[6]?.contains(.lz4) == true)
    try engine.compact()
    #expect(try kinds(fileSystem) == [6: [.lz4]])
    #expect(try engine.verify().problems == [])
    try engine.close()
    tuning.compression = [.none]
    let plain = try LSMEngine.open(LSMTest.options("/db", fileSystem), tuning)
    try plain.put(LSMTest.key(0), [])
    try plain.compact()
    #expect(try kinds(fileSystem) == [6: [.raw]])
    try plain.close()
  }

  @Test func smallBlocksFillTheCacheToo() throws {
    let fileSystem = MemoryFileSystem()
    var options = LSMTest.options("/db", fileSystem)
    options.cacheBytes = 2 << 20
    var tuning = LSMTuning()
    tuning.blockBytes = 256
    let engine = try LSMEngine.open(options, tuning)
    for number in 0..<10_000 {
      try engine.put(LSMTest.key(number), [UInt8](repeating: 1, count: 90))
    }
    try engine.checkpoint()
    var misses: [UInt64] = []
    for _ in 0..<2 {
      for number in 0..<10_000 { #expect(try engine.get(LSMTest.key(number)) != nil) }
      misses.append(try engine.statistics().cacheMisses)
    }
    #expect(misses[0] > 3000 && misses[1] == misses[0], "\(misses)")
    try engine.close()
  }

  @Test func impossibleOptionsAreRefused() {
    for change: @Sendable (inout LSMTuning) -> Void in [
      { $0.compression = [] }, { $0.prefixExtractor = .fixed(0) },
      { $0.prefixExtractor = .fixed(65_537) },
    ] {
      var tuning = LSMTuning()
      change(&tuning)
      let error = #expect(throws: StorageError.self) { try tuning.validate() }
      #expect(error?.code == .invalidArgument)
    }
  }

  enum KeyShape: CaseIterable { case uniform, ascending, clustered, sharedHeads, exponential }

  private func keys(_ shape: KeyShape, _ count: Int, _ random: inout SeededRandom) -> [[UInt8]] {
    func bytes(_ number: UInt64) -> [UInt8] {
      (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * $0)) }
    }
    let keys = (0..<count).map { number -> [UInt8] in
      switch shape {
      case .uniform: bytes(random.next())
      case .ascending: bytes(UInt64(number * 3))
      case .clustered: bytes(UInt64(random.below(4)) << 60 | UInt64(random.below(10_000)))
      case .sharedHeads: bytes(UInt64(random.below(3))) + bytes(random.next() >> 40)
      case .exponential: bytes(random.next() >> UInt64(random.below(64)))
      }
    }
    return Set(keys).sorted(by: isBefore)
  }

  @Test(arguments: KeyShape.allCases) func bothSearchesAgreeWithALinearOne(_ shape: KeyShape) {
    var random = SeededRandom(seed: 8)
    for count in [1, 2, 63, 64, 65, 500, 3000] {
      let keys = keys(shape, count, &random)
      var builder = SeparatorIndex.Builder()
      for (number, key) in keys.enumerated() { key.withSlice { builder.add($0, UInt64(number)) } }
      var output = OutputBuffer()
      builder.finish(lastPayload: 99, into: &output)
      guard let binary = SeparatorIndex(output.slice),
        let interpolated = SeparatorIndex(output.slice, .interpolated)
      else {
        Issue.record("the index does not read its own bytes")
        continue
      }
      var asked = self.keys(shape, 500, &random)
      asked += keys.prefix(200) + [[0], [0xff, 0xff, 0xff], [UInt8](repeating: 0xff, count: 20)]
      asked += keys.suffix(50).flatMap { [$0 + [0], Array($0.dropLast())] }
      for key in asked where !key.isEmpty {
        let expected = keys.partitionPoint { !isBefore($0, key) }
        #expect(key.withSlice { binary.firstAtOrAfter($0) } == expected)
        #expect(key.withSlice { interpolated.firstAtOrAfter($0) } == expected)
      }
    }
  }
}
