/// A thread that sleeps until there is work, does it piece by piece, and ends when told.
public final class WorkerThread: @unchecked Sendable {
  private let lock: WaitableLock
  private var isStopping = false
  private var thread: LabThread?

  /// `step` is called with `lock` held, does one piece of work, for which it may release the
  /// lock meanwhile, and returns whether there was any; when there was none the thread sleeps
  /// until somebody wakes `lock`. Errors: `io` when the system has no thread to give.
  public init(
    name: String, lock: WaitableLock, _ step: @escaping @Sendable () -> Bool
  ) throws(StorageError) {
    self.lock = lock
    thread = try LabThread(name: name) { [unowned self] in
      lock.lock()
      while !isStopping { if !step() { lock.wait() } }
      lock.unlock()
    }
  }

  deinit { stop() }

  /// Lets the piece under way finish and ends the thread: what is still to do stays undone.
  /// Calling it again does nothing. REQUIRES: `lock` is not held.
  public func stop() {
    lock.withLock {
      isStopping = true
      lock.wakeAll()
    }
    thread?.join()
    thread = nil
  }
}
