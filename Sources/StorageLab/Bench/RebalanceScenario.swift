/// A change of the map worth watching: its maps, its keys, and what must move at least.
public struct RebalanceScenario: Sendable {
  /// The names on the command line.
  public static let names = [
    "whale", "monotone", "dead-shard", "geo-residency", "split", "unshard",
  ]

  /// What keys look like.
  enum Keys: Sendable {
    /// 16 hexadecimal digits of a hash.
    case hashed
    /// `tenant/row`; four in ten are those of the tenant `whale`.
    case tenants
    /// Ascending, and new ones come at the end.
    case times
    /// `region/row` of three regions.
    case regions
  }

  public let name: String
  /// One sentence.
  public let title: String
  public let from: ShardMap
  public let to: ShardMap
  let keys: Keys
  private let simulation: PlacementSimulation
  /// Whether both maps are to be even, so that what must move follows from the shards' weights.
  private let isBalancing: Bool

  static let regions = ["eu", "us", "ap"]

  /// A change from one router to another over hashed keys.
  public init(
    from: PlacementText, to: PlacementText, keys count: Int, seed: UInt64
  ) throws(StorageError) {
    let simulation = PlacementSimulation(keys: count, seed: seed)
    let before = try from.map(sample: simulation.sample(20_000))
    let isStep =
      from.kind == to.kind && from.virtualNodes == to.virtualNodes && from.part == to.part
    let after: ShardMap
    if isStep {
      after = try before.next(to.shards, sample: simulation.sample(20_000))
    } else {
      let made = try to.map(sample: simulation.sample(20_000))
      after = try ShardMap(epoch: before.epoch + 1, made.shards, made.placement)
    }
    self.init(
      name: "change", title: "\(from.kind):\(from.count) becomes \(to.kind):\(to.count)",
      from: before, to: after, keys: .hashed, simulation: simulation, isBalancing: true)
  }

  private init(
    name: String, title: String, from: ShardMap, to: ShardMap, keys: Keys,
    simulation: PlacementSimulation, isBalancing: Bool
  ) {
    self.name = name
    self.title = title
    self.from = from
    self.to = to
    self.keys = keys
    self.simulation = simulation
    self.isBalancing = isBalancing
  }

  /// One of the named ones. Errors: `invalidArgument` for a name that is none.
  public init(named name: String, keys count: Int, seed: UInt64) throws(StorageError) {
    let simulation = PlacementSimulation(keys: count, seed: seed)
    let slash = UInt8(ascii: "/")
    func ring(_ shards: [Shard], _ epoch: UInt64) throws(StorageError) -> ShardMap {
      try ShardMap(
        epoch: epoch, shards, .ring(virtualNodes: RingRouter.virtualNodesByDefault, .wholeKey))
    }
    switch name {
    case "whale":
      // The shard for the whale alone hashes to next to nothing.
      let shards = Shard.equal(4) + [Shard(ShardID(4), weight: 1e-6)]
      func map(_ epoch: UInt64, _ entries: [Placement.DirectoryEntry]) throws(StorageError)
        -> ShardMap
      {
        try ShardMap(
          epoch: epoch, shards,
          .directory(entries, .before(slash), fallback: .rendezvous(.before(slash))))
      }
      self.init(
        name: name, title: "a tenant with four in ten of all rows gets a shard of its own",
        from: try map(1, []), to: try map(2, [.init(Array("whale".utf8), ShardID(4))]),
        keys: .tenants, simulation: simulation, isBalancing: false)
    case "monotone":
      let cuts = [1, 2].map { RebalanceScenario.time($0 * count / 3) }
      let before = try RangeRouter(
        Shard.equal(3), boundaries: cuts, owners: [ShardID(0), ShardID(1), ShardID(2)])
      // Not in the middle: what comes next comes at the end.
      let after = try before.split(
        at: RebalanceScenario.time(count - count / 30), to: ShardID(3), of: Shard.equal(4))
      self.init(
        name: name,
        title: "keys that ascend load the last of three ranges; it is split near its end",
        from: try ShardMap(
          epoch: 1, before.shards, .ranges(boundaries: before.boundaries, owners: before.owners)),
        to: try ShardMap(
          epoch: 2, after.shards, .ranges(boundaries: after.boundaries, owners: after.owners)),
        keys: .times, simulation: simulation, isBalancing: false)
    case "dead-shard":
      let living = Shard.equal(5).filter { $0.id != ShardID(2) }
      self.init(
        name: name, title: "one of five shards fails and is emptied while it still answers",
        from: try ring(Shard.equal(5), 1), to: try ring(living, 2), keys: .hashed,
        simulation: simulation, isBalancing: true)
    case "geo-residency":
      let shards = RebalanceScenario.regions.enumerated().map {
        Shard(ShardID(UInt32($0)), region: $1)
      }
      func map(_ epoch: UInt64, _ places: [UInt32]) throws(StorageError) -> ShardMap {
        try ShardMap(
          epoch: epoch, shards,
          .directory(
            zip(RebalanceScenario.regions, places).map { .init(Array($0.utf8), ShardID($1)) },
            .before(slash), fallback: .jump(.before(slash))))
      }
      self.init(
        name: name, title: "rows of eu lie in us and must come home", from: try map(1, [1, 1, 2]),
        to: try map(2, [0, 1, 2]), keys: .regions, simulation: simulation, isBalancing: false)
    case "split":
      let sample = simulation.sample(20_000)
      let one = try ShardMap(Shard.equal(1), .ranges(boundaries: [], owners: [ShardID(0)]))
      self.init(
        name: name, title: "a range is cut in two, and its upper half gets a new shard", from: one,
        to: try one.next(Shard.equal(2), sample: sample), keys: .hashed, simulation: simulation,
        isBalancing: true)
    case "unshard":
      self.init(
        name: name, title: "four shards become one", from: try ring(Shard.equal(4), 1),
        to: try ring(Shard.equal(1), 2), keys: .hashed, simulation: simulation, isBalancing: true)
    default:
      throw StorageError(
        .invalidArgument, "there is no scenario \(name)",
        remedy: "Scenarios: \(RebalanceScenario.names.joined(separator: ", "))")
    }
  }

  // MARK: Keys

  /// Whether writers add keys at the end.
  var isGrowing: Bool { keys == .times }

  /// Key number `index`, the same always.
  func key(_ index: Int) -> [UInt8] {
    switch keys {
    case .hashed: return simulation.key(index)
    case .tenants:
      let tenant = index % 10 < 4 ? "whale" : "tenant-\(Hash64.hash(UInt64(index / 50)) % 40)"
      return Array("\(tenant)/".utf8) + RebalanceScenario.digits(index)
    case .times: return RebalanceScenario.time(index)
    case .regions:
      return Array("\(RebalanceScenario.regions[index % 3])/".utf8)
        + RebalanceScenario.digits(index)
    }
  }

  private static func time(_ index: Int) -> [UInt8] { Array("t/".utf8) + digits(index) }

  private static func digits(_ index: Int) -> [UInt8] {
    let text = String(index)
    return Array((String(repeating: "0", count: max(0, 10 - text.count)) + text).utf8)
  }

  // MARK: What must be

  /// The least number of `count` keys that must move: between even maps what shards gain; by a rule that
  /// names keys, those.
  public func minimum(_ count: Int) throws(StorageError) -> Double {
    if isBalancing {
      return LeastMovement.minimumShare(from: from.shards, to: to.shards) * Double(count)
    }
    return Double(try moving(count))
  }

  /// How many of `count` keys the two maps place apart.
  public func moving(_ count: Int) throws(StorageError) -> Int {
    let (old, new) = (try from.router(), try to.router())
    return (0..<count).count { index in
      let key = key(index)
      return old.shard(of: key) != new.shard(of: key)
    }
  }

  /// How many of `count` keys a map places in a region that is not theirs; nil where keys have none.
  public func violations(_ map: ShardMap, _ count: Int) throws(StorageError) -> Int? {
    guard keys == .regions else { return nil }
    let router = try map.router()
    var regions: [ShardID: String] = [:]
    for shard in map.shards { regions[shard.id] = shard.region }
    return (0..<count).count { index in
      regions[router.shard(of: key(index))] != RebalanceScenario.regions[index % 3]
    }
  }
}
