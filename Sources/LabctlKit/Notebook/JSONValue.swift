import Foundation

/// JSON as a notebook's expressions walk through it.
enum JSONValue: Decodable, Equatable {
  case null
  case boolean(Bool)
  case number(Double)
  case text(String)
  case list([JSONValue])
  case object([String: JSONValue])

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if container.decodeNil() {
      self = .null
    } else if let value = try? container.decode(Double.self) {
      self = .number(value)
    } else if let value = try? container.decode(String.self) {
      self = .text(value)
    } else if let value = try? container.decode(Bool.self) {
      self = .boolean(value)
    } else if let value = try? container.decode([JSONValue].self) {
      self = .list(value)
    } else {
      self = .object(try container.decode([String: JSONValue].self))
    }
  }

  /// Nil when the bytes are no JSON.
  init?(_ bytes: [UInt8]) {
    guard let value = try? JSONDecoder().decode(JSONValue.self, from: Data(bytes)) else {
      return nil
    }
    self = value
  }

  subscript(_ member: String) -> JSONValue? {
    if case .object(let members) = self { return members[member] }
    return nil
  }

  var string: String? {
    if case .text(let text) = self { return text }
    return nil
  }

  var double: Double? {
    if case .number(let number) = self { return number }
    return nil
  }

  /// `{"median": …, "lowest": …, "highest": …, "unit": …}`: a measurement with its spread, or, where
  /// there are `low` and `high`, with these bounds.
  var measurement: Figure? {
    guard let median = self["median"]?.double else { return nil }
    let (factor, dimension) = Figure.unit(self["unit"]?.string ?? "") ?? (1, .none)
    return Figure(
      median * factor, low: (self["low"] ?? self["lowest"])?.double.map { $0 * factor },
      high: (self["high"] ?? self["highest"])?.double.map { $0 * factor }, dimension)
  }

  /// A number gets its dimension from its member's name: `diskBytes`, `settleSeconds`.
  static func figure(_ number: Double, member: String) -> Figure {
    if member.hasSuffix("Bytes") || member == "bytes" { return Figure(number, .bytes) }
    if member.hasSuffix("Seconds") || member == "seconds" { return Figure(number, .time) }
    if member.hasSuffix("Nanoseconds") { return Figure(number * 1e-9, .time) }
    if member.hasSuffix("PerSecond") { return Figure(number, .rate) }
    return Figure(number)
  }

  /// Of a number or a measurement.
  func figure(member: String) -> Figure? {
    if case .number(let number) = self { return JSONValue.figure(number, member: member) }
    return measurement
  }
}
