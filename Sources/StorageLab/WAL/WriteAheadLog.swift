import Synchronization

/// The write-ahead log that the B-tree, the LSM tree and Raft share.
///
/// A sequence of preallocated segment files that are recycled: overwriting a file whose
/// blocks are already written costs the least to sync. Two ways of appending:
/// - classes `process` and `interval` copy records into a mapped window of the segment: the
///   bytes are the operating system's as soon as they are stored, without a system call;
/// - class `commit` gathers a group's records in a buffer, writes it once and syncs once.
///
/// One appender at a time (the leader of the `CommitQueue`); `sync`, `release` and the timer
/// may run beside it.
public final class WriteAheadLog: @unchecked Sendable {
  public struct Options: Sendable {
    public var directory: String
    public var fileSystem: any FileSystem
    public var durability: Durability
    /// Size of a segment file; a larger record gets a segment of its own size.
    public var segmentBytes = 64 << 20
    public var isReadOnly = false
    public var maintenance = EngineOptions.Maintenance.background
    public var clock: any LabClock = MonotonicClock()
    /// Told of bytes that reach the file through the mapping, which no call shows.
    public var counters: IOCounters?

    public init(directory: String, fileSystem: any FileSystem, durability: Durability) {
      self.directory = directory
      self.fileSystem = fileSystem
      self.durability = durability
    }
  }

  /// What opening found and replayed.
  public struct Recovery: Sendable {
    public var records: UInt64 = 0
    public var payloadBytes: UInt64 = 0
    /// A torn tail was cut off: a crash, not damage.
    public var isTorn = false
  }

  /// Recycled segments beyond this many are removed.
  private static let maximumSpares = 2

  public let options: Options
  public private(set) var recovery = Recovery()

  /// The appender's state; only the appender touches it.
  private var appender: LogAppender?
  private let appended: Atomic<LSN>
  /// Everything before this is in the file, as far as the operating system is concerned.
  private let handedOver: Atomic<LSN>
  private let durable: Atomic<LSN>

  /// Guards the lists of segments; never held during I/O on the append path but to roll over.
  private let lock = WaitableLock()
  /// Segments that hold records, oldest first; the last is the appender's.
  private var segments: [LogSegment] = []
  private var spares: [String] = []
  private var nextNumber: UInt64 = 1
  private var isClosed = false
  /// Set by a failed sync: what the medium holds is unknown, so nothing more is promised.
  private var syncFailure: StorageError?
  /// `syncFailure` is set; for the append path.
  private let isRefusing = Atomic<Bool>(false)
  private var timer: LabThread?
  private var lastTimedSync: UInt64 = 0

  /// Opens the log in `options.directory`, makes it when there is none, and calls `replay`
  /// with the position behind each intact record at or after `start` and its payload, in
  /// order. `start` must be a position that `end` or `append` once gave.
  ///
  /// Complexity: linear in the bytes from `start` to the end.
  /// Errors: `corruption` (a record that must have been durable fails its check; a torn
  /// tail is no error), `unsupportedVersion`, `noSpace`, `io`, and what `replay` throws.
  public static func open(
    _ options: Options, from start: LSN = 0,
    _ replay: (LSN, ByteSlice) throws(StorageError) -> Void
  ) throws(StorageError) -> WriteAheadLog {
    let reader = LogReader(directory: options.directory, fileSystem: options.fileSystem)
    let outcome = try reader.read(from: start) {
      (_, lsn, _, payload) throws(StorageError) in
      try replay(lsn + LSN(LogFormat.recordBytes(payload: payload.count)), payload)
    }
    let log = WriteAheadLog(options, end: outcome.end)
    log.recovery = Recovery(
      records: outcome.records, payloadBytes: outcome.payloadBytes, isTorn: outcome.isTorn)
    if options.isReadOnly { return log }
    try log.adopt(outcome)
    try log.startTimer()
    return log
  }

  private init(_ options: Options, end: LSN) {
    self.options = options
    appended = Atomic(end)
    handedOver = Atomic(end)
    durable = Atomic(0)
  }

  deinit { close() }

  /// Takes over what recovery found. The first record to come begins a new segment: none is
  /// written where a torn one may lie, and opening needs no space.
  private func adopt(_ outcome: LogReader.Outcome) throws(StorageError) {
    nextNumber = outcome.lastNumber + 1
    spares = outcome.spare
    if outcome.isTorn {
      // Torn segments must not come back as successors of the next life.
      for path in spares { try options.fileSystem.remove(path) }
      try options.fileSystem.syncDirectory(options.directory)
      spares = []
    }
    for segment in outcome.live {
      let file = try options.fileSystem.open(segment.path, .readWrite)
      segments.append(
        LogSegment(file: file, header: segment.header, fileBytes: segment.fileBytes))
    }
    if let last = segments.last {
      let used = LogFormat.segmentHeaderBytes + Int(outcome.end - last.header.base)
      if last.header.base == outcome.end {
        segments.removeLast()
        last.file.close()
        spares.append(last.file.path)
      } else if Int64(used) < last.fileBytes {
        try last.file.truncate(to: Int64(used))
        last.fileBytes = Int64(used)
      }
    }
    // What replay saw must not be lost by a crash after this open: make it durable before
    // anything newer is.
    if options.durability != .process && options.durability != .none {
      for segment in segments { try segment.file.sync() }
      durable.store(outcome.end, ordering: .relaxed)
    }
  }

  // MARK: Appending

  /// Position of the next record: everything appended lies before it.
  public var end: LSN { appended.load(ordering: .acquiring) }

  /// Everything before this position is known to survive power loss.
  public var durableEnd: LSN { durable.load(ordering: .acquiring) }

  /// Appends one record and returns the position behind it. One caller at a time.
  /// An empty write appends nothing.
  ///
  /// Errors: `noSpace`, `io` when no new segment can be had; `writesRefused` after a failed
  /// sync; `readOnly`; `closed`. Nothing is appended then.
  public func append(_ write: PendingWrite) throws(StorageError) -> LSN {
    let length = write.encodedLength
    let position = appended.load(ordering: .relaxed)
    if length == 0 { return position }
    let recordBytes = LogFormat.recordBytes(payload: length)
    if isRefusing.load(ordering: .relaxed) { try checkWritable(length) }
    if (appender?.room ?? 0) < recordBytes {
      try checkWritable(length)
      try roll(forRecordBytes: recordBytes)
    }
    let behind = position - durable.load(ordering: .relaxed)
    let lag =
      behind < LSN(LogFormat.RecordHeader.unknownLag)
      ? UInt32(truncatingIfNeeded: behind) : LogFormat.RecordHeader.unknownLag
    guard let appender else { throw .closed("the log") }
    try appender.append(write, recordBytes: recordBytes, lag: lag)
    let end = position + LSN(recordBytes)
    appended.store(end, ordering: .releasing)
    if !appender.hasBuffered { handedOver.store(end, ordering: .releasing) }
    return end
  }

  /// Does what the durability class promises for everything appended: waits for the medium
  /// in class `commit`, hands the bytes to the operating system in the others. One caller at
  /// a time, the appender. Errors: `io`, `noSpace`; then the records are taken back.
  public func commit(_ lsn: LSN) throws(StorageError) {
    guard let appender else { return }
    switch options.durability {
    case .none, .process:
      if appender.hasBuffered { try flush(appender) }
    case .interval(let milliseconds):
      if appender.hasBuffered { try flush(appender) }
      if options.maintenance == .inline {
        let now = options.clock.nanoseconds
        if now &- lastTimedSync >= UInt64(milliseconds) * 1_000_000 {
          lastTimedSync = now
          try sync()
        }
      }
    case .commit:
      if durable.load(ordering: .relaxed) >= lsn { return }
      try flush(appender)
      try sync()
    }
  }

  /// Takes back every record at or after `lsn`, none of which may have been acknowledged.
  /// For an engine whose change failed after its record was appended. One caller at a time.
  public func rewind(to lsn: LSN) throws(StorageError) {
    guard let appender, lsn < end else { return }
    guard lsn >= appender.segment.header.base else {
      throw StorageError(.io, "the log cannot take back records of an earlier segment")
    }
    try appender.rewind(
      toOffset: LogFormat.segmentHeaderBytes + Int(lsn - appender.segment.header.base))
    appended.store(lsn, ordering: .releasing)
    handedOver.store(lsn, ordering: .releasing)
    if durable.load(ordering: .relaxed) > lsn { durable.store(lsn, ordering: .relaxed) }
  }

  private func flush(_ appender: LogAppender) throws(StorageError) {
    // A failed flush drops what was buffered.
    defer {
      let written = LSN(appender.flushedOffset - LogFormat.segmentHeaderBytes)
      let end = appender.segment.header.base + written
      appended.store(end, ordering: .releasing)
      handedOver.store(end, ordering: .releasing)
    }
    try appender.flush()
  }

  private func checkWritable(_ length: Int) throws(StorageError) {
    if options.isReadOnly {
      throw StorageError(.readOnly, "the database is open read-only", path: options.directory)
    }
    if length > LogFormat.maximumPayload {
      throw StorageError(
        .invalidArgument, "the write has \(length) bytes, over the log's limit of 2 GB",
        remedy: "Split the batch")
    }
    try lock.withLock { () throws(StorageError) in
      if isClosed { throw .closed("the log") }
      if let syncFailure { throw refusal(syncFailure) }
    }
  }

  private func refusal(_ cause: StorageError) -> StorageError {
    StorageError(
      .writesRefused, "a sync of the log failed before (\(cause.message))",
      remedy: "Close the database and open it again: recovery finds what the medium holds",
      path: cause.path)
  }

  /// Closes the appender's segment and begins the next, in a recycled file if there is one.
  private func roll(forRecordBytes recordBytes: Int) throws(StorageError) {
    if let appender { try flush(appender) }
    let isSyncing = options.durability == .commit || isInterval
    // Only the last segment may hold bytes that a sync has not covered.
    if isSyncing && appender != nil { try sync() }
    let position = appended.load(ordering: .relaxed)
    let number = nextNumber
    let recycled = lock.withLock { spares.popLast() }
    let segment: LogSegment
    do throws(StorageError) {
      segment = try LogSegment.create(
        options.fileSystem, directory: options.directory, recycling: recycled,
        header: .init(
          number: number, base: position, durable: durable.load(ordering: .relaxed)),
        bytes: max(options.segmentBytes, LogFormat.segmentHeaderBytes + recordBytes),
        isSynced: isSyncing)
    } catch {
      if let recycled, (try? options.fileSystem.exists(recycled)) == true {
        lock.withLock { spares.append(recycled) }
      }
      throw error
    }
    nextNumber = number + 1
    lock.withLock { segments.append(segment) }
    appender?.end()
    appender = LogAppender(
      segment, isMapped: options.durability != .commit, counters: options.counters)
  }

  private var isInterval: Bool {
    if case .interval = options.durability { return true }
    return false
  }

  // MARK: Durability

  /// Makes everything appended survive power loss. May run beside the appender.
  /// Errors: `io`; from then on the log takes no more records.
  public func sync() throws(StorageError) {
    let target = handedOver.load(ordering: .acquiring)
    let (dirty, hasNewEntries) = try lock.withLock {
      () throws(StorageError) -> ([LogSegment], Bool) in
      if isClosed { throw .closed("the log") }
      if let syncFailure { throw refusal(syncFailure) }
      let dirty = segments.filter { $0.needsSync(before: target) }
      return (dirty, dirty.contains { !$0.isEntrySynced })
    }
    do throws(StorageError) {
      for segment in dirty { try segment.file.sync() }
      if hasNewEntries { try options.fileSystem.syncDirectory(options.directory) }
    } catch {
      lock.withLock {
        if syncFailure == nil && !isClosed {
          syncFailure = error
          isRefusing.store(true, ordering: .relaxed)
        }
      }
      throw error
    }
    lock.withLock {
      for segment in dirty {
        segment.syncedEnd = max(segment.syncedEnd, target)
        segment.isEntrySynced = true
      }
      if target > durable.load(ordering: .relaxed) { durable.store(target, ordering: .releasing) }
    }
  }

  private func startTimer() throws(StorageError) {
    guard case .interval(let milliseconds) = options.durability,
      options.maintenance == .background
    else { return }
    let lock = self.lock
    timer = try LabThread(name: "log-timer") { [weak self] in
      while true {
        lock.lock()
        _ = lock.wait(nanoseconds: UInt64(milliseconds) * 1_000_000)
        lock.unlock()
        guard let self, !self.lock.withLock({ self.isClosed }) else { return }
        // A failure is kept and refuses the next roll; there is nobody to tell it here.
        if self.end > self.durableEnd { try? self.sync() }
      }
    }
  }

  // MARK: Releasing

  /// Lets go of the segments that lie wholly before `lsn`: their records will never be
  /// replayed again. A few files are kept for recycling.
  public func release(before lsn: LSN) throws(StorageError) {
    let removed = lock.withLock { () -> [String] in
      var removed: [String] = []
      while segments.count > 1, segments[1].header.base <= lsn {
        // The file closes with its last user, which may be a sync under way.
        let segment = segments.removeFirst()
        if spares.count < WriteAheadLog.maximumSpares {
          spares.insert(segment.file.path, at: 0)
        } else {
          removed.append(segment.file.path)
        }
      }
      return removed
    }
    for path in removed { try options.fileSystem.remove(path) }
  }

  /// Bytes of the segments that hold records, and of those kept for recycling.
  public var bytesInUse: Int64 {
    lock.withLock { segments.reduce(0) { $0 + $1.fileBytes } }
  }

  /// Position of the oldest record still kept.
  public var beginning: LSN { lock.withLock { segments.first?.header.base ?? end } }

  /// Stops the timer and closes the files, without a sync: that is the engine's decision.
  /// REQUIRES: no append is in flight. Calling it again does nothing.
  public func close() {
    lock.lock()
    if isClosed { return lock.unlock() }
    isClosed = true
    lock.wakeAll()
    lock.unlock()
    timer?.join()
    timer = nil
    appender?.end()
    appender = nil
    for segment in segments { segment.file.close() }
  }
}
