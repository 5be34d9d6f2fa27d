import Foundation
import Testing

@testable import StorageLab

/// Random programs in lock-step with the oracle.
///
/// `LAB_SEED` sets the root seed, `LAB_PROGRAMS` how many programs run on each
/// engine: by default 340 on each persistent one and each compaction policy. A
/// failure prints its seed and a shrunken script for `Scripts/`. `LAB_DURABILITY` narrows the
/// run to one class.
@Suite struct ModelTests {
  static let environment = ProcessInfo.processInfo.environment
  static let rootSeed = environment["LAB_SEED"].flatMap { UInt64($0) } ?? 20_260_401
  static let programs = environment["LAB_PROGRAMS"].flatMap { Int($0) } ?? 340

  @Test(arguments: TestEngine.persistent + TestEngine.policies)
  func randomProgramsAgreeWithTheOracle(_ engine: TestEngine) throws {
    print("model tests on \(engine.name): LAB_SEED=\(ModelTests.rootSeed)")
    try run(engine, count: ModelTests.programs)
  }

  /// Of the engines that have merges, with operands that can be folded with each other and not.
  @Test(arguments: [TestEngine.lsm] + TestEngine.policies, [true, false])
  func mergesAgreeWithTheOracle(_ engine: TestEngine, _ hasPartials: Bool) throws {
    let mergeOperator: any MergeOperator =
      hasPartials ? AppendOperator() : HistoryOperator()
    try run(engine, count: ModelTests.programs / 2, mergeOperator: mergeOperator)
  }

  @Test func oracleAgreesWithASortedArray() throws {
    try run(.naive, count: min(30, ModelTests.programs))
  }

  private static let classes =
    environment["LAB_DURABILITY"].flatMap { Durability($0) }.map { [$0] } ?? Durability.allForTests

  @Test(arguments: TestEngine.persistent)
  func fullDevicesLoseNothing(_ engine: TestEngine) throws {
    try run(engine, count: ModelTests.programs / 6, fillsDevice: true)
  }

  private func run(
    _ engine: TestEngine, count: Int, fillsDevice: Bool = false,
    mergeOperator: (any MergeOperator)? = nil
  ) throws {
    let classes = ModelTests.classes
    for index in 0..<UInt64(count) {
      let seed = Hash64.hash(ModelTests.rootSeed &+ index) % 1_000_000_007
      var runner = engine.runner(classes[Int(index) % classes.count])
      runner.mergeOperator = mergeOperator
      // Mostly short programs: they find most, and shrink fast.
      let program = ProgramGenerator.program(
        seed: seed, length: index % 10 == 9 ? 400 : 60, fillsDevice: fillsDevice,
        merges: mergeOperator != nil)
      do throws(ProgramFailure) {
        try runner.run(program)
      } catch {
        report(error, runner, program, seed)
        return
      }
    }
  }

  private func report(
    _ failure: ProgramFailure, _ runner: ProgramRunner, _ program: OperationProgram,
    _ seed: UInt64
  ) {
    var smallestFailure = failure
    var smallest = ProgramShrinker.shrink(program) { candidate in
      do throws(ProgramFailure) { try runner.run(candidate) } catch {
        smallestFailure = error
        return true
      }
      return false
    }
    smallest.durability = runner.durability
    Issue.record(
      """
      \(failure)
      program of seed \(seed), root LAB_SEED=\(ModelTests.rootSeed); smallest script:

      \(smallest)
      # \(smallestFailure)
      """)
  }
}
