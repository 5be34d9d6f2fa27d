/// Checkpoints that share the tables: a database of its own in the time that it takes to make
/// links, since a table never changes once it is written.
extension LSMEngine {
  /// Makes a new database of the newest state at `path`, on the same file system, while readers and
  /// writers go on; durable when it returns, and whole or not there at all. Its tables are further
  /// names of this database's (copies, where the file system has no links), so it costs no space
  /// until one of the two rewrites them; neither can change what the other sees.
  ///
  /// Errors: `invalidArgument` when something is at `path`; `readOnly`, `noSpace`, `io`, `closed`.
  /// Complexity: a flush, and O(tables).
  public func checkpoint(to path: String) throws(StorageError) { try tree.share(at: path) }
}

extension LSMTree {
  func share(at path: String) throws(StorageError) {
    try checkpoint()
    let (moment, version) = try present()
    try EngineBackup.write(to: path, options.fileSystem) { (place) throws(StorageError) in
      try share(moment, at: place)
    }
    // Until here no table of it was removed.
    withExtendedLifetime(version) {}
  }

  /// What the manifest says, and the version that holds the tables which it names.
  private func present() throws(StorageError) -> (ManifestState, LSMVersion) {
    manifestLock.lock()
    defer { manifestLock.unlock() }
    guard let manifest else { throw StorageError(.readOnly, "the database is open read-only") }
    return (manifest.state, lock.withLock { state.version })
  }

  private func share(_ moment: ManifestState, at place: String) throws(StorageError) {
    var copyOptions = options
    copyOptions.path = place
    copyOptions.createIfMissing = true
    let (owned, _) = try EngineDirectory.open(
      engine: LSMEngine.engineName, version: LSMTree.formatVersion, options: copyOptions)
    defer { owned.release() }
    for table in moment.levels.joined() {
      let name = TableMetadata.fileName(table.number)
      try options.fileSystem.share(
        joinPath(options.path, name), as: joinPath(place, name), bytes: table.fileBytes)
    }
    try options.fileSystem.syncDirectory(place)
    var moment = moment
    // A log of its own begins at the start; what it replays is newer than every table.
    moment.replay.lsn = 0
    try ManifestFile.create(
      moment, directory: place, fileSystem: options.fileSystem, clock: options.clock)
  }
}

extension FileSystem {
  /// Makes `to` hold what `from` holds, which nobody changes: by a link, or where there can be none
  /// by a copy. Its bytes are durable, its name is not yet.
  fileprivate func share(
    _ from: String, as to: String, bytes: UInt64
  ) throws(StorageError) {
    do throws(StorageError) { return try link(from, to: to) } catch {
      guard error.code == .unsupported else { throw error }
    }
    let source = try open(from, .read)
    defer { source.close() }
    let target = try open(to, .truncate)
    defer { target.close() }
    var piece = [UInt8](repeating: 0, count: Int(min(max(bytes, 1), 1 << 20)))
    var offset: Int64 = 0
    while true {
      let count = try piece.withMutableBytes { (buffer) throws(StorageError) in
        try source.read(into: buffer, at: offset)
      }
      if count == 0 { break }
      try piece.withSlice { (slice) throws(StorageError) in
        try target.write(slice.prefix(count).rawBuffer, at: offset)
      }
      offset += Int64(count)
    }
    try target.sync()
  }
}
