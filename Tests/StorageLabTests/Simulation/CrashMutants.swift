@testable import StorageLab

/// An engine broken on purpose, from outside: its file system leaves out, delays or swaps calls, or
/// something between it and its caller does. What the crash explorer must find.
struct CrashMutant: Sendable {
  let name: String
  let engines: [TestEngine]
  var durability = Durability.commit
  /// What happens to the engine's calls.
  var rules: [FaultRule] = []
  /// What stands between engine and medium instead.
  var interposing: (@Sendable (MemoryFileSystem) -> any FileSystem)?
  /// What stands between engine and caller.
  var wrapper: (@Sendable (any StorageEngine) -> any StorageEngine)?

  func explorer(_ engine: TestEngine, seed: UInt64) -> CrashExplorer {
    var entry = engine.entry
    if let wrapper {
      let open = entry.open
      entry = EngineRegistry.Entry(
        name: entry.name, summary: entry.summary, needsSyncs: entry.needsSyncs
      ) { (options) throws(StorageError) in wrapper(try open(options)) }
    }
    var runner = ProgramRunner(entry)
    runner.interposing = interposing
    if !rules.isEmpty { runner.interposing = { [rules] in FaultingFileSystem($0, rules) } }
    return CrashExplorer(runner, seed: seed, durabilities: [durability])
  }

  private static func always(
    _ call: FaultRule.Call, of files: FaultRule.Files, _ effect: FaultRule.Effect = .omit,
    after predecessor: FaultRule.Predecessor? = nil, nth: Int = 1, every: Int = 1
  ) -> FaultRule {
    var rule = FaultRule(call, of: files, nth: nth, count: nil, effect)
    rule.predecessor = predecessor
    rule.every = every
    return rule
  }

  private static let ours: [TestEngine] = [.btree, .lsm]

  static let all: [CrashMutant] = [
    CrashMutant(
      name: "the log is never synced", engines: TestEngine.persistent,
      rules: [always(.sync, of: .fileClass(.log))]),
    CrashMutant(
      name: "every second sync of the log is skipped", engines: ours,
      rules: [always(.sync, of: .fileClass(.log), every: 2)]),
    CrashMutant(
      name: "the write is acknowledged before the log has it", engines: ours,
      rules: [always(.write, of: .fileClass(.log), .delay(calls: 1), nth: 2)]),
    CrashMutant(
      name: "the name of a new log segment is never synced", engines: ours,
      rules: [
        always(
          .syncDirectory, of: .all, after: .init(.sync, of: .fileClass(.log)))
      ]),
    CrashMutant(
      name: "pages are not synced before the superblock that names them", engines: [.btree],
      rules: [
        always(.sync, of: .fileClass(.page), after: .init(.write, of: .fileClass(.page)), every: 3)
      ]),
    CrashMutant(
      name: "no superblock is synced before the log is let go", engines: [.btree],
      rules: [2, 3].map { nth in
        always(
          .sync, of: .fileClass(.page), after: .init(.write, of: .fileClass(.page)), nth: nth,
          every: 3)
      }),
    CrashMutant(
      name: "pages are written after the superblock that names them", engines: [.btree],
      rules: [
        always(
          .write, of: .fileClass(.page), .delay(calls: 3),
          after: .init(.write, of: .fileClass(.page)))
      ]),
    CrashMutant(
      name: "the file of pages is never synced", engines: [.btree, .sqlite],
      rules: [always(.sync, of: .fileClass(.page))]),
    CrashMutant(
      name: "the first file of pages gets its name before its bytes", engines: [.btree],
      rules: [always(.sync, of: .suffix(".pages.tmp"))]),
    CrashMutant(
      name: "tables are not synced before the manifest names them", engines: [.lsm],
      rules: [always(.sync, of: .fileClass(.table))]),
    CrashMutant(
      name: "the names of tables are never synced", engines: [.lsm],
      rules: [
        always(.syncDirectory, of: .all, after: .init(.sync, of: .fileClass(.table)))
      ]),
    CrashMutant(
      name: "the manifest is never synced", engines: [.lsm],
      rules: [always(.sync, of: .fileClass(.manifest))]),
    CrashMutant(
      name: "the manifest's record and its commit change places", engines: [.lsm],
      rules: [always(.write, of: .fileClass(.manifest), .delay(calls: 3), nth: 4, every: 2)]),
    CrashMutant(
      name: "the pointer to the manifest is renamed before its bytes are synced", engines: [.lsm],
      rules: [always(.sync, of: .suffix("CURRENT.tmp"))]),
    CrashMutant(
      name: "the name of the pointer to the manifest is not synced", engines: [.lsm],
      rules: [
        always(.syncDirectory, of: .all, after: .init(.rename, of: .suffix("CURRENT")))
      ]),
    CrashMutant(
      name: "no directory is ever synced", engines: ours,
      rules: [always(.syncDirectory, of: .all)]),
    CrashMutant(
      name: "the checksum of a log record is not checked", engines: ours,
      interposing: { ForgivingLogFileSystem($0) }),
    CrashMutant(
      name: "batches are written one change at a time", engines: TestEngine.persistent,
      wrapper: { SplitBatchEngine($0) }),
    CrashMutant(
      name: "writes are acknowledged one write early", engines: TestEngine.persistent,
      wrapper: { EarlyAcknowledgingEngine($0) }),
    CrashMutant(
      name: "sync does nothing", engines: TestEngine.persistent,
      durability: .interval(milliseconds: 100_000),
      wrapper: { UnsyncedEngine($0) }),
    CrashMutant(
      name: "close forgets the writes without a log", engines: ours, durability: .none,
      rules: [always(.sync, of: .fileClass(.page)), always(.sync, of: .fileClass(.table))]),
  ]
}
