import Synchronization

/// Durability class `interval` for engines that cannot do it themselves: syncs once a period
/// while commits come in, on a thread of its own or, with inline maintenance, on the
/// committing thread when a period has passed.
final class SyncTimer: @unchecked Sendable {
  private let syncNow: @Sendable () throws(StorageError) -> Void
  private let period: UInt64
  private let clock: any LabClock
  private let events: (any EventSink)?
  private let lock = WaitableLock()
  private var thread: LabThread?
  private var mustStop = false
  private var failure: StorageError?
  private var lastSync: UInt64
  private let isDirty = Atomic<Bool>(false)

  /// Nil for the other classes. Errors: `io` when there is no thread to be had.
  init?(
    _ options: EngineOptions, name: String,
    sync: @escaping @Sendable () throws(StorageError) -> Void
  ) throws(StorageError) {
    guard case .interval(let milliseconds) = options.durability, !options.isReadOnly else {
      return nil
    }
    syncNow = sync
    period = UInt64(max(1, milliseconds)) * 1_000_000
    clock = options.clock
    events = options.events
    lastSync = options.clock.nanoseconds
    if options.maintenance == .background {
      thread = try LabThread(name: name) { [self] in run() }
    }
  }

  private func run() {
    lock.lock()
    while !mustStop {
      _ = lock.wait(nanoseconds: period)
      if mustStop || !isDirty.load(ordering: .relaxed) { continue }
      lock.unlock()
      sync()
      lock.lock()
    }
    lock.unlock()
  }

  private func sync() {
    isDirty.store(false, ordering: .sequentiallyConsistent)
    let start = clock.nanoseconds
    do throws(StorageError) { try syncNow() } catch {
      lock.withLock { failure = error }
      events?.record(
        Event(
          .failure(task: "log sync", message: error.description), start: start,
          durationNanoseconds: clock.nanoseconds - start))
    }
  }

  /// Called by the writer after a commit. That one stands, whatever its sync does; a failure
  /// stops the next.
  func noteCommit() {
    isDirty.store(true, ordering: .releasing)
    guard thread == nil else { return }
    let isDue = lock.withLock {
      let now = clock.nanoseconds
      guard now &- lastSync >= period else { return false }
      lastSync = now
      return true
    }
    if isDue { sync() }
  }

  /// Errors: `writesRefused` once a sync failed: nobody knows what is on the medium.
  func checkHealth() throws(StorageError) {
    guard let failure = lock.withLock({ failure }) else { return }
    throw StorageError(
      .writesRefused, "an earlier sync failed: \(failure.message)",
      remedy: "Reopen the database; an engine with a log also recovers by sync() or checkpoint()",
      path: failure.path, errno: failure.errno)
  }

  var hasFailed: Bool { lock.withLock { failure != nil } }

  /// Everything was made durable by other means.
  func clearFailure() { lock.withLock { failure = nil } }

  func stop() {
    lock.withLock {
      mustStop = true
      lock.wakeAll()
    }
    thread?.join()
  }
}
