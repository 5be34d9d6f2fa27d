import Foundation
import Testing

@testable import StorageLab

/// Crashes at every I/O call of random programs, and of their recoveries.
///
/// `LAB_CRASH_POINTS` sets how many distinct points are tried in all, 5,000 by default, and
/// `LAB_SEED` the root seed. `make crash` tries 100,000.
@Suite struct CrashExplorerTests {
  static let environment = ProcessInfo.processInfo.environment
  static let seed = environment["LAB_SEED"].flatMap { UInt64($0) } ?? 20_260_401
  static let points = environment["LAB_CRASH_POINTS"].flatMap { Int($0) } ?? 5000

  /// What is crashed: engines, compaction policies, merges.
  struct Subject: Sendable, CustomTestStringConvertible {
    let engine: TestEngine
    var hasMerges = false
    var testDescription: String { engine.name + (hasMerges ? ", with merges" : "") }

    static let all =
      (TestEngine.persistent + TestEngine.policies).map { Subject(engine: $0) }
      + [Subject(engine: .lsm, hasMerges: true)]

    func explorer(seed: UInt64) -> CrashExplorer {
      var runner = ProgramRunner(engine.entry)
      if hasMerges { runner.mergeOperator = AppendOperator() }
      return CrashExplorer(runner, seed: seed)
    }
  }

  @Test(arguments: Subject.all)
  func nothingAcknowledgedIsLost(_ subject: Subject) throws {
    let explorer = subject.explorer(seed: Self.seed)
    let summary = explorer.explore(points: Self.points / Subject.all.count + 1)
    print(
      "\(subject.testDescription): \(summary.points) crash points (\(summary.pointsByDepth)) in "
        + "\(summary.programs) programs, LAB_SEED=\(Self.seed)")
    if let loss = summary.loss { Self.record(loss, explorer) }
    #expect(summary.points > Self.points / Subject.all.count)
    #expect(summary.pointsByDepth.count == 3, "recoveries were crashed too")
  }

  static func record(_ loss: CrashLoss, _ explorer: CrashExplorer) {
    guard let (schedule, failure) = loss.shrunk(explorer.runner) else {
      Issue.record("\(loss.failure)\nwhich does not happen again:\n\n\(loss.schedule)")
      return
    }
    Issue.record("\(loss.failure)\nsmallest schedule:\n\n\(schedule)# \(failure)")
  }

  @Test(arguments: TestEngine.persistent)
  func theSameSeedTriesTheSame(_ engine: TestEngine) {
    let first = Subject(engine: engine).explorer(seed: 5).explore(points: 150)
    let second = Subject(engine: engine).explorer(seed: 5).explore(points: 150)
    let third = Subject(engine: engine).explorer(seed: 6).explore(points: 150)
    #expect(first == second)
    #expect(first != third)
  }

  /// An engine that cannot lose a schedule that it keeps: the text form says all.
  @Test func aLosingScheduleIsRunAgainFromItsText() throws {
    let mutant = CrashMutant.all.first { $0.name == "the log is never synced" }
    let explorer = try #require(mutant).explorer(.btree, seed: 1)
    let loss = try #require(explorer.explore(points: 2000).loss)
    let (schedule, failure) = try #require(loss.shrunk(explorer.runner))
    #expect(schedule.steps.count <= 5, "\(schedule)")
    let again = try OperationProgram(parsing: schedule.description)
    let found = #expect(throws: ProgramFailure.self) { try explorer.runner.run(again) }
    #expect(found?.expected == failure.expected && found?.found == failure.found)
    // The engine that does sync keeps it.
    try TestEngine.btree.runner(.commit).run(again)
  }

  @Test func aGivenProgramIsRunAgainWithOtherCrashes() throws {
    var explorer = Subject(engine: .btree).explorer(seed: 1)
    explorer.program = try OperationProgram(parsing: "durability commit\nput a 1\ncheckpoint\n")
    explorer.maximumDepth = 1
    let summary = explorer.explore(points: 300)
    #expect(summary.loss == nil)
    #expect(summary.points > 50 && summary.programs > 1, "\(summary)")
    #expect(summary.pointsByDepth.count == 1)
  }

  /// What the killed process made, the next one finds and must not take for durable.
  @Test(arguments: TestEngine.persistent)
  func killsWhileTheDatabaseIsMadeLoseNothingLater(_ engine: TestEngine) throws {
    for calls in 1...40 {
      for next in 1...8 {
        let program = try OperationProgram(
          parsing: """
            crash-after \(calls) kill
            crash-after \(next) by names \(next)
            put a 1
            crash lose
            """)
        try engine.runner(.commit).run(program)
      }
    }
  }

  @Test func crashesInARowAreOneScheduleOfAProgram() throws {
    let program = try OperationProgram(
      parsing: "durability commit\ncrash-after 9 lose\ncrash-after 2 by sectors+names 7\nput a 1\n")
    for engine in TestEngine.persistent {
      #expect(try engine.runner(.commit).run(program) == 2, "\(engine.name)")
    }
  }
}
