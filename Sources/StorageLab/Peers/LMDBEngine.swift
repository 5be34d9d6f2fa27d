#if LMDB
  import CLMDB
  import Synchronization

  /// What can be set on LMDB beyond `EngineOptions`.
  public struct LMDBTuning: Sendable {
    /// Bytes of address space, and so the largest database. With a writable map the file has
    /// this size at once, as a hole.
    public var mapBytes = 64 << 30

    public init() {}
  }

  /// LMDB behind the lab's contract: the peer that the B-tree is measured by.
  ///
  /// Classes `none`, `process` and `interval` run with `MDB_WRITEMAP | MDB_NOSYNC`, LMDB's
  /// fastest mode: a commit is stores into the shared map, which survive a kill of the
  /// process; `interval` adds a timed sync. Its manual warns that without syncs a power loss
  /// may destroy the database, so `interval` promises less here than elsewhere. `commit` is
  /// LMDB's default: pages and then the meta page are written and synced.
  ///
  /// LMDB works on the real file system only and caches in the operating system's page cache:
  /// `cacheBytes` does not bound it, and its I/O is not counted. Keys have at most 511 bytes.
  /// A snapshot or cursor that outlives `close` keeps the environment, and so the directory's
  /// lock, until it goes: LMDB may not be opened twice in a process.
  public final class LMDBEngine: StorageEngine {
    public static let engineName = "lmdb"
    static let formatVersion: UInt32 = 1

    /// Its registry entry.
    public static let registryEntry = EngineRegistry.Entry(
      name: engineName, summary: "LMDB \(version), a peer: copy-on-write B-tree in a memory map",
      countsIO: false
    ) { (options) throws(StorageError) in try LMDBEngine(options) }

    static var version: String { String(cString: mdb_version(nil, nil, nil)) }

    public let options: EngineOptions
    let environment: LMDBEnvironment
    private let syncTimer: SyncTimer?
    private let userBytesWritten = Atomic<UInt64>(0)
    let openSnapshots = Atomic<Int>(0)
    private let isClosed = Atomic<Bool>(false)

    /// Opens or creates the database in the directory `options.path`.
    ///
    /// Errors: those of `EngineDirectory.open`; `unsupported` on any file system but the real
    /// one; `wrongFormat`, `unsupportedVersion`, `corruption`, `io`, `noSpace`, `readOnly`.
    public init(
      _ options: EngineOptions, _ tuning: LMDBTuning = LMDBTuning()
    ) throws(StorageError) {
      guard options.fileSystem is POSIXFileSystem else {
        throw StorageError(
          .unsupported, "LMDB does its own I/O, on the real file system only",
          remedy: "Open it with POSIXFileSystem")
      }
      self.options = options
      let (directory, _) = try EngineDirectory.open(
        engine: LMDBEngine.engineName, version: LMDBEngine.formatVersion, options: options)
      do throws(StorageError) {
        environment = try LMDBEnvironment(
          options.path, flags: try LMDBEngine.flags(options), mapBytes: tuning.mapBytes
        ) { directory.release() }
      } catch {
        directory.release()
        throw error
      }
      do throws(StorageError) {
        let environment = environment
        syncTimer = try SyncTimer(options, name: "lmdb-sync") { () throws(StorageError) in
          try environment.check(mdb_env_sync(environment.handle, 1))
        }
      } catch {
        environment.close()
        throw error
      }
    }

    private static func flags(_ options: EngineOptions) throws(StorageError) -> Int32 {
      var flags = MDB_NOTLS
      if try isLargerThanMemory(options) { flags |= MDB_NORDAHEAD }
      if options.isReadOnly { return flags | MDB_RDONLY }
      if options.durability != .commit { flags |= MDB_WRITEMAP | MDB_NOSYNC }
      return flags
    }

    /// Whether the data is larger than the memory it is to have: then, says LMDB's manual, random
    /// reads gain from no read-ahead.
    private static func isLargerThanMemory(_ options: EngineOptions) throws(StorageError) -> Bool {
      let path = joinPath(options.path, "data.mdb")
      guard try options.fileSystem.exists(path) else { return false }
      let file = try options.fileSystem.open(path, .read)
      defer { file.close() }
      // A writable map's file has the map's size; what was never written is a hole.
      var position: Int64 = 0
      var bytes: Int64 = 0
      while let data = try file.data(from: position) {
        bytes += data.upperBound - data.lowerBound
        position = data.upperBound
      }
      return bytes > Int64(options.cacheBytes)
    }

    deinit { try? close() }

    // MARK: Reading

    public func read(_ key: RawSpan, _ body: (RawSpan) -> Void) throws(StorageError) -> Bool {
      try EngineLimits.checkKey(key.byteCount)
      try environment.checkOpen()
      let reader = try environment.borrow()
      defer { environment.giveBack(reader) }
      return try environment.read(key, reader, body)
    }

    public func snapshot() throws(StorageError) -> any Snapshot {
      try environment.checkOpen()
      return LMDBSnapshot(try LMDBMoment(self))
    }

    public func cursor(_ range: KeyRange) throws(StorageError) -> any Cursor {
      try environment.checkOpen()
      return try LMDBCursor(try LMDBMoment(self), range, isSole: true)
    }

    // MARK: Writing

    public func put(_ key: RawSpan, _ value: RawSpan) throws(StorageError) {
      try EngineLimits.checkKey(key.byteCount)
      try EngineLimits.checkValue(value.byteCount, limit: options.maximumValueBytes)
      try commit(userBytes: key.byteCount + value.byteCount) {
        (transaction) throws(StorageError) in
        try key.withSlice { (key) throws(StorageError) in
          try value.withSlice { (value) throws(StorageError) in
            try put(key, value, transaction)
          }
        }
      }
    }

    public func delete(_ key: RawSpan) throws(StorageError) {
      try EngineLimits.checkKey(key.byteCount)
      try commit(userBytes: key.byteCount) { (transaction) throws(StorageError) in
        try key.withSlice { (key) throws(StorageError) in try delete(key, transaction) }
      }
    }

    public func deleteRange(from lower: RawSpan, to upper: RawSpan) throws(StorageError) {
      try EngineLimits.checkValue(lower.byteCount, limit: EngineLimits.maximumKeyBytes)
      try EngineLimits.checkValue(upper.byteCount, limit: EngineLimits.maximumKeyBytes)
      try commit(userBytes: lower.byteCount + upper.byteCount) {
        (transaction) throws(StorageError) in
        try lower.withSlice { (lower) throws(StorageError) in
          try upper.withSlice { (upper) throws(StorageError) in
            try deleteRange(lower, upper, transaction)
          }
        }
      }
    }

    public func write(_ batch: WriteBatch) throws(StorageError) {
      try batch.validate(maximumValueBytes: options.maximumValueBytes)
      if batch.isEmpty { return try checkWritable() }
      var userBytes = 0
      try commit(userBytes: 0) { (transaction) throws(StorageError) in
        try batch.encoded.withSlice { (encoded) throws(StorageError) in
          var decoder = WriteBatch.Decoder(encoded)
          while let operation = try decoder.next() {
            userBytes += operation.key.count + operation.value.count
            switch operation.tag {
            case .put: try put(operation.key, operation.value, transaction)
            case .delete: try delete(operation.key, transaction)
            case .deleteRange: try deleteRange(operation.key, operation.value, transaction)
            case .merge: throw WriteBatch.Decoder.unexpectedMerge
            }
          }
        }
      }
      userBytesWritten.wrappingAdd(UInt64(userBytes), ordering: .relaxed)
    }

    private func checkWritable() throws(StorageError) {
      try environment.checkOpen()
      if options.isReadOnly {
        throw StorageError(
          .readOnly, "the database is open for reading only",
          remedy: "Open it without isReadOnly to write", path: options.path)
      }
    }

    /// One transaction; LMDB's own lock makes writers take turns.
    @inline(__always)
    private func commit(
      userBytes: Int, _ body: (OpaquePointer) throws(StorageError) -> Void
    ) throws(StorageError) {
      try checkWritable()
      try syncTimer?.checkHealth()
      try environment.enter()
      defer { environment.leave() }
      var begun: OpaquePointer?
      try environment.check(mdb_txn_begin(environment.handle, nil, 0, &begun))
      guard let transaction = begun else { throw .lmdb(MDB_PANIC, options.path) }
      do throws(StorageError) { try body(transaction) } catch {
        mdb_txn_abort(transaction)
        throw error
      }
      try environment.check(mdb_txn_commit(transaction))
      userBytesWritten.wrappingAdd(UInt64(userBytes), ordering: .relaxed)
      syncTimer?.noteCommit()
    }

    private func put(
      _ key: ByteSlice, _ value: ByteSlice, _ transaction: OpaquePointer
    ) throws(StorageError) {
      if key.count > environment.maximumKeyBytes { throw .lmdb(MDB_BAD_VALSIZE, options.path) }
      var key = MDB_val(key)
      var value = MDB_val(value)
      try environment.check(mdb_put(transaction, environment.table, &key, &value, 0))
    }

    private func delete(
      _ key: ByteSlice, _ transaction: OpaquePointer
    ) throws(StorageError) {
      if key.count > environment.maximumKeyBytes { return }
      var key = MDB_val(key)
      let code = mdb_del(transaction, environment.table, &key, nil)
      if code != MDB_NOTFOUND { try environment.check(code) }
    }

    private func deleteRange(
      _ lower: ByteSlice, _ upper: ByteSlice, _ transaction: OpaquePointer
    ) throws(StorageError) {
      var cursor: OpaquePointer?
      try environment.check(mdb_cursor_open(transaction, environment.table, &cursor))
      defer { mdb_cursor_close(cursor) }
      var key = MDB_val(lower)
      var value = MDB_val()
      var code = mdb_cursor_get(
        cursor, &key, &value, lower.isEmpty ? MDB_FIRST : MDB_SET_RANGE)
      while code == 0 && ByteSlice(key) < upper {
        try environment.check(mdb_cursor_del(cursor, 0))
        code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)
      }
      if code != MDB_NOTFOUND { try environment.check(code) }
    }

    // MARK: Upkeep

    public func sync() throws(StorageError) {
      try environment.checkOpen()
      if options.isReadOnly { return }
      try environment.enter()
      defer { environment.leave() }
      // A timed sync that failed stays failed: the system may have dropped what it could not
      // write, and there is no log to write it from again.
      try environment.check(mdb_env_sync(environment.handle, 1))
    }

    /// There is no log; a checkpoint is a sync.
    public func checkpoint() throws(StorageError) {
      try checkWritable()
      try sync()
    }

    /// LMDB reuses pages but cannot give them back in place: no more than a checkpoint.
    public func compact() throws(StorageError) { try checkpoint() }

    public func settle() throws(StorageError) { try environment.checkOpen() }

    public func statistics() throws(StorageError) -> EngineStatistics {
      try environment.checkOpen()
      try environment.enter()
      defer { environment.leave() }
      var statistics = EngineStatistics()
      var table = MDB_stat()
      try environment.check(mdb_env_stat(environment.handle, &table))
      var info = MDB_envinfo()
      try environment.check(mdb_env_info(environment.handle, &info))
      statistics.userBytesWritten = userBytesWritten.load(ordering: .relaxed)
      statistics.entries = UInt64(table.ms_entries)
      statistics.openSnapshots = openSnapshots.load(ordering: .relaxed)
      statistics.diskBytes = Int64(info.me_last_pgno + 1) * Int64(table.ms_psize)
      statistics.details = [
        .init("height", Double(table.ms_depth)),
        .init("page.bytes", Double(table.ms_psize)),
        .init("pages.branch", Double(table.ms_branch_pages)),
        .init("pages.leaf", Double(table.ms_leaf_pages)),
        .init("pages.overflow", Double(table.ms_overflow_pages)),
        .init("pages.used.most", Double(info.me_last_pgno + 1)),
        .init("map.bytes", Double(info.me_mapsize)),
      ]
      return statistics
    }

    /// Walks every entry. LMDB's pages have no checksums: what looks like a page passes.
    public func verify() throws(StorageError) -> VerificationReport {
      var report = VerificationReport()
      let cursor = try cursor(.all)
      defer { cursor.close() }
      var last: [UInt8] = []
      try cursor.seekToFirst()
      while cursor.isValid {
        if report.entriesChecked > 0 && !last.withSlice({ $0 < cursor.key }) {
          report.problems.append(
            .init(
              path: options.path, offset: 0,
              message: "the key \(printable(cursor.key.rawBuffer)) is out of order"))
        }
        report.entriesChecked += 1
        report.bytesChecked += Int64(cursor.key.count + cursor.value.count)
        last = cursor.key.array
        try cursor.next()
      }
      return report
    }

    public func close() throws(StorageError) {
      if isClosed.exchange(true, ordering: .acquiringAndReleasing) { return }
      syncTimer?.stop()
      var code: Int32 = 0
      if !options.isReadOnly { code = mdb_env_sync(environment.handle, 1) }
      environment.close()
      try environment.check(code)
    }
  }

  extension MDB_val {
    /// LMDB reads through the pointer and never writes.
    @inline(__always)
    init(_ slice: ByteSlice) {
      self.init(mv_size: slice.count, mv_data: UnsafeMutableRawPointer(mutating: slice.base))
    }
  }

  extension ByteSlice {
    @inline(__always)
    init(_ value: MDB_val) {
      self.init(UnsafeRawBufferPointer(start: value.mv_data, count: value.mv_size))
    }
  }

  extension LMDBEnvironment {
    @inline(__always)
    func read(
      _ key: RawSpan, _ reader: LMDBReader, _ body: (RawSpan) -> Void
    ) throws(StorageError) -> Bool {
      if key.byteCount > maximumKeyBytes { return false }
      var value = MDB_val()
      let code = key.withSlice { key in
        var key = MDB_val(key)
        return mdb_get(reader.transaction, table, &key, &value)
      }
      if code == MDB_NOTFOUND { return false }
      try check(code)
      ByteSlice(value).withSpan(body)
      return true
    }
  }
#endif
