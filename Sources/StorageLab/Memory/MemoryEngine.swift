import Synchronization

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
  private let life = Life()

  private struct State {
    var tree = PersistentTree()
    var userBytesWritten: UInt64 = 0
  }

  /// Shared with snapshots and cursors, which must notice the engine's end.
  final class Life: Sendable {
    let isClosed = Atomic<Bool>(false)
    let snapshots = Atomic<Int>(0)

    func check() throws(StorageError) {
      if isClosed.load(ordering: .acquiring) { throw .closed("the engine") }
    }
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
    try MemoryView(tree: try currentTree(), life: life).read(key, body)
  }

  public func snapshot() throws(StorageError) -> any Snapshot {
    MemorySnapshot(MemoryView(tree: try currentTree(), life: life))
  }

  public func cursor(_ range: KeyRange) throws(StorageError) -> any Cursor {
    MemoryCursor(MemoryView(tree: try currentTree(), life: life), range)
  }

  private func currentTree() throws(StorageError) -> PersistentTree {
    try life.check()
    return state.withLock { $0.tree }
  }

  // MARK: Writing

  public func put(_ key: RawSpan, _ value: RawSpan) throws(StorageError) {
    var batch = WriteBatch()
    batch.put(key, value)
    try write(batch)
  }

  public func delete(_ key: RawSpan) throws(StorageError) {
    var batch = WriteBatch()
    batch.delete(key)
    try write(batch)
  }

  public func deleteRange(from lower: RawSpan, to upper: RawSpan) throws(StorageError) {
    var batch = WriteBatch()
    batch.deleteRange(from: lower, to: upper)
    try write(batch)
  }

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
    guard let tree = (snapshot as? MemorySnapshot)?.view.tree else {
      throw StorageError(.invalidArgument, "the snapshot is not of a memory engine")
    }
    state.withLock { $0.tree = tree }
  }

  // MARK: Upkeep

  public func sync() throws(StorageError) { try life.check() }
  public func checkpoint() throws(StorageError) { try life.check() }
  public func compact() throws(StorageError) { try life.check() }
  public func settle() throws(StorageError) { try life.check() }

  public func statistics() throws(StorageError) -> EngineStatistics {
    try life.check()
    var statistics = EngineStatistics()
    state.withLock { state in
      statistics.userBytesWritten = state.userBytesWritten
      statistics.entries = UInt64(state.tree.count)
      statistics.otherMemoryBytes = state.tree.byteCount
    }
    statistics.openSnapshots = life.snapshots.load(ordering: .relaxed)
    return statistics
  }

  public func verify() throws(StorageError) -> VerificationReport {
    var report = VerificationReport()
    report.entriesChecked = UInt64(try currentTree().count)
    return report
  }

  public func close() throws(StorageError) { life.isClosed.store(true, ordering: .releasing) }
}

/// One version of the tree, counted as an open snapshot for as long as it is held.
private final class MemoryView: Sendable {
  let tree: PersistentTree
  private let life: MemoryEngine.Life
  private let isClosed = Atomic<Bool>(false)

  init(tree: PersistentTree, life: MemoryEngine.Life) {
    self.tree = tree
    self.life = life
    life.snapshots.wrappingAdd(1, ordering: .relaxed)
  }

  deinit { close() }

  func close() {
    if !isClosed.exchange(true, ordering: .relaxed) {
      life.snapshots.wrappingSubtract(1, ordering: .relaxed)
    }
  }

  func check(_ what: String) throws(StorageError) {
    try life.check()
    if isClosed.load(ordering: .relaxed) { throw .closed(what) }
  }

  func read(_ key: RawSpan, _ body: (RawSpan) -> Void) throws(StorageError) -> Bool {
    try check("the snapshot")
    try EngineLimits.checkKey(key.byteCount)
    guard let entry = key.withSlice({ tree[$0] }) else { return false }
    withExtendedLifetime(entry) { entry.value.withSpan { value in body(value) } }
    return true
  }

  /// A second holder of the same version, closed on its own.
  func again() -> MemoryView { MemoryView(tree: tree, life: life) }
}

private final class MemorySnapshot: Snapshot {
  let view: MemoryView

  init(_ view: MemoryView) { self.view = view }

  func read(_ key: RawSpan, _ body: (RawSpan) -> Void) throws(StorageError) -> Bool {
    try view.read(key, body)
  }

  func cursor(_ range: KeyRange) throws(StorageError) -> any Cursor {
    try view.check("the snapshot")
    return MemoryCursor(view.again(), range)
  }

  func close() { view.close() }
}

/// Finds its neighbour from the root at each step: O(log n), and nothing to get wrong.
private final class MemoryCursor: Cursor {
  private let view: MemoryView
  private let range: KeyRange
  private var entry: PersistentTree.Entry?

  init(_ view: MemoryView, _ range: KeyRange) {
    self.view = view
    self.range = range
  }

  var isValid: Bool { entry != nil }
  var key: ByteSlice { entry?.key ?? .empty }
  var value: ByteSlice { entry?.value ?? .empty }

  func seekToFirst() throws(StorageError) { try seek([]) }

  func seekToLast() throws(StorageError) {
    try view.check("the cursor")
    setIfAboveLower(view.tree.last { isBelowUpper($0) })
  }

  func seek(_ key: RawSpan) throws(StorageError) {
    try view.check("the cursor")
    key.withSlice { key in
      setIfBelowUpper(view.tree.first { isAboveLower($0) && $0.compare(key) >= 0 })
    }
  }

  func seekForPrevious(_ key: RawSpan) throws(StorageError) {
    try view.check("the cursor")
    key.withSlice { key in
      setIfAboveLower(view.tree.last { isBelowUpper($0) && $0.compare(key) <= 0 })
    }
  }

  func next() throws(StorageError) {
    try view.check("the cursor")
    guard let entry else { return }
    setIfBelowUpper(view.tree.first { $0.compare(entry.key) > 0 })
  }

  func previous() throws(StorageError) {
    try view.check("the cursor")
    guard let entry else { return }
    setIfAboveLower(view.tree.last { $0.compare(entry.key) < 0 })
  }

  func close() {
    entry = nil
    view.close()
  }

  private func setIfBelowUpper(_ found: PersistentTree.Entry?) {
    entry = found.flatMap { isBelowUpper($0.key) ? $0 : nil }
  }

  private func setIfAboveLower(_ found: PersistentTree.Entry?) {
    entry = found.flatMap { isAboveLower($0.key) ? $0 : nil }
  }

  private func isAboveLower(_ key: ByteSlice) -> Bool {
    range.lower?.withSlice { key.compare($0) >= 0 } ?? true
  }

  private func isBelowUpper(_ key: ByteSlice) -> Bool {
    range.upper?.withSlice { key.compare($0) < 0 } ?? true
  }
}
