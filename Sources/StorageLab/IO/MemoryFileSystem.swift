import Synchronization

/// A file system in memory that can crash: the durability contract of `FileSystem` taken at
/// its word. Content and size survive by `File.sync`, names by `syncDirectory`, and a
/// synced file without a synced name is gone.
///
/// `crash` returns the file system that a restart finds and ends this one: every handle and
/// every call throws `closed`, stores to old mappings reach nothing, so whatever still runs
/// on it cannot touch the new world. `afterCrash` leaves this one running, so that one run
/// can be crashed at every call.
///
/// Limits of the model: a sector that was overwritten twice without a sync holds its oldest
/// or its newest bytes, and those between only when `keepsVersions`; of stores into a mapping, which
/// no call shows, always only the oldest and the newest. Directories cannot be opened.
public final class MemoryFileSystem: FileSystem {
  /// A call that changes the medium, or waits for it.
  public struct Call: Sendable, Hashable {
    public enum Kind: String, Sendable, CaseIterable {
      case create, write, sync, truncate, preallocate, punchHole, map
      case rename, remove, link, createDirectory, removeDirectory, syncDirectory, lock
    }
    /// 1 for the first call since the file system was made.
    public let index: Int
    public let kind: Kind
    public let path: String
  }

  /// Runs before each call, on the caller's thread; it may crash the file system or throw
  /// in the call's place.
  public typealias CallHook = @Sendable (Call) throws(StorageError) -> Void

  struct State {
    var root = MemoryDirectory()
    var hasCrashed = false
    var calls = 0
    var hook: CallHook?
    var capacity: Int64?
    var isReadOnly = false
    var used: Int64 = 0
    /// Files made so far.
    var files: UInt64 = 0
    var keepsVersions = false
  }

  private let lock = WaitableLock()
  nonisolated(unsafe) private var state = State()

  /// An empty file system. `capacity` in bytes, nil for no limit. `keepsVersions` remembers what a
  /// page held between two syncs, for crashes that may bring it back (`CrashWeaknesses.versions`).
  public init(capacity: Int64? = nil, keepsVersions: Bool = false) {
    state.capacity = capacity
    state.keepsVersions = keepsVersions
  }

  // MARK: The experimenter's side

  /// Ends this file system and returns what a restart finds: no locks, no hook.
  public func crash(_ mode: CrashMode) -> MemoryFileSystem {
    defer { lock.withLock { state.hasCrashed = true } }
    return afterCrash(mode)
  }

  /// A new file system with what a crash right now would leave. This one goes on.
  public func afterCrash(_ mode: CrashMode) -> MemoryFileSystem {
    let copy = MemoryFileSystem()
    lock.withLock {
      copy.state.root = crashedRoot(mode)
      copy.state.used = copy.state.root.allocatedBytes
      copy.state.capacity = state.capacity
      copy.state.files = state.files
      copy.state.keepsVersions = state.keepsVersions
    }
    return copy
  }

  /// A hash of all names, sizes and bytes, and of how much of them is unsynced. Equal worlds have
  /// equal ones.
  var fingerprint: UInt64 { lock.withLock { state.root.fingerprint } }

  private func crashedRoot(_ mode: CrashMode) -> MemoryDirectory {
    let seed: UInt64
    switch mode {
    case .loseEverythingUnsynced, .keepEverything: seed = 0
    case .keepSome(let own), .keepParts(_, let own): seed = own
    }
    var survivors = MemoryDirectory.Survivors(mode: mode, random: SeededRandom(seed: seed))
    return state.root.afterCrash(&survivors)
  }

  public var hasCrashed: Bool { lock.withLock { state.hasCrashed } }
  /// Calls so far that change the medium or wait for it.
  public var callCount: Int { lock.withLock { state.calls } }
  /// Bytes of blocks in use, in pages of 4 KiB.
  public var usedBytes: Int64 { lock.withLock { state.used } }

  public func onCall(_ hook: CallHook?) { lock.withLock { state.hook = hook } }

  /// Bytes of the device; nil is unlimited. Lowering it below `usedBytes` only stops growth.
  public var capacity: Int64? {
    get { lock.withLock { state.capacity } }
    set { lock.withLock { state.capacity = newValue } }
  }

  /// When set, every call that would change something throws `readOnly`.
  public var isReadOnly: Bool {
    get { lock.withLock { state.isReadOnly } }
    set { lock.withLock { state.isReadOnly = newValue } }
  }

  // MARK: FileSystem

  public func open(_ path: String, _ mode: FileMode) throws(StorageError) -> any File {
    let isThere = try exists(path)
    switch mode {
    case .read, .mapped: break
    case .readWrite, .create, .truncate:
      if isThere && mode != .truncate {
        try lock.withLock { () throws(StorageError) in try checkWritable(path) }
      } else if mode != .readWrite {
        try announce(.create, path)
      }
    }
    return try lock.withLock { () throws(StorageError) in
      let node = try openNode(path, mode)
      return MemoryFile(path, node, self, isWritable: !mode.isReading)
    }
  }

  private func openNode(
    _ path: String, _ mode: FileMode
  ) throws(StorageError) -> MemoryFileNode {
    let (directory, name) = try place(path)
    switch directory.entries[name] {
    case .directory: throw MemoryFileSystem.isDirectory(path)
    case .file(let node):
      if mode == .truncate { resize(node, to: 0) }
      return node
    case nil:
      guard mode == .create || mode == .truncate else { throw notFound(path) }
      return create(name, in: directory)
    }
  }

  private func create(_ name: String, in directory: MemoryDirectory) -> MemoryFileNode {
    state.files += 1
    let node = MemoryFileNode(
      id: state.files, MemoryFileContent(keepsVersions: state.keepsVersions))
    node.names = 1
    directory.set(name, .file(node))
    return node
  }

  public func exists(_ path: String) throws(StorageError) -> Bool {
    try lock.withLock { () throws(StorageError) in
      try checkAlive()
      return find(path) != nil
    }
  }

  public func list(_ directory: String) throws(StorageError) -> [String] {
    try lock.withLock { () throws(StorageError) in
      try checkAlive()
      return try self.directory(directory).entries.keys.sorted()
    }
  }

  public func createDirectory(_ path: String) throws(StorageError) {
    if try exists(path), (try? list(path)) != nil { return }
    try change(.createDirectory, path) { () throws(StorageError) in
      var current = state.root
      for name in MemoryPath(path).names {
        switch current.entries[name] {
        case .directory(let next): current = next
        case .file:
          throw StorageError(.wrongFormat, "a file stands where a directory is needed", path: path)
        case nil:
          let next = MemoryDirectory()
          current.set(name, .directory(next))
          current = next
        }
      }
    }
  }

  public func remove(_ path: String) throws(StorageError) {
    try change(.remove, path) { () throws(StorageError) in
      let (directory, name) = try place(path)
      switch directory.entries[name] {
      case .file(let node):
        directory.set(name, nil)
        forgetName(node)
      case .directory: throw MemoryFileSystem.isDirectory(path)
      case nil: throw notFound(path)
      }
    }
  }

  public func removeDirectory(_ path: String) throws(StorageError) {
    try change(.removeDirectory, path) { () throws(StorageError) in
      guard try self.directory(path).entries.isEmpty else {
        throw StorageError(.io, "the directory is not empty", path: path)
      }
      let (parent, name) = try place(path)
      parent.set(name, nil)
    }
  }

  public func rename(_ from: String, to: String) throws(StorageError) {
    try change(.rename, from) { () throws(StorageError) in
      let (source, oldName) = try place(from)
      let (target, newName) = try place(to)
      guard let entry = source.entries[oldName] else { throw notFound(from) }
      let replaced = target.entries[newName]
      if try !mayReplace(replaced, by: entry, from, to) { return }
      if source === target {
        source.rename(oldName, to: newName)
      } else {
        source.set(oldName, nil)
        target.set(newName, entry)
      }
      if case .file(let node) = replaced { forgetName(node) }
    }
  }

  /// The rules of rename(2); false when there is nothing to do.
  private func mayReplace(
    _ old: MemoryDirectory.Entry?, by new: MemoryDirectory.Entry, _ from: String, _ to: String
  ) throws(StorageError) -> Bool {
    switch (new, old) {
    case (.file(let node), .file(let replaced)): return node !== replaced
    case (.file, .directory): throw MemoryFileSystem.isDirectory(to)
    case (.directory, .file):
      throw StorageError(.wrongFormat, "a file stands where a directory is to go", path: to)
    case (.file, nil): return true
    case (.directory(let directory), .directory(let replaced)) where directory === replaced:
      return false
    case (.directory, _):
      if MemoryPath(to).isInside(MemoryPath(from)) {
        throw StorageError(.invalidArgument, "a directory cannot move into itself", path: from)
      }
      if case .directory(let replaced) = old, !replaced.entries.isEmpty {
        throw StorageError(.io, "the directory is not empty", path: to)
      }
      return true
    }
  }

  public func link(_ from: String, to: String) throws(StorageError) {
    try change(.link, from) { () throws(StorageError) in
      let entry = find(from)
      if case .directory = entry {
        throw StorageError(.unsupported, "the medium cannot link this", path: from)
      }
      guard case .file(let node) = entry else { throw notFound(from) }
      let (target, name) = try place(to)
      guard target.entries[name] == nil else {
        throw StorageError(.io, "the name is taken", path: to)
      }
      node.names += 1
      target.set(name, .file(node))
    }
  }

  public func syncDirectory(_ path: String) throws(StorageError) {
    try announce(.syncDirectory, path)
    try lock.withLock { () throws(StorageError) in try directory(path).sync() }
  }

  public func lock(_ path: String) throws(StorageError) -> any FileLock {
    try announce(.lock, path)
    return try lock.withLock { () throws(StorageError) in
      let node = try openNode(path, .create)
      guard !node.isLocked else {
        throw StorageError(
          .locked, "the directory is open in another handle", remedy: "Close the other one first",
          path: path)
      }
      node.isLocked = true
      return MemoryFileLock(node, self)
    }
  }

  // MARK: For files

  /// Counts a call and lets the hook speak. REQUIRES: the lock is not held.
  private func announce(_ kind: Call.Kind, _ path: String) throws(StorageError) {
    let (hook, call) = lock.withLock {
      state.calls += 1
      return (state.hook, Call(index: state.calls, kind: kind, path: path))
    }
    try hook?(call)
    try lock.withLock { () throws(StorageError) in try checkAlive() }
    if kind != .sync && kind != .syncDirectory && kind != .map {
      try lock.withLock { () throws(StorageError) in try checkWritable(path) }
    }
  }

  private func change(
    _ kind: Call.Kind, _ path: String, _ body: () throws(StorageError) -> Void
  ) throws(StorageError) {
    try announce(kind, path)
    try lock.withLock(body)
  }

  func access<R>(
    _ file: MemoryFile, announcing kind: Call.Kind? = nil,
    _ body: (MemoryFileContent) throws(StorageError) -> R
  ) throws(StorageError) -> R {
    if let kind { try announce(kind, file.path) }
    return try lock.withLock { () throws(StorageError) in
      try checkAlive()
      if file.isClosed { throw .closed("the file \(file.path)") }
      if let kind, kind != .sync, !file.isWritable {
        throw .readOnlyHandle(file.path)
      }
      return try body(file.node.content)
    }
  }

  /// Backs the range with blocks. On a full device backs what fits and returns where it
  /// ends. REQUIRES: the lock is held.
  func reserve(_ file: MemoryFile, from start: Int64, to end: Int64) -> Int64 {
    let content = file.node.content
    let missing = content.missingBytes(from: start, to: end)
    var reached = end
    if let capacity = state.capacity, missing > max(0, capacity - state.used) {
      // The pages that fit, in order.
      let pageBytes = Int64(MemoryFileContent.pageBytes)
      reached = start
      var room = max(0, capacity - state.used)
      while reached < end {
        let next = min(end, (reached / pageBytes + 1) * pageBytes)
        room -= content.missingBytes(from: reached, to: next)
        if room < 0 { break }
        reached = next
      }
    }
    if file.node.names > 0 { state.used += content.missingBytes(from: start, to: reached) }
    content.allocate(from: start, to: reached)
    return reached
  }

  /// Runs a change that may free blocks. REQUIRES: the lock is held.
  func accounting(_ node: MemoryFileNode, _ body: (MemoryFileContent) -> Void) {
    let before = node.content.allocatedBytes
    body(node.content)
    if node.names > 0 { state.used += node.content.allocatedBytes - before }
  }

  func release(_ lock: MemoryFileLock) {
    self.lock.withLock { lock.node.isLocked = false }
  }

  func close(_ file: MemoryFile) { lock.withLock { file.isClosed = true } }

  static func fullDevice(_ path: String, _ offset: Int64) -> StorageError {
    StorageError(
      .noSpace, "no space left on the device",
      remedy: "Free some space and try again; acknowledged data is intact", path: path,
      offset: offset)
  }

  // MARK: Names. REQUIRES: the lock is held.

  private func resize(_ node: MemoryFileNode, to size: Int64) {
    accounting(node) { $0.truncate(to: size) }
  }

  private func forgetName(_ node: MemoryFileNode) {
    node.names -= 1
    if node.names == 0 { state.used -= node.content.allocatedBytes }
  }

  private func checkAlive() throws(StorageError) {
    if state.hasCrashed { throw .closed("the crashed file system") }
  }

  private func checkWritable(_ path: String) throws(StorageError) {
    if state.isReadOnly {
      throw StorageError(
        .readOnly, "the file system is read-only",
        remedy: "Check the permissions of the directory, or open read-only", path: path)
    }
  }

  private func find(_ path: String) -> MemoryDirectory.Entry? {
    MemoryPath(path).find(from: state.root)
  }

  private func directory(_ path: String) throws(StorageError) -> MemoryDirectory {
    guard case .directory(let directory) = find(path) else { throw notFound(path) }
    return directory
  }

  /// The directory that holds (or may hold) the path's last name, and that name.
  private func place(_ path: String) throws(StorageError) -> (MemoryDirectory, String) {
    guard let name = MemoryPath(path).names.last else {
      throw path.isEmpty ? notFound(path) : MemoryFileSystem.isDirectory(path)
    }
    guard case .directory(let directory) = MemoryPath(path).parent.find(from: state.root) else {
      throw notFound(path)
    }
    return (directory, name)
  }

  private static func isDirectory(_ path: String) -> StorageError {
    StorageError(.wrongFormat, "a directory stands where a file is needed", path: path)
  }

  private func notFound(_ path: String) -> StorageError {
    StorageError(.notFound, "no such file or directory", remedy: "Check the path", path: path)
  }
}
