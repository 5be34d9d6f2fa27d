/// The thread that runs checkpoints when they fall due.
final class BTreeMaintenance: @unchecked Sendable {
  private let lock = WaitableLock()
  private var isRequested = false
  private var isBusy = false
  private let checkpointer: BTreeCheckpointer
  private var worker: WorkerThread?

  init(_ checkpointer: BTreeCheckpointer) throws(StorageError) {
    self.checkpointer = checkpointer
    worker = try WorkerThread(name: "btree-checkpoint", lock: lock) { [unowned self] in step() }
  }

  /// Asks for a checkpoint. Cheap to repeat.
  func request() {
    lock.withLock {
      if isRequested || isBusy { return }
      isRequested = true
      lock.wakeAll()
    }
  }

  func waitUntilIdle() {
    lock.withLock { while isRequested || isBusy { lock.wait() } }
  }

  /// Lets a running checkpoint finish and ends the thread; one that was only asked for is not
  /// run.
  func stop() {
    worker?.stop()
    lock.withLock {
      isRequested = false
      lock.wakeAll()
    }
  }

  private func step() -> Bool {
    if !isRequested { return false }
    isRequested = false
    isBusy = true
    lock.unlock()
    checkpointer.runReporting()
    lock.lock()
    isBusy = false
    lock.wakeAll()
    return true
  }
}
