import Testing

@testable import StorageLab

/// A test of the test: every mutant is found, within a number of points that CI affords; the engines
/// themselves pass the same.
@Suite struct CrashMutantTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let mutant: CrashMutant
    let engine: TestEngine
    var testDescription: String { "\(engine.name): \(mutant.name)" }
  }

  static let cases = CrashMutant.all.flatMap { mutant in
    mutant.engines.map { Case(mutant: mutant, engine: $0) }
  }
  static let mostPoints = 5000

  @Test func enoughAreKept() {
    #expect(CrashMutant.all.count >= 10)
    #expect(Set(CrashMutant.all.map(\.name)).count == CrashMutant.all.count)
    for name in ["btree", "lsm"] {
      #expect(Self.cases.filter { $0.engine.name == name }.count >= 10)
    }
  }

  @Test(arguments: cases) func isFound(_ example: Case) throws {
    let explorer = example.mutant.explorer(example.engine, seed: CrashExplorerTests.seed)
    let summary = explorer.explore(points: Self.mostPoints)
    let failure = summary.loss?.failure.description ?? "NOT FOUND"
    print("\(example.testDescription): \(summary.points) points, \(failure.prefix(160))")
    #expect(summary.loss != nil)
  }
}
