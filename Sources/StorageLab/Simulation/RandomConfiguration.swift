/// One way to set up an engine for a program: options that an answer must not depend on. Drawn by seed,
/// from the smallest caches and pages to the largest, so that a few dozen operations meet every path.
public struct RandomConfiguration: Sendable, CustomStringConvertible {
  public let engine: EngineRegistry.Entry
  public let durability: Durability
  public let cacheBytes: Int
  /// The tuning in words.
  public let tuning: String

  public var description: String {
    "\(engine.name)\(tuning.isEmpty ? "" : " (\(tuning))"), \(durability), cache \(cacheBytes) B"
  }

  /// The configuration of this seed. Engines of this package are tuned at random, others are taken
  /// as they are, but for durability and cache.
  public static func draw(_ engine: EngineRegistry.Entry, seed: UInt64) -> RandomConfiguration {
    var random = SeededRandom(seed: seed)
    let durability: Durability =
      [.none, .process, .interval(milliseconds: 1000), .commit][random.below(4)]
    // From a few pages to more than any program needs.
    let cacheBytes = 1 << (12 + random.below(9))
    let tuned: (text: String, entry: EngineRegistry.Entry)
    switch engine.name {
    case BTreeEngine.engineName: tuned = bTree(&random)
    case LSMEngine.engineName: tuned = lsm(&random)
    case SQLiteEngine.engineName: tuned = sqlite(&random)
    default: tuned = ("", engine)
    }
    return RandomConfiguration(
      engine: tuned.entry, durability: durability, cacheBytes: cacheBytes, tuning: tuned.text)
  }

  /// Runs programs on this configuration.
  public var runner: ProgramRunner {
    var runner = ProgramRunner(engine)
    runner.durability = durability
    runner.cacheBytes = cacheBytes
    return runner
  }

  // MARK: Engines

  private static func power(_ range: ClosedRange<Int>, _ random: inout SeededRandom) -> Int {
    1 << (range.lowerBound + random.below(range.count))
  }

  private static func bTree(
    _ random: inout SeededRandom
  ) -> (String, EngineRegistry.Entry) {
    var tuning = BTreeTuning()
    tuning.pageSize = power(12...16, &random)
    tuning.checkpointLogBytes = power(14...20, &random)
    tuning.checkpointPageBytes = power(16...22, &random)
    tuning.maximumDatabaseBytes = 4 << 30
    tuning.readsOptimistically = random.chance(0.8)
    let text =
      "page \(tuning.pageSize), checkpoint at \(tuning.checkpointLogBytes) B of log or "
      + "\(tuning.checkpointPageBytes) B of pages"
      + (tuning.readsOptimistically ? "" : ", reads pin snapshots")
    return (
      text,
      EngineRegistry.Entry(name: BTreeEngine.engineName, summary: text) {
        [tuning] (options) throws(StorageError) in try BTreeEngine.open(options, tuning)
      }
    )
  }

  private static func lsm(_ random: inout SeededRandom) -> (String, EngineRegistry.Entry) {
    var tuning = LSMTuning()
    tuning.compaction = CompactionPolicy.allCases[random.below(CompactionPolicy.allCases.count)]
    tuning.memtableBytes = power(10...16, &random)
    tuning.waitingMemtables = 1 + random.below(2)
    tuning.blockBytes = power(6...13, &random)
    tuning.restartInterval = power(0...5, &random)
    tuning.bloomBitsPerKey = random.below(17)
    tuning.indexSearch = IndexSearch.allCases[random.below(IndexSearch.allCases.count)]
    tuning.compression = (0..<1 + random.below(3)).map { _ in random.chance(0.5) ? .lz4 : .none }
    switch random.below(4) {
    case 0: tuning.prefixExtractor = .fixed(1 + random.below(6))
    case 1: tuning.prefixExtractor = .delimiter(UInt8(ascii: "/"))
    default: break
    }
    tuning.runsPerTier = 2 + random.below(3)
    tuning.levelZeroTables = 1 + random.below(4)
    tuning.levelZeroSlowdown = tuning.levelZeroTables + random.below(6)
    tuning.levelZeroStop = tuning.levelZeroSlowdown + random.below(6)
    tuning.baseLevelBytes = power(12...17, &random)
    tuning.levelRatio = 2 + random.below(9)
    tuning.tableBytes = power(10...14, &random)
    tuning.maximumOpenTables = 1 + random.below(8)
    tuning.logSegmentBytes = power(14...17, &random)
    let text =
      "\(tuning.compaction.rawValue), memtable \(tuning.memtableBytes), block \(tuning.blockBytes), "
      + "restart \(tuning.restartInterval), bloom \(tuning.bloomBitsPerKey), "
      + "index \(tuning.indexSearch.rawValue), "
      + "compression \(tuning.compression.map(\.rawValue).joined(separator: "-")), "
      + "level 0 \(tuning.levelZeroTables)/\(tuning.levelZeroSlowdown)/\(tuning.levelZeroStop), "
      + "base \(tuning.baseLevelBytes), ratio \(tuning.levelRatio), runs \(tuning.runsPerTier), "
      + "table \(tuning.tableBytes), open tables \(tuning.maximumOpenTables), "
      + "segment \(tuning.logSegmentBytes)"
    return (
      text,
      EngineRegistry.Entry(name: LSMEngine.engineName, summary: text) {
        [tuning] (options) throws(StorageError) in try LSMEngine.open(options, tuning)
      }
    )
  }

  private static func sqlite(_ random: inout SeededRandom) -> (String, EngineRegistry.Entry) {
    var tuning = SQLiteOptions()
    tuning.pageBytes = power(9...16, &random)
    tuning.checkpointBytes = power(13...18, &random)
    let text = "page \(tuning.pageBytes), checkpoint at \(tuning.checkpointBytes) B"
    return (
      text,
      EngineRegistry.Entry(name: SQLiteEngine.engineName, summary: text, needsSyncs: true) {
        [tuning] (options) throws(StorageError) in try SQLiteEngine(options, tuning)
      }
    )
  }
}
