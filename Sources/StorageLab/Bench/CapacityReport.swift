/// What `labctl bench capacity` found: for each engine the highest rate that it sustains, beside
/// what a closed loop says, and every rate that was tried. The search is repeated, since one that meets
/// a bad moment ends too low.
public struct CapacityReport: Sendable, Codable {
  public static let newestSchema = 2
  public static let fileName = "capacity.json"

  public var schema = CapacityReport.newestSchema
  /// ISO 8601, UTC.
  public var startedAt: String
  public var workload: String
  public var objective: LatencyObjective
  public var arrivals: ArrivalPattern
  /// Of a trial, unless that is too few requests for the objective.
  public var trialSeconds: Double
  public var configuration: BenchConfiguration
  public var machine: MachineDescription
  /// Of the whole; nil in schema 1.
  public var seconds: Double?
  /// Searches for each engine; nil, as in reports of schema 1, is one.
  public var searches: Int?
  /// What the harness adds to a request, in the closed and in the open loop; nil in schema 1.
  public var overhead: HarnessOverhead?
  public var engines: [Engine] = []
  public var warnings: [BenchWarning] = []
  /// Interrupted: engines, or searches of some, are missing.
  public var isPartial = false
  /// Of the search that this one repeats.
  public var repeats: RunBundle.Repetition?

  public struct Engine: Sendable, Codable {
    public var engine: String
    /// Requests a second of a closed loop with as many threads: what it can do when the next
    /// request waits for the last. Requests are made between the measured stretches there.
    public var closedLoopRate: Double
    public var closedLoopLatency: LatencySummary
    /// The highest rate that was sustained, the median of the searches; nil when none was.
    public var sustainedRate: Double?
    /// What each search found, 0 where no rate held; nil in reports of schema 1.
    public var sustainedRates: [Double]?
    /// Of all searches, in the order in which they were made.
    public var trials: [Trial] = []
    /// Rates from a tenth to eleven tenths of the closed loop's; nil unless asked for.
    public var curve: [Trial]?

    /// What the searches found, with the interval in which the median lies.
    public var sustained: RateSummary { RateSummary(sustainedRates ?? [sustainedRate ?? 0]) }

    mutating func note(_ found: Double?) {
      sustainedRates = (sustainedRates ?? []) + [found ?? 0]
      sustainedRate = sustained.median > 0 ? sustained.median : nil
    }
  }

  public struct Trial: Sendable, Codable {
    public var offeredRate: Double
    public var servedRate: Double
    /// From the intended start.
    public var latency: LatencySummary
    /// From the actual start.
    public var service: LatencySummary
    /// What the objective limits, in nanoseconds.
    public var objectiveValue: UInt64
    public var meetsObjective: Bool
    public var isBacklogGrowing: Bool
    /// From the begin to the last answer, and until the upkeep was done.
    public var seconds: Double
    public var settleSeconds: Double

    /// The objective holds, no requests queue up, and the engine's own work does not either: it
    /// was done in no more time than requests took.
    public var isSustained: Bool {
      meetsObjective && !isBacklogGrowing && settleSeconds <= seconds
    }

    /// Why it is not sustained, in a few words; nil when it is.
    public var reason: String? {
      if isBacklogGrowing { return "requests queue up" }
      if !meetsObjective { return "objective missed" }
      return settleSeconds <= seconds ? nil : "upkeep queues up"
    }
  }
}

extension CapacityReport {
  public func encoded() throws(StorageError) -> [UInt8] {
    try BundleCoding.encode(self, "the report")
  }

  /// Errors: `wrongFormat` when the bytes are no such report, `unsupportedVersion`, `corruption`.
  public init(decoding bytes: [UInt8], path: String) throws(StorageError) {
    self = try BundleCoding.decode(
      CapacityReport.self, bytes, newest: CapacityReport.newestSchema,
      "report of a search for a capacity", path: path
    ) { report in
      report.configuration.hasValidNumbers && report.trialSeconds.isFinite
        && report.trialSeconds > 0 && (1...100).contains(report.searches ?? 1)
    }
  }
}
