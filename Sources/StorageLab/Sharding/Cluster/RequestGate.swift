import Glibc
import Synchronization

/// Lets any number of requests through and, now and then, one change of what they all go by: the
/// change waits until those under way have left, and new ones wait for it.
///
/// A request pays one atomic addition as it enters and one as it leaves, on a cache line that few
/// threads share (a "big-reader" lock). REQUIRES: who is inside neither enters again nor asks for a
/// change.
final class RequestGate: @unchecked Sendable {
  static let lanes = 16
  /// Atomics on a cache line of 64 bytes.
  static let laneStride = 8

  private let inside: UnsafeMutablePointer<Atomic<Int>>
  private let isClosed = Atomic<Bool>(false)
  private let lock = WaitableLock()
  /// Held by the one change that is being made or waits to be.
  private let change = WaitableLock()

  init() {
    let count = RequestGate.lanes * RequestGate.laneStride
    inside = .allocate(capacity: count)
    for index in 0..<count { (inside + index).initialize(to: Atomic(0)) }
  }

  deinit {
    inside.deinitialize(count: RequestGate.lanes * RequestGate.laneStride)
    inside.deallocate()
  }

  /// The calling thread's lane: always the same one.
  @inline(__always)
  static var lane: Int {
    Int(truncatingIfNeeded: (UInt64(pthread_self()) &* 0x9e37_79b9_7f4a_7c15) >> 60)
  }

  /// Returns the lane to leave by.
  @inline(__always)
  func enter() -> Int {
    let lane = RequestGate.lane
    let slot = lane &* RequestGate.laneStride
    // Either the change sees this request's count, or the request sees that the gate is closed.
    inside[slot].wrappingAdd(1, ordering: .sequentiallyConsistent)
    if isClosed.load(ordering: .sequentiallyConsistent) { waitOutside(slot) }
    return lane
  }

  @inline(__always)
  func leave(_ lane: Int) {
    inside[lane &* RequestGate.laneStride].wrappingSubtract(1, ordering: .sequentiallyConsistent)
    if isClosed.load(ordering: .sequentiallyConsistent) { lock.withLock { lock.wakeAll() } }
  }

  @inline(never)
  private func waitOutside(_ slot: Int) {
    lock.lock()
    while isClosed.load(ordering: .sequentiallyConsistent) {
      inside[slot].wrappingSubtract(1, ordering: .sequentiallyConsistent)
      lock.wakeAll()
      while isClosed.load(ordering: .sequentiallyConsistent) { lock.wait() }
      inside[slot].wrappingAdd(1, ordering: .sequentiallyConsistent)
    }
    lock.unlock()
  }

  /// Calls `body` while nobody is inside.
  func exclusively<R>(_ body: () throws(StorageError) -> R) throws(StorageError) -> R {
    change.lock()
    defer { change.unlock() }
    lock.withLock {
      isClosed.store(true, ordering: .sequentiallyConsistent)
      while !isEmpty { lock.wait() }
    }
    defer {
      lock.withLock {
        isClosed.store(false, ordering: .sequentiallyConsistent)
        lock.wakeAll()
      }
    }
    return try body()
  }

  private var isEmpty: Bool {
    for lane in 0..<RequestGate.lanes
    where inside[lane * RequestGate.laneStride].load(ordering: .sequentiallyConsistent) != 0 {
      return false
    }
    return true
  }
}
