/// Everything durable goes through this seam: the engines never call the operating system
/// for files themselves. One implementation is POSIX; another keeps only what was synced,
/// so that a test can pull the plug; wrappers count calls and inject faults.
///
/// Durability contract, that of POSIX read strictly: bytes survive power loss once
/// `File.sync` of their file returned; a creation, removal or rename survives once
/// `syncDirectory` of its directory returned. Nothing else does.
///
/// Paths are absolute or relative strings with `/`. Any thread may call.
public protocol FileSystem: AnyObject, Sendable {
  /// Opens a file. Errors: `notFound`, `wrongFormat` when a directory or a device stands there,
  /// `readOnly`, `noSpace`, `io`.
  func open(_ path: String, _ mode: FileMode) throws(StorageError) -> any File

  /// Whether a file or directory is there.
  func exists(_ path: String) throws(StorageError) -> Bool

  /// Names (not paths) in a directory, sorted. Errors: `notFound`.
  func list(_ directory: String) throws(StorageError) -> [String]

  /// Makes a directory and its missing parents. No error when it is there. Errors:
  /// `wrongFormat` when a file is in the way.
  func createDirectory(_ path: String) throws(StorageError)

  /// Removes a file. Errors: `notFound`, `wrongFormat` for a directory.
  func remove(_ path: String) throws(StorageError)

  /// Removes an empty directory. Errors: `notFound`, `io` when it is not empty.
  func removeDirectory(_ path: String) throws(StorageError)

  /// Replaces `to` by `from`, atomically; does nothing when both name one file. Errors:
  /// `notFound`, `wrongFormat` when one is a file and the other a directory, `io` when a
  /// directory would replace one that is not empty.
  func rename(_ from: String, to: String) throws(StorageError)

  /// Makes a second name for a file. Errors: `notFound`, `io` when the name is taken,
  /// `unsupported` for a directory, where the medium cannot, and from one medium to another.
  func link(_ from: String, to: String) throws(StorageError)

  /// Makes the directory's entries durable.
  func syncDirectory(_ path: String) throws(StorageError)

  /// Takes the exclusive lock that the file at `path` stands for, creating the file.
  /// Errors: `locked` when another process, or another handle in this one, holds it.
  func lock(_ path: String) throws(StorageError) -> any FileLock
}

public enum FileMode: Sendable {
  /// An existing file, for reading.
  case read
  /// An existing file that stays as it is, for reading; small reads (`FileMode.mappedReadBytes`)
  /// are copied out of a mapping, without a system call, where the medium can do that. All of it
  /// that was read so counts as the process's resident memory.
  case mapped
  /// An existing file, for reading and writing.
  case readWrite
  /// A file for reading and writing, made empty when missing, kept when there.
  case create
  /// A file for reading and writing, emptied when there.
  case truncate

  /// The longest read of a mapped file that goes through its mapping. Longer ones are better off
  /// with a call, which reads ahead.
  static let mappedReadBytes = 16 << 10

  var isReading: Bool { self == .read || self == .mapped }
}

/// What a file is for: I/O is counted by it. Known by the name's ending.
public enum FileClass: Int, Sendable, CaseIterable {
  case log, page, table, manifest, other

  public init(path: String) {
    // LevelDB's and RocksDB's logs are `.log`, LevelDB's tables `.ldb`.
    if path.hasSuffix(".wal") || path.hasSuffix(".log") {
      self = .log
    } else if path.hasSuffix(".pages") || path.hasSuffix(".sqlite") {
      self = .page
    } else if path.hasSuffix(".sst") || path.hasSuffix(".ldb") {
      self = .table
    } else if path.hasSuffix(".manifest") {
      self = .manifest
    } else if path.hasSuffix("-wal") || path.hasSuffix("-journal") {
      self = .log
    } else {
      self = .other
    }
  }

  public var name: String {
    switch self {
    case .log: "log"
    case .page: "page"
    case .table: "table"
    case .manifest: "manifest"
    case .other: "other"
    }
  }
}

/// An open file. Reads and writes name their offset: there is no file position, so any
/// thread may call. Closed by `close`, or on release. A negative offset or length is an
/// `invalidArgument`.
public protocol File: AnyObject, Sendable {
  var path: String { get }

  /// Reads until `buffer` is full or the file ends; returns the bytes read.
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(StorageError)
    -> Int

  /// Writes all of `bytes`, extending the file as needed; no bytes change nothing. Errors:
  /// `noSpace`, `io`; then any prefix may have been written. `readOnly`, here and in all that
  /// changes the file, when it was opened for reading.
  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(StorageError)

  /// Makes the file's bytes and size durable (fdatasync). After an error nothing is known
  /// about what was written since the last successful sync.
  func sync() throws(StorageError)

  func size() throws(StorageError) -> Int64

  /// The first run of bytes at or after `offset` that may be anything but zero; nil when only
  /// zeros follow, or nothing. Spares reading what was preallocated and never written; a medium
  /// that does not know answers with all that follows.
  func data(from offset: Int64) throws(StorageError) -> Range<Int64>?

  func truncate(to size: Int64) throws(StorageError)

  /// Reserves blocks for the range and extends the size to cover it: writes there cannot
  /// meet `noSpace`. New bytes read as zero.
  func preallocate(offset: Int64, length: Int64) throws(StorageError)

  /// Maps a range for shared reading and writing; stores to it are stores to the file and
  /// survive a kill of the process at once, power loss after `sync`. REQUIRES: the range
  /// lies inside the file and is preallocated; `offset` is a multiple of 64 KiB. The mapping
  /// ends with `MappedRegion.unmap`, not with the file.
  ///
  /// What the range holds from the file's offset `blankFrom` on is of no use and becomes zero.
  /// Saying so makes the first stores cheaper: the medium need not read, and can prepare blocks
  /// and cache in large pieces.
  func map(
    offset: Int64, length: Int, blankFrom: Int64?
  ) throws(StorageError) -> any MappedRegion

  /// Gives the blocks of the range back to the file system; it reads as zero. A hint: a
  /// medium that cannot does nothing.
  func punchHole(offset: Int64, length: Int64) throws(StorageError)

  /// Drops clean cached pages of the file, so that a measurement meets the medium. A hint.
  func dropCached()

  /// Releases the handle. Later calls throw `closed`. Calling it again does nothing.
  func close()
}

/// A writable window on a file. REQUIRES: no access after `unmap`.
public protocol MappedRegion: AnyObject, Sendable {
  var bytes: UnsafeMutableRawBufferPointer { get }
  func unmap()
}

/// A held lock on a directory. Released by `release`, or when the process ends.
public protocol FileLock: AnyObject, Sendable {
  func release()
}

extension StorageError {
  static func readOnlyHandle(_ path: String) -> StorageError {
    StorageError(.readOnly, "the file is open for reading only", path: path)
  }
}

extension File {
  /// Errors: `invalidArgument` for a range that no mapping can have.
  func checkMapping(offset: Int64, length: Int, fileSize: Int64) throws(StorageError) {
    guard offset >= 0, offset % 65_536 == 0, length > 0 else {
      throw StorageError(
        .invalidArgument, "a mapping starts at a multiple of 64 KiB and is not empty", path: path,
        offset: offset)
    }
    guard offset <= fileSize, Int64(length) <= fileSize - offset else {
      throw StorageError(
        .invalidArgument, "the mapping reaches past the file's end", path: path, offset: offset)
    }
  }

  public func data(from offset: Int64) throws(StorageError) -> Range<Int64>? {
    let size = try size()
    return offset < size ? offset..<size : nil
  }

  /// Maps a range and keeps all that it holds.
  public func map(offset: Int64, length: Int) throws(StorageError) -> any MappedRegion {
    try map(offset: offset, length: length, blankFrom: nil)
  }

  /// Reads exactly `buffer.count` bytes. Errors: `corruption` when the file ends before.
  public func readExactly(
    into buffer: UnsafeMutableRawBufferPointer, at offset: Int64
  ) throws(StorageError) {
    let count = try read(into: buffer, at: offset)
    if count != buffer.count {
      throw .corruption(
        "the file ends \(buffer.count - count) bytes too early", path: path, offset: offset)
    }
  }

  public func write(_ bytes: [UInt8], at offset: Int64) throws(StorageError) {
    try bytes.withSlice { (slice) throws(StorageError) in try write(slice.rawBuffer, at: offset) }
  }

  /// The whole file. Errors: `invalidArgument` over `limit` bytes, so that a hostile file
  /// cannot exhaust memory.
  public func readAll(limit: Int64) throws(StorageError) -> [UInt8] {
    let size = try size()
    guard size <= limit else {
      throw StorageError(
        .invalidArgument, "the file has \(size) bytes, over the limit of \(limit)", path: path)
    }
    var bytes = [UInt8](repeating: 0, count: Int(size))
    let count = try bytes.withMutableBytes { (buffer) throws(StorageError) in
      try read(into: buffer, at: 0)
    }
    bytes.removeLast(bytes.count - count)
    return bytes
  }
}

extension File {
  /// The whole file, of a format that stays below `limit` bytes. Errors: `corruption` over them.
  func readSmall(limit: Int64) throws(StorageError) -> [UInt8] {
    let size = try size()
    if size > limit {
      throw .corruption(
        "the file has \(size) bytes, and \(limit) at most when it is what it should be", path: path,
        offset: limit)
    }
    return try readAll(limit: limit)
  }
}

extension FileSystem {
  /// Replaces a small file so that a crash leaves either the old or the new content: write
  /// beside, sync, rename, sync the directory.
  public func replaceFile(
    _ path: String, with bytes: [UInt8], directory: String
  ) throws(StorageError) {
    let temporary = path + ".tmp"
    let file = try open(temporary, .truncate)
    defer { file.close() }
    try file.write(bytes, at: 0)
    try file.sync()
    try rename(temporary, to: path)
    try syncDirectory(directory)
  }
}

/// Joins a directory and a name.
public func joinPath(_ directory: String, _ name: String) -> String {
  directory.hasSuffix("/") ? directory + name : directory + "/" + name
}

/// The directory part of a path; `.` when it has none.
public func parentDirectory(_ path: String) -> String {
  guard let slash = path.lastIndex(of: "/") else { return "." }
  return slash == path.startIndex ? "/" : String(path[..<slash])
}
