import StorageLab

/// Claims P17 and P18: what skewed requests leave of the capacity of ten shards. Shards are servers on
/// simulated time: each answers one request after the other, or admits as its token bucket has it.
struct HotLoadExperiment {
  static let shards = 10
  /// Requests a second that one shard answers: 12,000, so that 100,000 are five sixths of ten.
  static let shardRate = 12_000.0
  /// The objective of P17: 99 of 100 requests are answered within this, in seconds.
  static let objective = 0.005

  struct Capacity: Encodable {
    let name: String
    let users: Int
    /// Of the requests, what the hottest shard gets.
    let hottestShare: Double
    /// The highest rate of arrivals at which the objective holds.
    let requestsPerSecond: Double
    let holds75K: Bool
    let holds100K: Bool
  }

  struct Throttle: Encodable {
    let name: String
    /// Of the requests, those for the one key.
    let hotShare: Double
    let hottestShare: Double
    /// The highest load of which no more than one in a thousand is refused, over what all shards admit.
    let usableShare: Double
    /// What the ten shards admit when offered all they could: the rest is refused.
    let admittedShare: Double
  }

  let requests: Int
  let seed: UInt64

  // MARK: Servers

  func capacities() throws(StorageError) -> [Capacity] {
    var rows: [Capacity] = []
    let ring = RingRouter(Shard.equal(HotLoadExperiment.shards), virtualNodes: 1000)
    rows.append(capacity("uniform, users hashed", ring, users: 100_000, isSkewed: false))
    for users in [100, 1000, 10_000, 100_000] {
      rows.append(capacity("skewed, users hashed", ring, users: users, isSkewed: true))
    }
    let all = (0..<100_000).map(key)
    let ranges = try RangeRouter.even(Shard.equal(HotLoadExperiment.shards), over: all)
    rows.append(capacity("skewed, users in ranges", ranges, users: 100_000, isSkewed: true))
    return rows
  }

  private func key(_ user: Int) -> [UInt8] {
    let text = "\(user)"
    return Array(("u" + String(repeating: "0", count: max(0, 8 - text.count)) + text).utf8)
  }

  /// Skewed: 40 % of the requests are of the newest 5 % of the users, who stand together in order.
  private func capacity(
    _ name: String, _ router: any Router, users: Int, isSkewed: Bool
  ) -> Capacity {
    var random = SeededRandom(seed: seed)
    let shards = (0..<users).map { Int(router.shard(of: key($0)).rawValue) }
    let hot = max(1, users / 20)
    let asked = (0..<requests).map { _ -> Int in
      if !isSkewed { return shards[random.below(users)] }
      return random.chance(0.4)
        ? shards[users - hot + random.below(hot)] : shards[random.below(users - hot)]
    }
    let gaps = (0..<requests).map { _ in ArrivalGap.exponential(&random) }
    func holds(_ rate: Double) -> Bool { isWithin(asked, gaps, rate) }
    var (low, high) = (0.0, HotLoadExperiment.shardRate * Double(HotLoadExperiment.shards))
    for _ in 0..<12 {
      let middle = (low + high) / 2
      if holds(middle) { low = middle } else { high = middle }
    }
    return Capacity(
      name: name, users: users, hottestShare: hottest(asked), requestsPerSecond: low,
      holds75K: holds(75_000), holds100K: holds(100_000))
  }

  private func hottest(_ asked: [Int]) -> Double {
    var counts = [Int](repeating: 0, count: HotLoadExperiment.shards)
    for shard in asked { counts[shard] += 1 }
    return Double(counts.max() ?? 0) / Double(max(1, asked.count))
  }

  /// Whether 99 of 100 requests that come at `rate` are answered in time.
  private func isWithin(_ asked: [Int], _ gaps: [Double], _ rate: Double) -> Bool {
    if rate <= 0 { return true }
    let service = 1 / HotLoadExperiment.shardRate
    var free = [Double](repeating: 0, count: HotLoadExperiment.shards)
    var now = 0.0
    var late = 0
    for index in asked.indices {
      now += gaps[index] / rate
      let done = max(now, free[asked[index]]) + service
      free[asked[index]] = done
      if done - now > HotLoadExperiment.objective { late += 1 }
    }
    return 100 * late <= asked.count
  }

  // MARK: Token buckets

  func throttles() -> [Throttle] {
    let ring = RingRouter(Shard.equal(HotLoadExperiment.shards), virtualNodes: 1000)
    var rows = [0.0, 0.1, 0.2, 0.4, 0.6].map { throttle("one key", ring, $0, copies: 1) }
    rows.append(throttle("one key on ten shards", ring, 0.4, copies: 10))
    return rows
  }

  /// The hot key may have copies on so many shards, which take turns.
  private func throttle(
    _ name: String, _ router: any Router, _ hotShare: Double, copies: Int
  ) -> Throttle {
    var random = SeededRandom(seed: seed)
    let users = 100_000
    let shards = (0..<users).map { Int(router.shard(of: key($0)).rawValue) }
    let hot = Int(router.shard(of: Array("hot".utf8)).rawValue)
    let asked = (0..<requests).map { index -> Int in
      random.chance(hotShare)
        ? (hot + index % copies) % HotLoadExperiment.shards : shards[random.below(users)]
    }
    let gaps = (0..<requests).map { _ in ArrivalGap.exponential(&random) }
    let total = HotLoadExperiment.shardRate * Double(HotLoadExperiment.shards)
    var (low, high) = (0.0, total)
    for _ in 0..<12 {
      let middle = (low + high) / 2
      if 1000 * refused(asked, gaps, middle) <= asked.count { low = middle } else { high = middle }
    }
    let refusedOfAll = Double(refused(asked, gaps, total)) / Double(max(1, asked.count))
    return Throttle(
      name: name, hotShare: hotShare, hottestShare: hottest(asked), usableShare: low / total,
      admittedShare: 1 - refusedOfAll)
  }

  /// Buckets hold a tenth of a second's tokens.
  private func refused(_ asked: [Int], _ gaps: [Double], _ rate: Double) -> Int {
    let most = HotLoadExperiment.shardRate / 10
    var tokens = [Double](repeating: most, count: HotLoadExperiment.shards)
    var filled = [Double](repeating: 0, count: HotLoadExperiment.shards)
    var now = 0.0
    var count = 0
    for index in asked.indices {
      now += gaps[index] / rate
      let shard = asked[index]
      tokens[shard] = min(
        most, tokens[shard] + (now - filled[shard]) * HotLoadExperiment.shardRate)
      filled[shard] = now
      if tokens[shard] >= 1 { tokens[shard] -= 1 } else { count += 1 }
    }
    return count
  }
}
