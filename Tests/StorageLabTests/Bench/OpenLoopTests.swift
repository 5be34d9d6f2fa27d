import Testing

@testable import StorageLab

struct OpenLoopTests {
  /// 10 µs a request, but for one of 200 ms.
  private static var stalling: SimulatedRun {
    SimulatedRun(requests: 20_000) { call in call == 10_000 ? 200_000_000 : 10_000 }
  }

  @Test(arguments: ArrivalPattern.allCases)
  func aStallShowsInTheOpenLoop(arrivals: ArrivalPattern) throws {
    // 2 s of requests, of which a tenth was due during the stall.
    let result = try Self.stalling.open(OfferedLoad(rate: 10_000, arrivals: arrivals))
    let latency = LatencySummary(result.latencies)
    #expect(latency.samples == 20_000)
    #expect(latency.p99 > 150_000_000 && latency.p95 > 50_000_000)
    #expect(latency.p50 < 50_000)
    // What the engine took is told apart, and so is the wait.
    let paced = try #require(result.paced)
    #expect(LatencySummary(paced.service).p999 < 11_000)
    #expect(paced.longestLag > 190_000_000)
  }

  @Test func theClosedLoopHidesIt() throws {
    let latency = LatencySummary(try Self.stalling.closed().latencies)
    #expect(latency.samples == 20_000)
    #expect(latency.p999 < 11_000)
    #expect(latency.maximum >= 200_000_000)
  }

  @Test func alwaysOverloadedLagsMoreAndMore() throws {
    // 20 µs a request where 10 µs would have to do.
    let result = try SimulatedRun(requests: 4_000) { _ in 20_000 }
      .open(OfferedLoad(rate: 100_000, arrivals: .constant))
    let figures = OpenLoopFigures([result], OfferedLoad(rate: 100_000), digest: 0)
    #expect(figures.isBacklogGrowing(seconds: 0.08))
    #expect(abs(figures.servedRate - 50_000) < 100)
    #expect(figures.longestLag > 39_000_000)
  }

  @Test func aStallIsNoGrowingBacklog() throws {
    let load = OfferedLoad(rate: 10_000)
    let figures = OpenLoopFigures([try Self.stalling.open(load)], load, digest: 0)
    #expect(!figures.isBacklogGrowing(seconds: 2))
    #expect(abs(figures.servedRate - 10_000) < 200)
  }

  @Test func requestsNeverStartBeforeTheyAreDue() throws {
    let load = OfferedLoad(rate: 1_000, arrivals: .constant)
    let run = SimulatedRun(requests: 100) { _ in 0 }
    let begin = run.clock.nanoseconds
    _ = try run.open(load)
    #expect(run.clock.nanoseconds - begin == 99_000_000)
  }

  @Test(arguments: ArrivalPattern.allCases, [0.2, 0.8, 1.5])
  func littlesLawHolds(arrivals: ArrivalPattern, utilisation: Double) throws {
    // Uneven costs of 10 µs on average.
    let run = SimulatedRun(requests: 50_000) { call in UInt64(5_000 + call * 7_919 % 10_001) }
    let load = OfferedLoad(rate: utilisation * 100_000, arrivals: arrivals)
    let result = try run.open(load)
    let law = LittlesLaw(
      [result], ArrivalSequence(load, workload: "overwrite", seed: 1), merged: result.latencies)
    #expect(law.error < 0.01)
    // Something to count: a single server is busy `utilisation` of the time at least.
    #expect(law.inFlight > 0.9 * min(1, utilisation))
  }

  @Test func littlesLawFindsAHiddenWait() throws {
    let load = OfferedLoad(rate: 10_000)
    let result = try Self.stalling.open(load)
    let service = try #require(result.paced).service
    // As if latency counted from the actual start.
    let law = LittlesLaw(
      [result], ArrivalSequence(load, workload: "overwrite", seed: 1), merged: service)
    #expect(law.error > 0.5)
  }
}

struct ArrivalSequenceTests {
  private func gaps(_ load: OfferedLoad, _ count: Int, seed: UInt64 = 7) -> [Double] {
    var sequence = ArrivalSequence(load, workload: "w", seed: seed)
    var last = sequence.next()
    return (1..<count).map { _ in
      let next = sequence.next()
      defer { last = next }
      return Double(next - last)
    }
  }

  @Test func constantGapsDoNotDrift() {
    var sequence = ArrivalSequence(
      OfferedLoad(rate: 3, arrivals: .constant), workload: "w", seed: 0)
    var last: UInt64 = 0
    for _ in 0...3_000_000 { last = sequence.next() }
    #expect(last == 1_000_000_000_000_000)
  }

  @Test func poissonGapsAreExponential() {
    let gaps = gaps(OfferedLoad(rate: 1_000), 100_000)
    let mean = gaps.reduce(0, +) / Double(gaps.count)
    let variance = gaps.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(gaps.count)
    #expect(abs(mean - 1e6) < 1e4)
    // Mean and deviation of an exponential distribution are equal.
    #expect(abs(variance.squareRoot() / mean - 1) < 0.02)
    let longer = gaps.filter { $0 > mean }.count
    #expect(abs(Double(longer) / Double(gaps.count) - 0.3679) < 0.01)
  }

  @Test func theSeedDecides() {
    let load = OfferedLoad(rate: 1_000)
    #expect(gaps(load, 100) == gaps(load, 100))
    #expect(gaps(load, 100) != gaps(load, 100, seed: 8))
  }
}
