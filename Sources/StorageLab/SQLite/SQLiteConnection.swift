import CSQLite

/// One connection with its prepared statements. Opened without SQLite's own mutex: whoever
/// uses it owns it alone for the time, or holds `lock`.
final class SQLiteConnection: @unchecked Sendable {
  /// Guards a connection that several holders share: a snapshot, its cursors, the engine.
  let lock = WaitableLock()
  let path: String
  /// Frames in the log after the latest commit of this connection.
  fileprivate(set) var logFrames = 0
  /// Figures as of the last time that somebody could look.
  private(set) var cache = SQLiteCacheFigures()
  /// The share of the cache budget that is set now, in bytes.
  private var cacheShare = -1

  private var handle: OpaquePointer?
  private let vfs: SQLiteVFS?
  private var statements = [OpaquePointer?](repeating: nil, count: SQLiteStatement.allCases.count)
  private var idleQueries = [[OpaquePointer]](repeating: [], count: SQLiteQuery.allCases.count)

  /// Errors: `notFound`, `wrongFormat`, `corruption`, `io` and what the file system says.
  init(_ path: String, flags: Int32, vfs: SQLiteVFS?) throws(StorageError) {
    self.path = path
    self.vfs = vfs
    let code = sqlite3_open_v2(
      path, &handle, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE,
      vfs?.name)
    guard code == SQLITE_OK, handle != nil else {
      let failure = error(code)
      sqlite3_close(handle)
      handle = nil
      throw failure
    }
    sqlite3_wal_hook(
      handle,
      { context, _, _, frames in
        guard let context else { return SQLITE_OK }
        Unmanaged<SQLiteConnection>.fromOpaque(context).takeUnretainedValue().logFrames =
          Int(frames)
        return SQLITE_OK
      }, Unmanaged.passUnretained(self).toOpaque())
  }

  deinit { close() }

  /// Calling it again does nothing.
  func close() {
    guard let handle else { return }
    for statement in statements { sqlite3_finalize(statement) }
    for query in idleQueries.joined() { sqlite3_finalize(query) }
    idleQueries.removeAll()
    sqlite3_close_v2(handle)
    self.handle = nil
  }

  /// Keeps `close` from touching the log: for a connection that outlives its engine.
  func disarm() { if let handle { _ = lab_sqlite3_no_checkpoint_on_close(handle) } }

  // MARK: Statements

  /// Runs statements that give no rows, or whose rows nobody wants.
  func execute(_ sql: String) throws(StorageError) {
    let code = sqlite3_exec(handle, sql, nil, nil, nil)
    if code != SQLITE_OK { throw error(code) }
  }

  /// The first column of the first row, as a number; nil without a row.
  func number(_ sql: String) throws(StorageError) -> Int64? {
    var result: Int64?
    try rows(sql) { statement in
      if result == nil { result = sqlite3_column_int64(statement, 0) }
    }
    return result
  }

  /// Calls `body` for each row.
  func rows(_ sql: String, _ body: (OpaquePointer) -> Void) throws(StorageError) {
    let statement = try prepare(sql)
    defer { sqlite3_finalize(statement) }
    while true {
      let code = sqlite3_step(statement)
      if code == SQLITE_DONE { return }
      if code != SQLITE_ROW { throw error(code) }
      body(statement)
    }
  }

  private func prepare(_ sql: String) throws(StorageError) -> OpaquePointer {
    var statement: OpaquePointer?
    let code = sqlite3_prepare_v3(
      handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil)
    guard code == SQLITE_OK, let statement else { throw error(code) }
    return statement
  }

  @inline(__always)
  func statement(_ kind: SQLiteStatement) throws(StorageError) -> OpaquePointer {
    if let statement = statements[kind.rawValue] { return statement }
    let statement = try prepare(kind.sql)
    statements[kind.rawValue] = statement
    return statement
  }

  /// Runs a cached statement that gives no row.
  func run(_ kind: SQLiteStatement) throws(StorageError) {
    let statement = try statement(kind)
    let code = sqlite3_step(statement)
    sqlite3_reset(statement)
    if code != SQLITE_DONE && code != SQLITE_ROW { throw error(code) }
  }

  /// Runs a cached statement with one or two blobs that gives no row.
  @inline(__always)
  func run(
    _ kind: SQLiteStatement, _ first: ByteSlice, _ second: ByteSlice? = nil
  ) throws(StorageError) {
    let statement = try statement(kind)
    var code = sqlite3_bind_blob64(statement, 1, first.base, UInt64(first.count), nil)
    if let second, code == SQLITE_OK {
      code = sqlite3_bind_blob64(statement, 2, second.base, UInt64(second.count), nil)
    }
    if code != SQLITE_OK { throw error(code) }
    code = sqlite3_step(statement)
    if code == SQLITE_DONE {
      sqlite3_reset(statement)
      return
    }
    // The message goes with the reset.
    let failure = error(code)
    sqlite3_reset(statement)
    throw failure
  }

  /// Calls `body` with the value of `key`; returns whether it is there. `body` may not use
  /// this connection.
  @inline(__always)
  func read(_ key: ByteSlice, _ body: (RawSpan) -> Void) throws(StorageError) -> Bool {
    let statement = try statement(.get)
    guard let value = try find(key, statement) else { return false }
    value.withSpan(body)
    sqlite3_reset(statement)
    return true
  }

  /// Steps a `get` statement; what it returns is valid until the statement is reset. Leaves
  /// the statement reset when there is nothing.
  @inline(__always)
  func find(_ key: ByteSlice, _ statement: OpaquePointer) throws(StorageError) -> ByteSlice? {
    var code = sqlite3_bind_blob64(statement, 1, key.base, UInt64(key.count), nil)
    if code == SQLITE_OK { code = sqlite3_step(statement) }
    if code == SQLITE_ROW {
      let pointer = sqlite3_column_blob(statement, 0)
      let count = Int(sqlite3_column_bytes(statement, 0))
      if let pointer { return ByteSlice(base: pointer, count: count) }
      if count == 0 && sqlite3_errcode(handle) != SQLITE_NOMEM { return .empty }
      code = SQLITE_NOMEM
    }
    let failure = code == SQLITE_DONE ? nil : error(code)
    sqlite3_reset(statement)
    if let failure { throw failure }
    return nil
  }

  // MARK: Queries with several users

  func borrow(_ query: SQLiteQuery) throws(StorageError) -> OpaquePointer {
    if let statement = idleQueries[query.rawValue].popLast() { return statement }
    return try prepare(query.sql)
  }

  /// Takes back a statement. After `close` of the connection it is destroyed, and with the last
  /// one SQLite lets go of the connection.
  func giveBack(_ query: SQLiteQuery, _ statement: OpaquePointer) {
    sqlite3_reset(statement)
    if handle == nil {
      sqlite3_finalize(statement)
    } else {
      idleQueries[query.rawValue].append(statement)
    }
  }

  // MARK: Transactions

  var isInTransaction: Bool { sqlite3_get_autocommit(handle) == 0 }

  /// Undoes what a failed transaction left open; SQLite may have done so itself.
  func rollBackIfNeeded() {
    if isInTransaction { try? run(.rollback) }
  }

  // MARK: Upkeep

  /// Copies log frames into the database file; returns the frames in the log and those copied.
  /// `mode` is one of the `SQLITE_CHECKPOINT_` modes. Errors: `locked` when a reader bars it.
  func checkpoint(_ mode: Int32) throws(StorageError) -> (frames: Int, copied: Int) {
    var frames: Int32 = 0
    var copied: Int32 = 0
    let code = sqlite3_wal_checkpoint_v2(handle, nil, mode, &frames, &copied)
    if code != SQLITE_OK { throw error(code) }
    logFrames = Int(frames)
    return (Int(frames), Int(copied))
  }

  func setCacheShare(_ bytes: Int) throws(StorageError) {
    if bytes == cacheShare { return }
    // A negative number is KiB, with SQLite's own overhead per page included.
    try execute("PRAGMA cache_size=-\(max(1, bytes / 1024))")
    cacheShare = bytes
  }

  func updateCacheFigures() {
    guard let handle else { return }
    cache.bytes = status(handle, SQLITE_DBSTATUS_CACHE_USED)
    cache.hits = UInt64(status(handle, SQLITE_DBSTATUS_CACHE_HIT))
    cache.misses = UInt64(status(handle, SQLITE_DBSTATUS_CACHE_MISS))
    cache.otherBytes =
      status(handle, SQLITE_DBSTATUS_STMT_USED) + status(handle, SQLITE_DBSTATUS_SCHEMA_USED)
  }

  private func status(_ handle: OpaquePointer, _ what: Int32) -> Int {
    var current: Int32 = 0
    var highest: Int32 = 0
    sqlite3_db_status(handle, what, &current, &highest, 0)
    return Int(current)
  }

  /// The connection's files as our file system knows them; nil with SQLite's own.
  var databaseFile: SQLiteFile? { file(SQLITE_FCNTL_FILE_POINTER) }
  var logFile: SQLiteFile? { file(SQLITE_FCNTL_JOURNAL_POINTER) }

  private func file(_ which: Int32) -> SQLiteFile? {
    guard let handle else { return nil }
    var record: UnsafeMutablePointer<sqlite3_file>?
    guard sqlite3_file_control(handle, nil, which, &record) == SQLITE_OK, let record else {
      return nil
    }
    return SQLiteFile.from(record)
  }

  /// The longest blob or row that SQLite takes, in bytes (SQLITE_LIMIT_LENGTH). A row is a key,
  /// a value and a few bytes of header.
  var lengthLimit: Int {
    get { handle.map { Int(sqlite3_limit($0, SQLITE_LIMIT_LENGTH, -1)) } ?? 0 }
    set { if let handle { sqlite3_limit(handle, SQLITE_LIMIT_LENGTH, Int32(clamping: newValue)) } }
  }

  /// Asks for bytes at the end of each page of a database that has no page yet.
  func reserveBytes(_ count: Int) {
    var reserved = Int32(count)
    sqlite3_file_control(handle, nil, SQLITE_FCNTL_RESERVE_BYTES, &reserved)
  }

  /// The error for a result code of this connection.
  func error(_ code: Int32) -> StorageError {
    if code & 0xff == SQLITE_TOOBIG {
      return StorageError(
        .invalidArgument, "key and value together are over SQLite's limit of \(lengthLimit) bytes",
        remedy: "Split the value")
    }
    let detail = handle.map { String(cString: sqlite3_errmsg($0)) } ?? "the connection is closed"
    return .sqlite(
      code, detail, path: path, offset: databaseFile?.lastReadOffset, refusal: vfs?.takeRefusal())
  }
}

/// What SQLite says of one connection's page cache.
struct SQLiteCacheFigures {
  var bytes = 0
  var hits: UInt64 = 0
  var misses: UInt64 = 0
  /// Schema and statements.
  var otherBytes = 0

  static func += (left: inout SQLiteCacheFigures, right: SQLiteCacheFigures) {
    left.bytes += right.bytes
    left.hits += right.hits
    left.misses += right.misses
    left.otherBytes += right.otherBytes
  }
}

/// The statements that each connection prepares once, on first use.
enum SQLiteStatement: Int, CaseIterable {
  case get, put, delete, deleteRange, begin, beginWriting, commit, rollback, pin

  var sql: String {
    switch self {
    case .get: SQLiteQuery.get.sql
    case .put: "REPLACE INTO entries (key, value) VALUES (?1, ?2)"
    case .delete: "DELETE FROM entries WHERE key = ?1"
    case .deleteRange: "DELETE FROM entries WHERE key >= ?1 AND key < ?2"
    case .begin: "BEGIN"
    case .beginWriting: "BEGIN IMMEDIATE"
    case .commit: "COMMIT"
    case .rollback: "ROLLBACK"
    // BEGIN alone takes no snapshot: the first read does.
    case .pin: "SELECT 1 FROM entries LIMIT 1"
    }
  }
}

/// The statements that a snapshot and its cursors may use several of at a time. A cursor steps
/// one of those that walk the table.
enum SQLiteQuery: Int, CaseIterable {
  case get, forwardFrom, forwardAfter, backwardFrom, backwardBefore, backwardAll

  var sql: String {
    let select = "SELECT key, value FROM entries"
    return switch self {
    case .get: "SELECT value FROM entries WHERE key = ?1"
    case .forwardFrom: "\(select) WHERE key >= ?1 ORDER BY key"
    case .forwardAfter: "\(select) WHERE key > ?1 ORDER BY key"
    case .backwardFrom: "\(select) WHERE key <= ?1 ORDER BY key DESC"
    case .backwardBefore: "\(select) WHERE key < ?1 ORDER BY key DESC"
    case .backwardAll: "\(select) ORDER BY key DESC"
    }
  }

  var isForward: Bool { self == .forwardFrom || self == .forwardAfter }
}
