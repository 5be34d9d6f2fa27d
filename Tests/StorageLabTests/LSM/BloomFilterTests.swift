import Testing

@testable import StorageLab

@Suite struct BloomFilterTests {
  /// Keys that differ from one another: 16 bytes, half of them a permuted number.
  private struct Keys {
    private var bytes: [UInt8]

    init(seed: UInt64) {
      var random = SeededRandom(seed: seed)
      bytes = (0..<16).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    }

    mutating func hash(_ number: UInt64) -> UInt64 {
      bytes.withUnsafeMutableBytes { buffer in
        let scrambled = number &* 0x9e37_79b9_7f4a_7c15
        buffer.storeBytes(of: scrambled.byteSwapped, as: UInt64.self)
        guard let base = buffer.baseAddress else { return 0 }
        return BloomFilter.hash(ByteSlice(base: base, count: buffer.count))
      }
    }
  }

  /// As many absent keys as give 3,000 false answers: their number then varies by 2 % or so. Filters
  /// of few keys differ from each other, so there are many of them.
  @Test(arguments: [4, 6, 8, 10, 12, 14, 16, 18, 20], [1000, 10_000, 100_000, 1_000_000])
  func passesAsManyAsDesigned(bits: Int, count: Int) throws {
    let filters = max(1, 200_000 / count)
    var passed = 0
    var asked = 0
    var expected = 0.0
    for number in 0..<filters {
      var keys = Keys(seed: UInt64(number))
      var output = OutputBuffer()
      let hashes = (0..<UInt64(count)).map { keys.hash($0) }
      BloomFilter.build(hashes, bitsPerKey: bits, into: &output)
      guard let filter = BloomFilter(output.slice) else {
        Issue.record("the filter does not read its own payload")
        return
      }
      #expect(hashes.allSatisfy { filter.mayContain($0) })
      let rate = filter.expectedFalsePositives(keys: UInt64(count))
      let samples = Int(3000 / rate) / filters
      for sample in 0..<UInt64(samples) where filter.mayContain(keys.hash(1 << 40 + sample)) {
        passed += 1
      }
      asked += samples
      expected += rate / Double(filters)
    }
    let measured = Double(passed) / Double(asked)
    #expect(
      abs(measured - expected) < 0.15 * expected,
      "\(measured) measured, \(expected) by design, \(passed) of \(asked)")
  }

  @Test func theNumberOfProbesIsNearlyTheBest() {
    for bits in 1...64 {
      let chosen = BloomFilter.expectedFalsePositives(
        bitsPerKey: Double(bits), probes: BloomFilter.probes(bitsPerKey: bits))
      for probes in 1...BloomFilter.maximumProbes {
        let other = BloomFilter.expectedFalsePositives(bitsPerKey: Double(bits), probes: probes)
        #expect(chosen <= 1.01 * other, "\(bits) bits, \(probes) probes")
      }
    }
  }

  @Test func readsTellTheRate() throws {
    let fileSystem = MemoryFileSystem()
    var tuning = LSMTuning()
    tuning.bloomBitsPerKey = 6
    let engine = try LSMEngine.open(LSMTest.options("/db", fileSystem), tuning)
    for number in 0..<20_000 { try engine.put(LSMTest.key(number * 2), [1]) }
    try engine.checkpoint()
    #expect(try engine.statistics()[detail: "bloom.measuredRate"] == nil)
    for number in 0..<20_000 { #expect(try engine.get(LSMTest.key(number * 2 + 1)) == nil) }
    let statistics = try engine.statistics()
    let designed = try #require(statistics[detail: "bloom.designedRate"])
    let measured = try #require(statistics[detail: "bloom.measuredRate"])
    // 1,150 false answers.
    #expect(abs(designed - 0.0575) < 0.001 && abs(measured - designed) < 0.15 * designed)
    try engine.close()
  }
}
