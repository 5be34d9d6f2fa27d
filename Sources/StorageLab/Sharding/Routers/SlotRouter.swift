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
    let targets = LeastMovement.targets(shards, pieces: HashSlot.count)
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

  /// The same slots for another set of shards, moving as few as there must be moved.
  public func rebalanced(to next: [Shard]) -> SlotRouter {
    SlotRouter(next, owners: LeastMovement.reassign(owners, to: next))
  }
}
