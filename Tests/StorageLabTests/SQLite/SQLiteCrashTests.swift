import Testing

@testable import StorageLab

/// SQLite on a medium that crashes, fills up and refuses: the file system that it is given
/// here is the one that it is given always, so what holds here is what a power loss meets.
@Suite struct SQLiteCrashTests {
  private func options(
    _ fileSystem: any FileSystem, _ durability: Durability = .commit
  ) -> EngineOptions {
    var options = EngineOptions(path: "/db", fileSystem: fileSystem)
    options.durability = durability
    options.maintenance = .inline
    options.cacheBytes = 64 << 10
    return options
  }

  /// Copies the log back every few commits, so that checkpoints are among the crashes.
  private var busyCheckpoints: SQLiteOptions {
    var options = SQLiteOptions()
    options.pageBytes = 1024
    options.checkpointBytes = 8 << 10
    return options
  }

  private func key(_ number: Int) -> [UInt8] { Array("key-\(number % 37)".utf8) }

  /// Commit `version` sets eight keys and the counter, in one batch.
  private func batch(_ version: Int) -> WriteBatch {
    var batch = WriteBatch()
    for index in 0..<8 {
      batch.put(key(version * 5 + index), [UInt8](repeating: UInt8(version), count: 90))
    }
    batch.put([0], [UInt8(version)])
    return batch
  }

  private func expected(_ version: Int) -> [[UInt8]: [UInt8]] {
    var content: [[UInt8]: [UInt8]] = [:]
    for version in 1..<version + 1 where version > 0 {
      for index in 0..<8 {
        content[key(version * 5 + index)] = [UInt8](repeating: UInt8(version), count: 90)
      }
      content[[0]] = [UInt8(version)]
    }
    return content
  }

  private func content(_ engine: SQLiteEngine) throws -> [[UInt8]: [UInt8]] {
    var content: [[UInt8]: [UInt8]] = [:]
    try engine.scan { key, value in
      content[key.withSlice(\.array)] = value.withSlice(\.array)
      return true
    }
    return content
  }

  private func holds(_ engine: SQLiteEngine, _ content: [[UInt8]: [UInt8]]) throws -> Bool {
    try self.content(engine) == content
  }

  private struct Wreck {
    let fileSystem: MemoryFileSystem
    let call: MemoryFileSystem.Call
    /// The newest version that was acknowledged when the plug was pulled.
    let acknowledged: Int
  }

  /// Runs commits 1 … `commits` and pulls the plug before every call that the run makes.
  private func wrecks(
    _ durability: Durability, _ modes: [CrashMode], commits: Int,
    after: (SQLiteEngine, Int) throws -> Void = { _, _ in }
  ) throws -> [Wreck] {
    let fileSystem = MemoryFileSystem()
    let run = Run()
    fileSystem.onCall { call in
      for mode in modes {
        let seeded: CrashMode =
          if case .keepSome(let seed) = mode { .keepSome(seed: seed &+ UInt64(call.index)) } else {
            mode
          }
        run.wrecks.append(
          Wreck(
            fileSystem: fileSystem.afterCrash(seeded), call: call, acknowledged: run.acknowledged))
      }
    }
    let engine = try SQLiteEngine(options(fileSystem, durability), busyCheckpoints)
    for version in 1...commits {
      try engine.write(batch(version))
      if durability == .commit || modes == [.keepEverything] { run.acknowledged = version }
      try after(engine, version)
    }
    try engine.close()
    run.acknowledged = commits
    fileSystem.onCall(nil)
    return run.wrecks
  }

  private final class Run: @unchecked Sendable {
    var wrecks: [Wreck] = []
    var acknowledged = 0
  }

  /// After each crash the database opens, is sound, and holds the state after some commit at
  /// or after the newest acknowledged one.
  private func check(_ wrecks: [Wreck], _ durability: Durability) throws {
    for wreck in wrecks {
      let engine = try SQLiteEngine(options(wreck.fileSystem, durability), busyCheckpoints)
      let found = try content(engine)
      let version = Int(found[[0]]?.first ?? 0)
      #expect(version >= wreck.acknowledged, "\(wreck.call): lost an acknowledged commit")
      let isWhole = found == expected(version)
      #expect(isWhole, "\(wreck.call): half of a commit")
      #expect(try engine.verify().isSound, "\(wreck.call)")
      try engine.put([1], [1])
      try engine.close()
    }
  }

  @Test(arguments: [
    CrashMode.loseEverythingUnsynced, .keepEverything, .keepSome(seed: 1), .keepSome(seed: 2),
  ])
  func commitSurvivesPowerLossAtEveryCall(_ mode: CrashMode) throws {
    let wrecks = try wrecks(.commit, [mode], commits: 12)
    #expect(wrecks.count > 60)
    try check(wrecks, .commit)
  }

  @Test(arguments: [Durability.none, .process])
  func withoutSyncsAKillLosesNothing(_ durability: Durability) throws {
    try check(try wrecks(durability, [.keepEverything], commits: 12), durability)
  }

  @Test func intervalIsAlwaysAPrefix() throws {
    let modes: [CrashMode] = [.loseEverythingUnsynced, .keepSome(seed: 3)]
    let durability = Durability.interval(milliseconds: 1_000_000)
    try check(try wrecks(durability, modes, commits: 12), durability)
  }

  @Test func whatWasSyncedSurvivesWhatCameAfter() throws {
    let fileSystem = MemoryFileSystem()
    let engine = try SQLiteEngine(options(fileSystem, .process), busyCheckpoints)
    for version in 1...5 { try engine.write(batch(version)) }
    try engine.sync()
    for version in 6...15 {
      try engine.write(batch(version))
      for seed in 0..<4 {
        let crashed = fileSystem.afterCrash(.keepSome(seed: UInt64(seed)))
        let again = try SQLiteEngine(options(crashed, .process), busyCheckpoints)
        let found = try content(again)
        let reached = Int(found[[0]]?.first ?? 0)
        #expect(reached >= 5)
        let isWhole = found == expected(reached)
        #expect(isWhole)
        try again.close()
      }
    }
    try engine.close()
  }

  @Test(arguments: [Durability.none, .process, .interval(milliseconds: 1_000_000), .commit])
  func closeMakesEverythingDurable(_ durability: Durability) throws {
    let fileSystem = MemoryFileSystem()
    var engine = try SQLiteEngine(options(fileSystem, durability), busyCheckpoints)
    for version in 1...7 { try engine.write(batch(version)) }
    try engine.close()
    let restarted = fileSystem.crash(.loseEverythingUnsynced)
    engine = try SQLiteEngine(options(restarted, durability), busyCheckpoints)
    #expect(try holds(engine, expected(7)))
    try engine.close()
  }

  @Test func aCheckpointBesideASnapshotIsDurableToo() throws {
    let fileSystem = MemoryFileSystem()
    let durability = Durability.interval(milliseconds: 1_000_000)
    var engine = try SQLiteEngine(options(fileSystem, durability))
    let snapshot = try engine.snapshot()
    try engine.checkpoint()
    try engine.write(batch(1))
    try engine.checkpoint()
    let crashed = fileSystem.crash(.loseEverythingUnsynced)
    snapshot.close()
    engine = try SQLiteEngine(options(crashed, durability))
    #expect(try holds(engine, expected(1)))
    try engine.close()
  }

  @Test func aFullDiskRefusesAndRecovers() throws {
    let fileSystem = MemoryFileSystem()
    let engine = try SQLiteEngine(options(fileSystem), busyCheckpoints)
    for version in 1...3 { try engine.write(batch(version)) }
    fileSystem.capacity = fileSystem.usedBytes + 8192
    var big = WriteBatch()
    for number in 0..<200 { big.put(key(number), [UInt8](repeating: 9, count: 900)) }
    #expect(throwing { try engine.write(big) } == .noSpace)
    #expect(try holds(engine, expected(3)))
    #expect(throwing { try engine.put([5], [UInt8](repeating: 1, count: 64 << 10)) } == .noSpace)
    #expect(try engine.get([5]) == nil)
    fileSystem.capacity = nil
    try engine.write(batch(4))
    #expect(try holds(engine, expected(4)))
    #expect(try engine.verify().isSound)
    try engine.close()
  }

  @Test func aFailedSyncFailsTheCommitAndKeepsTheRest() throws {
    let fileSystem = MemoryFileSystem()
    let engine = try SQLiteEngine(options(fileSystem), busyCheckpoints)
    try engine.write(batch(1))
    fileSystem.onCall { (call) throws(StorageError) in
      if call.kind == .sync && call.path.hasSuffix("-wal") {
        throw StorageError(.io, "the cable is out", path: call.path)
      }
    }
    do {
      try engine.write(batch(2))
      Issue.record("a commit without its sync was acknowledged")
    } catch {
      #expect(error.code == .io)
      #expect(error.message == "the cable is out", "the cause is kept")
      #expect(error.path == "/db/data.sqlite-wal")
    }
    fileSystem.onCall(nil)
    #expect(try holds(engine, expected(1)))
    try engine.write(batch(2))
    #expect(try holds(engine, expected(2)))
    try engine.close()
  }

  @Test func aFailedTimedSyncStopsWritesUntilTheLogIsCopiedBack() throws {
    let fileSystem = MemoryFileSystem()
    var options = options(fileSystem, .interval(milliseconds: 1))
    let clock = StoppedClock()
    options.clock = clock
    let engine = try SQLiteEngine(options)
    try engine.write(batch(1))
    fileSystem.onCall { (call) throws(StorageError) in
      if call.kind == .sync { throw StorageError(.io, "the cable is out", path: call.path) }
    }
    clock.advance(2_000_000)
    try engine.write(batch(2))
    #expect(throwing { try engine.write(batch(3)) } == .writesRefused)
    #expect(throwing { try engine.sync() } == .io)
    fileSystem.onCall(nil)
    #expect(try holds(engine, expected(2)))
    try engine.sync()
    try engine.write(batch(3))
    #expect(try holds(engine, expected(3)))
    try engine.close()
  }

  @Test func aReadOnlyDeviceIsSaidToBeOne() throws {
    let fileSystem = MemoryFileSystem()
    var engine = try SQLiteEngine(options(fileSystem))
    try engine.write(batch(1))
    try engine.close()
    fileSystem.isReadOnly = true
    #expect(throwing { _ = try SQLiteEngine(options(fileSystem)) } == .readOnly)
    var readOnly = options(fileSystem)
    readOnly.isReadOnly = true
    engine = try SQLiteEngine(readOnly)
    #expect(try holds(engine, expected(1)))
    try engine.close()
  }

  @Test func aFailedReadIsAnErrorWithItsPlace() throws {
    let fileSystem = MemoryFileSystem()
    let engine = try SQLiteEngine(options(fileSystem), busyCheckpoints)
    for version in 1...12 { try engine.write(batch(version)) }
    try engine.checkpoint()
    // A handle whose medium is gone.
    _ = fileSystem.crash(.keepEverything)
    let cursor = throwing {
      try engine.cursor().seekToFirst()
    }
    #expect(cursor == .closed || cursor == .io)
  }

  private final class StoppedClock: LabClock, @unchecked Sendable {
    private let lock = WaitableLock()
    private var now: UInt64 = 1_000_000_000
    var nanoseconds: UInt64 { lock.withLock { now } }
    func advance(_ nanoseconds: UInt64) { lock.withLock { now += nanoseconds } }
  }
}
