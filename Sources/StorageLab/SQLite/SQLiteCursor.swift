import CSQLite

/// Steps a keyed statement through the table; a change of direction prepares another from the
/// current key. Keys and values are SQLite's own memory, valid until the statement moves.
final class SQLiteCursor: Cursor {
  private var transaction: SQLiteReadTransaction?
  private let range: KeyRange
  private var statement: OpaquePointer?
  private var scan = SQLiteQuery.forwardFrom

  private(set) var isValid = false
  private(set) var key = ByteSlice.empty
  private(set) var value = ByteSlice.empty

  init(_ transaction: SQLiteReadTransaction, _ range: KeyRange) {
    self.transaction = transaction
    self.range = range
  }

  deinit { close() }

  func close() {
    isValid = false
    guard let transaction else { return }
    transaction.connection.lock.withLock { releaseStatement(transaction.connection) }
    self.transaction = nil
  }

  private func releaseStatement(_ connection: SQLiteConnection) {
    if let statement { connection.giveBack(scan, statement) }
    statement = nil
  }

  // MARK: Seeking

  func seekToFirst() throws(StorageError) {
    try start(.forwardFrom, range.lower ?? [])
  }

  func seekToLast() throws(StorageError) {
    if let upper = range.upper {
      try start(.backwardBefore, upper)
    } else {
      try start(.backwardAll, nil)
    }
  }

  func seek(_ key: RawSpan) throws(StorageError) {
    if let lower = range.lower, isBelow(key, lower) { return try seekToFirst() }
    try key.withSlice { (key) throws(StorageError) in try start(.forwardFrom, key) }
  }

  func seekForPrevious(_ key: RawSpan) throws(StorageError) {
    if let upper = range.upper, !isBelow(key, upper) { return try seekToLast() }
    try key.withSlice { (key) throws(StorageError) in try start(.backwardFrom, key) }
  }

  private func isBelow(_ key: RawSpan, _ bound: [UInt8]) -> Bool {
    key.withSlice { key in bound.withSlice { bound in key < bound } }
  }

  private func start(_ scan: SQLiteQuery, _ bound: [UInt8]) throws(StorageError) {
    try bound.withSlice { (bound) throws(StorageError) in try start(scan, bound) }
  }

  private func start(_ scan: SQLiteQuery, _ bound: ByteSlice?) throws(StorageError) {
    try withConnection { (connection) throws(StorageError) in
      isValid = false
      // Binding copies the bound, which may lie in the row that the old statement stands on.
      var fresh: OpaquePointer?
      let isSameScan = self.scan == scan && statement != nil
      let isInsideRow = bound.map { $0.base == key.base } ?? false
      if isSameScan && !isInsideRow {
        fresh = statement
        sqlite3_reset(fresh)
        statement = nil
      } else {
        fresh = try connection.borrow(scan)
      }
      if let bound {
        let code = sqlite3_bind_blob64(
          fresh, 1, bound.base, UInt64(bound.count), SQLiteCursor.copying)
        if code != SQLITE_OK {
          if let fresh { connection.giveBack(scan, fresh) }
          throw connection.error(code)
        }
      }
      releaseStatement(connection)
      statement = fresh
      self.scan = scan
      try step(connection)
    }
  }

  /// SQLITE_TRANSIENT: SQLite copies the bytes before the call returns.
  private static var copying: sqlite3_destructor_type? {
    unsafeBitCast(-1, to: sqlite3_destructor_type?.self)
  }

  // MARK: Moving

  func next() throws(StorageError) {
    if !isValid { return }
    if scan.isForward {
      try withConnection { (connection) throws(StorageError) in try step(connection) }
    } else {
      try start(.forwardAfter, key)
    }
  }

  func previous() throws(StorageError) {
    if !isValid { return }
    if scan.isForward {
      try start(.backwardBefore, key)
    } else {
      try withConnection { (connection) throws(StorageError) in try step(connection) }
    }
  }

  private func step(_ connection: SQLiteConnection) throws(StorageError) {
    isValid = false
    let code = sqlite3_step(statement)
    guard code == SQLITE_ROW else {
      let failure = code == SQLITE_DONE ? nil : connection.error(code)
      releaseStatement(connection)
      if let failure { throw failure }
      return
    }
    let keyBytes = sqlite3_column_blob(statement, 0)
    let keyCount = Int(sqlite3_column_bytes(statement, 0))
    let valueBytes = sqlite3_column_blob(statement, 1)
    let valueCount = Int(sqlite3_column_bytes(statement, 1))
    guard let keyBytes, valueBytes != nil || valueCount == 0 else {
      releaseStatement(connection)
      throw connection.error(SQLITE_NOMEM)
    }
    key = ByteSlice(base: keyBytes, count: keyCount)
    value = valueBytes.map { ByteSlice(base: $0, count: valueCount) } ?? .empty
    if isInRange {
      isValid = true
    } else {
      releaseStatement(connection)
    }
  }

  /// The statement bounds one side; this is the other.
  private var isInRange: Bool {
    if scan.isForward {
      guard let upper = range.upper else { return true }
      return upper.withSlice { key < $0 }
    }
    guard let lower = range.lower else { return true }
    return lower.withSlice { !(key < $0) }
  }

  @inline(__always)
  private func withConnection(
    _ body: (SQLiteConnection) throws(StorageError) -> Void
  ) throws(StorageError) {
    guard let transaction else { throw .closed("the cursor") }
    do throws(StorageError) { try transaction.withConnection(body) } catch {
      isValid = false
      throw error
    }
  }
}
