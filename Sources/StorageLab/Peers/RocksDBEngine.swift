#if RocksDB
  import CRocksDB
  import Synchronization

  /// RocksDB behind the lab's contract: the peer that the LSM tree is measured by.
  ///
  /// Configured as its documentation recommends: dynamic level sizes, LZ4, Bloom filters of
  /// 10 bits a key, a block cache of `cacheBytes`, write buffers of `writeBufferBytes` (64 MiB
  /// unless set); indexes and filters stay in memory beside the cache, as the lab's do.
  /// Everything else is its default: two memtables, two background threads, blocks of 4 KiB,
  /// checksums verified on every read.
  ///
  /// Class `process` writes the log without a sync, `commit` syncs each group, `interval` adds
  /// a timed sync of the log. Class `none` writes no log; `close` flushes.
  final class RocksDBEngine: LevelFamilyEngine {
    typealias API = RocksDBAPI

    static let engineName = "rocksdb"
    static let formatVersion: UInt32 = 1
    static let defaultWriteBufferBytes = 64 << 20
    static let bloomBitsPerKey = 10.0

    static let registryEntry = EngineRegistry.Entry(
      name: engineName, summary: "RocksDB, a peer: LSM tree", countsIO: false,
      writesThroughCalls: true
    ) { (options) throws(StorageError) in try RocksDBEngine(options) }

    let options: EngineOptions
    let store: LevelFamilyStore<RocksDBAPI>
    let tally = LevelFamilyTally()
    let syncTimer: SyncTimer?
    private let isClosed = Atomic<Bool>(false)

    /// Opens or creates the database in the directory `options.path`.
    ///
    /// Errors: those of `EngineDirectory.open`; `unsupported` on any file system but the real
    /// one; `corruption`, `io`, `noSpace`, `readOnly`.
    init(_ options: EngineOptions) throws(StorageError) {
      try RocksDBEngine.requireRealFileSystem(options)
      self.options = options
      let (directory, _) = try EngineDirectory.open(
        engine: RocksDBEngine.engineName, version: RocksDBEngine.formatVersion, options: options)
      let path = joinPath(options.path, RocksDBEngine.dataName)
      let setup = RocksDBSetup(options)
      do throws(StorageError) {
        var failure: RocksDBAPI.Failure = nil
        let opened =
          options.isReadOnly
          ? rocksdb_open_for_read_only(setup.options, path, 0, &failure)
          : rocksdb_open(setup.options, path, &failure)
        try RocksDBAPI.check(failure, path)
        guard let opened,
          let readOptions = RocksDBAPI.makeReadOptions(snapshot: nil, verifiesChecksums: true)
        else { throw StorageError(.io, "RocksDB gives no database", path: path) }
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
        syncTimer = try SyncTimer(options, name: "rocksdb-sync") { () throws(StorageError) in
          try RocksDBEngine.syncLog(store)
        }
      } catch {
        store.close()
        throw error
      }
    }

    deinit { try? close() }

    func makeCursor(
      _ moment: LevelFamilyMoment<RocksDBAPI>?, _ range: KeyRange
    ) throws(StorageError) -> any Cursor {
      RocksDBCursor(
        try LevelFamilyCursor(
          store, moment, range, readOptions: moment?.readOptions ?? store.readOptions), tally)
    }

    func deleteRange(
      _ lower: ByteSlice, _ upper: ByteSlice, after earlier: Int, of encoded: ByteSlice,
      into batch: OpaquePointer
    ) throws(StorageError) {
      rocksdb_writebatch_delete_range(
        batch, lower.characters, lower.count, upper.characters, upper.count)
    }

    // MARK: Upkeep

    private static func syncLog(
      _ store: LevelFamilyStore<RocksDBAPI>
    ) throws(StorageError) {
      var failure: RocksDBAPI.Failure = nil
      rocksdb_flush_wal(store.database, 1, &failure)
      try store.check(failure)
    }

    func makeDurable() throws(StorageError) {
      if options.durability == .none { try flush() } else { try RocksDBEngine.syncLog(store) }
    }

    private func flush() throws(StorageError) {
      let flushing = rocksdb_flushoptions_create()
      defer { rocksdb_flushoptions_destroy(flushing) }
      rocksdb_flushoptions_set_wait(flushing, 1)
      var failure: RocksDBAPI.Failure = nil
      rocksdb_flush(store.database, flushing, &failure)
      try store.check(failure)
    }

    func checkpoint() throws(StorageError) {
      try checkWritable()
      try store.enter()
      defer { store.leave() }
      try flush()
    }

    func compact() throws(StorageError) {
      try checkpoint()
      try store.enter()
      defer { store.leave() }
      rocksdb_compact_range(store.database, nil, 0, nil, 0)
    }

    func settle() throws(StorageError) {
      try store.enter()
      defer { store.leave() }
      if options.isReadOnly { return }
      // A flush that ends may make a compaction due a moment later.
      var idleLooks = 0
      while idleLooks < 3 {
        if number("background-errors") > 0 {
          throw StorageError(
            .io, "RocksDB's background work failed", remedy: "Its file LOG says how",
            path: store.path)
        }
        let work = [
          "mem-table-flush-pending", "compaction-pending", "num-running-flushes",
          "num-running-compactions",
        ].reduce(0) { $0 + number($1) }
        idleLooks = work == 0 ? idleLooks + 1 : 0
        LabThread.sleep(nanoseconds: 1_000_000)
      }
    }

    private func number(_ name: String) -> UInt64 {
      RocksDBAPI.number(store.database, "rocksdb." + name)
    }

    func statistics() throws(StorageError) -> EngineStatistics {
      try store.enter()
      defer { store.leave() }
      var statistics = try commonStatistics()
      statistics.cacheBytes = Int(number("block-cache-usage"))
      statistics.otherMemoryBytes =
        Int(number("cur-size-all-mem-tables")) + Int(number("estimate-table-readers-mem"))
      statistics.details = [
        .init("entries.estimated", Double(number("estimate-num-keys"))),
        .init("memtables.bytes", Double(number("cur-size-all-mem-tables"))),
        .init("readers.bytes", Double(number("estimate-table-readers-mem"))),
        .init("stall.delayed.rate", Double(number("actual-delayed-write-rate"))),
        .init("stall.stopped", Double(number("is-write-stopped"))),
      ]
      for level in 0..<7 {
        let tables = store.property("rocksdb.num-files-at-level\(level)").flatMap(Double.init)
        statistics.details.append(.init("level.\(level).tables", tables ?? 0))
      }
      let text = store.property("rocksdb.cfstats-no-file-histogram") ?? ""
      if let written = RocksDBEngine.bytesWritten(text) {
        statistics.details.append(.init("tables.written.bytes", written))
      }
      return statistics
    }

    /// What flushes and compactions wrote by RocksDB's own account, which has 10 MB steps.
    static func bytesWritten(_ text: String) -> Double? {
      guard let match = text.firstMatch(of: /Cumulative compaction: ([0-9.]+) GB write/) else {
        return nil
      }
      return Double(match.1).map { $0 * Double(1 << 30) }
    }

    func close() throws(StorageError) {
      if isClosed.exchange(true, ordering: .acquiringAndReleasing) { return }
      syncTimer?.stop()
      var problem: StorageError?
      if !options.isReadOnly {
        do throws(StorageError) { try makeDurable() } catch { problem = error }
      }
      store.close()
      if let problem { throw problem }
    }
  }

  /// RocksDB's option objects: it refers to the cache and copies the rest, but asks that they
  /// stay until it is closed.
  private struct RocksDBSetup: @unchecked Sendable {
    let options: OpaquePointer
    let writeOptions: OpaquePointer
    private let tableOptions: OpaquePointer
    private let cache: OpaquePointer

    init(_ engine: EngineOptions) {
      options = rocksdb_options_create()
      writeOptions = rocksdb_writeoptions_create()
      tableOptions = rocksdb_block_based_options_create()
      cache = rocksdb_cache_create_lru(max(0, engine.cacheBytes))
      rocksdb_options_set_create_if_missing(options, engine.isReadOnly ? 0 : 1)
      rocksdb_options_set_write_buffer_size(
        options, engine.writeBufferBytes ?? RocksDBEngine.defaultWriteBufferBytes)
      rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1)
      rocksdb_options_set_compression(options, Int32(rocksdb_lz4_compression))
      // Warnings and worse go to its file LOG.
      rocksdb_options_set_info_log_level(options, 2)
      rocksdb_block_based_options_set_block_cache(tableOptions, cache)
      // The filter belongs to the table options from here on.
      rocksdb_block_based_options_set_filter_policy(
        tableOptions, rocksdb_filterpolicy_create_bloom_full(RocksDBEngine.bloomBitsPerKey))
      rocksdb_options_set_block_based_table_factory(options, tableOptions)
      rocksdb_writeoptions_set_sync(writeOptions, engine.durability == .commit ? 1 : 0)
      rocksdb_writeoptions_disable_WAL(writeOptions, engine.durability == .none ? 1 : 0)
    }

    func destroy() {
      rocksdb_writeoptions_destroy(writeOptions)
      rocksdb_options_destroy(options)
      rocksdb_block_based_options_destroy(tableOptions)
      rocksdb_cache_destroy(cache)
    }
  }

  final class RocksDBCursor: LevelFamilyCursorClass {
    var core: LevelFamilyCursor<RocksDBAPI>
    let tally: LevelFamilyTally

    init(_ core: LevelFamilyCursor<RocksDBAPI>, _ tally: LevelFamilyTally) {
      self.core = core
      self.tally = tally
      tally.openReaders.wrappingAdd(1, ordering: .relaxed)
    }

    deinit { close() }
  }
#endif
