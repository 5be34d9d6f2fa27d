import Foundation
import StorageLab

/// Fills an empty database and looks at what became of it: time, counters, shape.
struct FillExperiment {
  let engine: String
  let keys: KeyOrder
  let records: Int
  /// Of a key, 16 or more.
  let keyBytes: Int
  let valueBytes: Int
  /// Records that are there before the clock starts.
  let before: Int
  /// Puts in one atomic write.
  let batch: Int
  let durability: Durability
  let cacheBytes: Int
  /// Of a B-tree; nil is its default.
  let pageBytes: Int?
  /// Gets of random keys afterwards, in a database that was opened anew.
  let gets: Int
  /// Cache budget while these are made.
  let getCacheBytes: Int
  let seed: UInt64

  struct Result: Encodable {
    let engine: String
    let keys: KeyOrder
    let records: Int
    let batch: Int
    let durability: String
    let page: Int?
    /// Until the last put was acknowledged.
    let fillTime: Measured
    let putsPerSecond: Measured
    /// Of one write, which may be a batch.
    let writeTime: Measured
    /// Sync calls until then.
    let syncs: Double
    /// After a checkpoint: on the medium, without the log.
    let dataBytes: Double
    let dataBytesPerRecord: Double
    /// Written to files, the checkpoint included, per byte of keys and values.
    let writeAmplification: Double
    let height: Double?
    let splits: Double?
    let splitsPerPut: Double?
    /// Splits, merges and sharing of cells between neighbours: whatever balances the tree.
    let rebalancesPerPut: Double?
    /// Pages that were written anew for each put: copies and new ones.
    let pagesDirtiedPerPut: Double?
    let leafPages: Double?
    let leafFill: Double?
    let entriesPerLeaf: Double?
    let childrenPerBranch: Double?
    /// Pages or blocks read from files for a get, with only `cacheBytes` to remember them.
    let readsPerGet: Double?
    let getTime: Measured?
  }

  /// One round's figures.
  struct Round {
    var seconds = 0.0
    var statistics = EngineStatistics()
    var writtenAfterCheckpoint: UInt64 = 0
    var syncs: UInt64 = 0
    var dataBytes: Int64 = 0
    var anatomy: BTreeAnatomy?
    var readsPerGet: Double?
    var getSeconds: Double?
  }

  private var entry: EngineRegistry.Entry {
    get throws(StorageError) { try Labctl.engines.entry(engine) }
  }

  private func open(_ path: String, cache: Int) throws(StorageError) -> any StorageEngine {
    var options = EngineOptions(path: path)
    options.durability = durability
    options.cacheBytes = cache
    options.writeBufferBytes = cache
    if let pageBytes, engine == BTreeEngine.engineName {
      var tuning = BTreeTuning()
      tuning.pageSize = pageBytes
      return try BTreeEngine.open(options, tuning)
    }
    return try entry.open(options)
  }

  /// Errors: whatever the engine throws; the database is left where it is.
  func round(_ path: String) throws(StorageError) -> Round {
    let clock = MonotonicClock()
    let database = try open(path, cache: cacheBytes)
    var key = newKey
    let values = pieces()
    if before > 0 {
      var first = WriteBatch()
      for number in 0..<before {
        keys.write(number, seed: seed, to: &key)
        first.put(key, values[number % values.count])
      }
      try database.write(first)
    }
    let start = try database.statistics()
    var round = Round()
    var pending = WriteBatch(reservingBytes: batch * (valueBytes + 24))
    let began = clock.nanoseconds
    for number in 0..<records {
      keys.write(before + number, seed: seed, to: &key)
      let value = values[number % values.count]
      if batch == 1 {
        try database.put(key, value)
      } else {
        pending.put(key, value)
        if pending.count == batch || number + 1 == records {
          try database.write(pending)
          pending.removeAll()
        }
      }
    }
    round.seconds = Double(clock.nanoseconds - began) / 1e9
    round.statistics = try database.statistics()
    round.syncs = round.statistics.totalIO.syncs &- start.totalIO.syncs
    try database.settle()
    try database.checkpoint()
    try database.settle()
    let after = try database.statistics()
    round.writtenAfterCheckpoint = after.totalIO.bytesWritten &- start.totalIO.bytesWritten
    round.dataBytes = max(0, after.diskBytes - after.logBytes)
    // Splits and copies of the fill and of its checkpoint.
    round.statistics.details = after.details
    try database.close()
    if engine == BTreeEngine.engineName {
      round.anatomy = try BTreeAnatomy(
        of: joinPath(path, BTreeEngine.pagesName), POSIXFileSystem(), limit: 1)
    }
    if gets > 0 { try read(path, &round) }
    return round
  }

  private func read(_ path: String, _ round: inout Round) throws(StorageError) {
    let clock = MonotonicClock()
    let database = try open(path, cache: getCacheBytes)
    var random = SeededRandom(seed: seed ^ 1)
    var key = newKey
    // As many that fill the cache come first.
    for _ in 0..<gets {
      keys.write(random.below(before + records), seed: seed, to: &key)
      _ = try database.read(key.span.bytes) { _ in }
    }
    let earlier = try database.statistics().totalIO
    let start = clock.nanoseconds
    for _ in 0..<gets {
      keys.write(random.below(before + records), seed: seed, to: &key)
      guard try database.read(key.span.bytes, { _ in }) else {
        throw .corruption("a key that was put is not there", path: path, offset: 0)
      }
    }
    round.getSeconds = Double(clock.nanoseconds - start) / 1e9 / Double(gets)
    let after = try database.statistics().totalIO
    let reads = after.reads &- earlier.reads
    round.readsPerGet = Double(reads) / Double(gets)
    try database.close()
  }

  private var newKey: [UInt8] { [UInt8](repeating: 0x61, count: keyBytes) }

  /// Values that compress to about a half, and differ from each other.
  private func pieces() -> [[UInt8]] {
    var random = SeededRandom(seed: seed)
    return (0..<97).map { _ in
      (0..<valueBytes).map { $0 % 2 == 0 ? UInt8(truncatingIfNeeded: random.next()) : 0x20 }
    }
  }

  func result(_ rounds: [Round]) -> Result {
    let last = rounds[rounds.count - 1]
    let puts = Double(records)
    let all = puts + Double(before)
    let userBytes = puts * Double(keyBytes + valueBytes)
    let times = rounds.map(\.seconds)
    let leaves = last.anatomy?.levels.last
    let isTree = engine == BTreeEngine.engineName
    let splits = isTree ? last.statistics[detail: "splits"] : nil
    func sum(_ round: Round, _ name: String) -> Double { round.statistics[detail: name] ?? 0 }
    let branches = last.anatomy?.levels.filter { $0.level > 0 } ?? []
    let branchPages = branches.reduce(0) { $0 + $1.pages }
    // A branch has one child more than separators.
    let children = branches.reduce(0) { $0 + $1.cells + $1.pages }
    let writes = (puts / Double(batch)).rounded(.up)
    return Result(
      engine: engine, keys: keys, records: records, batch: batch,
      durability: durability.description, page: last.anatomy?.pageSize,
      fillTime: Measured(times, unit: "s"),
      putsPerSecond: Measured(times.map { puts / $0 }, unit: "1/s"),
      writeTime: Measured(times.map { $0 / writes }, unit: "s"),
      syncs: Statistics.median(rounds.map { Double($0.syncs) }), dataBytes: Double(last.dataBytes),
      dataBytesPerRecord: Double(last.dataBytes) / all,
      writeAmplification: Double(last.writtenAfterCheckpoint) / userBytes,
      height: isTree ? last.statistics[detail: "height"] : nil, splits: splits,
      splitsPerPut: splits.map { $0 / all },
      rebalancesPerPut: isTree
        ? (sum(last, "splits") + sum(last, "merges") + sum(last, "shares")) / all : nil,
      pagesDirtiedPerPut: isTree ? (sum(last, "pageCopies") + sum(last, "pagesMade")) / all : nil,
      leafPages: leaves.map { Double($0.pages) },
      leafFill: leaves.map { Double($0.usedBytes) / Double(max(1, $0.roomBytes)) },
      entriesPerLeaf: leaves.map { Double($0.cells) / Double(max(1, $0.pages)) },
      childrenPerBranch: branchPages > 0 ? Double(children) / Double(branchPages) : nil,
      readsPerGet: last.readsPerGet,
      getTime: gets > 0 ? Measured(rounds.compactMap(\.getSeconds), unit: "s") : nil)
  }
}
