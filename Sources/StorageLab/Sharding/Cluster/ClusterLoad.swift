/// Where the requests of a cluster go, counted since it was opened or since `Cluster.resetLoad`: which
/// shards have more than their share, and which keys are asked for so often that no split helps.
public struct ClusterLoad: Sendable {
  public struct ShardLoadShare: Sendable {
    public let shard: ShardID
    public let summary: ShardLoad.Summary
    /// Of the cluster's requests.
    public let share: Double
    /// That over what the shard ought to have: the mean, or its weight's share where that is more.
    public let overFair: Double
    /// Whether it has `ClusterLoad.hotShard` times what it ought to, and by more than chance.
    public let isHot: Bool
  }

  public struct HotKey: Sendable, Hashable {
    public let key: [UInt8]
    public let shard: ShardID
    /// Of the cluster's requests, as far as sampling shows; the true share of the sampled ones lies
    /// between `atLeast` and it.
    public let share: Double
    public let atLeast: Double
  }

  /// Reads and writes; scans are not among them.
  public let requests: UInt64
  /// In the map's order.
  public let shards: [ShardLoadShare]
  /// Keys with `ClusterLoad.hotKey` of the cluster's requests at least, hottest first.
  public let hotKeys: [HotKey]

  /// A hot shard has so many times what it ought to have.
  public static let hotShard = 1.5
  /// A hot key has such a share of all requests.
  public static let hotKey = 0.01
  /// Samples of a key before it is called hot.
  static let fewestSamples = 8.0

  /// The hot ones, hottest first.
  public var hotShards: [ShardLoadShare] {
    shards.filter(\.isHot).sorted { ($1.overFair, $0.shard) < ($0.overFair, $1.shard) }
  }

  /// The shard that is asked most; nil when none is.
  public var busiest: ShardLoadShare? {
    requests == 0 ? nil : shards.max { ($0.share, $1.shard) < ($1.share, $0.shard) }
  }

  init(_ loads: [(shard: Shard, summary: ShardLoad.Summary)]) {
    let requests = loads.reduce(0) { $0 + $1.summary.requests }
    let all = Double(max(1, requests))
    let weights = loads.reduce(0) { $0 + $1.shard.weight }
    self.requests = requests
    shards = loads.map { shard, summary in
      let fair = max(1 / Double(loads.count), weights > 0 ? shard.weight / weights : 0)
      let expected = fair * all
      let found = Double(summary.requests)
      return ShardLoadShare(
        shard: shard.id, summary: summary, share: found / all, overFair: found / expected,
        // Counts spread by the square root of what is expected.
        isHot: found >= ClusterLoad.hotShard * expected
          && found - expected >= 4 * expected.squareRoot())
    }
    var hot: [HotKey] = []
    for (shard, summary) in loads {
      let share = Double(summary.requests) / all
      for key in summary.hotKeys
      where key.atLeast * share >= ClusterLoad.hotKey
        && key.atLeast * Double(summary.sampled) >= ClusterLoad.fewestSamples
      {
        hot.append(
          HotKey(
            key: key.key, shard: shard.id, share: key.share * share, atLeast: key.atLeast * share))
      }
    }
    hotKeys = hot.sorted {
      $0.share != $1.share ? $0.share > $1.share : isBefore($0.key, $1.key)
    }
  }
}

extension Cluster {
  /// Where requests went. They wait for none of it. Complexity: O(shards · sampled keys).
  public func load() throws(StorageError) -> ClusterLoad {
    let (shards, known) = try inside { (view, _) throws(StorageError) in
      (view.shards, view.map.shards)
    }
    var loads: [(shard: Shard, summary: ShardLoad.Summary)] = []
    for shard in shards {
      // One of the other map, while keys move, has requests only when it is read.
      let summary = shard.load.summary()
      if let own = known.first(where: { $0.id == shard.id }) {
        loads.append((own, summary))
      } else if summary.requests > 0 {
        loads.append((Shard(shard.id), summary))
      }
    }
    return ClusterLoad(loads)
  }

  /// Begins a new stretch of time for `load()`.
  public func resetLoad() throws(StorageError) {
    let shards = try inside { (view, _) throws(StorageError) in view.shards }
    for shard in shards { shard.load.reset() }
  }

  /// Some of the keys that a shard holds, its own or not, in order: those behind `last`, `limit` at most.
  /// For whoever wants to know what really lies where, while keys move too. Errors: `invalidArgument` for
  /// a shard that the cluster has not got.
  public func storedKeys(
    on shard: ShardID, after last: [UInt8]? = nil, limit: Int
  ) throws(StorageError) -> [[UInt8]] {
    try inside { (view, _) throws(StorageError) in
      let engine = view.shards[try view.place(shard)].engine
      var keys: [[UInt8]] = []
      guard limit > 0 else { return keys }
      let range = last.map { KeyRange.all.after($0) } ?? .all
      _ = try ShardScan.visit(try engine.cursor(range)) { (key, _) throws(StorageError) in
        keys.append(key.array)
        return keys.count < limit
      }
      return keys
    }
  }
}
