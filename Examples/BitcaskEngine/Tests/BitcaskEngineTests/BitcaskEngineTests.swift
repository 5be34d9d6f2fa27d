import BitcaskEngine
import StorageLab
import Testing

/// All that an engine must do to belong here: the contract, random programs beside the oracle, and crashes.
@Suite struct BitcaskEngineTests {
  @Test(arguments: Conformance.checks)
  func contractHolds(_ check: ConformanceCheck) throws {
    try check.run(BitcaskEngine.registryEntry)
  }

  @Test(arguments: Durability.classes)
  func randomProgramsAgreeWithTheOracle(_ durability: Durability) throws {
    try Conformance.checkPrograms(BitcaskEngine.registryEntry, durability, count: 100, seed: 1)
  }

  @Test func noCrashLosesWhatWasAcknowledged() throws {
    try Conformance.checkCrashes(BitcaskEngine.registryEntry, points: 2000, seed: 1)
  }

  @Test func aFullDeviceLosesNothing() throws {
    try Conformance.checkPrograms(
      BitcaskEngine.registryEntry, .commit, count: 50, seed: 2, fillsDevice: true)
  }

  @Test func compactionGivesSpaceBack() throws {
    let engine = try BitcaskEngine(
      EngineOptions(path: "/database", fileSystem: MemoryFileSystem()))
    for round in 0..<50 {
      for key in 0..<20 { try engine.put("key \(key)", "round \(round)") }
    }
    let before = try engine.statistics().diskBytes
    let snapshot = try engine.snapshot()
    try engine.put("key 7", "after the snapshot")
    try engine.compact()
    #expect(try engine.statistics().diskBytes * 20 < before)
    #expect(try engine.get("key 7") == "after the snapshot")
    #expect(try snapshot.get(Array("key 7".utf8)) == Array("round 49".utf8))
    try engine.close()
  }
}
