/// Leveled compaction with dynamic level sizes (O'Neil et al., "The log-structured merge-tree",
/// 1996; level targets after Dong et al., "Optimizing Space Amplification in RocksDB", CIDR 2017).
///
/// The last level is as large as it is; each level above it is to hold a `ratio`th of the one
/// below, down to `baseBytes`; level 0 merges into the first level that should hold anything.
/// So about nine tenths of the bytes always lie in the last level, whatever the tree's size.
struct LeveledPicker: CompactionPicker {
  struct Options: Sendable {
    /// Tables in level 0 that make a merge due.
    var levelZeroTables = 4
    /// Bytes of the first level below 0.
    var baseBytes: UInt64 = 128 << 20
    var ratio: UInt64 = 10
    var targetFileBytes: UInt64 = 16 << 20
    /// What a seek into one more table reads, about.
    var blockBytes: UInt64 = 2048
  }

  var options = Options()

  /// The last of the levels, unless another policy went deeper.
  static let lastLevel = 6

  func bottom(_ shape: TreeShape) -> Int {
    min(max(LeveledPicker.lastLevel, shape.deepest ?? 0), shape.levels.count - 1)
  }

  /// The level that level 0 merges into, and each level's target in bytes.
  func targets(_ shape: TreeShape) -> (base: Int, bytes: [UInt64]) {
    let last = bottom(shape)
    var targets = [UInt64](repeating: 0, count: shape.levels.count)
    let sizes = shape.levels.indices.map { $0 == 0 ? 0 : shape.bytes($0) }
    var target = max(sizes.max() ?? 0, options.baseBytes)
    var base = last
    targets[last] = target
    // A level above pays off once the one below is several times the base.
    while base > 1 && target > options.baseBytes * (options.ratio / 2) {
      target = max(target / options.ratio, options.baseBytes / 2)
      base -= 1
      targets[base] = target
    }
    // Nothing is due in the last level, whatever its size.
    targets[last] = .max
    return (base, targets)
  }

  func pick(
    _ shape: TreeShape, busy: Set<UInt64>, oldestSnapshot: UInt64?
  ) -> CompactionJob? {
    let (base, targets) = targets(shape)
    var candidates: [(score: Double, level: Int)] = []
    let levelZeroScore =
      Double(shape.levels[0].count) / Double(max(1, options.levelZeroTables))
    if levelZeroScore >= 1 { candidates.append((levelZeroScore, 0)) }
    for level in 1..<bottom(shape) where !shape.levels[level].isEmpty {
      // Bytes already on their way down count no more.
      let waiting = shape.levels[level].reduce(UInt64(0)) {
        $0 + (busy.contains($1.number) ? 0 : $1.fileBytes)
      }
      let score =
        level < base ? 1e6 : Double(waiting) / Double(max(1, targets[level]))
      if score > 1 { candidates.append((score, level)) }
    }
    candidates.sort { $0.score > $1.score }
    for candidate in candidates {
      let job =
        candidate.level == 0
        ? pickLevelZero(shape, base: base, busy: busy)
        : pickLevel(shape, candidate.level, busy: busy)
      if let job { return job }
    }
    return pickTombstones(shape, base: base, busy: busy, oldestSnapshot: oldestSnapshot)
      ?? pickReads(shape, base: base, busy: busy)
  }

  func pickLevelZero(
    _ shape: TreeShape, busy: Set<UInt64>, oldestSnapshot: UInt64?
  ) -> CompactionJob? {
    if shape.levels[0].count < options.levelZeroTables { return nil }
    return pickLevelZero(shape, base: targets(shape).base, busy: busy)
  }

  /// Level 0, once seeks have read as much in its tables as its merge will read: who only
  /// reads ends with one run less to look into for each of them. After LevelDB's seek
  /// compaction (version_set.cc), which counts tables that a get looked into in vain; here
  /// filters answer those.
  private func pickReads(
    _ shape: TreeShape, base: Int, busy: Set<UInt64>
  ) -> CompactionJob? {
    if shape.extraSeeks == 0 { return nil }
    let job = pickLevelZero(shape, base: base, busy: busy, reason: .reads)
    guard let job, job.bytes / options.blockBytes <= shape.extraSeeks else { return nil }
    return job
  }

  /// All of level 0 and what it overlaps. One such job at a time.
  private func pickLevelZero(
    _ shape: TreeShape, base: Int, busy: Set<UInt64>, reason: CompactionJob.Reason = .levelZero
  ) -> CompactionJob? {
    let tables = shape.levels[0]
    guard let first = tables.first, !tables.contains(where: { busy.contains($0.number) }) else {
      return nil
    }
    // Levels above the base that still hold something come along: order must be kept.
    var inputs = [CompactionJob.Input(level: 0, tables: tables)]
    var range = tables.dropFirst().reduce(first.range) { $0.union($1.range) }
    for level in 1...base {
      let overlapping = shape.overlapping(range, level: level)
      if overlapping.contains(where: { busy.contains($0.number) }) { return nil }
      if overlapping.isEmpty { continue }
      inputs.append(CompactionJob.Input(level: level, tables: overlapping))
      range = overlapping.reduce(range) { $0.union($1.range) }
    }
    return job(reason, inputs, outputLevel: base)
  }

  /// The table of `level` that overlaps the least of the next level, in proportion.
  private func pickLevel(
    _ shape: TreeShape, _ level: Int, busy: Set<UInt64>
  ) -> CompactionJob? {
    var best: (ratio: Double, table: TableMetadata, overlapping: ArraySlice<TableMetadata>)?
    for table in shape.levels[level] where !busy.contains(table.number) {
      let overlapping = shape.overlapping(table.range, level: level + 1)
      if overlapping.contains(where: { busy.contains($0.number) }) { continue }
      let bytes = overlapping.reduce(UInt64(0)) { $0 + $1.fileBytes }
      let ratio = Double(bytes) / Double(max(1, table.fileBytes))
      if let best, best.ratio <= ratio { continue }
      best = (ratio, table, overlapping)
    }
    guard let best else { return nil }
    return job(
      .levelSize,
      [
        .init(level: level, tables: [best.table]),
        .init(level: level + 1, tables: best.overlapping),
      ], outputLevel: level + 1)
  }

  /// A table whose range tombstones, or mostly tombstones, still lie above data: merging it
  /// down gives the space back. Not while a snapshot needs what they hide.
  private func pickTombstones(
    _ shape: TreeShape, base: Int, busy: Set<UInt64>, oldestSnapshot: UInt64?
  ) -> CompactionJob? {
    let last = bottom(shape)
    for level in shape.levels.indices {
      for table in shape.levels[level] where !busy.contains(table.number) {
        let isMostlyTombstones = table.tombstones > 64 && 2 * table.tombstones > table.entries
        guard table.rangeTombstones > 0 || isMostlyTombstones else { continue }
        if let oldestSnapshot, oldestSnapshot < table.largestSequence { continue }
        if level == 0 {
          if let job = pickLevelZero(shape, base: base, busy: busy, reason: .tombstones) {
            return job
          }
          break
        }
        // At the bottom it is rewritten in place.
        let below = min(level + 1, last)
        let overlapping = level == last ? [] : shape.overlapping(table.range, level: below)
        if overlapping.contains(where: { busy.contains($0.number) }) { continue }
        return job(
          .tombstones,
          [.init(level: level, tables: [table]), .init(level: below, tables: overlapping)],
          outputLevel: below)
      }
    }
    return nil
  }

  private func job(
    _ reason: CompactionJob.Reason, _ inputs: [CompactionJob.Input], outputLevel: Int
  ) -> CompactionJob {
    job(reason, inputs, outputLevel: outputLevel, targetFileBytes: options.targetFileBytes)
  }
}
