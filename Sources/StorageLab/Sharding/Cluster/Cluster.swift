/// Shards under one roof: a directory with a file that says which keys are where (`CLUSTER`), and an
/// engine of one kind for each shard.
///
/// Any thread may call. Point operations go to one shard; a batch is atomic on each shard and not over
/// all of them; a scan merges the shards' orders, each shard as of one moment of its own. A migration
/// (`startMigration`) changes the map while all this goes on.
///
/// A request goes by one immutable view of map and engines, from entering the cluster to leaving it; a
/// change of the view waits for the requests under way and holds new ones back meanwhile. So no request
/// sees two maps. `body` of a `read` must not call the
/// cluster.
///
/// After `close` every call throws `closed`.
public final class Cluster: KeyedStore, Sendable {
  /// How each shard is opened; `path` is the cluster's.
  public let options: EngineOptions
  let engine: EngineRegistry.Entry
  private let lock: any FileLock
  private let gate = RequestGate()
  /// Retained by hand: requests borrow it without counting.
  private nonisolated(unsafe) var view: Unmanaged<ClusterView>

  /// Guards what follows, and is held by whoever changes the map.
  let control = WaitableLock()
  nonisolated(unsafe) private(set) var state: ClusterState
  /// Every engine that is open, those of retired shards with open cursors included.
  nonisolated(unsafe) var open: [ShardID: ClusterShard]
  /// For how long the last change of the view held requests back.
  nonisolated(unsafe) private(set) var lastSwitchNanoseconds: UInt64 = 0
  private let currentMigration = Guarded<Migration?>(nil)
  /// The one under way, or the one before: for who wants to know how it went.
  let lastMigration = Guarded<Migration?>(nil)

  /// REQUIRES: `open` has the shards of `state`.
  init(
    _ options: EngineOptions, _ engine: EngineRegistry.Entry, _ lock: any FileLock,
    _ state: ClusterState, _ open: [ShardID: ClusterShard]
  ) throws(StorageError) {
    self.options = options
    self.engine = engine
    self.lock = lock
    self.state = state
    self.open = open
    let found = state.migration == nil ? nil : try Migration(resuming: state, options.clock)
    view = Unmanaged.passRetained(
      try Cluster.view(of: state, open, found, mayHoldStrays: state.migration != nil))
    migration = found
  }

  deinit { view.release() }

  /// The migration under way.
  var migration: Migration? {
    get { currentMigration.withLock { $0 } }
    set {
      currentMigration.withLock { $0 = newValue }
      if let newValue { lastMigration.withLock { $0 = newValue } }
    }
  }

  // MARK: Requests

  /// The map that reads go by.
  public var map: ShardMap {
    let lane = gate.enter()
    defer { gate.leave(lane) }
    return view._withUnsafeGuaranteedRef { $0.map }
  }

  /// As `StorageEngine.read`, of the shard that has the key.
  public func read(
    _ key: RawSpan, _ body: (RawSpan) -> Void
  ) throws(StorageError) -> Bool {
    try inside { (view, lane) throws(StorageError) in try view.read(key, lane, body) }
  }

  /// Sets a value, as durable as the class says when it returns.
  public func put(_ key: RawSpan, _ value: RawSpan) throws(StorageError) {
    try inside { (view, lane) throws(StorageError) in try view.put(key, value, lane) }
  }

  public func delete(_ key: RawSpan) throws(StorageError) {
    try inside { (view, lane) throws(StorageError) in try view.delete(key, lane) }
  }

  /// Applies a batch: all or nothing of it on each shard, and not over all shards. Errors: as
  /// `StorageEngine.write`; then some shards may have applied their part, which the message says.
  /// `unsupported` for merges.
  public func write(_ batch: WriteBatch) throws(StorageError) {
    let limit = options.maximumValueBytes
    try inside { (view, lane) throws(StorageError) in
      try view.write(batch, maximumValueBytes: limit, lane)
    }
  }

  /// Removes a range on every shard that may hold keys of it, shard by shard.
  public func deleteRange(from lower: RawSpan, to upper: RawSpan) throws(StorageError) {
    var batch = WriteBatch()
    batch.deleteRange(from: lower, to: upper)
    try write(batch)
  }

  /// A cursor over the shards that overlap the range, in key order.
  public func cursor(_ range: KeyRange = .all) throws(StorageError) -> any Cursor {
    try inside { (view, lane) throws(StorageError) in
      // The view is the cursor's from here on.
      try ClusterCursor(view, range, lane)
    }
  }

  /// The same for what is no request.
  func uncountedCursor(_ range: KeyRange) throws(StorageError) -> ClusterCursor {
    try inside { (view, _) throws(StorageError) in try ClusterCursor(view, range, nil) }
  }

  /// Calls `body` for each entry of the range in order until it returns false. What goes on beyond some
  /// dozen entries of a shard is read ahead by up to `concurrency` threads, some blocks of each shard.
  public func scan(
    _ range: KeyRange = .all, concurrency: Int = 4, _ body: (RawSpan, RawSpan) -> Bool
  ) throws(StorageError) {
    let scan = try inside { (view, lane) throws(StorageError) in
      try ScatterScan(view, range, concurrency: concurrency, lane)
    }
    try scan.run(body)
  }

  /// Makes every acknowledged write survive power loss, on all shards.
  public func sync() throws(StorageError) {
    try inside { (view, _) throws(StorageError) in
      for shard in view.shards { try shard.engine.sync() }
    }
  }

  /// Waits until no engine has background work due.
  public func settle() throws(StorageError) {
    try inside { (view, _) throws(StorageError) in
      for shard in view.shards { try shard.engine.settle() }
    }
  }

  @inline(__always)
  func inside<R>(
    _ body: (ClusterView, Int) throws(StorageError) -> R
  ) throws(StorageError) -> R {
    let lane = gate.enter()
    defer { gate.leave(lane) }
    return try view.borrowed { (view) throws(StorageError) in
      guard view.isOpen else { throw .closed("the cluster") }
      return try body(view, lane)
    }
  }

  // MARK: Changes

  /// Makes `next` durable and then what requests go by, with nobody between. Nothing happens when
  /// `isStill` says no; returns whether it did. In the time between, and when the disk does not take it,
  /// nobody knows which of the two a crash leads to: both are right then, as long as each write of a
  /// moving key comes to both its shards or fails. REQUIRES: `control` is held, `open` has the shards of
  /// both.
  func install(
    _ next: ClusterState, if isStill: () -> Bool = { true }
  ) throws(StorageError) -> Bool {
    let replacement = try Cluster.view(
      of: next, open, migration, mayHoldStrays: next.migration != nil)
    let previous = state
    let latch = migration?.latch
    latch?.isStrict = true
    guard isStill() else {
      latch?.isStrict = false
      return false
    }
    try save(next)
    let began = options.clock.nanoseconds
    let isDone = try gate.exclusively { () throws(StorageError) in
      guard isStill() else { return false }
      swap(replacement)
      return true
    }
    lastSwitchNanoseconds = options.clock.nanoseconds &- began
    if !isDone { try save(previous) }
    latch?.isStrict = false
    return isDone
  }

  /// Makes durable what requests do not go by, or not yet. REQUIRES: `control` is held.
  func save(_ next: ClusterState) throws(StorageError) {
    do throws(StorageError) {
      try options.fileSystem.replaceFile(
        joinPath(options.path, ClusterState.fileName), with: next.encoded, directory: options.path)
    } catch {
      migration?.latch.isStrict = true
      throw error
    }
    state = next
  }

  private func swap(_ replacement: ClusterView) {
    let old = view
    view = Unmanaged.passRetained(replacement)
    old.release()
  }

  private static func view(
    of state: ClusterState, _ open: [ShardID: ClusterShard], _ migration: Migration?,
    mayHoldStrays: Bool
  ) throws(StorageError) -> ClusterView {
    let map = state.map
    var doubleWrites: ClusterView.DoubleWrites?
    var router = try map.router()
    if let moving = state.migration, let migration {
      let reads = moving.phase.readsDestination
      router = reads ? migration.target : migration.source
      if moving.phase.writesBoth {
        doubleWrites = .init(
          router: reads ? migration.source : migration.target, latch: migration.latch)
      }
    }
    return ClusterView(
      map, router: router, shards: state.shards.compactMap { open[$0] },
      doubleWrites: doubleWrites, mayHoldStrays: mayHoldStrays)
  }

  /// An engine of the cluster. Errors: `closed`; `invalidArgument` when it has no such shard.
  func shard(_ id: ShardID) throws(StorageError) -> ClusterShard {
    guard let shard = open[id] else {
      throw open.isEmpty
        ? .closed("the cluster")
        : StorageError(.invalidArgument, "\(id) is no shard of the cluster")
    }
    return shard
  }

  /// Ends: requests under way finish, engines are closed. A migration goes on when the cluster is opened
  /// again. Calling it again does nothing.
  public func close() throws(StorageError) {
    control.lock()
    defer { control.unlock() }
    if open.isEmpty { return }
    try gate.exclusively { () throws(StorageError) in
      swap(
        ClusterView(
          state.map, router: try state.map.router(), shards: [], doubleWrites: nil,
          mayHoldStrays: false, isOpen: false))
    }
    var failure: StorageError?
    for shard in open.values.sorted(by: { $0.id < $1.id }) {
      do throws(StorageError) { try shard.engine.close() } catch { failure = failure ?? error }
    }
    open = [:]
    lock.release()
    if let failure { throw failure }
  }
}
