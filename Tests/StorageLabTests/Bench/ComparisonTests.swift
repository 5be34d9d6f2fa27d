import Foundation
import Testing

@testable import StorageLab

@Suite struct StatisticsTests {
  /// Published tables of Student's t.
  @Test(arguments: [
    (0.95, 1, 12.706), (0.95, 2, 4.303), (0.95, 4, 2.776), (0.99, 2, 9.925), (0.99, 4, 4.604),
    (0.99, 9, 3.250), (0.90, 7, 1.895), (0.95, 30, 2.042), (0.999, 3, 12.924),
  ])
  func studentsQuantiles(confidence: Double, degrees: Int, expected: Double) {
    let quantile = Statistics.student(confidence, degrees: degrees)
    #expect(abs(quantile / expected - 1) < 5e-4, "\(quantile)")
  }

  @Test func theBootstrapLiesWithinTheValuesAndIsTheSameEachTime() {
    let values = [5.0, 1, 4, 2, 9, 7, 3]
    let interval = Statistics.bootstrapMedian(values, confidence: 0.95)
    #expect(interval == Statistics.bootstrapMedian(values, confidence: 0.95))
    #expect(interval.lowerBound >= 1 && interval.upperBound <= 9 && interval.contains(4))
    let narrow = Statistics.bootstrapMedian(values, confidence: 0.5)
    #expect(interval.lowerBound <= narrow.lowerBound && narrow.upperBound <= interval.upperBound)
    #expect(narrow.upperBound - narrow.lowerBound < interval.upperBound - interval.lowerBound)
    #expect(Statistics.bootstrapMedian([3], confidence: 0.95) == 3...3)
    #expect(Statistics.bootstrapMedian([], confidence: 0.95) == 0...0)
  }

  /// Of enough values, the interval holds the population's median as often as it says.
  @Test func theBootstrapCoversTheMedian() {
    var random = SeededRandom(seed: 3)
    var covered = 0
    for _ in 0..<400 {
      // Skewed, as latencies are: median ln 2.
      let values = (0..<40).map { _ in -log(1 - random.unit()) }
      let interval = Statistics.bootstrapMedian(values, confidence: 0.9, resamples: 400)
      if interval.contains(log(2)) { covered += 1 }
    }
    #expect((330...385).contains(covered), "\(covered) of 400")
  }
}

@Suite struct ComparisonTests {
  /// A sum of twelve uniform numbers is normal enough.
  private static func normal(_ random: inout SeededRandom) -> Double {
    (0..<12).reduce(-6) { sum, _ in sum + random.unit() }
  }

  /// Rates of two engines that are `ratio` apart, on a machine that is slower in some rounds and,
  /// when it is busy, hits one turn in eight alone.
  private static func rounds(
    _ count: Int, ratio: Double, isBusy: Bool, _ random: inout SeededRandom
  ) -> ([Double], [Double]) {
    var rates: ([Double], [Double]) = ([], [])
    for _ in 0..<count {
      let machine = random.chance(0.4) ? 70e3 : 100e3
      func turn() -> Double {
        machine * exp(0.03 * normal(&random)) * (isBusy && random.chance(0.125) ? 0.6 : 1)
      }
      rates.0.append(turn() * ratio)
      rates.1.append(turn())
    }
    return rates
  }

  @Test(arguments: [3, 5, 10], [false, true])
  func anEngineHardlyEverDiffersFromItself(rounds: Int, isBusy: Bool) {
    var random = SeededRandom(seed: 11)
    var wrong = 0
    let comparisons = 400
    for _ in 0..<comparisons {
      let (first, second) = ComparisonTests.rounds(
        rounds, ratio: 1, isBusy: isBusy, &random)
      if Comparison(paired: first, with: second).outcome != .cannotTell { wrong += 1 }
    }
    // With 1 in 100 wrong, twenty hold more than one in 1.7 cases of 100.
    #expect(wrong <= comparisons / 50, "\(wrong) of \(comparisons)")
  }

  @Test func aDifferenceOfThreeResolutionsIsSeen() {
    var random = SeededRandom(seed: 12)
    var seen = 0
    for _ in 0..<300 {
      let (first, second) = ComparisonTests.rounds(5, ratio: 1.3, isBusy: false, &random)
      if Comparison(paired: first, with: second).outcome == .faster { seen += 1 }
    }
    #expect(seen >= 280, "\(seen) of 300")
  }

  /// What happens to both in a round alike is no noise.
  @Test func pairsTakeTheMachineOut() {
    let machine = [100e3, 60e3, 90e3, 40e3, 120e3]
    let comparison = Comparison(paired: machine.map { $0 * 1.1 }, with: machine)
    #expect(comparison.outcome == .faster)
    #expect(abs(comparison.ratio - 1.1) < 1e-9)
    #expect(Comparison(machine.map { $0 * 1.1 }, against: machine).outcome == .cannotTell)
  }

  @Test func swappingTheTwoSwapsTheOutcome() {
    let (first, second) = ([200e3, 210e3, 190e3], [100e3, 99e3, 101e3])
    let there = Comparison(paired: first, with: second)
    let back = Comparison(paired: second, with: first)
    #expect(there.outcome == .faster && back.outcome == .slower)
    #expect(abs(there.ratio * back.ratio - 1) < 1e-9 && abs(there.low * back.high - 1) < 1e-9)
    #expect(abs(there.resolution - back.resolution) < 1e-9)
    #expect(Comparison(first, against: second).outcome == .faster)
    #expect(Comparison(second, against: first).outcome == .slower)
  }

  @Test func noDifferenceBelowTheNoiseFloorCounts() {
    let (first, second) = ([105e3, 105.1e3, 104.9e3], [100e3, 100e3, 100e3])
    #expect(Comparison(paired: first, with: second).outcome == .faster)
    let floored = Comparison(paired: first, with: second, noiseFloor: 0.06)
    #expect(floored.outcome == .cannotTell && floored.resolution >= 0.06)
  }

  @Test func withoutFiguresThereIsNoVerdict() {
    #expect(Comparison(paired: [], with: []).outcome == .cannotTell)
    #expect(Comparison(paired: [0, 1, 1], with: [1, 1, 1]).outcome == .cannotTell)
    #expect(Comparison(paired: [2], with: [1]).outcome == .tooFewRounds)
    #expect(Comparison([2, 2], against: [1, 1, 1]).outcome == .tooFewRounds)
    // Rounds without any spread.
    #expect(Comparison(paired: [2, 2, 2], with: [1, 1, 1]).outcome == .faster)
    #expect(Comparison(paired: [1, 1, 1], with: [1, 1, 1]).outcome == .cannotTell)
  }

  @Test func twinsSetTheNoiseFloor() throws {
    let workload = SweepTests.result([
      ("a", [100e3, 101e3, 102e3]), ("a#2", [110e3, 111e3, 112e3]), ("b", [95e3, 96e3, 97e3]),
    ])
    #expect(abs(workload.noiseFloor - 0.099) < 0.002)
    #expect(workload.compare("a", with: "b")?.outcome == .cannotTell)
    #expect(workload.compare("a", with: "none") == nil)
    #expect(EngineTwin.original("lsm:tiered#2") == "lsm:tiered")
    #expect(EngineTwin.original("#2") == "#2" && EngineTwin.original("a#b") == "a#b")
    #expect(try EngineRegistry.standard.entry("lsm#2").name == "lsm#2")
    #expect(throws: StorageError.self) { try EngineRegistry.standard.entry("nothing#2") }
  }

  @Test func bundlesCompareWhatTheyHaveInCommon() {
    var before = RunBundle(
      startedAt: "", configuration: BenchConfiguration(),
      machine: MachineDescription(
        processor: "p", cores: 2, memoryBytes: 1, kernel: "", fileSystem: "ext4",
        isDebugBuild: false))
    var after = before
    before.workloads = [SweepTests.result([("a", [1e5, 1.01e5, 0.99e5]), ("gone", [1, 1, 1])])]
    after.workloads = [SweepTests.result([("a", [0.5e5, 0.51e5, 0.49e5]), ("new", [1, 1, 1])])]
    after.machine.cores = 4
    after.configuration.seed = 7
    let comparison = BundleComparison(after, against: before)
    #expect(comparison.rows.map(\.engine) == ["a"])
    #expect(comparison.rows.first?.comparison.outcome == .slower)
    #expect(comparison.onlyInBaseline == ["w, gone"] && comparison.onlyInSubject == ["w, new"])
    #expect(comparison.differences == ["cores: 4 against 2", "seed: 7 against 42"])
    let text = ComparisonReport.render(comparison)
    #expect(text.contains("slower") && text.contains("only in the first run: w, gone"))
  }
}
