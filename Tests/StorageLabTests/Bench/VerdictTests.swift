import Testing

@testable import StorageLab

/// Sentences from made-up figures: what they claim must follow from the counters.
struct VerdictTests {
  private func measurement(
    _ rate: Double, cpu: Double = 1, reads: UInt64 = 0, written: UInt64 = 0, syncs: UInt64 = 0,
    misses: UInt64 = 0
  ) -> BenchMeasurement {
    var counters = BenchMeasurement.Counters()
    counters.userBytesWritten = 100_000
    counters.io.reads = reads
    counters.io.bytesWritten = written
    counters.io.syncs = syncs
    counters.cacheMisses = misses
    return BenchMeasurement(
      round: 0, operations: 1_000, items: 1_000, seconds: 1_000 / rate, rate: rate,
      latency: LatencySummary(), histogram: "", counters: counters, settleSeconds: 0,
      cpuSeconds: cpu * 1e-3, space: BenchMeasurement.Space(), peakResidentBytes: 0,
      residentBytes: 0, makingSeconds: 0)
  }

  private func workload(_ engines: [(String, [BenchMeasurement])]) -> RunBundle.WorkloadResult {
    RunBundle.WorkloadResult(
      name: "w", title: "t", distribution: nil, durability: "process", isPreparation: false,
      itemsPerOperation: 1, writes: true, requestDigest: "",
      engines: engines.map {
        RunBundle.EngineResult(
          engine: $0.0, isPersistent: true, rounds: $0.1, latency: LatencySummary(), events: [])
      })
  }

  @Test func separateRangesNameAWinnerAndTheRatio() {
    let verdict = Verdict(
      workload([
        ("slow", [90e3, 100e3, 110e3].map { measurement($0, cpu: 4, reads: 3_000) }),
        ("fast", [190e3, 200e3, 210e3].map { measurement($0, cpu: 2, reads: 1_000) }),
      ]))
    #expect(verdict.outcome == .faster(winner: "fast", ratio: 2, than: "slow"))
    #expect(verdict.sentence.hasPrefix("fast won, 2.00× (1.50–2.68) the rate of slow: "))
    #expect(verdict.sentence.contains("made 1.00 file reads and writes a request (3.00)"))
    #expect(verdict.sentence.contains("used 2.00 µs of processor time a request (4.00)"))
  }

  /// The rate of an open loop is given: who answers sooner is faster.
  @Test func openLoopsAreComparedByTheirLatency() {
    func open(_ p99: UInt64) -> BenchMeasurement {
      var measurement = measurement(1_000)
      measurement.latency.p99 = p99
      measurement.openLoop = OpenLoopFigures(
        load: OfferedLoad(rate: 1_000, arrivals: .constant), arrivalDigest: "", servedRate: 1_000,
        service: LatencySummary(), serviceHistogram: "", longestLag: 0, lagByQuarter: [],
        lateMakingSeconds: 0)
      return measurement
    }
    let verdict = Verdict(
      workload([
        ("slow", [4_000, 4_100, 3_900].map { open($0) }),
        ("fast", [1_000, 1_010, 990].map { open($0) }),
      ]))
    guard case .faster("fast", let ratio, "slow") = verdict.outcome else {
      Issue.record("\(verdict.outcome)")
      return
    }
    #expect(abs(ratio - 4) < 1e-9)
    #expect(verdict.sentence.contains("as fast at its 99th percentile as slow"))
  }

  @Test func overlappingRangesCannotTell() {
    let verdict = Verdict(
      workload([
        ("a", [100e3, 110e3, 120e3].map { measurement($0) }),
        ("b", [105e3, 108e3, 130e3].map { measurement($0) }),
        ("c", [10e3, 11e3, 12e3].map { measurement($0, syncs: 1_000) }),
      ]))
    #expect(verdict.outcome == .cannotTell(fastest: "a", from: ["b"]))
    #expect(verdict.sentence.hasPrefix("Cannot tell a from b: it had 0.95× ("))
    #expect(verdict.sentence.contains("these rounds could not have shown a difference below"))
    #expect(verdict.sentence.contains("a is ahead of c (10.0× ("))
    #expect(verdict.sentence.contains("made 0 syncs a request (1.00)"))
  }

  @Test func whatIsNotCountedIsNoEvidence() throws {
    var result = workload([
      ("a", [100e3, 101e3, 102e3].map { measurement($0, reads: 0, written: 0) }),
      ("b", [50e3, 51e3, 52e3].map { measurement($0, cpu: 5, reads: 9_000, written: 900_000) }),
    ])
    result.engines[0].countsIO = false
    let sentence = Verdict(result).sentence
    #expect(!sentence.contains("files") && !sentence.contains("file reads"))
    #expect(sentence.contains("processor time"))
    let written = try #require(BenchTable.columns.firstIndex(of: "written"))
    #expect(BenchTable.rows(result).map { $0[written] == "–" } == [true, false])
  }

  @Test func aCounterAgainstTheWinnerIsSaid() {
    let verdict = Verdict(
      workload([
        ("a", [2e6, 2.1e6, 2.2e6].map { measurement($0, written: 900_000, misses: 100) }),
        ("b", [1e6, 1.01e6, 1.02e6].map { measurement($0, written: 300_000, misses: 900) }),
      ]))
    #expect(verdict.sentence.contains("missed its cache 0.10 times a request (0.90)"))
    #expect(verdict.sentence.contains("though it wrote 9.00 B to files per byte put (3.00)"))
  }

  @Test func equalCountersExplainNothing() {
    let verdict = Verdict(
      workload([
        ("a", [200, 201, 202].map { measurement($0) }),
        ("b", [100, 101, 102].map { measurement($0) }),
      ]))
    #expect(verdict.sentence.contains("no counter differs by a quarter or more"))
  }

  @Test func whatCannotMatterIsNotNamed() {
    // Three thousandths of a sync cost 0.3 µs at most, a small part of 90 µs.
    let verdict = Verdict(
      workload([
        ("a", [100e3, 101e3, 102e3].map { measurement($0) }),
        ("b", [10e3, 11e3, 12e3].map { measurement($0, cpu: 80, syncs: 3) }),
      ]))
    #expect(!verdict.sentence.contains("sync"))
    #expect(verdict.sentence.contains("processor time"))
  }

  @Test func tooFewRoundsAreNoVerdict() {
    let verdict = Verdict(
      workload([("a", [measurement(200)]), ("b", [measurement(100)])]))
    #expect(verdict.outcome == .tooFewRounds(ahead: "a", ratio: 2, than: "b"))
    #expect(verdict.sentence.contains("too few to judge by"))
  }

  @Test func oneEngineIsAlone() {
    #expect(Verdict(workload([("a", [measurement(1)])])).outcome == .alone)
  }
}

struct BenchFiguresTests {
  @Test func amplificationsAreRatiosOfTheCounters() throws {
    var counters = BenchMeasurement.Counters()
    counters.userBytesWritten = 100
    counters.userBytesReturned = 50
    counters.io.bytesWritten = 250
    counters.settleIO.bytesWritten = 150
    counters.io.bytesRead = 500
    counters.settleIO.bytesRead = 9_999
    var space = BenchMeasurement.Space()
    space.dataBytes = 300
    space.logBytes = 7_777
    space.liveBytes = 200
    let amplification = Amplification(counters, space)
    #expect(amplification.write == 4)
    #expect(amplification.read == 10)
    #expect(amplification.space == 1.5)
    let none = Amplification(BenchMeasurement.Counters(), BenchMeasurement.Space())
    #expect(none.write == nil && none.read == nil && none.space == nil)
  }

  @Test func mediansAndDeviations() {
    #expect(Statistics.median([]) == 0)
    #expect(Statistics.median([3, 1, 2]) == 2)
    #expect(Statistics.median([4, 1, 2, 3]) == 2.5)
    #expect(Statistics.deviation([1, 2, 3, 100]) == 1)
  }

  @Test func quantitiesReadWell() {
    #expect(Quantity.grouped(1_234_567) == "1,234,567")
    #expect(Quantity.grouped(999) == "999")
    #expect(Quantity.grouped(-1_000) == "-1,000")
    #expect(Quantity.bytes(0) == "0 B")
    #expect(Quantity.bytes(1_536) == "1.50 KiB")
    #expect(Quantity.bytes(-2_097_152) == "-2.00 MiB")
    #expect(Quantity.microseconds(1_234) == "1.23")
    #expect(Quantity.microseconds(12_345_678) == "12,346")
    #expect(Quantity.ratio(nil) == "–")
  }

  @Test func histogramsSurviveTheirEncoding() throws {
    var histogram = LoopResult.emptyHistogram
    var random = SeededRandom(seed: 4)
    for _ in 0..<10_000 { histogram.record(UInt64(random.below(10_000_000))) }
    histogram.record(LoopResult.longestLatency)
    let decoded = try HistogramCoding.decode(HistogramCoding.encode(histogram))
    #expect(decoded.totalCount == histogram.totalCount)
    for percentile in [1.0, 50, 95, 99, 99.9] {
      #expect(
        decoded.valueAtPercentile(percentile) == histogram.valueAtPercentile(percentile))
    }
    #expect(try HistogramCoding.decode("").totalCount == 0)
  }

  @Test(arguments: ["%%%", "gA==", "gYCAgICAgICAgAE=", "AP////////////8B"])
  func damagedHistogramsAreRefused(text: String) {
    #expect {
      try HistogramCoding.decode(text)
    } throws: { ($0 as? StorageError)?.code == .corruption }
  }
}

struct BenchWarningTests {
  private func bundle(
    durability: String, writes: UInt64, syncs: UInt64, userBytes: UInt64 = 1_000,
    engineBytes: UInt64 = 1_000
  ) -> RunBundle {
    var configuration = BenchConfiguration()
    configuration.engines = ["e"]
    var bundle = RunBundle(
      startedAt: "", configuration: configuration,
      machine: MachineDescription(
        processor: "", cores: 1, memoryBytes: 0, kernel: "", fileSystem: "ext4",
        isDebugBuild: false))
    var counters = BenchMeasurement.Counters()
    counters.writes = writes
    counters.userBytesWritten = userBytes
    counters.engineUserBytes = engineBytes
    counters.io.syncs = syncs
    counters.io.bytesWritten = 2_000
    var latency = LatencySummary()
    latency.samples = 20_000
    let round = BenchMeasurement(
      round: 0, operations: writes, items: writes, seconds: 1, rate: 1, latency: latency,
      histogram: "", counters: counters, settleSeconds: 0, cpuSeconds: 0,
      space: BenchMeasurement.Space(), peakResidentBytes: 0, residentBytes: 0, makingSeconds: 0)
    bundle.workloads = [
      RunBundle.WorkloadResult(
        name: "w", title: "t", distribution: nil, durability: durability, isPreparation: false,
        itemsPerOperation: 1, writes: true, requestDigest: "",
        engines: [
          RunBundle.EngineResult(
            engine: "e", isPersistent: true, rounds: [round], latency: latency, events: [])
        ])
    ]
    return bundle
  }

  private func codes(_ bundle: RunBundle) -> [BenchWarning.Code] {
    BenchWarning.all(bundle).map(\.code)
  }

  @Test func anHonestRunHasNoWarning() {
    #expect(codes(bundle(durability: "process", writes: 1_000, syncs: 3)) == [])
    #expect(codes(bundle(durability: "commit", writes: 1_000, syncs: 1_001)) == [])
  }

  @Test func commitWithoutSyncsIsFound() {
    #expect(codes(bundle(durability: "commit", writes: 1_000, syncs: 10)) == [.unequalDurability])
  }

  @Test func syncsBeyondTheClassAreFound() {
    #expect(
      codes(bundle(durability: "process", writes: 1_000, syncs: 900)) == [.unequalDurability])
  }

  @Test func countersThatCannotBeAreFound() {
    #expect(
      codes(bundle(durability: "process", writes: 1_000, syncs: 0, engineBytes: 999)) == [
        .impossibleCounter
      ])
    #expect(
      codes(
        bundle(
          durability: "process", writes: 1_000, syncs: 0, userBytes: 5_000, engineBytes: 5_000))
        == [.impossibleCounter])
  }

  @Test func aCounterThatWentBackIsFoundAndNotShown() {
    var run = bundle(durability: "process", writes: 1_000, syncs: 3)
    run.workloads[0].engines[0].rounds[0].counters.cacheHits = 0 &- 5
    run.workloads[0].engines[0].rounds[0].counters.cacheMisses = 10
    #expect(codes(run) == [.impossibleCounter])
    #expect(run.workloads[0].engines[0].rounds[0].cacheHitRate == nil)
  }

  @Test func memoryBesideTheCacheIsSaid() {
    var run = bundle(durability: "process", writes: 1_000, syncs: 3)
    run.workloads[0].engines[0].rounds[0].counters.memoryOutsideCache = 1 << 30
    #expect(codes(run) == [.unequalMemory])
  }

  @Test func theMachineAndTheBuildAreSaid() {
    var run = bundle(durability: "process", writes: 1_000, syncs: 0)
    run.machine.isDebugBuild = true
    run.machine.fileSystem = "tmpfs"
    run.configuration.rounds = 1
    #expect(codes(run) == [.debugBuild, .memoryFileSystem, .fewRounds])
  }
}
