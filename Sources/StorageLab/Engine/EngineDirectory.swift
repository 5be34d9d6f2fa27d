/// The directory that an engine owns: its lock and the file that says whose it is.
///
/// `ENGINE` (docs/formats.md, "Engine file"): a magic number, the format version, the
/// engine's name, a checksum. A directory of another engine, of a newer version or of none
/// is refused before any other byte is read.
public final class EngineDirectory: Sendable {
  public static let identityName = "ENGINE"
  public static let lockName = "LOCK"
  static let magic: UInt64 = 0x3142_414c_4547_5453  // "STGELAB1" in file order

  public let path: String
  private let lock: (any FileLock)?

  private init(path: String, lock: (any FileLock)?) {
    self.path = path
    self.lock = lock
  }

  /// Opens, and if allowed makes, the directory at `options.path` for `engine`.
  /// `isNew` tells that the identity was written just now.
  ///
  /// Errors: `notFound`, `locked`, `wrongFormat` (another engine, a foreign directory),
  /// `unsupportedVersion`, `corruption`.
  public static func open(
    engine: String, version: UInt32, options: EngineOptions
  ) throws(StorageError) -> (directory: EngineDirectory, isNew: Bool) {
    let fileSystem = options.fileSystem
    let path = options.path
    let mayCreate = options.createIfMissing && !options.isReadOnly
    let isOld = try fileSystem.exists(path)
    if !isOld {
      guard mayCreate else { throw missing(path) }
      try create(path, fileSystem)
    }
    let identityPath = joinPath(path, identityName)
    let hasIdentity = try fileSystem.exists(identityPath)
    if hasIdentity { try check(identityPath, engine: engine, version: version, fileSystem) }
    if !hasIdentity {
      if let stranger = try strangers(path, fileSystem).first {
        throw StorageError(
          .wrongFormat, "the directory holds \(stranger) but no database",
          remedy: "Name an empty or a new directory", path: path)
      }
      guard mayCreate else { throw missing(path) }
    }
    let lock =
      options.isReadOnly
      ? try lockForReading(path, fileSystem) : try fileSystem.lock(joinPath(path, lockName))
    do throws(StorageError) {
      if isOld && !options.isReadOnly { try makeNamesDurable(path, fileSystem) }
      if hasIdentity { return (EngineDirectory(path: path, lock: lock), false) }
      // Another process may have made it before we had the lock.
      let isNew = try !fileSystem.exists(identityPath)
      if isNew {
        try fileSystem.replaceFile(
          identityPath, with: encode(engine: engine, version: version), directory: path)
      } else {
        try check(identityPath, engine: engine, version: version, fileSystem)
      }
      return (EngineDirectory(path: path, lock: lock), isNew)
    } catch {
      lock?.release()
      throw error
    }
  }

  /// Makes the directory and its missing parents, each one's name durable.
  private static func create(
    _ path: String, _ fileSystem: any FileSystem
  ) throws(StorageError) {
    var parents: [String] = []
    var directory = path
    while try !fileSystem.exists(directory), parentDirectory(directory) != directory {
      directory = parentDirectory(directory)
      parents.append(directory)
    }
    try fileSystem.createDirectory(path)
    for parent in parents.reversed() { try fileSystem.syncDirectory(parent) }
  }

  /// A process that was killed while it made the directory may have left names, the directory's own
  /// among them, that no sync has covered. They are made durable before the first file of the engine
  /// is there, and so before anything that needs them.
  private static func makeNamesDurable(
    _ path: String, _ fileSystem: any FileSystem
  ) throws(StorageError) {
    guard try strangers(path, fileSystem).isEmpty else { return }
    try fileSystem.syncDirectory(path)
    var directory = path
    while parentDirectory(directory) != directory {
      directory = parentDirectory(directory)
      do throws(StorageError) { try fileSystem.syncDirectory(directory) } catch {
        // Where we may not look, no process of ours has made a directory.
        if error.code != .readOnly { throw error }
      }
    }
  }

  /// Files beside those of this type.
  private static func strangers(
    _ path: String, _ fileSystem: any FileSystem
  ) throws(StorageError) -> [String] {
    let own = [lockName, identityName, identityName + ".tmp"]
    return try fileSystem.list(path).filter { !own.contains($0) }
  }

  /// The engine and version that own the directory at `path`; nil when nobody does.
  /// Errors: `corruption`, `wrongFormat`.
  public static func identify(
    _ path: String, _ fileSystem: any FileSystem
  ) throws(StorageError) -> (engine: String, version: UInt32)? {
    let identityPath = joinPath(path, identityName)
    guard try fileSystem.exists(identityPath) else { return nil }
    return try decode(identityPath, fileSystem)
  }

  public func release() { lock?.release() }

  /// A reader locks writers out too, but creates nothing: without a lock file, or where it
  /// may not be opened for writing, there is no writer to fear.
  private static func lockForReading(
    _ path: String, _ fileSystem: any FileSystem
  ) throws(StorageError) -> (any FileLock)? {
    let lockPath = joinPath(path, lockName)
    guard try fileSystem.exists(lockPath) else { return nil }
    do throws(StorageError) {
      return try fileSystem.lock(lockPath)
    } catch {
      if error.code == .readOnly { return nil }
      throw error
    }
  }

  private static func missing(_ path: String) -> StorageError {
    StorageError(.notFound, "there is no database", remedy: "Check the path", path: path)
  }

  private static func encode(engine: String, version: UInt32) -> [UInt8] {
    var writer = ByteWriter()
    writer.integer(magic)
    writer.integer(version)
    writer.integer(UInt32(engine.utf8.count))
    writer.raw(engine.utf8)
    writer.checksum()
    return writer.bytes
  }

  private static func decode(
    _ path: String, _ fileSystem: any FileSystem
  ) throws(StorageError) -> (engine: String, version: UInt32) {
    let file = try fileSystem.open(path, .read)
    defer { file.close() }
    let bytes = try file.readSmall(limit: 4096)
    return try bytes.withSlice { (slice) throws(StorageError) in
      var reader = ByteReader(slice)
      let foundMagic: UInt64 = reader.integer()
      let version: UInt32 = reader.integer()
      let nameLength: UInt32 = reader.integer()
      let name = reader.bytes(UInt64(nameLength))
      let covered = reader.offset
      let checksum: UInt32 = reader.integer()
      guard foundMagic == magic else {
        throw StorageError(
          .wrongFormat, "this is not a StorageLab database",
          remedy: "Name an empty or a new directory", path: path)
      }
      guard reader.isIntact, reader.isAtEnd,
        CRC32C.checksum(slice.prefix(covered)) == checksum
      else { throw .corruption("the engine file fails its checksum", path: path, offset: 0) }
      return (String(decoding: name.rawBuffer, as: UTF8.self), version)
    }
  }

  private static func check(
    _ path: String, engine: String, version: UInt32, _ fileSystem: any FileSystem
  ) throws(StorageError) {
    let found = try decode(path, fileSystem)
    if found.engine != engine {
      throw StorageError(
        .wrongFormat, "the directory belongs to engine \(found.engine), not \(engine)",
        remedy: "Open it with \(found.engine), or name another directory", path: path)
    }
    if found.version > version {
      throw StorageError(
        .unsupportedVersion,
        "the database has format version \(found.version); this build reads up to \(version)",
        remedy: "Open it with a newer StorageLab", path: path)
    }
  }
}
