/// How a shard map places keys on its shards, as data.
public indirect enum Placement: Sendable, Hashable {
  case modulo(RoutingPart)
  case jump(RoutingPart)
  case rendezvous(RoutingPart)
  case ring(virtualNodes: Int, RoutingPart)
  /// The shard of each of the 16,384 slots.
  case slots([ShardID])
  case ranges(boundaries: [[UInt8]], owners: [ShardID])
  case directory([DirectoryEntry], RoutingPart, fallback: Placement)
  case geo(GeoPlacement)

  public struct DirectoryEntry: Sendable, Hashable {
    public var tenant: [UInt8]
    public var shard: ShardID

    public init(_ tenant: [UInt8], _ shard: ShardID) {
      self.tenant = tenant
      self.shard = shard
    }
  }

  /// The kind's name on command lines and in reports.
  public var kind: String {
    switch self {
    case .modulo: "modulo"
    case .jump: "jump"
    case .rendezvous: "rendezvous"
    case .ring: "ring"
    case .slots: "slots"
    case .ranges: "range"
    case .directory: "directory"
    case .geo: "geo"
    }
  }

  /// The same with tenants in the order of their names, as maps are written.
  var ordered: Placement {
    guard case .directory(let entries, let part, let fallback) = self else { return self }
    return .directory(
      entries.sorted { isBefore($0.tenant, $1.tenant) }, part, fallback: fallback.ordered)
  }

  /// The placement that decides where no directory does.
  var base: Placement {
    if case .directory(_, _, let fallback) = self { return fallback.base }
    return self
  }
}

/// Which keys are on which shards, as of an epoch. Every request carries the epoch of the map that it
/// was routed by, and a shard refuses one of another map's.
public struct ShardMap: Sendable, Hashable {
  /// 1 for the first; each change makes the next.
  public let epoch: UInt64
  public let shards: [Shard]
  public let placement: Placement

  /// Errors: `invalidArgument` when there is no shard, two share a number, a weight is not above 0 or
  /// the placement cannot honour it, the placement names a shard that is not there, or a residency
  /// rule leaves no shard or would be broken.
  public init(
    epoch: UInt64 = 1, _ shards: [Shard], _ placement: Placement
  ) throws(StorageError) {
    self.epoch = epoch
    self.shards = shards
    self.placement = placement.ordered
    guard !shards.isEmpty else {
      throw StorageError(.invalidArgument, "a shard map has one shard at least")
    }
    guard Set(shards.map(\.id)).count == shards.count else {
      throw StorageError(.invalidArgument, "two shards of the map have one number")
    }
    for shard in shards where !(shard.weight > 0 && shard.weight < 1e6) {
      throw StorageError(
        .invalidArgument, "the weight of \(shard.id) is \(shard.weight)",
        remedy: "Weights lie above 0 and below a million")
    }
    try ShardMap.check(self.placement, shards)
  }

  /// Made for lookups; keep it as long as the map is in force. Errors: none that `init` let pass.
  public func router() throws(StorageError) -> any Router {
    try ShardMap.router(placement, shards)
  }

  private static func router(
    _ placement: Placement, _ shards: [Shard]
  ) throws(StorageError) -> any Router {
    switch placement {
    case .modulo(let part):
      try checkEqualWeights(shards, placement)
      return ModuloRouter(shards, part: part)
    case .jump(let part):
      try checkEqualWeights(shards, placement)
      return JumpRouter(shards, part: part)
    case .rendezvous(let part): return RendezvousRouter(shards, part: part)
    case .ring(let virtualNodes, let part):
      try checkPoints(shards, virtualNodes)
      return RingRouter(shards, virtualNodes: virtualNodes, part: part)
    case .slots(let owners):
      let known = Set(shards.map(\.id))
      guard owners.count == HashSlot.count, owners.allSatisfy(known.contains) else {
        throw StorageError(
          .invalidArgument, "a slot is on no shard of the map, or there are not 16,384 of them")
      }
      return SlotRouter(shards, owners: owners)
    case .ranges(let boundaries, let owners):
      return try RangeRouter(shards, boundaries: boundaries, owners: owners)
    case .geo(let geo): return try GeoRouter(shards, geo)
    case .directory(let entries, let part, let fallback):
      if case .geo(let geo) = fallback.base { try geo.checkTenants(entries, part, shards) }
      return try DirectoryRouter(
        shards, entries.map { ($0.tenant, $0.shard) }, part: part,
        fallback: try router(fallback, shards))
    }
  }

  /// As making the router does, but without the table of a ring: whoever reads a map that says
  /// little and asks for millions of points has not paid for them yet.
  private static func check(_ placement: Placement, _ shards: [Shard]) throws(StorageError) {
    switch placement {
    case .ring(let virtualNodes, _): try checkPoints(shards, virtualNodes)
    case .directory(let entries, let part, let fallback):
      try check(fallback, shards)
      if case .geo(let geo) = fallback.base { try geo.checkTenants(entries, part, shards) }
      _ = try DirectoryRouter(
        shards, entries.map { ($0.tenant, $0.shard) }, part: part, fallback: ModuloRouter(shards))
    default: _ = try router(placement, shards)
    }
  }

  static let mostPoints = 1 << 24

  private static func checkPoints(
    _ shards: [Shard], _ virtualNodes: Int
  ) throws(StorageError) {
    guard (1...100_000).contains(virtualNodes) else {
      throw StorageError(
        .invalidArgument, "\(virtualNodes) virtual nodes",
        remedy: "A shard has between 1 and 100,000")
    }
    let points = shards.reduce(0) { $0 + max(1, Double(virtualNodes) * $1.weight) }
    guard points <= Double(mostPoints) else {
      throw StorageError(
        .invalidArgument, "the ring would have \(Int(points)) points",
        remedy: "A ring has \(mostPoints) at most: fewer virtual nodes, or smaller weights")
    }
  }

  private static func checkEqualWeights(
    _ shards: [Shard], _ placement: Placement
  ) throws(StorageError) {
    if Set(shards.map(\.weight)).count > 1 {
      throw StorageError(
        .invalidArgument, "\(placement.kind) places keys evenly, whatever the weights",
        remedy: "Weights work with a ring, rendezvous, slots, ranges and geo")
    }
  }

  /// The map that follows with other shards and the same way of placing: slots and ranges move as
  /// little as they must, the rest as its arithmetic says. Ranges are balanced over `sample`. Where
  /// the regions that a residency rule permits have no shard left there is no next map.
  /// Errors: `invalidArgument` as of `init`, and for ranges without a sample.
  public func next(
    _ shards: [Shard], sample: @autoclosure () -> [[UInt8]] = []
  ) throws(StorageError) -> ShardMap {
    let placement: Placement
    switch self.placement {
    case .slots(let owners):
      placement = .slots(SlotRouter(self.shards, owners: owners).rebalanced(to: shards).owners)
    case .ranges(let boundaries, let owners):
      let ranges = try RangeRouter(self.shards, boundaries: boundaries, owners: owners)
        .rebalanced(to: shards, over: sample())
      placement = .ranges(boundaries: ranges.boundaries, owners: ranges.owners)
    case .directory(let entries, let part, let fallback):
      let known = Set(shards.map(\.id))
      // Tenants of a shard that went fall back to hashing.
      let base = try ShardMap(epoch: epoch, self.shards, fallback).next(shards, sample: sample())
      placement = .directory(
        entries.filter { known.contains($0.shard) }, part, fallback: base.placement)
    default: placement = self.placement
    }
    return try ShardMap(epoch: epoch + 1, shards, placement)
  }
}
