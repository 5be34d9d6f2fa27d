import Testing

@testable import StorageLab

/// Syncs that fail and take with them what was written before, as operating systems do: the
/// next sync succeeds, though the medium never got those bytes.
@Suite struct BTreeFailedSyncTests {
  private static let pages = "/db/data.pages"

  private static func options(_ fileSystem: any FileSystem, _ durability: Durability)
    -> EngineOptions
  {
    var options = EngineOptions(path: "/db", fileSystem: fileSystem)
    options.durability = durability
    options.maintenance = .inline
    // Everything stays in the cache: what the medium lost is not read back before it counts.
    options.cacheBytes = 16 << 20
    return options
  }

  private static func change(
    _ engine: BTreeEngine, _ model: inout [[UInt8]: [UInt8]], _ random: inout SeededRandom
  ) throws {
    try changeAtRandom(engine, &model, &random, count: 800, space: 2000, deletes: 0.2)
  }

  private static func bytes(_ fileSystem: MemoryFileSystem) throws -> [UInt8] {
    let file = try fileSystem.open(pages, .read)
    defer { file.close() }
    return try file.readAll(limit: 1 << 30)
  }

  /// Takes back every page written since the last sync that succeeded.
  private static func loseUnsynced(_ base: MemoryFileSystem) throws {
    let durable = try bytes(base.afterCrash(.loseEverythingUnsynced))
    let file = try base.open(pages, .readWrite)
    defer { file.close() }
    try file.truncate(to: Int64(durable.count))
    try file.write(durable, at: 0)
  }

  private static func expectAfterCrash(
    _ base: MemoryFileSystem, _ mode: CrashMode, _ durability: Durability,
    _ model: [[UInt8]: [UInt8]], sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let found = base.afterCrash(mode)
    let engine = try BTreeEngine.open(options(found, durability), smallTuning())
    try expectSame(engine, model, sourceLocation: sourceLocation)
    try expectSound(engine, sourceLocation: sourceLocation)
    try engine.close()
  }

  /// The first sync of a checkpoint is the pages', the others the superblock's: after one of them
  /// fails, the next checkpoint writes everything again that the failed one may have lost.
  @Test(arguments: [1, 2, 3], [Durability.none, .commit])
  func theNextCheckpointWritesAgain(_ nth: Int, _ durability: Durability) throws {
    var random = SeededRandom(seed: UInt64(nth))
    let base = MemoryFileSystem()
    let faults = FaultingFileSystem(base)
    var tuning = smallTuning()
    tuning.checkpointLogBytes = 64 << 20
    tuning.checkpointPageBytes = 64 << 20
    let engine = try BTreeEngine.open(Self.options(faults, durability), tuning)
    var model: [[UInt8]: [UInt8]] = [:]
    try Self.change(engine, &model, &random)
    try engine.checkpoint()
    for round in 0..<4 {
      try Self.change(engine, &model, &random)
      faults.setRules([FaultRule(.sync, of: .suffix(".pages"), nth: nth, .fail(.io))])
      #expect(throws: StorageError.self) { try engine.checkpoint() }
      faults.setRules([])
      if durability == .commit {
        // The log still has it all, whatever became of the superblock.
        for mode in [CrashMode.loseEverythingUnsynced, .keepEverything, .keepSome(seed: 5)] {
          try Self.expectAfterCrash(base, mode, durability, model)
        }
      }
      try Self.loseUnsynced(base)
      if round % 2 == 1 { try Self.change(engine, &model, &random) }
      try engine.checkpoint()
      try expectSame(engine, model)
      try expectSound(engine)
      try Self.expectAfterCrash(base, .loseEverythingUnsynced, durability, model)
    }
    try engine.close()
    try Self.expectAfterCrash(base, .loseEverythingUnsynced, durability, model)
  }

  /// A superblock in doubt may be the one that counts: while it is, neither its pages nor the
  /// older one's are written to.
  @Test(arguments: [2, 3])
  func bothSuperblocksInDoubtKeepTheirPages(_ nth: Int) throws {
    var random = SeededRandom(seed: 9)
    let base = MemoryFileSystem()
    let faults = FaultingFileSystem(base)
    var tuning = smallTuning()
    tuning.checkpointLogBytes = 64 << 20
    let engine = try BTreeEngine.open(Self.options(faults, .commit), tuning)
    var model: [[UInt8]: [UInt8]] = [:]
    try Self.change(engine, &model, &random)
    try engine.checkpoint()
    for failures in 1...3 {
      try Self.change(engine, &model, &random)
      faults.setRules([FaultRule(.sync, of: .suffix(".pages"), nth: nth, .fail(.io))])
      for _ in 0..<failures {
        #expect(throws: StorageError.self) { try engine.checkpoint() }
        faults.setRules([FaultRule(.sync, of: .suffix(".pages"), nth: nth, .fail(.io))])
        try Self.change(engine, &model, &random)
        for seed in 0..<4 {
          try Self.expectAfterCrash(base, .keepSome(seed: UInt64(seed)), .commit, model)
        }
      }
      faults.setRules([])
      try engine.checkpoint()
      try Self.expectAfterCrash(base, .loseEverythingUnsynced, .commit, model)
    }
    try engine.close()
  }
}
