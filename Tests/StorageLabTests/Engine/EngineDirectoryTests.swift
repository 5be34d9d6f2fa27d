import Testing

@testable import StorageLab

@Suite struct EngineDirectoryTests {
  private func open(
    _ path: String, _ fileSystem: any FileSystem, engine: String = "a", version: UInt32 = 2
  ) throws -> EngineDirectory {
    let options = EngineOptions(path: path, fileSystem: fileSystem)
    return try EngineDirectory.open(engine: engine, version: version, options: options).directory
  }

  @Test func everyNewDirectoryOnTheWaySurvivesPowerLoss() throws {
    let fileSystem = MemoryFileSystem()
    try open("/deep/down/database", fileSystem).release()
    let after = fileSystem.crash(.loseEverythingUnsynced)
    #expect(try EngineDirectory.identify("/deep/down/database", after)?.engine == "a")
  }

  @Test func everyCrashWhileMakingOneLeavesADirectoryThatOpens() throws {
    let fileSystem = MemoryFileSystem()
    fileSystem.onCall { call throws(StorageError) in
      for seed in 0..<4 {
        let after = fileSystem.afterCrash(.keepSome(seed: UInt64(call.index * 4 + seed)))
        do { try open("/deep/database", after).release() } catch {
          Issue.record("before \(call.kind) \(call.path): \(error)")
        }
      }
    }
    try open("/deep/database", fileSystem).release()
    fileSystem.onCall(nil)
  }

  @Test func whatIsNotOursIsRefusedAndLeftAlone() throws {
    let fileSystem = MemoryFileSystem()
    let held = try open("/x", fileSystem)
    #expect(code { _ = try self.open("/x", fileSystem) } == .locked)
    held.release()
    #expect(code { _ = try self.open("/x", fileSystem, engine: "b") } == .wrongFormat)
    #expect(code { _ = try self.open("/x", fileSystem, version: 1) } == .unsupportedVersion)
    let identity = try fileSystem.open("/x/ENGINE", .readWrite)
    let bytes = try identity.readAll(limit: 100)
    for bit in 0..<bytes.count * 8 {
      try identity.write([bytes[bit / 8] ^ (1 << UInt8(bit % 8))], at: Int64(bit / 8))
      let found = code { _ = try self.open("/x", fileSystem) }
      #expect(found == .corruption || found == .wrongFormat, "bit \(bit)")
      try identity.write([bytes[bit / 8]], at: Int64(bit / 8))
    }
    try open("/x", fileSystem).release()
    try fileSystem.createDirectory("/foreign")
    _ = try fileSystem.open("/foreign/letter.txt", .create)
    #expect(code { _ = try self.open("/foreign", fileSystem) } == .wrongFormat)
    #expect(try fileSystem.list("/foreign") == ["letter.txt"])
  }

  private func code(_ body: () throws -> Void) -> StorageError.Code? {
    do { try body() } catch { return (error as? StorageError)?.code }
    return nil
  }
}
