import Synchronization

/// Makes the tree durable: freezes it, writes the frozen dirty pages, then a superblock that
/// refers to them. Readers and writers go on meanwhile. `docs/formats/btree.md`,
/// "Checkpoint", argues case by case why a crash at any point loses nothing.
final class BTreeCheckpointer: @unchecked Sendable {
  private let cache: BTreePageCache
  private let space: BTreeSpace
  private let root: BTreeRoot
  private let writer: BTreeWriter
  private let log: WriteAheadLog?
  private let gate: BTreeGate
  private let clock: any LabClock
  private let events: (any EventSink)?

  /// Held for a whole checkpoint, and by whatever must keep checkpoints away.
  let running = WaitableLock()
  // Guarded by `running`.
  private var superblock: BTreeSuperblock
  private var lastSerial: UInt64 = 0
  /// A copy of the superblock was written whose sync failed: the next goes to the same place,
  /// with a higher number, since the other copy is the one that certainly counts.
  private var isInDoubt = false
  private var doubtfulSequence: UInt64 = 0
  /// A sync of pages failed: what was written since the last good one may be lost.
  private var mustRewrite = false

  /// Log position and pages made at the last checkpoint: what the triggers measure from.
  let lastLSN: Atomic<UInt64>
  let lastPagesMade = Atomic<UInt64>(0)
  let completed = Atomic<UInt64>(0)
  let failures = Atomic<UInt64>(0)

  init(
    cache: BTreePageCache, space: BTreeSpace, root: BTreeRoot, writer: BTreeWriter,
    log: WriteAheadLog?, gate: BTreeGate, superblock: BTreeSuperblock, options: EngineOptions
  ) {
    self.cache = cache
    self.space = space
    self.root = root
    self.writer = writer
    self.log = log
    self.gate = gate
    self.superblock = superblock
    clock = options.clock
    events = options.events
    lastLSN = Atomic(superblock.lsn)
  }

  /// The newest durable superblock. REQUIRES: `running` is held.
  var current: BTreeSuperblock { superblock }

  /// Runs one checkpoint, unless nothing changed since the last and it is not `forced`. Then
  /// the room of free pages goes back to the file system: of all with `trims`, else of those
  /// beyond what the time between two checkpoints needed.
  ///
  /// Errors: `noSpace`, `io`, `corruption`: nothing is lost, and a later one may succeed.
  func run(trims: Bool, forced: Bool = false) throws(StorageError) {
    running.lock()
    defer { running.unlock() }
    try runLocked(trims: trims, forced: forced)
  }

  /// Runs a checkpoint that fell due. The writes that made it due are done, so a failure is
  /// an event and nobody's error; the next attempt waits for as much work again.
  func runReporting() {
    let start = clock.nanoseconds
    do throws(StorageError) { try run(trims: false) } catch {
      lastLSN.store(log?.end ?? 0, ordering: .relaxed)
      lastPagesMade.store(writer.counters.pagesMade, ordering: .relaxed)
      events?.record(
        Event(
          .failure(task: "checkpoint", message: error.description), start: start,
          durationNanoseconds: clock.nanoseconds - start))
    }
  }

  /// As `run`. REQUIRES: `running` is held.
  func runLocked(trims: Bool, forced: Bool = false) throws(StorageError) {
    let start = clock.nanoseconds
    var plan: BTreeSpace.CheckpointPlan?
    var next = superblock
    var made: UInt64 = 0
    var serial: UInt64 = 0
    let madeBefore = lastPagesMade.load(ordering: .relaxed)
    try gate.freeze { (lsn) throws(StorageError) in
      serial = writer.serial
      let isChanged = serial != lastSerial || lsn != superblock.lsn || isInDoubt
      let count = space.counts.pages
      let isShorter = space.trimTail() < count
      if !isChanged && !isShorter && !forced { return }
      next.root = root.id
      next.height = UInt32(root.height)
      next.lsn = lsn
      next.entries = writer.entries
      made = writer.counters.pagesMade
      plan = try space.beginCheckpoint(
        root: root.id, height: root.height, entries: writer.entries, serial: serial)
    }
    guard let plan else {
      if trims { giveBackRoom(keeping: 0) }
      return
    }
    next.sequence = isInDoubt ? doubtfulSequence + 2 : superblock.sequence + 1
    next.epoch = plan.holder.epoch
    next.pageCount = UInt64(plan.pageCount)
    next.freePages = UInt64(plan.freePages)
    next.census = plan.census
    next.freeListHead = plan.list.first?.id ?? 0
    next.freeListPages = UInt32(plan.list.count)
    let pages = try write(plan, &next)
    let released = next.lsn - superblock.lsn
    superblock = next
    lastSerial = serial
    lastLSN.store(next.lsn, ordering: .relaxed)
    lastPagesMade.store(made, ordering: .relaxed)
    completed.wrappingAdd(1, ordering: .relaxed)
    space.completeCheckpoint(plan)
    // Old segments that cannot be removed now are released by the next checkpoint.
    try? log?.release(before: next.lsn)
    // The checkpoint stands: room that cannot be given back now is given back by the next.
    try? truncate(plan)
    giveBackRoom(keeping: trims ? 0 : Int(made &- madeBefore))
    events?.record(
      Event(
        .checkpoint(pages: pages, logBytesReleased: released), start: start,
        durationNanoseconds: clock.nanoseconds - start))
  }

  /// Writes pages, free list and both copies of the superblock, each durable before the next
  /// depends on it; `next` is the last copy then.
  private func write(
    _ plan: BTreeSpace.CheckpointPlan, _ next: inout BTreeSuperblock
  ) throws(StorageError) -> Int {
    var pages = 0
    do throws(StorageError) {
      if mustRewrite { try markSinceDurable(plan.holder) }
      pages = try cache.writeFrozen(cache.dirtyPages(), through: plan.holder.epoch)
      try writeFreeList(plan)
      mustRewrite = true
      try cache.file.sync()
      mustRewrite = false
    } catch {
      failures.wrappingAdd(1, ordering: .relaxed)
      space.abandonCheckpoint(plan, superblockInDoubt: false)
      throw error
    }
    do throws(StorageError) {
      try writeSuperblock(next)
      // Before anything is let go that only the state before needs: from now on one copy may be
      // damaged, whichever it is.
      next = next.twin
      try writeSuperblock(next)
      isInDoubt = false
    } catch {
      failures.wrappingAdd(1, ordering: .relaxed)
      doubtfulSequence = next.sequence
      isInDoubt = true
      mustRewrite = true
      space.abandonCheckpoint(plan, superblockInDoubt: true)
      throw error
    }
    return pages + plan.list.count
  }

  private func writeSuperblock(_ block: BTreeSuperblock) throws(StorageError) {
    try cache.file.write(block.encode(), at: Int64(block.slot) * Int64(cache.pageSize))
    try cache.file.sync()
  }

  private func writeFreeList(_ plan: BTreeSpace.CheckpointPlan) throws(StorageError) {
    if plan.list.isEmpty { return }
    let memory = UnsafeMutableRawPointer.allocate(byteCount: cache.pageSize, alignment: 4096)
    defer { memory.deallocate() }
    let image = BTreePage(memory, size: cache.pageSize)
    for (index, part) in plan.list.enumerated() {
      memory.initializeMemory(as: UInt8.self, repeating: 0, count: cache.pageSize)
      image.format(.freeList, level: 0, epoch: plan.holder.epoch, id: part.id)
      image.payloadLength = part.payload.count
      image.link = index + 1 < plan.list.count ? plan.list[index + 1].id : 0
      part.payload.withSlice { slice in
        image.payload.copyMemory(from: slice.base, byteCount: slice.count)
      }
      image.seal(part.id)
      try cache.writeLock.withLock { () throws(StorageError) in
        try cache.file.write(
          UnsafeRawBufferPointer(start: memory, count: cache.pageSize),
          at: cache.fileOffset(part.id))
      }
    }
  }

  /// After a failed sync: everything newer than the durable superblock is written again,
  /// also what left the cache meanwhile. The file's copy was checked when it came back.
  private func markSinceDurable(_ holder: BTreeSpace.Holder) throws(StorageError) {
    try rewrite(holder.root, holder.epoch)
  }

  private func rewrite(_ id: UInt32, _ epoch: UInt64) throws(StorageError) {
    let page = try cache.pin(id)
    defer { cache.unpin(id) }
    // What lies below a page of an older checkpoint is at least as old.
    if page.epoch <= superblock.epoch { return }
    cache.markDirty(id)
    if page.mayHaveChains {
      for index in 0..<page.count where page.slot(index).hasChain {
        let reference = ChainReference(page.payload(page.slot(index)))
        try cache.forEachPage(of: reference) { (id, created, _) throws(StorageError) in
          if created <= superblock.epoch { return }
          _ = try cache.pin(id)
          cache.markDirty(id)
          cache.unpin(id)
        }
      }
    }
    guard page.isBranch else { return }
    for index in 0...page.count { try rewrite(page.child(index), epoch) }
  }

  /// Gives the room of free pages back to the file system, but for about `kept` that will be
  /// written to soon. REQUIRES: the newest superblock is durable, so that whatever counts as
  /// free is free after a crash too.
  private func giveBackRoom(keeping kept: Int) {
    for run in space.surplus(keeping: kept) {
      var start = run.start
      while start < run.start + run.length {
        let length = min(BTreeCheckpointer.pagesPunchedAtOnce, run.start + run.length - start)
        // The pages stay free and take room as before when it fails; nothing depends on it.
        guard punch((start, length)) else { return }
        start += length
      }
    }
  }

  /// Few enough for writers not to miss them.
  private static let pagesPunchedAtOnce = 4096

  /// False when the file system would not.
  private func punch(_ run: BTreeSpace.Run) -> Bool {
    guard space.withdraw(run) else { return true }
    do throws(StorageError) {
      try cache.file.punchHole(
        offset: cache.fileOffset(UInt32(run.start)),
        length: Int64(run.length) * Int64(cache.pageSize))
    } catch {
      space.putBack(run, isSolid: true)
      return false
    }
    space.putBack(run, isSolid: false)
    return true
  }

  /// Gives the file's free tail back, unless a writer already uses it again.
  private func truncate(_ plan: BTreeSpace.CheckpointPlan) throws(StorageError) {
    try gate.freeze { (_) throws(StorageError) in
      let end = Int64(plan.pageCount) * Int64(cache.pageSize)
      guard space.counts.pages == plan.pageCount, try cache.file.size() > end else { return }
      try cache.writeLock.withLock { () throws(StorageError) in
        try cache.file.truncate(to: end)
      }
    }
  }
}
