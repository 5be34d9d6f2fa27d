import Foundation
import Testing

@testable import StorageLab

/// Crashes at every step of migrations under load. `LAB_MIGRATION_POINTS` sets how many points are tried
/// in all, `LAB_SEED` the root seed; `make crash` tries more.
@Suite struct MigrationCrashTests {
  static let environment = ProcessInfo.processInfo.environment
  static let seed = environment["LAB_SEED"].flatMap { UInt64($0) } ?? 20_261_122
  static let points = environment["LAB_MIGRATION_POINTS"].flatMap { Int($0) } ?? 2000

  static func explorer(_ engine: TestEngine, seed: UInt64 = seed) throws -> MigrationExplorer {
    MigrationExplorer(try ClusterRunner(engine.entry), seed: seed)
  }

  /// A process was killed between the removal of a shard's directory and the sync behind it; the next
  /// one found nothing to remove, and said in the cluster's file that it was done.
  @Test func aShardThatIsGoneStaysGone() throws {
    let medium = MemoryFileSystem()
    try medium.createDirectory("/cluster/shards/s2")
    for directory in ["/cluster/shards", "/cluster", "/"] { try medium.syncDirectory(directory) }
    try medium.removeDirectory("/cluster/shards/s2")
    try Cluster.removeTree("/cluster/shards/s2", medium)
    let later = medium.crash(.loseEverythingUnsynced)
    #expect(try later.exists("/cluster/shards"))
    #expect(try !later.exists("/cluster/shards/s2"))
  }

  @Test(arguments: ClusterTest.engines)
  func nothingIsLostDoubledOrLeftBehind(_ engine: TestEngine) throws {
    let wanted = Self.points / ClusterTest.engines.count
    let summary = try Self.explorer(engine).explore(points: wanted)
    print(
      "\(engine.name): \(summary.points) crash points of migrations \(summary.pointsByDepth), "
        + "\(summary.programs) programs, \(summary.pointsByPhase), \(summary.pointsByMove), "
        + "\(summary.pointsByDurability), turned back: \(summary.aborts)")
    if let loss = summary.loss { Self.record(loss, try Self.explorer(engine)) }
    #expect(summary.points >= wanted)
    #expect(summary.pointsByDepth.count == 3, "recoveries were crashed too")
    for phase in MigrationPhase.allCases {
      #expect(summary.pointsByPhase[phase.name] != nil, "no crash in \(phase.name)")
      if phase.mayRollBack {
        #expect(summary.aborts[phase.name] != nil, "no way back from \(phase.name)")
      }
    }
    #expect(summary.pointsByDurability.count == Durability.classes.count)
  }

  static func record(_ loss: CrashLoss, _ explorer: MigrationExplorer) {
    guard let (schedule, failure) = loss.shrunk(explorer.runner) else {
      Issue.record("\(loss.failure)\nwhich does not happen again:\n\n\(loss.schedule)")
      return
    }
    Issue.record("\(loss.failure)\nsmallest schedule:\n\n\(schedule)# \(failure)")
  }

  /// What no flaw loses, and each flaw by a schedule that text says all of.
  @Test func aLosingScheduleIsRunAgainFromItsText() throws {
    var explorer = try Self.explorer(.btree)
    explorer.runner.flaws = [.unverifiedFlip]
    explorer.runner.backfill = .naive
    let loss = try #require(explorer.explore(points: 4000).loss)
    let (schedule, failure) = try #require(loss.shrunk(explorer.runner, attempts: 300))
    #expect(schedule.steps.count < loss.schedule.steps.count / 2, "\(schedule)")
    let again = try OperationProgram(parsing: schedule.description)
    #expect(again == schedule.withLines(of: again))
    let found = #expect(throws: ProgramFailure.self) { try explorer.runner.run(again) }
    #expect(found?.expected == failure.expected && found?.found == failure.found)
    // A migration without the flaw keeps it.
    try ClusterRunner(TestEngine.btree.entry).run(again)
  }

  @Test func aMoveThatThereIsNotIsNamed() throws {
    let program = try OperationProgram(parsing: "move nowhere\nput a 1\n")
    let failure = #expect(throws: ProgramFailure.self) {
      try ClusterRunner(TestEngine.btree.entry).run(program)
    }
    #expect(failure?.found == "nowhere" && failure?.expected.contains("a tenant moves") == true)
  }

  @Test func theSameSeedTriesTheSame() throws {
    let first = try Self.explorer(.btree, seed: 5).explore(points: 60)
    let second = try Self.explorer(.btree, seed: 5).explore(points: 60)
    #expect(first == second)
    #expect(try first != Self.explorer(.btree, seed: 6).explore(points: 60))
  }

  // MARK: A test of the test

  struct Mutant: Sendable, CustomTestStringConvertible {
    let name: String
    let flaws: Set<MigrationFlaw>
    var backfill = MigrationOptions.Backfill.watermarked
    var durabilities: [Durability] = Durability.classes
    var rules: [FaultRule] = []
    var testDescription: String { name }

    static let all: [Mutant] = [
      Mutant(
        name: "destinations are not synced before the flip", flaws: [.unsyncedFlip],
        durabilities: [.process, .none]),
      Mutant(name: "reads flip before both sides are compared", flaws: [.unverifiedFlip]),
      Mutant(name: "sources are cleaned before the flip is on the disk", flaws: [.earlyClean]),
      Mutant(
        name: "the end is written before the deletions are durable", flaws: [.unsyncedEnd],
        durabilities: [.process, .none]),
      Mutant(
        name: "naive backfill without a comparison", flaws: [.unverifiedFlip], backfill: .naive),
      Mutant(
        name: "the state's name is never synced", flaws: [],
        rules: [
          FaultRule(.syncDirectory, of: .suffix("/cluster"), nth: 4, count: nil, .omit)
        ]),
      Mutant(
        name: "the state's bytes are never synced", flaws: [],
        rules: [FaultRule(.sync, of: .suffix("CLUSTER.tmp"), nth: 2, count: nil, .omit)]),
    ]
  }

  @Test(arguments: Mutant.all) func aMutantIsFound(_ mutant: Mutant) throws {
    var explorer = try Self.explorer(.btree)
    explorer.runner.flaws = mutant.flaws
    explorer.runner.backfill = mutant.backfill
    explorer.durabilities = mutant.durabilities
    if !mutant.rules.isEmpty {
      explorer.runner.interposing = { [rules = mutant.rules] in FaultingFileSystem($0, rules) }
    }
    let summary = explorer.explore(points: 4000)
    print(
      "\(mutant.name): \(summary.points) points, \(summary.loss?.failure.description ?? "NOT FOUND")"
    )
    #expect(summary.loss != nil)
  }
}

extension OperationProgram {
  /// The same with its steps where another's are.
  fileprivate func withLines(of other: OperationProgram) -> OperationProgram {
    var copy = self
    for (index, step) in other.steps.enumerated() where copy.steps.indices.contains(index) {
      copy.steps[index].line = step.line
    }
    return copy
  }
}
