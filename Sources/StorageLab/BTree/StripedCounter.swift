import Glibc
import Synchronization

/// A counter that many threads add to without sharing a cache line: each hits one of 16
/// cells, 128 bytes apart, chosen by its thread.
final class StripedCounter: @unchecked Sendable {
  private static let stripes = 16
  private static let stride = 128
  private let memory: UnsafeMutableRawPointer

  init() {
    memory = .allocate(
      byteCount: StripedCounter.stripes * StripedCounter.stride, alignment: StripedCounter.stride)
    memory.initializeMemory(
      as: UInt8.self, repeating: 0, count: StripedCounter.stripes * StripedCounter.stride)
  }

  deinit { memory.deallocate() }

  @inline(__always)
  private func cell(_ index: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
    (memory + index &* StripedCounter.stride).assumingMemoryBound(to: Atomic<UInt64>.self)
  }

  @inline(__always)
  func add(_ count: Int) {
    // Thread descriptors lie a stack apart: the bits above tell them apart.
    let thread = UInt(pthread_self())
    let index = Int(truncatingIfNeeded: (thread >> 12) ^ (thread >> 23)) & 15
    cell(index).pointee.wrappingAdd(UInt64(count), ordering: .relaxed)
  }

  var value: UInt64 {
    (0..<StripedCounter.stripes).reduce(0) { $0 &+ cell($1).pointee.load(ordering: .relaxed) }
  }
}
