import Foundation

/// Runs a configuration: in each round every group of workloads gets a fresh database per
/// engine, and the engines take turns at each workload, another one first each time, so that
/// what the machine does meanwhile falls on all of them alike. Rounds to warm up come first: they are
/// measured like the others and thrown away.
public struct BenchRunner {
  private let configuration: BenchConfiguration
  private let plan: BenchPlan
  let entries: [EngineRegistry.Entry]
  private let environment: BenchEnvironment
  private let airports: (any RecordSource)?

  /// Errors: `invalidArgument` for an unknown engine or workload and values out of range;
  /// `notFound`, `corruption` of the datasets that the workloads need.
  public init(
    _ configuration: BenchConfiguration, registry: EngineRegistry, environment: BenchEnvironment
  ) throws(StorageError) {
    try configuration.validate()
    self.configuration = configuration
    self.environment = environment
    plan = try BenchPlan(configuration)
    var entries: [EngineRegistry.Entry] = []
    for name in configuration.engines { entries.append(try registry.entry(name)) }
    self.entries = entries
    if plan.needsAirports {
      guard let datasets = environment.datasets else {
        throw StorageError(
          .notFound, "the airports workloads need the real datasets",
          remedy: "Name their directory with --datasets, or other workloads with --workload")
      }
      airports = try TableRecords(try datasets.table("airports"))
    } else {
      airports = nil
    }
  }

  /// Errors: the engines'; `corruption` when an engine gives a wrong answer. Databases are
  /// removed in any case. An interrupted run ends after the measurement under way, with what it
  /// has.
  public func run(
    startedAt: String, repeating original: OriginalRun? = nil
  ) throws(StorageError) -> RunBundle {
    let start = environment.clock.nanoseconds
    let load = environment.systemLoad()
    var bundle = RunBundle(
      startedAt: startedAt, configuration: configuration,
      machine: MachineDescription.current(workDirectory: environment.workDirectory))
    bundle.overhead = try HarnessOverhead.measure(
      valueBytes: min(configuration.valueBytes, 4_096), seed: configuration.seed,
      clock: environment.clock, allocations: environment.allocations)
    bundle.syncNanoseconds = syncTime()
    bundle.repeats = original.map { .init(of: $0, on: bundle.machine) }
    var collected = plan.groups.map { group in
      group.workloads.map { _ in entries.map { _ in Collected() } }
    }
    var turn = 0
    let turns = plan.turns(configuration)
    for round in Round.all(configuration) where !environment.isInterrupted() {
      for (groupIndex, group) in plan.groups.enumerated() {
        let isKept =
          environment.keepsLastDatabases && round.isLast && groupIndex + 1 == plan.groups.count
        try runGroup(group, isKept: isKept, round, &collected[groupIndex]) { workload, engine in
          environment.progress(
            Double(turn) / Double(max(1, turns)), "\(round.text)  \(workload)  \(engine)")
          turn += 1
        }
      }
    }
    for (groupIndex, group) in plan.groups.enumerated() {
      for (index, workload) in group.workloads.enumerated() {
        bundle.workloads.append(
          try result(workload, group, collected[groupIndex][index]))
      }
    }
    if turn < turns || environment.isInterrupted() {
      bundle.isPartial = true
      for index in bundle.workloads.indices {
        bundle.workloads[index].engines.removeAll { $0.rounds.isEmpty }
      }
      bundle.workloads.removeAll { $0.engines.isEmpty }
    }
    bundle.load = MachineLoad(load, environment.systemLoad(), cores: bundle.machine.cores)
    bundle.seconds = Double(environment.clock.nanoseconds - start) / 1e9
    bundle.warnings = BenchWarning.all(bundle)
    return bundle
  }

  /// The median of a few syncs of a page; nil where the directory takes none.
  private func syncTime() -> UInt64? {
    let path = joinPath(environment.workDirectory, "sync-probe")
    guard let file = try? environment.fileSystem.open(path, .truncate) else { return nil }
    defer {
      file.close()
      try? environment.fileSystem.remove(path)
    }
    var times: [UInt64] = []
    for turn in 0..<5 {
      let page = [UInt8](repeating: UInt8(turn), count: 4_096)
      let start = environment.clock.nanoseconds
      guard (try? file.write(page, at: 0)) != nil, (try? file.sync()) != nil else { return nil }
      times.append(environment.clock.nanoseconds - start)
    }
    return times.sorted()[2]
  }

  /// One of a run's rounds, in their order.
  private struct Round {
    /// Counts those to warm up too, so that engines go on to take turns.
    let number: Int
    /// Which of the rounds that count; negative to warm up.
    let index: Int
    let count: Int

    var isWarmUp: Bool { index < 0 }
    var isLast: Bool { index + 1 == count }
    var text: String { isWarmUp ? "warming up" : "round \(index + 1)/\(count)" }

    static func all(_ configuration: BenchConfiguration) -> [Round] {
      let warmUp = configuration.warmUpRounds
      return (0..<warmUp + configuration.rounds).map {
        Round(number: $0, index: $0 - warmUp, count: configuration.rounds)
      }
    }
  }

  private struct Collected {
    var rounds: [BenchMeasurement] = []
    var events: [Event] = []
  }

  func source(_ group: BenchPlan.Group) -> any RecordSource {
    if group.family == .airports, let airports { return airports }
    let dbBench: SyntheticRecords.KeyForm = configuration.keys == .random ? .random : .decimal
    return SyntheticRecords(
      group.family == .dbBench ? dbBench : .hashedUser, count: configuration.records,
      valueBytes: configuration.valueBytes, seed: configuration.seed)
  }

  private func runGroup(
    _ group: BenchPlan.Group, isKept: Bool, _ round: Round, _ collected: inout [[Collected]],
    _ announce: (String, String) -> Void
  ) throws(StorageError) {
    let source = source(group)
    var sessions: [BenchSession] = []
    let directories = entries.map { joinPath(environment.workDirectory, $0.name) }
    defer {
      for session in sessions { try? session.close() }
      sessions.removeAll()
      if !isKept { for directory in directories { environment.removeTree(directory) } }
      ProcessUsage.releaseFreedMemory()
    }
    for (entry, directory) in zip(entries, directories) {
      sessions.append(
        try BenchSession(
          entry, directory: directory, group: group, source: source,
          insertReserve: group.insertReserve(configuration, records: source.count),
          configuration: configuration, environment: environment))
    }
    for (index, workload) in group.workloads.enumerated() {
      for position in 0..<sessions.count where !environment.isInterrupted() {
        let engine = (position + round.number + index) % sessions.count
        let session = sessions[engine]
        announce(workload.name, session.name)
        let load = configuration.load(of: workload, isWarmUp: round.isWarmUp)
        let measured = try session.run(workload, load, round: round.index)
        if round.isWarmUp { continue }
        collected[index][engine].rounds.append(measured)
        collected[index][engine].events += session.lastEvents
      }
    }
    if round.isLast && !environment.isInterrupted() {
      for session in sessions { try session.checkEverything() }
    }
    // A close that fails is an engine's fault too; the defer only cleans up after errors.
    for session in sessions { try session.close() }
  }

  private func result(
    _ workload: Workload, _ group: BenchPlan.Group, _ collected: [Collected]
  ) throws(StorageError) -> RunBundle.WorkloadResult {
    var engines: [RunBundle.EngineResult] = []
    for (entry, part) in zip(entries, collected) {
      var merged = LoopResult.emptyHistogram
      for round in part.rounds { merged.add(try HistogramCoding.decode(round.histogram)) }
      var latency = LatencySummary(merged)
      // The encoded form keeps buckets; the extremes are kept exactly beside it.
      latency.maximum = part.rounds.map(\.latency.maximum).max() ?? 0
      latency.minimum = part.rounds.map(\.latency.minimum).min() ?? 0
      engines.append(
        RunBundle.EngineResult(
          engine: entry.name, isPersistent: entry.isPersistent, countsIO: entry.countsIO,
          countsWrittenBytes: entry.writesThroughCalls, rounds: part.rounds, latency: latency,
          events: RunBundle.EventSummary.summarize(part.events)))
    }
    let distribution = configuration.distribution ?? workload.distribution
    return RunBundle.WorkloadResult(
      name: workload.name, title: workload.title,
      distribution: workload.isDrawn ? distribution : nil,
      durability: group.durability.description,
      isPreparation: !configuration.workloads.contains(workload.name),
      itemsPerOperation: workload.itemsPerOperation, writes: workload.writes,
      requestDigest: digest(workload, records: source(group).count), engines: engines)
  }

  /// The requests are made again for the digest: nothing is hashed while an engine is timed.
  private func digest(_ workload: Workload, records: Int) -> String {
    var digest: UInt64 = 0
    for thread in 0..<configuration.threads {
      let stream = RequestStream(workload, configuration, records: records, thread: thread)
      digest = Hash64.hash(digest ^ stream.digest())
    }
    return digest.digestText
  }
}

extension RunBundle.EventSummary {
  static func summarize(_ events: [Event]) -> [RunBundle.EventSummary] {
    var byKind: [String: RunBundle.EventSummary] = [:]
    for event in events {
      let seconds = Double(event.durationNanoseconds) / 1e9
      let kind = event.kind.label
      var summary =
        byKind[kind]
        ?? RunBundle.EventSummary(kind: kind, count: 0, seconds: 0, longestSeconds: 0)
      summary.count += 1
      summary.seconds += seconds
      summary.longestSeconds = max(summary.longestSeconds, seconds)
      byKind[kind] = summary
    }
    return byKind.values.sorted { $0.kind < $1.kind }
  }
}

extension Event.Kind {
  fileprivate var label: String {
    switch self {
    case .flush: "flush"
    case .compaction: "compaction"
    case .checkpoint: "checkpoint"
    case .stall(let cause): "stall: \(cause)"
    case .recovery: "recovery"
    case .failure(let task, _): "failure: \(task)"
    }
  }
}
