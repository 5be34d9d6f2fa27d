/// What an open loop adds to a measurement: its latencies count from the intended start, so the
/// time that requests waited for others is in them; here it stands apart.
public struct OpenLoopFigures: Sendable, Codable, Equatable {
  /// What was asked for.
  public var load: OfferedLoad
  /// Digest of the intended starts.
  public var arrivalDigest: String
  /// Requests a second from the begin to the last answer.
  public var servedRate: Double
  /// From the actual start, and its histogram as `HistogramCoding` writes it.
  public var service: LatencySummary
  public var serviceHistogram: String
  /// Nanoseconds from an intended start to the actual one.
  public var longestLag: UInt64
  /// Its mean, for each quarter of the requests: it rises from quarter to quarter when more is
  /// asked for than can be served.
  public var lagByQuarter: [Double]
  /// Seconds spent making requests that were due by then: the harness's share of the lag.
  public var lateMakingSeconds: Double

  /// How fast the lag grew, in seconds a second: 0.1 means that a tenth of the load was not
  /// served in time.
  public func lagGrowth(seconds: Double) -> Double {
    guard lagByQuarter.count == 4, seconds > 0 else { return 0 }
    return (lagByQuarter[3] - lagByQuarter[0]) / 1e9 / (0.75 * seconds)
  }

  /// Whether requests queued up from quarter to quarter, at a hundredth of the rate at least. One
  /// stall does not look like that: the queue that it leaves is worked off.
  public func isBacklogGrowing(seconds: Double) -> Bool {
    lagByQuarter.count == 4 && zip(lagByQuarter, lagByQuarter.dropFirst()).allSatisfy(<)
      && lagGrowth(seconds: seconds) > 0.01
  }
}

/// Requests in flight, on average over time, counted; and as Little's law has it, L = λ · W
/// (Little, "A Proof for the Queuing Formula L = λW", Operations Research, 1961). The two come
/// from different records of the same requests: when they differ, a latency was lost or hidden.
public struct LittlesLaw: Sendable, Codable, Equatable {
  /// L. In an open loop the area between the curve of intended starts and that of answers, by the
  /// counts at each answer, over the time; no latency enters it. In a closed loop the time that
  /// threads were in requests over the time measured.
  public var inFlight: Double
  /// λ, requests a second.
  public var rate: Double
  /// W, mean of the recorded latencies.
  public var meanSeconds: Double

  public init(inFlight: Double, rate: Double, meanSeconds: Double) {
    self.inFlight = inFlight
    self.rate = rate
    self.meanSeconds = meanSeconds
  }

  public var predicted: Double { rate * meanSeconds }
  /// Relative to what was counted; 0 when nothing was in flight.
  public var error: Double { inFlight > 0 ? abs(predicted - inFlight) / inFlight : 0 }
}
