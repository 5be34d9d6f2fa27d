/// The same comparison at several points of an axis: where one design overtakes another.
public struct Sweep: Sendable, Codable {
  public static let newestSchema = 2
  public static let fileName = "sweep.json"

  public var schema = Sweep.newestSchema
  public var startedAt: String
  public var seconds: Double = 0
  public var axis: SweepAxis
  /// What was the same at every point, the axis' own setting aside.
  public var base: BenchConfiguration
  public var machine: MachineDescription
  public var overhead = HarnessOverhead()
  public var points: [Point] = []
  public var warnings: [BenchWarning] = []
  /// Interrupted: points or rounds are missing.
  public var isPartial = false
  /// All that were asked for, in their order; nil, as in sweeps of schema 1, is those of the points.
  public var values: [String]?
  /// Of the sweep that this one repeats.
  public var repeats: RunBundle.Repetition?

  public struct Point: Sendable, Codable {
    public var value: String
    /// Where it lies on the axis; nil where the axis has no measure.
    public var position: Double?
    public var result: RunBundle.WorkloadResult
  }

  /// Engines as the base names them; at a point an engine may bear a setting of the axis.
  public var engines: [String] { base.engines }

  /// The comparison of two engines, by their place in `engines`, at a point; nil when one of them
  /// is not there.
  public func compare(_ subject: Int, with baseline: Int, at point: Point) -> Comparison? {
    let engines = point.result.engines
    guard engines.indices.contains(subject), engines.indices.contains(baseline) else { return nil }
    return point.result.compare(engines[subject].engine, with: engines[baseline].engine)
  }
}

extension Sweep {
  public func encoded() throws(StorageError) -> [UInt8] {
    try BundleCoding.encode(self, "the sweep")
  }

  /// Errors: `wrongFormat` when the bytes are no sweep, `unsupportedVersion`, `corruption`.
  public init(decoding bytes: [UInt8], path: String) throws(StorageError) {
    self = try BundleCoding.decode(
      Sweep.self, bytes, newest: Sweep.newestSchema, "sweep", path: path
    ) { sweep in
      sweep.base.hasValidNumbers
        && sweep.points.allSatisfy { point in
          point.result.isCoherent && point.result.engines.count <= sweep.engines.count
            && (point.position?.isFinite ?? true)
        }
    }
  }
}

/// Runs a sweep. Where a point is a workload, all points run in one run and take turns, each on a
/// database filled for it alone, so that no point's writes change the next one's; else each point is
/// a run of its own.
public struct SweepRunner {
  private let axis: SweepAxis
  private let values: [String]
  private let base: BenchConfiguration
  private let registry: EngineRegistry
  private let environment: BenchEnvironment
  private let runs: [(values: [String], configuration: BenchConfiguration)]

  /// The workload of axes that are none themselves, unless the base names one.
  public static let defaultWorkload = "mix:read=0.5"

  /// Errors: `invalidArgument` for values that the axis has not, or no engine can do.
  public init(
    _ axis: SweepAxis, values: [String], _ base: BenchConfiguration, registry: EngineRegistry,
    environment: BenchEnvironment
  ) throws(StorageError) {
    guard !values.isEmpty else {
      throw StorageError(.invalidArgument, "the sweep has no points", remedy: "Name values")
    }
    if !axis.isWorkload && base.workloads.count != 1 {
      throw StorageError(
        .invalidArgument, "a sweep has one workload", remedy: "Name one with --workload")
    }
    self.axis = axis
    self.values = values
    var base = base
    base.loadsAnew = true
    self.base = base
    self.registry = registry
    self.environment = environment
    var runs: [(values: [String], configuration: BenchConfiguration)] = []
    for value in values {
      var configuration = base
      try axis.apply(value, to: &configuration)
      if axis.isWorkload, !runs.isEmpty {
        runs[0].values.append(value)
        runs[0].configuration.workloads += configuration.workloads
      } else {
        runs.append(([value], configuration))
      }
      for engine in configuration.engines { _ = try registry.entry(engine) }
    }
    self.runs = runs
  }

  /// Errors: as `BenchRunner.run`.
  public func run(
    startedAt: String, repeating original: OriginalRun? = nil
  ) throws(StorageError) -> Sweep {
    let start = environment.clock.nanoseconds
    var sweep = Sweep(
      startedAt: startedAt, axis: axis, base: base,
      machine: MachineDescription.current(workDirectory: environment.workDirectory))
    sweep.values = values
    sweep.repeats = original.map { .init(of: $0, on: sweep.machine) }
    for (index, run) in runs.enumerated() where !self.environment.isInterrupted() {
      var environment = environment
      let outer = self.environment.progress
      environment.progress = { [axis, count = runs.count] fraction, detail in
        let point = count > 1 ? "\(axis.rawValue)=\(run.values[0])  " : ""
        outer((Double(index) + fraction) / Double(count), point + detail)
      }
      let bundle = try BenchRunner(
        run.configuration, registry: registry, environment: environment
      ).run(startedAt: startedAt, repeating: original)
      sweep.overhead = bundle.overhead
      if bundle.isPartial == true { sweep.isPartial = true }
      for (value, workload) in zip(run.values, run.configuration.workloads) {
        guard let result = bundle.workloads.first(where: { $0.name == workload }) else { continue }
        sweep.points.append(
          Sweep.Point(value: value, position: axis.position(value), result: result))
      }
      for warning in bundle.warnings where !sweep.warnings.contains(warning) {
        sweep.warnings.append(warning)
      }
    }
    if sweep.points.count < values.count { sweep.isPartial = true }
    sweep.seconds = Double(environment.clock.nanoseconds - start) / 1e9
    return sweep
  }
}
