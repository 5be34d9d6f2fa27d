/// The sorted in-memory engine: the oracle that the others are compared with, so simple
/// comes before fast. Keeps nothing on disk; `path`, `durability` and the cache budget mean
/// nothing to it.
///
/// The state is a persistent tree behind one lock that is held only to read or to replace
/// its root: a snapshot is a copy of the root.
public final class MemoryEngine: StorageEngine {
  public static let engineName = "memory"

  public let options: EngineOptions
  private let state: Guarded<State>
  private let life = EngineLife()

  private struct State {
    var tree = PersistentTree()
    var userBytesWritten: UInt64 = 0
  }

  /// Opens an empty engine. Errors: none.
  public static func open(_ options: EngineOptions) throws(StorageError) -> MemoryEngine {
    MemoryEngine(options)
  }

  init(_ options: EngineOptions) {
    self.options = options
    state = Guarded(State())
  }

  /// Its registry entry.
  public static let registryEntry = EngineRegistry.Entry(
    name: engineName, summary: "sorted tree in memory, keeps nothing: the oracle",
    isPersistent: false
  ) { (options) throws(StorageError) in try MemoryEngine.open(options) }

  // MARK: Reading

  public func read(_ key: RawSpan, _ body: (RawSpan) -> Void) throws(StorageError) -> Bool {
    try DirectoryView(try currentTree(), life).read(key, body)
  }

  public func snapshot() throws(StorageError) -> any Snapshot {
    DirectoryView(try currentTree(), life)
  }

  private func currentTree() throws(StorageError) -> PersistentTree {
    try life.check()
    return state.withLock { $0.tree }
  }

  // MARK: Writing

  public func merge(_ key: RawSpan, _ operand: RawSpan) throws(StorageError) {
    var batch = WriteBatch()
    batch.merge(key, operand)
    try write(batch)
  }

  public func write(_ batch: WriteBatch) throws(StorageError) {
    try life.check()
    try batch.validate(
      maximumValueBytes: options.maximumValueBytes, mergeOperator: options.mergeOperator)
    if options.isReadOnly {
      throw StorageError(.readOnly, "the engine is open for reading only")
    }
    try state.withLock { (state) throws(StorageError) in
      try life.check()
      var tree = state.tree
      var bytes: UInt64 = 0
      try batch.encoded.withSlice { (encoded) throws(StorageError) in
        var decoder = WriteBatch.Decoder(encoded)
        while let operation = try decoder.next() {
          bytes += UInt64(operation.key.count + operation.value.count)
          switch operation.tag {
          case .put: tree.put(operation.key, operation.value)
          case .delete: tree.remove(operation.key)
          case .deleteRange: tree.removeRange(operation.key, operation.value)
          case .merge: merge(operation, into: &tree)
          }
        }
      }
      state.tree = tree
      state.userBytesWritten += bytes
    }
  }

  private func merge(_ operation: WriteBatch.Operation, into tree: inout PersistentTree) {
    let existing = tree[operation.key]
    let value = withExtendedLifetime(existing) {
      options.mergeOperator?.full(
        operation.key, existing: existing?.value, operands: [operation.value])
    }
    value?.withSlice { tree.put(operation.key, $0) }
  }

  /// Goes back to what `snapshot` saw: how a test follows an engine that lost unsynced
  /// writes in a crash. Errors: `invalidArgument` for another engine's snapshot.
  func restore(_ snapshot: any Snapshot) throws(StorageError) {
    guard let tree = (snapshot as? DirectoryView)?.tree else {
      throw StorageError(.invalidArgument, "the snapshot is not of a memory engine")
    }
    state.withLock { $0.tree = tree }
  }

  // MARK: Upkeep

  public func sync() throws(StorageError) { try life.check() }
  public func compact() throws(StorageError) { try life.check() }

  public func statistics() throws(StorageError) -> EngineStatistics {
    try life.check()
    var statistics = EngineStatistics()
    state.withLock { state in
      statistics.userBytesWritten = state.userBytesWritten
      statistics.entries = UInt64(state.tree.count)
      statistics.otherMemoryBytes = state.tree.byteCount
    }
    statistics.openSnapshots = life.openSnapshots
    return statistics
  }

  public func verify() throws(StorageError) -> VerificationReport {
    var report = VerificationReport()
    report.entriesChecked = UInt64(try currentTree().count)
    return report
  }

  public func close() throws(StorageError) { _ = life.end() }
}
