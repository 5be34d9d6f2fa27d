import StorageLab

/// A measurement over rounds, as every experiment's JSON has it: the median, what the true median may
/// be, the lowest and the highest round, the unit.
struct Measured: Encodable {
  let median: Double
  let low: Double
  let high: Double
  let lowest: Double
  let highest: Double
  let unit: String

  /// REQUIRES: `values` is not empty.
  init(_ values: [Double], unit: String = "") {
    median = Statistics.median(values)
    let bounds = MedianBounds.of(values)
    low = bounds.low
    high = bounds.high
    lowest = values.min() ?? 0
    highest = values.max() ?? 0
    self.unit = unit
  }

  /// For tables on a terminal.
  var text: String {
    let (factor, dimension) = Figure.unit(unit) ?? (1, .none)
    return Figure(
      median * factor, low: low * factor, high: high * factor, dimension
    ).text(.plain)
  }
}

/// What the true median may be: the order statistics between which it lies with a confidence of
/// 15/16 or more, whatever the distribution (Thompson, "On confidence ranges for the median", 1936).
/// With five rounds these are the lowest and the highest; fewer give these too, at less confidence.
enum MedianBounds {
  static func of(_ values: [Double]) -> (low: Double, high: Double) {
    let sorted = values.sorted()
    guard let first = sorted.first, let last = sorted.last else { return (0, 0) }
    let rank = left(out: sorted.count)
    return rank == 0 ? (first, last) : (sorted[rank], sorted[sorted.count - 1 - rank])
  }

  /// How many at each end may be left out: 2 P(Binomial(count, 1/2) <= k) <= 1/16 at the most.
  private static func left(out count: Int) -> Int {
    var term = 1.0
    for _ in 0..<count { term /= 2 }
    var tail = 0.0
    var rank = 0
    while rank < count / 2 {
      tail += term
      if 2 * tail > 1.0 / 16 { break }
      term *= Double(count - rank) / Double(rank + 1)
      rank += 1
    }
    return max(0, rank - 1)
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
