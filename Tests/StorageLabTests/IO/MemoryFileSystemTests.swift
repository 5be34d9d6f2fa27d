import Testing

@testable import StorageLab

@Suite struct MemoryFileSystemTests {
  let fileSystem = MemoryFileSystem()

  private func read(_ fileSystem: MemoryFileSystem, _ path: String) throws -> [UInt8] {
    try fileSystem.open(path, .read).readAll(limit: 1 << 30)
  }

  private func makeDurable(_ path: String, _ bytes: [UInt8]) throws -> any File {
    let file = try fileSystem.open(path, .create)
    try file.write(bytes, at: 0)
    try file.sync()
    try fileSystem.syncDirectory(parentDirectory(path))
    return file
  }

  @Test func readsWhatWasWrittenAcrossPages() throws {
    let file = try fileSystem.open("/f", .create)
    let bytes = (0..<20_000).map { UInt8(truncatingIfNeeded: $0 * 7) }
    try file.write(bytes, at: 1000)
    #expect(try file.size() == 21_000)
    #expect(Array(try read(fileSystem, "/f")[1000...]) == bytes)
    #expect(try read(fileSystem, "/f")[0..<1000].allSatisfy { $0 == 0 })
  }

  @Test func syncedBytesWithSyncedNameSurvive() throws {
    let file = try makeDurable("/f", [1, 2, 3])
    try file.write([9], at: 1)
    let restarted = fileSystem.crash(.loseEverythingUnsynced)
    #expect(try read(restarted, "/f") == [1, 2, 3])
  }

  @Test func syncedBytesWithoutSyncedNameAreGone() throws {
    let file = try fileSystem.open("/f", .create)
    try file.write([1], at: 0)
    try file.sync()
    #expect(try fileSystem.afterCrash(.loseEverythingUnsynced).exists("/f") == false)
    try fileSystem.syncDirectory("/")
    #expect(try read(fileSystem.afterCrash(.loseEverythingUnsynced), "/f") == [1])
  }

  @Test func killKeepsEverythingWrittenAndStored() throws {
    let file = try fileSystem.open("/f", .create)
    try file.preallocate(offset: 0, length: 1 << 20)
    let region = try file.map(offset: 0, length: 1 << 20)
    region.bytes[70_000] = 5
    try file.write([6], at: 70_001)
    #expect(region.bytes[70_001] == 6)
    let restarted = fileSystem.crash(.keepEverything)
    let bytes = try read(restarted, "/f")
    #expect(bytes.count == 1 << 20)
    #expect(bytes[70_000] == 5)
    #expect(bytes[70_001] == 6)
  }

  @Test func mappedStoresNeedSyncForPowerLoss() throws {
    let file = try fileSystem.open("/f", .create)
    try file.preallocate(offset: 0, length: 64 << 20)
    let region = try file.map(offset: 0, length: 64 << 20)
    try file.sync()
    try fileSystem.syncDirectory("/")
    region.bytes[100] = 1
    #expect(try read(fileSystem.afterCrash(.loseEverythingUnsynced), "/f")[100] == 0)
    try file.sync()
    #expect(try read(fileSystem.afterCrash(.loseEverythingUnsynced), "/f")[100] == 1)
  }

  @Test func someSectorsSurviveAndNoneIsTornInside() throws {
    let file = try makeDurable("/f", [UInt8](repeating: 1, count: 8192))
    try file.write([UInt8](repeating: 2, count: 8192), at: 0)
    var mixtures = 0
    for seed in 0..<50 as Range<UInt64> {
      let bytes = try read(fileSystem.afterCrash(.keepSome(seed: seed)), "/f")
      let sectors = stride(from: 0, to: bytes.count, by: 512).map { Set(bytes[$0..<$0 + 512]) }
      #expect(sectors.allSatisfy { $0.count == 1 })
      if Set(sectors).count == 2 { mixtures += 1 }
      #expect(try read(fileSystem.afterCrash(.keepSome(seed: seed)), "/f") == bytes)
    }
    #expect(mixtures > 5)
  }

  @Test func unsyncedSizeMayBeAnySectorCount() throws {
    let file = try makeDurable("/f", [UInt8](repeating: 1, count: 512))
    try file.write([UInt8](repeating: 2, count: 5120), at: 512)
    let sizes = try Set(
      (0..<60).map { try read(fileSystem.afterCrash(.keepSome(seed: $0)), "/f").count })
    #expect(sizes.contains(512))
    #expect(sizes.contains(5632))
    #expect(sizes.count > 3)
  }

  @Test func renameIsAtomicAndNeedsDirectorySync() throws {
    _ = try makeDurable("/old", [1])
    _ = try makeDurable("/new", [2])
    try fileSystem.rename("/old", to: "/new")
    var outcomes = Set<[UInt8]>()
    for seed in 0..<40 as Range<UInt64> {
      let restarted = fileSystem.afterCrash(.keepSome(seed: seed))
      let new = try read(restarted, "/new")
      outcomes.insert(new)
      #expect(try restarted.exists("/old") == (new == [2]))
    }
    #expect(outcomes == [[1], [2]])
    try fileSystem.syncDirectory("/")
    #expect(try read(fileSystem.afterCrash(.loseEverythingUnsynced), "/new") == [1])
  }

  @Test func directoryChangesSurviveIndependently() throws {
    for name in ["a", "b"] { try fileSystem.open("/" + name, .create).close() }
    let outcomes = try Set(
      (0..<60).map { try fileSystem.afterCrash(.keepSome(seed: $0)).list("/") })
    #expect(outcomes == [[], ["a"], ["b"], ["a", "b"]])
  }

  @Test func removedFileMayComeBackUntilDirectorySync() throws {
    _ = try makeDurable("/f", [1])
    try fileSystem.remove("/f")
    #expect(try fileSystem.afterCrash(.loseEverythingUnsynced).exists("/f"))
    try fileSystem.syncDirectory("/")
    #expect(try fileSystem.afterCrash(.loseEverythingUnsynced).exists("/f") == false)
  }

  @Test func newDirectoryNeedsItsParentSynced() throws {
    try fileSystem.createDirectory("/d")
    try fileSystem.open("/d/f", .create).close()
    try fileSystem.syncDirectory("/d")
    #expect(try fileSystem.afterCrash(.loseEverythingUnsynced).exists("/d") == false)
    try fileSystem.syncDirectory("/")
    #expect(try fileSystem.afterCrash(.loseEverythingUnsynced).exists("/d/f"))
  }

  @Test func linkedNamesShareOneFileAfterACrash() throws {
    let file = try makeDurable("/a", [1])
    try fileSystem.link("/a", to: "/b")
    try file.write([7], at: 0)
    let restarted = fileSystem.crash(.keepEverything)
    try restarted.open("/b", .readWrite).write([8], at: 0)
    #expect(try read(restarted, "/a") == [8])
  }

  @Test func handlesLocksAndCallsOfTheCrashedWorldAreDead() throws {
    let file = try makeDurable("/f", [1])
    let lock = try fileSystem.lock("/LOCK")
    #expect(throws: StorageError.self) { try fileSystem.lock("/LOCK") }
    let restarted = fileSystem.crash(.keepEverything)
    for attempt in [
      { try file.write([2], at: 0) }, { try file.sync() }, { _ = try file.size() },
      { try self.fileSystem.remove("/f") }, { _ = try self.fileSystem.open("/f", .read) },
    ] {
      let error = #expect(throws: StorageError.self) { try attempt() }
      #expect(error?.code == .closed)
    }
    lock.release()
    try restarted.lock("/LOCK").release()
    #expect(try read(restarted, "/f") == [1])
  }

  @Test func fullDeviceTakesWhatFitsAndSpaceComesBack() throws {
    fileSystem.capacity = 8192
    let file = try fileSystem.open("/f", .create)
    let error = #expect(throws: StorageError.self) {
      try file.write([UInt8](repeating: 1, count: 10_000), at: 0)
    }
    #expect(error?.code == .noSpace)
    #expect(try file.size() == 8192)
    try file.write([2], at: 100)
    #expect(throws: StorageError.self) { try file.preallocate(offset: 0, length: 12_288) }
    try file.truncate(to: 4096)
    #expect(fileSystem.usedBytes == 4096)
    try file.preallocate(offset: 0, length: 8192)
    try fileSystem.remove("/f")
    #expect(fileSystem.usedBytes == 0)
  }

  @Test func preallocatedBytesNeverMeetAFullDevice() throws {
    let file = try fileSystem.open("/f", .create)
    try file.preallocate(offset: 0, length: 1 << 20)
    fileSystem.capacity = 0
    try file.write([UInt8](repeating: 1, count: 1 << 20), at: 0)
    try file.punchHole(offset: 0, length: 1 << 20)
    #expect(try read(fileSystem, "/f").allSatisfy { $0 == 0 })
    #expect(throws: StorageError.self) { try file.write([1], at: 0) }
  }

  @Test func truncatedBytesReadAsZeroAfterGrowth() throws {
    let file = try fileSystem.open("/f", .create)
    try file.write([UInt8](repeating: 1, count: 9000), at: 0)
    try file.truncate(to: 100)
    try file.truncate(to: 9000)
    let bytes = try read(fileSystem, "/f")
    #expect(bytes[99] == 1)
    #expect(bytes[100...].allSatisfy { $0 == 0 })
  }

  @Test func hookSeesEveryChangeAndCanCrashInTheMiddle() throws {
    let file = try makeDurable("/f", [1])
    let calls = fileSystem.callCount
    #expect(calls == 4)
    let seen = WaitableLock()
    nonisolated(unsafe) var restarted: MemoryFileSystem?
    let fileSystem = fileSystem
    fileSystem.onCall { call in
      seen.withLock {
        if call.index == calls + 2 { restarted = fileSystem.crash(.keepEverything) }
      }
    }
    try file.write([2], at: 0)
    #expect(throws: StorageError.self) { try file.write([3], at: 0) }
    #expect(try read(try #require(restarted), "/f") == [2])
  }

  @Test func readOnlyMediumRefusesChangesOnly() throws {
    let file = try makeDurable("/f", [1])
    fileSystem.isReadOnly = true
    for attempt in [
      { try file.write([2], at: 0) }, { try self.fileSystem.remove("/f") },
      { _ = try self.fileSystem.open("/g", .create) },
      { _ = try self.fileSystem.open("/f", .readWrite) },
    ] {
      let error = #expect(throws: StorageError.self) { try attempt() }
      #expect(error?.code == .readOnly)
    }
    #expect(try read(fileSystem, "/f") == [1])
  }
}
