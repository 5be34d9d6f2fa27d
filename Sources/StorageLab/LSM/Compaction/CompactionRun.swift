/// Carries out one merge: reads the job's tables in order, drops what no reader can see, and
/// writes new tables. Installs nothing; that is the engine's part.
struct CompactionRun {
  struct Output {
    var tables: [TableMetadata] = []
    var bytesRead: UInt64 = 0
    var bytesWritten: UInt64 = 0
    var entriesDropped: UInt64 = 0
    /// Entries that the filter left out.
    var entriesFiltered: UInt64 = 0
    /// Operands of merges that became part of a value or of another operand.
    var operandsFolded: UInt64 = 0
    /// Tables that a range tombstone covered whole, and that were therefore not read.
    var tablesSkipped = 0
  }

  let job: CompactionJob
  let version: LSMVersion
  /// Sequences of open snapshots, ascending.
  let snapshots: [UInt64]
  /// Folds the operands of merges.
  let fold: OperandFold
  let filter: (any CompactionFilter)?
  /// The filter's time.
  let moment: UInt64
  let makeBuilder: () throws(StorageError) -> TableBuilder
  /// Asked now and then; true abandons the run.
  let isCancelled: () -> Bool

  /// Errors: `corruption`, `noSpace`, `io`; `closed` when cancelled. Files that were begun are
  /// the caller's to remove.
  func run() throws(StorageError) -> Output {
    var output = Output()
    let files = try inputFiles()
    let tombstones = try gatherTombstones(files)
    let merging = try source(files, tombstones, &output)
    var writer = OutputWriter(
      run: self, tombstones: tombstones, deeper: DeeperLevels(version, below: job.outputLevel))
    try merge(merging, tombstones, &writer, &output)
    output.tables = writer.tables
    output.bytesWritten = writer.tables.reduce(0) { $0 + $1.fileBytes }
    return output
  }

  /// The job's tables as files of the version, level by level.
  private func inputFiles() throws(StorageError) -> [(level: Int, files: [TableFile])] {
    var result: [(level: Int, files: [TableFile])] = []
    for input in job.inputs {
      let numbers = Set(input.tables.map(\.number))
      let files = version.levels[input.level].tables.filter {
        numbers.contains($0.metadata.number)
      }
      guard files.count == numbers.count else {
        throw StorageError(.invalidArgument, "a compaction names tables that are not there")
      }
      result.append((input.level, files))
    }
    return result
  }

  private func gatherTombstones(
    _ inputs: [(level: Int, files: [TableFile])]
  ) throws(StorageError) -> RangeTombstones {
    var pieces: [RangeTombstone] = []
    for (_, files) in inputs {
      for file in files where file.metadata.rangeTombstones > 0 {
        pieces += try file.reader().takeUnretainedValue().tombstones.pieces
      }
    }
    return pieces.isEmpty ? .empty : .build(pieces, boundaries: snapshots)
  }

  private func source(
    _ inputs: [(level: Int, files: [TableFile])], _ tombstones: RangeTombstones,
    _ output: inout Output
  ) throws(StorageError) -> MergingSource {
    let merging = MergingSource(capacity: inputs.reduce(0) { $0 + $1.files.count })
    for (level, files) in inputs {
      let read = files.filter { !isCovered($0.metadata, by: tombstones) }
      output.tablesSkipped += files.count - read.count
      output.bytesRead += read.reduce(0) { $0 + $1.metadata.fileBytes }
      if level == 0 {
        for file in read {
          merging.add {
            LevelSource(LSMLevel([file], isSorted: true), head: $0, .streaming)
          }
        }
      } else if !read.isEmpty {
        merging.add { LevelSource(LSMLevel(read, isSorted: true), head: $0, .streaming) }
      }
    }
    return merging
  }

  /// Whether one fragment deletes all of the table's entries for every reader.
  private func isCovered(_ table: TableMetadata, by tombstones: RangeTombstones) -> Bool {
    if tombstones.isEmpty { return false }
    let fragment = table.range.smallest.withSlice { tombstones.fragment(over: $0) }
    guard let fragment,
      fragment.sequences[0] > table.largestSequence,
      RangeTombstones.stripe(fragment.sequences[0], snapshots)
        == RangeTombstones.stripe(table.smallestSequence, snapshots)
    else { return false }
    let end = TableRange(
      smallest: fragment.lower, largest: fragment.upper, isLargestExcluded: true)
    return end.union(table.range) == end
  }

  /// Walks the versions of each key, newest first, and keeps for every gap between snapshots
  /// the newest one, unless a tombstone of the same gap hides it.
  private func merge(
    _ merging: MergingSource, _ tombstones: RangeTombstones, _ writer: inout OutputWriter,
    _ output: inout Output
  ) throws(StorageError) {
    var lastKey = OutputBuffer(capacity: 128)
    var hasLastKey = false
    var fold = fold
    var keptStripe = Int.max
    var isBottom = false
    var steps = 0
    try merging.seekToFirst()
    while merging.isValid {
      steps &+= 1
      if steps & 0xfff == 0 && isCancelled() { throw .closed("the engine") }
      let top = merging.top
      let key = top.pointee.key
      var tag = top.pointee.tag
      let isNewKey = !hasLastKey || !(lastKey.slice == key)
      if isNewKey {
        if fold.isPending {
          // Nothing older anywhere, or nothing known of it.
          _ = try end(
            &fold, lastKey.slice, on: isBottom ? .nothing : .unknown,
            isOldest: isBottom && keptStripe == 0 && tombstones.isEmpty, &writer)
        }
        lastKey.assign(key)
        hasLastKey = true
        keptStripe = Int.max
        isBottom = writer.deeper.isAbsent(key)
        try writer.cutIfDue(before: key)
      }
      let sequence = EntryTag.sequence(tag)
      let stripe = snapshots.isEmpty ? 0 : RangeTombstones.stripe(sequence, snapshots)
      if fold.isPending {
        if stripe == keptStripe {
          let isHidden =
            !tombstones.isEmpty && tombstones.hides(key, sequence, stripe: stripe, snapshots)
          if EntryTag.isMerge(tag) && !isHidden {
            fold.add(tag, top.pointee.value)
          } else {
            let isBase = EntryTag.isPut(tag) && !isHidden
            let isKept = try end(
              &fold, key, on: isBase ? .value(top.pointee.value) : .nothing,
              isOldest: isBottom && stripe == 0 && tombstones.isEmpty, &writer)
            if isKept && !isHidden {
              try writer.add(key, tag, top.pointee.value)
            } else {
              output.entriesDropped += 1
            }
          }
          try merging.next()
          continue
        }
        _ = try end(&fold, key, on: .unknown, isOldest: false, &writer)
      }
      var isDropped = stripe == keptStripe
      if !isDropped && !tombstones.isEmpty {
        isDropped = tombstones.hides(key, sequence, stripe: stripe, snapshots)
      }
      if !isDropped {
        keptStripe = stripe
        if EntryTag.isMerge(tag) {
          fold.add(tag, top.pointee.value)
          try merging.next()
          continue
        }
        if stripe == snapshots.count, EntryTag.isPut(tag), let filter,
          !filter.keeps(key, top.pointee.value, level: job.outputLevel, at: moment)
        {
          output.entriesFiltered += 1
          tag = EntryTag.make(sequence, .delete)
        }
        // Below this there is no older version for a tombstone to hide, nor for a sequence
        // to tell from.
        if isBottom && stripe == 0 {
          if !EntryTag.isPut(tag) {
            isDropped = true
          } else if tombstones.isEmpty {
            tag = EntryTag.make(0, .put)
          }
        }
      }
      if isDropped {
        output.entriesDropped += 1
      } else {
        try writer.add(key, tag, EntryTag.isDelete(tag) ? .empty : top.pointee.value)
      }
      try merging.next()
    }
    if fold.isPending {
      _ = try end(
        &fold, lastKey.slice, on: isBottom ? .nothing : .unknown,
        isOldest: isBottom && keptStripe == 0 && tombstones.isEmpty, &writer)
    }
    output.operandsFolded = fold.folded
    try writer.finish()
  }

  /// Writes what a run of operands came to; returns whether the base's own entry stays.
  /// `isOldest`: no sequence is needed to tell its value from others.
  private func end(
    _ fold: inout OperandFold, _ key: ByteSlice, on base: OperandFold.Base, isOldest: Bool,
    _ writer: inout OutputWriter
  ) throws(StorageError) -> Bool {
    let (outputs, isBaseKept) = try fold.end(key, on: base)
    for output in outputs {
      let tag =
        isOldest && EntryTag.isPut(output.tag) ? EntryTag.make(0, .put) : output.tag
      try output.value.withSlice { (value) throws(StorageError) in
        try writer.add(key, tag, value)
      }
    }
    return isBaseKept
  }
}

/// Whether levels below the output may hold older versions. Keys must be asked in order.
struct DeeperLevels {
  private var levels: [[TableMetadata]]
  private var positions: [Int]

  init(_ version: LSMVersion, below level: Int) {
    levels = version.shape.levels.dropFirst(level + 1).filter { !$0.isEmpty }
    positions = levels.map { _ in 0 }
  }

  mutating func isAbsent(_ key: ByteSlice) -> Bool {
    for index in levels.indices {
      while positions[index] < levels[index].count,
        levels[index][positions[index]].range.endsBefore(key)
      {
        positions[index] += 1
      }
      if positions[index] < levels[index].count,
        levels[index][positions[index]].range.contains(key)
      {
        return false
      }
    }
    return true
  }

  /// Whether no table below overlaps the fragment.
  func isAbsent(_ fragment: RangeTombstones.Fragment) -> Bool {
    let range = TableRange(
      smallest: fragment.lower, largest: fragment.upper, isLargestExcluded: true)
    return levels.allSatisfy { !$0.contains { $0.range.overlaps(range) } }
  }
}

/// Spreads a merge's entries and range tombstones over tables that do not overlap. A table is
/// cut between keys only, when it is full or would overlap too much of the level below, which
/// would make its own later merge dear.
private struct OutputWriter {
  private static let overlapFactor: UInt64 = 10

  let run: CompactionRun
  let tombstones: RangeTombstones
  var deeper: DeeperLevels
  private(set) var tables: [TableMetadata] = []
  private var builder: TableBuilder?
  /// Where the current table's tombstones begin; nil is the start of everything.
  private var lowerBound: [UInt8]?
  private let grandparents: [TableMetadata]
  private var grandparent = 0
  private var overlapped: UInt64 = 0

  init(run: CompactionRun, tombstones: RangeTombstones, deeper: DeeperLevels) {
    self.run = run
    self.tombstones = tombstones
    self.deeper = deeper
    let level = run.job.outputLevel + 1
    grandparents =
      level < run.version.shape.levels.count ? run.version.shape.levels[level] : []
  }

  mutating func add(_ key: ByteSlice, _ tag: UInt64, _ value: ByteSlice) throws(StorageError) {
    if builder == nil { builder = try run.makeBuilder() }
    try builder?.add(key, tag, value)
  }

  mutating func cutIfDue(before key: ByteSlice) throws(StorageError) {
    while grandparent < grandparents.count, grandparents[grandparent].range.endsBefore(key) {
      if builder != nil { overlapped += grandparents[grandparent].fileBytes }
      grandparent += 1
    }
    guard let builder, builder.hasEntries else { return }
    let limit = run.job.targetFileBytes
    if UInt64(builder.byteCount) >= limit || overlapped > OutputWriter.overlapFactor * limit {
      try close(at: key.array)
    }
  }

  mutating func finish() throws(StorageError) { try close(at: nil) }

  /// Ends the current table; the next begins at `bound`.
  private mutating func close(at bound: [UInt8]?) throws(StorageError) {
    let fragments = kept(tombstones.clipped(from: lowerBound, to: bound))
    if builder == nil && !fragments.isEmpty { builder = try run.makeBuilder() }
    if let builder {
      builder.setRangeTombstones(fragments)
      if !builder.isEmpty { tables.append(try builder.finish()) }
    }
    builder = nil
    lowerBound = bound
    overlapped = 0
  }

  /// Without the tombstones that have nothing left to hide.
  private func kept(_ fragments: [RangeTombstones.Fragment]) -> [RangeTombstones.Fragment] {
    fragments.compactMap { fragment in
      guard deeper.isAbsent(fragment) else { return fragment }
      var fragment = fragment
      fragment.sequences.removeAll { RangeTombstones.stripe($0, run.snapshots) == 0 }
      return fragment.sequences.isEmpty ? nil : fragment
    }
  }
}
