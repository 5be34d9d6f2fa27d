import Synchronization

/// What an engine that keeps the directory of its keys in memory shares with its snapshots and cursors:
/// whether it is still open, and how many of them there are.
public final class EngineLife: Sendable {
  private let isClosed = Atomic<Bool>(false)
  fileprivate let views = Atomic<Int>(0)

  public init() {}

  /// Errors: `closed` once the engine is.
  public func check() throws(StorageError) {
    if isClosed.load(ordering: .acquiring) { throw .closed("the engine") }
  }

  /// Ends the engine; false when somebody has already.
  public func end() -> Bool { !isClosed.exchange(true, ordering: .acquiringAndReleasing) }

  /// Snapshots and cursors that are open.
  public var openSnapshots: Int { views.load(ordering: .relaxed) }
}

/// A snapshot of such an engine: one version of its directory, with cursors. The directory's values
/// are the entries' values or, with `load`, say where these are.
public final class DirectoryView: Snapshot, Sendable {
  /// Fetches the value that a directory's entry stands for. Errors: as `StorageEngine.read`.
  public typealias Load = @Sendable (ByteSlice) throws(StorageError) -> [UInt8]

  let tree: PersistentTree
  private let life: EngineLife
  private let load: Load?
  private let isClosed = Atomic<Bool>(false)

  public init(_ tree: PersistentTree, _ life: EngineLife, load: Load? = nil) {
    self.tree = tree
    self.life = life
    self.load = load
    life.views.wrappingAdd(1, ordering: .relaxed)
  }

  deinit { close() }

  public func close() {
    if !isClosed.exchange(true, ordering: .relaxed) {
      life.views.wrappingSubtract(1, ordering: .relaxed)
    }
  }

  fileprivate func check(_ what: String) throws(StorageError) {
    try life.check()
    if isClosed.load(ordering: .relaxed) { throw .closed(what) }
  }

  public func read(_ key: RawSpan, _ body: (RawSpan) -> Void) throws(StorageError) -> Bool {
    try check("the snapshot")
    try EngineLimits.checkKey(key.byteCount)
    guard let entry = key.withSlice({ tree[$0] }) else { return false }
    let found = try value(entry)
    withExtendedLifetime(found) { found.value.withSpan { value in body(value) } }
    return true
  }

  /// Seeks find their entry from the root, O(log n), and so does each step.
  public func cursor(_ range: KeyRange) throws(StorageError) -> any Cursor {
    try check("the snapshot")
    return DirectoryCursor(DirectoryView(tree, life, load: load), range)
  }

  /// The entry with the value itself.
  fileprivate func value(
    _ entry: PersistentTree.Entry
  ) throws(StorageError) -> PersistentTree.Entry {
    guard let load else { return entry }
    let value = try load(entry.value)
    return value.withSlice { PersistentTree.Entry(entry.key, $0) }
  }
}

/// Finds its neighbour from the root at each step: O(log n), and nothing to get wrong.
private final class DirectoryCursor: Cursor {
  private let view: DirectoryView
  private let range: KeyRange
  private var entry: PersistentTree.Entry?

  init(_ view: DirectoryView, _ range: KeyRange) {
    self.view = view
    self.range = range
  }

  var isValid: Bool { entry != nil }
  var key: ByteSlice { entry?.key ?? .empty }
  var value: ByteSlice { entry?.value ?? .empty }

  func seekToFirst() throws(StorageError) { try seek([]) }

  func seekToLast() throws(StorageError) {
    try view.check("the cursor")
    try stand(on: view.tree.last { isBelowUpper($0) })
  }

  func seek(_ key: RawSpan) throws(StorageError) {
    try view.check("the cursor")
    try key.withSlice { (key) throws(StorageError) in
      try stand(on: view.tree.first { isAboveLower($0) && $0.compare(key) >= 0 })
    }
  }

  func seekForPrevious(_ key: RawSpan) throws(StorageError) {
    try view.check("the cursor")
    try key.withSlice { (key) throws(StorageError) in
      try stand(on: view.tree.last { isBelowUpper($0) && $0.compare(key) <= 0 })
    }
  }

  func next() throws(StorageError) {
    try view.check("the cursor")
    guard let entry else { return }
    try stand(on: view.tree.first { $0.compare(entry.key) > 0 })
  }

  func previous() throws(StorageError) {
    try view.check("the cursor")
    guard let entry else { return }
    try stand(on: view.tree.last { $0.compare(entry.key) < 0 })
  }

  func close() {
    entry = nil
    view.close()
  }

  private func stand(on found: PersistentTree.Entry?) throws(StorageError) {
    entry = nil
    guard let found, isAboveLower(found.key), isBelowUpper(found.key) else { return }
    entry = try view.value(found)
  }

  private func isAboveLower(_ key: ByteSlice) -> Bool {
    range.lower?.withSlice { key.compare($0) >= 0 } ?? true
  }

  private func isBelowUpper(_ key: ByteSlice) -> Bool {
    range.upper?.withSlice { key.compare($0) < 0 } ?? true
  }
}
