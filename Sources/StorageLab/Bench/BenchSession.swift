import CLabShims

/// One engine's database during one round of a group, and what the benchmark knows of it.
final class BenchSession {
  let name: String
  let directory: String
  /// Another one after each cold start.
  private(set) var engine: any StorageEngine
  private let events: EventLog
  /// What the engine did since the last workload began.
  private(set) var lastEvents: [Event] = []
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
    source: any RecordSource, insertReserve: Int, configuration: BenchConfiguration,
    environment: BenchEnvironment
  ) throws(StorageError) {
    name = entry.name
    self.entry = entry
    self.directory = directory
    self.source = source
    self.configuration = configuration
    self.environment = environment
    events = EventLog(limit: 2_000)
    insertBase = source.count
    // The ledger's memory exists before the first reading of resident memory.
    ledger = RecordLedger(capacity: source.count + insertReserve)
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
  func run(
    _ workload: Workload, _ load: RequestLoad, round: Int
  ) throws(StorageError) -> BenchMeasurement {
    try checkRoom(workload, load)
    _ = environment.takeResidentPeak()
    let residentBefore = environment.residentBytes()
    if configuration.isCold == true && entry.isPersistent && !workload.startsEmpty {
      try startCold(workload)
    }
    _ = events.take()
    let before = try reading()
    let done = try runThreads(workload, load)
    let wall = environment.clock.nanoseconds - done.epoch
    let after = try reading()

    let settleStart = environment.clock.nanoseconds
    try engine.settle()
    if workload.writes {
      try engine.checkpoint()
      try engine.settle()
    }
    let settleNanoseconds = environment.clock.nanoseconds - settleStart
    let settled = try reading()
    let peak = residentBytes + environment.takeResidentPeak() - residentBefore
    residentBytes += environment.residentBytes() - residentBefore
    let taken = events.take()
    lastEvents = taken.events

    let summary = LoopSummary(done.threads.map(\.loop))
    let tally = done.threads.reduce(done.beside) { $0 + $1.tally }
    var space = environment.diskUsage(directory)
    let live = ledger.live(source)
    space.liveBytes = live.bytes
    space.liveEntries = live.entries
    let operations = summary.operations
    let items =
      workload.scansEverything ? tally.entries : operations * UInt64(workload.itemsPerOperation)
    let itemsPerRequest = operations > 0 ? Double(items) / Double(operations) : 0
    let cpu = after.processorSeconds - before.processorSeconds
    var measurement = BenchMeasurement(
      round: round, operations: operations, items: items, seconds: summary.seconds,
      rate: summary.requestRate * itemsPerRequest, latency: LatencySummary(summary.latencies),
      histogram: HistogramCoding.encode(summary.latencies),
      counters: BenchMeasurement.Counters(before, after, settled, tally),
      settleSeconds: Double(settleNanoseconds) / 1e9,
      cpuSeconds: max(0, cpu - summary.harnessProcessorSeconds), space: space,
      peakResidentBytes: peak, residentBytes: residentBytes,
      makingSeconds: summary.makingSeconds)
    measurement.counters.allocations = done.allocations
    measurement.wallSeconds = Double(wall) / 1e9
    measurement.series = SliceRecorder.series(done.threads.map(\.loop.slices))
    measurement.shape = done.threads.first?.shape
    measurement.timeline = lastEvents.map { TimelineEvent($0, epoch: done.epoch) }
    measurement.droppedEvents = taken.dropped
    measurement.details = settled.engine.details.filter { $0.value != 0 }
    measurement.detailsBefore = before.engine.details.filter { $0.value != 0 }
    describe(workload, load, done, summary, &measurement)
    return measurement
  }

  /// Little's law, and what an open loop adds.
  private func describe(
    _ workload: Workload, _ load: RequestLoad, _ done: Outcome, _ summary: LoopSummary,
    _ measurement: inout BenchMeasurement
  ) {
    let loops = done.threads.map(\.loop)
    guard let offered = load.offered else {
      measurement.littlesLaw = LittlesLaw(closed: loops, merged: summary.latencies)
      return
    }
    let arrivals = arrivals(workload, offered)
    measurement.littlesLaw = LittlesLaw(loops, arrivals, merged: summary.latencies)
    measurement.openLoop = OpenLoopFigures(
      loops, offered, digest: arrivals.digest(Int(summary.operations)))
  }

  private func arrivals(_ workload: Workload, _ offered: OfferedLoad) -> ArrivalSequence {
    ArrivalSequence(offered, workload: workload.name, seed: configuration.seed)
  }

  /// All counters at one moment.
  private func reading() throws(StorageError) -> CounterReading {
    CounterReading(
      engine: try statistics(), system: environment.systemIO(),
      processorSeconds: environment.processorSeconds())
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
    /// Of the thread, its requests and all else.
    var allocations: UInt64
    /// What the database looked like meanwhile; of one thread.
    var shape: ShapeSeries?
  }

  private struct Outcome {
    var threads: [ThreadOutcome] = []
    /// What a writer beside the threads did.
    var beside = RequestExecutor.Tally()
    /// When the requests began.
    var epoch: UInt64
    /// Of the requests and of the engine's threads meanwhile.
    var allocations: UInt64?
  }

  private final class ThreadBox: @unchecked Sendable {
    var outcome: Result<ThreadOutcome, StorageError>?
  }

  /// What the threads are to do.
  private struct Assignment: Sendable {
    let workload: Workload
    let load: RequestLoad
    let epoch: UInt64
    /// Nil for a closed loop.
    let queue: ArrivalQueue?
  }

  private func assignment(_ workload: Workload, _ load: RequestLoad) -> Assignment {
    let now = environment.clock.nanoseconds
    guard let offered = load.offered else {
      return Assignment(workload: workload, load: load, epoch: now, queue: nil)
    }
    let total = workload.operations(load, records: source.count, thread: 0, threads: 1)
    let queue = ArrivalQueue(arrivals(workload, offered), count: total)
    // Threads begin, and make their first requests, before the first arrival.
    let start = UInt64(configuration.threads) * 500_000
    return Assignment(workload: workload, load: load, epoch: now + start, queue: queue)
  }

  private func runThreads(
    _ workload: Workload, _ load: RequestLoad
  ) throws(StorageError) -> Outcome {
    let ownBefore = environment.allocations.map { $0.thread() } ?? 0
    let allBefore = environment.allocations.map { $0.process() } ?? 0
    let writer = workload.backgroundPutsPerSecond > 0 ? BackgroundWriter() : nil
    // The writer counts as a thread, so that it has records of its own.
    let threads = configuration.threads
    let owners = threads + (writer == nil ? 0 : 1)
    let boxes = (0..<threads).map { _ in ThreadBox() }
    let assignment = assignment(workload, load)
    var outcome = Outcome(epoch: assignment.epoch)
    nonisolated(unsafe) let session = self
    try writer?.start(
      BackgroundWriter.Task(
        engine: engine, source: source, ledger: ledger, clock: environment.clock,
        seed: configuration.seed, putsPerSecond: workload.backgroundPutsPerSecond,
        owner: threads, owners: owners))
    if threads == 1 {
      boxes[0].outcome = runThread(assignment, 0, isAlone: owners == 1)
    } else {
      var running: [LabThread] = []
      defer { for thread in running { thread.join() } }
      do throws(StorageError) {
        for (index, box) in boxes.enumerated() {
          running.append(
            try LabThread(name: "bench-\(index)") {
              box.outcome = session.runThread(assignment, index, isAlone: false)
            })
        }
      } catch {
        _ = writer?.stop()
        throw error
      }
    }
    let writerError = writer?.stop()
    for box in boxes {
      guard let ended = box.outcome else {
        throw StorageError(.io, "a thread of the benchmark ended without a result")
      }
      outcome.threads.append(try ended.get())
    }
    if let writerError { throw writerError }
    if let counter = environment.allocations {
      // This thread may be the one that sent the requests.
      let others = threads == 1 ? 0 : outcome.threads.reduce(0) { $0 &+ $1.allocations }
      let harness = counter.thread() &- ownBefore &+ others
      let requests = outcome.threads.reduce(0) { $0 &+ $1.loop.allocations.count }
      let all = counter.process() &- allBefore &+ requests
      outcome.allocations = all > harness ? all - harness : 0
    }
    insertBase += (outcome.threads.map(\.inserted).max() ?? 0) * threads
    if let writer { outcome.beside = writer.tally }
    return outcome
  }

  private func runThread(
    _ assignment: Assignment, _ thread: Int, isAlone: Bool
  ) -> Result<ThreadOutcome, StorageError> {
    do throws(StorageError) {
      let workload = assignment.workload
      var stream = stream(workload, assignment.load, thread)
      let arena = RequestArena(source, ledger)
      let executor = RequestExecutor(
        engine, name: name, source, ledger, isAlone: isAlone,
        sheet: AnswerSheet(source, ledger, workload: workload))
      let shape = thread == 0 ? ShapeRecorder(engine, epoch: assignment.epoch) : nil
      shape?.keep(environment.clock.nanoseconds)
      let result: LoopResult
      if let queue = assignment.queue {
        var loop = OpenLoop(clock: environment.clock, queue: queue, epoch: assignment.epoch)
        if configuration.threads > environment.processors { loop.spin = 0 }
        loop.allocations = environment.allocations
        loop.shape = shape
        result = try loop.run(&stream, arena, executor)
      } else {
        var loop = ClosedLoop(
          clock: environment.clock, epoch: assignment.epoch, allocations: environment.allocations)
        loop.shape = shape
        result = try loop.run(&stream, arena, executor)
      }
      shape?.keep(environment.clock.nanoseconds)
      return .success(
        ThreadOutcome(
          loop: result, tally: executor.tally, inserted: stream.inserted,
          allocations: environment.allocations.map { $0.thread() } ?? 0, shape: shape?.series))
    } catch { return .failure(error) }
  }

  /// In an open loop any thread may come to serve any arrival: each brings requests for all.
  private func operations(_ workload: Workload, _ load: RequestLoad, _ thread: Int) -> Int {
    let threads = load.offered != nil && workload.isEndless ? 1 : configuration.threads
    return workload.operations(
      load, records: source.count, thread: threads == 1 ? 0 : thread, threads: threads)
  }

  /// The ledger has room for so many records. Errors: `invalidArgument`.
  private func checkRoom(_ workload: Workload, _ load: RequestLoad) throws(StorageError) {
    guard workload.inserts else { return }
    let threads = configuration.threads
    let most = (0..<threads).map { operations(workload, load, $0) }.max() ?? 0
    let (records, overflow) = most.multipliedReportingOverflow(by: threads)
    if overflow || records > ledger.capacity - insertBase {
      throw StorageError(
        .invalidArgument, "\(workload.name) would insert more records than the run has room for",
        remedy: "Make fewer or shorter trials, or name a workload that inserts less")
    }
  }

  func stream(_ workload: Workload, _ load: RequestLoad, _ thread: Int) -> RequestStream {
    let threads = configuration.threads
    return RequestStream(
      workload, distribution: configuration.distribution ?? workload.distribution,
      recordCount: source.count, insertBase: insertBase,
      operations: operations(workload, load, thread),
      thread: thread, threads: threads, seed: configuration.seed,
      zipfExponent: configuration.zipfExponent ?? Zipfian.defaultExponent)
  }
}
