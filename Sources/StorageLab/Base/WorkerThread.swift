/// A thread that sleeps until there is work, does it piece by piece, and ends when told.
public final class WorkerThread: @unchecked Sendable {
  /// What the thread holds on to: not the worker, which may go first.
  private final class Line: @unchecked Sendable {
    let lock: WaitableLock
    var isStopping = false
    init(_ lock: WaitableLock) { self.lock = lock }
  }

  private let line: Line
  private let thread: LabThread

  /// `step` is called with `lock` held, does one piece of work, for which it may release the
  /// lock meanwhile, and returns whether there was any; when there was none the thread sleeps
  /// until somebody wakes `lock`. REQUIRES: `stop` returns before anything that `step` uses goes.
  /// Errors: `io` when the system has no thread to give.
  public init(
    name: String, lock: WaitableLock, _ step: @escaping @Sendable () -> Bool
  ) throws(StorageError) {
    let line = Line(lock)
    self.line = line
    thread = try LabThread(name: name) {
      line.lock.lock()
      while !line.isStopping { if !step() { line.lock.wait() } }
      line.lock.unlock()
    }
  }

  /// Lets the piece under way finish and ends the thread: what is still to do stays undone.
  /// Calling it again does nothing. REQUIRES: `lock` is not held.
  public func stop() {
    line.lock.withLock {
      line.isStopping = true
      line.lock.wakeAll()
    }
    thread.join()
  }
}
