/// What `labctl bench capacity` found: for each engine the highest rate that it sustains, beside
/// what a closed loop says, and every rate that was tried.
public struct CapacityReport: Sendable, Codable {
  public static let newestSchema = 1

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
  public var engines: [Engine] = []
  public var warnings: [BenchWarning] = []
  /// Interrupted: engines, or trials of the last, are missing.
  public var isPartial = false

  public struct Engine: Sendable, Codable {
    public var engine: String
    /// Requests a second of a closed loop with as many threads: what it can do when the next
    /// request waits for the last. Requests are made between the measured stretches there.
    public var closedLoopRate: Double
    public var closedLoopLatency: LatencySummary
    /// The highest rate that was sustained; nil when none was.
    public var sustainedRate: Double?
    /// In the order in which they were made.
    public var trials: [Trial] = []
    /// Rates from a tenth to eleven tenths of the closed loop's; nil unless asked for.
    public var curve: [Trial]?
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
