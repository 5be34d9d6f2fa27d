/// LEB128: seven bits a byte, low bits first, the high bit says that more follow.
public enum Varint {
  /// A 64-bit value takes at most ten bytes.
  public static let maximumLength = 10

  /// Bytes that `value` takes: 1 … 10.
  @inlinable @inline(__always)
  public static func length(_ value: UInt64) -> Int {
    let bits = 64 &- (value | 1).leadingZeroBitCount
    return (bits &+ 6) / 7
  }

  /// Writes `value` and returns the bytes written. REQUIRES: room for `length(value)`.
  @inlinable @inline(__always)
  @discardableResult
  public static func write(_ value: UInt64, to pointer: UnsafeMutableRawPointer) -> Int {
    var rest = value
    var index = 0
    while rest >= 0x80 {
      pointer.storeBytes(
        of: UInt8(truncatingIfNeeded: rest) | 0x80, toByteOffset: index, as: UInt8.self)
      rest >>= 7
      index &+= 1
    }
    pointer.storeBytes(of: UInt8(truncatingIfNeeded: rest), toByteOffset: index, as: UInt8.self)
    return index &+ 1
  }

  /// The value at the start of `slice` and its length, or nil when it is cut short, longer
  /// than ten bytes or over 64 bits. Safe on hostile bytes.
  @inlinable @inline(__always)
  public static func read(_ slice: ByteSlice) -> (value: UInt64, length: Int)? {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    var index = 0
    while index < slice.count && index < maximumLength {
      let byte = slice[index]
      if index == 9 && byte > 1 { return nil }
      value |= UInt64(byte & 0x7f) << shift
      index &+= 1
      if byte < 0x80 { return (value, index) }
      shift &+= 7
    }
    return nil
  }
}
