import Synchronization

/// How blocks come out of tables when the cache does not have them.
public enum TableAccess: String, Sendable, Codable, CaseIterable {
  /// By a system call for each.
  case call
  /// By a copy out of a mapping of the table, which is cheaper where the system's cache holds the
  /// file. What was read counts as the process's memory, beyond the cache's budget.
  case map
}

/// The descriptors of open tables, at most so many at a time. Beyond that one goes that was not
/// used lately, by a clock (Corbató, 1968), and is opened again when its table must be read: index,
/// filter and cached blocks need no descriptor.
///
/// A read in flight keeps its file open, so for moments there are as many more as readers.
final class TableHandles: @unchecked Sendable {
  let limit: Int
  private let fileSystem: any FileSystem
  private let access: TableAccess
  private let lock = WaitableLock()
  /// The tables that hold a descriptor. Guarded by `lock`, as are their places.
  private var ring: [TableHandle] = []
  private var hand = 0

  init(limit: Int, fileSystem: any FileSystem, access: TableAccess = .call) {
    self.access = access
    self.limit = max(1, limit)
    self.fileSystem = fileSystem
  }

  var openCount: Int { lock.withLock { ring.count } }

  /// Opens the table's file, unless another thread just did.
  /// Errors: `corruption` when it is missing; `readOnly`, `io`.
  fileprivate func open(_ handle: TableHandle) throws(StorageError) -> any File {
    let fresh: any File
    do throws(StorageError) {
      fresh = try fileSystem.open(handle.path, access == .map ? .mapped : .read)
    } catch {
      if error.code == .notFound {
        throw .corruption(
          "a table that the manifest names is missing", path: handle.path, offset: 0)
      }
      throw error
    }
    // What goes is closed when its last reader lets go, after the lock.
    let (file, closing) = lock.withLock { () -> (any File, (any File)?) in
      if let present = handle.current { return (present, fresh) }
      var closing: (any File)?
      if ring.count < limit {
        handle.place = ring.count
        ring.append(handle)
      } else {
        closing = replaceUnused(by: handle)
      }
      handle.current = fresh
      return (fresh, closing)
    }
    withExtendedLifetime(closing) {}
    return file
  }

  /// Gives the place of a table that was not used since the hand passed to `handle`.
  private func replaceUnused(by handle: TableHandle) -> (any File)? {
    while ring[hand].wasUsed { hand = (hand + 1) % ring.count }
    let old = ring[hand]
    let file = old.current
    old.current = nil
    old.place = nil
    ring[hand] = handle
    handle.place = hand
    hand = (hand + 1) % ring.count
    return file
  }

  fileprivate func close(_ handle: TableHandle) {
    let closing = lock.withLock { () -> (any File)? in
      defer { handle.current = nil }
      if let place = handle.place, let last = ring.popLast() {
        handle.place = nil
        if last !== handle {
          ring[place] = last
          last.place = place
        }
        if hand >= ring.count { hand = 0 }
      }
      return handle.current
    }
    withExtendedLifetime(closing) {}
  }
}

/// One table's file, open or not.
final class TableHandle: @unchecked Sendable {
  let path: String
  /// Nil for a file that stays open.
  private let handles: TableHandles?
  private let file: Guarded<(any File)?>
  private let isUsed = Atomic<Bool>(false)
  /// Guarded by the lock of `handles`.
  fileprivate var place: Int?

  init(_ path: String, _ handles: TableHandles) {
    self.path = path
    self.handles = handles
    file = Guarded(nil)
  }

  /// A file that is open and stays so until `close`.
  init(_ file: any File) {
    path = file.path
    handles = nil
    self.file = Guarded(file)
  }

  fileprivate var current: (any File)? {
    get { file.withLock { $0 } }
    set { file.withLock { $0 = newValue } }
  }

  /// Whether the table was read since the last time that somebody asked.
  fileprivate var wasUsed: Bool { isUsed.exchange(false, ordering: .relaxed) }

  /// The open file, kept open for as long as the caller holds it.
  /// Errors: `corruption` when it is missing; `closed`; `io`.
  func open() throws(StorageError) -> any File {
    if !isUsed.load(ordering: .relaxed) { isUsed.store(true, ordering: .relaxed) }
    if let current { return current }
    guard let handles else { throw .closed("the table") }
    return try handles.open(self)
  }

  /// REQUIRES: nobody reads any more.
  func close() {
    if let handles { handles.close(self) } else { current = nil }
  }
}
