import Synchronization

/// The tree behind `LSMEngine`: state, reads and the writer's path. Flushes, compactions and
/// opening are in extensions.
///
/// Locks, in the order they are taken: the commit queue's leadership; `manifestLock`; `lock`.
final class LSMTree: @unchecked Sendable {
  let options: EngineOptions
  let tuning: LSMTuning
  let directory: EngineDirectory
  let fileSystem: CountingFileSystem
  let counters = LSMCounters()
  let cache: BlockCache
  let store: TableStore
  let picker: any CompactionPicker
  /// What flushes and compactions write by; nil for as fast as they can.
  let limiter: RateLimiter?
  let queue = CommitQueue()
  /// Nil with durability `none` and read-only.
  var log: WriteAheadLog?
  var manifest: ManifestFile?
  let manifestLock = WaitableLock()

  /// The sequence up to which everything is visible to readers.
  let visible: Atomic<UInt64>
  let isClosed = Atomic<Bool>(false)
  let slots: ViewSlots
  /// The manifest names the merge operator, so that operands may be written.
  let isOperatorRecorded: Atomic<Bool>

  // The leader's own.
  /// The memtable that takes writes; the same as `state.memtables[0]`.
  var active: Memtable
  var lastSequence: UInt64 = 0
  /// Nanoseconds of delay that throttled writes have earned and not yet slept.
  var throttleDebt: UInt64 = 0
  /// Operations of a batch that are applied together, and what looks for their places.
  private let together: UnsafeMutablePointer<WriteBatch.Operation>
  private let warmer = SkipListWarmer()
  /// Bytes of the active memtable at which a write looks whether it must wait.
  var nextLook = 0
  /// When the last such look ended.
  var lastLook: UInt64 = 0
  /// Where the log will go on; while it is replayed and without one.
  var replayedEnd: LSN = 0

  /// Guards `state`, and is what background threads and stalled writers wait on.
  let lock = WaitableLock()
  var state: State
  var threads: [LabThread] = []

  let flushPace = FlushPace()

  struct State {
    /// The active one first, then those that wait for their flush, newest first.
    var memtables: [Memtable]
    var version: LSMVersion
    var nextFileNumber: UInt64 = 1
    /// Open snapshots' sequences and how many have each.
    var snapshots: [UInt64: Int] = [:]
    var runningJobs: [CompactionJob] = []
    /// Callers that are about to make or remove a file of the directory by its name.
    var directoryUsers = 0
    /// Compactions may not start: a manual one is under way, or the engine closes.
    var isCompactionHeld = false
    var isFlushing = false
    var isStopping = false
    /// The last flush or compaction failed with this; cleared by success.
    var flushFailure: StorageError?
    var compactionFailure: StorageError?
    var compactionFailuresInARow = 0
    /// Somebody wants a failed flush tried again now.
    var isRetryWanted = false
    /// Flushes tried so far: tells a waiter that one ended.
    var flushAttempts: UInt64 = 0
    /// What `counters[.extraSeeks]` was when level 0 was last merged.
    var extraSeeksPaid: UInt64 = 0
    var statistics = LSMStatistics()
  }

  init(
    options: EngineOptions, tuning: LSMTuning, directory: EngineDirectory,
    fileSystem: CountingFileSystem, manifestState: ManifestState
  ) throws(StorageError) {
    self.options = options
    self.tuning = tuning
    self.directory = directory
    self.fileSystem = fileSystem
    cache = BlockCache(
      budget: options.cacheBytes, counters: counters, blockBytes: tuning.blockBytes)
    store = TableStore(
      directory: options.path, fileSystem: fileSystem, cache: cache,
      maximumOpenTables: tuning.maximumOpenTables, indexSearch: tuning.indexSearch,
      access: tuning.tableAccess)
    picker = tuning.picker
    limiter =
      options.maintenance == .background
      ? tuning.writeBytesPerSecond.map { RateLimiter(bytesPerSecond: $0, clock: options.clock) }
      : nil
    let store = self.store
    let version = LSMVersion(
      manifestState.levels.map { $0.map { TableFile($0, store) } })
    lastSequence = manifestState.replay.sequence
    replayedEnd = manifestState.replay.lsn
    visible = Atomic(lastSequence)
    active = try Memtable(
      capacity: LSMTree.capacity(tuning, needed: 0), logStart: manifestState.replay.lsn,
      sequenceStart: manifestState.replay.sequence, prefix: version.sharedPrefix)
    together = .allocate(capacity: SkipListWarmer.lanes)
    state = State(memtables: [active], version: version)
    nextLook = tuning.memtableBytes
    state.nextFileNumber = manifestState.nextFileNumber
    slots = ViewSlots(
      memtables: [active], version: version, mergeOperator: options.mergeOperator)
    isOperatorRecorded = Atomic(manifestState.mergeOperator != nil)
  }

  deinit { together.deallocate() }

  /// A memtable closes at `memtableBytes`, so some more room lets the last write in.
  static func capacity(_ tuning: LSMTuning, needed: Int) -> Int {
    max(tuning.memtableBytes + tuning.memtableBytes / 8, needed) + Memtable.fixedBytes
  }

  @inline(__always)
  func checkOpen() throws(StorageError) {
    if isClosed.load(ordering: .relaxed) { throw .closed("the database") }
  }

  // MARK: Reading

  @inline(__always)
  func read(
    _ key: ByteSlice, _ body: (ByteSlice) -> Void
  ) throws(StorageError) -> Bool {
    // The view first: what the sequence then says is visible, the view holds or is newer than.
    let view = slots.current()
    let sequence = visible.load(ordering: .acquiring)
    if view.hasMemtableTombstones {
      let moment = exactMoment(view)
      return try view.read(
        key, at: moment.sequence, tombstones: moment.tombstones, body)
    }
    return try view.read(key, at: sequence, body)
  }

  func read(
    _ key: ByteSlice, at sequence: UInt64, _ body: (ByteSlice) -> Void
  ) throws(StorageError) -> Bool {
    let view = slots.current()
    if !view.hasMemtableTombstones { return try view.read(key, at: sequence, body) }
    return try view.read(
      key, at: sequence, tombstones: view.memtableTombstones, body)
  }

  /// A sequence and the memtables' range tombstones that go with it.
  func exactMoment(
    _ view: ReadView
  ) -> (sequence: UInt64, tombstones: [MemtableTombstones?]) {
    while true {
      let sequence = visible.load(ordering: .acquiring)
      let tombstones = view.memtableTombstones
      if tombstones.allSatisfy({ ($0?.exactFrom ?? 0) <= sequence }) {
        return (sequence, tombstones)
      }
    }
  }

  // MARK: Snapshots

  /// Registers the present moment; `release` lets go of it.
  func acquireSnapshot() -> UInt64 {
    openReaders.wrappingAdd(1, ordering: .relaxed)
    return lock.withLock {
      let sequence = visible.load(ordering: .acquiring)
      state.snapshots[sequence, default: 0] += 1
      return sequence
    }
  }

  func release(snapshot sequence: UInt64) {
    openReaders.wrappingSubtract(1, ordering: .relaxed)
    lock.withLock {
      guard let count = state.snapshots[sequence] else { return }
      if count > 1 {
        state.snapshots[sequence] = count - 1
      } else {
        state.snapshots[sequence] = nil
        // What only this snapshot could see may be dropped now.
        lock.wakeAll()
      }
    }
  }

  /// REQUIRES: the lock is held.
  var snapshotSequences: [UInt64] { state.snapshots.keys.sorted() }

  func makeCursor(
    _ range: KeyRange, at snapshot: UInt64?, keeping engine: LSMEngine
  ) -> LSMCursor {
    let view = slots.current()
    var sequence = snapshot ?? visible.load(ordering: .acquiring)
    var tombstones: [MemtableTombstones?] = []
    if view.hasMemtableTombstones {
      if snapshot != nil {
        tombstones = view.memtableTombstones
      } else {
        (sequence, tombstones) = exactMoment(view)
      }
    }
    openReaders.wrappingAdd(1, ordering: .relaxed)
    return LSMCursor(
      tree: self, engine: engine, view, tombstones: tombstones,
      sequence: sequence, range: range)
  }

  // MARK: Writing

  /// Commits a group: room in memory first, so that nothing is logged that cannot be applied;
  /// then the log; then memory; then everybody may see it. REQUIRES: the caller leads.
  @inline(__always)
  func commit(_ group: UnsafeBufferPointer<PendingWrite>) throws(StorageError) {
    try checkOpen()
    try makeRoom(for: group)
    if let log {
      // What a failure leaves of the group, the log takes back.
      var end = log.end
      for write in group { end = try log.append(write) }
      try log.commit(end)
    }
    var bytes: UInt64 = 0
    for write in group { bytes &+= try apply(write) }
    userBytes.wrappingAdd(bytes, ordering: .relaxed)
    visible.store(lastSequence, ordering: .releasing)
  }

  let userBytes = Atomic<UInt64>(0)
  /// Open snapshots and cursors.
  let openReaders = Atomic<Int>(0)

  /// Puts a write's operations into the active memtable under the next sequences. Returns the
  /// bytes of their keys and values.
  @inline(__always)
  func apply(_ write: PendingWrite) throws(StorageError) -> UInt64 {
    if !write.isSingle { return try applyBatch(write) }
    var operations = write.operations
    guard let operation = try operations.next() else { return 0 }
    return apply(operation)
  }

  /// A few operations at a time, whose places in the memtable are looked for together.
  @inline(never)
  private func applyBatch(_ write: PendingWrite) throws(StorageError) -> UInt64 {
    var bytes: UInt64 = 0
    var count = 0
    var operations = write.operations
    while let operation = try operations.next() {
      together[count] = operation
      count &+= 1
      if count == SkipListWarmer.lanes {
        bytes &+= applyTogether(count)
        count = 0
      }
    }
    return bytes &+ applyTogether(count)
  }

  private func applyTogether(_ count: Int) -> UInt64 {
    if count > 1 {
      warmer.begin()
      for index in 0..<count { active.warm(together[index].key, warmer) }
      warmer.run(active.list)
    }
    var bytes: UInt64 = 0
    for index in 0..<count { bytes &+= apply(together[index]) }
    return bytes
  }

  @inline(__always)
  private func apply(_ operation: WriteBatch.Operation) -> UInt64 {
    lastSequence &+= 1
    switch operation.tag {
    case .put:
      active.insert(operation.key, operation.value, EntryTag.make(lastSequence, .put))
    case .delete: active.insert(operation.key, .empty, EntryTag.make(lastSequence, .delete))
    case .merge:
      active.insert(operation.key, operation.value, EntryTag.make(lastSequence, .merge))
    case .deleteRange:
      if operation.key.compare(operation.value) < 0 {
        active.insertRangeTombstone(operation.key, operation.value, sequence: lastSequence) {
          lock.withLock { snapshotSequences } + [visible.load(ordering: .relaxed)]
        }
      }
    }
    return UInt64(operation.key.count &+ operation.value.count)
  }

  /// Bytes that a write may take in the memtable's arena, at most.
  @inline(__always)
  static func arenaBytes(_ write: PendingWrite, remaining: Int) throws(StorageError) -> Int {
    // An operation takes three bytes at least.
    let rough = write.encodedLength + (write.encodedLength / 3 + 1) * SkipList.maximumOverhead
    if rough <= remaining { return rough }
    var count = 0
    var operations = write.operations
    while try operations.next() != nil { count += 1 }
    return write.encodedLength + count * SkipList.maximumOverhead
  }

  @inline(__always)
  private func makeRoom(
    for group: UnsafeBufferPointer<PendingWrite>
  ) throws(StorageError) {
    var needed = 0
    for write in group {
      needed += try LSMTree.arenaBytes(write, remaining: active.remaining - needed)
    }
    if active.byteCount < nextLook && needed <= active.remaining
      && !isThrottled.load(ordering: .relaxed)
    {
      return
    }
    try makeRoomSlowly(needed, groupBytes: group.reduce(0) { $0 + $1.encodedLength })
  }

  /// Level 0 has grown so far that writers must slow down or stop.
  let isThrottled = Atomic<Bool>(false)
}
