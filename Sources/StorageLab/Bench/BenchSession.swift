import CLabShims

/// One engine's database during one round of a group, and what the benchmark knows of it.
final class BenchSession {
  let name: String
  let directory: String
  /// Another one after each cold start.
  private(set) var engine: any StorageEngine
  let events: EventLog
  private let entry: EngineRegistry.Entry
  private let options: EngineOptions
  private let source: any RecordSource
  private let ledger: RecordLedger
  private let configuration: BenchConfiguration
  private let environment: BenchEnvironment
  /// The number of the next record that a workload may insert.
  private var insertBase: Int
  /// Resident memory gained in this engine's turns so far.
  private var residentBytes: Int64 = 0

  init(
    _ entry: EngineRegistry.Entry, directory: String, group: BenchPlan.Group,
    source: any RecordSource, configuration: BenchConfiguration, environment: BenchEnvironment
  ) throws(StorageError) {
    name = entry.name
    self.entry = entry
    self.directory = directory
    self.source = source
    self.configuration = configuration
    self.environment = environment
    events = EventLog(limit: 2_000)
    insertBase = source.count
    let threads = configuration.threads
    let inserts = group.workloads.filter(\.inserts).reduce(0) {
      $0 + $1.operations(configuration.operations, records: source.count, thread: 0, threads: 1)
        + threads
    }
    // The ledger's memory exists before the first reading of resident memory.
    ledger = RecordLedger(capacity: source.count + inserts)
    let before = environment.residentBytes()
    var options = EngineOptions(path: directory, fileSystem: environment.fileSystem)
    options.durability = group.durability
    options.cacheBytes = configuration.cacheBytes
    // Write buffers beside the cache have its size, not the engine's own idea of it.
    options.writeBufferBytes = max(1, configuration.cacheBytes)
    options.clock = environment.clock
    options.events = events
    self.options = options
    engine = try entry.open(options)
    residentBytes = environment.residentBytes() - before
  }

  /// Runs a workload, then the upkeep it left, and reports both.
  func run(_ workload: Workload, round: Int) throws(StorageError) -> BenchMeasurement {
    _ = environment.takeResidentPeak()
    let residentBefore = environment.residentBytes()
    if configuration.isCold == true && entry.isPersistent && !workload.startsEmpty {
      try startCold(workload)
    }
    let before = try statistics()
    let systemBefore = environment.systemIO()
    let cpuBefore = environment.processorSeconds()
    let (threads, beside) = try runThreads(workload)
    let cpu = environment.processorSeconds() - cpuBefore
    let systemAfter = environment.systemIO()
    let after = try statistics()

    let settleStart = environment.clock.nanoseconds
    try engine.settle()
    if workload.writes {
      try engine.checkpoint()
      try engine.settle()
    }
    let settleNanoseconds = environment.clock.nanoseconds - settleStart
    let settled = try statistics()
    let systemSettled = environment.systemIO()
    let peak = residentBytes + environment.takeResidentPeak() - residentBefore
    residentBytes += environment.residentBytes() - residentBefore

    var merged = LoopResult().latencies
    var tally = beside
    var operations: UInt64 = 0
    var requestRate = 0.0
    var busy: UInt64 = 0
    var making: UInt64 = 0
    var makingProcessor = 0.0
    for thread in threads {
      merged.add(thread.loop.latencies)
      tally = tally + thread.tally
      operations += thread.loop.operations
      busy += thread.loop.busyNanoseconds
      making += thread.loop.makingNanoseconds
      makingProcessor += thread.loop.makingProcessorSeconds
      if thread.loop.busyNanoseconds > 0 {
        requestRate +=
          Double(thread.loop.operations) * 1e9 / Double(thread.loop.busyNanoseconds)
      }
    }
    var counters = BenchMeasurement.Counters()
    counters.found = tally.found
    counters.missing = tally.missing
    counters.entriesScanned = tally.entries
    counters.writes = tally.writes
    counters.userBytesWritten = tally.bytesWritten
    counters.userBytesReturned = tally.bytesReturned
    counters.io = after.totalIO - before.totalIO
    counters.settleIO = settled.totalIO - after.totalIO
    for fileClass in FileClass.allCases {
      let counts =
        (settled.io[fileClass] ?? IOCounters.Counts())
        - (before.io[fileClass] ?? IOCounters.Counts())
      if counts != IOCounters.Counts() { counters.ioByClass[fileClass.name] = counts }
    }
    if let systemBefore, let systemAfter, let systemSettled {
      counters.systemIO = systemAfter - systemBefore
      counters.settleSystemIO = systemSettled - systemAfter
    }
    counters.memoryOutsideCache = UInt64(max(0, after.otherMemoryBytes))
    counters.cacheHits = after.cacheHits &- before.cacheHits
    counters.cacheMisses = after.cacheMisses &- before.cacheMisses
    counters.engineUserBytes = after.userBytesWritten &- before.userBytesWritten

    var space = environment.diskUsage(directory)
    let live = ledger.live(source)
    space.liveBytes = live.bytes
    space.liveEntries = live.entries
    let items =
      workload.scansEverything ? tally.entries : operations * UInt64(workload.itemsPerOperation)
    let itemsPerRequest = operations > 0 ? Double(items) / Double(operations) : 0
    return BenchMeasurement(
      round: round, operations: operations, items: items,
      seconds: Double(busy) / 1e9 / Double(max(1, threads.count)),
      rate: requestRate * itemsPerRequest, latency: LatencySummary(merged),
      histogram: HistogramCoding.encode(merged), counters: counters,
      settleSeconds: Double(settleNanoseconds) / 1e9,
      cpuSeconds: max(0, cpu - makingProcessor), space: space,
      peakResidentBytes: peak, residentBytes: residentBytes, makingSeconds: Double(making) / 1e9)
  }

  /// The engine's counters; what it cannot count of its writes, as the kernel counts it.
  private func statistics() throws(StorageError) -> EngineStatistics {
    var statistics = try engine.statistics()
    if entry.writesThroughCalls {
      statistics.io[.other, default: .init()].bytesWritten = environment.processBytesWritten()
    }
    return statistics
  }

  /// Holds all that the engine has against all that it acknowledged.
  func checkEverything() throws(StorageError) {
    try RequestExecutor(engine, name: name, source, ledger, isAlone: true).checkEverything()
  }

  func close() throws(StorageError) { try engine.close() }

  // MARK: Cold starts

  /// Reopens the database with nothing of it in memory, reads as the workload will until the
  /// cache budget was filled from the medium, and drops what the operating system holds beside:
  /// pages that a process has mapped stay. So an engine with a cache of its own begins with that
  /// cache full and nothing below it, and one that maps its file with as many bytes of the map.
  private func startCold(_ workload: Workload) throws(StorageError) {
    try engine.close()
    dropSystemCache(directory, isClosed: true)
    engine = try entry.open(options)
    let budget = UInt64(max(0, configuration.cacheBytes))
    let before = environment.systemIO()?.bytesRead
    // A read fetches a page at most: the budget is overshot by a fiftieth.
    let requests = max(100, Int(budget) / 4096 / 50)
    // Hot records are read again and again; and where all that is asked for fits, enough is enough.
    for piece in 0...(4 * source.count / requests) {
      if let before, let read = environment.systemIO()?.bytesRead, read &- before >= budget {
        break
      }
      try warm(workload, requests, UInt64(piece))
    }
    dropSystemCache(directory, isClosed: false)
    _ = environment.takeResidentPeak()
  }

  /// Reads records drawn as the workload draws them.
  private func warm(
    _ workload: Workload, _ requests: Int, _ piece: UInt64
  ) throws(StorageError) {
    var stream = RequestStream(
      .warming, distribution: configuration.distribution ?? workload.distribution,
      recordCount: source.count, insertBase: insertBase, operations: requests,
      thread: 0, threads: 1, seed: configuration.seed &+ 1 &+ piece,
      zipfExponent: configuration.zipfExponent ?? Zipfian.defaultExponent)
    let executor = RequestExecutor(
      engine, name: name, source, ledger, isAlone: true,
      sheet: AnswerSheet(source, ledger, workload: .warming))
    var loop = ClosedLoop(clock: environment.clock)
    _ = try loop.run(&stream, RequestArena(source, ledger), executor)
  }

  /// Drops the database's files from the operating system's cache. Files that engines lock stay
  /// untouched while they are open: some locks go when any handle of their file does.
  private func dropSystemCache(_ directory: String, isClosed: Bool) {
    guard let names = try? environment.fileSystem.list(directory) else { return }
    for name in names where isClosed || !name.lowercased().hasPrefix("lock") {
      let path = joinPath(directory, name)
      guard let file = try? environment.fileSystem.open(path, .read) else {
        // Some peers keep their files in a directory of their own.
        dropSystemCache(path, isClosed: isClosed)
        continue
      }
      // Pages that still differ from the medium would stay.
      try? file.sync()
      file.dropCached()
      file.close()
    }
  }

  // MARK: Threads

  private struct ThreadOutcome {
    var loop: LoopResult
    var tally: RequestExecutor.Tally
    var inserted: Int
  }

  private final class ThreadBox: @unchecked Sendable {
    var outcome: Result<ThreadOutcome, StorageError>?
  }

  /// The threads' outcomes, and what a writer beside them did.
  private func runThreads(
    _ workload: Workload
  ) throws(StorageError) -> ([ThreadOutcome], RequestExecutor.Tally) {
    let writer = workload.backgroundPutsPerSecond > 0 ? BackgroundWriter() : nil
    var outcomes: [ThreadOutcome] = []
    // The writer counts as a thread, so that it has records of its own.
    let threads = configuration.threads
    let owners = threads + (writer == nil ? 0 : 1)
    let boxes = (0..<threads).map { _ in ThreadBox() }
    nonisolated(unsafe) let session = self
    try writer?.start(session, workload, owner: threads, of: owners)
    if threads == 1 {
      boxes[0].outcome = runThread(workload, 0, isAlone: owners == 1)
    } else {
      var running: [LabThread] = []
      defer { for thread in running { thread.join() } }
      do throws(StorageError) {
        for (index, box) in boxes.enumerated() {
          running.append(
            try LabThread(name: "bench-\(index)") {
              box.outcome = session.runThread(workload, index, isAlone: false)
            })
        }
      } catch {
        _ = writer?.stop()
        throw error
      }
    }
    let writerError = writer?.stop()
    for box in boxes {
      guard let outcome = box.outcome else {
        throw StorageError(.io, "a thread of the benchmark ended without a result")
      }
      outcomes.append(try outcome.get())
    }
    if let writerError { throw writerError }
    insertBase += (outcomes.map(\.inserted).max() ?? 0) * threads
    return (outcomes, writer?.tally ?? RequestExecutor.Tally())
  }

  private func runThread(
    _ workload: Workload, _ thread: Int, isAlone: Bool
  ) -> Result<ThreadOutcome, StorageError> {
    do throws(StorageError) {
      var stream = stream(workload, thread)
      let arena = RequestArena(source, ledger)
      let executor = RequestExecutor(
        engine, name: name, source, ledger, isAlone: isAlone,
        sheet: AnswerSheet(source, ledger, workload: workload))
      var loop = ClosedLoop(clock: environment.clock)
      let result = try loop.run(&stream, arena, executor)
      return .success(
        ThreadOutcome(loop: result, tally: executor.tally, inserted: stream.inserted))
    } catch { return .failure(error) }
  }

  func stream(_ workload: Workload, _ thread: Int) -> RequestStream {
    let threads = configuration.threads
    return RequestStream(
      workload, distribution: configuration.distribution ?? workload.distribution,
      recordCount: source.count, insertBase: insertBase,
      operations: workload.operations(
        configuration.operations, records: source.count, thread: thread, threads: threads),
      thread: thread, threads: threads, seed: configuration.seed,
      zipfExponent: configuration.zipfExponent ?? Zipfian.defaultExponent)
  }

  // MARK: The writer beside readers

  /// Puts random records at a fixed rate until told to stop.
  private final class BackgroundWriter: @unchecked Sendable {
    private let lock = WaitableLock()
    private var isStopping = false
    private var failure: StorageError?
    private var thread: LabThread?
    /// Complete once `stop` has returned.
    private(set) var tally = RequestExecutor.Tally()

    func start(
      _ session: BenchSession, _ workload: Workload, owner: Int, of owners: Int
    ) throws(StorageError) {
      nonisolated(unsafe) let session = session
      thread = try LabThread(name: "bench-writer") { [self] in
        do throws(StorageError) {
          try write(session, workload, owner: owner, of: owners)
        } catch { lock.withLock { failure = error } }
      }
    }

    func stop() -> StorageError? {
      lock.withLock { isStopping = true }
      lock.wakeAll()
      thread?.join()
      return failure
    }

    private func write(
      _ session: BenchSession, _ workload: Workload, owner: Int, of owners: Int
    ) throws(StorageError) {
      let source = session.source
      let clock = session.environment.clock
      var random = SeededRandom(seed: session.configuration.seed).split(UInt64.max)
      let memory = UnsafeMutableRawPointer.allocate(
        byteCount: RecordLimits.keyBytes + source.maximumValueBytes, alignment: 64)
      defer { memory.deallocate() }
      let valuePointer = memory + RecordLimits.keyBytes
      let interval = 1_000_000_000 / UInt64(workload.backgroundPutsPerSecond)
      var due = clock.nanoseconds
      while true {
        let now = clock.nanoseconds
        lock.lock()
        if !isStopping && now < due { _ = lock.wait(nanoseconds: min(due - now, 1_000_000)) }
        let stop = isStopping
        lock.unlock()
        if stop { return }
        while due <= clock.nanoseconds {
          let record = RecordLedger.owned(
            random.below(source.count), thread: owner, of: owners, count: source.count)
          let version = session.ledger.issue(record)
          let key = ByteSlice(base: memory, count: source.writeKey(record, to: memory))
          let value = ByteSlice(
            base: valuePointer,
            count: source.writeValue(record, version: version, to: valuePointer))
          try session.engine.put(key.rawBuffer.bytes, value.rawBuffer.bytes)
          session.ledger.acknowledge(record, version: version, isPresent: true)
          tally.writes += 1
          tally.bytesWritten += UInt64(key.count + value.count)
          due += interval
          if lock.withLock({ isStopping }) { return }
        }
      }
    }
  }
}
