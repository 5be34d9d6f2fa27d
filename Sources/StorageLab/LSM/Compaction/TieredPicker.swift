/// Tiered compaction, and lazy leveling (Dayan and Idreos, "Dostoevsky", SIGMOD 2018, section 3).
///
/// Every table of level 0 and every other level is one sorted run. Runs of about one size make a
/// tier; when a tier has `runsPerTier` of them they become one run of the next tier. So an entry
/// is written once a tier, and a reader meets up to `runsPerTier` runs in each.
///
/// Lazy leveling keeps the oldest run, most of the data, alone in its tier: what would join it is
/// merged into it.
struct TieredPicker: CompactionPicker {
  struct Options: Sendable {
    var runsPerTier = 4
    var isLastLeveled = false
    /// Tables in level 0 that are merged whatever their sizes: before writers slow down for them.
    var levelZeroLimit = 19
    var targetFileBytes: UInt64 = 16 << 20
  }

  var options = Options()

  /// One sorted run and where it lies. Runs are counted from the newest.
  private struct Run {
    let level: Int
    let tables: [TableMetadata]
    let bytes: UInt64
    /// Bytes of the largest run up to this one: a small run behind a large one, after
    /// deletions, counts as large, so that tiers ascend with age.
    var rank: UInt64
  }

  func bottom(_ shape: TreeShape) -> Int { shape.levels.count - 1 }

  func pick(
    _ shape: TreeShape, busy: Set<UInt64>, oldestSnapshot: UInt64?
  ) -> CompactionJob? {
    let runs = runs(shape)
    var start = 0
    while start < runs.count {
      let end = endOfTier(runs, start)
      if end - start >= options.runsPerTier,
        let job = merge(runs, start, end, shape, busy: busy, reason: .tierFull)
      {
        return job
      }
      start = end
    }
    let fresh = shape.levels[0].count
    if fresh >= options.levelZeroLimit,
      let job = merge(runs, 0, fresh, shape, busy: busy, reason: .levelZero)
    {
      return job
    }
    return pickTombstones(runs, shape, busy: busy, oldestSnapshot: oldestSnapshot)
  }

  private func runs(_ shape: TreeShape) -> [Run] {
    var runs = shape.levels[0].map {
      Run(level: 0, tables: [$0], bytes: $0.fileBytes, rank: $0.fileBytes)
    }
    for level in shape.levels.indices.dropFirst() where !shape.levels[level].isEmpty {
      let bytes = shape.bytes(level)
      runs.append(Run(level: level, tables: shape.levels[level], bytes: bytes, rank: bytes))
    }
    for index in runs.indices.dropFirst() {
      runs[index].rank = max(runs[index].rank, runs[index - 1].rank)
    }
    return runs
  }

  /// Runs within the square root of the tiers' ratio belong together: half-way, as sizes multiply.
  private func endOfTier(_ runs: [Run], _ start: Int) -> Int {
    let ratio = Double(options.runsPerTier).squareRoot()
    let limit = Double(max(1, runs[start].rank)) * ratio
    return runs[start...].firstIndex { Double($0.rank) > limit } ?? runs.count
  }

  /// Merges runs `start ..< end`, and older ones as need be. Nil when one of them is being merged.
  private func merge(
    _ runs: [Run], _ start: Int, _ end: Int, _ shape: TreeShape, busy: Set<UInt64>,
    reason: CompactionJob.Reason
  ) -> CompactionJob? {
    var end = end
    // What leaves level 0 lies below all that stays there.
    if runs[start].level == 0 {
      end = max(end, runs.firstIndex { $0.level > 0 } ?? runs.count)
    }
    if options.isLastLeveled && end == runs.count - 1 {
      let merged = runs[start..<end].reduce(UInt64(0)) { $0 + $1.bytes }
      if runs[end].bytes <= merged * UInt64(options.runsPerTier) { end += 1 }
    }
    var outputLevel = runs[end - 1].level
    if outputLevel == 0 {
      outputLevel = (end < runs.count ? runs[end].level : shape.levels.count) - 1
      if outputLevel == 0 {
        let free = shape.levels.indices.dropFirst().first { shape.levels[$0].isEmpty }
        if let free { return makeRoom(shape, free, busy: busy) }
        // Every place is taken: the run in level 1 joins.
        outputLevel = 1
        end += 1
      }
    }
    let merged = runs[start..<end]
    if merged.contains(where: { $0.tables.contains { busy.contains($0.number) } }) { return nil }
    return job(reason, merged, outputLevel)
  }

  /// Moves the run above the `free` level down to it, so that in the end level 1 is free.
  private func makeRoom(_ shape: TreeShape, _ free: Int, busy: Set<UInt64>) -> CompactionJob? {
    let tables = shape.levels[free - 1]
    if tables.contains(where: { busy.contains($0.number) }) { return nil }
    return CompactionJob(
      reason: .room, inputs: [.init(level: free - 1, tables: tables)], outputLevel: free,
      isTrivialMove: true, targetFileBytes: options.targetFileBytes)
  }

  /// A run whose deletes hide much of what is older: merged with all that is, it gives the space
  /// back. Only where that is a quarter of what is to be written, and no snapshot needs it; the
  /// rest waits for the tiers' merges. In the oldest run deletes hide nothing any more: its tables
  /// with many are written again without them.
  private func pickTombstones(
    _ runs: [Run], _ shape: TreeShape, busy: Set<UInt64>, oldestSnapshot: UInt64?
  ) -> CompactionJob? {
    var older = runs.reduce(UInt64(0)) { $0 + $1.bytes }
    for (index, run) in runs.enumerated() {
      older -= run.bytes
      func isDue(_ table: TableMetadata) -> Bool {
        TieredPicker.hasManyTombstones(table) && (oldestSnapshot ?? .max) >= table.largestSequence
      }
      let due = run.tables.filter(isDue)
      if due.isEmpty { continue }
      if index == runs.count - 1, run.level > 0 {
        // Neighbours only: what becomes of two tables would overlap one that stays between them.
        func isFree(_ table: TableMetadata) -> Bool { isDue(table) && !busy.contains(table.number) }
        let free = Array(run.tables.drop { !isFree($0) }.prefix { isFree($0) })
        if free.isEmpty { return nil }
        return job(
          .tombstones, [.init(level: run.level, tables: free)], outputLevel: run.level,
          targetFileBytes: options.targetFileBytes)
      }
      let hidden = runs[(index + 1)...].reduce(UInt64(0)) { sum, olderRun in
        sum + hiddenBytes(by: due, in: olderRun)
      }
      guard 4 * hidden >= run.bytes + older else { continue }
      if let job = merge(runs, index, runs.count, shape, busy: busy, reason: .tombstones) {
        return job
      }
    }
    return nil
  }

  private static func hasManyTombstones(_ table: TableMetadata) -> Bool {
    table.rangeTombstones > 0 || (table.tombstones > 64 && 2 * table.tombstones > table.entries)
  }

  /// At most: of a table with range tombstones all that its range overlaps counts as hidden, of
  /// one without an entry for each tombstone.
  private func hiddenBytes(by deleting: [TableMetadata], in run: Run) -> UInt64 {
    run.tables.reduce(UInt64(0)) { sum, table in
      let over = deleting.filter { $0.range.overlaps(table.range) }
      if over.contains(where: { $0.rangeTombstones > 0 }) { return sum + table.fileBytes }
      let entryBytes = table.fileBytes / max(1, table.entries)
      let deleted = over.reduce(UInt64(0)) { $0 + $1.tombstones }
      return sum + min(table.fileBytes, deleted * entryBytes)
    }
  }

  private func job(
    _ reason: CompactionJob.Reason, _ runs: ArraySlice<Run>, _ outputLevel: Int
  ) -> CompactionJob {
    var inputs: [CompactionJob.Input] = []
    for run in runs {
      if run.level == 0, inputs.last?.level == 0 {
        inputs[inputs.count - 1].tables += run.tables
      } else {
        inputs.append(.init(level: run.level, tables: run.tables))
      }
    }
    return job(
      reason, inputs, outputLevel: outputLevel, targetFileBytes: options.targetFileBytes)
  }
}
