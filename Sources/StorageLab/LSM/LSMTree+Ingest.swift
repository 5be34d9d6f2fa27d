/// Ingestion: a sorted run of entries becomes tables at the speed of the disk, beside the tree, and
/// then part of it by one record of the manifest. No log, no memtable, and mostly no compaction.
extension LSMEngine {
  /// What an ingestion did.
  public struct Ingestion: Sendable, Equatable {
    public var entries: UInt64 = 0
    public var tables = 0
    public var bytes: UInt64 = 0
    /// The level that the tables joined.
    public var level = 0
  }

  /// Puts the entries that `next` hands out until it returns nil, all at once or none: they become
  /// visible together, newer than all that was written before, and durable whatever the durability
  /// class. Keys must ascend. The slices must hold until the next call. Writers wait while the
  /// memtables are flushed and the tables join, not while they are written.
  ///
  /// Errors: `invalidArgument` for a key out of order or twice, or out of the limits; what `next`
  /// throws; `readOnly`, `noSpace`, `io`, `closed`. Nothing has changed then; only when the manifest
  /// could be neither written nor replaced, a crash soon after may bring the run back, whole.
  @discardableResult
  public func ingest(
    next: () throws(StorageError) -> (key: ByteSlice, value: ByteSlice)?
  ) throws(StorageError) -> Ingestion {
    try tree.ingest(next)
  }

  /// Puts all entries of the cursor's range.
  @discardableResult
  public func ingest(from cursor: any Cursor) throws(StorageError) -> Ingestion {
    try cursor.seekToFirst()
    var isFirst = true
    return try tree.ingest { () throws(StorageError) in
      if !isFirst { try cursor.next() }
      isFirst = false
      return cursor.isValid ? (cursor.key, cursor.value) : nil
    }
  }

  /// Puts the pairs of a sequence.
  @discardableResult
  public func ingest(
    _ entries: some Sequence<(key: [UInt8], value: [UInt8])>
  ) throws(StorageError) -> Ingestion {
    var iterator = entries.makeIterator()
    return try ingest(pairs: { iterator.next() })
  }

  /// Puts the pairs that `next` hands out until it returns nil.
  @discardableResult
  public func ingest(
    pairs next: () throws(StorageError) -> (key: [UInt8], value: [UInt8])?
  ) throws(StorageError) -> Ingestion {
    var key = OutputBuffer(capacity: 64)
    var value = OutputBuffer(capacity: 256)
    return try tree.ingest { () throws(StorageError) in
      guard let entry = try next() else { return nil }
      entry.key.withSlice { key.assign($0) }
      entry.value.withSlice { value.assign($0) }
      return (key.slice, value.slice)
    }
  }
}

extension LSMTree {
  func ingest(
    _ next: () throws(StorageError) -> (key: ByteSlice, value: ByteSlice)?
  ) throws(StorageError) -> LSMEngine.Ingestion {
    try checkWritable()
    let start = options.clock.nanoseconds
    var writer = IngestionWriter(tree: self)
    do throws(StorageError) {
      while let (key, value) = try next() { try writer.add(key, value) }
      try writer.finish()
      if writer.tables.isEmpty { return LSMEngine.Ingestion() }
      try fileSystem.syncDirectory(options.path)
      try checkOpen()
    } catch {
      // Once the engine closes, whoever opens the directory next removes them.
      try? beforeClosing { discard(writer.numbers) }
      throw error
    }
    var result = writer.result
    result.level = try queue.withExclusive { () throws(StorageError) in
      let watch = StallWatch(options.events, options.clock)
      return try watch.watch("a sorted run joins the tree") { () throws(StorageError) in
        do throws(StorageError) {
          try checkOpen()
          try flushAll()
        } catch {
          try? beforeClosing { discard(writer.numbers) }
          throw error
        }
        let level = try join(writer.tables, start)
        if options.maintenance == .inline { try maintainInline() }
        return level
      }
    }
    return result
  }

  /// Makes tables of all that is in memory, so that the log has nothing before the run and replay
  /// can begin behind it. REQUIRES: the caller leads.
  private func flushAll() throws(StorageError) {
    if !active.isEmpty {
      try waitForMemtableSlot()
      try installMemtable(capacity: 0, keepingOld: true)
    }
    if options.maintenance == .inline {
      while lock.withLock({ state.memtables.count > 1 }) { try flushOldest() }
    } else {
      try waitForFlushes()
    }
  }

  /// Gives the run the next sequence and its place. REQUIRES: the caller leads, memory is empty.
  private func join(_ written: [TableMetadata], _ start: UInt64) throws(StorageError) -> Int {
    let sequence = lastSequence + 1
    // Whatever comes after the run goes to a memtable that only views with the run know: so a view
    // without it, at whatever sequence, shows what was there before.
    let fresh = try Memtable(
      capacity: LSMTree.capacity(tuning, needed: 0), logStart: log?.end ?? replayedEnd,
      sequenceStart: sequence, prefix: active.sharedPrefix)
    let tables = written.map { $0.placed(at: sequence) }
    let reservation = lock.withLock { () -> CompactionJob in
      // A job of its own, so that no other comes in between.
      let level = ingestionLevel(tables)
      let job = CompactionJob(
        reason: .manual, inputs: [.init(level: level, tables: tables)], outputLevel: level,
        targetFileBytes: 0)
      state.runningJobs.append(job)
      return job
    }
    defer {
      lock.withLock {
        if let index = state.runningJobs.firstIndex(of: reservation) {
          state.runningJobs.remove(at: index)
        }
        lock.wakeAll()
      }
    }
    let level = reservation.outputLevel
    var edit = VersionEdit(
      cause: .ingestion,
      durationMilliseconds: (options.clock.nanoseconds - start) / 1_000_000, nextFileNumber: 0,
      replay: .init(lsn: log?.end ?? replayedEnd, sequence: sequence))
    edit.additions = tables.map { .init(level: level, table: $0) }
    do throws(StorageError) {
      try install(edit) { state in
        let bytes = tables.reduce(0) { $0 + $1.fileBytes }
        state.statistics.ingestions += 1
        state.statistics.ingestedBytes += bytes
        state.statistics.bytesWritten[level] += bytes
        state.memtables = [fresh]
        active = fresh
        nextLook = tuning.memtableBytes
      }
    } catch {
      // The record may have reached the medium or not: a manifest without it settles that.
      let isGone: Void? = try? install(
        VersionEdit(cause: .settings, nextFileNumber: 0, replay: .init())
      ) { _ in }
      if isGone != nil { discard(tables.map(\.number)) }
      throw error
    }
    userBytes.wrappingAdd(tables.reduce(0) { $0 + $1.rawBytes }, ordering: .relaxed)
    lastSequence = sequence
    visible.store(sequence, ordering: .releasing)
    return level
  }

  /// The deepest level such that no table in it, above it, or on its way there overlaps the run;
  /// level 0 when there is none. REQUIRES: the lock is held.
  private func ingestionLevel(_ tables: [TableMetadata]) -> Int {
    guard let first = tables.first else { return 0 }
    let range = tables.dropFirst().reduce(first.range) { $0.union($1.range) }
    let shape = state.version.shape
    if shape.levels[0].contains(where: { $0.range.overlaps(range) }) { return 0 }
    var level = 0
    while level < picker.bottom(shape), shape.overlapping(range, level: level + 1).isEmpty {
      level += 1
    }
    for job in state.runningJobs {
      guard let busy = job.range, busy.overlaps(range), let top = job.inputs.map(\.level).min()
      else { continue }
      level = min(level, max(0, top - 1))
    }
    return level
  }
}

extension TableMetadata {
  /// The table with all its entries at `sequence`. REQUIRES: it was written with sequence 0.
  fileprivate func placed(at sequence: UInt64) -> TableMetadata {
    var table = self
    table.globalSequence = sequence
    table.smallestSequence = sequence
    table.largestSequence = sequence
    return table
  }
}

/// Writes ascending entries to tables of the usual size.
private struct IngestionWriter {
  private let tree: LSMTree
  /// Where the tables most likely go.
  private let level: Int
  private(set) var tables: [TableMetadata] = []
  /// Of every file begun.
  private(set) var numbers: [UInt64] = []
  private var builder: TableBuilder?
  private var lastKey: [UInt8] = []
  private var entries: UInt64 = 0

  init(tree: LSMTree) {
    self.tree = tree
    level = tree.lock.withLock { tree.picker.bottom(tree.state.version.shape) }
  }

  var result: LSMEngine.Ingestion {
    LSMEngine.Ingestion(
      entries: entries, tables: tables.count, bytes: tables.reduce(0) { $0 + $1.fileBytes })
  }

  mutating func add(_ key: ByteSlice, _ value: ByteSlice) throws(StorageError) {
    try EngineLimits.checkKey(key.count)
    try EngineLimits.checkValue(value.count, limit: tree.options.maximumValueBytes)
    // Keys have a byte at least, so the first is above no key.
    guard lastKey.withSlice({ $0.compare(key) < 0 }) else {
      throw StorageError(
        .invalidArgument,
        "entry \(entries + 1) of the run, \(printable(key.rawBuffer)), does not come after "
          + "\(printable(lastKey))",
        remedy: "Sort the run by unsigned bytes and give each key once")
    }
    if let builder, builder.byteCount >= tree.tuning.tableBytes { try finish() }
    if builder == nil {
      let fresh = try tree.beforeClosing { () throws(StorageError) in
        try tree.makeBuilder(nil, level: level)
      }
      numbers.append(fresh.number)
      builder = fresh
    }
    try builder?.add(key, EntryTag.make(0, .put), value)
    lastKey.removeAll(keepingCapacity: true)
    lastKey += key.rawBuffer
    entries += 1
    try tree.checkOpen()
  }

  mutating func finish() throws(StorageError) {
    if let builder { tables.append(try builder.finish()) }
    builder = nil
  }
}
