/// Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam, SODA 2018): a key goes to
/// the first shard clockwise that has less than (1 + ε) times its share. Where a key went depends on
/// those before it, so the answer must be kept: a directory for tenants or sessions, no router.
public struct BoundedLoads: Sendable {
  public let ring: RingRouter
  /// How much above its share a shard may hold: 0.25 is a quarter.
  public let slack: Double
  public private(set) var loads: [ShardID: Int] = [:]
  public private(set) var total = 0
  private let weights: [ShardID: Double]

  public init(_ ring: RingRouter, slack: Double) {
    self.ring = ring
    self.slack = max(0, slack)
    let sum = ring.shards.reduce(0) { $0 + $1.weight }
    weights = Dictionary(
      ring.shards.map { ($0.id, $0.weight / sum) }, uniquingKeysWith: { first, _ in first })
  }

  /// The most that a shard may hold of `count` keys.
  public func capacity(_ shard: ShardID, of count: Int) -> Int {
    Int(((1 + slack) * Double(count) * (weights[shard] ?? 0)).rounded(.up))
  }

  /// Places one more key and returns where. Complexity: O(points met).
  public mutating func place(_ key: ByteSlice) -> ShardID {
    total += 1
    let preferences = ring.preferences(of: key)
    let shard =
      preferences.first { loads[$0, default: 0] < capacity($0, of: total) } ?? preferences[0]
    loads[shard, default: 0] += 1
    return shard
  }

  /// Takes a key away again.
  public mutating func remove(from shard: ShardID) {
    guard let load = loads[shard], load > 0 else { return }
    loads[shard] = load - 1
    total -= 1
  }
}
