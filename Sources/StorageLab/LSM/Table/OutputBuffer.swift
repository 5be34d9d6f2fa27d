import Glibc

/// Bytes under construction in memory of our own: appending is a store and an addition.
struct OutputBuffer: ~Copyable {
  private(set) var base: UnsafeMutableRawPointer
  private(set) var count = 0
  private var capacity: Int

  private static let leastCapacity = 64

  init(capacity: Int = 4096) {
    self.capacity = max(capacity, OutputBuffer.leastCapacity)
    base = .allocate(byteCount: self.capacity, alignment: 16)
  }

  /// A buffer that takes no memory before something is put into it.
  static var unused: OutputBuffer { OutputBuffer(unallocated: ()) }

  private init(unallocated: ()) {
    capacity = 0
    base = UnsafeMutableRawPointer(mutating: ByteSlice.empty.base)
  }

  deinit { if capacity > 0 { base.deallocate() } }

  var slice: ByteSlice { ByteSlice(base: base, count: count) }

  /// Makes room for `bytes` more and returns where they go; `advance` then counts them.
  @inline(__always)
  mutating func reserve(_ bytes: Int) -> UnsafeMutableRawPointer {
    if capacity &- count < bytes { grow(bytes) }
    return base + count
  }

  @inline(never)
  private mutating func grow(_ bytes: Int) {
    let larger = max(capacity * 2, count + bytes, OutputBuffer.leastCapacity)
    let memory = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 16)
    memory.copyMemory(from: base, byteCount: count)
    if capacity > 0 { base.deallocate() }
    base = memory
    capacity = larger
  }

  @inline(__always)
  mutating func advance(_ bytes: Int) { count &+= bytes }

  @inline(__always)
  mutating func append(_ slice: ByteSlice) {
    reserve(slice.count).copyMemory(from: slice.base, byteCount: slice.count)
    count &+= slice.count
  }

  @inline(__always)
  mutating func append<T: FixedWidthInteger>(_ value: T) {
    reserve(MemoryLayout<T>.size).storeBytes(of: value.littleEndian, as: T.self)
    count &+= MemoryLayout<T>.size
  }

  mutating func append(_ bytes: [UInt8]) { bytes.withSlice { append($0) } }

  mutating func removeAll() { count = 0 }

  /// Replaces the content by a copy of `slice`, which may not be part of this buffer.
  @inline(__always)
  mutating func assign(_ slice: ByteSlice) {
    count = 0
    append(slice)
  }

  /// Keeps the first `length` bytes. REQUIRES: `length <= count`.
  @inline(__always)
  mutating func truncate(_ length: Int) { count = length }
}
