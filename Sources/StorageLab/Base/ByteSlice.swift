import Glibc

/// A borrowed run of bytes: an address and a count, two words, no ownership.
///
/// The engines' internal currency. REQUIRES: the owner of the memory outlives every use;
/// a cursor's slices are valid until the cursor moves or is released. Public API hands out
/// `RawSpan` instead, whose lifetime the compiler checks.
public struct ByteSlice: @unchecked Sendable {
  public let base: UnsafeRawPointer
  public let count: Int

  @inlinable @inline(__always)
  public init(base: UnsafeRawPointer, count: Int) {
    self.base = base
    self.count = count
  }

  @inlinable @inline(__always)
  public init(_ buffer: UnsafeRawBufferPointer) {
    self.base = buffer.baseAddress ?? ByteSlice.emptyBase
    self.count = buffer.count
  }

  /// The empty slice. Its base points nowhere useful and must not be read.
  @inlinable @inline(__always)
  public static var empty: ByteSlice { ByteSlice(base: emptyBase, count: 0) }

  /// A non-null address for slices of no bytes; nothing is there.
  @inlinable @inline(__always)
  static var emptyBase: UnsafeRawPointer { UnsafeRawPointer(bitPattern: 8).unsafelyUnwrapped }

  @inlinable @inline(__always)
  public var isEmpty: Bool { count == 0 }

  @inlinable @inline(__always)
  public subscript(index: Int) -> UInt8 {
    base.load(fromByteOffset: index, as: UInt8.self)
  }

  @inlinable @inline(__always)
  public var rawBuffer: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

  /// Bytes from `offset` to the end. REQUIRES: `0 <= offset <= count`.
  @inlinable @inline(__always)
  public func dropFirst(_ offset: Int) -> ByteSlice {
    ByteSlice(base: base + offset, count: count - offset)
  }

  /// The first `length` bytes. REQUIRES: `0 <= length <= count`.
  @inlinable @inline(__always)
  public func prefix(_ length: Int) -> ByteSlice { ByteSlice(base: base, count: length) }

  public var array: [UInt8] { [UInt8](rawBuffer) }

  /// Unsigned bytewise order: negative, zero or positive. A prefix sorts before its extension.
  @inlinable @inline(__always)
  public func compare(_ other: ByteSlice) -> Int {
    let order = memcmp(base, other.base, Swift.min(count, other.count))
    return order != 0 ? Int(order) : count &- other.count
  }

  @inlinable @inline(__always)
  public static func == (left: ByteSlice, right: ByteSlice) -> Bool {
    left.count == right.count && memcmp(left.base, right.base, left.count) == 0
  }

  @inlinable @inline(__always)
  public static func < (left: ByteSlice, right: ByteSlice) -> Bool { left.compare(right) < 0 }

  /// Length of the longest common prefix.
  @inlinable
  public func commonPrefix(_ other: ByteSlice) -> Int {
    let limit = Swift.min(count, other.count)
    var length = 0
    while length &+ 8 <= limit {
      let difference =
        base.loadUnaligned(fromByteOffset: length, as: UInt64.self)
        ^ other.base.loadUnaligned(fromByteOffset: length, as: UInt64.self)
      if difference != 0 {
        return length &+ UInt64(littleEndian: difference).trailingZeroBitCount / 8
      }
      length &+= 8
    }
    while length < limit, self[length] == other[length] { length &+= 1 }
    return length
  }

  /// The first four bytes as a big-endian number, zero-padded: its order never contradicts
  /// the order of the keys, so most comparisons end on one integer.
  @inlinable @inline(__always)
  public var head: UInt32 {
    if count >= 4 { return UInt32(bigEndian: base.loadUnaligned(as: UInt32.self)) }
    var head: UInt32 = 0
    for index in 0..<count { head |= UInt32(self[index]) << (24 - 8 * UInt32(index)) }
    return head
  }
}

extension RawSpan {
  /// Calls `body` with the span's bytes as a slice; the slice must not outlive the call.
  @inlinable @inline(__always)
  public func withSlice<R, E: Error>(_ body: (ByteSlice) throws(E) -> R) throws(E) -> R {
    // `withUnsafeBytes` of RawSpan is typed-throwing and inlines to nothing.
    try self.withUnsafeBytes { (buffer) throws(E) -> R in try body(ByteSlice(buffer)) }
  }
}

extension ByteSlice {
  /// Calls `body` with a span over the slice: the way out of the engines' internals.
  @inlinable @inline(__always)
  public func withSpan<R, E: Error>(_ body: (RawSpan) throws(E) -> R) throws(E) -> R {
    try body(rawBuffer.bytes)
  }
}

extension Array where Element == UInt8 {
  @inlinable @inline(__always)
  public func withSlice<R, E: Error>(_ body: (ByteSlice) throws(E) -> R) throws(E) -> R {
    try self.span.bytes.withSlice(body)
  }

  /// `withUnsafeMutableBytes` with a typed error.
  @inlinable @inline(__always)
  public mutating func withMutableBytes<R, E: Error>(
    _ body: (UnsafeMutableRawBufferPointer) throws(E) -> R
  ) throws(E) -> R {
    let result = self.withUnsafeMutableBytes { buffer -> Result<R, E> in
      do throws(E) { return .success(try body(buffer)) } catch { return .failure(error) }
    }
    return try result.get()
  }

  /// Becomes these bytes, in the memory it has when that is enough and nobody else's.
  @inlinable
  public mutating func set(to bytes: ByteSlice) {
    removeAll(keepingCapacity: true)
    append(contentsOf: bytes.rawBuffer)
  }
}

/// Whether the left string comes first in the order of keys: by unsigned bytes, a beginning before what
/// it begins.
func isBefore(_ left: [UInt8], _ right: [UInt8]) -> Bool {
  left.withSlice { left in right.withSlice { right in left.compare(right) < 0 } }
}

/// Text that shows bytes: printable ASCII as itself, the rest as `\xNN`.
public func printable(_ bytes: some Sequence<UInt8>, limit: Int = 64) -> String {
  let digits = Array("0123456789abcdef")
  var text = ""
  var shown = 0
  for byte in bytes {
    if shown == limit { return text + "…" }
    shown += 1
    if byte >= 0x20 && byte < 0x7f && byte != UInt8(ascii: "\\") {
      text.unicodeScalars.append(Unicode.Scalar(byte))
    } else {
      text += "\\x"
      text.append(digits[Int(byte >> 4)])
      text.append(digits[Int(byte & 15)])
    }
  }
  return text
}
