#if LMDB
  import CLMDB

  /// One moment of the database: a read transaction that ends when the last snapshot or
  /// cursor lets go of it.
  final class LMDBMoment: Sendable {
    let engine: LMDBEngine
    var environment: LMDBEnvironment { engine.environment }
    nonisolated(unsafe) let reader: LMDBReader
    /// A transaction is for one thread at a time; a snapshot is for all.
    let lock = WaitableLock()

    init(_ engine: LMDBEngine) throws(StorageError) {
      self.engine = engine
      reader = try engine.environment.borrow()
      engine.openSnapshots.wrappingAdd(1, ordering: .relaxed)
    }

    deinit {
      engine.environment.giveBack(reader)
      engine.openSnapshots.wrappingSubtract(1, ordering: .relaxed)
    }
  }

  final class LMDBSnapshot: Snapshot {
    private let moment: Guarded<LMDBMoment?>

    init(_ moment: LMDBMoment) { self.moment = Guarded(moment) }

    private func current() throws(StorageError) -> LMDBMoment {
      guard let current = moment.withLock({ $0 }) else { throw .closed("the snapshot") }
      try current.environment.checkOpen()
      return current
    }

    func read(_ key: RawSpan, _ body: (RawSpan) -> Void) throws(StorageError) -> Bool {
      try EngineLimits.checkKey(key.byteCount)
      let moment = try current()
      // The value stays where it is until the transaction ends: only the search is locked.
      var value = ByteSlice.empty
      let isThere = try moment.lock.withLock { () throws(StorageError) in
        try moment.environment.read(key, moment.reader) { span in
          value = span.withSlice { $0 }
        }
      }
      if isThere { value.withSpan(body) }
      return isThere
    }

    func cursor(_ range: KeyRange) throws(StorageError) -> any Cursor {
      try LMDBCursor(try current(), range, isSole: false)
    }

    func close() { moment.withLock { $0 = nil } }
  }

  /// LMDB's cursor within bounds. Keys and values lie in the map, valid until the moment ends.
  final class LMDBCursor: Cursor {
    private var moment: LMDBMoment?
    /// The moment's, without counting references at every step.
    private let environment: Unmanaged<LMDBEnvironment>
    private let lock: Unmanaged<WaitableLock>
    private let range: KeyRange
    /// Nil once closed.
    private var cursor: OpaquePointer?
    /// The moment is this cursor's alone: no lock, and the reader's own cursor.
    private let isSole: Bool

    private(set) var isValid = false
    private(set) var key = ByteSlice.empty
    private(set) var value = ByteSlice.empty

    init(_ moment: LMDBMoment, _ range: KeyRange, isSole: Bool) throws(StorageError) {
      self.moment = moment
      self.range = range
      self.isSole = isSole
      let (environment, reader) = (moment.environment, moment.reader)
      self.environment = .passUnretained(environment)
      lock = .passUnretained(moment.lock)
      if isSole {
        cursor = reader.cursor
        try environment.check(mdb_cursor_renew(reader.transaction, cursor))
      } else {
        let code = moment.lock.withLock {
          mdb_cursor_open(reader.transaction, environment.table, &cursor)
        }
        try environment.check(code)
      }
    }

    deinit { close() }

    func close() {
      isValid = false
      guard let moment else { return }
      if !isSole { moment.lock.withLock { mdb_cursor_close(cursor) } }
      cursor = nil
      self.moment = nil
    }

    // MARK: Seeking

    func seekToFirst() throws(StorageError) {
      guard let lower = range.lower, !lower.isEmpty else { return try show(move(MDB_FIRST)) }
      try lower.withSlice { (lower) throws(StorageError) in try show(find(lower)) }
    }

    func seekToLast() throws(StorageError) {
      guard let upper = range.upper else { return try show(move(MDB_LAST)) }
      try upper.withSlice { (upper) throws(StorageError) in
        try show(move(find(upper) ? MDB_PREV : MDB_LAST))
      }
    }

    func seek(_ key: RawSpan) throws(StorageError) {
      try key.withSlice { (key) throws(StorageError) in
        if key.isEmpty || isBelowRange(key) { return try seekToFirst() }
        try show(find(key))
      }
    }

    func seekForPrevious(_ key: RawSpan) throws(StorageError) {
      try key.withSlice { (key) throws(StorageError) in
        if isAboveRange(key) { return try seekToLast() }
        if key.isEmpty { return isValid = false }
        guard try find(key) else { return try show(move(MDB_LAST)) }
        if self.key == key { return try show(true) }
        try show(move(MDB_PREV))
      }
    }

    // MARK: Moving

    func next() throws(StorageError) {
      if isValid { try show(move(MDB_NEXT)) }
    }

    func previous() throws(StorageError) {
      if isValid { try show(move(MDB_PREV)) }
    }

    private func find(_ key: ByteSlice) throws(StorageError) -> Bool {
      try get(MDB_val(key), MDB_SET_RANGE)
    }

    @inline(__always)
    private func move(_ operation: MDB_cursor_op) throws(StorageError) -> Bool {
      try get(MDB_val(), operation)
    }

    /// Moves; false when nothing is there.
    @inline(__always)
    private func get(_ key: MDB_val, _ operation: MDB_cursor_op) throws(StorageError) -> Bool {
      guard let cursor else { throw .closed("the cursor") }
      isValid = false
      try environment.borrowed { (environment) throws(StorageError) in
        try environment.checkOpen()
      }
      var key = key
      var value = MDB_val()
      if !isSole { lock._withUnsafeGuaranteedRef { $0.lock() } }
      let code = mdb_cursor_get(cursor, &key, &value, operation)
      if !isSole { lock._withUnsafeGuaranteedRef { $0.unlock() } }
      if code == MDB_NOTFOUND { return false }
      if code != 0 {
        try environment.borrowed { (environment) throws(StorageError) in
          try environment.check(code)
        }
      }
      self.key = ByteSlice(key)
      self.value = ByteSlice(value)
      return true
    }

    /// Stands on the entry that was found, if it is one of the range.
    @inline(__always)
    private func show(_ isThere: Bool) throws(StorageError) {
      isValid = isThere && !isBelowRange(key) && !isAboveRange(key)
    }

    @inline(__always)
    private func isBelowRange(_ key: ByteSlice) -> Bool {
      guard let lower = range.lower else { return false }
      return lower.withSlice { key < $0 }
    }

    @inline(__always)
    private func isAboveRange(_ key: ByteSlice) -> Bool {
      guard let upper = range.upper else { return false }
      return upper.withSlice { !(key < $0) }
    }
  }
#endif
