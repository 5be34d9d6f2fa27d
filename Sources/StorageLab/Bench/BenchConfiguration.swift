/// What a run was asked to do, after defaults: all that its figures depend on besides the
/// machine and the build.
public struct BenchConfiguration: Sendable, Codable, Equatable {
  public var engines: [String] = ["btree", "lsm", "sqlite"]
  public var workloads: [String] = Workload.main.map(\.name)
  /// Records of the generated workloads.
  public var records = 200_000
  /// Bytes of a generated value.
  public var valueBytes = 100
  /// Requests of a workload per round.
  public var operations = 200_000
  public var threads = 1
  /// What the keys of `db_bench`'s workloads look like; nil, as in older bundles, is decimal.
  public var keys: KeyStyle?
  public var durability = Durability.process.description
  public var cacheBytes = 8 << 20
  /// Whether each workload on a filled database begins from a start with no more of it in memory
  /// than the cache budget; nil, as in older bundles, is no.
  public var isCold: Bool?
  /// Whether each workload on a filled database gets one of its own, filled for it alone, so that
  /// nothing is left of those before; nil, as in older bundles, is no.
  public var loadsAnew: Bool?
  /// Set when the run overrides the workloads' own distributions.
  public var distribution: Distribution?
  /// Of the zipfian distributions; nil, as in older bundles, is YCSB's 0.99.
  public var zipfExponent: Double?
  /// The rate of requests of an open loop; nil, as in older bundles, is the closed loop.
  public var offered: OfferedLoad?
  public var seed: UInt64 = 42
  public var rounds = 5
  /// Rounds before the first that counts, of fewer requests each; nil, as in older bundles, is none.
  public var warmUp: Int? = 1

  public enum KeyStyle: String, Sendable, Codable, CaseIterable {
    /// The record's number in 16 digits, as in `db_bench`.
    case decimal
    /// 16 bytes that look random.
    case random
  }

  public init() {}

  /// Errors: `invalidArgument` that names the option.
  public func validate() throws(StorageError) {
    func demand(_ isRight: Bool, _ message: String) throws(StorageError) {
      if !isRight { throw StorageError(.invalidArgument, message) }
    }
    try demand(!engines.isEmpty, "there is no engine to measure")
    try demand(Set(engines).count == engines.count, "an engine is named twice")
    try demand(!workloads.isEmpty, "there is no workload to run")
    for name in workloads { _ = try Workload.named(name) }
    try demand(
      records >= 1 && records <= 1_000_000_000, "records must lie between 1 and 1,000,000,000")
    try demand(
      valueBytes >= RecordLimits.minimumValueBytes && valueBytes <= 1 << 30,
      "the value size must lie between \(RecordLimits.minimumValueBytes) B, which the check "
        + "of each value needs, and 1 GiB")
    try demand(
      operations >= 1 && operations <= 10_000_000_000,
      "operations must lie between 1 and 10,000,000,000")
    try demand(threads >= 1 && threads <= 256, "threads must lie between 1 and 256")
    try demand(rounds >= 1 && rounds <= 1_000, "rounds must lie between 1 and 1,000")
    try demand(
      (0...100).contains(warmUpRounds), "rounds to warm up must lie between 0 and 100")
    let exponents = Zipfian.exponents
    try demand(
      zipfExponent.map(exponents.contains) ?? true,
      "the Zipf exponent must lie between \(exponents.lowerBound) and \(exponents.upperBound)")
    try demand(cacheBytes >= 0, "the cache size is negative")
    if let offered {
      try demand(
        offered.rate >= 0.001 && offered.rate <= 1e9,
        "the rate must lie between 0.001 and 1,000,000,000 requests a second")
    }
    _ = try durabilityClass()
  }

  var warmUpRounds: Int { warmUp ?? 0 }

  /// Of the requests, in a round to warm up.
  static let warmUpShare = 0.25

  /// What a workload is asked for; what fills a database for others goes as fast as it can. To warm
  /// up, workloads that need not go through every record make fewer requests.
  func load(of workload: Workload, isWarmUp: Bool = false) -> RequestLoad {
    let share = isWarmUp ? BenchConfiguration.warmUpShare : 1
    return RequestLoad(
      operations: max(1, Int(Double(operations) * share)),
      offered: workloads.contains(workload.name) ? offered : nil)
  }

  /// Whether counts lie where `validate` wants them: what a damaged bundle need not.
  var hasValidNumbers: Bool {
    (1...1_000_000_000).contains(records) && (0...1 << 30).contains(valueBytes)
      && (1...10_000_000_000).contains(operations) && (1...256).contains(threads)
      && (1...1_000).contains(rounds) && (0...100).contains(warmUpRounds) && cacheBytes >= 0
      && (zipfExponent.map(Zipfian.exponents.contains) ?? true)
  }

  func durabilityClass() throws(StorageError) -> Durability {
    guard let durability = Durability(durability) else {
      throw StorageError(
        .invalidArgument, "there is no durability class \(durability)",
        remedy: "Classes: none, process, interval[:MS], commit")
    }
    return durability
  }
}
