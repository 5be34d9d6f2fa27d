/// 16,384 hash slots in a table, as Redis Cluster has them: placement is data, so any slot can be
/// moved by itself, and 1/N of them move when a shard comes.
public struct SlotRouter: Router {
  public let shards: [Shard]
  /// The shard of each slot.
  public let owners: [ShardID]

  /// Slots in runs of equal length by weight, as a new Redis cluster has them.
  /// REQUIRES: `shards` is not empty.
  public init(_ shards: [Shard]) {
    self.shards = shards
    let targets = SlotRouter.targets(shards)
    owners = zip(shards, targets).flatMap { shard, count in
      [ShardID](repeating: shard.id, count: count)
    }
  }

  /// REQUIRES: an owner for each slot, all of them in `shards`.
  init(_ shards: [Shard], owners: [ShardID]) {
    self.shards = shards
    self.owners = owners
  }

  @inline(__always)
  public func shard(of key: ByteSlice) -> ShardID { owners[HashSlot.slot(key)] }

  /// Keys with one hash tag may lie anywhere in the order, so a range is everywhere.
  public func shards(overlapping range: KeyRange) -> [ShardID] { shards.map(\.id) }

  /// The same slots for another set of shards, moving as few as there must be moved: a shard with
  /// too many gives its last ones, a shard that went gives all.
  public func rebalanced(to next: [Shard]) -> SlotRouter {
    let targets = Dictionary(
      zip(next.map(\.id), SlotRouter.targets(next)), uniquingKeysWith: { first, _ in first })
    var counts: [ShardID: Int] = [:]
    for owner in owners { counts[owner, default: 0] += 1 }
    var missing = next.flatMap { shard in
      [ShardID](
        repeating: shard.id,
        count: max(0, (targets[shard.id] ?? 0) - (counts[shard.id] ?? 0)))
    }
    missing.reverse()
    var result = owners
    for slot in owners.indices.reversed() {
      let owner = owners[slot]
      guard counts[owner, default: 0] > targets[owner, default: 0], let taker = missing.popLast()
      else { continue }
      counts[owner, default: 0] -= 1
      result[slot] = taker
    }
    return SlotRouter(next, owners: result)
  }

  /// How many slots each shard is to have: shares by weight, to within one slot, all of them.
  static func targets(_ shards: [Shard]) -> [Int] {
    let sum = shards.reduce(0) { $0 + $1.weight }
    var passed = 0.0
    var given = 0
    return shards.map { shard in
      passed += shard.weight
      let end = Int((Double(HashSlot.count) * passed / sum).rounded())
      defer { given = end }
      return end - given
    }
  }
}
