import Testing

@testable import StorageLab

@Suite struct ConformanceTests {
  @Test(arguments: TestEngine.all + TestEngine.policies, Conformance.checks)
  func contractHolds(_ engine: TestEngine, _ check: ConformanceCheck) throws {
    do throws(ConformanceFailure) { try check.run(engine.entry) } catch {
      Issue.record("\(error)")
    }
  }

  /// A check that cannot fail proves nothing: a broken engine must be caught.
  @Test func brokenEnginesAreCaught() {
    let forgetful = EngineRegistry.Entry(
      name: "forgetful", summary: "loses everything", isPersistent: true
    ) { (options) throws(StorageError) in try MemoryEngine.open(options) }
    let failing = Conformance.checks.filter { check in
      do throws(ConformanceFailure) { try check.run(forgetful) } catch { return true }
      return false
    }
    #expect(failing.count >= 8)
  }
}
