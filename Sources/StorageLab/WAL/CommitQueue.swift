import CLabShims
import Synchronization

/// Group commit: writers queue, the first becomes the leader and commits for all that wait,
/// the others sleep until their write is done (after LevelDB's writer queue).
///
/// There is one leader at a time, so being the leader is the engine's writer lock. While a
/// leader waits for the disk the next group forms behind it: with n writers a sync is shared
/// by up to n commits. Uncontended cost: two short lock sections.
public final class CommitQueue: @unchecked Sendable {
  /// A waiting writer, on its own stack.
  private struct Waiter {
    let write: PendingWrite
    var error: StorageError?
  }

  private let lock = WaitableLock()
  private var hasLeader = false
  private var waiters: [UnsafeMutablePointer<Waiter>] = []
  /// The group that the leader commits; kept to reuse its memory.
  private var group: [PendingWrite] = []
  /// Goes up whenever a leader steps down: what followers wait for.
  private let turns = Atomic<UInt64>(0)
  /// Limit on a group's bytes, so that one small write does not wait for very much.
  private let groupBytes: Int

  public init(groupBytes: Int = 1 << 20) { self.groupBytes = groupBytes }

  /// Hands in `write` and returns when it, in a group, went through `commit`; the error of
  /// the group is the error of each of its writes. `commit` runs on one of the calling
  /// threads; groups never overlap.
  public func submit(
    _ write: PendingWrite,
    _ commit: (UnsafeBufferPointer<PendingWrite>) throws(StorageError) -> Void
  ) throws(StorageError) {
    lock.lock()
    if !hasLeader && waiters.isEmpty {
      hasLeader = true
      lock.unlock()
      defer { stepDown() }
      return try withUnsafePointer(to: write) { (pointer) throws(StorageError) in
        try commit(UnsafeBufferPointer(start: pointer, count: 1))
      }
    }
    try waitInLine(write, commit)
  }

  /// Runs `body` while no commit is in flight.
  public func withExclusive<R>(
    _ body: () throws(StorageError) -> R
  ) throws(StorageError) -> R {
    lock.lock()
    while hasLeader { waitForTurn() }
    hasLeader = true
    lock.unlock()
    defer { stepDown() }
    return try body()
  }

  private func stepDown() {
    lock.lock()
    endTurn()
    lock.unlock()
  }

  /// REQUIRES: the lock is held.
  private func endTurn() {
    hasLeader = false
    turns.wrappingAdd(1, ordering: .releasing)
    lock.wakeAll()
  }

  /// Waits until a leader stepped down. A turn in memory takes less than a sleep, so a short
  /// spin comes first. REQUIRES: the lock is held; it is held again on return.
  private func waitForTurn() {
    let seen = turns.load(ordering: .relaxed)
    lock.unlock()
    for _ in 0..<200 {
      lab_spin_hint()
      if turns.load(ordering: .acquiring) != seen { break }
    }
    lock.lock()
    while hasLeader && turns.load(ordering: .relaxed) == seen { lock.wait() }
  }

  /// The contended path. Entered with the lock held.
  private func waitInLine(
    _ write: PendingWrite,
    _ commit: (UnsafeBufferPointer<PendingWrite>) throws(StorageError) -> Void
  ) throws(StorageError) {
    let result = withUnsafeTemporaryAllocation(of: Waiter.self, capacity: 1) {
      buffer -> StorageError? in
      guard let own = buffer.baseAddress else { return nil }
      own.initialize(to: Waiter(write: write, error: nil))
      defer { own.deinitialize(count: 1) }
      waiters.append(own)
      while isWaiting(own) {
        if hasLeader { waitForTurn() } else { lead(commit) }
      }
      lock.unlock()
      return own.pointee.error
    }
    if let result { throw result }
  }

  private func isWaiting(_ waiter: UnsafeMutablePointer<Waiter>) -> Bool {
    waiters.contains(waiter)
  }

  /// Commits the head of the line, which need not hold the caller's own write when the group
  /// is full. REQUIRES: the lock is held; it is held again on return. The members stay in
  /// line until their result is in place.
  private func lead(_ commit: (UnsafeBufferPointer<PendingWrite>) throws(StorageError) -> Void) {
    hasLeader = true
    group.removeAll(keepingCapacity: true)
    var bytes = 0
    for waiter in waiters {
      let write = waiter.pointee.write
      bytes += write.encodedLength
      if !group.isEmpty && bytes > groupBytes { break }
      group.append(write)
    }
    let members = group
    lock.unlock()
    var failure: StorageError?
    do throws(StorageError) {
      try members.withUnsafeBuffer { (buffer) throws(StorageError) in try commit(buffer) }
    } catch { failure = error }
    lock.lock()
    for waiter in waiters.prefix(members.count) { waiter.pointee.error = failure }
    waiters.removeFirst(members.count)
    endTurn()
  }
}

extension Array {
  /// `withUnsafeBufferPointer` with a typed error.
  fileprivate func withUnsafeBuffer<R, E: Error>(
    _ body: (UnsafeBufferPointer<Element>) throws(E) -> R
  ) throws(E) -> R {
    try self.span.withUnsafeBufferPointer(body)
  }
}
