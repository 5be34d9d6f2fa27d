/// Changing the map while the cluster serves: shards are added, removed, split and merged, tenants are
/// moved; all of these are "from this map to that one".
///
/// Whoever moves calls `stepMigration` until it says that it was the last (`MigrationRunner` does it on
/// a thread). A step is a bounded piece of work; between steps, and after a crash, the cluster serves as
/// ever. Only clean-up cannot be turned back.
extension Cluster {
  /// Begins to change to `target`. Its epoch is above that of the map in force. New shards are made.
  /// Errors: `invalidArgument`, also when a migration is under way.
  public func startMigration(
    to target: ShardMap, _ options: MigrationOptions = .init()
  ) throws(StorageError) {
    control.lock()
    defer { control.unlock() }
    if open.isEmpty { throw .closed("the cluster") }
    guard state.migration == nil else {
      throw StorageError(
        .invalidArgument, "a migration is under way",
        remedy: "Let it come to its end, or roll it back")
    }
    guard target.epoch > state.settled.epoch else {
      throw StorageError(
        .invalidArgument,
        "the map's epoch is \(target.epoch), and that in force \(state.settled.epoch)",
        remedy: "Make the new map from the one in force")
    }
    let newcomers = target.shards.map(\.id).filter { open[$0] == nil }
    let known = state.retired
    if !newcomers.allSatisfy(known.contains) {
      // Named before they are made: a crash before the map names them leaves no directory behind.
      var before = state
      before.retired = Set(known).union(newcomers).sorted()
      try save(before)
    }
    var next = state
    for shard in target.shards where open[shard.id] == nil {
      if known.contains(shard.id) {
        try Cluster.removeTree(
          Cluster.shardPath(self.options.path, shard.id), self.options.fileSystem)
      }
      open[shard.id] = try Cluster.openShard(self.options, engine, shard.id, mayCreate: true)
    }
    let coming = Set(target.shards.map(\.id))
    next.retired.removeAll { coming.contains($0) }
    next.migration = MigrationState(target: target, phase: .prepare)
    let work = try Migration(resuming: next, self.options.clock)
    work.apply(options)
    migration = work
    do throws(StorageError) { _ = try install(next) } catch {
      migration = nil
      throw error
    }
    work.note("prepare: from epoch \(state.settled.epoch) to \(target.epoch)")
  }

  /// How the migration goes on; for one that was found when the cluster was opened.
  public func setMigrationOptions(_ options: MigrationOptions) {
    control.withLock { migration?.apply(options) }
  }

  /// Does the next piece of the migration. After an error it may be tried again.
  /// Errors: those of the engines; `invalidArgument` when no migration is under way.
  public func stepMigration() throws(StorageError) -> MigrationStep {
    control.lock()
    defer { control.unlock() }
    if open.isEmpty { throw .closed("the cluster") }
    guard let migration, let moving = state.migration else {
      throw StorageError(.invalidArgument, "no migration is under way")
    }
    return try migration.step(self, moving)
  }

  /// Turns round: the next steps lead back to the map from before. After the flip the sources are first
  /// compared with the destinations, which have what was written since.
  /// Errors: `invalidArgument` when there is no way back: during clean-up, or on the way back already.
  public func rollBackMigration() throws(StorageError) {
    control.lock()
    defer { control.unlock() }
    if open.isEmpty { throw .closed("the cluster") }
    guard let migration, let moving = state.migration else {
      throw StorageError(.invalidArgument, "no migration is under way")
    }
    guard moving.phase.mayRollBack else {
      throw StorageError(
        .invalidArgument, "there is no way back from the phase \(moving.phase.name)",
        remedy: "Let the migration come to its end, and then move back")
    }
    migration.progress.comparison.passes = 0
    try migration.enter(moving.phase.readsDestination ? .revert : .undo, self)
  }

  /// Whether a migration is under way.
  public var isMigrating: Bool { migration != nil }

  /// Where the migration is that is under way or was the last since the cluster was opened; nil when
  /// there was none. Waits for no step.
  public var migrationProgress: MigrationProgress? {
    lastMigration.withLock { $0 }?.published.withLock { $0 }
  }

  /// What happened in it.
  public var migrationEvents: [MigrationEvent] { lastMigration.withLock { $0 }?.events ?? [] }

  /// Closes shards that are in no map any more, unless cursors still see them, and removes their
  /// directories. What fails or waits is done when the cluster is next opened. REQUIRES: `control` is
  /// held, and requests do not see them.
  func release(_ shards: [ShardID]) {
    for id in shards {
      guard let shard = open[id], shard.openCursors.load(ordering: .acquiring) == 0 else {
        continue
      }
      do throws(StorageError) {
        try shard.engine.close()
        open[id] = nil
        try Cluster.removeTree(Cluster.shardPath(options.path, id), options.fileSystem)
        var next = state
        next.retired.removeAll { $0 == id }
        try save(next)
      } catch { continue }
    }
  }
}
