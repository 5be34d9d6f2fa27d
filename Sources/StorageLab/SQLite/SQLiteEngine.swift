import CSQLite
import Glibc
import Synchronization

/// SQLite behind the lab's contract: the control that the hand-built engines are measured by.
///
/// One table, `entries (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID`, in
/// `data.sqlite`, in WAL mode. One connection writes, one writer at a time; it also answers a
/// plain `read` when nobody writes, because it alone keeps its page cache across its own
/// commits. Everything else reads on connections of a pool. `docs/formats/sqlite.md` says what
/// each setting is and why.
public final class SQLiteEngine: StorageEngine {
  public static let engineName = "sqlite"
  static let formatVersion: UInt32 = 1
  public static let fileName = "data.sqlite"
  /// `PRAGMA application_id`: "SLab".
  static let applicationID: Int64 = 0x534c_6162

  /// Its registry entry.
  public static let registryEntry = EngineRegistry.Entry(
    name: engineName, summary: "SQLite in WAL mode, the control", needsSyncs: true,
    variants: [
      .init(name: "small", summary: "copies its log back within some dozen writes: for tests") {
        (options) throws(StorageError) in try SQLiteEngine(options, .small)
      }
    ],
    tuned: { (setting) throws(StorageError) in
      var tuning = SQLiteOptions()
      tuning.pageBytes = try SettingText.pageBytes(
        setting, engine: engineName, "a power of two from 512 to 64KiB")
      guard tuning.pageBytes >= 512, tuning.pageBytes <= 65_536,
        tuning.pageBytes.nonzeroBitCount == 1
      else {
        throw StorageError(
          .invalidArgument, "the page size is \(tuning.pageBytes) bytes",
          remedy: "Choose a power of two from 512 to 65536")
      }
      return .init(name: setting, summary: "SQLite, tuned") {
        [tuning] (options) throws(StorageError) in try SQLiteEngine(options, tuning)
      }
    },
    tools: tools
  ) { (options) throws(StorageError) in try SQLiteEngine(options) }

  public let options: EngineOptions
  public let sqliteOptions: SQLiteOptions
  let directory: EngineDirectory
  let counters: IOCounters
  let path: String
  let vfs: SQLiteVFS?
  let pool: SQLiteReaderPool
  let snapshots = SQLiteSnapshotCounter()
  /// Guards `writer`. A plain read takes it only when it is free and nobody wants to write:
  /// a thread that reads in a loop would keep the writers out.
  let writerLock = WaitableLock()
  let waitingWriters = Atomic<Int>(0)
  /// The thread whose plain read has `writerLock` while the caller's closure runs, 0 for none.
  private let lendingThread = Atomic<UInt>(0)
  let writer: SQLiteConnection
  let syncTimer: SyncTimer?
  /// Bytes of a page, and frames in the log that make a commit copy them back.
  let pageBytes: Int
  let checkpointFrames: Int
  let maximumValueBytes: Int

  // Guarded by `writerLock`.
  nonisolated(unsafe) var isClosed = false
  nonisolated(unsafe) var userBytesWritten: UInt64 = 0
  nonisolated(unsafe) var synchronous: SQLiteSynchronous

  /// Opens or creates the database in the directory `options.path`.
  ///
  /// Errors: those of `EngineDirectory.open`; `corruption`, `wrongFormat` of the database
  /// file; `invalidArgument` for a page size that is none; `io`, `noSpace`, `readOnly`.
  public init(
    _ options: EngineOptions, _ sqliteOptions: SQLiteOptions = SQLiteOptions()
  ) throws(StorageError) {
    try sqliteOptions.validate()
    self.options = options
    self.sqliteOptions = sqliteOptions
    counters = IOCounters()
    let counting = CountingFileSystem(options.fileSystem, counters: counters)
    var engineOptions = options
    engineOptions.fileSystem = counting
    let (directory, _) = try EngineDirectory.open(
      engine: SQLiteEngine.engineName, version: SQLiteEngine.formatVersion, options: engineOptions)
    self.directory = directory
    do throws(StorageError) {
      let opening = try SQLiteOpening(options, sqliteOptions, counting)
      path = opening.path
      vfs = opening.vfs
      writer = opening.writer
      pageBytes = opening.pageBytes
      synchronous = opening.synchronous
      pool = opening.pool
    } catch {
      directory.release()
      throw error
    }
    checkpointFrames = max(1, sqliteOptions.checkpointBytes / pageBytes)
    maximumValueBytes = min(options.maximumValueBytes, writer.lengthLimit)
    do throws(StorageError) {
      // `synchronous=NORMAL` keeps log and database in order but syncs the log only to copy
      // it back; the timer bounds the loss in time.
      let log = writer.logFile
      syncTimer = try SyncTimer(options, name: "sqlite-sync") { () throws(StorageError) in
        try log?.sync()
      }
    } catch {
      directory.release()
      throw error
    }
  }

  deinit { try? close() }

  // MARK: Reading

  public func read(_ key: RawSpan, _ body: (RawSpan) -> Void) throws(StorageError) -> Bool {
    try EngineLimits.checkKey(key.byteCount)
    return try key.withSlice { (key) throws(StorageError) in
      if waitingWriters.load(ordering: .relaxed) == 0 && writerLock.tryLock() {
        defer { writerLock.unlock() }
        if isClosed { throw .closed("the engine") }
        try writer.setCacheShare(pool.cacheShare)
        lendingThread.store(UInt(pthread_self()), ordering: .relaxed)
        defer { lendingThread.store(0, ordering: .relaxed) }
        return try writer.read(key, body)
      }
      return try readBesideWriter(key, body)
    }
  }

  private func readBesideWriter(
    _ key: ByteSlice, _ body: (RawSpan) -> Void
  ) throws(StorageError) -> Bool {
    let connection = try pool.borrow()
    defer { pool.giveBack(connection) }
    connection.lock.lock()
    defer { connection.lock.unlock() }
    do throws(StorageError) { return try connection.read(key, body) } catch {
      throw pool.isClosed ? .closed("the engine") : error
    }
  }

  public func snapshot() throws(StorageError) -> any Snapshot {
    SQLiteSnapshot(try SQLiteReadTransaction(pool, snapshots))
  }

  public func cursor(_ range: KeyRange) throws(StorageError) -> any Cursor {
    SQLiteCursor(try SQLiteReadTransaction(pool, snapshots), range)
  }

  // MARK: Writing

  public func put(_ key: RawSpan, _ value: RawSpan) throws(StorageError) {
    try EngineLimits.checkKey(key.byteCount)
    try EngineLimits.checkValue(value.byteCount, limit: maximumValueBytes)
    try key.withSlice { (key) throws(StorageError) in
      try value.withSlice { (value) throws(StorageError) in
        try commit(userBytes: key.count + value.count) { (writer) throws(StorageError) in
          try writer.run(.put, key, value)
        }
      }
    }
  }

  public func delete(_ key: RawSpan) throws(StorageError) {
    try EngineLimits.checkKey(key.byteCount)
    try key.withSlice { (key) throws(StorageError) in
      try commit(userBytes: key.count) { (writer) throws(StorageError) in
        try writer.run(.delete, key)
      }
    }
  }

  public func deleteRange(from lower: RawSpan, to upper: RawSpan) throws(StorageError) {
    try EngineLimits.checkValue(lower.byteCount, limit: EngineLimits.maximumKeyBytes)
    try EngineLimits.checkValue(upper.byteCount, limit: EngineLimits.maximumKeyBytes)
    try lower.withSlice { (lower) throws(StorageError) in
      try upper.withSlice { (upper) throws(StorageError) in
        try commit(userBytes: lower.count + upper.count) { (writer) throws(StorageError) in
          try writer.run(.deleteRange, lower, upper)
        }
      }
    }
  }

  public func write(_ batch: WriteBatch) throws(StorageError) {
    try batch.validate(maximumValueBytes: maximumValueBytes)
    if batch.isEmpty { return try checkWritable() }
    try batch.encoded.withSlice { (encoded) throws(StorageError) in
      try commit(userBytes: 0) { (writer) throws(StorageError) in
        try writer.run(.beginWriting)
        userBytesWritten += try apply(encoded, writer)
        try writer.run(.commit)
      }
    }
  }

  /// Runs the operations; returns the bytes of their keys and values.
  private func apply(
    _ encoded: ByteSlice, _ writer: SQLiteConnection
  ) throws(StorageError) -> UInt64 {
    var decoder = WriteBatch.Decoder(encoded)
    var bytes = 0
    while let operation = try decoder.next() {
      bytes += operation.key.count + operation.value.count
      switch operation.tag {
      case .put: try writer.run(.put, operation.key, operation.value)
      case .delete: try writer.run(.delete, operation.key)
      case .deleteRange: try writer.run(.deleteRange, operation.key, operation.value)
      case .merge: throw WriteBatch.Decoder.unexpectedMerge
      }
    }
    return UInt64(bytes)
  }

  private func checkWritable() throws(StorageError) {
    try writerLock.withLock { () throws(StorageError) in
      if isClosed { throw .closed("the engine") }
      if options.isReadOnly { throw readOnlyError }
    }
  }

  var readOnlyError: StorageError {
    StorageError(
      .readOnly, "the database is open for reading only",
      remedy: "Open it without isReadOnly to write", path: options.path)
  }

  @inline(__always)
  func lockForWriting() {
    waitingWriters.wrappingAdd(1, ordering: .relaxed)
    writerLock.lock()
    waitingWriters.wrappingSubtract(1, ordering: .relaxed)
  }

  /// Calls `body` while nobody writes. A thread that is inside the closure of its own `read`
  /// already sees to that.
  func withWriterAtRest<R>(
    _ body: (SQLiteConnection) throws(StorageError) -> R
  ) throws(StorageError) -> R {
    let isLent = lendingThread.load(ordering: .relaxed) == UInt(pthread_self())
    if !isLent { lockForWriting() }
    defer { if !isLent { writerLock.unlock() } }
    if isClosed { throw .closed("the engine") }
    return try body(writer)
  }

  /// Runs one transaction as the only writer, then the upkeep that it made due.
  @inline(__always)
  private func commit(
    userBytes: Int, _ body: (SQLiteConnection) throws(StorageError) -> Void
  ) throws(StorageError) {
    lockForWriting()
    defer { writerLock.unlock() }
    if isClosed { throw .closed("the engine") }
    if options.isReadOnly { throw readOnlyError }
    try syncTimer?.checkHealth()
    try writer.setCacheShare(pool.cacheShare)
    do throws(StorageError) { try body(writer) } catch {
      writer.rollBackIfNeeded()
      throw error
    }
    userBytesWritten &+= UInt64(userBytes)
    syncTimer?.noteCommit()
    if writer.logFrames >= checkpointFrames { copyLogBack() }
  }
}
