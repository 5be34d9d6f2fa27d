extension Cluster {
  static let shardsName = "shards"

  static func shardPath(_ path: String, _ shard: ShardID) -> String {
    joinPath(joinPath(path, shardsName), shard.description)
  }

  /// Opens the cluster at `options.path`, whose shards are opened with the same options, the cache
  /// budget included, on directories of their own. Makes it with `map` when there is none and the
  /// options allow. A migration that was under way is there, and waits for its next step.
  ///
  /// Errors: `notFound`, `locked`, `corruption`, `wrongFormat` when the directory holds something else
  /// or another engine's shards; `unsupported` for an engine that keeps nothing.
  public static func open(
    _ options: EngineOptions, engine: EngineRegistry.Entry, map: ShardMap? = nil
  ) throws(StorageError) -> Cluster {
    guard !options.isReadOnly else {
      throw StorageError(.unsupported, "a cluster is not opened read-only")
    }
    guard options.mergeOperator == nil else {
      throw StorageError(.unsupported, "a cluster takes no merges")
    }
    let fileSystem = options.fileSystem
    let statePath = joinPath(options.path, ClusterState.fileName)
    if try fileSystem.exists(statePath) {
      let lock = try fileSystem.lock(joinPath(options.path, EngineDirectory.lockName))
      do throws(StorageError) { return try reopen(options, engine, lock) } catch {
        lock.release()
        throw error
      }
    }
    guard options.createIfMissing, let map else {
      throw StorageError(
        .notFound, "there is no cluster", remedy: "Check the path", path: options.path)
    }
    let lock = try prepareDirectory(options)
    do throws(StorageError) { return try create(options, engine, map, lock) } catch {
      lock.release()
      throw error
    }
  }

  /// Opens the cluster at `options.path` with the engine that its shards belong to.
  public static func openExisting(
    _ options: EngineOptions, _ engines: EngineRegistry
  ) throws(StorageError) -> Cluster {
    let state = try readState(options)
    return try open(options, engine: try engines.entry(state.engine))
  }

  /// The name that the cluster's file keeps: variants of an engine share their files.
  private static func baseName(_ engine: EngineRegistry.Entry) -> String {
    EngineTwin.original(engine.name).split(separator: ":").first.map(String.init) ?? engine.name
  }

  static func readState(_ options: EngineOptions) throws(StorageError) -> ClusterState {
    let path = joinPath(options.path, ClusterState.fileName)
    guard try options.fileSystem.exists(path) else {
      throw StorageError(
        .notFound, "there is no cluster", remedy: "Check the path", path: options.path)
    }
    let file = try options.fileSystem.open(path, .read)
    defer { file.close() }
    return try ClusterState(
      decoding: try file.readSmall(limit: ClusterState.maximumBytes), path: path)
  }

  private static func prepareDirectory(
    _ options: EngineOptions
  ) throws(StorageError) -> any FileLock {
    let fileSystem = options.fileSystem
    try fileSystem.createDirectory(options.path)
    let own = [
      EngineDirectory.lockName, shardsName, ClusterState.fileName, ClusterState.fileName + ".tmp",
    ]
    if let stranger = try fileSystem.list(options.path).first(where: { !own.contains($0) }) {
      throw StorageError(
        .wrongFormat, "the directory holds \(stranger) but no cluster",
        remedy: "Name an empty or a new directory", path: options.path)
    }
    return try fileSystem.lock(joinPath(options.path, EngineDirectory.lockName))
  }

  /// Shards first, then the file that names them: with it, all of them are there.
  private static func create(
    _ options: EngineOptions, _ engine: EngineRegistry.Entry, _ map: ShardMap,
    _ lock: any FileLock
  ) throws(StorageError) -> Cluster {
    guard engine.isPersistent else {
      throw StorageError(.unsupported, "\(engine.name) keeps nothing: a cluster's shards must")
    }
    var open: [ShardID: ClusterShard] = [:]
    do throws(StorageError) {
      for shard in map.shards {
        let opened = try openShard(options, engine, shard.id, mayCreate: true)
        open[shard.id] = opened
        let cursor = try opened.engine.cursor(.all)
        defer { cursor.close() }
        try cursor.seekToFirst()
        if cursor.isValid {
          throw StorageError(
            .wrongFormat, "\(shard.id) holds keys, but the cluster's file is missing",
            remedy: "Put the file CLUSTER back from a copy, or name another directory",
            path: options.path)
        }
      }
      let state = ClusterState(engine: baseName(engine), settled: map)
      let fileSystem = options.fileSystem
      try fileSystem.replaceFile(
        joinPath(options.path, ClusterState.fileName), with: state.encoded, directory: options.path)
      try makeNamesDurable(options)
      return try Cluster(options, engine, lock, state, open)
    } catch {
      close(open)
      throw error
    }
  }

  private static func reopen(
    _ options: EngineOptions, _ engine: EngineRegistry.Entry, _ lock: any FileLock
  ) throws(StorageError) -> Cluster {
    var state = try readState(options)
    guard state.engine == baseName(engine) else {
      throw StorageError(
        .wrongFormat, "the cluster's shards belong to engine \(state.engine), not \(engine.name)",
        remedy: "Open it with \(state.engine)", path: options.path)
    }
    var open: [ShardID: ClusterShard] = [:]
    do throws(StorageError) {
      try makeNamesDurable(options)
      if !state.retired.isEmpty {
        for shard in state.retired {
          try removeTree(shardPath(options.path, shard), options.fileSystem)
        }
        state.retired = []
        try options.fileSystem.replaceFile(
          joinPath(options.path, ClusterState.fileName), with: state.encoded,
          directory: options.path)
      }
      for shard in state.shards {
        open[shard] = try openShard(options, engine, shard, mayCreate: false)
      }
      return try Cluster(options, engine, lock, state, open)
    } catch {
      close(open)
      throw error
    }
  }

  /// The names of the cluster's file, its directory and the parents: a process that was killed may have
  /// left them without a sync, and from here on they count.
  private static func makeNamesDurable(_ options: EngineOptions) throws(StorageError) {
    try options.fileSystem.syncDirectory(options.path)
    var directory = options.path
    while parentDirectory(directory) != directory {
      directory = parentDirectory(directory)
      do throws(StorageError) { try options.fileSystem.syncDirectory(directory) } catch {
        // Where we may not look, no process of ours has made a directory.
        if error.code != .readOnly { throw error }
      }
    }
  }

  /// `mayCreate` only for a shard that the cluster's file does not name yet: one that it names and that
  /// is not there is lost, not new.
  static func openShard(
    _ options: EngineOptions, _ engine: EngineRegistry.Entry, _ id: ShardID, mayCreate: Bool
  ) throws(StorageError) -> ClusterShard {
    var own = options
    own.path = shardPath(options.path, id)
    own.createIfMissing = mayCreate
    return ClusterShard(id, try engine.open(own))
  }

  private static func close(_ shards: [ShardID: ClusterShard]) {
    for shard in shards.values {
      // The error that leads here says more than one of closing.
      do throws(StorageError) { try shard.engine.close() } catch { continue }
    }
  }

  /// Removes a directory with all that is in it, for good. One that is not there may be gone by a
  /// process that was killed before that was durable.
  static func removeTree(_ path: String, _ fileSystem: any FileSystem) throws(StorageError) {
    let parent = parentDirectory(path)
    guard try fileSystem.exists(path) else {
      if try fileSystem.exists(parent) { try fileSystem.syncDirectory(parent) }
      return
    }
    for name in try fileSystem.list(path) {
      let entry = joinPath(path, name)
      do throws(StorageError) { try fileSystem.remove(entry) } catch {
        guard error.code == .wrongFormat else { throw error }
        try removeTree(entry, fileSystem)
      }
    }
    try fileSystem.removeDirectory(path)
    try fileSystem.syncDirectory(parent)
  }
}
