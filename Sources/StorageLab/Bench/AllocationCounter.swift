/// How a program counts its calls of malloc and its kin. The library counts none by itself: that
/// takes a malloc of the program's own, which only a program may bring, as `labctl` does.
public struct AllocationCounter: Sendable {
  /// Calls of all threads so far.
  public let process: @Sendable () -> UInt64
  /// Calls of the calling thread so far.
  public let thread: @Sendable () -> UInt64

  public init(
    process: @escaping @Sendable () -> UInt64, thread: @escaping @Sendable () -> UInt64
  ) {
    self.process = process
    self.thread = thread
  }
}

/// Tells a thread's allocations in requests from those of the harness between them.
struct RequestAllocations: Sendable {
  private let counter: AllocationCounter?
  private var begin: UInt64 = 0
  private var mark: UInt64 = 0
  private var harness: UInt64 = 0
  /// Those in requests, once they have ended.
  private(set) var count: UInt64 = 0

  init(_ counter: AllocationCounter?) { self.counter = counter }

  private var now: UInt64 { counter.map { $0.thread() } ?? 0 }

  mutating func beginRequests() { begin = now }
  mutating func beginHarness() { mark = now }
  mutating func endHarness() { harness &+= now &- mark }
  mutating func endRequests() { count = now &- begin &- harness }
}
