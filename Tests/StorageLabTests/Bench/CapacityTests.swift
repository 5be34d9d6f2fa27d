import Testing

@testable import StorageLab

struct LatencyObjectiveTests {
  @Test(arguments: [
    ("p99<2ms", LatencyObjective.Measure.percentile(99), 2_000_000, "p99<2ms"),
    ("P99.9 < 500us", .percentile(99.9), 500_000, "p99.9<500us"),
    ("max<1s", .maximum, 1_000_000_000, "max<1s"), ("mean<80µs", .mean, 80_000, "mean<80us"),
    ("p50<1.5ms", .percentile(50), 1_500_000, "p50<1.5ms"), ("p5<7ns", .percentile(5), 7, "p5<7ns"),
  ])
  func whatIsMeantIsRead(
    text: String, measure: LatencyObjective.Measure, limit: UInt64, again: String
  ) throws {
    let objective = try #require(LatencyObjective(text))
    #expect(objective == LatencyObjective(measure, below: limit))
    #expect(objective.description == again)
    #expect(LatencyObjective(again) == objective)
  }

  @Test(arguments: [
    "", "p99", "p99<", "p99<2", "p99>2ms", "p0<1ms", "p100<1ms", "q99<1ms", "p99<-1ms", "p99<1m",
    "p99<1ms<2ms", "p<1ms", "p99<nanms", "max<1e9s",
  ])
  func nothingElseIs(text: String) {
    #expect(LatencyObjective(text) == nil)
  }

  @Test func percentilesNeedSamples() throws {
    #expect(try #require(LatencyObjective("p99<1ms")).neededSamples == 1_000)
    #expect(try #require(LatencyObjective("p99.9<1ms")).neededSamples == 10_000)
  }
}

struct CapacitySearchTests {
  @Test(arguments: [1.0, 3, 900, 1_000, 5_000, 1e7])
  func theHighestRateIsFound(start: Double) throws {
    var tried = 0
    let found = try CapacitySearch(start: start).run { (rate) throws(StorageError) in
      tried += 1
      return rate <= 1_000
    }
    #expect(try #require(found) <= 1_000 && found ?? 0 > 1_000 / 1.05)
    #expect(tried < 60)
  }

  @Test func oneFailureIsTriedAgain() throws {
    // A machine that disturbs every third trial.
    var tried = 0
    let found = try CapacitySearch(start: 100).run { (rate) throws(StorageError) in
      tried += 1
      return rate <= 1_000 && tried % 3 != 0
    }
    #expect(try #require(found) > 1_000 / 1.05)
  }

  @Test func aMachineThatGetsBusyEndsTheSearch() throws {
    var tried = 0
    let found = try CapacitySearch(start: 1000).run { (rate) throws(StorageError) in
      tried += 1
      return rate <= 1_000 && tried <= 8
    }
    #expect(found == nil)
    #expect(tried > 12 && tried < 60)
  }

  @Test func noRateAtAll() throws {
    #expect(try CapacitySearch(start: 50).run { (_) throws(StorageError) in false } == nil)
    let always = try CapacitySearch(start: 50).run { (_) throws(StorageError) in true }
    #expect(always == 1e8)
  }
}

struct CapacityRunnerTests {
  /// An engine that takes 100 µs a request on a simulated clock.
  private func run(
    _ objective: String, _ arrivals: ArrivalPattern, workload: String = "ycsb-a",
    withCurve: Bool = false, searches: Int = 1, names: [String] = ["paced"]
  ) throws -> CapacityReport {
    let clock = SimulatedClock()
    var registry = EngineRegistry()
    for name in names {
      registry.register(
        .init(
          name: name, summary: "", isPersistent: false,
          open: { (_) throws(StorageError) in PacedEngine(clock) { _ in 100_000 } }))
    }
    var configuration = BenchConfiguration()
    configuration.engines = names
    configuration.workloads = [workload]
    configuration.records = 200
    configuration.valueBytes = 40
    var environment = BenchEnvironment(workDirectory: "/nowhere")
    environment.fileSystem = MemoryFileSystem()
    environment.clock = clock
    environment.diskUsage = { _ in BenchMeasurement.Space() }
    environment.removeTree = { _ in }
    environment.systemLoad = { nil }
    return try CapacityRunner(
      configuration, objective: #require(LatencyObjective(objective)), arrivals: arrivals,
      seconds: 1, searches: searches, registry: registry, environment: environment
    ).run(startedAt: "2026-01-01T00:00:00Z", withCurve: withCurve)
  }

  @Test func equalGapsFillTheServer() throws {
    let engine = try #require(try run("p99<150us", .constant).engines.first)
    #expect(abs(engine.closedLoopRate - 10_000) < 10)
    let rate = try #require(engine.sustainedRate)
    #expect(rate > 9_400 && rate <= 10_010)
    #expect(engine.trials.contains { !$0.isSustained })
  }

  @Test func randomGapsNeedRoom() throws {
    // M/D/1: at 85 % of the rate one request of a hundred waits for more than a millisecond.
    let engine = try #require(try run("p99<1ms", .poisson, workload: "read-only").engines.first)
    let rate = try #require(engine.sustainedRate)
    #expect(rate > 6_500 && rate < 9_600)
  }

  @Test func theSearchIsRepeatedAndItsMedianTaken() throws {
    let report = try run("p99<150us", .constant, searches: 3, names: ["one", "two"])
    #expect(report.searches == 3 && report.engines.map(\.engine) == ["one", "two"])
    for engine in report.engines {
      let rates = try #require(engine.sustainedRates)
      #expect(rates.count == 3 && engine.sustainedRate == Statistics.median(rates))
      #expect(engine.sustained.low >= rates.min() ?? 0)
    }
    let text = CapacityTextReport.render(report)
    #expect(text.contains("median of 3 searches") && text.contains("3 of 3") == false)
    #expect(text.contains("0 of "))
    let again = try CapacityReport(decoding: try report.encoded(), path: "x")
    #expect(again.engines.map(\.sustainedRate) == report.engines.map(\.sustainedRate))
  }

  @Test func searchesThatFindNothingCount() {
    var engine = CapacityReport.Engine(
      engine: "e", closedLoopRate: 1, closedLoopLatency: LatencySummary())
    engine.note(nil)
    #expect(engine.sustainedRate == nil)
    engine.note(100)
    engine.note(120)
    #expect(engine.sustainedRate == 100 && engine.sustainedRates == [0, 100, 120])
  }

  @Test func whatCannotBeKeptIsNotFound() throws {
    let report = try run("mean<90us", .constant)
    #expect(try #require(report.engines.first).sustainedRate == nil)
  }

  @Test func theCurveGoesBeyondTheCapacity() throws {
    let report = try run("p99<1ms", .constant, workload: "ycsb-d", withCurve: true)
    let curve = try #require(report.engines.first?.curve)
    #expect(curve.count == 11)
    #expect(curve[4].latency.p50 < 110_000)
    #expect(curve[10].isBacklogGrowing && curve[10].latency.p99 > 10_000_000)
  }

  @Test(arguments: ["fillseq", "fillrandom", "deleterandom", "fullscan", "airports-load"])
  func workloadsThatEndAreRefused(workload: String) {
    #expect {
      _ = try run("p99<1ms", .constant, workload: workload)
    } throws: { error in
      [.invalidArgument, .notFound].contains((error as? StorageError)?.code)
    }
  }
}
