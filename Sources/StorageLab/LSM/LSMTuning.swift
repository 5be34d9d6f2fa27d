/// What is particular to the LSM tree. The defaults keep a tree of 2 GiB with a 64 MiB block
/// cache under 256 MiB of memory: two memtables of 32 MiB, the cache, some 20 MiB of indexes
/// and as much of filters, and the buffers of a flush and a compaction.
public struct LSMTuning: Sendable {
  /// Bytes at which a memtable is closed and flushed.
  public var memtableBytes = 32 << 20
  /// Memtables that may wait for their flush before writers wait.
  public var waitingMemtables = 1
  /// Raw bytes of a data block; why 2 KiB: `docs/decisions/0008-blocks-of-2-kib.md`.
  public var blockBytes = 2048
  /// Keys from one whole key of a block to the next.
  public var restartInterval = 16
  /// Bits of Bloom filter a key; 0 for no filter.
  public var bloomBitsPerKey = 10
  /// Whose prefixes filters hold beside the keys, so that cursors over the keys of one prefix skip
  /// tables without any. Tables written with another extractor, or none, are not skipped.
  public var prefixExtractor: PrefixExtractor?
  /// Of the blocks of each level from 0 on; the last one of all further levels.
  public var compression: [BlockCompression] = [.lz4]
  /// How a table's index is searched; what that saves: `docs/guide/lsm-tables.md`.
  public var indexSearch = IndexSearch.interpolated
  /// How blocks are read that the cache does not have: `docs/decisions/0011-mapped-tables.md`.
  public var tableAccess = TableAccess.call
  /// When sorted runs are merged, and how many there may be.
  public var compaction = CompactionPolicy.leveled
  /// Runs of about one size that a tiered policy merges into one.
  public var runsPerTier = 4
  /// Tables in level 0 that make a merge due, that slow writers down and that stop them.
  public var levelZeroTables = 5
  public var levelZeroSlowdown = 20
  public var levelZeroStop = 36
  /// Bytes of the first level below 0, and how much larger each next one is.
  public var baseLevelBytes = 128 << 20
  public var levelRatio = 10
  /// Bytes of a table that a compaction writes.
  public var tableBytes = 16 << 20
  /// Threads that compact; flushes have one of their own.
  public var compactionThreads = 1
  /// Tables that hold a file descriptor at a time. A process may open 1024 files by default.
  public var maximumOpenTables = 500
  /// Bytes a second that flushes and compactions together may write; nil is unlimited. Background
  /// maintenance only: what runs on the writing thread would make that wait.
  public var writeBytesPerSecond: Int?
  /// What compactions leave out; nil leaves out nothing that a reader could see.
  public var compactionFilter: (any CompactionFilter)?
  /// Bytes of a log segment.
  public var logSegmentBytes = 64 << 20

  public init() {}

  /// The defaults with memtables of `bytes`, and levels and tables in proportion.
  public init(writeBufferBytes bytes: Int) {
    let share = Double(max(1 << 20, min(bytes, 1 << 30))) / Double(memtableBytes)
    memtableBytes = Int(Double(memtableBytes) * share)
    baseLevelBytes = Int(Double(baseLevelBytes) * share)
    tableBytes = Int(Double(tableBytes) * min(1, share))
  }

  /// So small that flushes, compactions and new log segments happen within some dozen writes: for
  /// tests.
  public static let small = {
    var tuning = LSMTuning()
    tuning.memtableBytes = 8 << 10
    tuning.blockBytes = 256
    tuning.restartInterval = 4
    tuning.levelZeroTables = 2
    tuning.baseLevelBytes = 16 << 10
    tuning.levelRatio = 3
    tuning.tableBytes = 4 << 10
    tuning.logSegmentBytes = 64 << 10
    tuning.runsPerTier = 2
    return tuning
  }()

  /// Errors: `invalidArgument` naming the field.
  func validate() throws(StorageError) {
    func check(_ holds: Bool, _ what: String) throws(StorageError) {
      if !holds { throw StorageError(.invalidArgument, "LSM tuning: \(what)") }
    }
    try check(memtableBytes >= 1024, "memtableBytes is at least 1 KiB")
    try check(memtableBytes <= 1 << 34, "memtableBytes is at most 16 GiB")
    try check(waitingMemtables >= 1, "waitingMemtables is at least 1")
    try check((64...(1 << 24)).contains(blockBytes), "blockBytes is 64 B to 16 MiB")
    try check((1...1024).contains(restartInterval), "restartInterval is 1 to 1024")
    try check((0...64).contains(bloomBitsPerKey), "bloomBitsPerKey is 0 to 64")
    if case .fixed(let count) = prefixExtractor {
      try check(
        (1...EngineLimits.maximumKeyBytes).contains(count), "a prefix has 1 B to 64 KiB")
    }
    try check(!compression.isEmpty, "compression names level 0 at least")
    try check((2...16).contains(runsPerTier), "runsPerTier is 2 to 16")
    try check(levelZeroTables >= 1, "levelZeroTables is at least 1")
    try check(
      levelZeroSlowdown >= levelZeroTables && levelZeroStop >= levelZeroSlowdown,
      "levelZeroTables <= levelZeroSlowdown <= levelZeroStop")
    try check(baseLevelBytes >= 1024, "baseLevelBytes is at least 1 KiB")
    try check(levelRatio >= 2, "levelRatio is at least 2")
    try check(tableBytes >= 1024, "tableBytes is at least 1 KiB")
    try check((1...64).contains(compactionThreads), "compactionThreads is 1 to 64")
    try check(maximumOpenTables >= 1, "maximumOpenTables is at least 1")
    try check((writeBytesPerSecond ?? .max) >= 1024, "writeBytesPerSecond is at least 1 KiB")
  }

  /// For tables of a level.
  func builderOptions(level: Int) -> TableBuilder.Options {
    TableBuilder.Options(
      blockBytes: blockBytes, restartInterval: restartInterval, bitsPerKey: bloomBitsPerKey,
      compression: compression[min(level, compression.count - 1)],
      prefixExtractor: prefixExtractor)
  }

  var picker: any CompactionPicker {
    switch compaction {
    case .leveled:
      LeveledPicker(
        options: .init(
          levelZeroTables: levelZeroTables, baseBytes: UInt64(baseLevelBytes),
          ratio: UInt64(levelRatio), targetFileBytes: UInt64(tableBytes),
          blockBytes: UInt64(blockBytes)))
    case .tiered, .lazyLeveled:
      TieredPicker(
        options: .init(
          runsPerTier: runsPerTier, isLastLeveled: compaction == .lazyLeveled,
          levelZeroLimit: max(1, levelZeroSlowdown - 1),
          targetFileBytes: UInt64(tableBytes)))
    }
  }
}
