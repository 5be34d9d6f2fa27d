#if RocksDB || LevelDB
  import Synchronization

  /// What the engine counts itself.
  final class LevelFamilyTally: Sendable {
    let userBytesWritten = Atomic<UInt64>(0)
    /// Snapshots and cursors.
    let openReaders = Atomic<Int>(0)
  }

  /// LevelDB or RocksDB behind the lab's contract, as far as the two are the same.
  ///
  /// Both do their own I/O on the real file system only, in the directory `data` below the
  /// engine's own, since each has a lock file of the same name. A snapshot or cursor that
  /// outlives `close` keeps the database, and so the directory's lock, until it goes.
  protocol LevelFamilyEngine: StorageEngine {
    associatedtype API: LevelFamilyAPI

    var store: LevelFamilyStore<API> { get }
    var tally: LevelFamilyTally { get }
    var syncTimer: SyncTimer? { get }

    /// Adds the deletion of `lower ..< upper` that comes after `earlier` operations of `encoded`.
    /// REQUIRES: the range is not empty.
    func deleteRange(
      _ lower: ByteSlice, _ upper: ByteSlice, after earlier: Int, of encoded: ByteSlice,
      into batch: OpaquePointer
    ) throws(StorageError)

    func makeCursor(
      _ moment: LevelFamilyMoment<API>?, _ range: KeyRange
    ) throws(StorageError) -> any Cursor

    /// Makes every acknowledged write durable.
    func makeDurable() throws(StorageError)
  }

  extension LevelFamilyEngine {
    static var dataName: String { "data" }

    static func requireRealFileSystem(_ options: EngineOptions) throws(StorageError) {
      guard options.fileSystem is POSIXFileSystem else {
        throw StorageError(
          .unsupported, "\(API.product) does its own I/O, on the real file system only",
          remedy: "Open it with POSIXFileSystem")
      }
    }

    // MARK: Reading

    func read(_ key: RawSpan, _ body: (RawSpan) -> Void) throws(StorageError) -> Bool {
      try EngineLimits.checkKey(key.byteCount)
      try store.enter()
      defer { store.leave() }
      return try store.read(key, store.readOptions, body)
    }

    func snapshot() throws(StorageError) -> any Snapshot {
      LevelFamilySnapshot(self, try moment())
    }

    private func moment() throws(StorageError) -> LevelFamilyMoment<API> {
      let tally = tally
      let moment = try LevelFamilyMoment(store) {
        tally.openReaders.wrappingSubtract(1, ordering: .relaxed)
      }
      tally.openReaders.wrappingAdd(1, ordering: .relaxed)
      return moment
    }

    func cursor(_ range: KeyRange) throws(StorageError) -> any Cursor {
      try makeCursor(nil, range)
    }

    // MARK: Writing

    func put(_ key: RawSpan, _ value: RawSpan) throws(StorageError) {
      try EngineLimits.checkKey(key.byteCount)
      try EngineLimits.checkValue(value.byteCount, limit: options.maximumValueBytes)
      try commit(userBytes: key.byteCount + value.byteCount) {
        key.withSlice { key in
          value.withSlice { value in API.put(store.database, store.writeOptions, key, value) }
        }
      }
    }

    func delete(_ key: RawSpan) throws(StorageError) {
      try EngineLimits.checkKey(key.byteCount)
      try commit(userBytes: key.byteCount) {
        key.withSlice { key in API.delete(store.database, store.writeOptions, key) }
      }
    }

    func deleteRange(from lower: RawSpan, to upper: RawSpan) throws(StorageError) {
      try EngineLimits.checkValue(lower.byteCount, limit: EngineLimits.maximumKeyBytes)
      try EngineLimits.checkValue(upper.byteCount, limit: EngineLimits.maximumKeyBytes)
      var batch = WriteBatch()
      batch.deleteRange(from: lower, to: upper)
      try write(batch)
    }

    func write(_ batch: WriteBatch) throws(StorageError) {
      try batch.validate(maximumValueBytes: options.maximumValueBytes)
      try checkWritable()
      if batch.isEmpty { return }
      guard let made = API.makeBatch() else {
        throw StorageError(.io, "\(API.product) gives no batch", path: options.path)
      }
      defer { API.destroy(batch: made) }
      try store.enter()
      defer { store.leave() }
      var userBytes = 0
      try batch.encoded.withSlice { (encoded) throws(StorageError) in
        var decoder = WriteBatch.Decoder(encoded)
        var done = 0
        while let operation = try decoder.next() {
          defer { done += 1 }
          userBytes += operation.key.count + operation.value.count
          switch operation.tag {
          case .put: API.put(operation.key, operation.value, into: made)
          case .delete: API.delete(operation.key, into: made)
          case .deleteRange:
            if !(operation.key < operation.value) { continue }
            try deleteRange(
              operation.key, operation.value, after: done, of: encoded, into: made)
          case .merge: throw WriteBatch.Decoder.unexpectedMerge
          }
        }
      }
      try commit(userBytes: userBytes) { API.write(store.database, store.writeOptions, made) }
    }

    func checkWritable() throws(StorageError) {
      try store.checkOpen()
      if options.isReadOnly {
        throw StorageError(
          .readOnly, "the database is open for reading only",
          remedy: "Open it without isReadOnly to write", path: options.path)
      }
    }

    @inline(__always)
    private func commit(userBytes: Int, _ body: () -> API.Failure) throws(StorageError) {
      try checkWritable()
      try syncTimer?.checkHealth()
      try store.enter()
      defer { store.leave() }
      try store.check(body())
      tally.userBytesWritten.wrappingAdd(UInt64(userBytes), ordering: .relaxed)
      syncTimer?.noteCommit()
    }

    // MARK: Upkeep

    func sync() throws(StorageError) {
      try store.enter()
      defer { store.leave() }
      if !options.isReadOnly { try makeDurable() }
    }

    /// Reads every entry, checksums verified.
    func verify() throws(StorageError) -> VerificationReport {
      try store.enter()
      defer { store.leave() }
      var report = VerificationReport()
      guard let checking = API.makeReadOptions(snapshot: nil, verifiesChecksums: true) else {
        throw StorageError(.io, "\(API.product) gives no read options", path: options.path)
      }
      defer { API.destroy(readOptions: checking) }
      var cursor = try LevelFamilyCursor<API>(store, nil, .all, readOptions: checking)
      defer { _ = cursor.close() }
      do throws(StorageError) {
        try cursor.seekToFirst()
        while cursor.isValid {
          report.entriesChecked += 1
          report.bytesChecked += Int64(cursor.key.count + cursor.value.count)
          try cursor.next()
        }
      } catch {
        guard error.code == .corruption else { throw error }
        report.problems.append(.init(error, path: options.path))
      }
      return report
    }

    /// What the two count alike; the sizes are those of the files there are now.
    func commonStatistics() throws(StorageError) -> EngineStatistics {
      var statistics = EngineStatistics()
      statistics.userBytesWritten = tally.userBytesWritten.load(ordering: .relaxed)
      statistics.openSnapshots = tally.openReaders.load(ordering: .relaxed)
      statistics.cacheBudget = options.cacheBytes
      for name in try options.fileSystem.list(store.path) {
        // A file may go between the two calls.
        guard let file = try? options.fileSystem.open(joinPath(store.path, name), .read),
          let size = try? file.size()
        else { continue }
        file.close()
        statistics.diskBytes += size
        if name.hasSuffix(".log") { statistics.logBytes += size }
      }
      return statistics
    }
  }

  extension LevelFamilyStore {
    @inline(__always)
    func read(
      _ key: RawSpan, _ options: OpaquePointer, _ body: (RawSpan) -> Void
    ) throws(StorageError) -> Bool {
      var failure: API.Failure = nil
      let isThere = key.withSlice { key in
        API.read(database, options, key, &failure) { value in value.withSpan(body) }
      }
      try check(failure)
      return isThere
    }
  }

  final class LevelFamilySnapshot<Engine: LevelFamilyEngine>: Snapshot {
    private let engine: Engine
    private let moment: Guarded<LevelFamilyMoment<Engine.API>?>

    init(_ engine: Engine, _ moment: LevelFamilyMoment<Engine.API>) {
      self.engine = engine
      self.moment = Guarded(moment)
    }

    private func current() throws(StorageError) -> LevelFamilyMoment<Engine.API> {
      guard let current = moment.withLock({ $0 }) else { throw .closed("the snapshot") }
      try current.store.checkOpen()
      return current
    }

    func read(_ key: RawSpan, _ body: (RawSpan) -> Void) throws(StorageError) -> Bool {
      try EngineLimits.checkKey(key.byteCount)
      let moment = try current()
      return try moment.store.read(key, moment.readOptions, body)
    }

    func cursor(_ range: KeyRange) throws(StorageError) -> any Cursor {
      try engine.makeCursor(try current(), range)
    }

    func close() { moment.withLock { $0 = nil } }
  }

  /// A cursor of one of the engines: a class of its own, so that its calls are compiled for it.
  protocol LevelFamilyCursorClass: Cursor {
    associatedtype API: LevelFamilyAPI
    var core: LevelFamilyCursor<API> { get set }
    var tally: LevelFamilyTally { get }
  }

  extension LevelFamilyCursorClass {
    var isValid: Bool { core.isValid }
    var key: ByteSlice { core.key }
    var value: ByteSlice { core.value }

    func seekToFirst() throws(StorageError) { try core.seekToFirst() }
    func seekToLast() throws(StorageError) { try core.seekToLast() }
    func seek(_ key: RawSpan) throws(StorageError) { try core.seek(key) }
    func seekForPrevious(_ key: RawSpan) throws(StorageError) { try core.seekForPrevious(key) }
    func next() throws(StorageError) { try core.next() }
    func previous() throws(StorageError) { try core.previous() }
    func close() {
      if core.close() { tally.openReaders.wrappingSubtract(1, ordering: .relaxed) }
    }
  }
#endif
