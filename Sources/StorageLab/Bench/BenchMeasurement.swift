/// What one engine did in one round of one workload.
public struct BenchMeasurement: Sendable, Codable {
  public var round: Int
  /// Requests, and the entries they wrote or asked for where a request is several.
  public var operations: UInt64
  public var items: UInt64
  /// Time in requests, summed over the threads and divided by them; in an open loop from the
  /// begin to the last answer.
  public var seconds: Double
  /// Entries a second, all threads together.
  public var rate: Double
  public var latency: LatencySummary
  /// Every latency, as `HistogramCoding` writes it.
  public var histogram: String
  public var counters: Counters
  /// Time until no background work was left and a checkpoint had been written.
  public var settleSeconds: Double
  /// Processor time of the whole process while requests ran, background threads included.
  public var cpuSeconds: Double
  public var space: Space
  /// Resident memory that the process gained while this engine had its turns: the most during
  /// this one, and what is left after it.
  public var peakResidentBytes: Int64
  public var residentBytes: Int64
  /// Time to make the requests, which no figure counts.
  public var makingSeconds: Double
  /// From the begin of the measurement to its end, making requests included; `series` and
  /// `timeline` begin with it too. This and all below is nil in bundles of schema 1.
  public var wallSeconds: Double?
  public var series: LatencySeries?
  /// The database's shape on the same clock; nil of engines without one, and in bundles of schema 2
  /// and older.
  public var shape: ShapeSeries?
  /// The engine's events until its upkeep ended, in the order in which they ended.
  public var timeline: [TimelineEvent]?
  /// Events beyond those that are kept.
  public var droppedEvents: Int?
  public var littlesLaw: LittlesLaw?
  /// Nil for a closed loop.
  public var openLoop: OpenLoopFigures?
  /// What else the engine says of itself, such as height, splits, tables of a level: after the
  /// upkeep, and before the first request. Zeros are left out.
  public var details: [EngineStatistics.Detail]?
  public var detailsBefore: [EngineStatistics.Detail]?

  /// Counts while the requests ran; `settle…` of the upkeep after them.
  public struct Counters: Sendable, Codable, Equatable {
    public var found: UInt64 = 0
    public var missing: UInt64 = 0
    public var entriesScanned: UInt64 = 0
    /// Write requests, of a writer beside the measured readers too.
    public var writes: UInt64 = 0
    public var userBytesWritten: UInt64 = 0
    public var userBytesReturned: UInt64 = 0
    public var io = IOCounters.Counts()
    public var settleIO = IOCounters.Counts()
    /// By file class, requests and upkeep together; classes without any are left out.
    public var ioByClass: [String: IOCounters.Counts] = [:]
    public var cacheHits: UInt64 = 0
    public var cacheMisses: UInt64 = 0
    /// Write buffers, indexes, filters: what the engine says it holds beside its cache when
    /// the requests end.
    public var memoryOutsideCache: UInt64 = 0
    /// The operating system's account of the process, of the requests and of the upkeep; nil
    /// where it keeps none.
    public var systemIO: SystemIO?
    public var settleSystemIO: SystemIO?
    /// Calls of malloc and its kin while requests ran, of the engine's own threads too, without those
    /// of the harness; nil where the program does not count them.
    public var allocations: UInt64?
    /// What the engine itself counted as user bytes; held against `userBytesWritten`.
    public var engineUserBytes: UInt64 = 0
    public init() {}
  }

  /// The directory after upkeep.
  public struct Space: Sendable, Codable, Equatable {
    /// Blocks that the files take, without the log.
    public var dataBytes: Int64 = 0
    /// Blocks that the log takes, preallocated ones included.
    public var logBytes: Int64 = 0
    /// Bytes of the keys and values that a reader finds.
    public var liveBytes: UInt64 = 0
    public var liveEntries: UInt64 = 0

    public init() {}
  }
}

/// What the operating system counts as a process's I/O with the medium, whichever way it is done:
/// by calls or through a memory map.
public struct SystemIO: Sendable, Codable, Equatable {
  /// Bytes fetched from the medium on this process's behalf, read-ahead included.
  public var bytesRead: UInt64 = 0
  /// Bytes of the system's cache that this process made differ from the medium, less those of
  /// files that were cut or removed before they were written: a page that changes again before
  /// counts once.
  public var bytesWritten: UInt64 = 0
  /// Accesses to memory that waited for the medium.
  public var majorFaults: UInt64 = 0
  /// Bytes handed to calls that write and got from calls that read, whether or not the medium was
  /// needed for it; nil in bundles of schema 1.
  public var writtenByCalls: UInt64?
  public var readByCalls: UInt64?

  public init() {}

  static func - (left: SystemIO, right: SystemIO) -> SystemIO {
    var difference = SystemIO()
    difference.bytesRead = left.bytesRead &- right.bytesRead
    // More may have been taken back than was written meanwhile.
    difference.bytesWritten =
      left.bytesWritten > right.bytesWritten ? left.bytesWritten - right.bytesWritten : 0
    difference.majorFaults = left.majorFaults &- right.majorFaults
    if let after = left.writtenByCalls, let before = right.writtenByCalls {
      difference.writtenByCalls = after &- before
    }
    if let after = left.readByCalls, let before = right.readByCalls {
      difference.readByCalls = after &- before
    }
    return difference
  }
}

public struct LatencySummary: Sendable, Codable, Equatable {
  public var samples: UInt64 = 0
  /// All in nanoseconds.
  public var minimum: UInt64 = 0
  public var mean: Double = 0
  public var p50: UInt64 = 0
  public var p95: UInt64 = 0
  public var p99: UInt64 = 0
  public var p999: UInt64 = 0
  public var maximum: UInt64 = 0

  public init() {}

  public init(_ histogram: LatencyHistogram) {
    samples = histogram.totalCount
    guard samples > 0 else { return }
    minimum = histogram.min
    mean = histogram.mean
    p50 = histogram.valueAtPercentile(50)
    p95 = histogram.valueAtPercentile(95)
    p99 = histogram.valueAtPercentile(99)
    p999 = histogram.valueAtPercentile(99.9)
    maximum = histogram.maxRecorded
  }
}

/// Ratios that say how much work the medium had for the work that was asked for. A ratio
/// without a denominator is nil, never zero.
public struct Amplification: Sendable, Equatable {
  /// Bytes written to files, upkeep included, per byte of keys and values written.
  public var write: Double?
  /// Bytes read from files per byte of keys and values returned.
  public var read: Double?
  /// Bytes of files, without the log, per byte of live keys and values.
  public var space: Double?

  public init(_ counters: BenchMeasurement.Counters, _ space: BenchMeasurement.Space) {
    let written = counters.io.bytesWritten &+ counters.settleIO.bytesWritten
    write = Amplification.ratio(written, counters.userBytesWritten)
    read = Amplification.ratio(counters.io.bytesRead, counters.userBytesReturned)
    self.space = Amplification.ratio(UInt64(max(0, space.dataBytes)), space.liveBytes)
  }

  static func ratio(_ numerator: UInt64, _ denominator: UInt64) -> Double? {
    denominator == 0 ? nil : Double(numerator) / Double(denominator)
  }
}

extension BenchMeasurement {
  /// How much a counter of the engine's details rose, upkeep included; nil without details.
  public func rise(_ name: String) -> Double? {
    guard let details, let detailsBefore else { return nil }
    func value(_ details: [EngineStatistics.Detail]) -> Double {
      details.first { $0.name == name }?.value ?? 0
    }
    return value(details) - value(detailsBefore)
  }

  public var amplification: Amplification { Amplification(counters, space) }

  /// Pages of 4 KiB that the operating system fetched from the medium per request.
  public var pagesReadPerRequest: Double? {
    guard let system = counters.systemIO, operations > 0 else { return nil }
    return Double(system.bytesRead) / 4096 / Double(operations)
  }

  public var allocationsPerRequest: Double? {
    guard let allocations = counters.allocations, operations > 0 else { return nil }
    return Double(allocations) / Double(operations)
  }

  /// As `Amplification.write`, by the operating system's account.
  public var systemWriteAmplification: Double? {
    guard let during = counters.systemIO, let after = counters.settleSystemIO else { return nil }
    return Amplification.ratio(
      during.bytesWritten &+ after.bytesWritten, counters.userBytesWritten)
  }

  /// Hits per page or block asked of the cache; nil when none was, or the counter went back.
  public var cacheHitRate: Double? {
    if cacheCountersWentBack { return nil }
    return Amplification.ratio(counters.cacheHits, counters.cacheHits &+ counters.cacheMisses)
  }

  /// A difference of counters that lies beyond any count is a counter that went down.
  var cacheCountersWentBack: Bool {
    counters.cacheHits > UInt64.max / 2 || counters.cacheMisses > UInt64.max / 2
  }

  /// Whether sums of its counts do not overflow and its series have one length.
  var isCoherent: Bool {
    let limit = UInt64.max / 1_024
    let counts = [operations, items, counters.found, counters.missing, counters.writes]
    let rates = [seconds, rate, settleSeconds, cpuSeconds, makingSeconds]
    guard counts.allSatisfy({ $0 < limit }), rates.allSatisfy(\.isFinite) else { return false }
    if let shape, !shape.isCoherent { return false }
    guard let series else { return true }
    let count = series.requests.count
    return series.sliceSeconds > 0 && series.sliceSeconds.isFinite
      && [series.busy, series.p50, series.p99, series.maximum].allSatisfy { $0.count == count }
  }

  /// Bytes written, upkeep included.
  public var bytesWritten: UInt64 {
    counters.io.bytesWritten &+ counters.settleIO.bytesWritten
  }

  /// Processor microseconds per request.
  public var cpuMicroseconds: Double {
    operations == 0 ? 0 : cpuSeconds * 1e6 / Double(operations)
  }
}
