import Testing

@testable import StorageLab

@Suite struct OperationProgramTests {
  @Test func everyGeneratedProgramParsesBack() throws {
    for seed in 0..<50 as Range<UInt64> {
      let program = ProgramGenerator.program(seed: seed, length: 100)
      let again = try OperationProgram(parsing: program.description)
      #expect(again.steps.map(\.operation) == program.steps.map(\.operation))
    }
  }

  @Test func bytesAreTextEscapesAndGenerators() throws {
    let program = try OperationProgram(
      parsing: #"put "a \x00\"\\"+b repeat(ab,5)+random(1KiB,7)  # remark"#)
    guard case .change(.put(let key, let value)) = try #require(program.steps.first).operation
    else { return #expect(Bool(false), "not a put") }
    #expect(key.bytes == Array("a ".utf8) + [0] + Array("\"\\b".utf8))
    #expect(Array(value.bytes.prefix(5)) == Array("ababa".utf8))
    #expect(value.count == 1029 && value.bytes.count == 1029)
  }

  @Test(arguments: [
    ("get", "line 1: a key or value is missing"),
    ("put a", "line 1: a key or value is missing"),
    ("\nfrobnicate", "line 2: there is no operation frobnicate"),
    ("get a b", "line 1: b is too much here"),
    ("batch\nget a", "line 2: a batch holds put, delete, merge and delete-range, not get"),
    ("put a b\nbatch", "line 2: the batch has no end"),
    ("get \"a", "line 1: a quote is not closed"),
    ("get \"\\q\"", "line 1: an escape is \\\\, \\\" or \\xNN"),
    ("scan limit x", "line 1: x is not a limit"),
    ("walk: jump", "line 1: there is no move jump"),
    ("crash hard", "line 1: a crash is lose, kill, some SEED or by WEAKNESS SEED, not hard"),
    (
      "crash by sectors+teeth 1",
      "line 1: a medium's weaknesses are sectors, pages, versions, sizes, names, not teeth"
    ),
    ("put a random(5EB,1)", "line 1: 5EB is not a size"),
    ("get a => error sad", "line 1: there is no error code sad"),
    ("sync\ndurability commit", "line 2: durability comes before operations"),
  ])
  func mistakesNameTheirLine(_ text: String, _ message: String) {
    let error = #expect(throws: StorageError.self) { try OperationProgram(parsing: text) }
    #expect(error?.message == message)
    #expect(error?.code == .invalidArgument)
  }

  @Test func statedExpectationsAreHeldAgainstTheOracle() throws {
    let program = try OperationProgram(parsing: "put a 1\nget a => 2")
    let failure = #expect(throws: ProgramFailure.self) {
      try TestEngine.memory.runner(.commit).run(program)
    }
    #expect(failure?.line == 2)
  }

  @Test func shrinkingKeepsOnlyWhatMatters() {
    let program = ProgramGenerator.program(seed: 3, length: 200)
    let smallest = ProgramShrinker.shrink(program) { candidate in
      // "Fails" when a checkpoint follows a put of a value over 10 bytes.
      var hasBigPut = false
      for step in candidate.steps {
        if case .change(.put(_, let value)) = step.operation, value.count > 10 { hasBigPut = true }
        if hasBigPut, step.operation == .checkpoint { return true }
      }
      return false
    }
    #expect(smallest.steps.count == 2)
    #expect(smallest.steps.last?.operation == .checkpoint)
  }
}
