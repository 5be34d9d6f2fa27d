import Glibc

/// Whether one engine is faster than another, from the rates of a few rounds.
///
/// In one run the engines take turns, so each round gives one ratio of the two, from which what the
/// machine did to both alike has gone. Of those ratios' logarithms the interval is the wider of two:
/// the bootstrap's of their median, and Student's of their mean. The bootstrap alone would find a
/// difference between an engine and itself in one of four comparisons of three rounds; Student's
/// interval pays for few rounds with its width. Both have a confidence of 99 %, so that of twenty
/// comparisons of an engine with itself hardly ever two are wrong.
public struct Comparison: Sendable, Codable, Equatable {
  public static let confidence = 0.99
  /// Fewer rounds have no spread to judge by.
  public static let neededRounds = 3

  public enum Outcome: String, Sendable, Codable {
    case faster, slower, cannotTell, tooFewRounds

    public var words: String {
      switch self {
      case .faster: "faster"
      case .slower: "slower"
      case .cannotTell: "cannot tell"
      case .tooFewRounds: "too few rounds"
      }
    }
  }

  public let outcome: Outcome
  /// Median rate of the subject by that of the baseline, paired where they can be; 0 without any.
  public let ratio: Double
  /// Where the ratio lies with `confidence`; equal to `ratio` with too few rounds.
  public let low: Double
  public let high: Double
  /// The smallest difference that these rounds could have told from none, as a share: at 0.08, a
  /// ratio between 0.93 and 1.08 would have been "cannot tell".
  public let resolution: Double

  /// Of two engines that took turns: `rates` of the same round belong together.
  /// `noiseFloor` is the difference, as a share, at which an engine was seen to differ from itself.
  public init(paired subject: [Double], with baseline: [Double], noiseFloor: Double = 0) {
    let pairs = zip(subject, baseline).map { ($0, $1) }
    let logs = pairs.compactMap { $0 > 0 && $1 > 0 ? log($0 / $1) : nil }
    guard logs.count == pairs.count, !logs.isEmpty else {
      self.init(.cannotTell, 0, 0, 0)
      return
    }
    let center = Statistics.median(logs)
    guard logs.count >= Comparison.neededRounds else {
      self.init(.tooFewRounds, center, center, center)
      return
    }
    let bootstrap = Statistics.bootstrapMedian(logs, confidence: Comparison.confidence)
    let mean = Statistics.mean(logs)
    let error = (Statistics.variance(logs) / Double(logs.count)).squareRoot()
    let half = error * Statistics.student(Comparison.confidence, degrees: logs.count - 1)
    self.init(
      center, min(bootstrap.lowerBound, mean - half), max(bootstrap.upperBound, mean + half),
      noiseFloor)
  }

  /// Of two runs: their rounds have nothing in common (Welch, "The generalization of 'Student's'
  /// problem", 1947).
  public init(_ subject: [Double], against baseline: [Double], noiseFloor: Double = 0) {
    let logs = [subject, baseline].map { rates in rates.compactMap { $0 > 0 ? log($0) : nil } }
    guard logs[0].count == subject.count, logs[1].count == baseline.count, !subject.isEmpty,
      !baseline.isEmpty
    else {
      self.init(.cannotTell, 0, 0, 0)
      return
    }
    let center = Statistics.median(logs[0]) - Statistics.median(logs[1])
    guard min(subject.count, baseline.count) >= Comparison.neededRounds else {
      self.init(.tooFewRounds, center, center, center)
      return
    }
    let errors = logs.map { Statistics.variance($0) / Double($0.count) }
    let sum = errors[0] + errors[1]
    let parts =
      errors[0] * errors[0] / Double(subject.count - 1)
      + errors[1] * errors[1] / Double(baseline.count - 1)
    let degrees = parts > 0 ? max(1, Int(sum * sum / parts)) : 1
    let half = sum.squareRoot() * Statistics.student(Comparison.confidence, degrees: degrees)
    let mean = Statistics.mean(logs[0]) - Statistics.mean(logs[1])
    let bootstraps = logs.map {
      Statistics.bootstrapMedian($0, confidence: Comparison.confidence)
    }
    self.init(
      center, min(bootstraps[0].lowerBound - bootstraps[1].upperBound, mean - half),
      max(bootstraps[0].upperBound - bootstraps[1].lowerBound, mean + half), noiseFloor)
  }

  /// From logarithms of the ratio and of its bounds.
  private init(_ center: Double, _ low: Double, _ high: Double, _ noiseFloor: Double) {
    let floor = log(1 + max(0, noiseFloor))
    let outcome: Outcome =
      low > 0 && center > floor ? .faster : high < 0 && center < -floor ? .slower : .cannotTell
    let resolution = max(center - low, high - center, floor)
    self.outcome = outcome
    ratio = exp(center)
    self.low = exp(low)
    self.high = exp(high)
    self.resolution = exp(resolution) - 1
  }

  private init(_ outcome: Outcome, _ center: Double, _ low: Double, _ high: Double) {
    self.outcome = outcome
    // No logarithm, no ratio.
    ratio = outcome == .cannotTell ? 0 : exp(center)
    self.low = ratio
    self.high = ratio
    resolution = .infinity
  }

  /// `2.13× (1.98–2.30)`.
  public var text: String {
    outcome == .tooFewRounds
      ? Quantity.times(ratio) : "\(Quantity.times(ratio)) (\(bound(low))–\(bound(high)))"
  }

  private func bound(_ value: Double) -> String {
    Quantity.ratio(min(value, 9_999))
  }
}

extension BenchMeasurement {
  /// What is compared; more is better. The rate of a closed loop; of an open loop, whose rate is
  /// given, requests a second at the time that one in a hundred exceeds.
  public var merit: Double {
    if openLoop == nil { return rate }
    return latency.p99 > 0 ? 1e9 / Double(latency.p99) : 0
  }
}

extension RunBundle.WorkloadResult {
  /// Whether requests came at a given rate, so that latencies are compared.
  public var isOpenLoop: Bool { engines.contains { $0.rounds.contains { $0.openLoop != nil } } }

  /// The most by which an engine differed from its twin (`lsm` and `lsm#2`), as a share; 0 when no
  /// engine had one.
  public var noiseFloor: Double {
    var floor = 0.0
    for twin in engines {
      guard let original = engines.first(where: { $0.engine == EngineTwin.original(twin.engine) }),
        original.engine != twin.engine
      else { continue }
      let logs = zip(twin.rounds, original.rounds).compactMap {
        $0.merit > 0 && $1.merit > 0 ? log($0.merit / $1.merit) : nil
      }
      floor = max(floor, exp(abs(Statistics.median(logs))) - 1)
    }
    return floor
  }

  /// `subject` against `baseline`, both by name; nil when one of them did not run.
  public func compare(_ subject: String, with baseline: String) -> Comparison? {
    guard let subject = engines.first(where: { $0.engine == subject }),
      let baseline = engines.first(where: { $0.engine == baseline })
    else { return nil }
    let areTwins = EngineTwin.original(subject.engine) == EngineTwin.original(baseline.engine)
    return Comparison(
      paired: subject.rounds.map(\.merit), with: baseline.rounds.map(\.merit),
      noiseFloor: areTwins ? 0 : noiseFloor)
  }
}
