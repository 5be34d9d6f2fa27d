import Foundation
import Testing

@testable import StorageLab

@Suite struct MetamorphicTests {
  static let environment = ProcessInfo.processInfo.environment
  static let seed = environment["LAB_SEED"].flatMap { UInt64($0) } ?? 20_261_122
  static let programs = environment["LAB_PROGRAMS"].flatMap { Int($0) } ?? 120

  @Test(arguments: ["btree", "lsm", "sqlite"])
  func configurationsAgree(_ name: String) throws {
    let run = MetamorphicRun([try EngineRegistry.standard.entry(name)], seed: MetamorphicTests.seed)
    let report = run.run { $0.programs < MetamorphicTests.programs }
    if let failure = report.failure {
      Issue.record(
        """
        \(failure.failure)
        \(failure.configuration), LAB_SEED=\(run.seed), program \(failure.program):

        \(failure.script)
        """)
    }
    #expect(report.failure != nil || report.programs == MetamorphicTests.programs)
  }

  @Test func configurationsDiffer() throws {
    for name in ["btree", "lsm", "sqlite"] {
      let entry = try EngineRegistry.standard.entry(name)
      let drawn = (0..<50 as Range<UInt64>).map {
        RandomConfiguration.draw(entry, seed: $0).description
      }
      #expect(Set(drawn).count > 40)
      #expect(
        RandomConfiguration.draw(entry, seed: 7).description
          == RandomConfiguration.draw(entry, seed: 7).description)
    }
  }

  /// An engine whose deletes of keys that end in 3 do nothing.
  @Test func aWrongEngineIsFoundAndItsProgramShrunk() throws {
    let entry = EngineRegistry.Entry(name: "wrong", summary: "forgets some deletes") {
      (options) throws(StorageError) in Deaf(try TestEngine.btree.entry.open(options))
    }
    let report = MetamorphicRun([entry], seed: 1).run { $0.programs < 200 }
    let failure = try #require(report.failure)
    #expect(failure.script.split(separator: "\n").count <= 5, "\(failure.script)")
    // What is printed makes the same again.
    let again = MetamorphicRun([entry], seed: 1).run(from: failure.program) { _ in false }
    #expect(again.failure?.script == failure.script)
  }

  private final class Deaf: StorageEngine {
    static let engineName = "wrong"
    private let base: any StorageEngine

    init(_ base: any StorageEngine) { self.base = base }

    var options: EngineOptions { base.options }
    func snapshot() throws(StorageError) -> any Snapshot { try base.snapshot() }
    func write(_ batch: WriteBatch) throws(StorageError) {
      try base.write(batch)
    }
    func delete(_ key: RawSpan) throws(StorageError) {
      let isDeaf = key.withSlice { !$0.isEmpty && $0[$0.count - 1] == UInt8(ascii: "3") }
      if !isDeaf { try base.delete(key) }
    }
    func sync() throws(StorageError) { try base.sync() }
    func compact() throws(StorageError) { try base.compact() }
    func checkpoint() throws(StorageError) { try base.checkpoint() }
    func statistics() throws(StorageError) -> EngineStatistics { try base.statistics() }
    func verify() throws(StorageError) -> VerificationReport { try base.verify() }
    func close() throws(StorageError) { try base.close() }
  }
}
