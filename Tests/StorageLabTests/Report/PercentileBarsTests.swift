import Testing

@testable import StorageLab

@Suite struct PercentileBarsTests {
  private func engine(_ name: String, _ latencies: [UInt64]) -> RunBundle.EngineResult {
    var histogram = LoopResult.emptyHistogram
    for latency in latencies { histogram.record(latency) }
    let summary = LatencySummary(histogram)
    let round = BenchMeasurement(
      round: 0, operations: UInt64(latencies.count), items: UInt64(latencies.count), seconds: 1,
      rate: 1, latency: summary, histogram: HistogramCoding.encode(histogram), counters: .init(),
      settleSeconds: 0, cpuSeconds: 0, space: .init(), peakResidentBytes: 0, residentBytes: 0,
      makingSeconds: 0)
    return .init(
      engine: name, isPersistent: false, rounds: [round], latency: summary, events: [])
  }

  private func workload(_ engines: [RunBundle.EngineResult]) -> RunBundle.WorkloadResult {
    .init(
      name: "w", title: "t", distribution: nil, durability: "none", isPreparation: false,
      itemsPerOperation: 1, writes: false, requestDigest: "", engines: engines)
  }

  @Test func barsOfOneAxisStandBelowEachOther() {
    let fast = engine("fast", (1...1_000).map { UInt64($0) })
    let slow = engine("slower", (1...1_000).map { UInt64($0 * 100) })
    let lines = PercentileBars.lines(workload([fast, slow]), .ascii)
    // The axis, and five figures of two engines.
    #expect(lines.count == 11)
    #expect(lines[1].hasPrefix("p50    fast    #") && lines[2].hasPrefix("       slower  ##"))
    #expect(lines[1].hasSuffix(" 500 ns") && lines[2].hasSuffix(" 50 µs"))
    func length(_ line: String) -> Int { line.count { $0 == "#" } }
    #expect(length(lines[1]) < length(lines[2]))
    // A hundredfold is as long everywhere on a logarithmic axis.
    let steps = [1, 3, 5].map { length(lines[$0 + 1]) - length(lines[$0]) }
    #expect((steps.max() ?? 0) - (steps.min() ?? 0) <= 1)
    // One request in a thousand took longer than p99.9.
    #expect(lines[7].hasSuffix("too few requests") && lines[9].hasSuffix(" 1 µs"))
    #expect(lines.dropFirst().allSatisfy { $0.allSatisfy { $0.isASCII || $0 == "µ" } })
  }

  @Test func blocksHaveEighths() {
    #expect(Glyphs.blocks.bar(2.25) == "██▎")
    #expect(Glyphs.blocks.bar(0) == "▏")
    #expect(Glyphs.ascii.bar(2.25) == "##" && Glyphs.ascii.bar(0) == "#")
  }

  @Test func fewWorkloadsHaveBarsManyOnRequest() {
    var bundle = RunBundle(
      startedAt: "", configuration: BenchConfiguration(),
      machine: MachineDescription(
        processor: "", cores: 1, memoryBytes: 0, kernel: "", fileSystem: "", isDebugBuild: false))
    let one = workload([engine("e", [1, 2, 3])])
    bundle.workloads = [one, one, one]
    #expect(TextReport.render(bundle).contains("latency, all rounds:"))
    bundle.workloads.append(one)
    #expect(!TextReport.render(bundle).contains("latency, all rounds:"))
    #expect(TextReport.render(bundle, details: true).contains("latency, all rounds:"))
    for index in bundle.workloads.indices { bundle.workloads[index].isPreparation = true }
    #expect(!TextReport.render(bundle).contains("latency, all rounds:"))
  }

  @Test func damagedAndEmptyOnesHaveNone() {
    var damaged = engine("e", [1])
    damaged.rounds[0].histogram = "?"
    #expect(PercentileBars.lines(workload([damaged]), .blocks) == [])
    #expect(PercentileBars.lines(workload([engine("e", [])]), .blocks) == [])
  }
}
