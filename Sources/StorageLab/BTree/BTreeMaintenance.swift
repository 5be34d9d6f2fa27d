/// The thread that runs checkpoints when they fall due.
final class BTreeMaintenance: @unchecked Sendable {
  private let lock = WaitableLock()
  private var isRequested = false
  private var isBusy = false
  private var isStopping = false
  private let checkpointer: BTreeCheckpointer
  private var thread: LabThread?

  init(_ checkpointer: BTreeCheckpointer) throws(StorageError) {
    self.checkpointer = checkpointer
    thread = try LabThread(name: "btree-checkpoint") { [unowned self] in self.loop() }
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

  /// Lets a running checkpoint finish and ends the thread.
  func stop() {
    lock.withLock {
      isStopping = true
      lock.wakeAll()
    }
    thread?.join()
    thread = nil
  }

  private func loop() {
    lock.lock()
    while true {
      while !isRequested && !isStopping { lock.wait() }
      if isStopping { break }
      isRequested = false
      isBusy = true
      lock.unlock()
      checkpointer.runReporting()
      lock.lock()
      isBusy = false
      lock.wakeAll()
    }
    isRequested = false
    lock.unlock()
  }
}
