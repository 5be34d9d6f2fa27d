/// The tree as metadata: what a picker decides on.
struct TreeShape: Sendable {
  /// Level 0 newest first; every other level is one sorted run in key order, newer than the
  /// levels after it. A tiered policy uses levels as places for its runs.
  var levels: [[TableMetadata]]
  /// Tables beyond the first that cursors' seeks looked into because of level 0, since it was
  /// last merged.
  var extraSeeks: UInt64 = 0

  init(levels: [[TableMetadata]]) { self.levels = levels }

  func bytes(_ level: Int) -> UInt64 { levels[level].reduce(0) { $0 + $1.fileBytes } }

  /// Tables of a sorted level that overlap `range`. Complexity: O(log n), and those found.
  func overlapping(_ range: TableRange, level: Int) -> ArraySlice<TableMetadata> {
    let tables = levels[level]
    // Both ends ascend in a sorted level.
    let start = tables.partitionPoint(where: { !$0.range.endsBefore(range) })
    let end = tables[start...].partitionPoint(where: { range.endsBefore($0.range) })
    return tables[start..<end]
  }

  /// The deepest level that holds a table; nil when all are empty.
  var deepest: Int? { levels.lastIndex { !$0.isEmpty } }
}

extension RandomAccessCollection where Index == Int {
  /// The first index whose element holds, given that all behind one that holds do; `endIndex`
  /// when none does.
  func partitionPoint(where holds: (Element) -> Bool) -> Int {
    var low = startIndex
    var high = endIndex
    while low < high {
      let middle = (low + high) / 2
      if holds(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}

/// Work for the compaction: merge `inputs` into `outputLevel`.
struct CompactionJob: Sendable, Equatable {
  /// Why the job is due. The numbers are the manifest's.
  enum Reason: UInt8, Sendable, CaseIterable {
    /// Level 0 has as many tables as make a merge due.
    case levelZero = 1
    /// A level outgrew its share.
    case levelSize = 2
    /// A tier has as many runs as it may.
    case tierFull = 3
    /// Runs make room for a new one.
    case room = 4
    /// Deletes hide much of what lies below them.
    case tombstones = 5
    /// Seeks paid for the merge.
    case reads = 6
    /// Somebody asked for it.
    case manual = 7
  }

  struct Input: Sendable, Equatable {
    var level: Int
    var tables: [TableMetadata]

    init(level: Int, tables: some Collection<TableMetadata>) {
      self.level = level
      self.tables = Array(tables)
    }
  }

  var reason: Reason
  /// Newest first.
  var inputs: [Input]
  var outputLevel: Int
  /// The tables move to the output level as they are.
  var isTrivialMove = false
  /// Cut outputs here at the latest.
  var targetFileBytes: UInt64

  var tables: [TableMetadata] { inputs.flatMap(\.tables) }
  var bytes: UInt64 { tables.reduce(0) { $0 + $1.fileBytes } }

  var range: TableRange? {
    let ranges = tables.map(\.range)
    guard let first = ranges.first else { return nil }
    return ranges.dropFirst().reduce(first) { $0.union($1) }
  }
}

/// Decides what to compact next. Pure: metadata in, job out; no I/O, no state, no clock, so
/// that a policy can be simulated over any number of tables.
protocol CompactionPicker: Sendable {
  /// The most urgent job that touches no table in `busy`; nil when nothing is due.
  /// `oldestSnapshot` is the sequence of the oldest open snapshot; nil when there is none.
  func pick(
    _ shape: TreeShape, busy: Set<UInt64>, oldestSnapshot: UInt64?
  ) -> CompactionJob?

  /// As `pick`, of the merges of level 0 alone.
  func pickLevelZero(
    _ shape: TreeShape, busy: Set<UInt64>, oldestSnapshot: UInt64?
  ) -> CompactionJob?

  /// How many sorted runs a new one joins at level 0: what stalls writers.
  func pendingRuns(_ shape: TreeShape) -> Int

  /// Where everything ends when it is merged into one run.
  func bottom(_ shape: TreeShape) -> Int
}

extension CompactionPicker {
  /// For pickers to which level 0 comes first.
  func pickLevelZero(
    _ shape: TreeShape, busy: Set<UInt64>, oldestSnapshot: UInt64?
  ) -> CompactionJob? {
    let job = pick(shape, busy: busy, oldestSnapshot: oldestSnapshot)
    return job.flatMap { CompactionQueue.isUrgent($0) ? $0 : nil }
  }

  func pendingRuns(_ shape: TreeShape) -> Int { shape.levels[0].count }

  /// A job for the inputs. When no two of their tables overlap those above the output level move
  /// down as they are, unless it is to rid them of tombstones.
  func job(
    _ reason: CompactionJob.Reason, _ inputs: [CompactionJob.Input], outputLevel: Int,
    targetFileBytes: UInt64
  ) -> CompactionJob {
    let filled = inputs.filter { !$0.tables.isEmpty }
    let above = filled.filter { $0.level != outputLevel }
    let isMove = reason != .tombstones && !above.isEmpty && areDisjoint(filled)
    return CompactionJob(
      reason: reason, inputs: isMove ? above : filled, outputLevel: outputLevel,
      isTrivialMove: isMove, targetFileBytes: targetFileBytes)
  }

  private func areDisjoint(_ inputs: [CompactionJob.Input]) -> Bool {
    let ranges = inputs.flatMap(\.tables).map(\.range).sorted {
      isBefore($0.smallest, $1.smallest)
    }
    return zip(ranges, ranges.dropFirst()).allSatisfy { $0.endsBefore($1) }
  }
}
