/// Memtables: closing a full one, making it a table, making writers wait.
extension LSMTree {
  // MARK: The writer's side

  /// Closes the active memtable when it is full and waits when too much is waiting.
  /// REQUIRES: the caller leads.
  func makeRoomSlowly(_ needed: Int, groupBytes: Int) throws(StorageError) {
    guard needed <= MemtableArena.maximumCapacity / 2 else {
      throw StorageError(
        .invalidArgument, "the write has \(groupBytes) bytes, too many at once",
        remedy: "Split the batch")
    }
    try throttle(groupBytes)
    if active.byteCount < tuning.memtableBytes && needed <= active.remaining {
      return keepPace()
    }
    if active.isEmpty {
      // Only too small for this write: one of its size takes the place.
      return try installMemtable(capacity: needed, keepingOld: false)
    }
    try waitForMemtableSlot()
    try installMemtable(capacity: needed, keepingOld: true)
    if options.maintenance == .inline { try maintainInline() }
  }

  /// Replaces the active memtable; the old one then waits for its flush.
  /// REQUIRES: the caller leads.
  func installMemtable(capacity: Int, keepingOld: Bool) throws(StorageError) {
    let fresh = try Memtable(
      capacity: LSMTree.capacity(tuning, needed: capacity), logStart: log?.end ?? replayedEnd,
      sequenceStart: lastSequence, prefix: active.sharedPrefix)
    lock.withLock {
      if !keepingOld { state.memtables.removeFirst() }
      state.memtables.insert(fresh, at: 0)
      active = fresh
      nextLook = FlushPace.firstLook(tuning.memtableBytes, mayWait: keepingOld && isBackground)
      slots.publish(memtables: state.memtables, version: state.version)
      lock.wakeAll()
    }
  }

  private var isBackground: Bool { options.maintenance == .background }

  /// While the last memtable is being flushed, lets the writer wait a little now and then, so
  /// that the flush ends before this memtable is full. REQUIRES: the caller leads.
  private func keepPace() {
    if active.byteCount < nextLook { return }
    let now = options.clock.nanoseconds
    let (delay, next) = flushPace.delay(
      filled: active.byteCount, of: tuning.memtableBytes, now: now, sinceLastLook: now &- lastLook)
    nextLook = next
    lastLook = now
    guard delay > 0 else { return }
    lock.lock()
    defer { lock.unlock() }
    let attempts = state.flushAttempts
    var isWoken = true
    while isWoken && !state.isStopping && state.flushAttempts == attempts
      && options.clock.nanoseconds &- now < delay
    {
      isWoken = lock.wait(nanoseconds: delay - min(delay, options.clock.nanoseconds &- now))
    }
    lastLook = options.clock.nanoseconds
    state.statistics.slowdowns += 1
    options.events?.record(
      Event(
        .stall(cause: "a flush is behind: writes slowed down"), start: now,
        durationNanoseconds: lastLook &- now))
  }

  /// Waits until fewer than the allowed memtables wait for their flush.
  /// Errors: what the flush failed with, when it failed again while we waited.
  func waitForMemtableSlot() throws(StorageError) {
    if options.maintenance == .inline {
      // Flushed at once when closed, so something waits only after a failure: try again.
      while lock.withLock({ state.memtables.count > 1 }) { try flushOldest() }
      return
    }
    lock.lock()
    defer { lock.unlock() }
    if state.memtables.count - 1 < tuning.waitingMemtables { return }
    let start = options.clock.nanoseconds
    let attempts = state.flushAttempts
    state.isRetryWanted = true
    lock.wakeAll()
    while state.memtables.count - 1 >= tuning.waitingMemtables {
      if state.isStopping { throw .closed("the database") }
      if let failure = state.flushFailure, state.flushAttempts > attempts {
        throw LSMTree.refusal(failure)
      }
      lock.wait()
    }
    noteStall("memtables wait for their flush", start)
  }

  static func refusal(_ cause: StorageError) -> StorageError {
    cause.code == .noSpace
      ? cause
      : StorageError(
        .writesRefused, "memory is full and the flush fails: \(cause.message)",
        remedy: "Remove the cause; the next write tries again", path: cause.path,
        offset: cause.offset)
  }

  /// Slows the writer down when level 0 is long, stops it when it is too long.
  private func throttle(_ groupBytes: Int) throws(StorageError) {
    guard isThrottled.load(ordering: .relaxed) else { return }
    if options.maintenance == .inline {
      while try runOneCompaction() {}
      return
    }
    let start = options.clock.nanoseconds
    lock.lock()
    defer { lock.unlock() }
    let runs = picker.pendingRuns(state.version.shape)
    if runs < tuning.levelZeroStop { return slowDown(groupBytes, runs, start) }
    while picker.pendingRuns(state.version.shape) >= tuning.levelZeroStop {
      if state.isStopping { throw .closed("the database") }
      if let failure = state.compactionFailure { throw LSMTree.refusal(failure) }
      lock.wait()
    }
    noteStall("level 0 is full", start)
  }

  /// Lets the writer wait for what its bytes cost at this many runs, or until merging caught up.
  /// REQUIRES: the lock is held.
  private func slowDown(_ groupBytes: Int, _ runs: Int, _ start: UInt64) {
    let delay = WriteDelay(slowdown: tuning.levelZeroSlowdown, stop: tuning.levelZeroStop)
    throttleDebt += UInt64(Double(groupBytes) * delay.nanosecondsPerByte(runs: runs))
    // A sleep takes some time of its own: short ones are saved up.
    guard throttleDebt > 1_000_000 else { return }
    let end = start + throttleDebt
    throttleDebt = 0
    var now = start
    while now < end && !state.isStopping && isThrottled.load(ordering: .relaxed) {
      let isWoken = lock.wait(nanoseconds: end - now)
      now = options.clock.nanoseconds
      if !isWoken { break }
    }
    state.statistics.slowdowns += 1
    options.events?.record(
      Event(
        .stall(cause: "level 0 is long: writes slowed down"), start: start,
        durationNanoseconds: now - start))
  }

  /// REQUIRES: the lock is held.
  private func noteStall(_ cause: String, _ start: UInt64) {
    let duration = options.clock.nanoseconds - start
    state.statistics.stalls += 1
    state.statistics.stallNanoseconds += duration
    options.events?.record(
      Event(.stall(cause: cause), start: start, durationNanoseconds: duration))
  }

  // MARK: Flushing

  /// Makes the oldest waiting memtable a table of level 0 and lets go of its part of the
  /// log. One caller at a time. Errors: as `File.write`; the memtable then stays.
  func flushOldest() throws(StorageError) {
    let claimed = lock.withLock { () -> (old: Memtable, next: Memtable, snapshots: [UInt64])? in
      let count = state.memtables.count
      if count < 2 { return nil }
      return (state.memtables[count - 1], state.memtables[count - 2], snapshotSequences)
    }
    guard let claimed else { return }
    let start = options.clock.nanoseconds
    flushPace.begin(entries: claimed.old.entryCount, now: start)
    defer { flushPace.end() }
    do throws(StorageError) {
      try flush(
        claimed.old, next: claimed.next, snapshots: claimed.snapshots, start: start)
      lock.withLock {
        state.flushFailure = nil
        state.flushAttempts += 1
        lock.wakeAll()
      }
    } catch {
      lock.withLock {
        state.flushFailure = error
        state.flushAttempts += 1
        state.statistics.failures += 1
        lock.wakeAll()
      }
      options.events?.record(
        Event(
          .failure(task: "flush", message: error.description), start: start,
          durationNanoseconds: options.clock.nanoseconds - start))
      throw error
    }
  }

  private func flush(
    _ memtable: Memtable, next: Memtable, snapshots: [UInt64], start: UInt64
  ) throws(StorageError) {
    var edit = VersionEdit(
      cause: .flush, nextFileNumber: 0,
      replay: .init(lsn: next.logStart, sequence: next.sequenceStart))
    var fold = fold
    let table = try buildTable(memtable, snapshots, &fold)
    edit.durationMilliseconds = (options.clock.nanoseconds - start) / 1_000_000
    if let table { edit.additions = [.init(level: 0, table: table)] }
    try install(
      edit,
      whenInstalled: { state in
        state.memtables.removeLast()
        state.statistics.flushes += 1
        state.statistics.operandsFolded += fold.folded
        state.statistics.flushedBytes += table?.fileBytes ?? 0
        state.statistics.bytesWritten[0] += table?.fileBytes ?? 0
      })
    try log?.release(before: next.logStart)
    options.events?.record(
      Event(
        .flush(bytes: table?.fileBytes ?? 0, tables: table == nil ? 0 : 1), start: start,
        durationNanoseconds: options.clock.nanoseconds - start))
  }

  /// Writes a memtable's visible versions as one table; nil when nothing is left of it.
  private func buildTable(
    _ memtable: Memtable, _ snapshots: [UInt64], _ fold: inout OperandFold
  ) throws(StorageError) -> TableMetadata? {
    let tombstones =
      memtable.currentTombstones?.flattened(boundaries: snapshots) ?? RangeTombstones.empty
    if !memtable.hasEntries && tombstones.isEmpty { return nil }
    let builder = try makeBuilder(.flush, level: 0)
    do throws(StorageError) {
      var previous: SkipList.Node?
      var keptStripe = Int.max
      var node = memtable.list.first
      var steps = 0
      while let current = node {
        steps &+= 1
        if steps & 0xfff == 0 { flushPace.note(entries: steps) }
        let key = SkipList.key(current)
        let tag = SkipList.tag(current)
        if let previous, SkipList.key(previous) == key {
          // Another version of the same key: kept only for a snapshot.
        } else {
          if fold.isPending, let previous {
            _ = try end(&fold, SkipList.key(previous), on: .unknown, builder)
          }
          keptStripe = Int.max
        }
        let stripe =
          snapshots.isEmpty ? 0 : RangeTombstones.stripe(EntryTag.sequence(tag), snapshots)
        let isHidden =
          !tombstones.isEmpty
          && tombstones.hides(key, EntryTag.sequence(tag), stripe: stripe, snapshots)
        if stripe == keptStripe {
          if fold.isPending {
            if EntryTag.isMerge(tag) && !isHidden {
              fold.add(tag, SkipList.value(current))
            } else {
              let isBase = EntryTag.isPut(tag) && !isHidden
              let base = isBase ? OperandFold.Base.value(SkipList.value(current)) : .nothing
              if try end(&fold, key, on: base, builder), !isHidden {
                try builder.add(key, tag, SkipList.value(current))
              }
            }
          }
        } else if !isHidden {
          if fold.isPending { _ = try end(&fold, key, on: .unknown, builder) }
          keptStripe = stripe
          if EntryTag.isMerge(tag) {
            fold.add(tag, SkipList.value(current))
          } else {
            try builder.add(key, tag, SkipList.value(current))
          }
        }
        previous = current
        node = memtable.list.next(current)
      }
      if fold.isPending, let previous {
        _ = try end(&fold, SkipList.key(previous), on: .unknown, builder)
      }
      builder.setRangeTombstones(tombstones.fragments)
      let table = try builder.finish()
      try fileSystem.syncDirectory(options.path)
      return table
    } catch {
      discard([builder.number])
      throw error
    }
  }

  /// What flushes and compactions fold the operands of merges with.
  var fold: OperandFold {
    OperandFold(options.mergeOperator, maximumBytes: options.maximumValueBytes)
  }

  /// Writes what a run of operands came to; returns whether the base's own entry stays.
  private func end(
    _ fold: inout OperandFold, _ key: ByteSlice, on base: OperandFold.Base,
    _ builder: TableBuilder
  ) throws(StorageError) -> Bool {
    let (outputs, isBaseKept) = try fold.end(key, on: base)
    for output in outputs {
      try output.value.withSlice { (value) throws(StorageError) in
        try builder.add(key, output.tag, value)
      }
    }
    return isBaseKept
  }

  /// A builder for a new table of a level, whose writes have this urgency; nil writes without limit.
  func makeBuilder(
    _ urgency: WriteTurns.Urgency?, level: Int
  ) throws(StorageError) -> TableBuilder {
    let number = lock.withLock {
      defer { state.nextFileNumber += 1 }
      return state.nextFileNumber
    }
    let file = try fileSystem.open(store.path(number), .truncate)
    var builderOptions = tuning.builderOptions(level: level)
    if let limiter, let urgency { builderOptions.limiter = .init(limiter, urgency) }
    return TableBuilder(file, number: number, options: builderOptions)
  }

  /// Removes files that no manifest ever named. What cannot be removed now, the next open
  /// removes.
  func discard(_ numbers: [UInt64]) {
    for number in numbers { try? fileSystem.remove(store.path(number)) }
  }

  // MARK: The manifest

  /// Makes `edit` durable, builds the version that it leads to and publishes it, together
  /// with what `whenInstalled` changes.
  func install(
    _ edit: VersionEdit, whenInstalled: (inout State) -> Void
  ) throws(StorageError) {
    manifestLock.lock()
    defer { manifestLock.unlock() }
    guard let manifest else { throw StorageError(.readOnly, "the database is open read-only") }
    var edit = edit
    edit.unixMilliseconds = options.clock.unixMilliseconds
    if edit.cause != .flush && edit.cause != .ingestion { edit.replay = manifest.state.replay }
    let current = lock.withLock {
      edit.nextFileNumber = state.nextFileNumber
      return state.version
    }
    try manifest.append(edit)
    var files: [UInt64: TableFile] = [:]
    for table in current.levels.flatMap(\.tables) { files[table.metadata.number] = table }
    let version = LSMVersion(
      manifest.state.levels.map { $0.map { files[$0.number] ?? TableFile($0, store) } })
    let kept = Set(manifest.state.levels.joined().map(\.number))
    for (number, file) in files where !kept.contains(number) { file.markObsolete() }
    lock.withLock {
      state.version = version
      current.isSuperseded.store(true, ordering: .relaxed)
      whenInstalled(&state)
      slots.publish(memtables: state.memtables, version: version)
      updateThrottle()
      lock.wakeAll()
    }
  }

  /// REQUIRES: the lock is held.
  func updateThrottle() {
    isThrottled.store(
      picker.pendingRuns(state.version.shape) >= tuning.levelZeroSlowdown, ordering: .relaxed)
  }
}
