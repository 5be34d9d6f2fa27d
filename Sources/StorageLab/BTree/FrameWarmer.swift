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
  private var warmed = 0
  private var worker: WorkerThread?

  /// Warms up to `limit` bytes of `memory`, which must stay mapped until `stop` returned.
  /// Errors: `io` when the system has no thread to give.
  init(_ memory: UnsafeMutableRawPointer, limit: Int) throws(StorageError) {
    self.memory = memory
    self.limit = limit
    worker = try WorkerThread(name: "btree-frames", lock: lock) { [unowned self] in step() }
  }

  /// Asks for all memory below `bytes`.
  func warm(upTo bytes: Int) {
    lock.withLock {
      wanted = min(limit, bytes)
      lock.wakeAll()
    }
  }

  func stop() { worker?.stop() }

  private func step() -> Bool {
    if warmed >= wanted { return false }
    let count = min(FrameWarmer.stepBytes, wanted - warmed)
    lock.unlock()
    let status = lab_populate_write(memory + warmed, count)
    lock.lock()
    // A system that cannot: memory then comes as it is touched.
    warmed = status == 0 ? warmed + count : limit
    return true
  }
}
