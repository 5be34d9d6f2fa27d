/// Consistent hashing (Karger et al., STOC 1997): shards and keys are hashed onto one ring, and a key
/// belongs to the next point of a shard clockwise. Each shard has many points, its virtual nodes, so
/// that shares even out and a lost shard's keys scatter; more of them by weight.
///
/// A lookup is a step into a table of the ring's sectors, and a search among the few points of one.
public struct RingRouter: Router {
  public static let virtualNodesByDefault = 150

  public let shards: [Shard]
  public let part: RoutingPart
  /// Points of a shard of weight 1.
  public let virtualNodes: Int
  /// The ring's points in order, and whose each is.
  let points: [UInt64]
  private let owners: [ShardID]
  /// Of each sector of the ring, the first point at or after its start.
  private let sectors: [UInt32]
  private let shift: UInt64

  /// REQUIRES: `shards` is not empty, `virtualNodes` at least 1.
  public init(
    _ shards: [Shard], virtualNodes: Int = RingRouter.virtualNodesByDefault,
    part: RoutingPart = .wholeKey
  ) {
    self.shards = shards
    self.part = part
    self.virtualNodes = virtualNodes
    var ring: [(point: UInt64, owner: ShardID)] = []
    for shard in shards {
      let count = max(1, Int((Double(virtualNodes) * shard.weight).rounded()))
      for index in 0..<count { ring.append((RingRouter.point(shard.id, index), shard.id)) }
    }
    // Two shards may meet in one point: the lower number has it, whatever the order they came in.
    ring.sort { ($0.point, $0.owner) < ($1.point, $1.owner) }
    points = ring.map(\.point)
    owners = ring.map(\.owner)
    let bits = max(1, UInt64.bitWidth - max(1, ring.count).leadingZeroBitCount)
    shift = UInt64(64 - bits)
    var sectors: [UInt32] = []
    var next = 0
    for sector in 0..<UInt64(1) << UInt64(bits) {
      while next < points.count, points[next] < sector << shift { next += 1 }
      sectors.append(UInt32(next))
    }
    self.sectors = sectors
  }

  /// A shard's point depends on nothing but its number: the same on every ring.
  static func point(_ shard: ShardID, _ index: Int) -> UInt64 {
    var bytes: (UInt64, UInt64) = (UInt64(shard.rawValue).littleEndian, UInt64(index).littleEndian)
    return withUnsafeBytes(of: &bytes) { XXHash64.hash(ByteSlice($0)) }
  }

  @inline(__always)
  public func shard(of key: ByteSlice) -> ShardID {
    owner(of: XXHash64.hash(part.part(of: key)))
  }

  @inline(__always)
  func owner(of hash: UInt64) -> ShardID {
    var index = Int(sectors[Int(hash &>> shift)])
    while index < points.count, points[index] < hash { index += 1 }
    return owners[index == points.count ? 0 : index]
  }

  public func shards(overlapping range: KeyRange) -> [ShardID] {
    part.part(of: range).map { [shard(of: $0)] } ?? shards.map(\.id)
  }

  /// The exact share of the ring that each shard owns, in the order of `shards`.
  public var shares: [Double] {
    var arcs: [ShardID: Double] = [:]
    for index in points.indices {
      let before = index == 0 ? points[points.count - 1] : points[index - 1]
      // The first point's arc goes round through 0; a single point owns it all.
      let arc = points.count == 1 ? UInt64.max : points[index] &- before
      arcs[owners[index], default: 0] += Double(arc) * 0x1p-64
    }
    return shards.map { arcs[$0.id] ?? 0 }
  }

  /// Whose each point is, in the ring's order.
  public var pointOwners: [ShardID] { owners }

  /// Who gets the arcs of a shard that goes, as shares of them, largest first; none when it is not on
  /// the ring or alone there. Complexity: O(points).
  public func heirShares(of dead: ShardID) -> [(heir: ShardID, share: Double)] {
    var arcs: [ShardID: Double] = [:]
    var heir: ShardID?
    // Twice round, against the clock: the first time only finds who is next after the last point.
    for turn in 0..<2 {
      for index in points.indices.reversed() {
        if owners[index] != dead {
          heir = owners[index]
        } else if turn == 1, let heir {
          let before = index == 0 ? points[points.count - 1] : points[index - 1]
          arcs[heir, default: 0] += Double(points[index] &- before) * 0x1p-64
        }
      }
    }
    let sum = arcs.values.reduce(0, +)
    return arcs.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
      .map { (heir: $0.key, share: sum > 0 ? $0.value / sum : 0) }
  }

  /// The shards in the order in which the ring meets them from a key on, each once: whom to ask
  /// next when the first is full (bounded loads) or gone.
  public func preferences(of key: ByteSlice) -> [ShardID] {
    let hash = XXHash64.hash(part.part(of: key))
    var index = Int(sectors[Int(hash &>> shift)])
    while index < points.count, points[index] < hash { index += 1 }
    var found: [ShardID] = []
    for step in 0..<points.count where found.count < shards.count {
      let owner = owners[(index + step) % points.count]
      if !found.contains(owner) { found.append(owner) }
    }
    return found
  }
}
