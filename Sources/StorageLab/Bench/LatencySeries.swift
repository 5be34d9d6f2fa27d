/// Latency over time: what a measurement's requests came to, slice by slice. The slices follow
/// each other without gaps from the measurement's begin; one without requests is all zeros.
/// Percentiles are known to 3 %, maxima exactly.
public struct LatencySeries: Sendable, Codable, Equatable {
  /// Length of a slice.
  public var sliceSeconds: Double
  /// Requests that ended in each slice.
  public var requests: [UInt64] = []
  /// Nanoseconds that they were in the engine, all threads together: the rate while requests ran is
  /// `requests * threads / busy`. The rest of a closed loop's time went into making requests.
  public var busy: [UInt64] = []
  /// Nanoseconds; of an open loop from the intended start.
  public var p50: [UInt64] = []
  public var p99: [UInt64] = []
  public var maximum: [UInt64] = []

  public init(sliceSeconds: Double) { self.sliceSeconds = sliceSeconds }
}

/// What an engine did in the background, or made a writer wait for, on the clock of the series.
public struct TimelineEvent: Sendable, Codable, Equatable {
  /// `flush`, `compaction`, `checkpoint`, `stall`, `recovery` or `failure`.
  public var kind: String
  /// The cause of a stall, the message of a failure.
  public var detail: String?
  /// Seconds since the measurement's begin; after the last slice for the upkeep that followed,
  /// negative for what was under way before.
  public var start: Double
  public var seconds: Double
  /// Level that a compaction began at.
  public var level: Int?
  public var bytesRead: UInt64?
  public var bytesWritten: UInt64?
  /// Pages that a checkpoint wrote.
  public var pages: Int?

  init(_ event: Event, epoch: UInt64) {
    start =
      event.start >= epoch
      ? Double(event.start - epoch) / 1e9 : -Double(epoch - event.start) / 1e9
    seconds = Double(event.durationNanoseconds) / 1e9
    switch event.kind {
    case .flush(let bytes, _):
      kind = "flush"
      bytesWritten = bytes
    case .compaction(let level, let read, let written):
      kind = "compaction"
      self.level = level
      bytesRead = read
      bytesWritten = written
    case .checkpoint(let pages, _):
      kind = "checkpoint"
      self.pages = pages
    case .stall(let cause):
      kind = "stall"
      detail = cause
    case .recovery(_, let bytes):
      kind = "recovery"
      bytesRead = bytes
    case .failure(let task, let message):
      kind = "failure"
      detail = "\(task): \(message)"
    }
  }
}
