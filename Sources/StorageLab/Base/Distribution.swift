import Glibc

/// How a workload spreads its requests over the records. YCSB's request distributions
/// (Cooper et al., "Benchmarking Cloud Serving Systems with YCSB", SoCC 2010).
public enum Distribution: String, Sendable, CaseIterable, Codable {
  /// Every record is as likely as any other.
  case uniform
  /// A few records are hot, scattered over the key space; exponent 0.99 unless it is set.
  case zipfian
  /// As zipfian, the newest records being the hot ones.
  case latest
  /// One record after the other, wrapping around.
  case sequential
  /// 80 % of the requests go to 20 % of the records.
  case hotspot
}

/// Draws record numbers in `0 ..< count` after a `Distribution`.
///
/// The same seed, count and calls give the same numbers. A draw costs O(1) and allocates
/// nothing; making one and changing `count` cost O(1) too.
public struct RecordChooser: Sendable {
  public let distribution: Distribution
  private var zipf: Zipfian
  private var cursor: Int
  /// Records to choose from; may grow while a workload inserts. At least 1.
  public private(set) var count: Int

  static let hotShare = 0.2
  static let hotRequests = 0.8

  /// `start` is the first number of a sequential run, `exponent` that of the zipfian ones.
  /// REQUIRES: `count > 0`, `Zipfian.exponents.contains(exponent)`.
  public init(
    _ distribution: Distribution, count: Int, start: Int = 0,
    exponent: Double = Zipfian.defaultExponent
  ) {
    self.distribution = distribution
    self.count = max(1, count)
    cursor = start % max(1, count)
    zipf = Zipfian(count: max(1, count), exponent: exponent)
  }

  /// Takes new records into the choice. The scattered zipfian keeps to the records it began
  /// with: its hot records would otherwise move with every insert.
  public mutating func grow(to newCount: Int) {
    guard newCount > count, distribution != .zipfian else { return }
    count = newCount
    if distribution == .latest { zipf = Zipfian(count: newCount, exponent: zipf.exponent) }
  }

  public mutating func next(_ random: inout SeededRandom) -> Int {
    switch distribution {
    case .uniform:
      return random.below(count)
    case .zipfian:
      // YCSB scatters the ranks by a hash, so that hot records are not neighbours. Ranks that
      // fall on one record add up, and about a third of the records is never asked for.
      let rank = zipf.next(&random)
      return RecordChooser.scatter(rank, count)
    case .latest:
      return count - 1 - zipf.next(&random)
    case .sequential:
      let chosen = cursor
      cursor = cursor + 1 == count ? 0 : cursor + 1
      return chosen
    case .hotspot:
      let hot = max(1, Int(Double(count) * RecordChooser.hotShare))
      if hot == count || random.chance(RecordChooser.hotRequests) { return random.below(hot) }
      return hot + random.below(count - hot)
    }
  }

  /// The record that a zipfian rank falls on.
  static func scatter(_ rank: Int, _ count: Int) -> Int {
    Int(
      truncatingIfNeeded: Hash64.hash(UInt64(rank)).multipliedFullWidth(by: UInt64(count)).high)
  }
}

/// Ranks 0, 1, 2 … with probability proportional to 1 / (rank + 1)^exponent, by the method of
/// Gray et al., "Quickly Generating Billion-Record Synthetic Databases", SIGMOD 1994,
/// which YCSB uses. Exact for the first two ranks, a close approximation for the rest.
public struct Zipfian: Sendable {
  /// YCSB's.
  public static let defaultExponent = 0.99
  /// What the method works for: towards 0 every rank is as likely, from 1 on it fails.
  public static let exponents = 0.01...0.999

  public let count: Int
  public let exponent: Double
  private let alpha: Double
  private let zetaCount: Double
  private let eta: Double

  /// REQUIRES: `count > 0`, `exponents.contains(exponent)`.
  public init(count: Int, exponent: Double = Zipfian.defaultExponent) {
    self.count = count
    self.exponent = exponent
    alpha = 1 / (1 - exponent)
    zetaCount = Zipfian.zeta(count, exponent)
    eta =
      (1 - pow(2 / Double(count), 1 - exponent)) / (1 - Zipfian.zeta(2, exponent) / zetaCount)
  }

  public func next(_ random: inout SeededRandom) -> Int {
    let uniform = random.unit()
    let scaled = uniform * zetaCount
    if scaled < 1 || count == 1 { return 0 }
    if scaled < 1 + pow(0.5, exponent) || count == 2 { return 1 }
    let rank = Int(Double(count) * pow(eta * uniform - eta + 1, alpha))
    return min(max(rank, 0), count - 1)
  }

  /// The sum of 1 / i^exponent for i = 1 … count. The head is summed, the tail by the
  /// Euler–Maclaurin formula; the relative error is below 1e-12.
  static func zeta(_ count: Int, _ exponent: Double = defaultExponent) -> Double {
    let head = min(count, 1_000)
    var sum = 0.0
    for index in stride(from: head, through: 1, by: -1) { sum += pow(Double(index), -exponent) }
    if count == head { return sum }
    let (low, high) = (Double(head), Double(count))
    let integral = (pow(high, 1 - exponent) - pow(low, 1 - exponent)) / (1 - exponent)
    let ends = (pow(high, -exponent) - pow(low, -exponent)) / 2
    let slopes = exponent / 12 * (pow(low, -exponent - 1) - pow(high, -exponent - 1))
    return sum + integral + ends + slopes
  }
}
