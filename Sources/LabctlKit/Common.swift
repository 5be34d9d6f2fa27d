import ArgumentParser
import Foundation
import StorageLab

/// `--json`, on every command.
struct OutputOptions: ParsableArguments {
  @Flag(help: "Print JSON for programs instead of text for people.")
  var json = false
}

/// How to open an engine.
struct OpenOptions: ParsableArguments {
  @Option(
    help: "What an acknowledged write survives: none, process, interval[:MS] or commit.")
  var durability: Durability = .process

  @Option(help: "Cache budget, such as 64MiB.")
  var cache = ByteSize(64 << 20)

  @OptionGroup var merges: MergeOptions

  func engineOptions(_ path: String, readOnly: Bool = false) -> EngineOptions {
    var options = EngineOptions(path: path)
    options.durability = durability
    options.cacheBytes = cache.bytes
    options.isReadOnly = readOnly
    options.createIfMissing = false
    options.mergeOperator = merges.mergeOperator?.mergeOperator
    return options
  }
}

extension Durability: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
  public var defaultValueDescription: String { description }
}

/// A number of bytes as people write it: `4096`, `64k`, `64KiB`, `1.5GiB`, `10MB`.
struct ByteSize: ExpressibleByArgument, CustomStringConvertible {
  let bytes: Int

  init(_ bytes: Int) { self.bytes = bytes }

  init?(argument: String) {
    let text = argument.lowercased()
    let digits = text.prefix { $0.isNumber || $0 == "." }
    guard let number = Double(digits), number >= 0 else { return nil }
    let factor: Double
    switch text.dropFirst(digits.count) {
    case "", "b": factor = 1
    case "k", "ki", "kib": factor = 1024
    case "m", "mi", "mib": factor = 1_048_576
    case "g", "gi", "gib": factor = 1_073_741_824
    case "kb": factor = 1e3
    case "mb": factor = 1e6
    case "gb": factor = 1e9
    default: return nil
    }
    guard number * factor < 1e18 else { return nil }
    bytes = Int(number * factor)
  }

  var description: String { ByteSize.text(bytes) }
  var defaultValueDescription: String { description }

  /// Three significant digits and a binary unit.
  static func text(_ bytes: Int) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    var value = Double(bytes)
    var unit = 0
    while abs(value) >= 1024 && unit < units.count - 1 {
      value /= 1024
      unit += 1
    }
    if unit == 0 { return "\(bytes) B" }
    let digits = value < 10 ? 2 : value < 100 ? 1 : 0
    let number = String(format: "%.\(digits)f", value)
    let short = number.contains(".") ? number.replacing(/\.?0+$/, with: "") : number
    return short + " " + units[unit]
  }
}

enum JSON {
  /// Prints a value on standard output, keys sorted so that outputs compare.
  static func print(_ value: some Encodable, pretty: Bool = true) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting =
      pretty
      ? [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
      : [.sortedKeys, .withoutEscapingSlashes]
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    Terminal.output(Array(try encoder.encode(value)) + [UInt8(ascii: "\n")])
  }
}

/// Bytes in JSON: a string when they are UTF-8, else `{"hex": "…"}`.
struct JSONBytes: Encodable {
  let bytes: [UInt8]

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  private enum Key: CodingKey { case hex }

  func encode(to encoder: any Encoder) throws {
    if let text = String(validating: bytes, as: UTF8.self) {
      var container = encoder.singleValueContainer()
      try container.encode(text)
    } else {
      var container = encoder.container(keyedBy: Key.self)
      try container.encode(Hex.encode(bytes), forKey: .hex)
    }
  }
}

extension TextTable {
  /// As a terminal shows it.
  var text: String { rendered { Terminal.styled($0, .bold) } }
}
