/// An ordered key-value store: byte-string keys of 1 B … 64 KiB in unsigned bytewise order,
/// values of 0 B up to the configured limit.
///
/// Any thread may call anything. Writers take turns, alone or as a group; readers never wait
/// for flushes, compactions, checkpoints or another's durable write.
///
/// A plain `read` sees each key's newest acknowledged state, or what a write in flight is
/// about to make of it. A snapshot, and a cursor, sees one moment: all of a batch or nothing
/// of it.
///
/// An engine must write `snapshot`, `write`, `sync`, `compact`, `statistics`, `verify` and `close`; the
/// rest has defaults. `Conformance` checks all of this of any engine.
///
/// After `close` every call throws `closed`. Close releases the directory's lock; snapshots
/// and cursors still held keep memory but throw `closed`.
public protocol StorageEngine: AnyObject, Sendable, KeyedStore {
  /// The engine's name in registries, on the command line and on disk: `btree`, `lsm`, …
  static var engineName: String { get }

  /// The options in force, defaults filled in.
  var options: EngineOptions { get }

  // MARK: Reading

  /// Calls `body` with the value of `key`, borrowed for the call; returns whether the key
  /// was there. `body` may read, `verify` and ask for statistics, but must not write to the
  /// engine nor call other upkeep: it may hold what these wait for. Complexity: O(log n).
  /// Errors: `invalidArgument`, `corruption`, `io`, `closed`.
  func read(_ key: RawSpan, _ body: (RawSpan) -> Void) throws(StorageError) -> Bool

  /// A consistent view as of now. Costs O(1); release it to let go of what it holds.
  func snapshot() throws(StorageError) -> any Snapshot

  /// A cursor over `range` as of now, not yet positioned.
  func cursor(_ range: KeyRange) throws(StorageError) -> any Cursor

  // MARK: Writing

  /// Sets a value. Returns once the write is as durable as the engine's class says.
  /// Errors: `invalidArgument`, `noSpace`, `io`, `readOnly`, `writesRefused`, `closed`;
  /// after an error the key holds the old value, and a later write may succeed.
  func put(_ key: RawSpan, _ value: RawSpan) throws(StorageError)

  /// Removes a key; no error when it is absent.
  func delete(_ key: RawSpan) throws(StorageError)

  /// Removes every key in `lower ..< upper`. An empty or inverted range removes nothing.
  func deleteRange(from lower: RawSpan, to upper: RawSpan) throws(StorageError)

  /// Changes a value as the database's merge operator says (`EngineOptions.mergeOperator`),
  /// without reading it. Errors: as `put`; `unsupported` of engines without merges, or when the
  /// database was opened without an operator; `invalidArgument` when the operator refuses the
  /// operand.
  func merge(_ key: RawSpan, _ operand: RawSpan) throws(StorageError)

  /// Applies the batch's operations in order, all or none. Errors: as `put` and `merge`.
  func write(_ batch: WriteBatch) throws(StorageError)

  // MARK: Upkeep

  /// Makes every acknowledged write survive power loss, whatever the durability class;
  /// with class `none` this writes a checkpoint or flush.
  func sync() throws(StorageError)

  /// Bounds recovery: afterwards the log holds nothing that must be replayed.
  func checkpoint() throws(StorageError)

  /// Rewrites what must be rewritten so that reads and space are at their best, and returns
  /// when done: full compaction of an LSM, vacuum of a B-tree.
  func compact() throws(StorageError)

  /// Waits until no background work is due. Benchmarks call it so that no engine leaves
  /// its debt to the next measurement.
  func settle() throws(StorageError)

  /// Exact counters since opening.
  func statistics() throws(StorageError) -> EngineStatistics

  /// What the database consists of now, by counters that cost next to nothing to read, named as in
  /// the statistics' details: asked many times a second while an engine is measured. Figures that
  /// would take a walk through the data are left out; empty of an engine without such counters, and
  /// after `close`.
  func shape() -> [EngineStatistics.Detail]

  /// Reads and checks everything on disk. Problems are the result, not an error.
  func verify() throws(StorageError) -> VerificationReport

  /// Writes a copy of the newest state as a new database of the same engine at `path`, while
  /// readers and writers go on; durable when it returns, and whole or not there at all.
  /// Errors: `unsupported` of engines that keep nothing; `invalidArgument` when something is
  /// at `path`; `noSpace`, `io`, `corruption`.
  func backup(to path: String) throws(StorageError)

  /// Finishes background work, makes everything durable and releases the directory.
  /// Calling it again does nothing.
  func close() throws(StorageError)
}

/// One moment of an engine. Release or `close` it: what it can see cannot be reclaimed.
public protocol Snapshot: AnyObject, Sendable, KeyedReading {
  func read(_ key: RawSpan, _ body: (RawSpan) -> Void) throws(StorageError) -> Bool
  func cursor(_ range: KeyRange) throws(StorageError) -> any Cursor
  /// Lets go. Later calls throw `closed`; calling it again does nothing.
  func close()
}

/// A position in one moment of an engine, moving in key order within its range.
///
/// Unlike the rest, a cursor is for one thread at a time. It starts unpositioned: seek
/// first. `next` and `previous` past the end leave it invalid; from there only a seek leads
/// back. `next`, `previous`, `key` and `value` REQUIRE `isValid`.
public protocol Cursor: AnyObject {
  /// Whether the cursor stands on an entry.
  var isValid: Bool { get }

  /// Moves to the first entry of the range.
  func seekToFirst() throws(StorageError)
  /// Moves to the last entry of the range.
  func seekToLast() throws(StorageError)
  /// Moves to the first entry at or after `key` in the range.
  func seek(_ key: RawSpan) throws(StorageError)
  /// Moves to the last entry at or before `key` in the range.
  func seekForPrevious(_ key: RawSpan) throws(StorageError)

  func next() throws(StorageError)
  func previous() throws(StorageError)

  /// The current key and value: valid until the cursor moves, closes or is released.
  /// `withKey` and `withValue` are the checked way.
  var key: ByteSlice { get }
  var value: ByteSlice { get }

  func close()
}

// MARK: - What an engine need not write itself

/// A write of one operation is a batch of one, a read or a cursor is that of a snapshot, and an engine
/// without background work and without a log apart from its data has nothing to bound or to wait for.
/// Engines that can do better do.
extension StorageEngine {
  public func read(_ key: RawSpan, _ body: (RawSpan) -> Void) throws(StorageError) -> Bool {
    let snapshot = try snapshot()
    defer { snapshot.close() }
    return try snapshot.read(key, body)
  }

  public func cursor(_ range: KeyRange) throws(StorageError) -> any Cursor {
    let snapshot = try snapshot()
    defer { snapshot.close() }
    return try snapshot.cursor(range)
  }

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

  public func checkpoint() throws(StorageError) { try sync() }

  public func settle() throws(StorageError) { _ = try statistics() }

  public func shape() -> [EngineStatistics.Detail] { [] }
}

// MARK: - Comfort

extension Cursor {
  public func withKey<R, E: Error>(_ body: (RawSpan) throws(E) -> R) throws(E) -> R {
    try key.withSpan(body)
  }

  public func withValue<R, E: Error>(_ body: (RawSpan) throws(E) -> R) throws(E) -> R {
    try value.withSpan(body)
  }

  public func seek(_ key: [UInt8]) throws(StorageError) { try seek(key.span.bytes) }

  public func seekForPrevious(_ key: [UInt8]) throws(StorageError) {
    try seekForPrevious(key.span.bytes)
  }
}

extension StorageEngine {
  public func cursor() throws(StorageError) -> any Cursor { try cursor(.all) }

  /// Calls `body` for each entry of `range` in order until it returns false.
  public func scan(
    _ range: KeyRange = .all, _ body: (RawSpan, RawSpan) -> Bool
  ) throws(StorageError) {
    let cursor = try cursor(range)
    defer { cursor.close() }
    try cursor.seekToFirst()
    while cursor.isValid {
      let goOn = cursor.key.withSpan { key in cursor.value.withSpan { value in body(key, value) } }
      if !goOn { return }
      try cursor.next()
    }
  }
}

extension Snapshot {
  public func cursor() throws(StorageError) -> any Cursor { try cursor(.all) }
}
