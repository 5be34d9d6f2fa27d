/// A run with everything that its figures depend on: what `bundle.json` holds and every
/// report is made from. Nothing is computed from outside it, so that it reads the same on
/// another day and another machine.
public struct RunBundle: Sendable, Codable {
  /// The newest schema that this build reads and the one that it writes.
  public static let newestSchema = 3
  public static let fileName = "bundle.json"

  public var schema = RunBundle.newestSchema
  /// When the run began, ISO 8601 UTC.
  public var startedAt: String
  public var seconds: Double = 0
  public var configuration: BenchConfiguration
  public var machine: MachineDescription
  public var overhead = HarnessOverhead()
  public var workloads: [WorkloadResult] = []
  public var warnings: [BenchWarning] = []
  /// Interrupted: some measurements are missing. This and all below is nil in bundles of schema 1.
  public var isPartial: Bool?
  /// Nanoseconds that a sync of a page took in the directory of the databases, at the beginning.
  public var syncNanoseconds: UInt64?
  /// What others did on the machine meanwhile.
  public var load: MachineLoad?
  /// Of the run that this one repeats: when it began, and how machine and build differ from it.
  public var repeats: Repetition?

  public struct Repetition: Sendable, Codable, Equatable {
    public var startedAt: String
    public var differences: [String]

    public init(of original: OriginalRun, on machine: MachineDescription) {
      startedAt = original.startedAt
      differences = machine.differences(from: original.machine)
    }
  }

  public struct WorkloadResult: Sendable, Codable {
    public var name: String
    public var title: String
    public var distribution: Distribution?
    public var durability: String
    /// Not asked for by name: it filled the database for those after it.
    public var isPreparation: Bool
    public var itemsPerOperation: Int
    public var writes: Bool
    /// Digest of the requests, the same for every engine and round.
    public var requestDigest: String
    public var engines: [EngineResult]

    /// Whether everything that reports compute with is in range.
    var isCoherent: Bool {
      itemsPerOperation >= 1 && engines.allSatisfy { $0.rounds.allSatisfy(\.isCoherent) }
    }
  }

  public struct EngineResult: Sendable, Codable {
    public var engine: String
    public var isPersistent: Bool
    /// Whether the engine's I/O is counted; nil in bundles of builds that counted every one's.
    public var countsIO: Bool?
    /// Whether at least its written bytes are, as the process's; nil in older bundles.
    public var countsWrittenBytes: Bool?
    public var rounds: [BenchMeasurement]
    /// Over the requests of all rounds.
    public var latency: LatencySummary
    public var events: [EventSummary]

    /// Whether figures of file I/O mean anything.
    public var hasIO: Bool { isPersistent && countsIO != false }
    /// Whether the bytes it wrote do.
    public var hasWrittenBytes: Bool { hasIO || (isPersistent && countsWrittenBytes == true) }
  }

  /// The background work of one kind in all rounds of a workload.
  public struct EventSummary: Sendable, Codable, Equatable {
    public var kind: String
    public var count: Int
    public var seconds: Double
    public var longestSeconds: Double
  }

  public init(
    startedAt: String, configuration: BenchConfiguration, machine: MachineDescription
  ) {
    self.startedAt = startedAt
    self.configuration = configuration
    self.machine = machine
  }

  // MARK: Files

  public func encoded() throws(StorageError) -> [UInt8] {
    try BundleCoding.encode(self, "the bundle")
  }

  /// Errors: `wrongFormat` when the bytes are no bundle, `unsupportedVersion`, `corruption`.
  public init(decoding bytes: [UInt8], path: String) throws(StorageError) {
    self = try BundleCoding.decode(
      RunBundle.self, bytes, newest: RunBundle.newestSchema, "bundle of a benchmark run",
      path: path, isCoherent: \.isCoherent)
  }

  /// Whether everything that reports compute with is in range.
  private var isCoherent: Bool {
    configuration.hasValidNumbers && workloads.allSatisfy(\.isCoherent)
  }
}

/// Something that a reader of the figures must know. Warnings travel with the bundle and
/// stand above every table.
public struct BenchWarning: Sendable, Codable, Equatable {
  public enum Code: String, Sendable, Codable {
    case debugBuild
    case memoryFileSystem
    case fitsCache
    case fitsSystemCache
    case unequalDurability
    case unequalMemory
    case fewSamples
    case fewRounds
    case slowHarness
    case impossibleCounter
    /// The run was interrupted.
    case partial
    /// A sync takes less time than any medium.
    case doesNotSync
    case shortRun
    case busyMachine
    /// Upkeep took as long as the requests that caused it.
    case debtLeft
    /// More was asked for than was served.
    case overloaded
    /// What the engine counted is not what the operating system counted.
    case accountsDiffer
    /// Little's law does not hold on the figures.
    case latencyLost
    /// A repetition on another machine or with another build.
    case otherMachine
  }

  public var code: Code
  public var message: String
  public var workload: String?
  public var engine: String?

  public init(
    _ code: Code, _ message: String, workload: String? = nil, engine: String? = nil
  ) {
    self.code = code
    self.message = message
    self.workload = workload
    self.engine = engine
  }
}
