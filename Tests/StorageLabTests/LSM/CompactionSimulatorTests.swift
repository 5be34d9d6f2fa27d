import Testing

@testable import StorageLab

@Suite struct CompactionSimulatorTests {
  private static func tuning(_ policy: CompactionPolicy, ratio: Int) -> LSMTuning {
    var tuning = LSMTuning(writeBufferBytes: 1 << 20)
    tuning.memtableBytes = 64 << 10
    tuning.baseLevelBytes = 256 << 10
    tuning.tableBytes = 64 << 10
    tuning.logSegmentBytes = 1 << 20
    tuning.compression = [.none]
    tuning.compaction = policy
    tuning.levelRatio = ratio
    tuning.runsPerTier = ratio
    return tuning
  }

  /// What the tree of the same puts does, and what it takes to describe it to the simulator.
  private struct Measured {
    var options = CompactionSimulator.Options()
    var tableBytesWritten = 0.0
    var tableBytes = 0.0
    var compactions: UInt64 = 0
  }

  private func measure(
    _ tuning: LSMTuning, puts: Int, keySpace: Int, isAscending: Bool
  ) throws -> Measured {
    let directory = try TemporaryDirectory()
    let tree = try LSMEngine.open(LSMTest.options(directory.file("db")), tuning)
    var random = SeededRandom(seed: 1)
    let value = [UInt8](repeating: 7, count: 90)
    for index in 0..<puts {
      let number = isAscending ? index : random.below(keySpace)
      // Spread over all first bytes.
      var spread = SeededRandom(seed: UInt64(number))
      let mixed = isAscending ? UInt64(number) : spread.next()
      let key = (0..<8).map { UInt8(truncatingIfNeeded: mixed >> (56 - 8 * $0)) }
      try tree.put(key, value)
    }
    let statistics = try tree.statistics()
    var measured = Measured()
    let flushes = try #require(statistics[detail: "flushes"])
    let flushed = try #require(statistics[detail: "flushes.bytes"])
    let written = (0..<LSMVersion.levelCount).reduce(0.0) {
      $0 + (statistics[detail: "level.\($1).bytesWritten"] ?? 0)
    }
    measured.tableBytesWritten = written
    measured.compactions = UInt64(statistics[detail: "compactions"] ?? 0)
    measured.tableBytes = (0..<LSMVersion.levelCount).reduce(0.0) {
      $0 + (statistics[detail: "level.\($1).bytes"] ?? 0)
    }
    measured.options.keys = isAscending ? .ascending : .uniform
    measured.options.keySpace = UInt64(keySpace)
    // What is still in the memtable is no matter of compaction.
    let perFlush = (Double(puts) / (flushes + 0.5)).rounded()
    measured.options.memtableEntries = UInt64(perFlush)
    measured.options.puts = UInt64(perFlush * flushes)
    let space = Double(keySpace)
    let distinct = isAscending ? perFlush : space * (1 - (1 - perFlush / space))
    measured.options.entryBytes = flushed / flushes / distinct
    try tree.close()
    return measured
  }

  /// The simulator and the tree, which share the picker, agree on what is written and kept.
  @Test(arguments: CompactionPolicy.allCases, [(3, 60_000), (4, 15_000), (8, 30_000)])
  func agreesWithTheTree(_ policy: CompactionPolicy, _ size: (ratio: Int, keys: Int)) throws {
    let tuning = CompactionSimulatorTests.tuning(policy, ratio: size.ratio)
    let measured = try measure(tuning, puts: 60_000, keySpace: size.keys, isAscending: false)
    var simulator = CompactionSimulator(measured.options, tuning)
    let outcome = simulator.run()
    let expected = outcome.flushedBytes + outcome.compactedBytes
    #expect(
      abs(measured.tableBytesWritten / expected - 1) < CompactionSimulatorTests.tolerance,
      "written \(measured.tableBytesWritten), simulated \(expected)")
    let kept = Double(outcome.levelBytes.reduce(0, +))
    #expect(
      abs(measured.tableBytes / kept - 1) < CompactionSimulatorTests.tolerance,
      "kept \(measured.tableBytes), simulated \(kept)")
  }

  /// Stated in docs/guide/compaction.md.
  private static let tolerance = 0.03

  @Test(arguments: CompactionPolicy.allCases)
  func ascendingKeysAreWrittenOnce(_ policy: CompactionPolicy) throws {
    let tuning = CompactionSimulatorTests.tuning(policy, ratio: 4)
    let measured = try measure(tuning, puts: 30_000, keySpace: 30_000, isAscending: true)
    var simulator = CompactionSimulator(measured.options, tuning)
    let outcome = simulator.run()
    #expect(outcome.compactedBytes == 0)
    #expect(outcome.spaceAmplification.rounded() == 1)
    #expect(measured.compactions == 0)
  }

  @Test func policiesTradeWritesForRuns() {
    var options = CompactionSimulator.Options()
    options.puts = 2_000_000
    options.keySpace = 2_000_000
    options.memtableEntries = 2000
    func outcome(_ policy: CompactionPolicy) -> CompactionSimulator.Outcome {
      var tuning = LSMTuning(writeBufferBytes: 1 << 20)
      tuning.baseLevelBytes = 800_000
      tuning.tableBytes = 200_000
      tuning.compaction = policy
      tuning.levelRatio = 6
      tuning.runsPerTier = 6
      var simulator = CompactionSimulator(options, tuning)
      return simulator.run()
    }
    let leveled = outcome(.leveled)
    let tiered = outcome(.tiered)
    let lazy = outcome(.lazyLeveled)
    #expect(tiered.writeAmplification < lazy.writeAmplification)
    #expect(lazy.writeAmplification < leveled.writeAmplification)
    #expect(tiered.meanRuns > lazy.meanRuns)
    #expect(tiered.peakSpaceAmplification > lazy.peakSpaceAmplification)
    #expect(leveled.meanRuns < tiered.meanRuns)
  }
}
