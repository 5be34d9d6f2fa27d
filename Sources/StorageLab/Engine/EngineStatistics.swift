/// An engine's counters since it was opened. Counts are exact; gauges are as of the call.
public struct EngineStatistics: Sendable {
  /// Bytes of keys and values that callers wrote: the denominator of write amplification.
  public var userBytesWritten: UInt64 = 0
  /// I/O by file class, as asked of the file system.
  public var io: [FileClass: IOCounters.Counts] = [:]
  /// Directory syncs, which belong to no file class.
  public var directorySyncs: UInt64 = 0
  public var cacheHits: UInt64 = 0
  public var cacheMisses: UInt64 = 0
  /// Bytes that cached pages or blocks take now, and may take.
  public var cacheBytes: Int = 0
  public var cacheBudget: Int = 0
  /// Other memory of the engine: memtables, tables' indexes and filters.
  public var otherMemoryBytes: Int = 0
  /// Bytes of the engine's files, and of those the log's.
  public var diskBytes: Int64 = 0
  public var logBytes: Int64 = 0
  /// Live entries where the engine knows them.
  public var entries: UInt64?
  /// Open snapshots, cursors included.
  public var openSnapshots: Int = 0
  /// Engine-specific figures in the order to print: `height`, `pages.leaf`, `level.0.tables` …
  public var details: [Detail] = []

  public struct Detail: Sendable, Codable, Equatable {
    public let name: String
    public let value: Double
    public init(_ name: String, _ value: Double) {
      self.name = name
      self.value = value
    }
  }

  public init() {}

  public var totalIO: IOCounters.Counts {
    var sum = io.values.reduce(IOCounters.Counts(), +)
    sum.syncs += directorySyncs
    return sum
  }

  /// Copies every counter of `counters`.
  public mutating func record(_ counters: IOCounters) {
    for fileClass in FileClass.allCases { io[fileClass] = counters[fileClass] }
    directorySyncs = counters.directorySyncs.load(ordering: .relaxed)
  }

  public subscript(detail name: String) -> Double? {
    details.first { $0.name == name }?.value
  }
}

/// What `verify` found.
public struct VerificationReport: Sendable {
  public struct Problem: Sendable, Equatable {
    public let path: String
    public let offset: Int64
    public let message: String
    public init(path: String, offset: Int64, message: String) {
      self.path = path
      self.offset = offset
      self.message = message
    }
    public init(_ error: StorageError, path: String, offset: Int64 = 0) {
      self.init(
        path: error.path ?? path, offset: error.offset ?? offset, message: error.message)
    }
  }

  public var problems: [Problem] = []
  /// What was read and checked.
  public var bytesChecked: Int64 = 0
  public var entriesChecked: UInt64 = 0

  public init() {}
  public var isSound: Bool { problems.isEmpty }
}
