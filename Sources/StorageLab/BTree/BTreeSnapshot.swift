import Synchronization

/// One moment of a B-tree. Costs a place in a list; pages are copied only when written to
/// while it lives.
public final class BTreeSnapshot: Snapshot, @unchecked Sendable {
  private let engine: BTreeEngine
  private let holder: BTreeSpace.Holder
  private let isClosed = Atomic<Bool>(false)

  init(_ engine: BTreeEngine, _ holder: BTreeSpace.Holder) {
    self.engine = engine
    self.holder = holder
  }

  deinit { close() }

  public func read(_ key: RawSpan, _ body: (RawSpan) -> Void) throws(StorageError) -> Bool {
    try EngineLimits.checkKey(key.byteCount)
    try checkOpen()
    engine.accesses.add(holder.height)
    return try key.withSlice { (key) throws(StorageError) in
      try engine.cache.readFrozen(root: holder.root, key, body)
    }
  }

  public func cursor(_ range: KeyRange) throws(StorageError) -> any Cursor {
    try checkOpen()
    engine.retain(holder)
    return BTreeCursor(engine, holder, range)
  }

  /// Entries in this moment.
  public var entries: UInt64 { holder.entries }

  private func checkOpen() throws(StorageError) {
    if isClosed.load(ordering: .acquiring) { throw .closed("the snapshot") }
    try engine.checkOpen()
  }

  public func close() {
    if isClosed.exchange(true, ordering: .acquiringAndReleasing) { return }
    engine.release(holder)
  }
}
