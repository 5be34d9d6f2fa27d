import StorageLab

/// A measurement over rounds, as every experiment's JSON has it: median, lowest, highest, unit.
struct Measured: Encodable {
  let median: Double
  let lowest: Double
  let highest: Double
  let unit: String

  /// REQUIRES: `values` is not empty.
  init(_ values: [Double], unit: String = "") {
    median = Statistics.median(values)
    lowest = values.min() ?? 0
    highest = values.max() ?? 0
    self.unit = unit
  }

  /// For tables on a terminal.
  var text: String {
    let (factor, dimension) = Figure.unit(unit) ?? (1, .none)
    return Figure(
      median * factor, low: lowest * factor, high: highest * factor, dimension
    ).text(.plain)
  }
}

/// Lists on the command line: `btree,lsm`.
enum ListOption {
  static func words(_ text: String) -> [String] {
    text.split(separator: ",").map { String($0).trimmed }.filter { !$0.isEmpty }
  }

  /// Counts such as `1e4,1e5`. Errors: a usage error that names the option.
  static func counts(_ text: String, _ option: String) throws -> [Int] {
    let counts = words(text).map { Quantity(argument: $0)?.value ?? 0 }
    if counts.isEmpty || counts.contains(where: { $0 < 1 }) {
      throw StorageError(
        .invalidArgument, "\(option) takes numbers from 1 on, separated by commas, not \(text)")
    }
    return counts
  }

  /// Sizes such as `4KiB,64MiB`.
  static func sizes(_ text: String, _ option: String) throws -> [Int] {
    let sizes = words(text).map { ByteSize(argument: $0)?.bytes ?? 0 }
    if sizes.isEmpty || sizes.contains(where: { $0 < 1 }) {
      throw StorageError(
        .invalidArgument, "\(option) takes sizes separated by commas, not \(text)")
    }
    return sizes
  }
}

/// Keys of an experiment: 16 bytes each, in the order that they are put.
enum KeyOrder: String, CaseIterable, Encodable {
  /// 1, 2, 3 … as big-endian numbers.
  case ascending
  /// As of a clock: the high half counts milliseconds that a thousand writers share, the rest is
  /// random, as in a ULID or a version 7 UUID.
  case time
  /// As version 4 UUIDs.
  case random

  /// Writes the 16 bytes of key `number` to `key`.
  func write(_ number: Int, seed: UInt64, to key: inout [UInt8]) {
    let scrambled = KeyOrder.scramble(UInt64(number) ^ seed)
    let high: UInt64
    let low: UInt64
    switch self {
    case .ascending: (high, low) = (0, UInt64(number))
    // A thousand keys a millisecond.
    case .time: (high, low) = (UInt64(number / 1000) << 16 | scrambled >> 48, scrambled)
    case .random: (high, low) = (scrambled, KeyOrder.scramble(scrambled))
    }
    for byte in 0..<8 {
      key[byte] = UInt8(truncatingIfNeeded: high >> UInt64(56 - 8 * byte))
      key[8 + byte] = UInt8(truncatingIfNeeded: low >> UInt64(56 - 8 * byte))
    }
  }

  /// A permutation of the 64-bit numbers (the finaliser of MurmurHash3).
  private static func scramble(_ number: UInt64) -> UInt64 {
    var value = number &+ 0x9e37_79b9_7f4a_7c15
    value = (value ^ value >> 33) &* 0xff51_afd7_ed55_8ccd
    value = (value ^ value >> 33) &* 0xc4ce_b9fe_1a85_ec53
    return value ^ value >> 33
  }
}
