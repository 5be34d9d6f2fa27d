/// What a merge does to a value: a write that says how to change it, without reading it first.
///
/// `merge(key, operand)` stores the operand; a read, and work in the background, make the value of
/// it: `full` of the last value put and of all operands since, oldest first. Both functions are
/// pure: they may be called any number of times, by any thread, and what they return may depend on
/// nothing but their arguments.
public protocol MergeOperator: Sendable {
  /// Names the meaning of the operands. A database remembers the name before it takes its first
  /// operand, and opens only with an operator of that name.
  var name: String { get }

  /// Refuses what is no operand, before it is written. Errors: `invalidArgument`.
  func check(operand: ByteSlice) throws(StorageError)

  /// The value that `operands` (one at least, oldest first) make of `existing`; nil when there was
  /// no value. REQUIRES: two steps come to the same as one: `full` of a value and (a, b) is `full` of
  /// (`full` of the value and a) and b.
  func full(_ key: ByteSlice, existing: ByteSlice?, operands: [ByteSlice]) -> [UInt8]

  /// One operand that does what `older` and then `newer` do, whatever the value; nil when there is
  /// none.
  func partial(_ key: ByteSlice, older: ByteSlice, newer: ByteSlice) -> [UInt8]?
}

extension MergeOperator {
  public func check(operand: ByteSlice) throws(StorageError) {}
  public func partial(_ key: ByteSlice, older: ByteSlice, newer: ByteSlice) -> [UInt8]? { nil }
}

/// Adds signed 64-bit little-endian numbers; the sum wraps around, so that it does not depend on
/// the order. A value that has not eight bytes counts as zero.
public struct CounterOperator: MergeOperator {
  public init() {}

  public var name: String { "counter" }

  /// The operand, or the value, that stands for `number`.
  public static func encode(_ number: Int64) -> [UInt8] {
    withUnsafeBytes(of: number.littleEndian) { Array($0) }
  }

  /// The number of a value; nil when it has not eight bytes.
  public static func decode(_ value: [UInt8]) -> Int64? { value.withSlice { number($0) } }

  private static func number(_ slice: ByteSlice) -> Int64? {
    slice.count == 8 ? Int64(littleEndian: slice.base.loadUnaligned(as: Int64.self)) : nil
  }

  public func check(operand: ByteSlice) throws(StorageError) {
    if operand.count != 8 {
      throw StorageError(
        .invalidArgument, "a counter's operand has \(operand.count) bytes",
        remedy: "An operand is a little-endian signed 64-bit number")
    }
  }

  public func full(_ key: ByteSlice, existing: ByteSlice?, operands: [ByteSlice]) -> [UInt8] {
    let start = existing.flatMap { CounterOperator.number($0) } ?? 0
    return CounterOperator.encode(
      operands.reduce(start) { $0 &+ (CounterOperator.number($1) ?? 0) })
  }

  public func partial(_ key: ByteSlice, older: ByteSlice, newer: ByteSlice) -> [UInt8]? {
    full(key, existing: older, operands: [newer])
  }
}

/// Appends operands to the value, a separator between each two parts.
public struct AppendOperator: MergeOperator {
  public let separator: [UInt8]

  public init(separator: [UInt8] = Array(",".utf8)) { self.separator = separator }

  /// The separator is part of the meaning, and so of the name.
  public var name: String { "append:" + printable(separator, limit: .max) }

  public func full(_ key: ByteSlice, existing: ByteSlice?, operands: [ByteSlice]) -> [UInt8] {
    let parts = (existing.map { [$0] } ?? []) + operands
    var value: [UInt8] = []
    value.reserveCapacity(parts.reduce(0) { $0 + $1.count + separator.count })
    for (index, part) in parts.enumerated() {
      if index > 0 { value += separator }
      value += part.rawBuffer
    }
    return value
  }

  public func partial(_ key: ByteSlice, older: ByteSlice, newer: ByteSlice) -> [UInt8]? {
    full(key, existing: older, operands: [newer])
  }
}

extension StorageEngine {
  /// For engines that know no merges.
  public func merge(_ key: RawSpan, _ operand: RawSpan) throws(StorageError) {
    throw .noMerges
  }

  public func merge(_ key: [UInt8], _ operand: [UInt8]) throws(StorageError) {
    try merge(key.span.bytes, operand.span.bytes)
  }
}

extension StorageError {
  /// What an engine without merges, or opened without an operator, says to one.
  static var noMerges: StorageError {
    StorageError(
      .unsupported, "the database was opened without a merge operator, or its engine has no merges",
      remedy: "Open an LSM tree with EngineOptions.mergeOperator, or read, change and put")
  }
}
