/// `hash mod N`: balanced, no table, and nearly every key moves when N changes. The foil.
public struct ModuloRouter: Router {
  public let shards: [Shard]
  public let part: RoutingPart

  /// REQUIRES: `shards` is not empty. Weights are not looked at.
  public init(_ shards: [Shard], part: RoutingPart = .wholeKey) {
    self.shards = shards
    self.part = part
  }

  @inline(__always)
  public func shard(of key: ByteSlice) -> ShardID {
    shards[Int(XXHash64.hash(part.part(of: key)) % UInt64(shards.count))].id
  }

  public func shards(overlapping range: KeyRange) -> [ShardID] {
    part.part(of: range).map { [shard(of: $0)] } ?? shards.map(\.id)
  }
}

/// Jump consistent hash: balanced to the last key, no table; shards come and go at the end only.
public struct JumpRouter: Router {
  public let shards: [Shard]
  public let part: RoutingPart

  /// REQUIRES: `shards` is not empty. Weights are not looked at.
  public init(_ shards: [Shard], part: RoutingPart = .wholeKey) {
    self.shards = shards
    self.part = part
  }

  @inline(__always)
  public func shard(of key: ByteSlice) -> ShardID {
    shards[JumpHash.bucket(XXHash64.hash(part.part(of: key)), of: shards.count)].id
  }

  public func shards(overlapping range: KeyRange) -> [ShardID] {
    part.part(of: range).map { [shard(of: $0)] } ?? shards.map(\.id)
  }
}

/// Rendezvous or highest random weight: any shard can go, and its keys scatter over all others.
/// Complexity: O(shards).
public struct RendezvousRouter: Router {
  public let shards: [Shard]
  public let part: RoutingPart
  private let table: RendezvousTable

  /// REQUIRES: `shards` is not empty.
  public init(_ shards: [Shard], part: RoutingPart = .wholeKey) {
    self.shards = shards
    self.part = part
    table = RendezvousTable(shards)
  }

  @inline(__always)
  public func shard(of key: ByteSlice) -> ShardID {
    shards[table.winner(XXHash64.hash(part.part(of: key)))].id
  }

  public func shards(overlapping range: KeyRange) -> [ShardID] {
    part.part(of: range).map { [shard(of: $0)] } ?? shards.map(\.id)
  }
}
