import StorageLab

/// A log and a directory in memory, as in Bitcask (Sheehy and Smith, 2010): a write appends a record, a
/// read is one look-up and one read of the file, opening replays the log, `compact` rewrites what is live.
/// Class `interval` syncs each commit, which is more than it promises.
public final class BitcaskEngine: StorageEngine {
  public static let engineName = "bitcask"
  public static let registryEntry = EngineRegistry.Entry(
    name: engineName, summary: "append-only log with all keys in memory, as in Bitcask"
  ) { (options) throws(StorageError) in try BitcaskEngine(options) }

  /// One version: for each key where its value is, and in which file.
  private struct State {
    var places = PersistentTree()
    var log: RecordLog

    func view(_ life: EngineLife) -> DirectoryView {
      DirectoryView(places, life) { [log] (place) throws(StorageError) in try log.value(place) }
    }

    /// Enters a batch that the log holds at `offset`; returns the bytes of its keys and values.
    @discardableResult
    mutating func apply(_ batch: [UInt8], at offset: Int64) throws(StorageError) -> UInt64 {
      try batch.withSlice { (batch) throws(StorageError) in
        var bytes = 0
        var decoder = WriteBatch.Decoder(batch)
        while let operation = try decoder.next() {
          bytes += operation.key.count + operation.value.count
          switch operation.tag {
          case .put:
            let place = offset + Int64(operation.value.base - batch.base)
            RecordLog.place(place, operation.value).withSlice { places.put(operation.key, $0) }
          case .delete: places.remove(operation.key)
          case .deleteRange: places.removeRange(operation.key, operation.value)
          case .merge: break  // `validate` refused it.
          }
        }
        return UInt64(bytes)
      }
    }
  }

  public let options: EngineOptions
  private let files: CountingFileSystem
  private let home: EngineDirectory
  private let path: String
  private let life = EngineLife()
  /// Held by the one who writes until the record is as durable as it must be.
  private let writer = WaitableLock()
  private let state: Guarded<State>
  private let userBytesWritten = Guarded<UInt64>(0)

  public init(_ options: EngineOptions) throws(StorageError) {
    self.options = options
    files = CountingFileSystem(options.fileSystem)
    path = joinPath(options.path, "bitcask.log")
    home = try EngineDirectory.open(engine: Self.engineName, version: 1, options: options).directory
    do throws(StorageError) {
      let file = try files.open(path, options.isReadOnly ? .read : .create)
      var found = State(log: RecordLog(file, path: path))
      try found.log.replay { (batch, at) throws(StorageError) in try found.apply(batch, at: at) }
      if !options.isReadOnly {
        try found.log.trim { [files] () throws(StorageError) in
          try files.syncDirectory(options.path)
        }
      }
      state = Guarded(found)
    } catch {
      home.release()
      throw error
    }
  }

  deinit { try? close() }

  public func snapshot() throws(StorageError) -> any Snapshot {
    try life.check()
    return state.withLock { $0 }.view(life)
  }

  /// Runs one change of the state at a time; after an error the state is the old one.
  private func change(_ body: (inout State) throws(StorageError) -> Void) throws(StorageError) {
    try writer.withLock { () throws(StorageError) in
      try life.check()
      if options.isReadOnly { throw StorageError(.readOnly, "it is open for reading only") }
      var next = state.withLock { $0 }
      try body(&next)
      state.withLock { [next] in $0 = next }
    }
  }

  public func write(_ batch: WriteBatch) throws(StorageError) {
    try life.check()
    try batch.validate(maximumValueBytes: options.maximumValueBytes)
    try change { (state) throws(StorageError) in
      if batch.isEmpty { return }
      let offset = try state.log.append(batch.encoded)
      switch options.durability {
      case .none, .process: break
      case .interval, .commit: try state.log.sync()
      }
      let bytes = try state.apply(batch.encoded, at: offset)
      userBytesWritten.withLock { $0 += bytes }
    }
  }

  public func sync() throws(StorageError) {
    try change { (state) throws(StorageError) in try state.log.sync() }
  }

  /// Copies what is live to a new log, which takes the old one's place in one step. Snapshots go on
  /// reading the old file.
  public func compact() throws(StorageError) {
    try change { (state) throws(StorageError) in
      let cursor = try state.view(life).cursor(.all)
      defer { cursor.close() }
      do throws(StorageError) {
        state.log = RecordLog(try files.open(path + ".new", .truncate), path: path)
        try cursor.seekToFirst()
        while cursor.isValid {
          var batch = WriteBatch()
          batch.put(cursor.key.rawBuffer.bytes, cursor.value.rawBuffer.bytes)
          try state.apply(batch.encoded, at: try state.log.append(batch.encoded))
          try cursor.next()
        }
        try state.log.seal()
        try files.rename(path + ".new", to: path)
      } catch {
        try? files.remove(path + ".new")
        throw error
      }
      // A failure refuses later writes: the new name may not outlive a power loss.
      try? state.log.sync { () throws(StorageError) in try files.syncDirectory(options.path) }
    }
  }

  public func statistics() throws(StorageError) -> EngineStatistics {
    try life.check()
    let state = state.withLock { $0 }
    let end = writer.withLock { state.log.end }
    var statistics = EngineStatistics()
    statistics.record(files.counters)
    statistics.userBytesWritten = userBytesWritten.withLock { $0 }
    statistics.entries = UInt64(state.places.count)
    statistics.otherMemoryBytes = state.places.byteCount
    statistics.openSnapshots = life.openSnapshots
    (statistics.diskBytes, statistics.logBytes) = (end, end)
    return statistics
  }

  public func verify() throws(StorageError) -> VerificationReport {
    try life.check()
    return try writer.withLock { () throws(StorageError) in
      var report = try state.withLock { $0.log }.verify()
      report.entriesChecked = UInt64(state.withLock { $0.places.count })
      return report
    }
  }

  public func close() throws(StorageError) {
    guard life.end() else { return }
    defer { home.release() }
    try writer.withLock { () throws(StorageError) in
      if !options.isReadOnly { try state.withLock { $0.log }.seal() }
    }
  }
}
