/// Changes of the map worth watching: the map before, its keys, and what comes next, which a scenario
/// knows beforehand or finds out from the load.
public struct RebalanceScenario: Sendable {
  /// The names on the command line.
  public static let names = [
    "whale", "monotone", "dead-shard", ofPlaces, "split", "unshard",
  ]

  /// What keys look like.
  enum Keys: Sendable {
    /// 16 hexadecimal digits of a hash.
    case hashed
    /// `tenant/row`; four in ten are those of the tenant `whale`.
    case tenants
    /// Ascending, and new ones come at the end.
    case times
    /// Those of real places, several rows each when there are more keys than places.
    /// REQUIRES: there is one.
    case places([[UInt8]])
  }

  /// One change of the map.
  enum Step: Sendable {
    /// To a map that is known.
    case to(ShardMap, because: String)
    /// The busiest range is cut where its load says, the upper part goes to this shard.
    case split(to: Shard)
    /// The tenant with most of the busiest shard's load gets this shard for itself.
    case ownShard(Shard)
  }

  /// A step as it was decided.
  public struct Decision: Sendable {
    public let map: ShardMap
    public let reason: String
  }

  public let name: String
  /// One sentence.
  public let title: String
  public let from: ShardMap
  /// All shards that it has in its course.
  public let shards: [ShardID]
  /// Rules that must hold all along.
  public let rules: [ResidencyRule]
  let keys: Keys
  let steps: [Step]
  private let simulation: PlacementSimulation
  /// Whether both maps are to be even, so that what must move follows from the shards' weights.
  private let isBalancing: Bool

  private static let slash = UInt8(ascii: "/")

  /// A change from one router to another over hashed keys.
  public init(
    from: PlacementText, to: PlacementText, keys count: Int, seed: UInt64
  ) throws(StorageError) {
    let simulation = PlacementSimulation(keys: count, seed: seed)
    let before = try from.map(sample: simulation.sample(20_000))
    let after: ShardMap
    if from.isStep(to: to) {
      after = try before.next(to.shards, sample: simulation.sample(20_000))
    } else {
      let made = try to.map(sample: simulation.sample(20_000))
      after = try ShardMap(epoch: before.epoch + 1, made.shards, made.placement)
    }
    self.init(
      "change", "\(from.kind):\(from.count) becomes \(to.kind):\(to.count)", from: before,
      [.to(after, because: "")], keys: .hashed, simulation, isBalancing: true)
  }

  private init(
    _ name: String, _ title: String, from: ShardMap, _ steps: [Step], keys: Keys,
    _ simulation: PlacementSimulation, isBalancing: Bool = false, rules: [ResidencyRule] = []
  ) {
    self.name = name
    self.title = title
    self.from = from
    self.steps = steps
    self.keys = keys
    self.simulation = simulation
    self.isBalancing = isBalancing
    self.rules = rules
    var all = Set(from.shards.map(\.id))
    for step in steps {
      switch step {
      case .to(let map, _): all.formUnion(map.shards.map(\.id))
      case .split(let shard), .ownShard(let shard): all.insert(shard.id)
      }
    }
    shards = all.sorted()
  }

  /// The one whose keys are records of places.
  public static let ofPlaces = "geo-residency"

  /// One of the named ones. Errors: `invalidArgument` for a name that is none, and where there are no
  /// `places` though there must be.
  public init(
    named name: String, keys count: Int, seed: UInt64, places: [GeoRecord] = []
  ) throws(StorageError) {
    let simulation = PlacementSimulation(keys: count, seed: seed)
    func ring(_ shards: [Shard], _ epoch: UInt64) throws(StorageError) -> ShardMap {
      try ShardMap(
        epoch: epoch, shards, .ring(virtualNodes: RingRouter.virtualNodesByDefault, .wholeKey))
    }
    switch name {
    case "whale":
      // The shard to come hashes to next to nothing, so that only what is named goes there.
      let spare = Shard(ShardID(4), weight: 1e-6)
      let tenant = RoutingPart.before(RebalanceScenario.slash)
      self.init(
        name, "a tenant with four in ten of all rows and requests is found, and gets its own shard",
        from: try ShardMap(
          Shard.equal(4) + [spare], .directory([], tenant, fallback: .rendezvous(tenant))),
        [.ownShard(spare)], keys: .tenants, simulation)
    case "monotone":
      let cuts = [1, 2].map { RebalanceScenario.time($0 * count / 3) }
      self.init(
        name, "keys that ascend load the last of three ranges, which is split where its load says",
        from: try ShardMap(
          Shard.equal(3),
          .ranges(boundaries: cuts, owners: [ShardID(0), ShardID(1), ShardID(2)])),
        [.split(to: Shard(ShardID(3)))], keys: .times, simulation)
    case "dead-shard":
      let living = Shard.equal(5).filter { $0.id != ShardID(2) }
      self.init(
        name, "one of five shards fails and is emptied while it still answers",
        from: try ring(Shard.equal(5), 1), [.to(try ring(living, 2), because: "s2 fails")],
        keys: .hashed, simulation, isBalancing: true)
    case RebalanceScenario.ofPlaces:
      guard !places.isEmpty else {
        throw StorageError(.invalidArgument, "\(name) needs records of places")
      }
      try self.init(residencyOf: places.map(\.key), simulation)
    case "split":
      self.init(
        name, "a range is cut in two where its load says, and its upper part gets a new shard",
        from: try ShardMap(Shard.equal(1), .ranges(boundaries: [], owners: [ShardID(0)])),
        [.split(to: Shard(ShardID(1)))], keys: .hashed, simulation)
    case "unshard":
      self.init(
        name, "four shards become one", from: try ring(Shard.equal(4), 1),
        [.to(try ring(Shard.equal(1), 2), because: "one is enough")], keys: .hashed, simulation,
        isBalancing: true)
    default:
      throw StorageError(
        .invalidArgument, "there is no scenario \(name)",
        remedy: "Scenarios: \(RebalanceScenario.names.joined(separator: ", "))")
    }
  }

  /// Two shards in each of three regions; one of these is closed and opened again. Members of the European
  /// Union keep their data in `eu`, six countries in `ap`.
  private init(
    residencyOf keys: [[UInt8]], _ simulation: PlacementSimulation
  ) throws(StorageError) {
    let text = try PlacementText("geo:6,regions=us/eu/ap")
    let open = GeoPlacement(regions: text.regions, rules: ResidencyRule.examples)
    let closed = open.setting("eu", open: false)
    let first = try ShardMap(text.shards, .geo(open))
    let second = try ShardMap(epoch: 2, text.shards, .geo(closed))
    self.init(
      RebalanceScenario.ofPlaces,
      "eu is closed and opened again: what may leave moves, what a rule keeps there waits",
      from: first,
      [
        .to(second, because: "eu is closed: what may be elsewhere leaves"),
        .to(
          try ShardMap(epoch: 3, text.shards, .geo(open)),
          because: "eu is open again: what left comes home"),
      ], keys: .places(keys), simulation, rules: open.rules)
  }

  // MARK: Keys

  /// Whether writers add keys at the end.
  var isGrowing: Bool { if case .times = keys { true } else { false } }

  /// Key number `index`, the same always.
  func key(_ index: Int) -> [UInt8] {
    switch keys {
    case .hashed: return simulation.key(index)
    case .tenants:
      let tenant = index % 10 < 4 ? "whale" : "tenant-\(Hash64.hash(UInt64(index / 50)) % 40)"
      return Array("\(tenant)/".utf8) + RebalanceScenario.digits(index)
    case .times: return RebalanceScenario.time(index)
    case .places(let places):
      let (row, place) = index.quotientAndRemainder(dividingBy: places.count)
      return row == 0 ? places[place] : places[place] + Array("/\(row)".utf8)
    }
  }

  private static func time(_ index: Int) -> [UInt8] { Array("t/".utf8) + digits(index) }

  private static func digits(_ index: Int) -> [UInt8] {
    let text = String(index)
    return Array((String(repeating: "0", count: max(0, 10 - text.count)) + text).utf8)
  }

  // MARK: What comes next

  /// The map that follows `map`. Errors: `invalidArgument` when the load does not say.
  func decide(
    _ step: Step, after map: ShardMap, _ load: ClusterLoad
  ) throws(StorageError) -> Decision {
    switch step {
    case .to(let next, let reason): return Decision(map: next, reason: reason)
    case .split(let shard): return try split(map, load, to: shard)
    case .ownShard(let shard): return try ownShard(map, load, shard)
    }
  }

  private func undecided(_ what: String) -> StorageError {
    StorageError(
      .invalidArgument, what, remedy: "More load before the move: --around, --rate or --keys")
  }

  private func split(
    _ map: ShardMap, _ load: ClusterLoad, to target: Shard
  ) throws(StorageError) -> Decision {
    guard let busiest = load.busiest, case .ranges(let boundaries, let owners) = map.placement
    else { throw undecided("no request says which range is to be split") }
    let advice = SplitAdvice.byLoad(busiest.summary)
    let ranges = try RangeRouter(map.shards, boundaries: boundaries, owners: owners)
    let shards = map.shards + [target]
    guard let next = try ranges.split(busiest.shard, advice, to: target.id, of: shards) else {
      throw undecided("\(busiest.shard) has no place to be split at: \(advice.explanation)")
    }
    return Decision(
      map: try ShardMap(
        epoch: map.epoch + 1, shards,
        .ranges(boundaries: next.boundaries, owners: next.owners)),
      reason: "\(busiest.shard) has \(percent(busiest.share)) of the load; \(advice.explanation)")
  }

  private func ownShard(
    _ map: ShardMap, _ load: ClusterLoad, _ shard: Shard
  ) throws(StorageError) -> Decision {
    guard let busiest = load.busiest,
      case .directory(let entries, let part, let fallback) = map.placement,
      let whale = busiest.summary.hottest(part), whale.share >= 0.5
    else { throw undecided("no tenant is seen to have most of the busiest shard's load") }
    return Decision(
      map: try ShardMap(
        epoch: map.epoch + 1, map.shards,
        .directory(entries + [.init(whale.part, shard.id)], part, fallback: fallback)),
      reason: "\(busiest.shard) has \(percent(busiest.share)) of the load, and tenant "
        + "'\(printable(whale.part))' \(percent(whale.share)) of that: it gets \(shard.id)")
  }

  private func percent(_ share: Double) -> String { "\(Int((share * 100).rounded())) %" }

  // MARK: What must be

  /// The least number of `count` keys that must move: between even maps what shards gain; between others
  /// the keys that change hands.
  func minimum(_ count: Int, _ maps: [ShardMap]) throws(StorageError) -> Double {
    var sum = 0.0
    for (from, to) in zip(maps, maps.dropFirst()) {
      sum +=
        isBalancing
        ? LeastMovement.minimumShare(from: from.shards, to: to.shards) * Double(count)
        : Double(try moving(count, from, to))
    }
    return sum
  }

  /// How many of `count` keys two maps place apart.
  private func moving(
    _ count: Int, _ from: ShardMap, _ to: ShardMap
  ) throws(StorageError) -> Int {
    let (old, new) = (try from.router(), try to.router())
    return (0..<count).count { index in
      let key = key(index)
      return old.shard(of: key) != new.shard(of: key)
    }
  }
}
