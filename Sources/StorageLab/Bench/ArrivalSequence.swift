import Glibc

/// When requests of an open loop are meant to start.
public enum ArrivalPattern: String, Sendable, Codable, CaseIterable {
  /// Independent of each other, as those of many users are: exponential gaps.
  case poisson
  /// Equal gaps.
  case constant
}

/// Requests at a rate, whether or not those before were answered.
public struct OfferedLoad: Sendable, Codable, Equatable {
  /// Requests a second, all threads together.
  public var rate: Double
  public var arrivals: ArrivalPattern

  public init(rate: Double, arrivals: ArrivalPattern = .poisson) {
    self.rate = rate
    self.arrivals = arrivals
  }

  /// For people: `50,000 requests/s (poisson)`.
  public var text: String {
    let number = rate < 10 ? Quantity.ratio(rate) : Quantity.grouped(rate)
    return "\(number) requests/s (\(arrivals.rawValue))"
  }
}

/// The intended starts of a workload's requests, in nanoseconds since its begin, one after the
/// other. The same load, seed and name give the same sequence.
struct ArrivalSequence: Sendable {
  private let pattern: ArrivalPattern
  /// Nanoseconds between two arrivals, on average.
  private let interval: Double
  private var random: SeededRandom
  private var made = 0.0
  private var last = 0.0

  init(_ load: OfferedLoad, workload: String, seed: UInt64) {
    pattern = load.arrivals
    interval = 1e9 / load.rate
    let name = Array(workload.utf8).withSlice { Hash64.hash($0) }
    random = SeededRandom(seed: seed).split(name).split(ArrivalSequence.stream)
  }

  /// Apart from those of the threads' requests.
  private static let stream: UInt64 = 1 << 33

  mutating func next() -> UInt64 {
    switch pattern {
    case .constant:
      // From the number, not by adding up: no drift.
      last = made * interval
      made += 1
    case .poisson:
      last -= log(1 - random.unit()) * interval
    }
    return UInt64(last)
  }

  /// A digest of the first `count` arrivals, so that a bundle says which they were.
  consuming func digest(_ count: Int) -> UInt64 {
    var digest: UInt64 = 0
    for _ in 0..<count { digest = Hash64.hash(digest ^ next()) }
    return digest
  }
}

/// One sequence of arrivals for all threads: whoever is free takes the next, so that a request
/// waits only while all are busy.
final class ArrivalQueue: @unchecked Sendable {
  struct Arrival {
    let number: Int
    /// Nanoseconds since the begin.
    let due: UInt64
  }

  let count: Int
  private let lock = WaitableLock()
  private var sequence: ArrivalSequence
  private var taken = 0

  init(_ sequence: ArrivalSequence, count: Int) {
    self.sequence = sequence
    self.count = count
  }

  /// Nil when all were taken.
  func next() -> Arrival? {
    lock.withLock {
      if taken == count { return nil }
      defer { taken += 1 }
      return Arrival(number: taken, due: sequence.next())
    }
  }
}
