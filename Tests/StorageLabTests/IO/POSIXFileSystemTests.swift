import Foundation
import Testing

@testable import StorageLab

/// What only the operating system's own files can show; the rest is in
/// `FileSystemContractTests`.
@Suite(.serialized) struct POSIXFileSystemTests {
  let fileSystem = POSIXFileSystem()

  private func expect(
    _ code: StorageError.Code, _ sourceLocation: SourceLocation = #_sourceLocation,
    _ body: () throws -> Void
  ) {
    let error = #expect(throws: StorageError.self, sourceLocation: sourceLocation) { try body() }
    #expect(error?.code == code, "\(error?.description ?? "")", sourceLocation: sourceLocation)
  }

  private static func blocks(_ path: String) -> Int {
    var status = stat()
    return stat(path, &status) == 0 ? Int(status.st_blocks) * 512 : -1
  }

  @Test func errorsNameThePathAndTheSystemsReason() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("none")
    let error = #expect(throws: StorageError.self) { try fileSystem.open(path, .read) }
    #expect(error?.path == path)
    #expect(error?.errno == ENOENT)
    #expect(error?.remedy != nil)
  }

  @Test func whatIsNoRegularFileIsRefusedWithoutWaiting() throws {
    let directory = try TemporaryDirectory()
    let pipe = directory.file("pipe")
    #expect(mkfifo(pipe, 0o600) == 0)
    // An ordinary open of a pipe would wait for its other end.
    for mode in [FileMode.read, .readWrite, .create, .truncate] {
      expect(.wrongFormat) { _ = try fileSystem.open(pipe, mode) }
      expect(.wrongFormat) { _ = try fileSystem.open("/dev/full", mode) }
    }
  }

  @Test func tooLongANameIsAnArgumentError() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file(String(repeating: "n", count: 300))
    expect(.invalidArgument) { _ = try fileSystem.open(path, .create) }
    expect(.invalidArgument) { _ = try fileSystem.exists(path) }
  }

  @Test func forbiddenFilesAreReadOnly() async throws {
    let directory = try TemporaryDirectory()
    let path = directory.path
    try fileSystem.open(directory.file("f"), .create).close()
    #expect(chmod(directory.file("f"), 0o444) == 0)
    #expect(chmod(path, 0o555) == 0)
    await #expect(processExitsWith: .success) { [path = path as String] in
      // The superuser may do everything: be nobody.
      if geteuid() == 0 { #expect(seteuid(65_534) == 0) }
      let fileSystem = POSIXFileSystem()
      let file = joinPath(path, "f")
      #expect(try fileSystem.open(file, .read).size() == 0)
      for attempt in [
        { _ = try fileSystem.open(file, .readWrite) },
        { _ = try fileSystem.open(file, .truncate) },
        { _ = try fileSystem.open(joinPath(path, "g"), .create) },
        { _ = try fileSystem.lock(joinPath(path, "LOCK")) },
        { try fileSystem.remove(file) },
        { try fileSystem.rename(file, to: joinPath(path, "g")) },
        { try fileSystem.createDirectory(joinPath(path, "d")) },
      ] {
        do {
          try attempt()
          Issue.record("a forbidden change went through")
        } catch let error as StorageError {
          #expect(error.code == .readOnly)
          #expect(error.errno == EACCES)
        }
      }
    }
    #expect(chmod(path, 0o755) == 0)
    #expect(try fileSystem.list(path) == ["f"])
  }

  @Test func aLimitOnFileSizeIsNoSpaceAndLeavesAPrefix() async throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("f")
    await #expect(processExitsWith: .success) { [path = path as String] in
      signal(SIGXFSZ, SIG_IGN)
      var limit = rlimit(rlim_cur: 10_000, rlim_max: 10_000)
      #expect(setrlimit(__rlimit_resource_t(1), &limit) == 0)  // RLIMIT_FSIZE
      let file = try POSIXFileSystem().open(path, .create)
      let bytes = [UInt8](repeating: 7, count: 30_000)
      for attempt in [
        { try file.write(bytes, at: 0) }, { try file.truncate(to: 30_000) },
        { try file.preallocate(offset: 0, length: 30_000) },
      ] {
        do {
          try attempt()
          Issue.record("the limit did not bite")
        } catch let error as StorageError {
          #expect(error.code == .noSpace)
        }
      }
    }
    let found = try fileSystem.open(path, .read).readAll(limit: 1 << 20)
    #expect(found == [UInt8](repeating: 7, count: 10_000))
  }

  @Test func preallocatingReservesBlocksAndPunchingGivesThemBack() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("f")
    let file = try fileSystem.open(path, .create)
    try file.preallocate(offset: 0, length: 1 << 20)
    #expect(POSIXFileSystemTests.blocks(path) >= 1 << 20)
    try file.write([UInt8](repeating: 1, count: 1 << 20), at: 0)
    try file.sync()
    let before = POSIXFileSystemTests.blocks(path)
    try file.punchHole(offset: 0, length: 1 << 19)
    #expect(POSIXFileSystemTests.blocks(path) <= before)
    #expect(try file.size() == 1 << 20)
  }

  @Test func anotherProcessMeetsTheLock() async throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("LOCK")
    let lock = try fileSystem.lock(path)
    await #expect(processExitsWith: .success) { [path = path as String] in
      do {
        _ = try POSIXFileSystem().lock(path)
        Issue.record("the lock was free")
      } catch let error as StorageError {
        #expect(error.code == .locked)
      }
    }
    lock.release()
    await #expect(processExitsWith: .success) { [path = path as String] in
      try POSIXFileSystem().lock(path).release()
    }
  }

  @Test func aKilledHolderFreesTheLock() async throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("LOCK")
    await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as String] in
      let lock = try POSIXFileSystem().lock(path)
      kill(getpid(), SIGKILL)
      lock.release()
    }
    #expect(try fileSystem.exists(path))
    try fileSystem.lock(path).release()
  }

  @Test func mappedStoresSurviveAKill() async throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("f")
    await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as String] in
      let file = try POSIXFileSystem().open(path, .create)
      try file.preallocate(offset: 0, length: 1 << 16)
      let region = try file.map(offset: 0, length: 1 << 16)
      for index in 0..<100 { region.bytes[index] = UInt8(index) }
      kill(getpid(), SIGKILL)
      region.unmap()
    }
    let bytes = try fileSystem.open(path, .read).readAll(limit: 1 << 20)
    #expect(bytes.count == 1 << 16)
    #expect(Array(bytes[..<100]) == (0..<100).map { UInt8($0) })
  }
}
