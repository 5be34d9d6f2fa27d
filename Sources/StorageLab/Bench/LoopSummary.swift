/// The threads' results of a workload as one.
struct LoopSummary {
  var latencies = LoopResult.emptyHistogram
  var operations: UInt64 = 0
  /// Requests a second, all threads together.
  var requestRate = 0.0
  /// As `BenchMeasurement.seconds`.
  var seconds = 0.0
  var makingSeconds = 0.0
  var harnessProcessorSeconds = 0.0

  init(_ threads: [LoopResult]) {
    var busy: UInt64 = 0
    var lastAnswer: UInt64?
    for thread in threads {
      latencies.add(thread.latencies)
      operations += thread.operations
      busy += thread.busyNanoseconds
      makingSeconds += Double(thread.makingNanoseconds) / 1e9
      harnessProcessorSeconds += thread.harnessProcessorSeconds
      if let paced = thread.paced { lastAnswer = max(lastAnswer ?? 0, paced.lastAnswer) }
      if thread.busyNanoseconds > 0 {
        requestRate += Double(thread.operations) * 1e9 / Double(thread.busyNanoseconds)
      }
    }
    seconds = Double(busy) / 1e9 / Double(max(1, threads.count))
    if let lastAnswer {
      seconds = Double(lastAnswer) / 1e9
      requestRate = lastAnswer > 0 ? Double(operations) * 1e9 / Double(lastAnswer) : 0
    }
  }
}

/// What an engine, the operating system and the process's clock had counted at one moment.
struct CounterReading {
  let engine: EngineStatistics
  let system: SystemIO?
  let processorSeconds: Double
}

extension BenchMeasurement.Counters {
  /// The differences between three moments: before the requests, after them, after the upkeep.
  init(
    _ before: CounterReading, _ after: CounterReading, _ settled: CounterReading,
    _ tally: RequestExecutor.Tally
  ) {
    found = tally.found
    missing = tally.missing
    entriesScanned = tally.entries
    writes = tally.writes
    userBytesWritten = tally.bytesWritten
    userBytesReturned = tally.bytesReturned
    io = after.engine.totalIO - before.engine.totalIO
    settleIO = settled.engine.totalIO - after.engine.totalIO
    for fileClass in FileClass.allCases {
      let counts =
        (settled.engine.io[fileClass] ?? IOCounters.Counts())
        - (before.engine.io[fileClass] ?? IOCounters.Counts())
      if counts != IOCounters.Counts() { ioByClass[fileClass.name] = counts }
    }
    if let first = before.system, let second = after.system, let third = settled.system {
      systemIO = second - first
      settleSystemIO = third - second
    }
    memoryOutsideCache = UInt64(max(0, after.engine.otherMemoryBytes))
    cacheHits = after.engine.cacheHits &- before.engine.cacheHits
    cacheMisses = after.engine.cacheMisses &- before.engine.cacheMisses
    engineUserBytes = after.engine.userBytesWritten &- before.engine.userBytesWritten
  }
}
