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
    /// The least that must move when both maps are even by weight.
    public var minimum: Double
    public var flows: [Flow]
    public var before: Balance
    public var after: Balance

    public var movedShare: Double { Double(moved) / Double(max(1, keys)) }
    /// Moved keys over the minimum: 1 is perfect; nil when nothing had to move.
    public var excess: Double? { minimum > 0 ? movedShare / minimum : nil }
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

  public let keys: Int
  public let seed: UInt64

  public init(keys: Int, seed: UInt64) {
    self.keys = max(1, keys)
    self.seed = seed
  }

  /// Key number `index`, 16 hexadecimal digits of a hash: unlike its neighbours.
  public func key(_ index: Int) -> [UInt8] {
    var key = [UInt8](repeating: 0, count: 16)
    key.withUnsafeMutableBytes { write(index, to: $0) }
    return key
  }

  private func write(_ index: Int, to buffer: UnsafeMutableRawBufferPointer) {
    let hash = Hash64.hash(UInt64(index) ^ Hash64.hash(seed))
    for place in 0..<16 {
      let digit = UInt8(truncatingIfNeeded: hash >> UInt64(60 - 4 * place)) & 15
      buffer[place] = digit < 10 ? 48 + digit : 87 + digit
    }
  }

  /// Every `step`th key, for maps of ranges.
  public func sample(_ count: Int) -> [[UInt8]] {
    let step = max(1, keys / max(1, count))
    return stride(from: 0, to: keys, by: step).map(key)
  }

  /// Places every key by both maps. Errors: `invalidArgument` of a map that is none.
  public func run(from: ShardMap, to: ShardMap) throws(StorageError) -> Result {
    let (old, new) = (try from.router(), try to.router())
    let oldPlaces = places(from.shards)
    let newPlaces = places(to.shards)
    var flows = [Int](repeating: 0, count: from.shards.count * to.shards.count)
    forEachKey { slice in
      let source = oldPlaces[old.shard(of: slice)] ?? 0
      let target = newPlaces[new.shard(of: slice)] ?? 0
      flows[source * to.shards.count + target] += 1
    }
    var result = Result(
      keys: keys, moved: 0,
      minimum: LeastMovement.minimumShare(from: from.shards, to: to.shards), flows: [],
      before: Balance(
        from.shards.indices.map { source in
          to.shards.indices.reduce(0) { $0 + flows[source * to.shards.count + $1] }
        }, from.shards),
      after: Balance(
        to.shards.indices.map { target in
          from.shards.indices.reduce(0) { $0 + flows[$1 * to.shards.count + target] }
        }, to.shards))
    for (source, shard) in from.shards.enumerated() {
      for (target, other) in to.shards.enumerated() where shard.id != other.id {
        let count = flows[source * to.shards.count + target]
        if count == 0 { continue }
        result.moved += count
        result.flows.append(Flow(from: shard.id, to: other.id, keys: count))
      }
    }
    return result
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
    forEachKey { slice in
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
      collateral: Double(moved) / Double(max(1, keys - lost)))
  }

  private func places(_ shards: [Shard]) -> [ShardID: Int] {
    Dictionary(
      shards.enumerated().map { ($1.id, $0) }, uniquingKeysWith: { first, _ in first })
  }

  private func forEachKey(_ body: (ByteSlice) -> Void) {
    withUnsafeTemporaryAllocation(byteCount: 16, alignment: 8) { buffer in
      for index in 0..<keys {
        write(index, to: buffer)
        body(ByteSlice(UnsafeRawBufferPointer(buffer)))
      }
    }
  }
}
