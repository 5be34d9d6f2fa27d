import Testing

@testable import StorageLab

/// The shape of each distribution, by Pearson's chi-square against what it must be.
struct DistributionTests {
  static let draws = 100_000

  private func counts(
    _ distribution: Distribution, count: Int, seed: UInt64 = 42
  ) -> [Int] {
    var random = SeededRandom(seed: seed)
    var chooser = RecordChooser(distribution, count: count)
    var counts = [Int](repeating: 0, count: count)
    var outside = 0
    for _ in 0..<Self.draws {
      let record = chooser.next(&random)
      if record < 0 || record >= count { outside += 1 } else { counts[record] += 1 }
    }
    #expect(outside == 0)
    return counts
  }

  /// The statistic minus its mean in standard deviations; a right shape stays below 5.
  private func deviation(_ observed: [Int], _ expected: [Double]) -> Double {
    let statistic = zip(observed, expected).reduce(0.0) {
      let difference = Double($1.0) - $1.1
      return $0 + difference * difference / $1.1
    }
    let freedom = Double(observed.count - 1)
    return (statistic - freedom) / (2 * freedom).squareRoot()
  }

  @Test func uniformIsFlat() {
    let observed = counts(.uniform, count: 100)
    let expected = [Double](repeating: Double(Self.draws) / 100, count: 100)
    #expect(deviation(observed, expected) < 5)
  }

  @Test func uniformTestCanFail() {
    let observed = counts(.hotspot, count: 100)
    let expected = [Double](repeating: Double(Self.draws) / 100, count: 100)
    #expect(deviation(observed, expected) > 100)
  }

  @Test func hotspotGivesEightyPercentToAFifth() {
    let observed = counts(.hotspot, count: 100)
    let draws = Double(Self.draws)
    let expected = (0..<100).map { $0 < 20 ? draws * 0.8 / 20 : draws * 0.2 / 80 }
    #expect(deviation(observed, expected) < 5)
  }

  /// Gray's method is exact for ranks 0 and 1 and approximate beyond: those two are held to
  /// the law, the rest in wide bands to a tenth.
  @Test(arguments: [0.2, 0.6, Zipfian.defaultExponent]) func zipfianFollowsItsLaw(exponent: Double)
  {
    let count = 1_000
    var random = SeededRandom(seed: 7)
    let zipf = Zipfian(count: count, exponent: exponent)
    var observed = [Int](repeating: 0, count: count)
    for _ in 0..<Self.draws { observed[zipf.next(&random)] += 1 }
    let zeta = Zipfian.zeta(count, exponent)
    func expected(_ ranks: Range<Int>) -> Double {
      let share = Zipfian.zeta(ranks.upperBound, exponent)
      let before = ranks.lowerBound == 0 ? 0 : Zipfian.zeta(ranks.lowerBound, exponent)
      return Double(Self.draws) * (share - before) / zeta
    }
    for rank in 0..<2 {
      let mean = expected(rank..<rank + 1)
      #expect(abs(Double(observed[rank]) - mean) < 5 * mean.squareRoot())
    }
    for band in [2..<10, 10..<100, 100..<1_000] {
      let sum = Double(observed[band].reduce(0, +))
      #expect(abs(sum / expected(band) - 1) < 0.1)
    }
  }

  @Test func zetaAgreesWithTheSum() {
    for count in [1, 2, 10, 999, 1_000, 1_001, 50_000] {
      var sum = 0.0
      for index in stride(from: count, through: 1, by: -1) {
        sum += power(Double(index), -Zipfian.defaultExponent)
      }
      #expect(abs(Zipfian.zeta(count) / sum - 1) < 1e-11)
    }
  }

  @Test func latestPrefersTheNewest() {
    let observed = counts(.latest, count: 1_000)
    #expect(observed[999] > observed[998])
    #expect(observed[999] > Self.draws / 10)
    #expect(observed[900...].reduce(0, +) > Self.draws / 2)
  }

  @Test func latestFollowsInserts() {
    var random = SeededRandom(seed: 1)
    var chooser = RecordChooser(.latest, count: 10)
    chooser.grow(to: 1_000)
    let newest = (0..<1_000).filter { _ in chooser.next(&random) >= 990 }.count
    #expect(newest > 300)
  }

  @Test func zipfianHotRecordsAreScattered() {
    let observed = counts(.zipfian, count: 10_000)
    let hottest = observed.enumerated().sorted { $0.element > $1.element }.prefix(10)
      .map(\.offset).sorted()
    let gaps = zip(hottest, hottest.dropFirst()).map { $1 - $0 }
    #expect(gaps.allSatisfy { $0 > 1 })
    #expect(observed.max() ?? 0 > Self.draws / 20)
  }

  @Test func sequentialVisitsEachOnceAndWraps() {
    var random = SeededRandom(seed: 1)
    var chooser = RecordChooser(.sequential, count: 5, start: 3)
    #expect((0..<7).map { _ in chooser.next(&random) } == [3, 4, 0, 1, 2, 3, 4])
  }

  @Test(arguments: Distribution.allCases)
  func theSameSeedDrawsTheSame(distribution: Distribution) {
    #expect(counts(distribution, count: 50, seed: 9) == counts(distribution, count: 50, seed: 9))
    var random = SeededRandom(seed: 3)
    var one = RecordChooser(distribution, count: 1)
    for _ in 0..<100 { #expect(one.next(&random) == 0) }
  }
}

/// x to the y for the test's own sum, by a route independent of the code under test.
private func power(_ base: Double, _ exponent: Double) -> Double {
  // Natural logarithm by the area hyperbolic tangent series after scaling to [1, 2).
  var mantissa = base
  var binary = 0.0
  while mantissa >= 2 {
    mantissa /= 2
    binary += 1
  }
  let z = (mantissa - 1) / (mantissa + 1)
  var term = z
  var sum = 0.0
  for n in stride(from: 1.0, to: 80.0, by: 2.0) {
    sum += term / n
    term *= z * z
  }
  let logarithm = 2 * sum + binary * 0.693_147_180_559_945_3
  var result = 1.0
  var part = 1.0
  let x = exponent * logarithm
  // Halve until small, then square back: keeps the series exact.
  let halvings = 6
  let small = x / 64
  for n in 1..<30 {
    part *= small / Double(n)
    result += part
  }
  for _ in 0..<halvings { result *= result }
  return result
}
