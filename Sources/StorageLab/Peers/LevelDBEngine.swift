#if LevelDB
  import CLevelDB
  import Synchronization

  /// LevelDB behind the lab's contract: the other peer that the LSM tree is measured by.
  ///
  /// Configured as its documentation recommends: Bloom filters of 10 bits a key, a block cache
  /// of `cacheBytes`, a write buffer of `writeBufferBytes` (64 MiB unless set). Everything else
  /// is its default: Snappy, since it has no LZ4, tables of 2 MiB, blocks of 4 KiB, one
  /// background thread, and no checksums verified on reads but those of `verify`.
  ///
  /// It always writes its log, so class `none` promises as much as `process` here; `commit`
  /// syncs each group, `interval` adds a timed sync. It has no range deletion: that is a scan and a
  /// batch of deletions here, and a key that another thread puts meanwhile may stay. It cannot be
  /// opened read-only.
  final class LevelDBEngine: LevelFamilyEngine {
    typealias API = LevelDBAPI

    static let engineName = "leveldb"
    static let formatVersion: UInt32 = 1
    static let defaultWriteBufferBytes = 64 << 20
    static let bloomBitsPerKey: Int32 = 10

    static let registryEntry = EngineRegistry.Entry(
      name: engineName,
      summary: "LevelDB \(leveldb_major_version()).\(leveldb_minor_version()), a peer: LSM tree",
      countsIO: false, writesThroughCalls: true
    ) { (options) throws(StorageError) in try LevelDBEngine(options) }

    let options: EngineOptions
    let store: LevelFamilyStore<LevelDBAPI>
    let tally = LevelFamilyTally()
    let syncTimer: SyncTimer?
    private let isClosed = Atomic<Bool>(false)

    /// Opens or creates the database in the directory `options.path`.
    ///
    /// Errors: those of `EngineDirectory.open`; `unsupported` on any file system but the real
    /// one and read-only; `corruption`, `io`, `noSpace`, `readOnly`.
    init(_ options: EngineOptions) throws(StorageError) {
      try LevelDBEngine.requireRealFileSystem(options)
      if options.isReadOnly {
        throw StorageError(
          .unsupported, "LevelDB writes whenever it is opened", remedy: "Open it for writing",
          path: options.path)
      }
      self.options = options
      let (directory, _) = try EngineDirectory.open(
        engine: LevelDBEngine.engineName, version: LevelDBEngine.formatVersion, options: options)
      let path = joinPath(options.path, LevelDBEngine.dataName)
      let setup = LevelDBSetup(options)
      do throws(StorageError) {
        var failure: LevelDBAPI.Failure = nil
        let opened = leveldb_open(setup.options, path, &failure)
        try LevelDBAPI.check(failure, path)
        guard let opened,
          let readOptions = LevelDBAPI.makeReadOptions(snapshot: nil, verifiesChecksums: false)
        else { throw StorageError(.io, "LevelDB gives no database", path: path) }
        store = LevelFamilyStore(
          opened, path: path, readOptions: readOptions, writeOptions: setup.writeOptions
        ) {
          setup.destroy()
          directory.release()
        }
      } catch {
        setup.destroy()
        directory.release()
        throw error
      }
      let store = store
      do throws(StorageError) {
        syncTimer = try SyncTimer(options, name: "leveldb-sync") { () throws(StorageError) in
          try LevelDBEngine.syncLog(store)
        }
      } catch {
        store.close()
        throw error
      }
    }

    deinit { try? close() }

    func makeCursor(
      _ moment: LevelFamilyMoment<LevelDBAPI>?, _ range: KeyRange
    ) throws(StorageError) -> any Cursor {
      LevelDBCursor(
        try LevelFamilyCursor(
          store, moment, range, readOptions: moment?.readOptions ?? store.readOptions), tally)
    }

    /// Deletes what a scan finds, and what the batch itself put before.
    func deleteRange(
      _ lower: ByteSlice, _ upper: ByteSlice, after earlier: Int, of encoded: ByteSlice,
      into batch: OpaquePointer
    ) throws(StorageError) {
      var cursor = try LevelFamilyCursor<LevelDBAPI>(
        store, nil, KeyRange(from: lower.array, to: upper.array), readOptions: store.readOptions)
      defer { _ = cursor.close() }
      try cursor.seekToFirst()
      while cursor.isValid {
        LevelDBAPI.delete(cursor.key, into: batch)
        try cursor.next()
      }
      var decoder = WriteBatch.Decoder(encoded)
      for _ in 0..<earlier {
        guard let operation = try decoder.next() else { return }
        if operation.tag == .put && !(operation.key < lower) && operation.key < upper {
          LevelDBAPI.delete(operation.key, into: batch)
        }
      }
    }

    // MARK: Upkeep

    /// LevelDB syncs its log with a write only: one of nothing. Its newest log: when a memtable was
    /// closed a moment ago, its log is not synced and its table still being made. So what `sync`
    /// and class `interval` promise is LevelDB's promise but for those moments.
    private static func syncLog(
      _ store: LevelFamilyStore<LevelDBAPI>
    ) throws(StorageError) {
      guard let batch = LevelDBAPI.makeBatch() else {
        throw StorageError(.io, "LevelDB gives no batch", path: store.path)
      }
      defer { LevelDBAPI.destroy(batch: batch) }
      let synced = leveldb_writeoptions_create()
      defer { leveldb_writeoptions_destroy(synced) }
      leveldb_writeoptions_set_sync(synced, 1)
      var failure: LevelDBAPI.Failure = nil
      leveldb_write(store.database, synced, batch, &failure)
      try store.check(failure)
    }

    func makeDurable() throws(StorageError) { try LevelDBEngine.syncLog(store) }

    /// LevelDB flushes as part of a compaction only: one of no keys.
    func checkpoint() throws(StorageError) {
      try checkWritable()
      try store.enter()
      defer { store.leave() }
      leveldb_compact_range(store.database, "", 0, "", 0)
      // A flush that failed shows in the next write.
      try LevelDBEngine.syncLog(store)
    }

    func compact() throws(StorageError) {
      try checkpoint()
      try store.enter()
      defer { store.leave() }
      leveldb_compact_range(store.database, nil, 0, nil, 0)
    }

    /// LevelDB does not tell whether it works; what makes a compaction due is known, though
    /// (`VersionSet::Finalize`): four tables in level 0, 10 MiB in level 1, ten times as much in
    /// each one after.
    func settle() throws(StorageError) {
      try store.enter()
      defer { store.leave() }
      while true {
        let levels = levels
        var isDue = levels[0].tables >= 4
        var limit = 10.0 * 1_048_576
        for level in levels.dropFirst().dropLast() {
          if Double(level.bytes) >= limit { isDue = true }
          limit *= 10
        }
        if !isDue { return }
        // A failure of background work ends it for good, and every write tells of it.
        try LevelDBEngine.syncLog(store)
        LabThread.sleep(nanoseconds: 2_000_000)
      }
    }

    private var levels: [(tables: Int, bytes: UInt64)] {
      var levels: [(tables: Int, bytes: UInt64)] = Array(repeating: (0, 0), count: 7)
      var level = 0
      for line in (store.property("leveldb.sstables") ?? "").split(separator: "\n") {
        if let match = line.firstMatch(of: /^--- level (\d) ---/) {
          level = min(Int(match.1) ?? 0, 6)
        } else if let match = line.firstMatch(of: /^ \d+:(\d+)\[/) {
          levels[level].tables += 1
          levels[level].bytes += UInt64(match.1) ?? 0
        }
      }
      return levels
    }

    func statistics() throws(StorageError) -> EngineStatistics {
      try store.enter()
      defer { store.leave() }
      var statistics = try commonStatistics()
      let memory = store.property("leveldb.approximate-memory-usage").flatMap(Double.init)
      statistics.details = [.init("memory.bytes", memory ?? 0)]
      for (number, level) in levels.enumerated() {
        statistics.details.append(.init("level.\(number).tables", Double(level.tables)))
      }
      let text = store.property("leveldb.stats") ?? ""
      statistics.details.append(.init("tables.written.bytes", LevelDBEngine.bytesWritten(text)))
      return statistics
    }

    /// What flushes and compactions wrote by LevelDB's own account, which has 1 MiB steps.
    static func bytesWritten(_ text: String) -> Double {
      var total = 0.0
      for line in text.split(separator: "\n") {
        let fields = line.split(separator: " ")
        guard fields.count == 6, Int(fields[0]) != nil, let written = Double(fields[5]) else {
          continue
        }
        total += written
      }
      return total * 1_048_576
    }

    func close() throws(StorageError) {
      if isClosed.exchange(true, ordering: .acquiringAndReleasing) { return }
      syncTimer?.stop()
      var problem: StorageError?
      do throws(StorageError) { try makeDurable() } catch { problem = error }
      store.close()
      if let problem { throw problem }
    }
  }

  /// LevelDB's option objects; it uses cache and filter until it is closed.
  private struct LevelDBSetup: @unchecked Sendable {
    let options: OpaquePointer
    let writeOptions: OpaquePointer
    private let cache: OpaquePointer
    private let filter: OpaquePointer

    init(_ engine: EngineOptions) {
      options = leveldb_options_create()
      writeOptions = leveldb_writeoptions_create()
      cache = leveldb_cache_create_lru(max(0, engine.cacheBytes))
      filter = leveldb_filterpolicy_create_bloom(LevelDBEngine.bloomBitsPerKey)
      leveldb_options_set_create_if_missing(options, 1)
      leveldb_options_set_write_buffer_size(
        options, engine.writeBufferBytes ?? LevelDBEngine.defaultWriteBufferBytes)
      leveldb_options_set_cache(options, cache)
      leveldb_options_set_filter_policy(options, filter)
      leveldb_options_set_compression(options, Int32(leveldb_snappy_compression))
      leveldb_writeoptions_set_sync(writeOptions, engine.durability == .commit ? 1 : 0)
    }

    func destroy() {
      leveldb_writeoptions_destroy(writeOptions)
      leveldb_options_destroy(options)
      leveldb_cache_destroy(cache)
      leveldb_filterpolicy_destroy(filter)
    }
  }

  final class LevelDBCursor: LevelFamilyCursorClass {
    var core: LevelFamilyCursor<LevelDBAPI>
    let tally: LevelFamilyTally

    init(_ core: LevelFamilyCursor<LevelDBAPI>, _ tally: LevelFamilyTally) {
      self.core = core
      self.tally = tally
      tally.openReaders.wrappingAdd(1, ordering: .relaxed)
    }

    deinit { close() }
  }
#endif
