import CSQLite

/// Extended result codes, whose macros Swift does not import.
enum SQLiteCode {
  static let readFailed = SQLITE_IOERR | 1 << 8
  static let shortRead = SQLITE_IOERR | 2 << 8
  static let writeFailed = SQLITE_IOERR | 3 << 8
  static let syncFailed = SQLITE_IOERR | 4 << 8
  static let truncateFailed = SQLITE_IOERR | 6 << 8
  static let sizeFailed = SQLITE_IOERR | 7 << 8
  static let deleteFailed = SQLITE_IOERR | 10 << 8
  static let accessFailed = SQLITE_IOERR | 13 << 8
  static let deleteMissing = SQLITE_IOERR | 23 << 8
  static let dataFailed = SQLITE_IOERR | 32 << 8
}

extension StorageError {
  /// What a result code of SQLite means to callers. `refusal` is what our file system said, if
  /// that was the cause; it knows path, offset and the operating system's number.
  static func sqlite(
    _ code: Int32, _ detail: String, path: String, offset: Int64?, refusal: StorageError?
  ) -> StorageError {
    switch code & 0xff {
    case SQLITE_FULL:
      return StorageError(
        .noSpace, "the device is full",
        remedy: "Free some space and try again; acknowledged data is intact",
        path: refusal?.path ?? path, offset: refusal?.offset, errno: refusal?.errno)
    case SQLITE_CORRUPT:
      return .corruption("SQLite: \(detail)", path: path, offset: offset ?? 0)
    case SQLITE_NOTADB:
      return StorageError(
        .wrongFormat, "the file is not an SQLite database",
        remedy: "Restore the file, or name another directory", path: path)
    case SQLITE_READONLY, SQLITE_PERM, SQLITE_AUTH:
      return StorageError(
        .readOnly, "the database may not be written",
        remedy: "Open it for writing, or check the permissions", path: path)
    case SQLITE_BUSY, SQLITE_LOCKED:
      return StorageError(
        .locked, "a reader or another operation holds the database",
        remedy: "Close snapshots and cursors and try again", path: path)
    case SQLITE_IOERR, SQLITE_CANTOPEN:
      return refusal
        ?? StorageError(.io, "SQLite: \(detail)", path: path, offset: offset)
    default:
      return StorageError(.io, "SQLite: \(detail) (code \(code))", path: path)
    }
  }
}
