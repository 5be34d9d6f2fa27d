import Foundation
import Testing

@testable import StorageLab

/// A sample of what `make flips` does in full: every kind of damage on small databases, closed and
/// killed. `LAB_DAMAGE_EVERY=1` tries every bit.
@Suite struct DamageSweepTests {
  struct Subject: Sendable, CustomTestStringConvertible {
    var name: String
    var engine: TestEngine
    var durability = Durability.process
    var merges = false
    var testDescription: String { name }

    func make(_ ending: DamageSubject.Ending) throws -> DamageSubject {
      try DamageSubject(
        engine.entry, durability: durability, ending: ending,
        mergeOperator: merges ? AppendOperator() : nil)
    }
  }

  static let subjects: [Subject] = [
    Subject(name: "btree", engine: .btree),
    Subject(name: "btree, commit", engine: .btree, durability: .commit),
    Subject(name: "lsm", engine: .lsm),
    Subject(name: "lsm, commit", engine: .lsm, durability: .commit),
    Subject(name: "lsm, merges", engine: .lsm, merges: true),
    Subject(name: "lsm, prefix filters", engine: lsm { $0.prefixExtractor = .fixed(8) }),
    Subject(name: "lsm, raw blocks", engine: lsm { $0.compression = [.none] }),
    Subject(name: "lsm, interpolated", engine: lsm { $0.indexSearch = .interpolated }),
    Subject(name: "lsm, no filter", engine: lsm { $0.bloomBitsPerKey = 0 }),
    Subject(name: "sqlite", engine: .sqlite, durability: .commit),
  ]

  static func lsm(_ tune: @escaping @Sendable (inout LSMTuning) -> Void) -> TestEngine {
    TestEngine(
      entry: .init(name: LSMEngine.engineName, summary: "", tools: LSMEngine.tools) {
        (options) throws(StorageError) in
        var tuning = LSMTest.tinyTuning
        tune(&tuning)
        return try LSMEngine.open(options, tuning)
      })
  }

  /// Of how many bits one is tried; odd, so that each bit of a byte has its turn.
  static let every =
    ProcessInfo.processInfo.environment["LAB_DAMAGE_EVERY"].flatMap { Int($0) } ?? 1201

  @Test(arguments: subjects, DamageSubject.Ending.allCases)
  func nothingIsMissed(_ subject: Subject, _ ending: DamageSubject.Ending) throws {
    let made = try subject.make(ending)
    for (name, plan) in made.plans(every: Self.every) {
      let tally = DamageSweep(made).run(plan)
      print(
        "\(subject.name), \(ending), \(name): \(tally.tried) tried, \(tally.detected) detected,",
        "\(tally.foundByVerifyOnly) by verify only, \(tally.harmless) harmless,",
        "\(tally.tornTails) torn tails, \(tally.namedElsewhere) named elsewhere,",
        "\(tally.missed) missed")
      // A database of one file, all of it of an older time, is that database; and SQLite's log ends
      // at the first frame that fails, which only its `verify` says.
      let isControl = subject.engine.name == SQLiteEngine.engineName
      if isControl && name != "flip" { continue }
      for miss in tally.misses { Issue.record("\(miss)") }
      guard name == "flip", !isControl else { continue }
      #expect(tally.foundByVerifyOnly == 0)
      // The last bytes of a log's last record: nothing tells a flip there from a lost sector.
      #expect(tally.tornTails * 100 <= tally.tried)
    }
  }
}
