#if LMDB
  import CLMDB
  import Glibc

  extension StorageError {
    /// What a result code of LMDB means to callers.
    static func lmdb(_ code: Int32, _ path: String) -> StorageError {
      let detail = "LMDB: " + String(cString: mdb_strerror(code))
      switch code {
      case MDB_MAP_FULL:
        return StorageError(
          .noSpace, "the map is full", remedy: "Open it with a larger LMDBTuning.mapBytes",
          path: path)
      case ENOSPC:
        return StorageError(
          .noSpace, "the device is full",
          remedy: "Free some space and try again; acknowledged data is intact", path: path,
          errno: code)
      case MDB_CORRUPTED, MDB_PAGE_NOTFOUND, MDB_PANIC:
        return .corruption(detail, path: path, offset: 0)
      case MDB_INVALID:
        return StorageError(
          .wrongFormat, "the file is not an LMDB database",
          remedy: "Restore the file, or name another directory", path: path)
      case MDB_VERSION_MISMATCH:
        return StorageError(
          .unsupportedVersion, detail, remedy: "Open it with the LMDB that wrote it", path: path)
      case MDB_BAD_VALSIZE:
        return StorageError(
          .invalidArgument, "the key or value is over LMDB's limit",
          remedy: "LMDB's keys have 1 to 511 bytes")
      case MDB_READERS_FULL:
        return StorageError(
          .io, "too many snapshots and cursors are open", remedy: "Close some", path: path)
      case EACCES, EROFS, EPERM:
        return StorageError(
          .readOnly, "the database may not be written",
          remedy: "Open it read-only, or check the permissions", path: path, errno: code)
      default:
        return StorageError(.io, detail, path: path, errno: code > 0 ? code : nil)
      }
    }
  }
#endif
