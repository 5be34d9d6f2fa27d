import StorageLab

/// Claims P8 and P9: what keys that ascend and tenants that dwarf the rest do to shards, and what the
/// remedies bring. Keys are routed, none is stored: counts are exact.
struct HotShardExperiment {
  static let shards = 10

  /// New keys written in the order of time, after a first tenth that the map was made for.
  struct Monotone: Encodable {
    let name: String
    /// Of the writes of a window, what the hottest shard got: mean over the windows.
    let hottestShare: Double
    let splits: Int
    /// Keys that splits moved, as a share of those written.
    let movedShare: Double
    /// Shards that are asked for the newest hundredth of all keys, and for one tenant's part of it.
    let shardsOfRecent: Int
    let shardsOfTenantsRecent: Int
    /// Whether the hottest shard's load noticed that new keys go to the end.
    let isAscending: Bool?
  }

  /// A thousand tenants, one of them with a large part of all keys.
  struct Whale: Encodable {
    let name: String
    let shards: Int
    /// Of all keys, and of the whale's.
    let hottestShare: Double
    let maximumOverMean: Double
    /// Of the keys of all other tenants: those that share a shard with the whale.
    let besideWhale: Double
    /// Shards that a scan of the whale asks, and one of another tenant.
    let shardsOfWhale: Int
    let shardsOfTenant: Int
    /// Keys that moved to come here from hashing tenants.
    let movedShare: Double
    /// The hottest key or tenant as the sketch saw it, with its share.
    let detected: String
    let detectedShare: Double
  }

  let keys: Int
  let seed: UInt64

  // MARK: Keys that ascend

  private static let tenants = 200

  /// Eight writers, each a little ahead or behind.
  private func times() -> [(time: Int, tenant: Int)] {
    var random = SeededRandom(seed: seed)
    return (0..<keys).map { number in
      (number + random.below(16), random.below(HotShardExperiment.tenants))
    }
  }

  private func digits(_ number: Int, _ count: Int) -> String {
    let text = "\(number)"
    return String(repeating: "0", count: max(0, count - text.count)) + text
  }

  func monotone() throws(StorageError) -> [Monotone] {
    let times = times()
    let plain = times.map { Array("\(digits($0.time, 12))/t\(digits($0.tenant, 4))".utf8) }
    let compound = times.map { Array("t\(digits($0.tenant, 4))/\(digits($0.time, 12))".utf8) }
    let shards = Shard.equal(HotShardExperiment.shards)
    let history = keys / 10
    func ranges(_ written: [[UInt8]]) throws(StorageError) -> RangeRouter {
      try RangeRouter.even(shards, over: Array(written.prefix(history)))
    }
    let recent = KeyRange(from: Array(digits(keys - keys / 100, 12).utf8), to: nil)
    let tenant = KeyRange(
      from: Array("t0007/\(digits(keys - keys / 100, 12))".utf8), to: Array("t0007/:".utf8))
    return [
      try monotone("time, ranges", plain, try ranges(plain), .never, recent, recent),
      try monotone(
        "time, ranges split in the middle", plain, try ranges(plain), .middle, recent, recent),
      try monotone(
        "time, ranges split as advised", plain, try ranges(plain), .advised, recent, recent),
      try monotone("time, ring", plain, RingRouter(shards), .never, recent, recent),
      try monotone("tenant and time, ranges", compound, try ranges(compound), .never, .all, tenant),
      try monotone(
        "tenant and time, ring of tenants", compound,
        RingRouter(shards, part: .before(UInt8(ascii: "/"))), .never, .all, tenant),
    ]
  }

  private enum Splitting { case never, middle, advised }

  private func monotone(
    _ name: String, _ written: [[UInt8]], _ first: any Router, _ splitting: Splitting,
    _ recent: KeyRange, _ tenant: KeyRange
  ) throws(StorageError) -> Monotone {
    let window = max(100, keys / 40)
    var router = first
    var loads: [ShardID: ShardLoad] = [:]
    for shard in router.shards {
      loads[shard.id] = ShardLoad(sampleEvery: 1, seed: seed ^ UInt64(shard.id.rawValue))
    }
    let history = keys / 10
    var (windows, splits, moved) = (0, 0, 0)
    var hottestSum = 0.0
    var isAscending: Bool?
    for start in stride(from: history, to: keys, by: window) {
      let end = min(keys, start + window)
      for index in start..<end {
        written[index].withSlice { key in
          loads[router.shard(of: key)]?.record(.write, key, bytes: key.count)
        }
      }
      let requests = loads.map { (shard: $0.key, load: $0.value.summary()) }
        .sorted { ($0.load.requests, $1.shard) > ($1.load.requests, $0.shard) }
      windows += 1
      hottestSum += Double(requests[0].load.requests) / Double(end - start)
      isAscending = requests[0].load.isAscending
      if splitting != .never, let ranges = router as? RangeRouter,
        let target = requests.last?.shard
      {
        let hottest = requests[0]
        // Only where a shard has more than twice its share.
        if Double(hottest.load.requests) * Double(requests.count) > 2 * Double(end - start) {
          let advice =
            splitting == .advised
            ? SplitAdvice.byLoad(hottest.load) : SplitAdvice.dividing(hottest.load.keys)
          if let next = try ranges.split(hottest.shard, advice, to: target, of: ranges.shards) {
            splits += 1
            for key in written[..<end] where next.shard(of: key) != ranges.shard(of: key) {
              moved += 1
            }
            router = next
          }
        }
      }
      for load in loads.values { load.reset() }
    }
    return Monotone(
      name: name, hottestShare: hottestSum / Double(max(1, windows)), splits: splits,
      movedShare: Double(moved) / Double(keys),
      shardsOfRecent: router.shards(overlapping: recent).count,
      shardsOfTenantsRecent: router.shards(overlapping: tenant).count, isAscending: isAscending)
  }

  // MARK: A whale

  private static let whale = "whale"

  func whale() throws(StorageError) -> [Whale] {
    // The whale has 45 % of the keys, a thousand others the rest: some 800 times as much as one.
    var random = SeededRandom(seed: seed)
    let made = (0..<keys).map { number -> [UInt8] in
      let tenant =
        random.chance(0.45)
        ? HotShardExperiment.whale : "t\(digits(random.below(1000), 4))"
      return Array("\(tenant)/\(digits(number, 9))".utf8)
    }
    let slash = UInt8(ascii: "/")
    let shards = Shard.equal(HotShardExperiment.shards)
    let more = Shard.equal(HotShardExperiment.shards + 1)
    let ring = RingRouter.virtualNodesByDefault
    let hashed = try ShardMap(shards, .ring(virtualNodes: ring, .before(slash)))
    let own = try ShardMap(
      more,
      .directory(
        [.init(Array(HotShardExperiment.whale.utf8), ShardID(UInt32(HotShardExperiment.shards)))],
        .before(slash), fallback: .ring(virtualNodes: ring, .before(slash))))
    let spread = try ShardMap(shards, .ring(virtualNodes: ring, .wholeKey))
    let even = try RangeRouter.even(shards, over: made)
    let ranges = try ShardMap(
      shards, .ranges(boundaries: even.boundaries, owners: even.owners))
    return [
      try whale("tenants hashed", hashed, made, hashed),
      try whale("own shard by directory", own, made, hashed),
      try whale("keys hashed", spread, made, hashed),
      try whale("ranges even by size", ranges, made, hashed),
    ]
  }

  private func whale(
    _ name: String, _ map: ShardMap, _ made: [[UInt8]], _ before: ShardMap
  ) throws(StorageError) -> Whale {
    let router = try map.router()
    let prefix = Array((HotShardExperiment.whale + "/").utf8)
    var counts: [ShardID: Int] = [:]
    var others: [ShardID: Int] = [:]
    var whaleShards = Set<ShardID>()
    let sketch = SpaceSaving(capacity: 64)
    for key in made {
      let shard = router.shard(of: key)
      counts[shard, default: 0] += 1
      if key.starts(with: prefix) {
        whaleShards.insert(shard)
      } else {
        others[shard, default: 0] += 1
      }
      sketch.touch(Array(key.prefix { $0 != UInt8(ascii: "/") }).span.bytes)
    }
    let result = try PlacementSimulation(try PlacementKeys(made.map { ($0, $0.count) })).run(
      from: before, to: map)
    let beside = whaleShards.reduce(0) { $0 + others[$1, default: 0] }
    let hottest = sketch.top(1).first
    return Whale(
      name: name, shards: map.shards.count,
      hottestShare: Double(counts.values.max() ?? 0) / Double(made.count),
      maximumOverMean: result.after.maximumOverMean,
      besideWhale: Double(beside) / Double(max(1, others.values.reduce(0, +))),
      shardsOfWhale: router.shards(overlapping: KeyRange(prefix: prefix)).count,
      shardsOfTenant: router.shards(overlapping: KeyRange(prefix: Array("t0123/".utf8))).count,
      movedShare: result.movedShare,
      detected: hottest.map { printable($0.key) } ?? "",
      detectedShare: Double(hottest?.count ?? 0) / Double(max(1, sketch.total)))
  }
}
