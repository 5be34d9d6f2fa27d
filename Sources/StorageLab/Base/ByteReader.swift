/// Reads little-endian fields from bytes that may be hostile: every read is bounds-checked
/// and a failed one leaves `isIntact` false and returns zero, so a decoder checks once, at
/// the end, instead of after every field.
public struct ByteReader {
  private let slice: ByteSlice
  public private(set) var offset = 0
  /// False once any read asked for more than was there.
  public private(set) var isIntact = true

  public init(_ slice: ByteSlice) { self.slice = slice }

  public var remaining: Int { slice.count - offset }
  public var isAtEnd: Bool { offset == slice.count }

  public mutating func integer<T: FixedWidthInteger>(_ type: T.Type = T.self) -> T {
    guard isIntact, remaining >= MemoryLayout<T>.size else {
      isIntact = false
      return 0
    }
    defer { offset += MemoryLayout<T>.size }
    return T(littleEndian: slice.base.loadUnaligned(fromByteOffset: offset, as: T.self))
  }

  public mutating func varint() -> UInt64 {
    guard isIntact, let (value, length) = Varint.read(slice.dropFirst(offset)) else {
      isIntact = false
      return 0
    }
    offset += length
    return value
  }

  /// The next `count` bytes, borrowed; empty when they are not there.
  public mutating func bytes(_ count: UInt64) -> ByteSlice {
    guard isIntact, count <= UInt64(remaining) else {
      isIntact = false
      return .empty
    }
    defer { offset += Int(count) }
    return slice.dropFirst(offset).prefix(Int(count))
  }

  /// A varint length and that many bytes.
  public mutating func lengthPrefixed() -> ByteSlice { bytes(varint()) }
}

/// Builds a byte string of little-endian fields; the mirror of `ByteReader`.
public struct ByteWriter: Sendable {
  public private(set) var bytes: [UInt8] = []

  public init() {}

  public var count: Int { bytes.count }

  public mutating func integer<T: FixedWidthInteger>(_ value: T) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }

  public mutating func varint(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  public mutating func raw(_ slice: ByteSlice) { bytes.append(contentsOf: slice.rawBuffer) }
  public mutating func raw(_ other: some Sequence<UInt8>) { bytes.append(contentsOf: other) }

  public mutating func lengthPrefixed(_ slice: ByteSlice) {
    varint(UInt64(slice.count))
    raw(slice)
  }

  /// Appends the CRC-32C of everything written so far.
  public mutating func checksum(seed: UInt32 = 0) {
    integer(bytes.withUnsafeBytes { CRC32C.checksum($0, seed: seed) })
  }
}
