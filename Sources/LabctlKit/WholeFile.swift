import StorageLab

/// Files that a command reads or writes in one piece.
enum WholeFile {
  static let limit: Int64 = 1 << 30

  static func read(_ path: String) throws(StorageError) -> [UInt8] {
    let file = try POSIXFileSystem().open(path, .read)
    defer { file.close() }
    return try file.readAll(limit: limit)
  }

  static func write(_ bytes: [UInt8], to path: String) throws(StorageError) {
    let file = try POSIXFileSystem().open(path, .truncate)
    defer { file.close() }
    try file.write(bytes, at: 0)
  }
}
