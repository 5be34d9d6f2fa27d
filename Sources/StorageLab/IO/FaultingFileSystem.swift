/// Passes everything to another file system, but for the calls that a `FaultRule` strikes.
/// Rules are tried in order; the first that matches and is due decides. Each keeps its own
/// count.
public final class FaultingFileSystem: FileSystem {
  private let base: any FileSystem
  private let lock = WaitableLock()
  nonisolated(unsafe) private var rules: [FaultRule]
  nonisolated(unsafe) private var enabled = true
  nonisolated(unsafe) private var struck = 0

  public init(_ base: any FileSystem, _ rules: [FaultRule] = []) {
    self.base = base
    self.rules = rules
  }

  /// While false, calls pass and are not counted.
  public var isEnabled: Bool {
    get { lock.withLock { enabled } }
    set { lock.withLock { enabled = newValue } }
  }

  /// Replaces the rules; their counts begin anew.
  public func setRules(_ rules: [FaultRule]) { lock.withLock { self.rules = rules } }

  /// Calls struck so far: a test that expects a fault checks that there was one.
  public var strikes: Int { lock.withLock { struck } }

  // MARK: Deciding

  /// The effect due for this call. `range` is what a read covers.
  fileprivate func effect(
    _ call: FaultRule.Call, _ path: String, _ range: Range<Int64>? = nil
  ) -> FaultRule.Effect? {
    lock.withLock {
      guard enabled else { return nil }
      for index in rules.indices where rules[index].call == call {
        guard rules[index].files.contains(path), isDue(index, range) else { continue }
        struck += 1
        return rules[index].effect
      }
      return nil
    }
  }

  /// Counts a matching call. REQUIRES: the lock is held.
  private func isDue(_ index: Int, _ range: Range<Int64>?) -> Bool {
    if case .flipBit(let offset, _) = rules[index].effect, range?.contains(offset) != true {
      return false
    }
    if rules[index].skipping > 0 {
      rules[index].skipping -= 1
      return false
    }
    guard let count = rules[index].count else { return true }
    rules[index].count = count - 1
    return count > 0
  }

  fileprivate func check(_ call: FaultRule.Call, _ path: String) throws(StorageError) {
    if case .fail(let code, _) = effect(call, path) {
      throw FaultingFileSystem.fault(code, call, path)
    }
  }

  fileprivate static func fault(
    _ code: StorageError.Code, _ call: FaultRule.Call, _ path: String
  ) -> StorageError {
    StorageError(code, "injected fault: \(call)", path: path)
  }

  // MARK: FileSystem

  public func open(_ path: String, _ mode: FileMode) throws(StorageError) -> any File {
    try check(.open, path)
    return FaultingFile(try base.open(path, mode), self)
  }

  public func remove(_ path: String) throws(StorageError) {
    try check(.remove, path)
    try base.remove(path)
  }

  public func rename(_ from: String, to: String) throws(StorageError) {
    try check(.rename, to)
    try base.rename(from, to: to)
  }

  public func syncDirectory(_ path: String) throws(StorageError) {
    try check(.syncDirectory, path)
    try base.syncDirectory(path)
  }

  public func exists(_ path: String) throws(StorageError) -> Bool { try base.exists(path) }
  public func list(_ path: String) throws(StorageError) -> [String] { try base.list(path) }
  public func createDirectory(_ path: String) throws(StorageError) {
    try base.createDirectory(path)
  }
  public func removeDirectory(_ path: String) throws(StorageError) {
    try base.removeDirectory(path)
  }
  public func link(_ from: String, to: String) throws(StorageError) {
    try check(.link, from)
    try base.link(from, to: to)
  }
  public func lock(_ path: String) throws(StorageError) -> any FileLock { try base.lock(path) }
}

private final class FaultingFile: File {
  private let base: any File
  private let fileSystem: FaultingFileSystem

  init(_ base: any File, _ fileSystem: FaultingFileSystem) {
    self.base = base
    self.fileSystem = fileSystem
  }

  var path: String { base.path }

  func read(
    into buffer: UnsafeMutableRawBufferPointer, at offset: Int64
  ) throws(StorageError) -> Int {
    let range = offset..<offset + Int64(buffer.count)
    switch fileSystem.effect(.read, path, range) {
    case nil: return try base.read(into: buffer, at: offset)
    case .fail(let code, _): throw FaultingFileSystem.fault(code, .read, path)
    case .shortRead(let bytes):
      let part = UnsafeMutableRawBufferPointer(rebasing: buffer.prefix(max(0, bytes)))
      return try base.read(into: part, at: offset)
    case .flipBit(let position, let bit):
      let count = try base.read(into: buffer, at: offset)
      let index = Int(position - offset)
      if index < count { buffer[index] ^= 1 << (bit & 7) }
      return count
    }
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(StorageError) {
    guard case .fail(let code, let written) = fileSystem.effect(.write, path) else {
      return try base.write(bytes, at: offset)
    }
    try base.write(UnsafeRawBufferPointer(rebasing: bytes.prefix(max(0, written))), at: offset)
    throw FaultingFileSystem.fault(code, .write, path)
  }

  func sync() throws(StorageError) {
    try fileSystem.check(.sync, path)
    try base.sync()
  }

  func truncate(to size: Int64) throws(StorageError) {
    try fileSystem.check(.truncate, path)
    try base.truncate(to: size)
  }

  func preallocate(offset: Int64, length: Int64) throws(StorageError) {
    try fileSystem.check(.preallocate, path)
    try base.preallocate(offset: offset, length: length)
  }

  func map(
    offset: Int64, length: Int, blankFrom: Int64?
  ) throws(StorageError) -> any MappedRegion {
    try fileSystem.check(.map, path)
    return try base.map(offset: offset, length: length, blankFrom: blankFrom)
  }

  func size() throws(StorageError) -> Int64 { try base.size() }
  func data(from offset: Int64) throws(StorageError) -> Range<Int64>? {
    try base.data(from: offset)
  }
  func punchHole(offset: Int64, length: Int64) throws(StorageError) {
    try base.punchHole(offset: offset, length: length)
  }
  func dropCached() { base.dropCached() }
  func close() { base.close() }
}
