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
    /// Told when an append had to wait for the next window or segment.
    public var events: (any EventSink)?

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
    /// Segments behind a torn record were dropped: a crash, not damage.
    public var isTorn = false
  }

  /// Recycled segments beyond this many are removed.
  private static let maximumSpares = 2

  public let options: Options
  public private(set) var recovery = Recovery()

  /// The appender's state; only the appender touches it. Nil before the first record, and
  /// after records were taken back: then the next one begins a new segment.
  private var appender: LogAppender?
  /// The appender's, kept from segment to segment.
  private var ahead: WindowAhead?
  /// The appender holds records that are not in the file yet.
  private var isBuffering = false
  /// Where the group that is being appended began: nothing before it is ever taken back.
  private var settled: LSN
  private let appended: Atomic<LSN>
  /// Everything before this is in the file, as far as the operating system is concerned.
  private let handedOver: Atomic<LSN>
  private let durable: Atomic<LSN>

  /// Held during a sync, and while what there is to sync is taken back or closed. One at a
  /// time, because the operating system reports a failed sync to one caller only.
  private let syncLock = WaitableLock()
  /// Guards the lists of segments; never held during I/O. Taken after `syncLock`.
  private let lock = WaitableLock()
  /// Segments that hold records, oldest first; the last is the appender's.
  private var segments: [LogSegment] = []
  private var spares: [String] = []
  private var nextNumber: UInt64 = 1
  /// No replay will ever start before this.
  private var released: LSN
  private var isClosed = false
  /// A sync failed, or records could not be taken back: what the medium holds is unknown, so
  /// nothing more is promised.
  private var failure: StorageError?
  /// `failure` is set; for the append path.
  private let isRefusing = Atomic<Bool>(false)
  private var timer: PeriodicThread?
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
    let log = WriteAheadLog(options, from: start, to: outcome.end)
    log.recovery = Recovery(
      records: outcome.records, payloadBytes: outcome.payloadBytes, isTorn: outcome.isTorn)
    if options.isReadOnly { return log }
    try log.adopt(outcome)
    try log.startTimer()
    return log
  }

  private init(_ options: Options, from start: LSN, to end: LSN) {
    self.options = options
    released = start
    settled = end
    appended = Atomic(end)
    handedOver = Atomic(end)
    durable = Atomic(0)
  }

  deinit { close() }

  /// Classes in which power loss must leave a log that its own records can vouch for.
  private var isSyncing: Bool {
    switch options.durability {
    case .none, .process: false
    case .interval, .commit: true
    }
  }

  /// Takes over what recovery found. The first record to come begins a new segment: none is
  /// written where a torn one may lie, and opening needs no space.
  private func adopt(_ outcome: LogReader.Outcome) throws(StorageError) {
    nextNumber = outcome.lastNumber + 1
    for path in outcome.unusable { try? options.fileSystem.remove(path) }
    for segment in outcome.spare { discard(segment.path, fileBytes: segment.fileBytes) }
    for found in outcome.live {
      let file = try options.fileSystem.open(found.path, .readWrite)
      var bytes = found.fileBytes
      if found.path == outcome.live.last?.path {
        if found.header.base == outcome.end && bytes > Int64(LogFormat.segmentHeaderBytes) {
          file.close()
          discard(found.path, fileBytes: bytes)
          break
        }
        let used =
          Int64(LogFormat.segmentHeaderBytes) + Int64(outcome.end - found.header.base)
        if used < bytes {
          try file.truncate(to: used)
          bytes = used
        }
      }
      segments.append(LogSegment(file: file, header: found.header, fileBytes: bytes))
    }
    for (segment, next) in zip(segments, segments.dropFirst()) { segment.end = next.header.base }
    segments.last?.end = outcome.end
    // What replay saw must not be lost by a crash after this open: make it durable before
    // anything newer is.
    if isSyncing { try sync() }
  }

  /// Keeps a file that holds nothing of use for recycling, or removes it. One that cannot be
  /// removed does no harm; the next open finds it again.
  private func discard(_ path: String, fileBytes: Int64) {
    let isKept = lock.withLock {
      let isKept =
        spares.count < WriteAheadLog.maximumSpares
        && fileBytes >= Int64(options.segmentBytes)
        && fileBytes <= 2 * Int64(options.segmentBytes)
      if isKept { spares.insert(path, at: 0) }
      return isKept
    }
    if !isKept { try? options.fileSystem.remove(path) }
  }

  // MARK: Appending

  /// Position of the next record: everything appended lies before it.
  public var end: LSN { appended.load(ordering: .acquiring) }

  /// Everything before this position is known to survive power loss.
  public var durableEnd: LSN { durable.load(ordering: .acquiring) }

  /// Appends one record and returns the position behind it. One caller at a time.
  /// An empty write appends nothing.
  ///
  /// The records from one `commit` to the next are a group: whatever a failed append or commit
  /// leaves of a group is taken back, so that a group is in the log as a whole or not at all.
  ///
  /// Errors: `noSpace`, `io` when no new segment can be had; `writesRefused` after a failed
  /// sync; `readOnly`; `closed`; `invalidArgument` over 2 GB.
  public func append(_ write: PendingWrite) throws(StorageError) -> LSN {
    let length = write.encodedLength
    let position = appended.load(ordering: .relaxed)
    if length == 0 { return position }
    let recordBytes = LogFormat.recordBytes(payload: length)
    do throws(StorageError) {
      let appender = try writableAppender(recordBytes)
      let behind = position - min(durable.load(ordering: .relaxed), settled)
      let lag =
        behind < LSN(LogFormat.RecordHeader.unknownLag)
        ? UInt32(truncatingIfNeeded: behind) : LogFormat.RecordHeader.unknownLag
      try appender.append(write, recordBytes: recordBytes, lag: lag)
      let end = position + LSN(recordBytes)
      appended.store(end, ordering: .releasing)
      isBuffering = appender.hasBuffered
      if !isBuffering { handedOver.store(end, ordering: .releasing) }
      return end
    } catch {
      try? rewind(to: settled)
      throw error
    }
  }

  /// Ends the group: does what the durability class promises for everything appended. Waits
  /// for the medium in class `commit`, hands the bytes to the operating system in the others.
  /// One caller at a time, the appender.
  ///
  /// Errors: `io`, `noSpace` when the group could not be written: it is taken back. `io` when
  /// it could not be synced: the log takes no more records, and only the next recovery knows
  /// whether the medium holds the group.
  public func commit(_ lsn: LSN) throws(StorageError) {
    if isBuffering, let appender {
      do throws(StorageError) { try appender.flush() } catch {
        try? rewind(to: settled)
        throw error
      }
      isBuffering = false
      handedOver.store(appender.handedOver, ordering: .releasing)
    }
    switch options.durability {
    case .none, .process: break
    case .interval:
      if options.maintenance == .inline, let interval = options.durability.syncInterval {
        let now = options.clock.nanoseconds
        if now &- lastTimedSync >= interval {
          lastTimedSync = now
          try sync()
        }
      }
    case .commit:
      if durable.load(ordering: .relaxed) < lsn { try sync() }
    }
    settled = appended.load(ordering: .relaxed)
  }

  /// Takes back every record at or after `lsn`, the end of the log before the last group. For
  /// an engine whose change failed after its records were committed; nobody may have been told
  /// of them. One caller at a time, the appender.
  ///
  /// The first record is made invalid, and the next one goes to a new segment that begins at
  /// `lsn`: nothing of what lies behind can ever follow it.
  ///
  /// Errors: `io`; then the log takes no more records.
  public func rewind(to lsn: LSN) throws(StorageError) {
    guard lsn < end else { return }
    settled = min(settled, lsn)
    if let appender, appender.dropBuffered(from: lsn) {
      appended.store(appender.end, ordering: .releasing)
      return
    }
    appender = nil
    try syncLock.withLock { () throws(StorageError) in
      let (target, later) = lock.withLock { () -> (LogSegment?, ArraySlice<LogSegment>) in
        let count = segments.lastIndex { $0.header.base <= lsn }.map { $0 + 1 } ?? 0
        let later = segments[count...]
        segments.removeSubrange(count...)
        return (segments.last, later)
      }
      do throws(StorageError) {
        guard let target else {
          throw StorageError(.io, "the log no longer holds what is to be taken back")
        }
        let nothing = [UInt8](repeating: 0, count: LogFormat.recordHeaderBytes)
        try target.file.write(nothing, at: target.offset(of: lsn))
        if isSyncing { try target.file.sync() }
        lock.withLock {
          target.end = lsn
          target.syncedEnd = min(target.syncedEnd, lsn)
        }
      } catch {
        fail(error)
        throw error
      }
      for segment in later {
        segment.file.close()
        discard(segment.file.path, fileBytes: segment.fileBytes)
      }
      appended.store(lsn, ordering: .releasing)
      handedOver.store(lsn, ordering: .releasing)
      if durable.load(ordering: .relaxed) > lsn { durable.store(lsn, ordering: .releasing) }
    }
  }

  /// The appender, of a segment with room for the record.
  @inline(__always)
  private func writableAppender(_ recordBytes: Int) throws(StorageError) -> LogAppender {
    if let appender, appender.room >= recordBytes, !isRefusing.load(ordering: .relaxed) {
      return appender
    }
    return try roll(forRecordBytes: recordBytes)
  }

  private func checkWritable(_ recordBytes: Int) throws(StorageError) {
    if options.isReadOnly {
      throw StorageError(.readOnly, "the database is open read-only", path: options.directory)
    }
    if recordBytes > LogFormat.recordBytes(payload: LogFormat.maximumPayload) {
      throw StorageError(
        .invalidArgument, "the write has \(recordBytes) bytes, over the log's limit of 2 GB",
        remedy: "Split the batch")
    }
    try lock.withLock { () throws(StorageError) in
      if isClosed { throw .closed("the log") }
      if let failure { throw refusal(failure) }
    }
  }

  private func fail(_ error: StorageError) {
    lock.withLock { if failure == nil { failure = error } }
    isRefusing.store(true, ordering: .releasing)
  }

  private func refusal(_ cause: StorageError) -> StorageError {
    StorageError(
      .writesRefused, "the log failed before (\(cause.message))",
      remedy: "Close the database and open it again: recovery finds what the medium holds",
      path: cause.path)
  }

  /// Closes the appender's segment and begins the next, in a recycled file if there is one.
  private func roll(forRecordBytes recordBytes: Int) throws(StorageError) -> LogAppender {
    try checkWritable(recordBytes)
    let watch = StallWatch(options.events, options.clock)
    let segment = try watch.watch("the log begins a segment") { () throws(StorageError) in
      try nextSegment(recordBytes)
    }
    let position = segment.header.base
    nextNumber += 1
    lock.withLock {
      segments.last?.end = position
      segments.append(segment)
    }
    let isMapped = options.durability != .commit
    // Without the thread each window is mapped as it is needed.
    if isMapped && ahead == nil && options.maintenance == .background { ahead = try? WindowAhead() }
    let next = LogAppender(
      segment, isMapped: isMapped, isContinuing: appender != nil, ahead: ahead,
      counters: options.counters, watch: watch)
    appender = next
    return next
  }

  /// The segment that goes on where the present one ends, with room for the record.
  private func nextSegment(_ recordBytes: Int) throws(StorageError) -> LogSegment {
    try appender?.flush()
    let position = appended.load(ordering: .relaxed)
    handedOver.store(position, ordering: .releasing)
    // Only the last segment may hold bytes that a sync has not covered.
    if isSyncing { try sync() }
    let header = LogFormat.SegmentHeader(
      number: nextNumber, base: position,
      durable: min(durable.load(ordering: .relaxed), settled))
    return try makeSegment(
      header, bytes: max(options.segmentBytes, LogFormat.segmentHeaderBytes + recordBytes))
  }

  private func makeSegment(
    _ header: LogFormat.SegmentHeader, bytes: Int
  ) throws(StorageError) -> LogSegment {
    while true {
      let spare = lock.withLock { spares.popLast() }
      do throws(StorageError) {
        return try LogSegment.create(
          options.fileSystem, directory: options.directory, recycling: spare, header: header,
          bytes: bytes, isSynced: isSyncing)
      } catch {
        // A spare too small to grow is gone and left its space to the next try.
        if spare == nil || error.code != .noSpace { throw error }
      }
    }
  }

  // MARK: Durability

  /// Makes everything appended survive power loss. May run beside the appender.
  /// Errors: `io`; from then on the log takes no more records.
  public func sync() throws(StorageError) {
    try syncLock.withLock { () throws(StorageError) in
      let target = handedOver.load(ordering: .acquiring)
      let dirty = try lock.withLock { () throws(StorageError) -> [LogSegment] in
        if isClosed { throw .closed("the log") }
        if let failure { throw refusal(failure) }
        return segments.filter { $0.needsSync(before: target) || !$0.isEntrySynced }
      }
      do throws(StorageError) {
        for segment in dirty { try segment.file.sync() }
        if dirty.contains(where: { !$0.isEntrySynced }) {
          try options.fileSystem.syncDirectory(options.directory)
        }
      } catch {
        fail(error)
        throw error
      }
      lock.withLock {
        for segment in dirty {
          segment.syncedEnd = target
          segment.isEntrySynced = true
        }
      }
      if target > durable.load(ordering: .relaxed) { durable.store(target, ordering: .releasing) }
    }
  }

  private func startTimer() throws(StorageError) {
    guard let interval = options.durability.syncInterval, options.maintenance == .background
    else { return }
    timer = try PeriodicThread(name: "log-timer", nanoseconds: interval) { [weak self] in
      guard let self, self.end > self.durableEnd else { return }
      // A failure is kept and refuses the next record; there is nobody to tell it here.
      try? self.sync()
    }
  }

  // MARK: Releasing

  /// Lets go of the segments that lie wholly before `lsn`: their records will never be
  /// replayed again. A few files are kept for recycling. May run beside the appender.
  public func release(before lsn: LSN) throws(StorageError) {
    let free = lock.withLock { () -> ArraySlice<LogSegment> in
      released = max(released, lsn)
      let count = segments.dropFirst().prefix { $0.header.base <= lsn }.count
      defer { segments.removeFirst(count) }
      return segments.prefix(count)
    }
    // A file closes with its last user, which may be a sync under way.
    for segment in free { discard(segment.file.path, fileBytes: segment.fileBytes) }
  }

  /// Bytes of the segments that hold records; those kept for recycling not counted.
  public var bytesInUse: Int64 {
    lock.withLock { segments.reduce(0) { $0 + $1.fileBytes } }
  }

  /// Position of the oldest record still kept.
  public var beginning: LSN { lock.withLock { segments.first?.header.base ?? end } }

  // MARK: Closing

  /// Stops the timer and closes the files, without a sync of the records: that is the engine's
  /// decision. Leaves a directory that is small and quick to open.
  /// REQUIRES: no append is in flight. Calling it again does nothing.
  public func close() {
    let wasClosed = lock.withLock {
      defer { isClosed = true }
      return isClosed
    }
    if wasClosed { return }
    timer?.stop()
    timer = nil
    appender = nil
    ahead?.stop()
    ahead = nil
    syncLock.withLock {
      // A group that was never committed stays as it is: recovery decides.
      let end = appended.load(ordering: .relaxed)
      if !options.isReadOnly && !isRefusing.load(ordering: .acquiring) && settled == end {
        leaveCompact(end)
      }
      for segment in segments { segment.file.close() }
    }
  }

  /// Begins the next segment, of nothing but a header: it tells the next open how much of the
  /// log was durable, so that not even damage to the last records passes for a torn tail. Then
  /// gives back what the records do not need. Whatever of this fails, or is lost by a crash,
  /// the log is what it was: nobody needs to know. REQUIRES: `syncLock` is held.
  private func leaveCompact(_ end: LSN) {
    let proven = durable.load(ordering: .relaxed)
    // Whoever let go of records has them in durable files: older ones are not the engine's newest.
    let (unused, last, contained) = lock.withLock { () -> ([String], LogSegment?, LSN) in
      defer { spares = [] }
      return (spares, segments.last, released)
    }
    for path in unused { try? options.fileSystem.remove(path) }
    guard let last else { return }
    let headerBytes = LogFormat.segmentHeaderBytes
    if last.header.base < end || last.fileBytes > Int64(headerBytes) {
      try? last.file.truncate(to: last.offset(of: end))
      let header = LogFormat.SegmentHeader(
        number: nextNumber, base: end, durable: min(max(proven, contained), end))
      guard
        let next = try? LogSegment.create(
          options.fileSystem, directory: options.directory, recycling: nil, header: header,
          bytes: headerBytes, isSynced: isSyncing)
      else { return }
      lock.withLock { segments.append(next) }
    }
    let free = lock.withLock { () -> ArraySlice<LogSegment> in
      guard released >= end else { return [] }
      defer { segments.removeFirst(segments.count - 1) }
      return segments.dropLast()
    }
    for segment in free {
      segment.file.close()
      try? options.fileSystem.remove(segment.file.path)
    }
  }
}
