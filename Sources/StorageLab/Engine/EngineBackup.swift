/// How engines write a backup: beside its place, and moved there when it is whole.
public enum EngineBackup {
  /// Adds to the name until the backup is whole.
  static let partialSuffix = ".partial"

  /// Calls `make` with the directory to build the copy in, which is not there yet, then moves
  /// it to `path`. REQUIRES: what `make` built is closed and durable when it returns.
  public static func write(
    to path: String, _ fileSystem: any FileSystem, _ make: (String) throws(StorageError) -> Void
  ) throws(StorageError) {
    let partial = path + partialSuffix
    for place in [path, partial] where try fileSystem.exists(place) {
      throw StorageError(
        .invalidArgument, "there is something where the backup is to go",
        remedy: "Name a place where nothing is, or remove it", path: place)
    }
    do throws(StorageError) {
      try make(partial)
      try fileSystem.rename(partial, to: path)
    } catch {
      remove(partial, fileSystem)
      throw error
    }
    try fileSystem.syncDirectory(parentDirectory(path))
  }

  /// Best effort: the error that led here is the one to report.
  private static func remove(_ directory: String, _ fileSystem: any FileSystem) {
    guard let names = try? fileSystem.list(directory) else { return }
    for name in names { try? fileSystem.remove(joinPath(directory, name)) }
    try? fileSystem.removeDirectory(directory)
  }
}

extension StorageEngine {
  /// For engines that have none of their own.
  public func backup(to path: String) throws(StorageError) {
    throw StorageError(
      .unsupported, "engine \(Self.engineName) makes no backups",
      remedy: "Scan it and load the entries into another database")
  }

  /// Puts every entry of `snapshot` in batches of about a megabyte: how engines without a bulk
  /// load fill a backup.
  func fill(from snapshot: any Snapshot) throws(StorageError) {
    let cursor = try snapshot.cursor(.all)
    defer { cursor.close() }
    try cursor.seekToFirst()
    var batch = WriteBatch(reservingBytes: 1 << 20)
    while cursor.isValid {
      batch.put(cursor.key.rawBuffer.bytes, cursor.value.rawBuffer.bytes)
      if batch.byteCount >= 1 << 20 {
        try write(batch)
        batch.removeAll()
      }
      try cursor.next()
    }
    if !batch.isEmpty { try write(batch) }
  }

  /// The options of a backup: this engine's, in another directory; nothing is promised of it
  /// before its close.
  func backupOptions(_ path: String) -> EngineOptions {
    var options = options
    options.path = path
    options.isReadOnly = false
    options.createIfMissing = true
    options.durability = .none
    return options
  }
}
