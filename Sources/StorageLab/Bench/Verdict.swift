import Foundation

/// What a workload's rounds say about the engines: which is faster, or that they do not say.
public struct Verdict: Sendable, Equatable {
  public static let neededRounds = Comparison.neededRounds

  public enum Outcome: Sendable, Equatable {
    /// There was nothing to compare with.
    case alone
    /// `winner` is faster than each of the others.
    case faster(winner: String, ratio: Double, than: String)
    /// The fastest may be no faster than `from`.
    case cannotTell(fastest: String, from: [String])
    /// Too few rounds; `ahead` had the higher median.
    case tooFewRounds(ahead: String, ratio: Double, than: String)
  }

  public let outcome: Outcome
  /// One sentence: who, by what ratio, and what the counters say about why.
  public let sentence: String

  public init(_ workload: RunBundle.WorkloadResult) {
    let contenders = workload.engines.map(Contender.init).sorted { $0.rate > $1.rate }
    guard let first = contenders.first, contenders.count > 1 else {
      outcome = .alone
      sentence =
        contenders.first.map { "\($0.name) ran alone: there is nothing to compare it with." }
        ?? "No engine ran."
      return
    }
    let others = Array(contenders.dropFirst())
    let measure = workload.isOpenLoop ? "as fast at its 99th percentile as" : "the rate of"
    let second = others[0]
    let ratio = Verdict.ratio(first.rate, second.rate)
    if first.rounds < Verdict.neededRounds {
      outcome = .tooFewRounds(ahead: first.name, ratio: ratio, than: second.name)
      let count = first.rounds == 1 ? "one round" : "\(first.rounds) rounds"
      sentence =
        "\(first.name) was ahead, \(Verdict.lead(first, others, measure)), in \(count), which "
        + "\(first.rounds == 1 ? "is" : "are") too few to judge by; "
        + "\(Verdict.reason(first, second))."
      return
    }
    let comparisons = others.map { other in
      Comparison(paired: first.rates, with: other.rates, noiseFloor: workload.noiseFloor)
    }
    let judged = Array(zip(others, comparisons))
    let close = judged.filter { $1.outcome != .faster }
    if !close.isEmpty {
      outcome = .cannotTell(fastest: first.name, from: close.map(\.0.name))
      let ratios = close.map { other, comparison in
        "\(comparison.text) \(measure) \(other.name)"
      }
      let smallest = close.map(\.1.resolution).max() ?? 0
      var text =
        "Cannot tell \(first.name) from \(Verdict.list(close.map(\.0.name))): it had "
        + "\(Verdict.list(ratios)), and these rounds could not have shown a difference below "
        + Verdict.share(smallest)
      let far = judged.filter { $1.outcome == .faster }
      if !far.isEmpty {
        text +=
          "; \(first.name) is ahead of "
          + Verdict.list(far.map { other, comparison in "\(other.name) (\(comparison.text))" })
          + ", and against \(far[0].0.name) \(Verdict.reason(first, far[0].0))"
      }
      sentence = text + "."
      return
    }
    outcome = .faster(winner: first.name, ratio: comparisons[0].ratio, than: second.name)
    let leads = judged.map { other, comparison in "\(comparison.text) \(measure) \(other.name)" }
    sentence =
      "\(first.name) won, \(Verdict.list(leads)): against \(second.name) "
      + "\(Verdict.reason(first, second))."
  }

  // MARK: The parts of the sentence

  /// An engine's medians over the rounds.
  private struct Contender {
    let name: String
    let rounds: Int
    let rates: [Double]
    let rate: Double
    let requests: Double
    /// Per request.
    let microseconds: Double
    let cpuMicroseconds: Double
    let fileCalls: Double
    let syncs: Double
    let cacheMisses: Double
    let bytesReadPerRequest: Double
    let bytesWrittenPerRequest: Double
    let writeAmplification: Double?
    /// Whether syncs and file I/O were counted.
    let hasIO: Bool

    init(_ result: RunBundle.EngineResult) {
      func middle(_ value: (BenchMeasurement) -> Double) -> Double {
        Statistics.median(result.rounds.map(value))
      }
      func perRequest(_ value: @escaping (BenchMeasurement) -> UInt64) -> Double {
        middle { Double(value($0)) / Double(max(1, $0.operations)) }
      }
      name = result.engine
      rounds = result.rounds.count
      rate = middle { $0.merit }
      rates = result.rounds.map(\.merit)
      requests = middle { Double($0.operations) }
      microseconds = middle { $0.seconds * 1e6 / Double(max(1, $0.operations)) }
      cpuMicroseconds = middle { $0.cpuMicroseconds }
      fileCalls = perRequest { $0.counters.io.reads &+ $0.counters.io.writes }
      syncs = perRequest { $0.counters.io.syncs }
      cacheMisses = perRequest { $0.cacheCountersWentBack ? 0 : $0.counters.cacheMisses }
      bytesReadPerRequest = perRequest { $0.counters.io.bytesRead }
      bytesWrittenPerRequest = perRequest { $0.counters.io.bytesWritten }
      hasIO = result.hasIO
      let ratios = result.rounds.compactMap(\.amplification.write)
      writeAmplification = ratios.isEmpty ? nil : Statistics.median(ratios)
    }

  }

  private static func lead(
    _ first: Contender, _ others: [Contender], _ measure: String
  ) -> String {
    list(others.map { "\(Quantity.times(ratio(first.rate, $0.rate))) \(measure) \($0.name)" })
  }

  /// What the counters of two engines show: where the first did less, and where it did more
  /// and was faster all the same. A counter is named when it differs by a quarter or more and,
  /// at what such a thing costs at least, could make up a twentieth of the difference in time.
  private static func reason(_ first: Contender, _ second: Contender) -> String {
    struct Counter {
      let verb: String
      let unit: String
      let mine: Double
      let theirs: Double
      /// Microseconds that one of them costs at least; nil where it is not paid by the request.
      let cost: Double?
      var isOfFiles = true
      let text: (Double) -> String

      func matters(_ difference: Double, _ microseconds: Double) -> Bool {
        difference * (cost ?? 1) >= 0.05 * (cost == nil ? 1 : microseconds)
      }
      func isLess(_ microseconds: Double) -> Bool {
        theirs > mine * 1.25 && matters(theirs - mine, microseconds)
      }
      func isMore(_ microseconds: Double) -> Bool {
        mine > theirs * 1.25 && matters(mine - theirs, microseconds)
      }
      var phrase: String { "\(verb) \(text(mine)) \(unit) (\(text(theirs)))" }
    }
    let difference = abs(second.microseconds - first.microseconds)
    // What one of the two does not count says nothing.
    let counted = first.hasIO && second.hasIO
    let counters = [
      Counter(
        verb: "made", unit: "syncs a request", mine: first.syncs, theirs: second.syncs,
        cost: 100, text: small),
      Counter(
        verb: "used", unit: "µs of processor time a request", mine: first.cpuMicroseconds,
        theirs: second.cpuMicroseconds, cost: 1, isOfFiles: false, text: small),
      Counter(
        verb: "made", unit: "file reads and writes a request", mine: first.fileCalls,
        theirs: second.fileCalls, cost: 0.5, text: small),
      Counter(
        verb: "missed its cache", unit: "times a request", mine: first.cacheMisses,
        theirs: second.cacheMisses, cost: 0.5, text: small),
      Counter(
        verb: "read", unit: "B from files a request", mine: first.bytesReadPerRequest,
        theirs: second.bytesReadPerRequest, cost: 0.0001, text: count),
      Counter(
        verb: "wrote", unit: "B to files per byte put", mine: first.writeAmplification ?? 0,
        theirs: second.writeAmplification ?? 0, cost: nil, text: small),
    ]
    .filter { counted || !$0.isOfFiles }
    let less = counters.filter { $0.isLess(difference) }.prefix(4).map(\.phrase)
    let more = counters.filter { $0.isMore(difference) }.prefix(2).map(\.phrase)
    if less.isEmpty {
      return more.isEmpty
        ? "no counter differs by a quarter or more"
        : "no counter is lower by a quarter or more; it even \(list(more))"
    }
    return "it \(list(less))" + (more.isEmpty ? "" : ", though it \(list(more))")
  }

  static func ratio(_ first: Double, _ second: Double) -> Double {
    second > 0 ? first / second : .infinity
  }

  private static func share(_ value: Double) -> String {
    value.isFinite && value < 10
      ? String(format: "%.*f %%", value < 0.1 ? 1 : 0, value * 100) : "any size"
  }

  private static func small(_ value: Double) -> String {
    if value == 0 { return "0" }
    if value < 0.001 { return "under 0.001" }
    return String(format: value < 0.1 ? "%.3f" : value < 10 ? "%.2f" : "%.0f", value)
  }

  static func count(_ value: Double) -> String { Quantity.grouped(value) }

  private static func list(_ parts: [String]) -> String {
    guard let last = parts.last else { return "" }
    return parts.count == 1
      ? last : parts.dropLast().joined(separator: ", ") + " and " + last
  }
}
