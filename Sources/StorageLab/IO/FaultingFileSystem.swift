/// Passes everything to another file system, but for the calls that a `FaultRule` strikes.
/// Rules are tried in order; the first that matches and is due decides. Each keeps its own
/// count.
public final class FaultingFileSystem: FileSystem {
  private let base: any FileSystem
  private let lock = WaitableLock()
  nonisolated(unsafe) private var rules: [FaultRule]
  nonisolated(unsafe) private var enabled = true
  nonisolated(unsafe) private var struck = 0
  /// The last call that changes the medium or waits for it.
  nonisolated(unsafe) private var last: (call: FaultRule.Call, path: String)?
  /// Calls put off, and how many others come before each.
  nonisolated(unsafe) private var delayed: [(calls: Int, body: Delayed)] = []

  /// By path, while a rule may make a sync forget.
  nonisolated(unsafe) private var unsynced: [String: UnsyncedSectors] = [:]

  fileprivate typealias Delayed = @Sendable () throws(StorageError) -> Void

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
      let before = last
      if call.changesMedium { last = (call, path) }
      guard enabled else { return nil }
      for index in rules.indices where rules[index].call == call {
        guard rules[index].files.contains(path), rules[index].follows(before),
          isDue(index, range)
        else { continue }
        struck += 1
        return rules[index].effect
      }
      return nil
    }
  }

  /// Does a call as the rules say: now, later, never, or not without an error. Then what was put
  /// off until now.
  fileprivate func perform(
    _ call: FaultRule.Call, _ path: String, _ body: @escaping Delayed
  ) throws(StorageError) {
    switch effect(call, path) {
    case .fail(let code, _): throw FaultingFileSystem.fault(code, call, path)
    case .failForgetting(let code):
      unsyncedSectors(path)?.forget()
      throw FaultingFileSystem.fault(code, call, path)
    case .omit: break
    case .delay(let calls): return putOff(calls, body)
    case nil, .shortRead, .flipBit, .misplace, .vanish: try body()
    }
    try catchUp()
  }

  fileprivate func putOff(_ calls: Int, _ body: @escaping Delayed) {
    lock.withLock { delayed.append((max(1, calls), body)) }
  }

  /// Does what was put off until now.
  fileprivate func catchUp() throws(StorageError) {
    let due = lock.withLock { () -> [Delayed] in
      if delayed.isEmpty { return [] }
      for index in delayed.indices { delayed[index].calls -= 1 }
      defer { delayed.removeAll { $0.calls <= 0 } }
      return delayed.filter { $0.calls <= 0 }.map(\.body)
    }
    for body in due { try body() }
  }

  /// What is followed of a file's unsynced bytes; nil when no rule needs it.
  fileprivate func unsyncedSectors(_ path: String) -> UnsyncedSectors? {
    lock.withLock {
      if let known = unsynced[path] { return known }
      let isNeeded = rules.contains {
        if case .failForgetting = $0.effect { true } else { false }
      }
      guard isNeeded else { return nil }
      let fresh = UnsyncedSectors()
      unsynced[path] = fresh
      return fresh
    }
  }

  /// A file has another name, or none any more.
  private func moveUnsynced(_ from: String, to: String?) {
    lock.withLock {
      let sectors = unsynced.removeValue(forKey: from)
      if let to { unsynced[to] = sectors }
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
    guard rules[index].isTurn() else { return false }
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
    switch effect(.open, path) {
    case .fail(let code, _), .failForgetting(let code):
      throw FaultingFileSystem.fault(code, .open, path)
    case .vanish: if try base.exists(path) { try base.remove(path) }
    default: break
    }
    return FaultingFile(try base.open(path, mode), self)
  }

  public func remove(_ path: String) throws(StorageError) {
    try perform(.remove, path) { [base] () throws(StorageError) in try base.remove(path) }
    moveUnsynced(path, to: nil)
  }

  public func rename(_ from: String, to: String) throws(StorageError) {
    try perform(.rename, to) { [base] () throws(StorageError) in try base.rename(from, to: to) }
    if from != to { moveUnsynced(from, to: to) }
  }

  public func syncDirectory(_ path: String) throws(StorageError) {
    try perform(.syncDirectory, path) { [base] () throws(StorageError) in
      try base.syncDirectory(path)
    }
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
    try perform(.link, from) { [base] () throws(StorageError) in try base.link(from, to: to) }
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
    case .fail(let code, _), .failForgetting(let code):
      throw FaultingFileSystem.fault(code, .read, path)
    case .shortRead(let bytes):
      let part = UnsafeMutableRawBufferPointer(rebasing: buffer.prefix(max(0, bytes)))
      return try base.read(into: part, at: offset)
    case .omit, .delay, .misplace, .vanish: return try base.read(into: buffer, at: offset)
    case .flipBit(let position, let bit):
      let count = try base.read(into: buffer, at: offset)
      let index = Int(position - offset)
      if index < count { buffer[index] ^= 1 << (bit & 7) }
      return count
    }
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(StorageError) {
    switch fileSystem.effect(.write, path) {
    case nil, .shortRead, .flipBit, .vanish: try put(bytes, at: offset)
    case .omit: break
    case .misplace(let distance): try put(bytes, at: max(0, offset + distance))
    case .fail(let code, let written):
      try put(UnsafeRawBufferPointer(rebasing: bytes.prefix(max(0, written))), at: offset)
      throw FaultingFileSystem.fault(code, .write, path)
    case .failForgetting(let code): throw FaultingFileSystem.fault(code, .write, path)
    case .delay(let calls):
      let copy = [UInt8](bytes)
      return fileSystem.putOff(calls) { [base] () throws(StorageError) in
        try base.write(copy, at: offset)
      }
    }
    try fileSystem.catchUp()
  }

  private func put(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(StorageError) {
    if let sectors = fileSystem.unsyncedSectors(path) {
      try sectors.willWrite(offset..<offset + Int64(bytes.count), to: base)
    }
    try base.write(bytes, at: offset)
  }

  func sync() throws(StorageError) {
    let sectors = fileSystem.unsyncedSectors(path)
    try fileSystem.perform(.sync, path) { [base] () throws(StorageError) in
      if let sectors { try sectors.sync(base) } else { try base.sync() }
    }
  }

  func truncate(to size: Int64) throws(StorageError) {
    try fileSystem.perform(.truncate, path) { [base] () throws(StorageError) in
      try base.truncate(to: size)
    }
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

extension FaultRule.Call {
  fileprivate var changesMedium: Bool {
    switch self {
    case .open, .read: false
    default: true
    }
  }
}

extension FaultRule {
  fileprivate func follows(_ last: (call: Call, path: String)?) -> Bool {
    guard let predecessor else { return true }
    return last.map { $0.call == predecessor.call && predecessor.files.contains($0.path) } ?? false
  }

  /// Counts a call that matches; of `every` so many the first is struck.
  fileprivate mutating func isTurn() -> Bool {
    defer { turn += 1 }
    return turn % max(1, every) == 0
  }
}
