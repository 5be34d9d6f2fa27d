import Foundation

/// Searches the highest rate that each engine sustains on one workload, in the open loop, several
/// times. Engines take turns, each on a database of its own that is filled once.
public struct CapacityRunner {
  private let workload: Workload
  private let objective: LatencyObjective
  private let arrivals: ArrivalPattern
  private let seconds: Double
  private let searches: Int
  private let runner: BenchRunner
  private let group: BenchPlan.Group
  private let configuration: BenchConfiguration
  private let environment: BenchEnvironment

  /// Requests of a trial at most.
  private static let mostRequests = 50_000_000
  /// Records that all trials of a workload with inserts may insert.
  private static let insertReserve = 8_000_000
  /// A trial of few requests goes on longer, up to this many times.
  private static let longestStretch = 10.0

  /// `configuration` names one workload and has no rate; `seconds` is how long a trial goes on,
  /// `searches` how often the search is made.
  /// Errors: those of `BenchRunner.init`; `invalidArgument` for a workload that ends by itself.
  public init(
    _ configuration: BenchConfiguration, objective: LatencyObjective,
    arrivals: ArrivalPattern = .poisson, seconds: Double = 2, searches: Int = 3,
    registry: EngineRegistry, environment: BenchEnvironment
  ) throws(StorageError) {
    runner = try BenchRunner(configuration, registry: registry, environment: environment)
    guard configuration.workloads.count == 1, let name = configuration.workloads.first else {
      throw StorageError(.invalidArgument, "the capacity is searched for one workload")
    }
    workload = try Workload.named(name)
    guard workload.isEndless else {
      let names = Workload.all.filter(\.isEndless).map(\.name).joined(separator: ", ")
      throw StorageError(
        .invalidArgument,
        "\(name) ends with its records, so that it cannot go on at a rate",
        remedy: "Workloads that can: \(names)")
    }
    guard seconds >= 0.01, seconds <= 86_400 else {
      throw StorageError(.invalidArgument, "a trial must last from 0.01 s to a day")
    }
    guard (1...100).contains(searches) else {
      throw StorageError(.invalidArgument, "searches lie between 1 and 100")
    }
    self.searches = searches
    guard let group = try BenchPlan(configuration).groups.first else {
      throw StorageError(.invalidArgument, "there is no workload to run")
    }
    self.group = group
    self.objective = objective
    self.arrivals = arrivals
    self.seconds = seconds
    self.configuration = configuration
    self.environment = environment
  }

  /// Errors: the engines'; `corruption` for a wrong answer. `withCurve` measures latency from a
  /// tenth to eleven tenths of the closed loop's rate too.
  public func run(
    startedAt: String, withCurve: Bool, repeating original: OriginalRun? = nil
  ) throws(StorageError) -> CapacityReport {
    var report = CapacityReport(
      startedAt: startedAt, workload: workload.name, objective: objective,
      arrivals: arrivals, trialSeconds: seconds, configuration: configuration,
      machine: MachineDescription.current(workDirectory: environment.workDirectory))
    report.searches = searches
    report.repeats = original.map { .init(of: $0, on: report.machine) }
    report.overhead = try HarnessOverhead.measure(
      valueBytes: min(configuration.valueBytes, 4_096), seed: configuration.seed,
      clock: environment.clock)
    let start = environment.clock.nanoseconds
    let load = environment.systemLoad()
    var sessions: [BenchSession] = []
    defer {
      for session in sessions { try? session.close() }
      for session in sessions { environment.removeTree(session.directory) }
      ProcessUsage.releaseFreedMemory()
    }
    for entry in runner.entries where !environment.isInterrupted() {
      let directory = joinPath(environment.workDirectory, entry.name)
      sessions.append(
        try BenchSession(
          entry, directory: directory, group: group, source: runner.source(group),
          insertReserve: workload.inserts ? CapacityRunner.insertReserve : 0,
          configuration: configuration, environment: environment))
      report.engines.append(try prepare(sessions[sessions.count - 1]))
    }
    try search(sessions, &report.engines)
    if withCurve {
      for (index, session) in sessions.enumerated() {
        report.engines[index].curve = try curve(session, report.engines[index].closedLoopRate)
      }
    }
    report.isPartial = environment.isInterrupted()
    if !report.isPartial {
      for session in sessions { try session.checkEverything() }
    }
    // A close that fails is an engine's fault too; the defer only cleans up after errors.
    for session in sessions { try session.close() }
    report.seconds = Double(environment.clock.nanoseconds - start) / 1e9
    report.warnings = BenchWarning.all(
      report, load: MachineLoad(load, environment.systemLoad(), cores: report.machine.cores))
    return report
  }

  /// Fills the database and asks the closed loop.
  private func prepare(_ session: BenchSession) throws(StorageError) -> CapacityReport.Engine {
    for preparation in group.workloads where preparation.name != workload.name {
      environment.progress(0, "\(session.name)  \(preparation.name)")
      _ = try session.run(preparation, configuration.load(of: preparation), round: 0)
    }
    environment.progress(0, "\(session.name)  closed loop")
    // A few requests first: they say how many fill the time.
    let guess = try session.run(workload, RequestLoad(operations: 1_000), round: 0)
    let closed = try session.run(
      workload, RequestLoad(operations: requests(at: guess.requestRate)), round: 0)
    return CapacityReport.Engine(
      engine: session.name, closedLoopRate: closed.requestRate, closedLoopLatency: closed.latency)
  }

  /// Engines take turns, another one first each time.
  private func search(
    _ sessions: [BenchSession], _ engines: inout [CapacityReport.Engine]
  ) throws(StorageError) {
    for turn in 0..<searches {
      for position in sessions.indices where !environment.isInterrupted() {
        let index = (position + turn) % sessions.count
        var trials: [CapacityReport.Trial] = []
        // A fifth of the closed loop's is sustained by most; then it takes three doublings.
        let search = CapacitySearch(start: max(1, engines[index].closedLoopRate / 5))
        let found = try search.run { (rate) throws(StorageError) in
          if environment.isInterrupted() { return false }
          let trial = try trial(sessions[index], rate, "\(turn + 1)/\(searches)  ")
          trials.append(trial)
          return trial.isSustained
        }
        engines[index].trials += trials
        // What was left out would have decided.
        if !environment.isInterrupted() { engines[index].note(found) }
      }
    }
  }

  private func curve(
    _ session: BenchSession, _ closedLoopRate: Double
  ) throws(StorageError) -> [CapacityReport.Trial] {
    var curve: [CapacityReport.Trial] = []
    for tenth in 1...11 where !environment.isInterrupted() {
      curve.append(try trial(session, closedLoopRate * Double(tenth) / 10, "curve  "))
    }
    return curve
  }

  private func requests(at rate: Double) -> Int {
    let wanted = max(rate * seconds, Double(objective.neededSamples))
    let longest = max(1, rate * seconds * CapacityRunner.longestStretch)
    return max(1, Int(min(wanted, longest, Double(CapacityRunner.mostRequests))))
  }

  private func trial(
    _ session: BenchSession, _ rate: Double, _ stage: String
  ) throws(StorageError) -> CapacityReport.Trial {
    environment.progress(0, "\(stage)\(session.name)  \(Quantity.grouped(rate)) requests/s")
    let measured = try session.run(
      workload,
      RequestLoad(
        operations: requests(at: rate), offered: OfferedLoad(rate: rate, arrivals: arrivals)),
      round: 0)
    guard let open = measured.openLoop else {
      throw StorageError(.io, "a trial ended without the figures of an open loop")
    }
    let value = objective.value(try HistogramCoding.decode(measured.histogram))
    return CapacityReport.Trial(
      offeredRate: rate, servedRate: open.servedRate, latency: measured.latency,
      service: open.service, objectiveValue: value, meetsObjective: value < objective.limit,
      isBacklogGrowing: open.isBacklogGrowing(seconds: measured.seconds),
      seconds: measured.seconds, settleSeconds: measured.settleSeconds)
  }
}

extension BenchMeasurement {
  /// Requests a second, all threads together.
  var requestRate: Double {
    items == 0 ? 0 : rate * Double(operations) / Double(items)
  }
}
