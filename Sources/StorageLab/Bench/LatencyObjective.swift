import Foundation

/// A limit on a latency, such as `p99<2ms`: what a rate must keep to count as sustained.
public struct LatencyObjective: Sendable, Equatable {
  public enum Measure: Sendable, Equatable {
    case mean
    /// Above 0, below 100.
    case percentile(Double)
    case maximum
  }

  public let measure: Measure
  /// Nanoseconds that it must stay below.
  public let limit: UInt64

  public init(_ measure: Measure, below limit: UInt64) {
    self.measure = measure
    self.limit = limit
  }

  /// Reads `p99<2ms`, `p99.9 < 500us`, `max<1s`, `mean<80µs`; nil for anything else.
  public init?(_ text: String) {
    let parts = text.lowercased().filter { $0 != " " }.split(
      separator: "<", omittingEmptySubsequences: false)
    guard parts.count == 2 else { return nil }
    switch parts[0] {
    case "mean": measure = .mean
    case "max": measure = .maximum
    default:
      guard parts[0].hasPrefix("p"), let percentile = Double(parts[0].dropFirst()),
        percentile > 0, percentile < 100
      else { return nil }
      measure = .percentile(percentile)
    }
    let digits = parts[1].prefix { $0.isNumber || $0 == "." }
    let factors: [Substring: Double] = ["ns": 1, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9]
    guard let number = Double(digits), let factor = factors[parts[1].dropFirst(digits.count)],
      number * factor >= 1, number * factor <= Double(LoopResult.longestLatency)
    else { return nil }
    limit = UInt64(number * factor)
  }

  /// Nanoseconds.
  func value(_ histogram: LatencyHistogram) -> UInt64 {
    switch measure {
    case .mean: UInt64(histogram.mean)
    case .percentile(let percentile): histogram.valueAtPercentile(percentile)
    case .maximum: histogram.maxRecorded
    }
  }

  /// Requests that it takes to know the value: ten beyond a percentile.
  var neededSamples: Int {
    switch measure {
    case .mean, .maximum: 100
    case .percentile(let percentile): Int((1_000 / (100 - percentile)).rounded())
    }
  }
}

extension LatencyObjective: CustomStringConvertible, Codable {
  public var description: String {
    let name =
      switch measure {
      case .mean: "mean"
      case .percentile(let percentile): "p" + LatencyObjective.number(percentile)
      case .maximum: "max"
      }
    let units = [(1e9, "s"), (1e6, "ms"), (1e3, "us"), (1, "ns")]
    let (factor, unit) = units.first { Double(limit) >= $0.0 } ?? (1, "ns")
    return "\(name)<\(LatencyObjective.number(Double(limit) / factor))\(unit)"
  }

  private static func number(_ value: Double) -> String {
    value == value.rounded() ? String(Int(value)) : String(value)
  }

  public init(from decoder: any Decoder) throws {
    let text = try decoder.singleValueContainer().decode(String.self)
    guard let objective = LatencyObjective(text) else {
      throw DecodingError.dataCorrupted(
        .init(codingPath: decoder.codingPath, debugDescription: "no objective: \(text)"))
    }
    self = objective
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(description)
  }
}
