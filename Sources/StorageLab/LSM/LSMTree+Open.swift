/// Opening: the manifest, the tables it names, the log behind it.
extension LSMTree {
  static let formatVersion: UInt32 = 1

  static func open(
    _ options: EngineOptions, _ tuning: LSMTuning
  ) throws(StorageError) -> LSMTree {
    try tuning.validate()
    var options = options
    // Lengths have 32 bits in memory and on disk.
    options.maximumValueBytes = min(options.maximumValueBytes, 1 << 30)
    let fileSystem = CountingFileSystem(options.fileSystem)
    let (directory, _) = try EngineDirectory.open(
      engine: LSMEngine.engineName, version: formatVersion, options: options)
    do throws(StorageError) {
      let tree = try recover(options, tuning, directory, fileSystem)
      do throws(StorageError) { try tree.startThreads() } catch {
        tree.abandon()
        throw error
      }
      return tree
    } catch {
      directory.release()
      throw error
    }
  }

  private static func recover(
    _ options: EngineOptions, _ tuning: LSMTuning, _ directory: EngineDirectory,
    _ fileSystem: CountingFileSystem
  ) throws(StorageError) -> LSMTree {
    let start = options.clock.nanoseconds
    let outcome = try ManifestReader(directory: options.path, fileSystem: fileSystem).read()
    let names = try fileSystem.list(options.path)
    if outcome == nil,
      let orphan = names.first(where: { $0.hasSuffix(".sst") || $0.hasSuffix(".wal") })
    {
      throw .corruption(
        "there is \(orphan) but no pointer to a manifest",
        path: joinPath(options.path, ManifestFormat.currentName), offset: 0)
    }
    let state = outcome?.state ?? ManifestState()
    try checkMergeOperator(state, options)
    // Before anything is removed: a manifest that lost a record would call live tables orphans.
    try checkTables(state, names, options.path)
    let tree = try LSMTree(
      options: options, tuning: tuning, directory: directory, fileSystem: fileSystem,
      manifestState: state)
    if !options.isReadOnly {
      let manifest = try ManifestFile(
        directory: options.path, fileSystem: fileSystem, clock: options.clock, outcome)
      tree.manifest = manifest
      try tree.removeOrphans(names, manifest)
    }
    let recovery = try tree.replayLog(from: state.replay.lsn, names)
    tree.visible.store(tree.lastSequence, ordering: .releasing)
    tree.lock.withLock { tree.updateThrottle() }
    if recovery.records > 0 {
      options.events?.record(
        Event(
          .recovery(records: recovery.records, bytes: recovery.payloadBytes), start: start,
          durationNanoseconds: options.clock.nanoseconds - start))
    }
    return tree
  }

  private static func checkTables(
    _ state: ManifestState, _ names: [String], _ path: String
  ) throws(StorageError) {
    let present = Set(names)
    for table in state.levels.joined() {
      let name = TableMetadata.fileName(table.number)
      if !present.contains(name) {
        throw .corruption(
          "a table that the manifest names is missing", path: joinPath(path, name), offset: 0)
      }
    }
  }

  /// Removes what a crash left behind: tables that no version names, old manifests.
  private func removeOrphans(_ names: [String], _ manifest: ManifestFile) throws(StorageError) {
    let live = Set(manifest.state.levels.joined().map(\.number))
    for name in names {
      if let number = LSMFileName.number(name, "sst") {
        state.nextFileNumber = max(state.nextFileNumber, number + 1)
        if !live.contains(number) { try fileSystem.remove(joinPath(options.path, name)) }
      } else if let number = LSMFileName.number(name, "manifest"), number != manifest.number {
        // The first removal may have come with rolling the manifest.
        if try fileSystem.exists(joinPath(options.path, name)) {
          try fileSystem.remove(joinPath(options.path, name))
        }
      } else if name == ManifestFormat.currentName + ".tmp",
        try fileSystem.exists(joinPath(options.path, name))
      {
        try fileSystem.remove(joinPath(options.path, name))
      }
    }
  }

  /// Replays the log into memory. Without a log of its own (durability `none`) the tree takes
  /// over what an earlier one holds and makes tables of it.
  private func replayLog(
    from start: LSN, _ names: [String]
  ) throws(StorageError) -> WriteAheadLog.Recovery {
    let keepsLog = options.durability != .none && !options.isReadOnly
    if !keepsLog && !names.contains(where: { $0.hasSuffix(".wal") }) { return .init() }
    var logOptions = WriteAheadLog.Options(
      directory: options.path, fileSystem: fileSystem, durability: options.durability)
    logOptions.segmentBytes = tuning.logSegmentBytes
    logOptions.isReadOnly = !keepsLog
    logOptions.maintenance = options.maintenance
    logOptions.clock = options.clock
    logOptions.counters = fileSystem.counters
    logOptions.events = options.events
    let opened = try WriteAheadLog.open(logOptions, from: start) {
      (end, payload) throws(StorageError) in
      try replay(payload, end)
    }
    if keepsLog {
      log = opened
    } else {
      replayedEnd = opened.end
      opened.close()
      if !options.isReadOnly && (!active.isEmpty || replayedEnd != start) {
        try installMemtable(capacity: 0, keepingOld: true)
        try flushOldest()
      }
    }
    return opened.recovery
  }

  private func replay(_ payload: ByteSlice, _ end: LSN) throws(StorageError) {
    let write = PendingWrite.batch(payload)
    let needed = try LSMTree.arenaBytes(write, remaining: active.remaining)
    if active.byteCount >= tuning.memtableBytes || needed > active.remaining {
      let isEmpty = active.isEmpty
      try installMemtable(capacity: needed, keepingOld: !isEmpty)
      // Read-only, memtables pile up: nothing may be written.
      if !options.isReadOnly && !isEmpty { try flushOldest() }
    }
    _ = try apply(write)
    replayedEnd = end
    visible.store(lastSequence, ordering: .releasing)
  }
}
