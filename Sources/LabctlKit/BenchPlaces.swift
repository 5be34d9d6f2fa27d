import ArgumentParser
import StorageLab

/// How a run is shown as text.
struct BenchViewOptions: ParsableArguments {
  @Flag(help: "Show latency bars of every workload, not only where there are three at most.")
  var details = false
}

/// Where databases, bundles and datasets are.
struct BenchPlaces: ParsableArguments {
  @Option(help: "Where the databases are made and removed again; default: the temporary directory.")
  var dir: String?
  @Option(help: "Where bundles are kept.")
  var out = BundleStore.defaultDirectory
  @Flag(help: "Keep no bundle.")
  var noBundle = false
  @OptionGroup var location: DatasetOptions
  @OptionGroup var output: OutputOptions

  /// Runs a configuration, keeps its bundle and prints it. Interrupted, it does so with what it
  /// has, and exits with the signal's code. `keepsDatabases`: those of the last workloads' last round.
  func measure(
    _ configuration: BenchConfiguration, keepsDatabases: Bool, _ view: BenchViewOptions,
    repeating original: OriginalRun? = nil
  ) throws {
    try configuration.validate()
    let run = try BenchEnvironmentOfRun(dir: dir, label: "bench", keep: keepsDatabases)
    let bundle = try run.measure { environment, startedAt in
      var environment = environment
      environment.datasets = try datasets(configuration)
      environment.keepsLastDatabases = keepsDatabases
      return try BenchRunner(configuration, registry: Labctl.engines, environment: environment)
        .run(startedAt: startedAt, repeating: original)
    }
    if bundle.workloads.isEmpty {
      Terminal.note("interrupted before anything was measured: nothing was kept")
    } else {
      try show(.run(bundle), details: view.details)
    }
    if keepsDatabases { Terminal.note("databases: \(run.directory)") }
    try run.endInterrupted()
  }

  /// As `measure`, of a sweep.
  func sweep(
    _ axis: SweepAxis, _ values: [String], _ base: BenchConfiguration,
    repeating original: OriginalRun? = nil
  ) throws {
    let run = try BenchEnvironmentOfRun(dir: dir, label: "sweep")
    let sweep = try run.measure { environment, startedAt in
      var environment = environment
      environment.datasets = try datasets(base)
      return try SweepRunner(
        axis, values: values, base, registry: Labctl.engines, environment: environment
      ).run(startedAt: startedAt, repeating: original)
    }
    guard !sweep.points.isEmpty else {
      Terminal.note("interrupted before a point was measured: nothing was kept")
      return try run.endInterrupted()
    }
    struct Result: Encodable {
      let sweep: Sweep
      let sentences: [String]
    }
    try show(.sweep(sweep)) {
      try JSON.print(Result(sweep: sweep, sentences: Crossover.all(sweep).map(\.sentence)))
    }
    try run.endInterrupted()
  }

  /// What is searched for, and how.
  struct Search {
    let objective: LatencyObjective
    let arrivals: ArrivalPattern
    let seconds: Double
    let count: Int
    let withCurve: Bool
  }

  /// As `measure`, of a search for a capacity.
  func capacity(
    _ search: Search, _ configuration: BenchConfiguration, repeating original: OriginalRun? = nil
  ) throws {
    try configuration.validate()
    let run = try BenchEnvironmentOfRun(dir: dir, label: "capacity", isMeasurable: false)
    let report = try run.measure { environment, startedAt in
      var environment = environment
      environment.datasets = try datasets(configuration)
      return try CapacityRunner(
        configuration, objective: search.objective, arrivals: search.arrivals,
        seconds: search.seconds, searches: search.count, registry: Labctl.engines,
        environment: environment
      ).run(startedAt: startedAt, withCurve: search.withCurve, repeating: original)
    }
    if report.engines.isEmpty {
      Terminal.note("interrupted before anything was measured: nothing was kept")
    } else {
      try show(.capacity(report))
    }
    try run.endInterrupted()
  }

  private func datasets(_ configuration: BenchConfiguration) throws -> DatasetLibrary? {
    configuration.workloads.contains { $0.hasPrefix("airports") } ? try location.library() : nil
  }

  /// Keeps what was measured, unless told not to, and prints it: as JSON what is kept, or what
  /// `json` prints.
  private func show(
    _ kept: KeptRun, details: Bool = false, json: (() throws -> Void)? = nil
  ) throws {
    let stored = noBundle ? nil : try BundleStore(out).save(kept)
    if !output.json {
      Terminal.output(kept.text(details: details))
    } else if let json {
      try json()
    } else {
      Terminal.output(try kept.encoded())
    }
    guard let stored else { return }
    let note = "\nreport: \(stored)/report.html  (again: labctl bench show \(stored))"
    if output.json { Terminal.note(note) } else { Terminal.output(note + "\n") }
  }
}
