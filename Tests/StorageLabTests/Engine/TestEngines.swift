import Testing

@testable import StorageLab

/// An engine as the shared tests open it: tuned so small that splits, flushes, checkpoints
/// and compactions happen within a few dozen operations.
struct TestEngine: Sendable, CustomTestStringConvertible {
  let entry: EngineRegistry.Entry

  /// Tells engines of the same name apart.
  var variant = ""

  var name: String { entry.name + variant }
  var testDescription: String { name }

  /// Every engine that the shared tests run on. An engine's owner adds a line here.
  static let all: [TestEngine] = [memory, btree, lsm, sqlite]
  static let persistent = all.filter { $0.entry.isPersistent }

  static let memory = TestEngine(entry: MemoryEngine.registryEntry)

  /// The memory engine is the oracle; this says that the oracle is right.
  static let naive = TestEngine(
    entry: .init(name: "naive", summary: "a sorted array", isPersistent: false) {
      (options) throws(StorageError) in NaiveEngine(options)
    })

  static let lsm = smallLSM(.leveled)
  /// The LSM tree with the other compaction policies; the leveled one is `lsm`.
  static let policies = [CompactionPolicy.tiered, .lazyLeveled].map { policy in
    var engine = smallLSM(policy)
    engine.variant = ":" + policy.rawValue
    return engine
  }

  private static func smallLSM(_ policy: CompactionPolicy) -> TestEngine {
    TestEngine(
      entry: .init(
        name: LSMEngine.engineName, summary: "the LSM tree, tuned small", tools: LSMEngine.tools
      ) {
        (options) throws(StorageError) in
        var tuning = LSMTuning.small
        tuning.compaction = policy
        return try LSMEngine.open(options, tuning)
      })
  }

  static let sqlite = TestEngine(
    entry: .init(
      name: SQLiteEngine.engineName, summary: "the control, tuned small", needsSyncs: true,
      tools: SQLiteEngine.tools
    ) { (options) throws(StorageError) in try SQLiteEngine(options, .small) })

  static let btree = TestEngine(
    entry: .init(
      name: BTreeEngine.engineName, summary: "the B-tree, tuned small", tools: BTreeEngine.tools
    ) { (options) throws(StorageError) in try BTreeEngine.open(options, .small)
    })

  func runner(_ durability: Durability) -> ProgramRunner {
    var runner = ProgramRunner(entry)
    runner.durability = durability
    return runner
  }
}

extension Durability {
  static let allForTests: [Durability] = [
    .none, .process, .interval(milliseconds: 1000), .commit,
  ]
}
