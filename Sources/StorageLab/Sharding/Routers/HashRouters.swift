import Glibc

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

/// Rendezvous or highest random weight (Thaler and Ravishankar, 1998): each shard draws a number for
/// the key, the highest has it. Any shard can go, and its keys scatter over all others; weights as
/// -w / ln(u) (Schindelhauer and Schomaker, 2005). Complexity: O(shards).
public struct RendezvousRouter: Router {
  public let shards: [Shard]
  public let part: RoutingPart
  private let seeds: [UInt64]
  private let isWeighted: Bool

  /// REQUIRES: `shards` is not empty.
  public init(_ shards: [Shard], part: RoutingPart = .wholeKey) {
    self.shards = shards
    self.part = part
    seeds = shards.map { Hash64.hash(UInt64($0.id.rawValue)) }
    isWeighted = Set(shards.map(\.weight)).count > 1
  }

  @inline(__always)
  public func shard(of key: ByteSlice) -> ShardID {
    let hash = XXHash64.hash(part.part(of: key))
    return shards[isWeighted ? heaviest(hash) : highest(hash)].id
  }

  @inline(__always)
  private func highest(_ hash: UInt64) -> Int {
    var best = 0
    var score: UInt64 = 0
    for index in seeds.indices {
      let drawn = Hash64.mix(hash ^ seeds[index], Hash64.secret1)
      if drawn > score {
        score = drawn
        best = index
      }
    }
    return best
  }

  private func heaviest(_ hash: UInt64) -> Int {
    var best = 0
    var score = -Double.infinity
    for index in seeds.indices {
      // In (0, 1): never 0, whose logarithm is none.
      let drawn = Hash64.mix(hash ^ seeds[index], Hash64.secret1)
      let unit = (Double(drawn >> 11) + 0.5) * 0x1p-53
      let weighted = -shards[index].weight / log(unit)
      if weighted > score {
        score = weighted
        best = index
      }
    }
    return best
  }

  public func shards(overlapping range: KeyRange) -> [ShardID] {
    part.part(of: range).map { [shard(of: $0)] } ?? shards.map(\.id)
  }
}
