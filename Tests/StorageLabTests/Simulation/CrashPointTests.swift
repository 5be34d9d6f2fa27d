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

  @Test(arguments: TestEngine.persistent, [Durability.commit, .process])
  func everyCrashPointIsSurvived(_ engine: TestEngine, _ durability: Durability) throws {
    let runner = engine.runner(durability)
    // Past the last call the armed crash never strikes, and the rest would repeat.
    for calls in 1...150 {
      for mode in [
        CrashMode.loseEverythingUnsynced, .keepEverything, .keepSome(seed: UInt64(calls)),
      ] {
        var program = CrashPointTests.program
        program.steps.insert(.init(.crashAfter(calls: calls, mode)), at: 0)
        do throws(ProgramFailure) { try runner.run(program) } catch {
          Issue.record("crash at call \(calls), \(mode): \(error)\n\n\(program)")
          return
        }
      }
    }
  }
}
