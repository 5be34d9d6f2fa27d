/// Compactions: choosing, running, installing, and the threads that do so.
extension LSMTree {
  /// The next job that may run now. REQUIRES: the lock is held.
  private func claimJob() -> ClaimedCompaction? {
    if state.isCompactionHeld || state.isStopping { return nil }
    let snapshots = snapshotSequences
    let queue = CompactionQueue(running: state.runningJobs, threads: tuning.compactionThreads)
    guard let job = queue.next(picker, shape, oldestSnapshot: snapshots.first) else { return nil }
    return claim(job)
  }

  /// REQUIRES: the lock is held.
  func claim(_ job: CompactionJob) -> ClaimedCompaction {
    state.runningJobs.append(job)
    return ClaimedCompaction(
      job: job, version: state.version, snapshots: snapshotSequences, moment: filterMoment)
  }

  /// The time by which a compaction's filter judges: none later than that of any snapshot which the
  /// compaction does not know. REQUIRES: the lock is held.
  var filterMoment: UInt64 {
    tuning.compactionFilter == nil ? 0 : options.clock.unixMilliseconds
  }

  /// What the picker decides on. REQUIRES: the lock is held.
  var shape: TreeShape {
    var shape = state.version.shape
    shape.extraSeeks = counters[.extraSeeks] &- state.extraSeeksPaid
    return shape
  }

  private static let seeksBetweenLooks: UInt64 = 4096

  /// A cursor looked into `tables` tables of level 0 that a merge would spare it.
  @inline(__always)
  func noteExtraSeeks(_ tables: UInt64) {
    let total = counters.add(.extraSeeks, tables)
    // Now and then whoever compacts looks whether that is enough.
    if total % LSMTree.seeksBetweenLooks < tables { lock.withLock { lock.wakeAll() } }
  }

  /// Runs the most urgent compaction, if one is due; returns whether one was.
  /// Errors: `corruption`, `noSpace`, `io`; the tree is then as before.
  func runOneCompaction() throws(StorageError) -> Bool {
    guard let claimed = lock.withLock({ claimJob() }) else {
      store.removeObsolete()
      return false
    }
    try run(claimed)
    return true
  }

  /// Runs a claimed job to its end. The files that it made obsolete are gone before anyone who
  /// waits for the job goes on, unless a reader still needs them.
  func run(_ claimed: consuming ClaimedCompaction) throws(StorageError) {
    let start = options.clock.nanoseconds
    let job = claimed.job
    do throws(StorageError) {
      if job.isTrivialMove {
        _ = consume claimed
        try move(job)
      } else {
        try merge(claimed, start)
      }
      store.removeObsolete()
      endJob(job, failure: nil)
    } catch {
      let isCancelled = lock.withLock { state.isStopping }
      endJob(job, failure: isCancelled ? nil : error)
      if !isCancelled {
        options.events?.record(
          Event(
            .failure(task: "compaction", message: error.description), start: start,
            durationNanoseconds: options.clock.nanoseconds - start))
      }
      throw error
    }
  }

  private func endJob(_ job: CompactionJob, failure: StorageError?) {
    lock.withLock {
      if let index = state.runningJobs.firstIndex(of: job) { state.runningJobs.remove(at: index) }
      state.compactionFailure = failure
      state.compactionFailuresInARow = failure == nil ? 0 : state.compactionFailuresInARow + 1
      if failure != nil { state.statistics.failures += 1 }
      lock.wakeAll()
    }
  }

  private func move(_ job: CompactionJob) throws(StorageError) {
    var edit = VersionEdit(
      cause: .move, reason: job.reason, nextFileNumber: 0, replay: .init())
    for input in job.inputs {
      for table in input.tables {
        edit.removals.append(.init(level: input.level, number: table.number))
        edit.additions.append(.init(level: job.outputLevel, table: table))
      }
    }
    try install(edit) { state in
      state.statistics.moves += UInt64(job.tables.count)
      noteMerged(job, &state)
    }
  }

  private func noteMerged(_ job: CompactionJob, _ state: inout State) {
    if job.inputs.contains(where: { $0.level == 0 }) {
      state.extraSeeksPaid = counters[.extraSeeks]
    }
  }

  private func merge(
    _ claimed: consuming ClaimedCompaction, _ start: UInt64
  ) throws(StorageError) {
    let job = claimed.job
    let version = claimed.version
    var begun: [UInt64] = []
    let output: CompactionRun.Output
    do throws(StorageError) {
      let run = CompactionRun(
        job: job, version: version, snapshots: claimed.snapshots, fold: fold,
        filter: tuning.compactionFilter, moment: claimed.moment,
        makeBuilder: { [self] () throws(StorageError) -> TableBuilder in
          let builder = try makeBuilder(.compaction, level: job.outputLevel)
          begun.append(builder.number)
          return builder
        },
        isCancelled: { [self] in lock.withLock { state.isStopping } })
      output = try run.run()
      if !output.tables.isEmpty { try fileSystem.syncDirectory(options.path) }
    } catch {
      let cause = cause(of: error, job, version, outputs: begun)
      discard(begun)
      throw cause
    }
    var edit = VersionEdit(
      cause: .compaction,
      durationMilliseconds: (options.clock.nanoseconds - start) / 1_000_000, reason: job.reason,
      nextFileNumber: 0, replay: .init())
    for input in job.inputs {
      for table in input.tables {
        edit.removals.append(.init(level: input.level, number: table.number))
      }
    }
    edit.additions = output.tables.map { .init(level: job.outputLevel, table: $0) }
    // After a failure here the manifest may or may not hold the edit: the files stay.
    try install(edit) { state in
      state.statistics.compactions += 1
      noteMerged(job, &state)
      state.statistics.compactionBytesRead += output.bytesRead
      state.statistics.entriesDropped += output.entriesDropped
      state.statistics.entriesFiltered += output.entriesFiltered
      state.statistics.operandsFolded += output.operandsFolded
      state.statistics.tablesSkipped += UInt64(output.tablesSkipped)
      state.statistics.bytesWritten[job.outputLevel] += output.bytesWritten
    }
    options.events?.record(
      Event(
        .compaction(
          level: job.inputs.first?.level ?? 0, bytesRead: output.bytesRead,
          bytesWritten: output.bytesWritten), start: start,
        durationNanoseconds: options.clock.nanoseconds - start))
  }

  /// Keys that would make an output wrong come from an input that is: the first that fails its own
  /// check is named.
  private func cause(
    of failure: StorageError, _ job: CompactionJob, _ version: LSMVersion, outputs: [UInt64]
  ) -> StorageError {
    guard failure.code == .corruption, outputs.contains(where: { store.path($0) == failure.path })
    else { return failure }
    var report = VerificationReport()
    for input in job.inputs {
      let numbers = Set(input.tables.map(\.number))
      for table in version.levels[input.level].tables
      where numbers.contains(table.metadata.number) {
        do throws(StorageError) {
          try TableVerifier(table, store).verify(&report)
        } catch {
          return error
        }
      }
    }
    return failure
  }

  // MARK: Inline

  /// Does all that is due on the calling thread. A failure is kept as an event and in the
  /// state; the write at hand goes on, since its own data are safe.
  func maintainInline() throws(StorageError) {
    do throws(StorageError) {
      while lock.withLock({ state.memtables.count > 1 }) { try flushOldest() }
      while try runOneCompaction() {}
    } catch {
      // Told as an event; the next closed memtable tries again, and refuses when it fails too.
    }
  }

  // MARK: Background

  func startThreads() throws(StorageError) {
    guard options.maintenance == .background, !options.isReadOnly else { return }
    threads.append(try LabThread(name: "lsm-flush") { [self] in flushLoop() })
    for index in 0..<tuning.compactionThreads {
      // A merge can wait: when it may not, writers are slowed down and leave it the processor.
      threads.append(
        try LabThread(name: "lsm-compact-\(index)", isYielding: true) { [self] in
          compactionLoop()
        })
    }
  }

  /// How long a failed task waits before it tries again unasked; a compaction that goes on
  /// failing, over a damaged table perhaps, twice as long each time.
  private static let retryNanoseconds: UInt64 = 200_000_000
  private static let maximumDoublings = 7

  private func flushLoop() {
    while true {
      lock.lock()
      while !state.isStopping && state.memtables.count < 2 { lock.wait() }
      if !state.isStopping && state.flushFailure != nil && !state.isRetryWanted {
        _ = lock.wait(nanoseconds: LSMTree.retryNanoseconds)
      }
      let isStopping = state.isStopping
      if !isStopping { state.isFlushing = true }
      state.isRetryWanted = false
      lock.unlock()
      if isStopping { return }
      try? flushOldest()
      store.removeObsolete()
      lock.withLock {
        state.isFlushing = false
        lock.wakeAll()
      }
    }
  }

  private func compactionLoop() {
    while true {
      lock.lock()
      var next = claimJob()
      while next == nil && !state.isStopping {
        lock.wait()
        next = claimJob()
      }
      let failures = state.compactionFailuresInARow
      lock.unlock()
      guard let claimed = next.take() else { return }
      if failures > 0 { waitBeforeRetry(failures) }
      try? run(claimed)
    }
  }

  private func waitBeforeRetry(_ failures: Int) {
    let delay = LSMTree.retryNanoseconds << UInt64(min(failures - 1, LSMTree.maximumDoublings))
    let deadline = options.clock.nanoseconds + delay
    lock.lock()
    defer { lock.unlock() }
    while !state.isStopping && options.clock.nanoseconds < deadline {
      _ = lock.wait(nanoseconds: LSMTree.retryNanoseconds)
    }
  }

  /// Runs `body`, which makes or removes files of the directory by their names on a caller's thread,
  /// before the engine closes or not at all. Errors: `closed`, and those of `body`.
  func beforeClosing<R>(_ body: () throws(StorageError) -> R) throws(StorageError) -> R {
    try lock.withLock { () throws(StorageError) in
      if state.isStopping { throw .closed("the database") }
      state.directoryUsers += 1
    }
    defer {
      lock.withLock {
        state.directoryUsers -= 1
        lock.wakeAll()
      }
    }
    return try body()
  }

  /// Ends the threads; what they are at is finished or given up. Calling it again does nothing.
  func stopThreads() {
    lock.withLock {
      state.isStopping = true
      lock.wakeAll()
    }
    limiter?.stop()
    for thread in threads { thread.join() }
    threads = []
    // Callers' own merges and ingestions too: afterwards the directory may be somebody else's.
    lock.withLock {
      while !state.runningJobs.isEmpty || state.directoryUsers > 0 { lock.wait() }
    }
  }
}
