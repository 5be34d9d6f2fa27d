import Synchronization

/// Mixed load for as long as one likes, with faults and restarts: every value read is checked against
/// what was acknowledged, and what an engine takes of the machine must not grow.
///
/// A cycle opens the engine, lets writers and readers run, strikes some calls to the files, closes,
/// opens again without faults and reads everything. Each writer has keys of its own, so that it knows
/// without asking anybody what they must hold; after a refused write both the old and the new value are
/// right until the next look.
public struct Soak: Sendable {
  public var engine: EngineRegistry.Entry
  public var options: EngineOptions
  public var seed: UInt64
  public var writers = 2
  public var readers = 1
  /// Keys of each writer.
  public var keys = 5_000
  public var valueBytes = 300
  /// Operations of each writer in a cycle.
  public var operations = 10_000
  public var strikesFaults = true
  /// Bytes of memory and files that the process has open; asked after each cycle.
  public var gauges: @Sendable () -> (residentBytes: Int64, openFiles: Int)

  public init(
    _ engine: EngineRegistry.Entry, _ options: EngineOptions, seed: UInt64,
    gauges: @escaping @Sendable () -> (residentBytes: Int64, openFiles: Int)
  ) {
    self.engine = engine
    self.options = options
    self.seed = seed
    self.gauges = gauges
  }

  /// As of a cycle's end, the engine open, settled and idle.
  public struct Sample: Sendable, Codable {
    public var cycle: Int
    /// Since the soak began.
    public var seconds: Double
    /// Acknowledged writes, in all.
    public var writes: UInt64
    public var reads: UInt64
    /// Calls struck by a fault, and writes refused for it.
    public var faults: Int
    public var refusals: UInt64
    public var residentBytes: Int64
    public var openFiles: Int
    public var diskBytes: Int64
    public var logBytes: Int64
    /// Bytes of keys and values that are there.
    public var liveBytes: Int64
  }

  /// What it came to. `problem` is the first value, or growth, that must not be.
  public struct Report: Sendable, Codable {
    public var samples: [Sample]
    public var problem: String?

    public init(samples: [Sample], problem: String?) {
      self.samples = samples
      self.problem = problem
    }
  }

  /// Runs cycles until `isOver` says so, asked after each with its sample. Throws what the engine
  /// throws where nothing was struck.
  public func run(until isOver: (Sample) -> Bool) throws -> Report {
    var random = SeededRandom(seed: seed)
    let states = (0..<writers).map { SoakWriter(self, number: $0) }
    let started = options.clock.nanoseconds
    var samples: [Sample] = []
    var strikes = 0
    while true {
      let faulting = FaultingFileSystem(options.fileSystem)
      do {
        try cycle(states, faulting, &random)
      } catch let failure as ConformanceContext.Violation {
        return Report(samples: samples, problem: "cycle \(samples.count + 1): \(failure.message)")
      }
      strikes += faulting.strikes
      let engine = try engine.open(options)
      defer { try? engine.close() }
      do {
        for state in states { try state.checkAll(engine) }
      } catch let failure as ConformanceContext.Violation {
        return Report(
          samples: samples,
          problem: "after cycle \(samples.count + 1), opened again: \(failure.message)")
      }
      let report = try engine.verify()
      if let problem = report.problems.first {
        return Report(
          samples: samples,
          problem: "after cycle \(samples.count + 1): \(problem.path) at byte \(problem.offset): "
            + problem.message)
      }
      try engine.checkpoint()
      try engine.settle()
      let statistics = try engine.statistics()
      let gauge = gauges()
      let sample = Sample(
        cycle: samples.count + 1,
        seconds: Double(options.clock.nanoseconds &- started) / 1e9,
        writes: states.reduce(0) { $0 + $1.acknowledged },
        reads: states.reduce(0) { $0 + $1.reads },
        faults: strikes, refusals: states.reduce(0) { $0 + $1.refusals },
        residentBytes: gauge.residentBytes, openFiles: gauge.openFiles,
        diskBytes: statistics.diskBytes, logBytes: statistics.logBytes,
        liveBytes: states.reduce(0) { $0 + $1.liveBytes })
      samples.append(sample)
      if isOver(sample) { break }
    }
    return Report(samples: samples, problem: Soak.growth(samples))
  }

  private func cycle(
    _ states: [SoakWriter], _ faulting: FaultingFileSystem, _ random: inout SeededRandom
  ) throws {
    var options = options
    options.fileSystem = faulting
    let engine = try engine.open(options)
    let rules = strikesFaults ? Soak.rules(&random) : []
    let strikeAt = random.below(max(1, operations * writers))
    let done = Atomic<Int>(0)
    let writing = Atomic<Int>(writers)
    let failure = Guarded<(any Error)?>(nil)
    var threads: [LabThread] = []
    for state in states {
      threads.append(
        try LabThread(name: "soak-writer") {
          defer { writing.wrappingSubtract(1, ordering: .releasing) }
          do {
            try state.run(engine, mayFail: !rules.isEmpty) {
              let count = done.wrappingAdd(1, ordering: .relaxed).newValue
              if count == strikeAt { faulting.setRules(rules) }
            }
          } catch { failure.withLock { $0 = $0 ?? error } }
        })
    }
    for reader in 0..<readers {
      threads.append(
        try LabThread(name: "soak-reader") {
          do {
            try SoakWriter.read(
              engine, states, seed: seed ^ UInt64(reader), mayFail: !rules.isEmpty
            ) { writing.load(ordering: .acquiring) > 0 }
          } catch { failure.withLock { $0 = $0 ?? error } }
        })
    }
    for thread in threads { thread.join() }
    if rules.isEmpty { try engine.close() } else { try? engine.close() }
    if let error = failure.withLock({ $0 }) { throw error }
  }

  /// What may strike in a cycle: one to three calls, or every call of a kind from then on.
  private static func rules(_ random: inout SeededRandom) -> [FaultRule] {
    if random.chance(0.3) { return [] }
    let calls: [FaultRule.Call] = [
      .write, .write, .sync, .sync, .preallocate, .open, .truncate, .map,
    ]
    let code: StorageError.Code = random.chance(0.5) ? .noSpace : .io
    return [
      FaultRule(
        calls[random.below(calls.count)], nth: 1 + random.below(20),
        count: random.chance(0.3) ? nil : 1 + random.below(3),
        .fail(code, bytesWritten: random.below(200)))
    ]
  }

  /// What grew that must not, from the second quarter of the samples to the last; nil when nothing did
  /// or there are fewer than eight. The first quarter is for caches and heaps to fill.
  public static func growth(_ samples: [Sample]) -> String? {
    guard samples.count >= 8 else { return nil }
    let quarter = samples.count / 4
    let early = samples[quarter..<2 * quarter]
    let late = samples[(samples.count - quarter)...]
    func grew(
      _ what: String, _ value: (Sample) -> Int64, times factor: Double, plus slack: Int64
    ) -> String? {
      let before = early.map(value).max() ?? 0
      // The median of the last quarter: a peak is no growth.
      let after = late.map(value).sorted()[late.count / 2]
      let bound = Int64(Double(before) * factor) + slack
      return after <= bound
        ? nil : "\(what) grew from \(before) to \(after), over the bound of \(bound)"
    }
    return grew("resident memory in bytes", { $0.residentBytes }, times: 1.25, plus: 16 << 20)
      ?? grew("the number of open files", { Int64($0.openFiles) }, times: 1, plus: 4)
      ?? grew("the log in bytes", { $0.logBytes }, times: 1.5, plus: 1 << 20)
      ?? grew(
        "bytes on disk per hundred live ones", { $0.diskBytes * 100 / max(1, $0.liveBytes) },
        times: 1.2, plus: 10)
  }
}
