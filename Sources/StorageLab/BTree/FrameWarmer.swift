import CLabShims

/// Has the system bring in the memory of frames shortly before they are first used, on a thread
/// of its own: zeroing fresh memory takes about as long as the puts that fill it, and a huge
/// page at once holds up the one put that touches it first.
final class FrameWarmer: @unchecked Sendable {
  /// How far ahead of use, and how much at a time.
  static let aheadBytes = 8 << 20
  static let stepBytes = 2 << 20

  private let memory: UnsafeMutableRawPointer
  private let limit: Int
  private let lock = WaitableLock()
  private var wanted = 0
  private var isStopping = false
  private var thread: LabThread?

  /// Warms up to `limit` bytes of `memory`, which must stay mapped until `stop` returned.
  /// Errors: `io` when the system has no thread to give.
  init(_ memory: UnsafeMutableRawPointer, limit: Int) throws(StorageError) {
    self.memory = memory
    self.limit = limit
    thread = try LabThread(name: "btree-frames") { [unowned self] in loop() }
  }

  /// Asks for all memory below `bytes`.
  func warm(upTo bytes: Int) {
    lock.withLock {
      wanted = min(limit, bytes)
      lock.wakeAll()
    }
  }

  func stop() {
    lock.withLock {
      isStopping = true
      lock.wakeAll()
    }
    thread?.join()
    thread = nil
  }

  private func loop() {
    var warmed = 0
    lock.lock()
    defer { lock.unlock() }
    while true {
      while warmed >= wanted && !isStopping { lock.wait() }
      if isStopping { return }
      let count = min(FrameWarmer.stepBytes, wanted - warmed)
      lock.unlock()
      let status = lab_populate_write(memory + warmed, count)
      lock.lock()
      // A system that cannot: memory then comes as it is touched.
      if status != 0 { return }
      warmed += count
    }
  }
}
