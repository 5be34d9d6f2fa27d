import Testing

@testable import StorageLab

/// What media of each weakness leave of what was never synced.
@Suite struct CrashMediumTests {
  let fileSystem = MemoryFileSystem(keepsVersions: true)
  static let seeds = 0..<80 as Range<UInt64>

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

  private func outcomes(_ weaknesses: CrashWeaknesses, _ path: String = "/f") throws -> Set<[UInt8]>
  {
    var outcomes = Set<[UInt8]>()
    for seed in CrashMediumTests.seeds {
      let mode = CrashMode.keepParts(weaknesses, seed: seed)
      let bytes = try read(fileSystem.afterCrash(mode), path)
      #expect(try read(fileSystem.afterCrash(mode), path) == bytes, "a seed is one outcome")
      outcomes.insert(bytes)
    }
    return outcomes
  }

  private static func units(_ bytes: [UInt8], _ size: Int) -> [Set<UInt8>] {
    stride(from: 0, to: bytes.count, by: size).map { Set(bytes[$0..<min($0 + size, bytes.count)]) }
  }

  @Test func withoutWeaknessesExactlyTheSyncedSurvives() throws {
    let file = try makeDurable("/f", [1, 1])
    try file.write([2, 2, 2], at: 0)
    try fileSystem.open("/g", .create).close()
    let after = fileSystem.afterCrash(.keepParts([], seed: 1))
    #expect(try read(after, "/f") == [1, 1])
    #expect(try !after.exists("/g"))
  }

  @Test func sectorsTearAt512Bytes() throws {
    let file = try makeDurable("/f", [UInt8](repeating: 1, count: 16_384))
    try file.write([UInt8](repeating: 2, count: 16_384), at: 0)
    let outcomes = try outcomes(.sectors)
    #expect(outcomes.allSatisfy { Self.units($0, 512).allSatisfy { $0.count == 1 } })
    #expect(outcomes.contains { Self.units($0, 4096).contains { $0.count == 2 } })
  }

  @Test func pagesTearAt4096Bytes() throws {
    let file = try makeDurable("/f", [UInt8](repeating: 1, count: 16_384))
    try file.write([UInt8](repeating: 2, count: 16_384), at: 0)
    let outcomes = try outcomes(.pages)
    #expect(outcomes.allSatisfy { Self.units($0, 4096).allSatisfy { $0.count == 1 } })
    #expect(outcomes.count > 5)
  }

  @Test func aSectorMayHoldAnyOfItsVersions() throws {
    let file = try makeDurable("/f", [UInt8](repeating: 1, count: 512))
    for value in 2...4 as ClosedRange<UInt8> {
      try file.write([UInt8](repeating: value, count: 512), at: 0)
    }
    #expect(try Set(outcomes([.sectors, .versions]).map { $0[0] }) == [1, 2, 3, 4])
    #expect(try Set(outcomes(.sectors).map { $0[0] }) == [1, 4])
    try file.sync()
    #expect(try Set(outcomes([.sectors, .versions]).map { $0[0] }) == [4])
  }

  @Test func versionsOutliveAKill() throws {
    let file = try makeDurable("/f", [UInt8](repeating: 1, count: 512))
    for value in 2...3 as ClosedRange<UInt8> {
      try file.write([UInt8](repeating: value, count: 512), at: 0)
    }
    let killed = fileSystem.afterCrash(.keepEverything)
    let found = try Set(
      CrashMediumTests.seeds.map {
        try read(killed.afterCrash(.keepParts([.pages, .versions], seed: $0)), "/f")[0]
      })
    #expect(found == [1, 2, 3])
  }

  @Test func sizesAndBytesSurviveApart() throws {
    let file = try makeDurable("/f", [UInt8](repeating: 1, count: 512))
    try file.write([UInt8](repeating: 2, count: 2048), at: 512)
    // A size without its bytes: zeros. Bytes without the size: nothing.
    #expect(try outcomes(.sizes).allSatisfy { $0.dropFirst(512).allSatisfy { $0 == 0 } })
    #expect(try Set(outcomes(.sizes).map(\.count)) == [512, 1024, 1536, 2048, 2560])
    #expect(try Set(outcomes(.sectors).map(\.count)) == [512])
    #expect(try outcomes([.sectors, .sizes]).contains { $0.count > 512 && $0[512] == 2 })
  }

  @Test func namesSurviveOneByOne() throws {
    _ = try makeDurable("/old", [1])
    try fileSystem.rename("/old", to: "/new")
    try fileSystem.open("/b", .create).close()
    var found = Set<[String]>()
    for seed in CrashMediumTests.seeds {
      found.insert(try fileSystem.afterCrash(.keepParts(.names, seed: seed)).list("/"))
      #expect(try fileSystem.afterCrash(.keepParts(.sectors, seed: seed)).list("/") == ["old"])
    }
    #expect(found == [["old"], ["new"], ["b", "old"], ["b", "new"]])
  }

  /// What lets a losing schedule be shrunk to the weakness that it needs.
  @Test func takingAWeaknessAwayLeavesTheOthersAlone() throws {
    let file = try makeDurable("/f", [UInt8](repeating: 1, count: 8192))
    try file.write([UInt8](repeating: 2, count: 8192), at: 0)
    try fileSystem.open("/g", .create).close()
    for seed in CrashMediumTests.seeds {
      let both = fileSystem.afterCrash(.keepParts([.sectors, .names], seed: seed))
      let data = fileSystem.afterCrash(.keepParts(.sectors, seed: seed))
      let names = fileSystem.afterCrash(.keepParts(.names, seed: seed))
      #expect(try read(both, "/f") == read(data, "/f"))
      #expect(try both.list("/") == names.list("/"))
    }
  }

  @Test func storesIntoAMappingAreKeptOrLostBySector() throws {
    let file = try fileSystem.open("/f", .create)
    try file.preallocate(offset: 0, length: 1 << 16)
    let region = try file.map(offset: 0, length: 1 << 16)
    try file.sync()
    try fileSystem.syncDirectory("/")
    for index in 0..<4096 { region.bytes[index] = 7 }
    let outcomes = try outcomes([.sectors, .versions])
    #expect(outcomes.contains { Set($0[0..<4096]) == [0, 7] })
    #expect(outcomes.allSatisfy { Self.units($0, 512).allSatisfy { $0.count == 1 } })
  }

  @Test func equalWorldsHaveEqualFingerprints() throws {
    let file = try makeDurable("/f", [UInt8](repeating: 1, count: 5000))
    let first = fileSystem.afterCrash(.loseEverythingUnsynced).fingerprint
    try file.write([2], at: 4999)
    #expect(fileSystem.afterCrash(.loseEverythingUnsynced).fingerprint == first)
    #expect(fileSystem.afterCrash(.keepEverything).fingerprint != first)
    try file.write([1], at: 4999)
    try fileSystem.rename("/f", to: "/g")
    #expect(fileSystem.afterCrash(.loseEverythingUnsynced).fingerprint == first)
    try fileSystem.syncDirectory("/")
    #expect(fileSystem.afterCrash(.loseEverythingUnsynced).fingerprint != first)
  }
}
