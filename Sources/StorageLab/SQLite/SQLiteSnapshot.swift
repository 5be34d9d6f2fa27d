import CSQLite
import Synchronization

/// A read transaction on a connection of its own: one moment of the database. Ends when the
/// last snapshot or cursor lets go of it.
final class SQLiteReadTransaction: Sendable {
  let connection: SQLiteConnection
  let pool: SQLiteReaderPool
  private let counter: SQLiteSnapshotCounter

  init(_ pool: SQLiteReaderPool, _ counter: SQLiteSnapshotCounter) throws(StorageError) {
    let connection = try pool.borrow()
    do throws(StorageError) {
      try connection.lock.withLock { () throws(StorageError) in
        try connection.run(.begin)
        do throws(StorageError) { try connection.run(.pin) } catch {
          connection.rollBackIfNeeded()
          throw error
        }
      }
    } catch {
      pool.giveBack(connection)
      throw error
    }
    self.connection = connection
    self.pool = pool
    self.counter = counter
    counter.open.wrappingAdd(1, ordering: .relaxed)
  }

  deinit {
    // Nothing was written: an end that fails can lose nothing.
    connection.lock.withLock {
      do throws(StorageError) { try connection.run(.commit) } catch {
        connection.rollBackIfNeeded()
      }
    }
    pool.giveBack(connection)
    counter.open.wrappingSubtract(1, ordering: .relaxed)
  }

  /// Calls `body` as the only user of the connection. Errors: `closed` after the engine's
  /// close, and those of `body`.
  @inline(__always)
  func withConnection<R>(
    _ body: (SQLiteConnection) throws(StorageError) -> R
  ) throws(StorageError) -> R {
    if pool.isClosed { throw .closed("the engine") }
    connection.lock.lock()
    defer { connection.lock.unlock() }
    do throws(StorageError) { return try body(connection) } catch {
      throw pool.isClosed ? .closed("the engine") : error
    }
  }
}

extension SQLiteReadTransaction {
  /// Calls `body` without the connection's lock, so that it may read from the same snapshot: the
  /// statement's memory is not touched by other statements.
  func read(_ key: ByteSlice, _ body: (RawSpan) -> Void) throws(StorageError) -> Bool {
    let found = try withConnection {
      (connection) throws(StorageError) -> (OpaquePointer, ByteSlice)? in
      let statement = try connection.borrow(.get)
      do throws(StorageError) {
        if let value = try connection.find(key, statement) { return (statement, value) }
      } catch {
        connection.giveBack(.get, statement)
        throw error
      }
      connection.giveBack(.get, statement)
      return nil
    }
    guard let (statement, value) = found else { return false }
    value.withSpan(body)
    connection.lock.withLock { connection.giveBack(.get, statement) }
    return true
  }
}

/// How many snapshots, cursors included, are open.
final class SQLiteSnapshotCounter: Sendable {
  let open = Atomic<Int>(0)
}

final class SQLiteSnapshot: Snapshot {
  private let transaction: Guarded<SQLiteReadTransaction?>

  init(_ transaction: SQLiteReadTransaction) { self.transaction = Guarded(transaction) }

  private func current() throws(StorageError) -> SQLiteReadTransaction {
    guard let current = transaction.withLock({ $0 }) else { throw .closed("the snapshot") }
    return current
  }

  func read(_ key: RawSpan, _ body: (RawSpan) -> Void) throws(StorageError) -> Bool {
    try EngineLimits.checkKey(key.byteCount)
    let transaction = try current()
    return try key.withSlice { (key) throws(StorageError) in
      try transaction.read(key, body)
    }
  }

  func cursor(_ range: KeyRange) throws(StorageError) -> any Cursor {
    let transaction = try current()
    if transaction.pool.isClosed { throw .closed("the engine") }
    return SQLiteCursor(transaction, range)
  }

  func close() { transaction.withLock { $0 = nil } }
}
