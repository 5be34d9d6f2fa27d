import Foundation
import StorageLab

/// What a figure counts: powers of time and of bytes, so that a time is never compared with a size.
struct Dimension: Equatable {
  var time = 0
  var bytes = 0

  static let none = Dimension()
  static let time = Dimension(time: 1)
  static let bytes = Dimension(bytes: 1)
  static let rate = Dimension(time: -1)
  static let bandwidth = Dimension(time: -1, bytes: 1)

  var name: String {
    switch self {
    case .none: "a plain number"
    case .time: "a time"
    case .bytes: "a size"
    case .rate: "a rate"
    case .bandwidth: "bytes per second"
    default: "seconds^\(time) bytes^\(bytes)"
    }
  }
}

/// A number with what it may be: lowest and highest of the rounds. An exact one has no spread.
/// Times are in seconds, sizes in bytes.
struct Figure: Equatable {
  var value: Double
  var low: Double
  var high: Double
  var dimension: Dimension

  init(_ value: Double, low: Double? = nil, high: Double? = nil, _ dimension: Dimension = .none) {
    self.value = value
    self.low = min(low ?? value, value)
    self.high = max(high ?? value, value)
    self.dimension = dimension
  }

  var isExact: Bool { low == high }

  /// The factor to seconds and bytes, and the dimension, of a unit's name.
  static func unit(_ name: String) -> (factor: Double, dimension: Dimension)? { units[name] }

  private static let units: [String: (factor: Double, dimension: Dimension)] = [
    "ns": (1e-9, .time), "us": (1e-6, .time), "µs": (1e-6, .time), "ms": (1e-3, .time),
    "s": (1, .time), "min": (60, .time), "h": (3600, .time),
    "B": (1, .bytes), "kB": (1e3, .bytes), "MB": (1e6, .bytes), "GB": (1e9, .bytes),
    "TB": (1e12, .bytes), "KiB": (1024, .bytes), "MiB": (1_048_576, .bytes),
    "GiB": (1_073_741_824, .bytes), "TiB": (1_099_511_627_776, .bytes),
    "1/s": (1, .rate), "/s": (1, .rate), "MB/s": (1e6, .bandwidth), "%": (0.01, .none),
    "": (1, .none),
  ]

  // MARK: Arithmetic: the bounds are those of every combination of bounds

  func added(_ other: Figure) -> Figure {
    Figure(value + other.value, low: low + other.low, high: high + other.high, dimension)
  }

  var negated: Figure { Figure(-value, low: -high, high: -low, dimension) }

  func multiplied(_ other: Figure) -> Figure {
    combined(
      other,
      Dimension(
        time: dimension.time + other.dimension.time, bytes: dimension.bytes + other.dimension.bytes)
    ) { $0 * $1 }
  }

  /// Nil when the divisor is zero.
  func divided(_ other: Figure) -> Figure? {
    guard other.value != 0 else { return nil }
    let dimension = Dimension(
      time: dimension.time - other.dimension.time, bytes: dimension.bytes - other.dimension.bytes)
    if other.low <= 0 && other.high >= 0 {
      return Figure(value / other.value, low: -.infinity, high: .infinity, dimension)
    }
    return combined(other, dimension) { $0 / $1 }
  }

  private func combined(
    _ other: Figure, _ dimension: Dimension, _ operation: (Double, Double) -> Double
  ) -> Figure {
    let corners = [
      operation(low, other.low), operation(low, other.high), operation(high, other.low),
      operation(high, other.high),
    ].filter { !$0.isNaN }
    let middle = operation(value, other.value)
    return Figure(middle, low: corners.min() ?? middle, high: corners.max() ?? middle, dimension)
  }

  func mapped(_ dimension: Dimension, _ function: (Double) -> Double) -> Figure {
    let bounds = [function(low), function(high)].filter { !$0.isNaN }
    return Figure(function(value), low: bounds.min(), high: bounds.max(), dimension)
  }
}

// MARK: - Text

/// How a figure is written in prose, tables and verdicts.
enum FigureFormat: Equatable {
  /// Three significant digits with the unit that fits.
  case plain
  case percent
  case integer
  case decimals(Int)
  /// With the spread behind it.
  case range
  case unit(String)

  init?(_ words: [String]) {
    switch words {
    case ["percent"]: self = .percent
    case ["integer"]: self = .integer
    case ["range"]: self = .range
    default:
      guard words.count == 1, let word = words.first else { return nil }
      if let places = Int(word), (0...9).contains(places) {
        self = .decimals(places)
      } else if Figure.unit(word) != nil, word != "%", word != "" {
        self = .unit(word)
      } else {
        return nil
      }
    }
  }
}

extension Figure {
  func text(_ format: FigureFormat = .plain) -> String {
    switch format {
    case .plain: return number(value)
    case .percent: return Figure.digits(value * 100) + " %"
    case .integer: return StorageLab.Quantity.grouped(value)
    case .decimals(let places): return String(format: "%.\(places)f", value)
    case .range:
      return isExact ? number(value) : "\(number(value)) (\(number(low)) … \(number(high)))"
    case .unit(let name):
      guard let unit = Figure.unit(name) else { return number(value) }
      return Figure.digits(value / unit.factor) + " " + name
    }
  }

  private func number(_ value: Double) -> String {
    guard value.isFinite else { return Figure.digits(value) }
    switch dimension {
    case .time: return Figure.duration(value)
    case .bytes: return Figure.bytes(value)
    case .rate: return Figure.digits(value) + "/s"
    case .bandwidth: return Figure.digits(value / 1e6) + " MB/s"
    default: return Figure.digits(value)
    }
  }

  private static func duration(_ seconds: Double) -> String {
    switch abs(seconds) {
    case 0: "0 s"
    case ..<0.999_5e-6: digits(seconds * 1e9) + " ns"
    case ..<0.999_5e-3: digits(seconds * 1e6) + " µs"
    case ..<0.999_5: digits(seconds * 1e3) + " ms"
    case ..<600: digits(seconds) + " s"
    default: digits(seconds / 60) + " min"
    }
  }

  private static func bytes(_ bytes: Double) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"]
    var value = bytes
    var unit = 0
    while abs(value) >= 1023.5 && unit < units.count - 1 {
      value /= 1024
      unit += 1
    }
    return digits(value) + " " + units[unit]
  }

  /// Three significant digits; whole numbers below a million in full.
  static func digits(_ value: Double) -> String {
    guard value.isFinite else { return value.isNaN ? "no number" : value < 0 ? "-∞" : "∞" }
    if value == 0 { return "0" }
    let size = abs(value)
    if size >= 1e15 { return String(format: "%.3g", value) }
    if size >= 1000 {
      if value == value.rounded() && size < 1e6 { return StorageLab.Quantity.grouped(value) }
      let unit = pow(10, floor(log10(size)) - 2)
      return StorageLab.Quantity.grouped((value / unit).rounded() * unit)
    }
    if value == value.rounded() { return String(format: "%.0f", value) }
    if size < 1e-4 { return String(format: "%.2e", value) }
    let places = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 2 - Int(floor(log10(size)))
    var text = String(format: "%.\(places)f", value)
    if text.contains(".") {
      while text.hasSuffix("0") { text.removeLast() }
      if text.hasSuffix(".") { text.removeLast() }
    }
    return text
  }
}

/// True, false, or what the spread of the figures leaves open (Kleene's logic).
enum Truth: String, Equatable, Encodable {
  case yes
  case no
  case unknown

  init(_ value: Bool) { self = value ? .yes : .no }

  func and(_ other: Truth) -> Truth {
    if self == .no || other == .no { return .no }
    return self == .yes && other == .yes ? .yes : .unknown
  }

  func or(_ other: Truth) -> Truth {
    if self == .yes || other == .yes { return .yes }
    return self == .no && other == .no ? .no : .unknown
  }

  var negated: Truth { self == .yes ? .no : self == .no ? .yes : .unknown }

  /// Whether one figure is below another: certain only when the spreads do not meet.
  static func isBelow(_ left: Figure, _ right: Figure, orEqual: Bool) -> Truth {
    if orEqual ? left.high <= right.low : left.high < right.low { return .yes }
    if orEqual ? left.low > right.high : left.low >= right.high { return .no }
    return .unknown
  }

  /// Whether two figures are within a tolerance of each other, for all that they may be.
  static func isNear(_ left: Figure, _ right: Figure, within tolerance: Double) -> Truth {
    let difference = left.added(right.negated)
    // What the last digits of a sum do decides nothing.
    let tolerance = tolerance + 1e-12 * max(abs(left.value), abs(right.value))
    if difference.low >= -tolerance && difference.high <= tolerance { return .yes }
    if difference.low > tolerance || difference.high < -tolerance { return .no }
    return .unknown
  }
}
