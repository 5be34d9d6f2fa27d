import Glibc
import Synchronization

/// An ordered store in one file of copy-on-write pages under a write-ahead log.
///
/// A write appends one logical record to the log and then changes pages in the cache: in
/// place when the page is younger than the newest live snapshot and the last checkpoint,
/// else on a copy, path to the root included. So a snapshot is a root and an epoch number,
/// and a checkpoint writes a tree that nobody changes. Format and arguments:
/// `docs/formats/btree.md`.
///
/// A plain `read` is linearizable per key: it sees every write acknowledged before it began,
/// and of each key only what a whole batch makes of it. Two reads may see one before and one
/// after somebody's batch; all of a batch or nothing of it is what snapshots and cursors show.
public final class BTreeEngine: StorageEngine, @unchecked Sendable {
  public static let engineName = "btree"
  /// Version of the directory's format.
  public static let formatVersion: UInt32 = 1
  /// The file of pages in the engine's directory.
  public static let pagesName = "data.pages"

  public let options: EngineOptions
  public let tuning: BTreeTuning

  let directory: EngineDirectory
  let counters: IOCounters
  let cache: BTreePageCache
  let space: BTreeSpace
  let root: BTreeRoot
  /// Made once: a reader made for each get would retain cache and root, two writes each to
  /// lines that all readers share.
  private let reader: BTreeReader
  let writer: BTreeWriter
  /// Nil with durability `none` and read-only.
  let log: WriteAheadLog?
  let checkpointer: BTreeCheckpointer
  let recovery: WriteAheadLog.Recovery

  let queue = CommitQueue()
  let gate: BTreeGate
  /// The leader's: see `commit`.
  private var repeats = RepeatedKeyFinder()

  let isClosed = Atomic<Bool>(false)
  let openSnapshots = Atomic<Int>(0)
  /// Pages that reads and cursors visited, in the cache or not.
  let accesses = StripedCounter()
  private var maintenance: BTreeMaintenance?

  /// Opens, and if allowed makes, the database at `options.path`.
  ///
  /// Complexity: linear in the log's length since the last checkpoint.
  /// Errors: as `EngineDirectory.open`, `WriteAheadLog.open`; `corruption`, `io`, `noSpace`.
  public static func open(
    _ options: EngineOptions, _ tuning: BTreeTuning = .init()
  ) throws(StorageError) -> BTreeEngine {
    let opening = try BTreeOpening(options, tuning)
    do throws(StorageError) {
      let engine = try BTreeEngine(opening)
      try engine.finishOpening()
      return engine
    } catch {
      opening.directory.release()
      throw error
    }
  }

  private init(_ opening: BTreeOpening) throws(StorageError) {
    let state = try opening.load()
    options = opening.options
    tuning = opening.tuning
    directory = opening.directory
    counters = opening.counters
    cache = state.cache
    space = state.space
    root = state.root
    reader = BTreeReader(cache: state.cache, root: state.root)
    writer = state.writer
    gate = BTreeGate(appliedLSN: state.lsn)
    log = state.log
    recovery = state.recovery
    checkpointer = BTreeCheckpointer(
      cache: cache, space: space, root: root, writer: writer, log: log, gate: gate,
      superblock: state.superblock, options: opening.options)
    mustCheckpoint = state.mustCheckpoint
  }

  private let mustCheckpoint: Bool

  private func finishOpening() throws(StorageError) {
    if options.isReadOnly { return }
    if mustCheckpoint { try checkpointer.run(trims: false, forced: true) }
    if options.maintenance == .background {
      try cache.startWarming()
      let maintenance = try BTreeMaintenance(checkpointer)
      self.maintenance = maintenance
    }
  }

  deinit { try? close() }

  // MARK: Reading

  public func read(_ key: RawSpan, _ body: (RawSpan) -> Void) throws(StorageError) -> Bool {
    try EngineLimits.checkKey(key.byteCount)
    try checkOpen()
    accesses.add(root.height)
    return try key.withSlice { (key) throws(StorageError) in
      if tuning.readsOptimistically {
        switch try reader.read(key, body) {
        case .found: return true
        case .absent: return false
        case .needsSnapshot: break
        }
      }
      let holder = hold()
      defer { release(holder) }
      return try cache.readFrozen(root: holder.root, key, body)
    }
  }

  public func snapshot() throws(StorageError) -> any Snapshot {
    try checkOpen()
    return BTreeSnapshot(self, hold())
  }

  public func cursor(_ range: KeyRange) throws(StorageError) -> any Cursor {
    try checkOpen()
    return BTreeCursor(self, hold(), range)
  }

  /// Freezes the newest state. Waits for changes in memory, never for the medium's sync.
  private func hold() -> BTreeSpace.Holder {
    openSnapshots.wrappingAdd(1, ordering: .relaxed)
    return gate.lock.withLock {
      space.freeze(
        root: root.id, height: root.height, entries: writer.entries, serial: writer.serial,
        isShared: true)
    }
  }

  func retain(_ holder: BTreeSpace.Holder) {
    openSnapshots.wrappingAdd(1, ordering: .relaxed)
    space.retain(holder)
  }

  func release(_ holder: BTreeSpace.Holder) {
    openSnapshots.wrappingSubtract(1, ordering: .relaxed)
    space.release(holder)
  }

  @inline(__always)
  func checkOpen() throws(StorageError) {
    if isClosed.load(ordering: .relaxed) { throw .closed("the database") }
  }

  // MARK: Writing

  public func put(_ key: RawSpan, _ value: RawSpan) throws(StorageError) {
    try EngineLimits.checkKey(key.byteCount)
    try EngineLimits.checkValue(value.byteCount, limit: options.maximumValueBytes)
    try key.withSlice { (key) throws(StorageError) in
      try value.withSlice { (value) throws(StorageError) in
        try submit(.operation(.put, key, value))
      }
    }
  }

  public func delete(_ key: RawSpan) throws(StorageError) {
    try EngineLimits.checkKey(key.byteCount)
    try key.withSlice { (key) throws(StorageError) in
      try submit(.operation(.delete, key, .empty))
    }
  }

  public func deleteRange(from lower: RawSpan, to upper: RawSpan) throws(StorageError) {
    try EngineLimits.checkValue(lower.byteCount, limit: EngineLimits.maximumKeyBytes)
    try EngineLimits.checkValue(upper.byteCount, limit: EngineLimits.maximumKeyBytes)
    try lower.withSlice { (lower) throws(StorageError) in
      try upper.withSlice { (upper) throws(StorageError) in
        try submit(.operation(.deleteRange, lower, upper))
      }
    }
  }

  public func write(_ batch: WriteBatch) throws(StorageError) {
    try batch.validate(maximumValueBytes: options.maximumValueBytes)
    if batch.isEmpty { return try checkWritable() }
    try batch.encoded.withSlice { (encoded) throws(StorageError) in
      try submit(.batch(encoded))
    }
  }

  func checkWritable() throws(StorageError) {
    try checkOpen()
    if options.isReadOnly {
      throw StorageError(.readOnly, "the database is open read-only", path: options.path)
    }
  }

  @inline(__always)
  private func submit(_ write: PendingWrite) throws(StorageError) {
    try checkWritable()
    try queue.submit(write) { (writes) throws(StorageError) in try commit(writes) }
  }

  /// Log, then tree: nothing is visible before its record is as durable as promised.
  private func commit(_ writes: UnsafeBufferPointer<PendingWrite>) throws(StorageError) {
    try checkOpen()
    try admit(writes)
    for write in writes {
      var operations = write.operations
      while let operation = try operations.next() { try writer.prepare(operation) }
    }
    let end = try append(writes)
    var count = 0
    gate.lock.lock()
    do throws(StorageError) {
      for write in writes {
        let isStepwise = try repeats.hasRepeats(write)
        if isStepwise { root.beginSteps() }
        defer { if isStepwise { root.endSteps() } }
        var operations = write.operations
        while let operation = try operations.next() {
          try writer.apply(operation)
          count &+= 1
        }
      }
    } catch {
      refuseWrites(error)
      gate.lock.unlock()
      throw error
    }
    gate.appliedLSN = end
    gate.lock.unlock()
    accesses.add(count &* root.height)
    try maintain(end)
  }

  /// Appends the group's records and does what the class promises. When it throws, the log
  /// has taken the whole group back.
  @inline(__always)
  private func append(_ writes: UnsafeBufferPointer<PendingWrite>) throws(StorageError) -> LSN {
    guard let log else { return gate.appliedLSN }
    var end = log.end
    for write in writes { end = try log.append(write) }
    try log.commit(end)
    return end
  }

  /// REQUIRES: the gate's lock.
  private func refuseWrites(_ error: StorageError) {
    if gate.failure == nil { gate.failure = error }
    writer.releasePins()
  }

  /// Refuses what the tree could not take in after it was logged.
  @inline(__always)
  private func admit(_ writes: UnsafeBufferPointer<PendingWrite>) throws(StorageError) {
    if gate.failure != nil || cache.isChoked.load(ordering: .relaxed) { try checkHealth() }
    var bytes = 0
    for write in writes { bytes += write.encodedLength }
    if bytes > 1 << 16 || space.isNearlyFull { try checkRoom(bytes) }
  }

  @inline(never)
  private func checkHealth() throws(StorageError) {
    if let failure = gate.failure {
      throw StorageError(
        .writesRefused, "an earlier write failed half-way (\(failure.message))",
        remedy: "Close the database and open it again: recovery finishes or undoes it",
        path: failure.path)
    }
    if let error = cache.relieve() {
      throw StorageError(
        error.code, "the cache is full of changes that cannot be written (\(error.message))",
        remedy: error.remedy, path: error.path, errno: error.errno)
    }
  }

  @inline(never)
  private func checkRoom(_ bytes: Int) throws(StorageError) {
    let pages = 2 * (bytes / (cache.pageSize / 2)) + 4 * BTreeWriter.maximumHeight
    if space.headroom < pages {
      throw StorageError(
        .noSpace, "the database is about to fill the reserved address range",
        remedy: "Open it with a larger maximumDatabaseBytes", path: options.path)
    }
  }

  // MARK: Upkeep

  public func sync() throws(StorageError) {
    try checkOpen()
    if options.isReadOnly { return }
    guard let log else { return try checkpoint() }
    try log.sync()
  }

  public func checkpoint() throws(StorageError) {
    try checkWritable()
    try runCheckpoint(trims: true)
  }

  func runCheckpoint(trims: Bool) throws(StorageError) {
    try checkpointer.run(trims: trims)
  }

  /// Starts a checkpoint when one is due. The write is done, so a failure is an event and
  /// not its error.
  @inline(__always)
  private func maintain(_ end: LSN) throws(StorageError) {
    let isDue =
      log != nil
      ? end &- checkpointer.lastLSN.load(ordering: .relaxed) >= LSN(tuning.checkpointLogBytes)
      : Int(writer.counters.pagesMade &- checkpointer.lastPagesMade.load(ordering: .relaxed))
        &* cache.pageSize >= tuning.checkpointPageBytes
    if isDue { startCheckpoint() }
  }

  @inline(never)
  private func startCheckpoint() {
    if let maintenance { return maintenance.request() }
    checkpointer.runReporting()
  }

  public func settle() throws(StorageError) {
    try checkOpen()
    maintenance?.waitUntilIdle()
  }

  public func close() throws(StorageError) {
    if isClosed.exchange(true, ordering: .acquiringAndReleasing) { return }
    maintenance?.stop()
    maintenance = nil
    let result = Result { () throws(StorageError) in
      try queue.withExclusive { () throws(StorageError) in
        if options.isReadOnly || gate.failure != nil { return }
        try runCheckpoint(trims: true)
      }
    }
    // What the checkpoint could not make durable, the log may.
    if case .failure = result { try? log?.sync() }
    log?.close()
    directory.release()
    try result.get()
  }
}
