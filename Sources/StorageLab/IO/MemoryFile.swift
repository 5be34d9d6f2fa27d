import Synchronization

/// An open file of the memory file system.
final class MemoryFile: File, @unchecked Sendable {
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
      if length == 0 { return }
      let reached = fileSystem.reserve(self, from: offset, to: offset + length)
      if reached < offset + length { throw MemoryFileSystem.fullDevice(path, reached) }
      content.extend(to: offset + length)
    }
  }

  func map(
    offset: Int64, length: Int, blankFrom: Int64?
  ) throws(StorageError) -> any MappedRegion {
    try fileSystem.access(self, announcing: .map) { (content) throws(StorageError) in
      try checkMapping(offset: offset, length: length, fileSize: content.size)
      let window = try content.window(from: offset, to: offset + Int64(length))
      if let blankFrom {
        content.zero(from: max(offset, blankFrom), to: offset + Int64(length))
      }
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

final class MemoryFileLock: FileLock, @unchecked Sendable {
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
