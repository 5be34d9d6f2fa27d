import Testing

@testable import StorageLab

/// Crashes while several threads write and the engine's own are at work.
@Suite(.serialized) struct ConcurrentCrashTests {
  private func crashes(_ engine: TestEngine) -> ConcurrentCrashes {
    ConcurrentCrashes(engine.entry, seed: CrashExplorerTests.seed)
  }

  @Test(arguments: TestEngine.persistent) func nothingIsLost(_ engine: TestEngine) throws {
    let summary = try crashes(engine).run(points: 240)
    #expect(summary.problems == [])
    #expect(summary.points >= 240 && summary.acknowledged > 0)
    #expect(summary.pointsByDurability.count == Durability.classes.count)
    // What the engine does on threads of its own was met; SQLite has none.
    if engine.name != SQLiteEngine.engineName { #expect(summary.inBackground > 0) }
  }

  static let rules: [(name: String, rule: FaultRule)] = [
    ("the log is never synced", FaultRule(.sync, of: .fileClass(.log), count: nil, .omit)),
    (
      "every second sync of the log is skipped",
      {
        var rule = FaultRule(.sync, of: .fileClass(.log), count: nil, .omit)
        rule.every = 2
        return rule
      }()
    ),
  ]

  @Test(arguments: [TestEngine.btree, .lsm], rules.indices)
  func aForgottenSyncIsFound(_ engine: TestEngine, _ rule: Int) throws {
    var crashes = crashes(engine)
    crashes.durabilities = [.commit]
    let (name, rule) = Self.rules[rule]
    crashes.interposing = { FaultingFileSystem($0, [rule]) }
    let summary = try crashes.run(points: 2000)
    print(
      "\(engine.name), \(name): \(summary.points) points, \(summary.problems.first ?? "NOT FOUND")")
    #expect(!summary.problems.isEmpty)
  }
}
