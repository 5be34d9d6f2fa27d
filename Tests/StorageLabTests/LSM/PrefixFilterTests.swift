import Testing

@testable import StorageLab

@Suite struct PrefixFilterTests {
  // MARK: Prefixes

  private func prefix(_ extractor: PrefixExtractor, _ key: String) -> String? {
    Array(key.utf8).withSlice { key in
      extractor.prefix(of: key).map { String(decoding: $0.array, as: UTF8.self) }
    }
  }

  @Test func ofAKey() {
    #expect(prefix(.fixed(3), "abcd") == "abc")
    #expect(prefix(.fixed(3), "abc") == "abc")
    #expect(prefix(.fixed(3), "ab") == nil)
    #expect(prefix(.delimiter(UInt8(ascii: "/")), "a/b/c") == "a/")
    #expect(prefix(.delimiter(UInt8(ascii: "/")), "/b") == "/")
    #expect(prefix(.delimiter(UInt8(ascii: "/")), "ab") == nil)
  }

  @Test func ofARange() {
    func shared(_ extractor: PrefixExtractor, _ lower: String?, _ upper: String?) -> String? {
      let range = KeyRange(from: lower.map { Array($0.utf8) }, to: upper.map { Array($0.utf8) })
      return extractor.prefix(of: range).map { String(decoding: $0, as: UTF8.self) }
    }
    let slash = PrefixExtractor.delimiter(UInt8(ascii: "/"))
    #expect(shared(slash, "a/", "a0") == "a/", "the whole prefix")
    #expect(shared(slash, "a/b", "a/c") == "a/")
    #expect(shared(slash, "a/b", "a0a") == nil, "goes on behind the prefix")
    #expect(shared(slash, "a", "a0") == nil, "keys before the delimiter have no prefix")
    #expect(shared(slash, "a/", nil) == nil && shared(slash, nil, "a0") == nil)
    #expect(shared(.fixed(2), "abx", "aby") == "ab" && shared(.fixed(2), "ab", "ac") == "ab")
    #expect(shared(.fixed(2), "ab", "aca") == nil && shared(.fixed(2), "a", "b") == nil)
    let last = KeyRange(from: [0xff, 0xff, 1])
    #expect(PrefixExtractor.fixed(2).prefix(of: last) == [0xff, 0xff], "nothing lies behind it")
  }

  @Test(arguments: [nil, PrefixExtractor.fixed(1), .fixed(65_536), .delimiter(0), .delimiter(255)])
  func isKeptInATable(_ extractor: PrefixExtractor?) throws {
    var properties = TableProperties()
    properties.entries = 7
    properties.filterKeys = 12
    properties.prefixExtractor = extractor
    let bytes = properties.encoded
    #expect(bytes.withSlice { TableProperties.decode($0, version: 2) } == properties)
    // Seven entries have seven keys and seven prefixes at most.
    properties.filterKeys = 1 << 63
    #expect(properties.encoded.withSlice { TableProperties.decode($0, version: 2) } == nil)
    var writer = ByteWriter()
    writer.integer(UInt8(3))
    writer.varint(1)
    let isRefused = writer.bytes.withSlice { slice in
      var reader = ByteReader(slice)
      return PrefixExtractor.decode(&reader) == nil
    }
    #expect(isRefused)
  }

  // MARK: Reads

  private static let slash = PrefixExtractor.delimiter(UInt8(ascii: "/"))

  private static func key(_ prefix: Int, _ number: Int) -> [UInt8] {
    Array("user\(100 + prefix)/\(1000 + number)".utf8)
  }

  /// Random changes and scans beside the oracle; each life has another extractor, so that tables of
  /// all of them are in the tree.
  @Test(arguments: 0..<8) func agreesWithTheModel(seed: Int) throws {
    let fileSystem = MemoryFileSystem()
    var random = SeededRandom(seed: UInt64(seed))
    let model = try MemoryEngine.open(EngineOptions(path: ""))
    var skipped = 0.0
    for life in 0..<4 {
      var tuning = LSMTest.tinyTuning
      tuning.compaction = CompactionPolicy.allCases[seed % 3]
      tuning.prefixExtractor = [Self.slash, .fixed(8), nil, Self.slash][(life + seed) % 4]
      let engine = try LSMEngine.open(LSMTest.options("/db", fileSystem), tuning)
      var snapshots: [(tree: any Snapshot, model: any Snapshot)] = []
      for step in 0..<400 {
        // A prefix is written to for a while, so that many tables have none of its keys.
        let prefix = (life * 400 + step) / 40 % 20
        switch random.below(20) {
        case 0..<12:
          let key = Self.key(prefix, random.below(60))
          let value = [UInt8](repeating: UInt8(step & 255), count: random.below(80))
          try engine.put(key, value)
          try model.put(key, value)
        case 12..<14:
          let key = Self.key(random.below(20), random.below(60))
          try engine.delete(key)
          try model.delete(key)
        case 14:
          let lower = Self.key(random.below(20), random.below(60))
          let upper = Self.key(random.below(20), random.below(60))
          if isBefore(lower, upper) && random.chance(0.3) {
            try engine.deleteRange(from: lower, to: upper)
            try model.deleteRange(from: lower, to: upper)
          }
        case 15:
          if random.chance(0.2) { snapshots.append((try engine.snapshot(), try model.snapshot())) }
        default:
          let prefix = random.below(22)
          var range = KeyRange(prefix: Array("user\(100 + prefix)/".utf8))
          if random.chance(0.3) { range.lower = Self.key(prefix, random.below(60)) }
          if random.chance(0.3) { range.upper = Self.key(prefix, random.below(60)) }
          var pairs = [(try engine.cursor(range), try model.cursor(range))]
          if let pair = snapshots.last {
            pairs.append((try pair.tree.cursor(range), try pair.model.cursor(range)))
          }
          for (tree, model) in pairs {
            let expected = try LSMTest.contents(model)
            #expect(try LSMTest.contents(tree) == expected, "seed \(seed) step \(step)")
            #expect(try LSMTest.contentsBackward(tree) == expected, "seed \(seed) step \(step)")
            let key = Self.key(prefix, random.below(60))
            try tree.seek(key)
            try model.seek(key)
            #expect(tree.isValid == model.isValid)
            if model.isValid { #expect(tree.key.array == model.key.array) }
          }
        }
      }
      skipped += try engine.statistics()[detail: "bloom.prefixUseful"] ?? 0
      #expect(try engine.verify().problems == [])
      for pair in snapshots {
        pair.tree.close()
        pair.model.close()
      }
      try engine.close()
    }
    #expect(skipped > 0, "seed \(seed)")
  }

  @Test func sparesTheBlocksOfTablesWithoutThePrefix() throws {
    func blocksRead(_ written: PrefixExtractor?, _ read: PrefixExtractor?) throws -> (
      UInt64, Double
    ) {
      let fileSystem = MemoryFileSystem()
      var tuning = LSMTuning()
      tuning.levelZeroTables = 100
      tuning.levelZeroSlowdown = 100
      tuning.levelZeroStop = 200
      tuning.prefixExtractor = written
      var engine = try LSMEngine.open(LSMTest.options("/db", fileSystem), tuning)
      // Twenty tables over the whole of the keys, each with the keys of every twentieth prefix.
      for table in 0..<20 {
        for prefix in stride(from: table, to: 400, by: 20) {
          for number in 0..<5 { try engine.put(Self.key(prefix, number), [1, 2, 3]) }
        }
        try engine.checkpoint()
      }
      try engine.close()
      tuning.prefixExtractor = read
      engine = try LSMEngine.open(LSMTest.options("/db", fileSystem), tuning)
      for prefix in 100..<200 {
        var count = 0
        try engine.scan(KeyRange(prefix: Array("user\(100 + prefix)/".utf8))) { _, _ in
          count += 1
          return true
        }
        #expect(count == 5)
      }
      let statistics = try engine.statistics()
      try engine.close()
      return (
        statistics.cacheHits + statistics.cacheMisses,
        try #require(statistics[detail: "bloom.prefixUseful"])
      )
    }
    // A hundred scans of one table each; 1 % of 1,900 filters wrongly let pass.
    let (spared, skipped) = try blocksRead(Self.slash, Self.slash)
    #expect((1860...1900).contains(skipped), "\(skipped)")
    let (plain, none) = try blocksRead(nil, nil)
    #expect(none == 0 && plain >= 1900, "\(plain)")
    #expect(spared <= 350, "\(spared)")
    // Tables of another extractor, or of none, are read.
    for (written, read) in [(Self.slash, nil), (nil, Self.slash), (.fixed(8), Self.slash)] {
      let (blocks, skipped) = try blocksRead(written, read)
      #expect(blocks == plain && skipped == 0)
    }
  }
}
