import Testing

@testable import StorageLab

/// One program, crashed at every single I/O call it makes.
@Suite struct CrashPointTests {
  /// Writes enough to roll the log over, flush, split, checkpoint and compact.
  private static let program: OperationProgram = {
    var steps: [ProgramOperation] = []
    for number in 0..<12 {
      let key = ByteExpression("key\(number % 7)")
      steps.append(
        .change(.put(key, ByteExpression([.random(count: 900, seed: UInt64(number))]))))
      if number % 4 == 1 { steps.append(.change(.delete(ByteExpression("key\(number % 5)")))) }
      if number == 5 { steps.append(.checkpoint) }
      if number == 7 { steps.append(.reopen) }
      if number == 9 {
        steps.append(
          .batch([
            .deleteRange(ByteExpression("key1"), ByteExpression("key3")),
            .put(ByteExpression("key2"), ByteExpression("after")),
          ]))
      }
    }
    steps += [.compact, .change(.put(ByteExpression("last"), ByteExpression("")))]
    return OperationProgram(steps.map { OperationProgram.Step($0) })
  }()

  /// The same with every second put a merge, so that values are folded of several writes.
  private static let merging: OperationProgram = {
    var program = CrashPointTests.program
    for index in program.steps.indices where index % 2 == 1 {
      guard case .change(.put(let key, let value)) = program.steps[index].operation else {
        continue
      }
      program.steps[index].operation = .change(.merge(key, value))
    }
    return program
  }()

  @Test(arguments: TestEngine.persistent, [Durability.commit, .process])
  func everyCrashPointIsSurvived(_ engine: TestEngine, _ durability: Durability) throws {
    try crashEverywhere(engine.runner(durability), CrashPointTests.program)
  }

  @Test(arguments: [TestEngine.lsm] + TestEngine.policies, [Durability.commit, .process])
  func everyCrashPointAmongMergesIsSurvived(
    _ engine: TestEngine, _ durability: Durability
  ) throws {
    var runner = engine.runner(durability)
    runner.mergeOperator = HistoryOperator()
    try crashEverywhere(runner, CrashPointTests.merging)
  }

  private func crashEverywhere(_ runner: ProgramRunner, _ whole: OperationProgram) throws {
    var points = 0
    // Point by point until the armed crash does not strike any more: then the program made
    // fewer calls than that, and every one of them was a crash point.
    for calls in 1...CrashPointTests.mostCalls {
      var struck = 0
      for mode in [
        CrashMode.loseEverythingUnsynced, .keepEverything, .keepSome(seed: UInt64(calls)),
      ] {
        var program = whole
        program.steps.insert(.init(.crashAfter(calls: calls, mode)), at: 0)
        do throws(ProgramFailure) { struck += try runner.run(program) } catch {
          Issue.record("crash at call \(calls), \(mode): \(error)\n\n\(program)")
          return
        }
      }
      // The three runs are the same up to the crash.
      #expect(struck == 0 || struck == 3, "call \(calls) was a crash point in \(struck) runs of 3")
      if struck == 0 { break }
      points = calls
    }
    print(
      "\(runner.engine.name), \(runner.durability): crashed at each of \(points) I/O calls, in 3 ways"
    )
    #expect(points >= CrashPointTests.fewestCalls, "the program ends after \(points) calls")
    #expect(points < CrashPointTests.mostCalls, "there are crash points that were not tried")
  }

  /// What the program makes at least, on any engine and class, and what none of them reaches.
  private static let fewestCalls = 30
  private static let mostCalls = 2000
}
