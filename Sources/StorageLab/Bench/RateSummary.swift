/// The rates of an engine's rounds in three numbers.
public struct RateSummary: Sendable, Codable, Equatable {
  public static let confidence = 0.95

  /// Entries a second.
  public let median: Double
  /// The bootstrap interval of the median; the median itself for one round.
  public let low: Double
  public let high: Double

  public init(_ rates: [Double]) {
    median = Statistics.median(rates)
    let interval = Statistics.bootstrapMedian(rates, confidence: RateSummary.confidence)
    low = interval.lowerBound
    high = interval.upperBound
  }

  public init(_ engine: RunBundle.EngineResult) { self.init(engine.rounds.map(\.rate)) }

  /// Half the interval's width as a share of the median; nil for one round.
  public var spread: Double? {
    median > 0 && low < high ? (high - low) / 2 / median : nil
  }

  /// In per cent; a dash for one round.
  public var spreadText: String { Quantity.percent(spread) }
}
