import Synchronization

/// A log-structured merge tree (O'Neil, Cheng, Gawlick, O'Neil, 1996) in the line of LevelDB
/// and RocksDB: writes go to a log and a sorted memtable; full memtables become immutable
/// sorted tables; tables are merged level by level in the background.
///
/// Reads never wait for any of this: they hold an immutable view of memtables and tables.
/// Each operation has a sequence number, and a snapshot is just one of those.
///
/// An engine that is released without `close` stops its threads and leaves everything to the
/// log, as a crash would.
public final class LSMEngine: StorageEngine {
  public static let engineName = "lsm"

  let tree: LSMTree

  public var options: EngineOptions { tree.options }
  public var tuning: LSMTuning { tree.tuning }

  private init(_ tree: LSMTree) { self.tree = tree }

  deinit { if !tree.isClosed.load(ordering: .acquiring) { tree.abandon() } }

  /// Opens or makes the database at `options.path`. Without `tuning` the defaults hold, made
  /// to fit `options.writeBufferBytes` where that is set.
  ///
  /// Errors: those of `EngineDirectory.open`; `invalidArgument` for impossible tuning;
  /// `corruption` when the manifest, a named table's presence or the log is damaged;
  /// `unsupportedVersion`; `noSpace`, `io`. Complexity: linear in the log that must be
  /// replayed, which the memtables' size bounds.
  public static func open(
    _ options: EngineOptions, _ tuning: LSMTuning? = nil
  ) throws(StorageError) -> LSMEngine {
    let standard = options.writeBufferBytes.map { LSMTuning(writeBufferBytes: $0) }
    return LSMEngine(try LSMTree.open(options, tuning ?? standard ?? LSMTuning()))
  }

  // MARK: Reading

  public func read(_ key: RawSpan, _ body: (RawSpan) -> Void) throws(StorageError) -> Bool {
    try tree.checkOpen()
    return try key.withSlice { (key) throws(StorageError) in
      try EngineLimits.checkKey(key.count)
      return try tree.read(key) { value in value.withSpan(body) }
    }
  }

  public func snapshot() throws(StorageError) -> any Snapshot {
    try tree.checkOpen()
    return LSMSnapshot(tree, keeping: self)
  }

  public func cursor(_ range: KeyRange) throws(StorageError) -> any Cursor {
    try tree.checkOpen()
    return tree.makeCursor(range, at: nil, keeping: self)
  }

  // MARK: Writing

  public func put(_ key: RawSpan, _ value: RawSpan) throws(StorageError) {
    try key.withSlice { (key) throws(StorageError) in
      try EngineLimits.checkKey(key.count)
      try value.withSlice { (value) throws(StorageError) in
        try EngineLimits.checkValue(value.count, limit: tree.options.maximumValueBytes)
        try submit(.operation(.put, key, value))
      }
    }
  }

  public func delete(_ key: RawSpan) throws(StorageError) {
    try key.withSlice { (key) throws(StorageError) in
      try EngineLimits.checkKey(key.count)
      try submit(.operation(.delete, key, .empty))
    }
  }

  public func merge(_ key: RawSpan, _ operand: RawSpan) throws(StorageError) {
    guard let mergeOperator = options.mergeOperator else { throw .noMerges }
    try key.withSlice { (key) throws(StorageError) in
      try EngineLimits.checkKey(key.count)
      try operand.withSlice { (operand) throws(StorageError) in
        try EngineLimits.checkValue(operand.count, limit: tree.options.maximumValueBytes)
        try mergeOperator.check(operand: operand)
        try tree.recordMergeOperator()
        try submit(.operation(.merge, key, operand))
      }
    }
  }

  public func deleteRange(from lower: RawSpan, to upper: RawSpan) throws(StorageError) {
    try lower.withSlice { (lower) throws(StorageError) in
      try upper.withSlice { (upper) throws(StorageError) in
        try EngineLimits.checkValue(lower.count, limit: EngineLimits.maximumKeyBytes)
        try EngineLimits.checkValue(upper.count, limit: EngineLimits.maximumKeyBytes)
        try tree.checkWritable()
        if lower.compare(upper) >= 0 { return }
        try submit(.operation(.deleteRange, lower, upper))
      }
    }
  }

  public func write(_ batch: WriteBatch) throws(StorageError) {
    try batch.validate(
      maximumValueBytes: tree.options.maximumValueBytes, mergeOperator: options.mergeOperator)
    try tree.checkWritable()
    if batch.isEmpty { return }
    if batch.mergeCount > 0 { try tree.recordMergeOperator() }
    try batch.encoded.withSlice { (encoded) throws(StorageError) in
      try submit(.batch(encoded))
    }
  }

  @inline(__always)
  private func submit(_ write: PendingWrite) throws(StorageError) {
    try tree.checkWritable()
    try tree.queue.submit(write) { (group) throws(StorageError) in try tree.commit(group) }
  }

  // MARK: Upkeep

  public func sync() throws(StorageError) { try tree.sync() }
  public func checkpoint() throws(StorageError) { try tree.checkpoint() }
  public func compact() throws(StorageError) { try tree.compact() }
  public func settle() throws(StorageError) { try tree.settle() }
  public func statistics() throws(StorageError) -> EngineStatistics { try tree.statistics() }
  public func shape() -> [EngineStatistics.Detail] { tree.shapeFigures() }
  public func verify() throws(StorageError) -> VerificationReport { try tree.verify() }
  public func close() throws(StorageError) { try tree.close() }

  /// A checkpoint that shares the tables; of a database that is open read-only a copy of its
  /// entries.
  public func backup(to path: String) throws(StorageError) {
    if !options.isReadOnly { return try checkpoint(to: path) }
    let snapshot = try snapshot()
    defer { snapshot.close() }
    try EngineBackup.write(to: path, options.fileSystem) { (place) throws(StorageError) in
      let copy = try LSMEngine.open(backupOptions(place), tuning)
      do throws(StorageError) { try copy.fill(from: snapshot) } catch {
        try? copy.close()
        throw error
      }
      try copy.close()
    }
  }
}

/// One moment of an LSM tree: a sequence number that compactions respect.
final class LSMSnapshot: Snapshot {
  private let tree: LSMTree
  /// An abandoned engine would close the tables under the snapshot.
  private let engine: LSMEngine
  let sequence: UInt64
  private let isReleased = Atomic<Bool>(false)

  init(_ tree: LSMTree, keeping engine: LSMEngine) {
    self.tree = tree
    self.engine = engine
    sequence = tree.acquireSnapshot()
  }

  deinit { close() }

  private func checkOpen() throws(StorageError) {
    try tree.checkOpen()
    if isReleased.load(ordering: .acquiring) { throw .closed("the snapshot") }
  }

  func read(_ key: RawSpan, _ body: (RawSpan) -> Void) throws(StorageError) -> Bool {
    try checkOpen()
    return try key.withSlice { (key) throws(StorageError) in
      try EngineLimits.checkKey(key.count)
      return try tree.read(key, at: sequence) { value in value.withSpan(body) }
    }
  }

  func cursor(_ range: KeyRange) throws(StorageError) -> any Cursor {
    try checkOpen()
    return tree.makeCursor(range, at: sequence, keeping: engine)
  }

  func close() {
    if !isReleased.exchange(true, ordering: .acquiringAndReleasing) {
      tree.release(snapshot: sequence)
    }
  }
}

extension LSMEngine {
  /// The engine with default tuning, for registries, and with each other compaction policy.
  public static let registryEntry = EngineRegistry.Entry(
    name: engineName,
    summary: "log-structured merge tree: log, memtable, sorted tables merged level by level",
    variants: [
      variant(.tiered, "sorted tables merged when a tier has four runs"),
      variant(.lazyLeveled, "as tiered, with most of the data in one run"),
      .init(name: "small", summary: "flushes and compacts within some dozen writes: for tests") {
        (options) throws(StorageError) in try LSMEngine.open(options, .small)
      },
    ],
    tuned: { (settings) throws(StorageError) in
      variant(settings, "the LSM tree, tuned", try LSMSettings(settings))
    },
    tools: tools
  ) { (options) throws(StorageError) in try LSMEngine.open(options) }

  private static func variant(
    _ policy: CompactionPolicy, _ summary: String
  ) -> EngineRegistry.Entry.Variant {
    variant(policy.rawValue, summary, LSMSettings(policy))
  }

  private static func variant(
    _ name: String, _ summary: String, _ settings: LSMSettings
  ) -> EngineRegistry.Entry.Variant {
    .init(name: name, summary: summary) { (options) throws(StorageError) in
      var tuning = options.writeBufferBytes.map { LSMTuning(writeBufferBytes: $0) } ?? LSMTuning()
      settings.apply(to: &tuning)
      return try LSMEngine.open(options, tuning)
    }
  }
}
