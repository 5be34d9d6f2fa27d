import CSQLite
import Synchronization

/// The reader connections, opened on demand: one per snapshot, cursor or concurrent read at a
/// time.
///
/// Each SQLite connection has a page cache of its own. All of an engine's share one budget:
/// with k readers open, each of them and the writer may use 1/(k + 1) of it. A connection
/// learns of its new share when it is next used.
final class SQLiteReaderPool: @unchecked Sendable {
  private let path: String
  private let flags: Int32
  private let vfs: SQLiteVFS?
  private let budget: Int
  private let idleLimit: Int
  private let lock = WaitableLock()
  private var idle: [SQLiteConnection] = []
  private var busy: [ObjectIdentifier: SQLiteConnection] = [:]
  /// Figures of connections that are closed by now.
  private var past = SQLiteCacheFigures()
  private let closed = Atomic<Bool>(false)
  private let openReaders = Atomic<Int>(0)

  init(path: String, flags: Int32, vfs: SQLiteVFS?, budget: Int, idleLimit: Int) {
    self.path = path
    self.flags = flags
    self.vfs = vfs
    self.budget = budget
    self.idleLimit = idleLimit
  }

  @inline(__always)
  var isClosed: Bool { closed.load(ordering: .acquiring) }

  /// What each connection may cache now, in bytes.
  @inline(__always)
  var cacheShare: Int { budget / (openReaders.load(ordering: .relaxed) + 1) }

  var readerCount: Int { openReaders.load(ordering: .relaxed) }

  /// A connection that is the caller's alone until `giveBack`. Errors: `closed`; those of
  /// opening a connection.
  func borrow() throws(StorageError) -> SQLiteConnection {
    do throws(StorageError) { return try idleOrNew() } catch {
      throw isClosed ? .closed("the engine") : error
    }
  }

  private func idleOrNew() throws(StorageError) -> SQLiteConnection {
    if let connection = try takeIdle() {
      try use(connection)
      return connection
    }
    let connection = try SQLiteConnection(path, flags: flags, vfs: vfs)
    openReaders.wrappingAdd(1, ordering: .relaxed)
    do throws(StorageError) {
      try connection.execute("PRAGMA mmap_size=0; PRAGMA temp_store=FILE")
      try connection.setCacheShare(cacheShare)
    } catch {
      discard(connection)
      throw error
    }
    let isLate = lock.withLock {
      if isClosed { return true }
      busy[ObjectIdentifier(connection)] = connection
      return false
    }
    if isLate {
      connection.disarm()
      discard(connection)
      throw .closed("the engine")
    }
    return connection
  }

  private func takeIdle() throws(StorageError) -> SQLiteConnection? {
    try lock.withLock { () throws(StorageError) in
      if isClosed { throw .closed("the engine") }
      guard let connection = idle.popLast() else { return nil }
      busy[ObjectIdentifier(connection)] = connection
      return connection
    }
  }

  private func use(_ connection: SQLiteConnection) throws(StorageError) {
    do throws(StorageError) {
      // Statistics look at busy connections too.
      try connection.lock.withLock { () throws(StorageError) in
        try connection.setCacheShare(cacheShare)
      }
    } catch {
      giveBack(connection)
      throw error
    }
  }

  /// Ends the use of a connection; it must have no transaction open.
  func giveBack(_ connection: SQLiteConnection) {
    let isKept = lock.withLock {
      busy.removeValue(forKey: ObjectIdentifier(connection))
      if isClosed || idle.count >= idleLimit { return false }
      idle.append(connection)
      return true
    }
    if !isKept { discard(connection) }
  }

  private func discard(_ connection: SQLiteConnection) {
    // `close` of the pool may be about to disarm it.
    connection.lock.withLock {
      connection.updateCacheFigures()
      connection.close()
    }
    openReaders.wrappingSubtract(1, ordering: .relaxed)
    lock.withLock {
      past += connection.cache
      // Its memory went with it.
      past.bytes = 0
      past.otherBytes = 0
    }
  }

  /// Refuses further use. Connections that snapshots and cursors hold stay open, so that what
  /// they handed out stays readable, but can no longer touch the files; they close when given
  /// back. Returns whether there are any.
  func close() -> Bool {
    let (dropped, held) = lock.withLock {
      closed.store(true, ordering: .releasing)
      defer { idle = [] }
      return (idle, Array(busy.values))
    }
    for connection in dropped { discard(connection) }
    for connection in held { connection.lock.withLock { connection.disarm() } }
    return !held.isEmpty
  }

  /// Totals over all readers, past ones included.
  func cacheFigures() -> SQLiteCacheFigures {
    lock.withLock {
      var sum = past
      for connection in idle { connection.updateCacheFigures() }
      for connection in busy.values where connection.lock.tryLock() {
        connection.updateCacheFigures()
        connection.lock.unlock()
      }
      for connection in idle + Array(busy.values) { sum += connection.cache }
      return sum
    }
  }
}
