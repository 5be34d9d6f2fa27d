import Testing

@testable import StorageLab

@Suite struct BackupTests {
  private func options(_ fileSystem: MemoryFileSystem) -> EngineOptions {
    var options = EngineOptions(path: "/database", fileSystem: fileSystem)
    options.durability = .process
    options.maintenance = .inline
    return options
  }

  private func contents(_ engine: any StorageEngine) throws -> [[UInt8]: [UInt8]] {
    var found: [[UInt8]: [UInt8]] = [:]
    try engine.scan { key, value in
      found[key.withUnsafeBytes { Array($0) }] = value.withUnsafeBytes { Array($0) }
      return true
    }
    return found
  }

  private func fill(_ engine: any StorageEngine) throws {
    var random = SeededRandom(seed: 1)
    for _ in 0..<800 { try engine.put(randomKey(&random, space: 900), randomValue(&random)) }
    for _ in 0..<100 { try engine.delete(randomKey(&random, space: 900)) }
  }

  @Test(arguments: TestEngine.persistent)
  func holdsTheMomentItWasMadeAndSurvivesPowerLoss(_ engine: TestEngine) throws {
    let fileSystem = MemoryFileSystem()
    let original = try engine.entry.open(options(fileSystem))
    try fill(original)
    let expected = try contents(original)
    try original.backup(to: "/copy")
    try original.put([1], [1])
    let after = fileSystem.afterCrash(.loseEverythingUnsynced)
    #expect(try !after.exists("/copy" + EngineBackup.partialSuffix))
    var copyOptions = options(after)
    copyOptions.path = "/copy"
    copyOptions.createIfMissing = false
    let copy = try engine.entry.open(copyOptions)
    #expect(try contents(copy) == expected)
    #expect(try copy.verify().problems.isEmpty)
    try copy.put([2], [2])
    try copy.close()
    try original.close()
  }

  @Test(arguments: TestEngine.persistent)
  func neverReplacesAnything(_ engine: TestEngine) throws {
    let fileSystem = MemoryFileSystem()
    let original = try engine.entry.open(options(fileSystem))
    try original.put([1], [1])
    #expect(throwing { try original.backup(to: "/database") } == .invalidArgument)
    try fileSystem.createDirectory("/there")
    #expect(throwing { try original.backup(to: "/there") } == .invalidArgument)
    try fileSystem.removeDirectory("/there")
    try original.close()
    #expect(throwing { try original.backup(to: "/copy") } == .closed)
    #expect(try !fileSystem.exists("/copy"))
  }

  @Test(arguments: TestEngine.persistent)
  func aFullDeviceLeavesNothingBehind(_ engine: TestEngine) throws {
    let fileSystem = MemoryFileSystem()
    let original = try engine.entry.open(options(fileSystem))
    try fill(original)
    let expected = try contents(original)
    let used = fileSystem.usedBytes
    // The LSM tree's backup takes hardly any room: it fails in the middle with less.
    fileSystem.capacity = used + (engine.entry.name == LSMEngine.engineName ? 9_000 : 40_000)
    #expect(throwing { try original.backup(to: "/copy") } == .noSpace)
    fileSystem.capacity = nil
    #expect(try !fileSystem.exists("/copy"))
    #expect(try !fileSystem.exists("/copy" + EngineBackup.partialSuffix))
    #expect(try contents(original) == expected)
    try original.close()
  }

  /// Killed or without power at each of its I/O calls, there is no copy or a whole one.
  @Test(arguments: TestEngine.persistent)
  func isWholeOrNotThere(_ engine: TestEngine) throws {
    let fileSystem = MemoryFileSystem()
    let original = try engine.entry.open(options(fileSystem))
    for number in 0..<60 as Range<UInt8> {
      try original.put([number], [UInt8](repeating: number, count: 300))
    }
    try original.sync()
    let expected = try contents(original)
    let worlds = Worlds()
    fileSystem.onCall { (call) throws(StorageError) in
      worlds.add(fileSystem.afterCrash(.keepSome(seed: UInt64(call.index))))
      worlds.add(fileSystem.afterCrash(.keepEverything))
    }
    try original.backup(to: "/copy")
    fileSystem.onCall(nil)
    var whole = 0
    for world in worlds.all where try world.exists("/copy") {
      var copyOptions = options(world)
      copyOptions.path = "/copy"
      copyOptions.createIfMissing = false
      let copy = try engine.entry.open(copyOptions)
      #expect(try contents(copy) == expected)
      try copy.close()
      whole += 1
    }
    #expect(worlds.all.count > 10 && whole > 0 && whole < worlds.all.count)
    try original.close()
  }

  private final class Worlds: @unchecked Sendable {
    private(set) var all: [MemoryFileSystem] = []
    func add(_ world: MemoryFileSystem) { all.append(world) }
  }
}
