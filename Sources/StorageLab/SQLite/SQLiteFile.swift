import CSQLite
import Glibc
import Synchronization

/// What SQLite allocates for an open file: its own header, then our object. The header must
/// come first: SQLite knows nothing of the rest.
struct SQLiteFileRecord {
  var base: sqlite3_file
  /// A retained `SQLiteFile`, or nil before open and after close.
  var object: UnsafeMutableRawPointer?
}

/// One file that one connection has open: the methods of `sqlite3_io_methods` over a `File`.
/// `sync` and `byteCount` may be called from any thread, the rest by the connection's user.
final class SQLiteFile: @unchecked Sendable {
  let vfs: SQLiteVFS
  let path: String
  private let file: (any File)?
  private let isDatabase: Bool
  private let isLog: Bool
  private let removesOnClose: Bool
  /// A file's name is durable once its directory was synced; done with the handle's first
  /// sync. Not only for a file that this handle created: another connection, or a process
  /// that was killed before it could sync, may have.
  private let needsDirectorySync: Atomic<Bool>
  private var level: Int32 = SQLITE_LOCK_NONE
  private var isMapped = false
  /// Bit per WAL-index lock slot that this connection holds.
  private var sharedSlots: UInt32 = 0
  private var exclusiveSlots: UInt32 = 0
  /// Where the latest read was: the best answer to "where" when SQLite finds a page corrupt.
  private(set) var lastReadOffset: Int64 = 0

  private init(
    _ vfs: SQLiteVFS, path: String, file: (any File)?, isDatabase: Bool, isLog: Bool,
    removesOnClose: Bool
  ) {
    self.vfs = vfs
    self.path = path
    self.file = file
    self.isDatabase = isDatabase
    self.isLog = isLog
    self.removesOnClose = removesOnClose
    needsDirectorySync = Atomic(!vfs.isReadOnly && !removesOnClose)
  }

  // MARK: Opening

  static func open(
    _ vfs: SQLiteVFS, _ name: UnsafePointer<CChar>?, _ record: UnsafeMutablePointer<sqlite3_file>,
    _ flags: Int32, _ outFlags: UnsafeMutablePointer<Int32>?
  ) -> Int32 {
    // Without methods SQLite does not call close for an open that failed.
    record.pointee.pMethods = nil
    guard vfs.mayWork else { return SQLITE_CANTOPEN }
    let path = name.map { String(cString: $0) } ?? vfs.nextTemporaryPath()
    let removesOnClose = flags & SQLITE_OPEN_DELETEONCLOSE != 0
    do throws(StorageError) {
      let file: (any File)?
      let exists = try vfs.fileSystem.exists(path)
      if vfs.isReadOnly {
        // A log that is not there reads as an empty one: nothing is created.
        file = flags & SQLITE_OPEN_WAL != 0 && !exists ? nil : try vfs.fileSystem.open(path, .read)
      } else {
        let mode: FileMode =
          removesOnClose ? .truncate : flags & SQLITE_OPEN_CREATE != 0 ? .create : .readWrite
        file = try vfs.fileSystem.open(path, mode)
      }
      let object = SQLiteFile(
        vfs, path: path, file: file, isDatabase: flags & SQLITE_OPEN_MAIN_DB != 0,
        isLog: flags & SQLITE_OPEN_WAL != 0, removesOnClose: removesOnClose)
      UnsafeMutableRawPointer(record).assumingMemoryBound(to: SQLiteFileRecord.self)
        .pointee.object = Unmanaged.passRetained(object).toOpaque()
      record.pointee.pMethods = UnsafePointer(methods)
      outFlags?.pointee =
        vfs.isReadOnly
        ? flags & ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) | SQLITE_OPEN_READONLY : flags
      return SQLITE_OK
    } catch {
      vfs.note(error)
      return error.code == .noSpace ? SQLITE_FULL : SQLITE_CANTOPEN
    }
  }

  /// The object behind a file handle of SQLite's, as `SQLITE_FCNTL_FILE_POINTER` gives it.
  static func from(_ record: UnsafeMutablePointer<sqlite3_file>) -> SQLiteFile? {
    guard record.pointee.pMethods == UnsafePointer(methods) else { return nil }
    return unmanaged(record)?.takeUnretainedValue()
  }

  @inline(__always)
  fileprivate static func unmanaged(
    _ record: UnsafeMutablePointer<sqlite3_file>?
  ) -> Unmanaged<SQLiteFile>? {
    guard let record else { return nil }
    let object = UnsafeRawPointer(record).assumingMemoryBound(to: SQLiteFileRecord.self).pointee
      .object
    return object.map { Unmanaged.fromOpaque($0) }
  }

  // MARK: Reading and writing

  @inline(__always)
  fileprivate func read(_ buffer: UnsafeMutableRawPointer, _ count: Int, _ offset: Int64) -> Int32 {
    guard vfs.mayWork else { return SQLiteCode.readFailed }
    lastReadOffset = offset
    do throws(StorageError) {
      let target = UnsafeMutableRawBufferPointer(start: buffer, count: count)
      let done = try file?.read(into: target, at: offset) ?? 0
      if done < count {
        if isDatabase && done > 0 && offset > 0 {
          throw .corruption("the file ends inside a page", path: path, offset: offset)
        }
        // SQLite relies on the rest being zero.
        memset(buffer + done, 0, count - done)
        return SQLiteCode.shortRead
      }
      if isDatabase && count == vfs.checkedPageBytes {
        try SQLitePageChecksum.check(UnsafeRawBufferPointer(target), path: path, offset: offset)
      }
      return SQLITE_OK
    } catch {
      vfs.note(error)
      return error.code == .corruption ? SQLiteCode.dataFailed : SQLiteCode.readFailed
    }
  }

  @inline(__always)
  fileprivate func write(_ bytes: UnsafeRawPointer, _ count: Int, _ offset: Int64) -> Int32 {
    guard vfs.mayWork, let file else { return SQLiteCode.writeFailed }
    if isDatabase && count == vfs.checkedPageBytes {
      // The reserved bytes are the file system's: nobody else looks at them, and SQLite owns
      // the buffer, so they are set in place, as its own checksum extension does.
      SQLitePageChecksum.set(
        UnsafeMutableRawBufferPointer(
          start: UnsafeMutableRawPointer(mutating: bytes), count: count), offset: offset)
    }
    return vfs.attempt(SQLiteCode.writeFailed) { () throws(StorageError) in
      try file.write(UnsafeRawBufferPointer(start: bytes, count: count), at: offset)
    }
  }

  fileprivate func truncate(_ size: Int64) -> Int32 {
    guard vfs.mayWork, let file else { return SQLiteCode.truncateFailed }
    return vfs.attempt(SQLiteCode.truncateFailed) { () throws(StorageError) in
      if isLog && size == 0 && vfs.syncsLogTruncation.load(ordering: .relaxed) {
        try invalidateLog(file)
      }
      try file.truncate(to: size)
    }
  }

  /// A power loss may leave any part of a truncation undone, and the log's first frames alone
  /// would be replayed as if they were all. Without its header there is no log.
  private func invalidateLog(_ file: any File) throws(StorageError) {
    try file.write([UInt8](repeating: 0, count: SQLiteFile.logHeaderBytes), at: 0)
    try file.sync()
  }

  private static let logHeaderBytes = 32

  fileprivate func syncForSQLite() -> Int32 {
    guard vfs.mayWork else { return SQLiteCode.syncFailed }
    return vfs.attempt(SQLiteCode.syncFailed) { () throws(StorageError) in try sync() }
  }

  /// Makes the file's bytes durable, and at first its name.
  func sync() throws(StorageError) {
    guard let file else { return }
    try file.sync()
    if needsDirectorySync.load(ordering: .relaxed) {
      try vfs.fileSystem.syncDirectory(parentDirectory(path))
      needsDirectorySync.store(false, ordering: .relaxed)
    }
  }

  /// Bytes of the file now; 0 when nobody can tell.
  var byteCount: Int64 { (try? file?.size()) ?? 0 }

  fileprivate func size(_ result: UnsafeMutablePointer<sqlite3_int64>) -> Int32 {
    guard vfs.mayWork else { return SQLiteCode.sizeFailed }
    return vfs.attempt(SQLiteCode.sizeFailed) { () throws(StorageError) in
      result.pointee = try file?.size() ?? 0
    }
  }

  fileprivate func close() {
    unmap()
    if isDatabase { vfs.shared.lower(ObjectIdentifier(self), &level, to: SQLITE_LOCK_NONE) }
    file?.close()
    if removesOnClose, vfs.mayWork { try? vfs.fileSystem.remove(path) }
  }

  // MARK: Locks

  /// Only the database file is shared between connections; others lock for nobody.
  fileprivate func raise(to wanted: Int32) -> Int32 {
    guard isDatabase else {
      level = max(level, wanted)
      return SQLITE_OK
    }
    return vfs.shared.raise(ObjectIdentifier(self), &level, to: wanted)
  }

  fileprivate func lower(to wanted: Int32) {
    guard isDatabase else {
      level = min(level, wanted)
      return
    }
    vfs.shared.lower(ObjectIdentifier(self), &level, to: wanted)
  }

  fileprivate var isReserved: Bool { isDatabase && vfs.shared.isReserved }

  // MARK: The WAL index

  fileprivate func map(
    _ index: Int, _ size: Int, extend: Bool,
    _ result: UnsafeMutablePointer<UnsafeMutableRawPointer?>
  ) -> Int32 {
    if !isMapped {
      vfs.shared.beginMapping()
      isMapped = true
    }
    result.pointee = vfs.shared.region(index, size: size, extend: extend)
    return SQLITE_OK
  }

  fileprivate func unmap() {
    guard isMapped else { return }
    release(0, Int(SQLITE_SHM_NLOCK))
    isMapped = false
    vfs.shared.endMapping()
  }

  fileprivate func lockSlots(_ first: Int, _ count: Int, _ flags: Int32) -> Int32 {
    guard first >= 0, count > 0, first + count <= Int(SQLITE_SHM_NLOCK) else {
      return SQLITE_MISUSE
    }
    if flags & SQLITE_SHM_UNLOCK != 0 {
      release(first, count)
      return SQLITE_OK
    }
    if flags & SQLITE_SHM_SHARED != 0 {
      if sharedSlots & 1 << UInt32(first) != 0 { return SQLITE_OK }
      guard vfs.shared.lockShared(first) else { return SQLITE_BUSY }
      sharedSlots |= 1 << UInt32(first)
      return SQLITE_OK
    }
    for slot in first..<first + count where exclusiveSlots & 1 << UInt32(slot) == 0 {
      guard vfs.shared.lockExclusive(slot) else {
        release(first, slot - first)
        return SQLITE_BUSY
      }
      exclusiveSlots |= 1 << UInt32(slot)
    }
    return SQLITE_OK
  }

  private func release(_ first: Int, _ count: Int) {
    for slot in first..<first + count {
      let bit: UInt32 = 1 << UInt32(slot)
      if exclusiveSlots & bit != 0 {
        exclusiveSlots &= ~bit
        vfs.shared.unlockExclusive(slot)
      } else if sharedSlots & bit != 0 {
        sharedSlots &= ~bit
        vfs.shared.unlockShared(slot)
      }
    }
  }
}

// MARK: - The C table

/// One table for all files of the process; SQLite holds pointers to it as long as a file is
/// open, so it lives for good.
nonisolated(unsafe) private let methods: UnsafeMutablePointer<sqlite3_io_methods> = {
  let table = UnsafeMutablePointer<sqlite3_io_methods>.allocate(capacity: 1)
  table.initialize(to: sqlite3_io_methods())
  table.pointee.iVersion = 2
  table.pointee.xClose = { record in
    guard let record, let object = SQLiteFile.unmanaged(record) else { return SQLITE_OK }
    UnsafeMutableRawPointer(record).assumingMemoryBound(to: SQLiteFileRecord.self)
      .pointee.object = nil
    object.takeRetainedValue().close()
    return SQLITE_OK
  }
  table.pointee.xRead = { record, buffer, count, offset in
    guard let object = SQLiteFile.unmanaged(record), let buffer else { return SQLITE_MISUSE }
    return object._withUnsafeGuaranteedRef { $0.read(buffer, Int(count), offset) }
  }
  table.pointee.xWrite = { record, bytes, count, offset in
    guard let object = SQLiteFile.unmanaged(record), let bytes else { return SQLITE_MISUSE }
    return object._withUnsafeGuaranteedRef { $0.write(bytes, Int(count), offset) }
  }
  table.pointee.xTruncate = { record, size in
    SQLiteFile.unmanaged(record)?.takeUnretainedValue().truncate(size) ?? SQLITE_MISUSE
  }
  table.pointee.xSync = { record, _ in
    SQLiteFile.unmanaged(record)?.takeUnretainedValue().syncForSQLite() ?? SQLITE_MISUSE
  }
  table.pointee.xFileSize = { record, result in
    guard let result else { return SQLITE_MISUSE }
    return SQLiteFile.unmanaged(record)?.takeUnretainedValue().size(result) ?? SQLITE_MISUSE
  }
  table.pointee.xLock = { record, level in
    guard let object = SQLiteFile.unmanaged(record) else { return SQLITE_MISUSE }
    return object._withUnsafeGuaranteedRef { $0.raise(to: level) }
  }
  table.pointee.xUnlock = { record, level in
    guard let object = SQLiteFile.unmanaged(record) else { return SQLITE_MISUSE }
    object._withUnsafeGuaranteedRef { $0.lower(to: level) }
    return SQLITE_OK
  }
  table.pointee.xCheckReservedLock = { record, result in
    guard let object = SQLiteFile.unmanaged(record) else { return SQLITE_MISUSE }
    result?.pointee = object._withUnsafeGuaranteedRef { $0.isReserved } ? 1 : 0
    return SQLITE_OK
  }
  table.pointee.xFileControl = { _, operation, argument in
    // The directory is locked: nobody moves the file away.
    guard operation == SQLITE_FCNTL_HAS_MOVED else { return SQLITE_NOTFOUND }
    argument?.assumingMemoryBound(to: Int32.self).pointee = 0
    return SQLITE_OK
  }
  table.pointee.xSectorSize = { _ in 4096 }
  // As SQLite's own unix VFS: a write damages no byte beside it, even when power fails.
  table.pointee.xDeviceCharacteristics = { _ in SQLITE_IOCAP_POWERSAFE_OVERWRITE }
  table.pointee.xShmMap = { record, index, size, extend, result in
    guard let object = SQLiteFile.unmanaged(record), let result else { return SQLITE_MISUSE }
    return object._withUnsafeGuaranteedRef {
      $0.map(Int(index), Int(size), extend: extend != 0, result)
    }
  }
  table.pointee.xShmLock = { record, first, count, flags in
    guard let object = SQLiteFile.unmanaged(record) else { return SQLITE_MISUSE }
    return object._withUnsafeGuaranteedRef { $0.lockSlots(Int(first), Int(count), flags) }
  }
  table.pointee.xShmBarrier = { _ in atomicMemoryFence(ordering: .sequentiallyConsistent) }
  table.pointee.xShmUnmap = { record, _ in
    SQLiteFile.unmanaged(record)?.takeUnretainedValue().unmap()
    return SQLITE_OK
  }
  return table
}()
