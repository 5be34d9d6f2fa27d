extension BTreeEngine {
  public func statistics() throws(StorageError) -> EngineStatistics {
    try checkOpen()
    var result = EngineStatistics()
    result.record(counters)
    let (entries, counts, userBytes, height) = gate.lock.withLock {
      (writer.entries, writer.counters, writer.counters.userBytes, root.height)
    }
    let pages = space.counts
    let misses = cache.misses.load(ordering: .relaxed)
    let accesses = self.accesses.value
    result.userBytesWritten = userBytes
    result.cacheMisses = misses
    result.cacheHits = accesses > misses ? accesses - misses : 0
    result.cacheBytes = cache.residentBytes
    result.cacheBudget = cache.budget * cache.pageSize
    result.logBytes = log?.bytesInUse ?? 0
    let holeBytes = Int64(pages.holes) * Int64(cache.pageSize)
    result.diskBytes = try max(0, cache.file.size() - holeBytes) + result.logBytes
    result.entries = entries
    result.openSnapshots = openSnapshots.load(ordering: .relaxed)
    let accounts = space.accounts()
    result.details = [
      .init("height", Double(height)),
      .init("page.size", Double(cache.pageSize)),
      .init("pages", Double(pages.pages)),
      .init("pages.free", Double(pages.free)),
      .init("pages.punched", Double(pages.holes)),
      .init("pages.held", Double(pages.dead)),
      .init("pages.freeList", Double(pages.list)),
      .init("splits", Double(counts.splits)),
      .init("merges", Double(counts.merges)),
      .init("shares", Double(counts.shares)),
      .init("pageCopies", Double(counts.pageCopies)),
      .init("pagesMade", Double(counts.pagesMade)),
      .init("evictions", Double(cache.evictions.load(ordering: .relaxed))),
      .init("pagesWrittenEarly", Double(cache.spilledPages.load(ordering: .relaxed))),
      .init("checkpoints", Double(checkpointer.completed.load(ordering: .relaxed))),
      .init("checkpoints.failed", Double(checkpointer.failures.load(ordering: .relaxed))),
      .init("epoch", Double(accounts.epoch)),
    ]
    if let oldest = accounts.snapshots.first {
      result.details.append(.init("snapshot.oldestEpoch", Double(oldest.epoch)))
    }
    return result
  }
}

extension BTreeEngine {
  /// Complexity: O(snapshots).
  public func shape() -> [EngineStatistics.Detail] {
    if (try? checkOpen()) == nil { return [] }
    let (kinds, made, height) = gate.lock.withLock {
      (writer.kinds, writer.counters.pagesMade, root.height)
    }
    let pages = space.counts
    // Those of the newest tree, without the superblocks.
    let tree = pages.pages - Int(BTreePage.firstPage) - pages.free - pages.dead - pages.list
    var shape: [EngineStatistics.Detail] = [.init("page.size", Double(cache.pageSize))]
    if let kinds {
      shape += [
        .init("pages.leaf", Double(tree - kinds.branches - kinds.overflow)),
        .init("pages.branch", Double(kinds.branches)),
        .init("pages.overflow", Double(kinds.overflow)),
      ]
    } else {
      shape.append(.init("pages.tree", Double(tree)))
    }
    let lastMade = checkpointer.lastPagesMade.load(ordering: .relaxed)
    return shape + [
      .init("pages.held", Double(pages.dead)),
      .init("pages.freeList", Double(pages.list)),
      .init("pages.free", Double(pages.free)),
      .init("pages.sinceCheckpoint", Double(made &- lastMade)),
      .init("height", Double(height)),
      .init("log.bytes", Double(log?.bytesInUse ?? 0)),
      .init("cache.bytes", Double(cache.residentBytes)),
    ]
  }
}

extension BTreeEngine {
  /// The registry's entry, with the tuning by default.
  public static let registryEntry = EngineRegistry.Entry(
    name: engineName,
    summary: "copy-on-write B-tree under a write-ahead log; snapshots and checkpoints in O(1)",
    variants: [
      .init(name: "small", summary: "checkpoints within some dozen writes: for tests") {
        (options) throws(StorageError) in try BTreeEngine.open(options, .small)
      }
    ],
    tuned: { (setting) throws(StorageError) in
      var tuning = BTreeTuning()
      tuning.pageSize = try SettingText.pageBytes(
        setting, engine: engineName, "a power of two from 4KiB to 64KiB")
      try tuning.validate()
      return .init(name: setting, summary: "the B-tree, tuned") {
        [tuning] (options) throws(StorageError) in try BTreeEngine.open(options, tuning)
      }
    },
    tools: tools
  ) { (options) throws(StorageError) in try BTreeEngine.open(options) }
}
