/// What a change of the shard map moves, and how even each map is, counted over keys: no data is
/// touched. Complexity: O(keys · lookup).
public struct PlacementSimulation: Sendable {
  /// How evenly keys lie on shards, each load divided by its shard's weight.
  public struct Balance: Sendable, Codable {
    /// Keys on each shard, in the map's order.
    public var loads: [Int]
    /// The heaviest load over the mean: 1 is perfect.
    public var maximumOverMean: Double
    /// Standard deviation over the mean.
    public var variation: Double

    init(_ loads: [Int], _ shards: [Shard]) {
      self.loads = loads
      let weights = shards.map(\.weight)
      let meanWeight = weights.reduce(0, +) / Double(weights.count)
      let relative = zip(loads, weights).map { Double($0) * meanWeight / $1 }
      let mean = relative.reduce(0, +) / Double(relative.count)
      let squares = relative.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
      maximumOverMean = mean > 0 ? (relative.max() ?? 0) / mean : 0
      variation = mean > 0 ? (squares / Double(relative.count)).squareRoot() / mean : 0
    }
  }

  /// Keys that go from one shard to another.
  public struct Flow: Sendable, Codable {
    public var from: ShardID
    public var to: ShardID
    public var keys: Int
  }

  public struct Result: Sendable, Codable {
    public var keys: Int
    public var moved: Int
    /// Of all records, and of those that moved.
    public var bytes: Int
    public var movedBytes: Int
    /// The share that must move between maps that are even by weight.
    public var minimum: Double
    /// The share that must move between maps that load shards as these do: what shards gain.
    public var needed: Double
    public var flows: [Flow]
    public var before: Balance
    public var after: Balance

    public var movedShare: Double { Double(moved) / Double(max(1, keys)) }
    /// Moved keys over the minimum: 1 is perfect; nil when nothing had to move.
    public var excess: Double? { minimum > 0 ? movedShare / minimum : nil }
    /// Moved keys over those needed: 1 when no key moved for nothing; nil when nothing had to move.
    public var overNeeded: Double? { needed > 0 ? movedShare / needed : nil }
  }

  /// Who gets the keys of a shard that dies, as shares of them, largest first.
  public struct Heirs: Sendable, Codable {
    public var dead: ShardID
    public var keys: Int
    public var shares: [Share]
    /// Keys of living shards that move all the same, as a share of theirs.
    public var collateral: Double

    public struct Share: Sendable, Codable {
      public var heir: ShardID
      public var share: Double
    }
  }

  public let keys: PlacementKeys

  public init(_ keys: PlacementKeys) { self.keys = keys }

  /// `keys` made from numbers.
  public init(keys: Int, seed: UInt64) { self.init(PlacementKeys(count: keys, seed: seed)) }

  public func key(_ index: Int) -> [UInt8] { keys.key(index) }

  /// About so many keys, for maps of ranges.
  public func sample(_ count: Int) -> [[UInt8]] { keys.sample(count) }

  /// Places every key by both maps. Errors: `invalidArgument` of a map that is none.
  public func run(from: ShardMap, to: ShardMap) throws(StorageError) -> Result {
    let (old, new) = (try from.router(), try to.router())
    let oldPlaces = places(from.shards)
    let newPlaces = places(to.shards)
    var before = [Int](repeating: 0, count: from.shards.count)
    var after = [Int](repeating: 0, count: to.shards.count)
    var flows: [UInt64: Int] = [:]
    var (bytes, movedBytes) = (0, 0)
    keys.forEach { slice, recordBytes in
      let (source, target) = (old.shard(of: slice), new.shard(of: slice))
      bytes += recordBytes
      before[oldPlaces[source] ?? 0] += 1
      after[newPlaces[target] ?? 0] += 1
      if source == target { return }
      movedBytes += recordBytes
      flows[UInt64(source.rawValue) << 32 | UInt64(target.rawValue), default: 0] += 1
    }
    let gained = to.shards.indices.reduce(0) { sum, target in
      sum + max(0, after[target] - (oldPlaces[to.shards[target].id].map { before[$0] } ?? 0))
    }
    return Result(
      keys: keys.count, moved: flows.values.reduce(0, +), bytes: bytes, movedBytes: movedBytes,
      minimum: LeastMovement.minimumShare(from: from.shards, to: to.shards),
      needed: Double(gained) / Double(keys.count),
      flows: flows.sorted { $0.key < $1.key }.map {
        Flow(
          from: ShardID(UInt32($0.key >> 32)), to: ShardID(UInt32(truncatingIfNeeded: $0.key)),
          keys: $0.value)
      }, before: Balance(before, from.shards), after: Balance(after, to.shards))
  }

  /// Takes a shard away. Errors: `invalidArgument` when it is the only one or not there.
  public func heirs(of dead: ShardID, in map: ShardMap) throws(StorageError) -> Heirs {
    let living = map.shards.filter { $0.id != dead }
    guard living.count == map.shards.count - 1, !living.isEmpty else {
      throw StorageError(.invalidArgument, "\(dead) is not one of several shards of the map")
    }
    let after = try map.next(living, sample: sample(100_000))
    let (old, new) = (try map.router(), try after.router())
    var inherited: [ShardID: Int] = [:]
    var (lost, moved) = (0, 0)
    keys.forEach { slice, _ in
      let (source, target) = (old.shard(of: slice), new.shard(of: slice))
      if source == dead {
        lost += 1
        inherited[target, default: 0] += 1
      } else if source != target {
        moved += 1
      }
    }
    let shares = inherited.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map {
      Heirs.Share(heir: $0.key, share: Double($0.value) / Double(max(1, lost)))
    }
    return Heirs(
      dead: dead, keys: lost, shares: shares,
      collateral: Double(moved) / Double(max(1, keys.count - lost)))
  }

  private func places(_ shards: [Shard]) -> [ShardID: Int] {
    Dictionary(
      shards.enumerated().map { ($1.id, $0) }, uniquingKeysWith: { first, _ in first })
  }
}
