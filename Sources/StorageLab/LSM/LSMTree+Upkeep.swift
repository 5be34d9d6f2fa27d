/// What callers ask of the tree beside reading and writing.
extension LSMTree {
  func checkWritable() throws(StorageError) {
    try checkOpen()
    if options.isReadOnly {
      throw StorageError(
        .readOnly, "the database is open read-only", remedy: "Open it for writing",
        path: options.path)
    }
  }

  func sync() throws(StorageError) {
    try checkOpen()
    if options.isReadOnly { return }
    if let log { try log.sync() } else { try checkpoint() }
  }

  /// Makes tables of everything in memory; the log then holds nothing that must be replayed.
  func checkpoint() throws(StorageError) {
    try checkWritable()
    try queue.withExclusive { () throws(StorageError) in
      try checkOpen()
      if active.isEmpty { return }
      try waitForMemtableSlot()
      try installMemtable(capacity: 0, keepingOld: true)
    }
    try waitForFlushes()
  }

  func waitForFlushes() throws(StorageError) {
    if options.maintenance == .inline {
      return try queue.withExclusive { () throws(StorageError) in
        while lock.withLock({ state.memtables.count > 1 }) { try flushOldest() }
      }
    }
    lock.lock()
    defer { lock.unlock() }
    // Those closed later are not waited for.
    let awaited = state.memtables.dropFirst()
    let attempts = state.flushAttempts
    state.isRetryWanted = true
    lock.wakeAll()
    while awaited.contains(where: { memtable in
      state.memtables.contains { $0 === memtable }
    }) {
      if state.isStopping { throw .closed("the database") }
      if let failure = state.flushFailure, state.flushAttempts > attempts { throw failure }
      lock.wait()
    }
  }

  /// Merges everything into the last level.
  func compact() throws(StorageError) {
    try checkpoint()
    let claimed = try lock.withLock {
      () throws(StorageError) -> ClaimedCompaction? in
      while state.isCompactionHeld && !state.isStopping { lock.wait() }
      state.isCompactionHeld = true
      while !state.runningJobs.isEmpty && !state.isStopping { lock.wait() }
      if state.isStopping { throw .closed("the database") }
      guard let job = fullMerge(state.version.shape) else { return nil }
      return claim(job)
    }
    defer {
      lock.withLock {
        state.isCompactionHeld = false
        lock.wakeAll()
      }
    }
    if let claimed { try run(claimed) }
  }

  /// Nil when the tree is already one run with nothing to drop.
  private func fullMerge(_ shape: TreeShape) -> CompactionJob? {
    let last = picker.bottom(shape)
    let inputs = shape.levels.enumerated().filter { !$0.element.isEmpty }.map {
      CompactionJob.Input(level: $0.offset, tables: $0.element)
    }
    if inputs.isEmpty { return nil }
    let isDone =
      inputs.count == 1 && inputs[0].level == last && tuning.compactionFilter == nil
      && inputs[0].tables.allSatisfy { $0.largestSequence == 0 && $0.rangeTombstones == 0 }
    if isDone { return nil }
    return CompactionJob(
      reason: .manual, inputs: inputs, outputLevel: last,
      targetFileBytes: UInt64(tuning.tableBytes))
  }

  /// Waits until nothing waits for a flush and no compaction is due.
  func settle() throws(StorageError) {
    try checkOpen()
    if options.isReadOnly { return }
    if options.maintenance == .inline {
      return try queue.withExclusive { () throws(StorageError) in
        while lock.withLock({ state.memtables.count > 1 }) { try flushOldest() }
        while try runOneCompaction() {}
      }
    }
    lock.lock()
    let failures = state.statistics.failures
    // What seeks have made due, nobody may have looked at yet.
    lock.wakeAll()
    while isWorkDue {
      if state.isStopping {
        lock.unlock()
        throw .closed("the database")
      }
      if let failure = state.flushFailure ?? state.compactionFailure,
        state.statistics.failures > failures
      {
        lock.unlock()
        throw failure
      }
      lock.wait()
    }
    lock.unlock()
    store.removeObsolete()
  }

  /// REQUIRES: the lock is held.
  private var isWorkDue: Bool {
    if state.memtables.count > 1 || !state.runningJobs.isEmpty || state.isFlushing { return true }
    return picker.pick(shape, busy: [], oldestSnapshot: snapshotSequences.first) != nil
  }

  // MARK: Closing

  /// Flushes, syncs and lets go of everything. Without a log a failed flush is an error, since
  /// then data are lost; with one the data are in it.
  func close() throws(StorageError) {
    if isClosed.exchange(true, ordering: .acquiringAndReleasing) { return }
    defer { letGo() }
    var failure: StorageError?
    do throws(StorageError) {
      try queue.withExclusive { () throws(StorageError) in
        stopThreads()
        if options.isReadOnly { return }
        if !active.isEmpty { try installMemtable(capacity: 0, keepingOld: true) }
        while lock.withLock({ state.memtables.count > 1 }) { try flushOldest() }
      }
    } catch { failure = error }
    stopThreads()
    if let log {
      try log.sync()
    } else if let failure, !options.isReadOnly {
      throw failure
    }
  }

  /// Lets go without making anything durable: what a crash would do.
  func abandon() {
    isClosed.store(true, ordering: .releasing)
    stopThreads()
    letGo()
  }

  private func letGo() {
    store.removeObsolete()
    log?.close()
    manifestLock.withLock { manifest?.close() }
    directory.release()
  }

  // MARK: Statistics

  func statistics() throws(StorageError) -> EngineStatistics {
    try checkOpen()
    var result = EngineStatistics()
    result.record(fileSystem.counters)
    result.userBytesWritten = userBytes.load(ordering: .relaxed)
    result.cacheHits = counters[.cacheHits]
    result.cacheMisses = counters[.cacheMisses]
    result.cacheBytes = cache.bytesInUse
    result.cacheBudget = cache.budget
    let (version, memtables, own) = lock.withLock {
      (state.version, state.memtables, state.statistics)
    }
    let memtableBytes = memtables.reduce(0) { $0 + $1.byteCount }
    result.otherMemoryBytes =
      memtableBytes + store.residentBytes.load(ordering: .relaxed)
    result.logBytes = log?.bytesInUse ?? 0
    let tableBytes = version.shape.levels.joined().reduce(UInt64(0)) { $0 + $1.fileBytes }
    result.diskBytes = Int64(tableBytes) + result.logBytes
    result.openSnapshots = openReaders.load(ordering: .relaxed)
    result.details = details(version, memtableBytes, own)
    return result
  }

  /// Complexity: O(tables).
  func shapeFigures() -> [EngineStatistics.Detail] {
    if (try? checkOpen()) == nil { return [] }
    let (version, memtables) = lock.withLock { (state.version, state.memtables) }
    var shape: [EngineStatistics.Detail] = []
    shape.reserveCapacity(4 + 2 * version.shape.levels.count)
    shape.append(.init("memtables", Double(memtables.count)))
    shape.append(.init("memtables.bytes", Double(memtables.reduce(0) { $0 + $1.byteCount })))
    for (level, tables) in version.shape.levels.enumerated() where !tables.isEmpty {
      shape.append(.init("level.\(level).tables", Double(tables.count)))
      shape.append(.init("level.\(level).bytes", Double(version.shape.bytes(level))))
    }
    shape.append(.init("log.bytes", Double(log?.bytesInUse ?? 0)))
    shape.append(.init("cache.bytes", Double(cache.bytesInUse)))
    return shape
  }

  private func details(
    _ version: LSMVersion, _ memtableBytes: Int, _ own: LSMStatistics
  ) -> [EngineStatistics.Detail] {
    let tables = version.shape.levels.joined()
    var details: [EngineStatistics.Detail] = [
      .init("memtables.bytes", Double(memtableBytes)),
      .init("tables", Double(tables.count)),
      .init("tables.open", Double(store.handles.openCount)),
      .init("tables.entries", Double(tables.reduce(0) { $0 + $1.entries })),
      .init("tables.tombstones", Double(tables.reduce(0) { $0 + $1.tombstones })),
      .init("tables.rangeTombstones", Double(tables.reduce(0) { $0 + $1.rangeTombstones })),
      .init("tables.rawBytes", Double(tables.reduce(0) { $0 + $1.rawBytes })),
      .init("tables.memory", Double(store.residentBytes.load(ordering: .relaxed))),
    ]
    for (level, tables) in version.shape.levels.enumerated()
    where !tables.isEmpty || own.bytesWritten[level] > 0 {
      details.append(.init("level.\(level).tables", Double(tables.count)))
      details.append(.init("level.\(level).bytes", Double(version.shape.bytes(level))))
      details.append(.init("level.\(level).bytesWritten", Double(own.bytesWritten[level])))
    }
    details += filterRates
    details += [
      .init("flushes", Double(own.flushes)),
      .init("flushes.bytes", Double(own.flushedBytes)),
      .init("compactions", Double(own.compactions)),
      .init("compactions.moves", Double(own.moves)),
      .init("compactions.bytesRead", Double(own.compactionBytesRead)),
      .init("compactions.entriesDropped", Double(own.entriesDropped)),
      .init("compactions.filtered", Double(own.entriesFiltered)),
      .init("ingestions", Double(own.ingestions)),
      .init("ingestions.bytes", Double(own.ingestedBytes)),
      .init("merges.folded", Double(own.operandsFolded)),
      .init("compactions.tablesSkipped", Double(own.tablesSkipped)),
      .init("bloom.useful", Double(counters[.bloomUseful])),
      .init("bloom.falsePositives", Double(counters[.bloomFalsePositives])),
      .init("bloom.prefixUseful", Double(counters[.bloomPrefixUseful])),
      .init("seeks.extra", Double(counters[.extraSeeks])),
      .init("stalls", Double(own.stalls)),
      .init("stalls.nanoseconds", Double(own.stallNanoseconds)),
      .init("slowdowns", Double(own.slowdowns)),
      .init("limiter.nanoseconds", Double(limiter?.waitedNanoseconds ?? 0)),
      .init("failures", Double(own.failures)),
    ]
    return details
  }

  /// The share of absent keys that filters let pass: as designed, and as reads found it; the latter
  /// is missing until filters were asked for an absent key.
  private var filterRates: [EngineStatistics.Detail] {
    guard tuning.bloomBitsPerKey > 0 else { return [] }
    let probes = BloomFilter.probes(bitsPerKey: tuning.bloomBitsPerKey)
    let designed = BloomFilter.expectedFalsePositives(
      bitsPerKey: Double(tuning.bloomBitsPerKey), probes: probes)
    var rates = [EngineStatistics.Detail("bloom.designedRate", designed)]
    let passed = Double(counters[.bloomFalsePositives])
    let asked = passed + Double(counters[.bloomUseful])
    if asked > 0 { rates.append(.init("bloom.measuredRate", passed / asked)) }
    return rates
  }
}
