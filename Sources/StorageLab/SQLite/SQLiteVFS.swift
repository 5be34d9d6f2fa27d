import CSQLite
import Glibc
import Synchronization

/// SQLite's view of the operating system (https://www.sqlite.org/vfs.html), answered by the
/// lab's own `FileSystem`: every byte and sync that SQLite asks for is counted, and a crash or
/// a fault of a simulated medium reaches SQLite as it reaches the other engines.
///
/// One per engine, registered under a unique name from `init` until `unregister`; the
/// connections keep it alive.
final class SQLiteVFS: @unchecked Sendable {
  let fileSystem: any FileSystem
  let isReadOnly: Bool
  let clock: any LabClock
  /// The directory for SQLite's temporary files.
  let directory: String
  let shared = SQLiteSharedState()
  /// Size of the database file's pages when they end in a checksum, else 0.
  let checkedPageBytes: Int
  /// The name to open connections with.
  let name: String

  private let table: UnsafeMutablePointer<sqlite3_vfs>
  private let nameBytes: UnsafeMutablePointer<CChar>
  private let state: Guarded<State>
  /// Whether a crash in the middle of emptying the log must be survived.
  let syncsLogTruncation = Atomic<Bool>(false)
  private let isSevered = Atomic<Bool>(false)
  private static let instances = Atomic<UInt64>(0)

  private struct State: ~Copyable {
    var random: SeededRandom
    var temporaryFiles = 0
    /// The latest refusal per thread, for the message: SQLite's codes lose path and cause.
    var refusals: [pthread_t: StorageError] = [:]
    var isRegistered = false
  }

  /// Makes and registers the VFS. Errors: `io` when SQLite refuses to register it.
  init(
    _ fileSystem: any FileSystem, directory: String, isReadOnly: Bool, checkedPageBytes: Int,
    clock: any LabClock, seed: UInt64
  ) throws(StorageError) {
    self.fileSystem = fileSystem
    self.directory = directory
    self.isReadOnly = isReadOnly
    self.checkedPageBytes = checkedPageBytes
    self.clock = clock
    let number = SQLiteVFS.instances.wrappingAdd(1, ordering: .relaxed).newValue
    name = "storagelab-\(number)"
    nameBytes = strdup(name)
    table = .allocate(capacity: 1)
    state = Guarded(State(random: SeededRandom(seed: seed)))
    table.initialize(to: sqlite3_vfs())
    fillTable()
    let code = sqlite3_vfs_register(table, 0)
    if code != SQLITE_OK {
      throw StorageError(
        .io, "SQLite refuses the file system: \(String(cString: sqlite3_errstr(code)))")
    }
    state.withLock { $0.isRegistered = true }
  }

  /// Takes the name away: no further connection can be opened.
  func unregister() {
    let wasRegistered = state.withLock { state in
      defer { state.isRegistered = false }
      return state.isRegistered
    }
    if wasRegistered { sqlite3_vfs_unregister(table) }
  }

  deinit {
    unregister()
    table.deinitialize(count: 1)
    table.deallocate()
    free(nameBytes)
  }

  /// Fails every later call: what connections still held do after the engine's close must not
  /// reach files that another handle may have opened.
  func sever() { isSevered.store(true, ordering: .releasing) }

  @inline(__always)
  var mayWork: Bool { !isSevered.load(ordering: .relaxed) }

  // MARK: Refusals

  /// Notes why a call fails, for `takeRefusal` on the same thread.
  func note(_ error: StorageError) { state.withLock { $0.refusals[pthread_self()] = error } }

  /// The cause of the calling thread's latest failure.
  func takeRefusal() -> StorageError? {
    state.withLock { $0.refusals.removeValue(forKey: pthread_self()) }
  }

  // MARK: Small services

  func fillRandom(_ buffer: UnsafeMutableRawBufferPointer) {
    state.withLock { $0.random.fill(buffer) }
  }

  static let temporarySuffix = ".sqlite-temp"

  func nextTemporaryPath() -> String {
    let number = state.withLock { state in
      state.temporaryFiles += 1
      return state.temporaryFiles
    }
    return joinPath(directory, "\(number)\(SQLiteVFS.temporarySuffix)")
  }

  private func fillTable() {
    table.pointee.iVersion = 2
    table.pointee.szOsFile = Int32(MemoryLayout<SQLiteFileRecord>.size)
    table.pointee.mxPathname = 4096
    table.pointee.zName = UnsafePointer(nameBytes)
    table.pointee.pAppData = Unmanaged.passUnretained(self).toOpaque()
    table.pointee.xOpen = { vfs, name, record, flags, outFlags in
      guard let vfs = SQLiteVFS.from(vfs), let record else { return SQLITE_MISUSE }
      return SQLiteFile.open(vfs, name, record, flags, outFlags)
    }
    table.pointee.xDelete = { vfs, name, syncDirectory in
      guard let vfs = SQLiteVFS.from(vfs), let name else { return SQLITE_MISUSE }
      return vfs.delete(String(cString: name), syncDirectory: syncDirectory != 0)
    }
    table.pointee.xAccess = { vfs, name, _, result in
      guard let vfs = SQLiteVFS.from(vfs), let name, let result else { return SQLITE_MISUSE }
      return vfs.attempt(SQLiteCode.accessFailed) { () throws(StorageError) in
        result.pointee = try vfs.fileSystem.exists(String(cString: name)) ? 1 : 0
      }
    }
    table.pointee.xFullPathname = { _, name, capacity, output in
      guard let name, let output else { return SQLITE_MISUSE }
      let length = strlen(name)
      guard length < Int(capacity) else { return SQLITE_CANTOPEN }
      memcpy(output, name, length + 1)
      return SQLITE_OK
    }
    table.pointee.xRandomness = { vfs, count, output in
      guard let vfs = SQLiteVFS.from(vfs), let output else { return 0 }
      vfs.fillRandom(UnsafeMutableRawBufferPointer(start: output, count: Int(count)))
      return count
    }
    table.pointee.xSleep = { _, microseconds in
      LabThread.sleep(nanoseconds: UInt64(max(0, microseconds)) * 1000)
      return microseconds
    }
    table.pointee.xCurrentTime = { vfs, result in
      guard let vfs = SQLiteVFS.from(vfs), let result else { return SQLITE_MISUSE }
      result.pointee = Double(vfs.julianMilliseconds) / 86_400_000
      return SQLITE_OK
    }
    table.pointee.xCurrentTimeInt64 = { vfs, result in
      guard let vfs = SQLiteVFS.from(vfs), let result else { return SQLITE_MISUSE }
      result.pointee = vfs.julianMilliseconds
      return SQLITE_OK
    }
    table.pointee.xGetLastError = { _, _, _ in 0 }
  }

  /// The lab's clock has no date; SQLite gets one that begins at 1970. Nothing we store uses it.
  private var julianMilliseconds: Int64 {
    210_866_760_000_000 + Int64(clock.nanoseconds / 1_000_000)
  }

  private func delete(_ path: String, syncDirectory: Bool) -> Int32 {
    if isReadOnly { return SQLITE_READONLY }
    guard mayWork else { return SQLiteCode.deleteFailed }
    do throws(StorageError) {
      try fileSystem.remove(path)
      if syncDirectory { try fileSystem.syncDirectory(parentDirectory(path)) }
      return SQLITE_OK
    } catch {
      if error.code == .notFound { return SQLiteCode.deleteMissing }
      note(error)
      return SQLiteCode.deleteFailed
    }
  }

  /// Runs `body`; when it throws, notes the error and returns the code for it.
  @inline(__always)
  func attempt(_ failure: Int32, _ body: () throws(StorageError) -> Void) -> Int32 {
    do throws(StorageError) {
      try body()
      return SQLITE_OK
    } catch {
      note(error)
      return error.code == .noSpace ? SQLITE_FULL : failure
    }
  }

  private static func from(_ vfs: UnsafeMutablePointer<sqlite3_vfs>?) -> SQLiteVFS? {
    guard let data = vfs?.pointee.pAppData else { return nil }
    return Unmanaged<SQLiteVFS>.fromOpaque(data).takeUnretainedValue()
  }
}
