/// How many requests of a workload are made, and at which rate.
struct RequestLoad: Sendable {
  /// As configured; workloads that cost more per request make fewer.
  var operations: Int
  /// Nil for a closed loop.
  var offered: OfferedLoad?
}

/// A named pattern of requests. `Workload+Catalogue.swift` has the list.
public struct Workload: Sendable {
  /// Which records it works on; workloads of one family share a database.
  public enum Family: String, Sendable, Codable {
    case airports, ycsb, dbBench
  }

  /// In which order records are taken.
  enum Order: Sendable {
    /// Record 0, 1, 2 …
    case ascending
    /// Each record once, in random order.
    case shuffled
    /// By the mix and a distribution.
    case drawn
  }

  struct Part: Sendable {
    let kind: RequestKind
    let share: Double
  }

  public let name: String
  /// What it does, in a few words.
  public let title: String
  public let family: Family
  let mix: [Part]
  let order: Order
  /// How records are drawn unless the run says otherwise.
  public let distribution: Distribution
  /// Begins with an empty database.
  public let startsEmpty: Bool
  /// Share of the configured number of requests: fewer for those that cost more.
  let operationsFactor: Double
  /// The class it needs, whatever the run's is.
  let durability: Durability?
  /// Entries that one request writes; rates count entries, latencies count requests.
  public let itemsPerOperation: Int
  /// Entries of a scan.
  let shortestScan: Int
  let longestScan: Int
  let prefixBytes: Int
  /// A further thread puts at this rate (per second) while the requests are measured.
  let backgroundPutsPerSecond: Int

  init(
    _ name: String, _ title: String, _ family: Family, _ mix: [Part], order: Order = .drawn,
    distribution: Distribution = .uniform, startsEmpty: Bool = false,
    operationsFactor: Double = 1, durability: Durability? = nil, itemsPerOperation: Int = 1,
    scans lengths: ClosedRange<Int> = 1...100, prefixBytes: Int = 2,
    backgroundPutsPerSecond: Int = 0
  ) {
    self.name = name
    self.title = title
    self.family = family
    self.mix = mix
    self.order = order
    self.distribution = distribution
    self.startsEmpty = startsEmpty
    self.operationsFactor = operationsFactor
    self.durability = durability
    self.itemsPerOperation = itemsPerOperation
    shortestScan = lengths.lowerBound
    longestScan = lengths.upperBound
    self.prefixBytes = prefixBytes
    self.backgroundPutsPerSecond = backgroundPutsPerSecond
  }

  var writes: Bool { mix.contains { $0.kind.writes } || backgroundPutsPerSecond > 0 }
  var inserts: Bool { mix.contains { $0.kind == .insert } }
  var isDrawn: Bool { order == .drawn }
  /// Reads the whole database: few requests, and the rate counts the entries.
  var scansEverything: Bool { mix.contains { $0.kind == .fullScan } }
  /// Scans of the whole database in a round.
  private static let fullScans = 5

  /// Whether it can go on for as long as it shall: neither as many requests as there are records
  /// nor a database that it empties or fills.
  var isEndless: Bool {
    isDrawn && !startsEmpty && !scansEverything && !mix.contains { $0.kind == .delete }
  }

  /// Requests of one thread of `threads` on `records` records.
  func operations(_ load: RequestLoad, records: Int, thread: Int, threads: Int) -> Int {
    if scansEverything { return Workload.fullScans }
    let deletes = mix.contains { $0.kind == .delete }
    let isPerRecord = order != .drawn || startsEmpty || deletes
    let whole =
      isPerRecord
      ? (records + itemsPerOperation - 1) / itemsPerOperation : load.operations
    // At a rate the number says how long the requests go on, whatever each costs.
    let factor = load.offered != nil && isEndless ? 1 : operationsFactor
    let total = max(1, Int(Double(whole) * factor))
    return total / threads + (thread < total % threads ? 1 : 0)
  }
}
