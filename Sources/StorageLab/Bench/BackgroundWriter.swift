/// Puts random records at a fixed rate until told to stop.
final class BackgroundWriter: @unchecked Sendable {
  private let lock = WaitableLock()
  private var isStopping = false
  private var failure: StorageError?
  private var thread: LabThread?
  /// Complete once `stop` has returned.
  private(set) var tally = RequestExecutor.Tally()

  /// What it writes to, and how fast.
  struct Task: Sendable {
    let engine: any StorageEngine
    let source: any RecordSource
    let ledger: RecordLedger
    let clock: any LabClock
    let seed: UInt64
    let putsPerSecond: Int
    /// It writes the records of this thread of so many.
    let owner: Int
    let owners: Int
  }

  func start(_ task: Task) throws(StorageError) {
    thread = try LabThread(name: "bench-writer") { [self] in
      do throws(StorageError) { try write(task) } catch { lock.withLock { failure = error } }
    }
  }

  func stop() -> StorageError? {
    lock.withLock { isStopping = true }
    lock.wakeAll()
    thread?.join()
    return failure
  }

  private func write(_ task: Task) throws(StorageError) {
    let (source, clock) = (task.source, task.clock)
    var random = SeededRandom(seed: task.seed).split(UInt64.max)
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: RecordLimits.keyBytes + source.maximumValueBytes, alignment: 64)
    defer { memory.deallocate() }
    let valuePointer = memory + RecordLimits.keyBytes
    let interval = 1_000_000_000 / UInt64(task.putsPerSecond)
    var due = clock.nanoseconds
    while true {
      let now = clock.nanoseconds
      lock.lock()
      if !isStopping && now < due { _ = lock.wait(nanoseconds: min(due - now, 1_000_000)) }
      let stop = isStopping
      lock.unlock()
      if stop { return }
      while due <= clock.nanoseconds {
        let record = RecordLedger.owned(
          random.below(source.count), thread: task.owner, of: task.owners, count: source.count)
        let version = task.ledger.issue(record)
        let key = ByteSlice(base: memory, count: source.writeKey(record, to: memory))
        let value = ByteSlice(
          base: valuePointer,
          count: source.writeValue(record, version: version, to: valuePointer))
        try task.engine.put(key.rawBuffer.bytes, value.rawBuffer.bytes)
        task.ledger.acknowledge(record, version: version, isPresent: true)
        tally.writes += 1
        tally.bytesWritten += UInt64(key.count + value.count)
        due += interval
        if lock.withLock({ isStopping }) { return }
      }
    }
  }
}
