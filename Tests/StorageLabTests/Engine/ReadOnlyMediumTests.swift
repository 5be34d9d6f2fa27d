import Testing

@testable import StorageLab

/// A database on a medium that cannot be written: opened for writing it is refused with a clear
/// error, opened for reading it is read. Permission bits would not hold the superuser.
@Suite struct ReadOnlyMediumTests {
  private func options(_ fileSystem: any FileSystem) -> EngineOptions {
    var options = EngineOptions(path: "/media/db", fileSystem: fileSystem)
    options.maintenance = .inline
    return options
  }

  private func refusal(_ body: () throws -> Void) -> StorageError? {
    do { try body() } catch { return error as? StorageError }
    return nil
  }

  @Test(arguments: TestEngine.persistent, [true, false])
  func writingIsRefusedAndReadingWorks(_ engine: TestEngine, _ isClosedCleanly: Bool) throws {
    let medium = MemoryFileSystem()
    let written = try engine.entry.open(options(medium))
    for number in 0..<100 { try written.put([UInt8(number)], [1, UInt8(number)]) }
    // Without a clean end there is a log to be replayed, which must then happen in memory.
    let holder = isClosedCleanly ? nil : try written.snapshot()
    try written.close()
    holder?.close()
    let names = try medium.list("/media/db")

    let error = try #require(
      refusal { _ = try engine.entry.open(options(ReadOnlyMedium(medium))) })
    #expect(error.code == .readOnly)
    #expect(error.path?.hasPrefix("/media/db") == true)
    #expect(error.remedy != nil)

    var reading = options(ReadOnlyMedium(medium))
    reading.isReadOnly = true
    let reader = try engine.entry.open(reading)
    for number in 0..<100 { #expect(try reader.get([UInt8(number)]) == [1, UInt8(number)]) }
    #expect(try reader.verify().isSound)
    #expect(refusal { try reader.put([1], [2]) }?.code == .readOnly)
    try reader.close()
    #expect(try medium.list("/media/db") == names)

    // Nothing of this is in the way of the next writer.
    let again = try engine.entry.open(options(medium))
    #expect(try again.get([5]) == [1, 5])
    try again.close()
  }

  @Test(arguments: TestEngine.persistent)
  func noDatabaseIsMadeThere(_ engine: TestEngine) throws {
    let medium = MemoryFileSystem()
    try medium.createDirectory("/media")
    let error = try #require(
      refusal { _ = try engine.entry.open(options(ReadOnlyMedium(medium))) })
    #expect(error.code == .readOnly)
    #expect(error.path?.hasPrefix("/media/db") == true)
    #expect(try medium.list("/media").isEmpty)
  }
}

/// Refuses whatever changes something, as a file system mounted read-only does.
private final class ReadOnlyMedium: FileSystem {
  private let base: any FileSystem

  init(_ base: any FileSystem) { self.base = base }

  private func refuse(_ path: String) -> StorageError {
    StorageError(
      .readOnly, "cannot write: Read-only file system", remedy: "Open read-only", path: path)
  }

  func open(_ path: String, _ mode: FileMode) throws(StorageError) -> any File {
    guard case .read = mode else { throw refuse(path) }
    return try base.open(path, mode)
  }

  func exists(_ path: String) throws(StorageError) -> Bool { try base.exists(path) }
  func list(_ path: String) throws(StorageError) -> [String] { try base.list(path) }
  func syncDirectory(_ path: String) throws(StorageError) {}
  func createDirectory(_ path: String) throws(StorageError) { throw refuse(path) }
  func remove(_ path: String) throws(StorageError) { throw refuse(path) }
  func removeDirectory(_ path: String) throws(StorageError) { throw refuse(path) }
  func rename(_ from: String, to: String) throws(StorageError) { throw refuse(to) }
  func link(_ from: String, to: String) throws(StorageError) { throw refuse(to) }
  func lock(_ path: String) throws(StorageError) -> any FileLock { throw refuse(path) }
}
