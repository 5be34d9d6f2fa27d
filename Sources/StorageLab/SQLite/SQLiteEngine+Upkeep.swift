import CSQLite

/// Log, vacuum, close.
extension SQLiteEngine {
  /// Copies the log back as far as readers allow; what cannot be copied stays in the log and
  /// the next commit tries again. REQUIRES: `writerLock` is held.
  func copyLogBack() {
    let start = options.clock.nanoseconds
    let kind: Event.Kind
    do throws(StorageError) {
      let copied = try writer.checkpoint(SQLITE_CHECKPOINT_PASSIVE).copied
      kind = .checkpoint(pages: copied, logBytesReleased: UInt64(copied * pageBytes))
    } catch {
      kind = .failure(task: "checkpoint", message: error.description)
    }
    options.events?.record(
      Event(kind, start: start, durationNanoseconds: options.clock.nanoseconds - start))
  }

  private func withWriter(
    _ body: (SQLiteConnection) throws(StorageError) -> Void
  ) throws(StorageError) {
    lockForWriting()
    defer { writerLock.unlock() }
    if isClosed { throw .closed("the engine") }
    if options.isReadOnly { throw readOnlyError }
    try body(writer)
  }

  /// With the classes `none` and `process` SQLite runs without syncs, and a power loss while
  /// it copies the log back may leave a torn database. What was synced once must survive what
  /// is written after it, so the first call changes `synchronous` from OFF to NORMAL.
  public func sync() throws(StorageError) {
    if options.isReadOnly { return }
    try withWriter { (writer) throws(StorageError) in
      try makeDurable(writer)
      if synchronous == .off {
        try setSynchronous(.normal)
        synchronous = .normal
      }
    }
  }

  private func setSynchronous(_ value: SQLiteSynchronous) throws(StorageError) {
    try writer.execute("PRAGMA synchronous=\(value.rawValue)")
    vfs?.syncsLogTruncation.store(value != .off, ordering: .relaxed)
  }

  /// Makes what is there now survive power loss.
  private func makeDurable(_ writer: SQLiteConnection) throws(StorageError) {
    if syncTimer?.hasFailed == true {
      // The log may have lost what was written to it: the database file must get it all.
      _ = try writer.checkpoint(SQLITE_CHECKPOINT_TRUNCATE)
      syncTimer?.clearFailure()
      return
    }
    // Without syncs, copying back has left the database file unsynced as well.
    if synchronous == .off { try writer.databaseFile?.sync() }
    if synchronous != .full { try writer.logFile?.sync() }
  }

  /// Empties the log; what is there now survives power loss. While a snapshot or cursor is
  /// open SQLite can only copy back what that does not need; the rest stays in the log, durable,
  /// and this is no error.
  public func checkpoint() throws(StorageError) {
    try withWriter { (writer) throws(StorageError) in try emptyLog(writer) }
  }

  private func emptyLog(_ writer: SQLiteConnection) throws(StorageError) {
    try makeDurable(writer)
    if synchronous == .off { try setSynchronous(.normal) }
    defer { if synchronous == .off { try? setSynchronous(.off) } }
    do throws(StorageError) { _ = try writer.checkpoint(SQLITE_CHECKPOINT_TRUNCATE) } catch {
      if error.code != .locked { throw error }
    }
  }

  /// VACUUM: writes the whole database anew, through the log, then empties the log. Needs
  /// twice the database's size of free space.
  public func compact() throws(StorageError) {
    try withWriter { (writer) throws(StorageError) in
      try writer.execute("VACUUM")
      try emptyLog(writer)
    }
  }

  public func backup(to path: String) throws(StorageError) {
    let snapshot = try snapshot()
    defer { snapshot.close() }
    try EngineBackup.write(to: path, options.fileSystem) { (place) throws(StorageError) in
      let copy = try SQLiteEngine(backupOptions(place), sqliteOptions)
      do throws(StorageError) { try copy.fill(from: snapshot) } catch {
        try? copy.close()
        throw error
      }
      try copy.close()
    }
  }

  /// SQLite has no background work; its debt is the log, copied back here.
  public func settle() throws(StorageError) {
    if options.isReadOnly { return }
    try withWriter { (writer) throws(StorageError) in
      _ = try writer.checkpoint(SQLITE_CHECKPOINT_PASSIVE)
    }
  }

  public func close() throws(StorageError) {
    lockForWriting()
    defer { writerLock.unlock() }
    if isClosed { return }
    isClosed = true
    syncTimer?.stop()
    defer {
      vfs?.sever()
      vfs?.unregister()
      directory.release()
    }
    let hasHolders = pool.close()
    defer { writer.close() }
    // Under a reader the log cannot be emptied: it stays, durable, for the next open.
    if options.isReadOnly || hasHolders { writer.disarm() }
    if !options.isReadOnly { try emptyLog(writer) }
  }
}
