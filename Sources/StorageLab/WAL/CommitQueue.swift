import CLabShims
import Synchronization

/// Group commit: writers queue, the first becomes the leader and commits for all that wait,
/// the others sleep until their write is done (after LevelDB's writer queue).
///
/// There is one leader at a time, so being the leader is the engine's writer lock. While a
/// leader waits for the disk the next group forms behind it: with n writers a sync is shared
/// by up to n commits. First come, first served. Uncontended cost: two atomic operations.
public final class CommitQueue: @unchecked Sendable {
  /// Who has the turn. Between `idle` and `led` it changes by compare-and-swap alone;
  /// everything else happens under the lock.
  private enum Turn {
    /// Nobody leads, nobody waits.
    static let idle = 0
    /// Somebody leads, nobody waits.
    static let led = 1
    /// Somebody leads, and must wake the line when done.
    static let contended = 2
    /// Nobody leads; the turn is the line's.
    static let vacant = 3
  }

  /// Somebody in line, on their own stack.
  private struct Waiter {
    /// Nil for one who wants the turn without a write.
    let write: PendingWrite?
    var error: StorageError?
    var isDone = false
  }

  private let turn = Atomic<Int>(Turn.idle)
  /// Goes up whenever a leader hands over to the line: what sleepers wait for.
  private let handovers = Atomic<UInt64>(0)
  private let lock = WaitableLock()
  private var line: [UnsafeMutablePointer<Waiter>] = []
  /// The group that the leader commits; kept to reuse its memory.
  private var group: [PendingWrite] = []
  /// Limit on a group's bytes, so that one small write does not wait for very much.
  private let groupBytes: Int

  public init(groupBytes: Int = 1 << 20) { self.groupBytes = groupBytes }

  /// Hands in `write` and returns when it, in a group, went through `commit`; the error of
  /// the group is the error of each of its writes. `commit` runs on one of the calling
  /// threads; groups never overlap.
  @inline(__always)
  public func submit(
    _ write: PendingWrite,
    _ commit: (UnsafeBufferPointer<PendingWrite>) throws(StorageError) -> Void
  ) throws(StorageError) {
    if takeIdleTurn() {
      defer { handOver() }
      return try withUnsafePointer(to: write) { (pointer) throws(StorageError) in
        try commit(UnsafeBufferPointer(start: pointer, count: 1))
      }
    }
    if let error = waitInLine(write, commit) { throw error }
  }

  /// Runs `body` while no commit is in flight.
  public func withExclusive<R>(
    _ body: () throws(StorageError) -> R
  ) throws(StorageError) -> R {
    if !takeIdleTurn() { waitForTurn() }
    defer { handOver() }
    return try body()
  }

  @inline(__always)
  private func takeIdleTurn() -> Bool {
    turn.compareExchange(
      expected: Turn.idle, desired: Turn.led, successOrdering: .acquiring,
      failureOrdering: .relaxed
    ).exchanged
  }

  @inline(__always)
  private func handOver() {
    let isDone = turn.compareExchange(
      expected: Turn.led, desired: Turn.idle, successOrdering: .releasing,
      failureOrdering: .relaxed
    ).exchanged
    if !isDone { lock.withLock { handOverToLine() } }
  }

  // MARK: The contended path. Everything below REQUIRES the lock, or takes it.

  private func handOverToLine() {
    turn.store(line.isEmpty ? Turn.idle : Turn.vacant, ordering: .releasing)
    handovers.wrappingAdd(1, ordering: .releasing)
    lock.wakeAll()
  }

  /// Waits until the write is committed, by this thread or another.
  private func waitInLine(
    _ write: PendingWrite,
    _ commit: (UnsafeBufferPointer<PendingWrite>) throws(StorageError) -> Void
  ) -> StorageError? {
    var waiter = Waiter(write: write)
    return withUnsafeMutablePointer(to: &waiter) { own in
      lock.withLock {
        line.append(own)
        announceLine()
        while !own.pointee.isDone {
          if turn.load(ordering: .acquiring) == Turn.vacant, line.first?.pointee.write != nil {
            lead(commit)
          } else {
            waitForHandover()
          }
        }
        return own.pointee.error
      }
    }
  }

  /// Waits until the turn is the caller's alone. Writers before it in line lead themselves: it has
  /// nothing to commit with.
  private func waitForTurn() {
    var waiter = Waiter(write: nil)
    withUnsafeMutablePointer(to: &waiter) { own in
      lock.withLock {
        line.append(own)
        announceLine()
        while turn.load(ordering: .acquiring) != Turn.vacant || line.first != own {
          waitForHandover()
        }
        turn.store(Turn.contended, ordering: .relaxed)
        line.removeFirst()
      }
    }
  }

  /// Makes the leader of the moment hand over to the line; without one, the turn is vacant.
  private func announceLine() {
    while true {
      let seen = turn.load(ordering: .relaxed)
      if seen == Turn.contended || seen == Turn.vacant { return }
      let next = seen == Turn.led ? Turn.contended : Turn.vacant
      let (isChanged, _) = turn.weakCompareExchange(
        expected: seen, desired: next, successOrdering: .acquiringAndReleasing,
        failureOrdering: .relaxed)
      if isChanged { return }
    }
  }

  /// A turn in memory takes less than a sleep, so a short spin comes first. The lock is
  /// released meanwhile.
  private func waitForHandover() {
    let seen = handovers.load(ordering: .relaxed)
    lock.unlock()
    for _ in 0..<200 {
      lab_spin_hint()
      if handovers.load(ordering: .relaxed) != seen { break }
    }
    lock.lock()
    while handovers.load(ordering: .relaxed) == seen { lock.wait() }
  }

  /// Commits the head of the line, which need not hold the caller's own write when the group
  /// is full, up to the first who wants the turn alone. The lock is released meanwhile; the
  /// members stay in line until their result is in place.
  private func lead(_ commit: (UnsafeBufferPointer<PendingWrite>) throws(StorageError) -> Void) {
    turn.store(Turn.contended, ordering: .relaxed)
    group.removeAll(keepingCapacity: true)
    var bytes = 0
    for waiter in line {
      guard let write = waiter.pointee.write else { break }
      bytes += write.encodedLength
      if !group.isEmpty && bytes > groupBytes { break }
      group.append(write)
    }
    let members = group
    lock.unlock()
    var failure: StorageError?
    do throws(StorageError) {
      try members.span.withUnsafeBufferPointer { (buffer) throws(StorageError) in
        try commit(buffer)
      }
    } catch { failure = error }
    lock.lock()
    for waiter in line.prefix(members.count) {
      waiter.pointee.error = failure
      waiter.pointee.isDone = true
    }
    line.removeFirst(members.count)
    handOverToLine()
  }
}
