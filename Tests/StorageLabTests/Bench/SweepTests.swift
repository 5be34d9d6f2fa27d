import Testing

@testable import StorageLab

@Suite struct SweepTests {
  static func result(_ engines: [(String, [Double])]) -> RunBundle.WorkloadResult {
    RunBundle.WorkloadResult(
      name: "w", title: "t", distribution: nil, durability: "process", isPreparation: false,
      itemsPerOperation: 1, writes: true, requestDigest: "",
      engines: engines.map { name, rates in
        RunBundle.EngineResult(
          engine: name, isPersistent: true,
          rounds: rates.map { rate in
            BenchMeasurement(
              round: 0, operations: 1_000, items: 1_000, seconds: 1_000 / rate, rate: rate,
              latency: LatencySummary(), histogram: "", counters: BenchMeasurement.Counters(),
              settleSeconds: 0, cpuSeconds: 0, space: BenchMeasurement.Space(),
              peakResidentBytes: 0, residentBytes: 0, makingSeconds: 0)
          }, latency: LatencySummary(), events: [])
      })
  }

  /// Two engines whose ratio at each point is given; ±1 % from round to round.
  private func sweep(_ axis: SweepAxis, _ points: [(value: String, ratio: Double)]) -> Sweep {
    var base = BenchConfiguration()
    base.engines = ["a", "b"]
    var sweep = Sweep(
      startedAt: "", axis: axis, base: base,
      machine: MachineDescription(
        processor: "", cores: 1, memoryBytes: 0, kernel: "", fileSystem: "", isDebugBuild: false))
    let noise = [0.99, 1.0, 1.01]
    for point in points {
      sweep.points.append(
        Sweep.Point(
          value: point.value, position: axis.position(point.value),
          result: SweepTests.result([
            ("a", noise.map { 1e5 * point.ratio * $0 }), ("b", noise.map { 1e5 * (2 - $0) }),
          ])))
    }
    return sweep
  }

  @Test func aCrossingIsFoundAndSaid() throws {
    let sweep = sweep(
      .readFraction, [("0", 4), ("0.2", 3), ("0.6", 2), ("0.8", 0.5), ("1", 0.25)])
    let crossover = Crossover(sweep, 0, 1)
    #expect(crossover.stretches.map(\.winner) == ["a", "b"])
    let crossing = try #require(crossover.crossings.first ?? nil)
    #expect(abs(crossing.position - 0.7) < 1e-9 && crossing.low == 0.6 && crossing.high == 0.8)
    #expect(
      crossover.sentence
        == "Below 70 % reads (between 60 % reads and 80 % reads) a wins against b, by up to 4.00×; "
        + "above it b wins, by up to 4.00×.")
  }

  @Test func undecidedPointsLieBetween() throws {
    let sweep = sweep(
      .valueSize, [("16", 2), ("64", 1.001), ("256", 0.999), ("1024", 0.5)])
    let crossover = Crossover(sweep, 0, 1)
    #expect(crossover.undecided == [1, 2])
    let crossing = try #require(crossover.crossings.first ?? nil)
    #expect(crossing.low == 16 && crossing.high == 1024)
    #expect(crossing.position > 64 && crossing.position < 256)
    #expect(crossover.sentence.hasSuffix("Cannot tell at 64 B, 256 B."))
  }

  @Test func oneWinnerNoneOrSeveralChanges() {
    let always = Crossover(sweep(.threads, [("1", 2), ("2", 3)]), 0, 1)
    #expect(always.sentence == "a wins against b at every point, by up to 3.00×.")
    let never = Crossover(sweep(.threads, [("1", 1.001), ("2", 0.999)]), 0, 1)
    #expect(never.sentence == "Cannot tell a from b at any point.")
    let classes = Crossover(sweep(.durability, [("none", 2), ("commit", 0.5)]), 0, 1)
    #expect(classes.crossings == [nil])
    #expect(
      classes.sentence
        == "At none a wins against b, by up to 2.00×; at commit b wins against a, by up to 2.00×.")
    let twice = Crossover(sweep(.threads, [("1", 2), ("2", 0.5), ("3", 2)]), 0, 1)
    #expect(twice.stretches.count == 3 && twice.sentence.hasPrefix("At 1 threads a wins"))
  }

  @Test func axesTakeRangesAndLists() throws {
    #expect(try SweepAxis.readFraction.values("0..1", steps: 3) == ["0", "0.5", "1"])
    #expect(
      try SweepAxis.valueSize.values("16..4096", steps: 5) == ["16", "64", "256", "1024", "4096"])
    #expect(try SweepAxis.threads.values("1..3", steps: 6) == ["1", "2", "3"])
    #expect(try SweepAxis.records.values("300,100", steps: nil) == ["100", "300"])
    #expect(try SweepAxis.durability.values("process,commit", steps: nil) == ["process", "commit"])
    for axis in SweepAxis.allCases {
      #expect(try axis.values(nil, steps: nil).count >= 3)
      for value in axis.defaultValues {
        var configuration = BenchConfiguration()
        configuration.workloads = [SweepRunner.defaultWorkload]
        let before = configuration
        try axis.apply(value, to: &configuration)
        let isDefault =
          axis == .threads && value == "1" || axis == .durability && value == "process"
          || axis == .records && value == "200000"
        #expect((configuration != before) != isDefault, "\(axis) \(value)")
        for engine in configuration.engines { _ = try EngineRegistry.standard.entry(engine) }
      }
    }
  }

  @Test(arguments: [
    (SweepAxis.readFraction, "x"), (.readFraction, "1..0"), (.valueSize, "0..10"),
    (.records, "1,1"), (.records, "1..1e30"), (.valueSize, "1e-300..1e300"), (.cacheShare, "0,1"),
    (.readFraction, "nan"), (.durability, "0..1"), (.threads, "..3"), (.threads, ""),
  ])
  func wrongAxesAreRefused(axis: SweepAxis, text: String) {
    #expect(throws: StorageError.self) { try axis.values(text, steps: nil) }
  }

  @Test(arguments: [
    "mix:", "mix:read", "mix:read=2", "mix:read=0.6+scan=0.6", "mix:read=0.5+read=0.1",
    "mix:fly=1", "batch:0", "batch:x", "what:1", ":",
  ])
  func wrongWorkloadsAreRefused(name: String) {
    let error = #expect(throws: StorageError.self) { try Workload.named(name) }
    #expect(error?.code == .invalidArgument && error?.remedy != nil)
  }

  @Test func mixesAreWhatTheyAreCalled() throws {
    for (name, shares) in [
      ("mix:read=0.7", [RequestKind.read: 0.7, .put: 0.3]), ("mix:read=1", [.read: 1]),
      ("mix:scan=0.25+modify=0.25", [.scan: 0.25, .readModifyWrite: 0.25, .put: 0.5]),
    ] {
      var stream = RequestStream(
        try Workload.named(name), distribution: .uniform, recordCount: 1_000, insertBase: 1_000,
        operations: 20_000, thread: 0, threads: 1, seed: 5)
      var counts: [RequestKind: Double] = [:]
      while let request = stream.next() { counts[request.kind, default: 0] += 1 }
      #expect(Set(counts.keys) == Set(shares.keys))
      for (kind, share) in shares {
        #expect(abs((counts[kind] ?? 0) / 20_000 - share) < 0.015, "\(name) \(kind)")
      }
    }
  }

  @Test(arguments: [SweepAxis.readFraction, .valueSize])
  func aSweepRuns(axis: SweepAxis) throws {
    let directory = try TemporaryDirectory()
    var base = BenchConfiguration()
    base.engines = ["btree", "memory"]
    base.workloads = ["mix:read=0.5"]
    base.records = 500
    base.operations = 400
    base.rounds = 3
    let values = try axis.values(axis == .readFraction ? "0..1" : "16..256", steps: 3)
    let sweep = try SweepRunner(
      axis, values: values, base, registry: .standard,
      environment: BenchEnvironment(workDirectory: directory.path)
    ).run(startedAt: "2026-01-01T00:00:00Z")
    #expect(sweep.points.map(\.value) == values)
    #expect(sweep.points.allSatisfy { $0.result.engines.allSatisfy { $0.rounds.count == 3 } })
    #expect(sweep.compare(0, with: 1, at: sweep.points[0]) != nil)
    let text = SweepReport.render(sweep)
    #expect(text.contains(axis.title) && text.contains("btree"))
  }

  @Test func sparklinesAreTheValues() {
    #expect(Glyphs.blocks.sparkline([0, 1, 4, 7.9, 8], from: 0, to: 8) == "▁▂▅██")
    #expect(Glyphs.blocks.sparkline([1, 1], from: 1, to: 1) == "▁▁")
    #expect(Glyphs.ascii.sparkline([0, 1, 4, 7.9, 8], from: 0, to: 8) == "_.=##")
  }
}
