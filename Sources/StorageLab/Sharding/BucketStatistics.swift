/// How evenly a way of hashing divides the key space, over many independent layouts: of rings by
/// their arcs, exactly; of jump by counting keys.
public struct BucketStatistics: Sendable {
  public let buckets: Int
  public let layouts: Int
  /// Standard deviation of a bucket's size over the mean size ("standard error" in Lamping and Veach,
  /// 2014), over all buckets of all layouts.
  public let standardError: Double
  /// What counting keys adds to that by chance; 0 where shares are exact.
  public let samplingError: Double
  /// Sizes over the mean between which 99 % of the buckets lie.
  public let interval: (low: Double, high: Double)
  /// The largest bucket over the mean: average over layouts, and the 95th percentile.
  public let maximumOverMean: Double
  public let maximumOverMean95: Double
  /// The largest bucket's share of everything, average over layouts.
  public let largestShare: Double
  /// Layouts in which one bucket has half of everything or more.
  public let halfShare: Double
  /// Of a bucket that goes, what the largest heir gets, average over layouts; nil for one bucket.
  public let largestHeir: Double?

  /// Rings of `buckets` shards with `points` each; layout i has shards of other numbers, and so other
  /// points. REQUIRES: all are at least 1.
  /// Complexity: O(layouts · buckets · points · log).
  public init(ringsOf buckets: Int, points: Int, layouts: Int, seed: UInt64) {
    var heirs = 0.0
    let first = UInt32(truncatingIfNeeded: Hash64.hash(seed))
    let shares = (0..<layouts).map { layout in
      let shards = (0..<buckets).map {
        Shard(ShardID(first &+ UInt32(truncatingIfNeeded: layout * buckets + $0)))
      }
      let ring = RingRouter(shards, virtualNodes: points)
      heirs += ring.heirShares(of: shards[0].id).first?.share ?? 0
      return ring.shares
    }
    self.init(shares, keys: nil, largestHeir: buckets > 1 ? heirs / Double(layouts) : nil)
  }

  /// Jump over `keys` keys a layout. REQUIRES: all are at least 1.
  public init(jumpOf buckets: Int, keys: Int, layouts: Int, seed: UInt64) {
    let shares = (0..<layouts).map { layout in
      var counts = [Int](repeating: 0, count: buckets)
      let base = Hash64.hash(seed ^ Hash64.hash(UInt64(layout)))
      for key in 0..<keys {
        counts[JumpHash.bucket(Hash64.hash(base &+ UInt64(key)), of: buckets)] += 1
      }
      return counts.map { Double($0) / Double(keys) }
    }
    self.init(shares, keys: keys, largestHeir: nil)
  }

  private init(_ layouts: [[Double]], keys: Int?, largestHeir: Double?) {
    let buckets = layouts[0].count
    self.buckets = buckets
    self.layouts = layouts.count
    self.largestHeir = largestHeir
    samplingError = keys.map { (Double(buckets - 1) / Double($0)).squareRoot() } ?? 0
    let sizes = layouts.flatMap { $0.map { $0 * Double(buckets) } }.sorted()
    let squares = sizes.reduce(0) { $0 + ($1 - 1) * ($1 - 1) }
    standardError = (squares / Double(sizes.count)).squareRoot()
    func percentile(_ sorted: [Double], _ share: Double) -> Double {
      sorted[min(sorted.count - 1, Int(share * Double(sorted.count)))]
    }
    interval = (percentile(sizes, 0.005), percentile(sizes, 0.995))
    let largest = layouts.map { $0.max() ?? 0 }.sorted()
    let mean = largest.reduce(0, +) / Double(largest.count)
    largestShare = mean
    maximumOverMean = mean * Double(buckets)
    maximumOverMean95 = percentile(largest, 0.95) * Double(buckets)
    halfShare = Double(largest.filter { $0 >= 0.5 }.count) / Double(largest.count)
  }

  /// As printed in table 1 of Lamping and Veach for a ring with so many points a bucket.
  public static let published: [(points: Int, error: Double, low: Double, high: Double)] = [
    (1, 0.9979060, 0.005, 5.25), (10, 0.3151810, 0.37, 1.98), (100, 0.0996996, 0.76, 1.28),
    (1000, 0.0315723, 0.92, 1.09),
  ]
}
