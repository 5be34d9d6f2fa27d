import Synchronization

/// What is left of unsynced changes when the plug is pulled.
public enum CrashMode: Sendable, Hashable {
  /// Exactly what was synced.
  case loseEverythingUnsynced
  /// Everything written, stores through mappings included: a kill of the process. What was
  /// not synced still is not: a later power loss can take it.
  case keepEverything
  /// What was synced and a seeded subset of the rest: sectors of 512 B, file sizes and
  /// directory changes, each kept or lost by itself, in any order.
  case keepSome(seed: UInt64)
}

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
/// or its newest bytes, never those between; directories cannot be opened.
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
  }

  private let lock = WaitableLock()
  nonisolated(unsafe) private var state = State()

  /// An empty file system. `capacity` in bytes, nil for no limit.
  public init(capacity: Int64? = nil) { state.capacity = capacity }

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
    }
    return copy
  }

  private func crashedRoot(_ mode: CrashMode) -> MemoryDirectory {
    var random = SeededRandom(seed: 0)
    if case .keepSome(let seed) = mode { random = SeededRandom(seed: seed) }
    var survivors = MemoryDirectory.Survivors(mode: mode, random: random)
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
    case .read: break
    case .readWrite, .create, .truncate:
      if isThere && mode != .truncate {
        try lock.withLock { () throws(StorageError) in try checkWritable(path) }
      } else if mode != .readWrite {
        try announce(.create, path)
      }
    }
    return try lock.withLock { () throws(StorageError) in
      let node = try openNode(path, mode)
      return MemoryFile(path, node, self, isWritable: mode != .read)
    }
  }

  private func openNode(
    _ path: String, _ mode: FileMode
  ) throws(StorageError) -> MemoryFileNode {
    let (directory, name) = try place(path)
    switch directory.entries[name] {
    case .directory: throw StorageError(.io, "a directory is no file", path: path)
    case .file(let node):
      if mode == .truncate { resize(node, to: 0) }
      return node
    case nil:
      guard mode == .create || mode == .truncate else { throw notFound(path) }
      return create(name, in: directory)
    }
  }

  private func create(_ name: String, in directory: MemoryDirectory) -> MemoryFileNode {
    let node = MemoryFileNode()
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
      for name in components(path) {
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
      guard case .file(let node) = directory.entries[name] else { throw notFound(path) }
      directory.set(name, nil)
      forgetName(node)
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
      if source === target && oldName == newName { return }
      let replaced = target.entries[newName]
      if source === target {
        source.rename(oldName, to: newName)
      } else {
        source.set(oldName, nil)
        target.set(newName, entry)
      }
      if case .file(let node) = replaced { forgetName(node) }
    }
  }

  public func link(_ from: String, to: String) throws(StorageError) {
    try change(.link, from) { () throws(StorageError) in
      guard case .file(let node) = find(from) else { throw notFound(from) }
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

  fileprivate func access<R>(
    _ file: MemoryFile, announcing kind: Call.Kind? = nil,
    _ body: (MemoryFileContent) throws(StorageError) -> R
  ) throws(StorageError) -> R {
    if let kind { try announce(kind, file.path) }
    return try lock.withLock { () throws(StorageError) in
      try checkAlive()
      if file.isClosed { throw .closed("the file \(file.path)") }
      if let kind, kind != .sync, !file.isWritable {
        throw StorageError(.io, "the file is open for reading only", path: file.path)
      }
      return try body(file.node.content)
    }
  }

  /// Backs the range with blocks. On a full device backs what fits and returns where it
  /// ends. REQUIRES: the lock is held.
  fileprivate func reserve(_ file: MemoryFile, from start: Int64, to end: Int64) -> Int64 {
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
  fileprivate func accounting(_ node: MemoryFileNode, _ body: (MemoryFileContent) -> Void) {
    let before = node.content.allocatedBytes
    body(node.content)
    if node.names > 0 { state.used += node.content.allocatedBytes - before }
  }

  fileprivate func release(_ lock: MemoryFileLock) {
    self.lock.withLock { lock.node.isLocked = false }
  }

  fileprivate func close(_ file: MemoryFile) { lock.withLock { file.isClosed = true } }

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

  private func components(_ path: String) -> [String] {
    var names: [String] = []
    for part in path.split(separator: "/") where part != "." {
      if part == ".." { _ = names.popLast() } else { names.append(String(part)) }
    }
    return names
  }

  private func find(_ path: String) -> MemoryDirectory.Entry? {
    var entry = MemoryDirectory.Entry.directory(state.root)
    for name in components(path) {
      guard case .directory(let directory) = entry, let next = directory.entries[name] else {
        return nil
      }
      entry = next
    }
    return entry
  }

  private func directory(_ path: String) throws(StorageError) -> MemoryDirectory {
    guard case .directory(let directory) = find(path) else { throw notFound(path) }
    return directory
  }

  /// The directory that holds (or may hold) the path's last name, and that name.
  private func place(_ path: String) throws(StorageError) -> (MemoryDirectory, String) {
    guard let name = components(path).last else {
      throw StorageError(.invalidArgument, "the path names no file", path: path)
    }
    return (try directory(components(path).dropLast().joined(separator: "/")), name)
  }

  private func notFound(_ path: String) -> StorageError {
    StorageError(.notFound, "no such file or directory", remedy: "Check the path", path: path)
  }
}

private final class MemoryFile: File, @unchecked Sendable {
  let path: String
  let node: MemoryFileNode
  let isWritable: Bool
  private let fileSystem: MemoryFileSystem
  /// Guarded by the file system's lock.
  var isClosed = false

  init(
    _ path: String, _ node: MemoryFileNode, _ fileSystem: MemoryFileSystem, isWritable: Bool
  ) {
    self.path = path
    self.node = node
    self.fileSystem = fileSystem
    self.isWritable = isWritable
  }

  func read(
    into buffer: UnsafeMutableRawBufferPointer, at offset: Int64
  ) throws(StorageError) -> Int {
    try checkRange(offset, Int64(buffer.count))
    return try fileSystem.access(self) { content in content.read(into: buffer, at: offset) }
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(StorageError) {
    try checkRange(offset, Int64(bytes.count))
    try fileSystem.access(self, announcing: .write) { (content) throws(StorageError) in
      let reached = fileSystem.reserve(self, from: offset, to: offset + Int64(bytes.count))
      let fitting = UnsafeRawBufferPointer(rebasing: bytes[0..<Int(reached - offset)])
      content.write(fitting, at: offset)
      if fitting.count < bytes.count { throw MemoryFileSystem.fullDevice(path, reached) }
    }
  }

  func sync() throws(StorageError) {
    try fileSystem.access(self, announcing: .sync) { content in content.sync() }
  }

  func size() throws(StorageError) -> Int64 {
    try fileSystem.access(self) { content in content.size }
  }

  func truncate(to size: Int64) throws(StorageError) {
    try checkRange(size, 0)
    try fileSystem.access(self, announcing: .truncate) { _ in
      fileSystem.accounting(node) { $0.truncate(to: size) }
    }
  }

  func preallocate(offset: Int64, length: Int64) throws(StorageError) {
    try checkRange(offset, length)
    try fileSystem.access(self, announcing: .preallocate) { (content) throws(StorageError) in
      let reached = fileSystem.reserve(self, from: offset, to: offset + length)
      if reached < offset + length { throw MemoryFileSystem.fullDevice(path, reached) }
      content.extend(to: offset + length)
    }
  }

  func map(offset: Int64, length: Int) throws(StorageError) -> any MappedRegion {
    try checkRange(offset, Int64(length))
    guard offset % 65_536 == 0, length > 0 else {
      throw StorageError(
        .invalidArgument, "a mapping starts at a multiple of 64 KiB and is not empty", path: path,
        offset: offset)
    }
    return try fileSystem.access(self, announcing: .map) { (content) throws(StorageError) in
      guard offset + Int64(length) <= content.size else {
        throw StorageError(
          .invalidArgument, "the mapping reaches past the file's end", path: path, offset: offset)
      }
      let window = try content.window(from: offset, to: offset + Int64(length))
      let start = window.memory(Int(offset) / MemoryFileContent.pageBytes)
      return MemoryMappedRegion(
        window, UnsafeMutableRawBufferPointer(start: start, count: length))
    }
  }

  func punchHole(offset: Int64, length: Int64) throws(StorageError) {
    try checkRange(offset, length)
    try fileSystem.access(self, announcing: .punchHole) { _ in
      fileSystem.accounting(node) { $0.punchHole(from: offset, to: offset + length) }
    }
  }

  func dropCached() {}

  func close() { fileSystem.close(self) }

  private func checkRange(_ offset: Int64, _ length: Int64) throws(StorageError) {
    guard offset >= 0, length >= 0, offset <= Int64.max / 4, length <= Int64.max / 4 else {
      throw StorageError(.invalidArgument, "no such range in a file", path: path, offset: offset)
    }
  }
}

/// Keeps the memory of its window for as long as someone holds it, so that a late store
/// after a crash is harmless.
private final class MemoryMappedRegion: MappedRegion, @unchecked Sendable {
  let bytes: UnsafeMutableRawBufferPointer
  private let window: MappedWindow

  init(_ window: MappedWindow, _ bytes: UnsafeMutableRawBufferPointer) {
    self.window = window
    self.bytes = bytes
  }

  func unmap() {}
}

private final class MemoryFileLock: FileLock, @unchecked Sendable {
  let node: MemoryFileNode
  private let fileSystem: MemoryFileSystem
  private let isHeld = Atomic<Bool>(true)

  init(_ node: MemoryFileNode, _ fileSystem: MemoryFileSystem) {
    self.node = node
    self.fileSystem = fileSystem
  }

  deinit { release() }

  func release() {
    if isHeld.exchange(false, ordering: .acquiringAndReleasing) { fileSystem.release(self) }
  }
}
