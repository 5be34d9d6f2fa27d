import Glibc
import Synchronization

/// Counters that every read touches, spread over cache lines by thread so that readers do
/// not meet in one.
final class LSMCounters: @unchecked Sendable {
  enum Name: Int, CaseIterable {
    case cacheHits, cacheMisses, bloomUseful, bloomFalsePositives, extraSeeks, bloomPrefixUseful
  }

  private static let stripes = 16
  private static let stride = 8  // words: one cache line
  private let words: UnsafeMutablePointer<Atomic<UInt64>>

  init() {
    words = .allocate(capacity: LSMCounters.stripes * LSMCounters.stride)
    for index in 0..<LSMCounters.stripes * LSMCounters.stride {
      (words + index).initialize(to: Atomic(0))
    }
  }

  deinit {
    words.deinitialize(count: LSMCounters.stripes * LSMCounters.stride)
    words.deallocate()
  }

  /// A small number that differs between threads more often than not.
  @inline(__always)
  static var threadStripe: Int {
    let thread = UInt64(pthread_self())
    return Int(truncatingIfNeeded: ((thread >> 6) &* 0x9e37_79b9_7f4a_7c15) >> 60)
  }

  @inline(__always)
  func count(_ name: Name) {
    words[LSMCounters.threadStripe &* LSMCounters.stride &+ name.rawValue]
      .wrappingAdd(1, ordering: .relaxed)
  }

  /// Adds `amount` and returns what the calling thread's stripe then holds.
  @inline(__always)
  func add(_ name: Name, _ amount: UInt64) -> UInt64 {
    words[LSMCounters.threadStripe &* LSMCounters.stride &+ name.rawValue]
      .wrappingAdd(amount, ordering: .relaxed).newValue
  }

  subscript(name: Name) -> UInt64 {
    (0..<LSMCounters.stripes).reduce(0) {
      $0 + words[$1 * LSMCounters.stride + name.rawValue].load(ordering: .relaxed)
    }
  }
}
