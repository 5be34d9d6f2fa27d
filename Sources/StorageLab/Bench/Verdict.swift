import Foundation

/// What a workload's rounds say about the engines: which is faster, or that they do not say.
public struct Verdict: Sendable, Equatable {
  /// Fewer rounds have no spread to judge by.
  public static let neededRounds = 3

  public enum Outcome: Sendable, Equatable {
    /// There was nothing to compare with.
    case alone
    /// Every round of `winner` was faster than every round of every other engine.
    case faster(winner: String, ratio: Double, than: String)
    /// The ranges of the fastest and of `others` overlap.
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
    let second = others[0]
    let ratio = Verdict.ratio(first.rate, second.rate)
    if first.rounds < Verdict.neededRounds {
      outcome = .tooFewRounds(ahead: first.name, ratio: ratio, than: second.name)
      let count = first.rounds == 1 ? "one round" : "\(first.rounds) rounds"
      sentence =
        "\(first.name) was ahead, \(Verdict.lead(first, others)), in \(count), which "
        + "\(first.rounds == 1 ? "is" : "are") too few to judge by; "
        + "\(Verdict.reason(first, second))."
      return
    }
    let close = others.filter { $0.highest >= first.lowest }
    if !close.isEmpty {
      outcome = .cannotTell(fastest: first.name, from: close.map(\.name))
      let far = others.filter { $0.highest < first.lowest }
      var text =
        "Cannot tell \(first.name) from \(Verdict.list(close.map(\.name))): their rounds "
        + "overlap (\(([first] + close).map(\.range).joined(separator: ", ")))"
      if !far.isEmpty {
        text +=
          "; \(first.name) is ahead of "
          + Verdict.list(
            far.map { "\($0.name) (\(Verdict.times(Verdict.ratio(first.rate, $0.rate))))" })
        text += ", and against \(far[0].name) \(Verdict.reason(first, far[0]))"
      }
      sentence = text + "."
      return
    }
    outcome = .faster(winner: first.name, ratio: ratio, than: second.name)
    sentence =
      "\(first.name) won, \(Verdict.lead(first, others)): against \(second.name) "
      + "\(Verdict.reason(first, second))."
  }

  // MARK: The parts of the sentence

  /// An engine's medians over the rounds.
  private struct Contender {
    let name: String
    let rounds: Int
    let rate: Double
    let lowest: Double
    let highest: Double
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
      rate = middle { $0.rate }
      lowest = result.rounds.map(\.rate).min() ?? 0
      highest = result.rounds.map(\.rate).max() ?? 0
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

    var range: String { "\(name) \(Verdict.count(lowest))–\(Verdict.count(highest))/s" }
  }

  private static func lead(_ first: Contender, _ others: [Contender]) -> String {
    list(others.map { "\(times(ratio(first.rate, $0.rate))) the rate of \($0.name)" })
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

  private static func times(_ ratio: Double) -> String {
    ratio.isFinite ? String(format: ratio < 10 ? "%.2f" : "%.1f", ratio) + "×" : "∞×"
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

/// Statistics of a handful of rounds.
public enum Statistics {
  /// 0 for none.
  public static func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    if sorted.isEmpty { return 0 }
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
  }

  /// Median absolute deviation from the median.
  public static func deviation(_ values: [Double]) -> Double {
    let center = median(values)
    return median(values.map { abs($0 - center) })
  }
}

/// Numbers as text, the same in every report.
public enum Quantity {
  /// A whole number with commas: `1,234,567`.
  public static func grouped(_ value: Double) -> String {
    guard value.isFinite, abs(value) < 1e18 else { return "∞" }
    let digits = String(Int(value.rounded()).magnitude)
    var text = ""
    for (index, digit) in digits.enumerated() {
      if index > 0 && (digits.count - index) % 3 == 0 { text += "," }
      text.append(digit)
    }
    return value < 0 && text != "0" ? "-" + text : text
  }

  /// Three significant digits and a binary unit: `1.5 MiB`.
  public static func bytes(_ value: Double) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"]
    var scaled = value
    var unit = 0
    while abs(scaled) >= 1024 && unit < units.count - 1 {
      scaled /= 1024
      unit += 1
    }
    let digits = unit == 0 || abs(scaled) >= 100 ? 0 : abs(scaled) >= 10 ? 1 : 2
    return String(format: "%.\(digits)f ", scaled) + units[unit]
  }

  /// Nanoseconds as microseconds.
  public static func microseconds(_ nanoseconds: Double) -> String {
    let value = nanoseconds / 1e3
    return value >= 1_000
      ? grouped(value)
      : String(format: value >= 100 ? "%.0f" : value >= 10 ? "%.1f" : "%.2f", value)
  }

  public static func ratio(_ value: Double?) -> String {
    guard let value else { return "–" }
    if value == 0 { return "0" }
    return String(format: value >= 100 ? "%.0f" : value >= 10 ? "%.1f" : "%.2f", value)
  }

  public static func percent(_ value: Double?) -> String {
    value.map { String(format: "%.1f", $0 * 100) } ?? "–"
  }

  public static func seconds(_ value: Double) -> String {
    value >= 100 ? String(format: "%.0f s", value) : String(format: "%.2f s", value)
  }
}
