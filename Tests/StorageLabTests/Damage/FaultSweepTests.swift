import Foundation
import Testing

@testable import StorageLab

/// A sample of what `make faults` does in full: I/O calls that fail, each in its turn.
/// `LAB_FAULTS_EVERY=1` tries every call.
@Suite struct FaultSweepTests {
  static let every =
    ProcessInfo.processInfo.environment["LAB_FAULTS_EVERY"].flatMap { Int($0) } ?? 13

  @Test(arguments: TestEngine.persistent, [Durability.commit, .process])
  func nothingAcknowledgedIsLost(_ engine: TestEngine, _ durability: Durability) {
    var sweep = FaultSweep(engine.entry)
    sweep.durability = durability
    sweep.stride = Self.every
    let tally = sweep.run()
    print(
      "\(engine.name), \(durability): \(tally.faults) faults, \(tally.refusals) refusals,",
      "\(tally.misses.count) missed")
    #expect(tally.faults > 20)
    #expect(tally.refusals > 0)
    for miss in tally.misses.prefix(20) { Issue.record("\(miss)") }
  }

  /// After a failed sync of the log nothing more is acknowledged, until a restart says what the
  /// medium holds.
  @Test(arguments: [TestEngine.btree, .lsm])
  func aFailedLogSyncEndsWriting(_ engine: TestEngine) throws {
    let medium = MemoryFileSystem()
    let faulting = FaultingFileSystem(medium)
    var options = EngineOptions(path: "/database", fileSystem: faulting)
    options.durability = .commit
    options.maintenance = .inline
    let subject = try engine.entry.open(options)
    faulting.setRules([FaultRule(.sync, of: .fileClass(.log), nth: 3, .failForgetting(.io))])
    var acknowledged: [Int] = []
    var refusals: [StorageError] = []
    for number in 0..<10 {
      do throws(StorageError) {
        try subject.put(ConformanceContext.key(number), ConformanceContext.value(number, bytes: 50))
        acknowledged.append(number)
      } catch {
        refusals.append(error)
      }
    }
    #expect(refusals.count > 5)
    #expect(refusals.dropFirst().allSatisfy { $0.code == .writesRefused })
    #expect(refusals.dropFirst().allSatisfy { $0.message.contains("injected fault") })
    for number in acknowledged { #expect(try subject.get(ConformanceContext.key(number)) != nil) }
    let restarted = medium.afterCrash(.loseEverythingUnsynced)
    try? subject.close()
    options.fileSystem = restarted
    let again = try engine.entry.open(options)
    for number in acknowledged { #expect(try again.get(ConformanceContext.key(number)) != nil) }
    try again.put([1], [2])
    try again.close()
  }

  @Test func aForgottenSectorStaysLostUntilItIsWrittenAgain() throws {
    let medium = MemoryFileSystem()
    let faulting = FaultingFileSystem(medium, [FaultRule(.sync, .failForgetting(.io))])
    let file = try faulting.open("/file", .create)
    try faulting.syncDirectory("/")
    faulting.isEnabled = false
    try file.write([UInt8](repeating: 1, count: 1536), at: 0)
    try file.sync()
    faulting.isEnabled = true
    try file.write([UInt8](repeating: 2, count: 1024), at: 0)
    #expect(throws: StorageError.self) { try file.sync() }
    try file.write([UInt8](repeating: 3, count: 512), at: 512)
    // Succeeds, and makes durable what was written since, not what it lost.
    try file.sync()
    let read = try file.readAll(limit: 4096)
    #expect(read[0] == 2 && read[512] == 3 && read[1024] == 1)
    let survived = try medium.crash(.loseEverythingUnsynced).open("/file", .read)
      .readAll(limit: 4096)
    #expect(survived[0] == 1 && survived[512] == 3 && survived[1024] == 1)
  }

  @Test func writesGoAstrayOrNowhereAndFilesVanish() throws {
    let medium = MemoryFileSystem()
    let faulting = FaultingFileSystem(medium)
    let file = try faulting.open("/file", .create)
    try file.write([1, 1, 1, 1], at: 0)
    faulting.setRules([
      FaultRule(.write, .misplace(by: 2)), FaultRule(.write, .omit),
      FaultRule(.open, nth: 2, .vanish),
    ])
    try file.write([2], at: 0)
    try file.write([3], at: 0)
    #expect(try file.readAll(limit: 10) == [1, 1, 2, 1])
    _ = try faulting.open("/file", .read)
    #expect(throws: StorageError.self) { try faulting.open("/file", .read) }
  }
}
