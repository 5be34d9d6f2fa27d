import StorageLab

/// Claim P20: what reads across regions cost, and whether data stays where it must through failovers
/// and rebalances. Places of a real dataset, links with given delays, no engine: counts are exact.
struct ResidencyExperiment {
  /// Two shards a region; the fourth is where failover would like to go.
  static let regionNames = ["us", "usw", "eu", "ap"]
  struct Placed: Encodable {
    let router: String
    let stage: String
    let shards: Int
    /// Maps that were refused on the way, since no permitted shard was left.
    let refused: Int
    /// Keys that lie where a rule forbids it.
    let violations: Int
    /// Keys on shards that are down.
    let unavailable: Int
    /// Keys that moved to come here from the stage before the failure or change.
    let moved: Int
  }

  struct Read: Encodable {
    let router: String
    let copies: Int
    /// Whose data a reader asks for: his own city's, or any city's.
    let asks: String
    let localShare: Double
    let meanMilliseconds: Double
    let p50Milliseconds: Double
    let p99Milliseconds: Double
  }

  let records: [GeoRecord]
  let links: RegionLinks
  let regions: [GeoRegion]
  let rules: [ResidencyRule]
  private let keys: PlacementKeys
  private let audit: ResidencyRules

  /// Errors: `invalidArgument` when there are no records.
  init(_ records: [GeoRecord], near: Double, middle: Double, far: Double) throws(StorageError) {
    self.records = records
    keys = try PlacementKeys(records.map { ($0.key, $0.bytes) })
    regions = ResidencyExperiment.regionNames.compactMap { name in
      GeoRegion.known.first { $0.name == name }
    }
    rules = ResidencyRule.examples
    audit = ResidencyRules(rules)
    var links = RegionLinks(count: regions.count)
    func set(_ from: Int, _ to: Int, _ milliseconds: Double) {
      links[from, to] = UInt64(milliseconds * 1e6)
    }
    set(0, 1, near)
    set(0, 2, middle)
    for region in 0..<3 { set(region, 3, far) }
    set(1, 2, far)
    for region in 0..<4 { set(region, region, 0.5) }
    self.links = links
  }

  private func shards(_ count: Int) -> [Shard] {
    (0..<count).map { index in
      Shard(ShardID(UInt32(index)), region: regions[index % regions.count].name)
    }
  }

  private func placement(_ rules: [ResidencyRule]) -> Placement {
    .geo(GeoPlacement(regions: regions, rules: rules))
  }

  private var placements: [(name: String, placement: Placement)] {
    [
      ("ring", .ring(virtualNodes: RingRouter.virtualNodesByDefault, .wholeKey)),
      ("geo", placement([])), ("geo with rules", placement(rules)),
    ]
  }

  // MARK: Where data is

  func placed() throws(StorageError) -> [Placed] {
    var rows: [Placed] = []
    for (name, placement) in placements {
      let first = try ShardMap(shards(8), placement)
      let count = first.shards.count
      rows.append(try row(name, "steady", first, down: [], from: first))
      // One of the two shards in eu dies.
      let one = try first.next(first.shards.filter { $0.id != ShardID(2) })
      rows.append(try row(name, "one shard of eu lost", one, down: [], from: first))
      rows.append(try regionLost(name, first))
      let added = try first.next(
        first.shards + [
          Shard(ShardID(UInt32(count)), region: "us"),
          Shard(ShardID(UInt32(count + 1)), region: "eu"),
        ])
      rows.append(try row(name, "shards added in us and eu", added, down: [], from: first))
      let fewer = try added.next(added.shards.filter { $0.id != ShardID(0) && $0.id != ShardID(3) })
      rows.append(try row(name, "one of us, one of ap removed", fewer, down: [], from: added))
    }
    return rows
  }

  /// All of eu goes: its shards are taken off the map where a map may follow, else eu is closed.
  private func regionLost(_ name: String, _ first: ShardMap) throws(StorageError) -> Placed {
    let living = first.shards.filter { $0.region != "eu" }
    do {
      return try row(name, "all of eu lost", try first.next(living), down: [], from: first)
    } catch {
      guard error.code == .invalidArgument, case .geo(let geo) = first.placement else {
        throw error
      }
      let closed = try ShardMap(
        epoch: first.epoch + 1, first.shards, .geo(geo.setting("eu", open: false)))
      let dead = Set(first.shards.filter { $0.region == "eu" }.map(\.id))
      return try row(name, "all of eu lost", closed, down: dead, from: first, refused: 1)
    }
  }

  private func row(
    _ name: String, _ stage: String, _ map: ShardMap, down: Set<ShardID>, from before: ShardMap,
    refused: Int = 0
  ) throws(StorageError) -> Placed {
    let router = try map.router()
    let result = try PlacementSimulation(keys).run(from: before, to: map)
    return Placed(
      router: name, stage: stage, shards: map.shards.count - down.count, refused: refused,
      violations: try audit.violations(records.map(\.key), in: map),
      unavailable: records.filter { down.contains(router.shard(of: $0.key)) }.count,
      moved: result.moved)
  }

  // MARK: What reads cost

  /// Readers are spread as people are; each stands in the region nearest to his city.
  func reads(_ count: Int, seed: UInt64) throws(StorageError) -> [Read] {
    let nearest = try GeoRouter(shards(4), GeoPlacement(regions: regions))
    let homes = records.map { record in
      record.key.withSlice { nearest.region(of: $0) } ?? 0
    }
    var passed = 0
    let people = records.map { record -> Int in
      passed += max(1, record.population)
      return passed
    }
    var rows: [Read] = []
    for (name, placement) in placements {
      let map = try ShardMap(shards(8), placement)
      let router = try map.router()
      let places = Dictionary(
        map.shards.map { shard in
          (shard.id, regions.firstIndex { $0.name == shard.region } ?? 0)
        }, uniquingKeysWith: { first, _ in first })
      for copies in router is GeoRouter ? [1, 3] : [1] {
        for asks in ["own", "any"] {
          var random = SeededRandom(seed: seed)
          var delays: [UInt64] = []
          var local = 0
          for _ in 0..<count {
            let reader = ResidencyExperiment.draw(people, &random)
            let asked = asks == "own" ? reader : ResidencyExperiment.draw(people, &random)
            let key = records[asked].key
            var region = places[router.shard(of: key)] ?? 0
            if copies > 1, let geo = router as? GeoRouter {
              region =
                key.withSlice {
                  geo.readRegion(of: $0, from: homes[reader], copies: copies, over: links)
                } ?? region
            }
            if region == homes[reader] { local += 1 }
            delays.append(links[homes[reader], region])
          }
          rows.append(read(name, copies, asks, delays.sorted(), local))
        }
      }
    }
    return rows
  }

  private static func draw(_ people: [Int], _ random: inout SeededRandom) -> Int {
    let wanted = random.below(people[people.count - 1])
    var (low, high) = (0, people.count - 1)
    while low < high {
      let middle = (low + high) / 2
      if people[middle] > wanted { high = middle } else { low = middle + 1 }
    }
    return low
  }

  private func read(
    _ name: String, _ copies: Int, _ asks: String, _ delays: [UInt64], _ local: Int
  ) -> Read {
    let sum = delays.reduce(0, +)
    return Read(
      router: name, copies: copies, asks: asks,
      localShare: Double(local) / Double(delays.count),
      meanMilliseconds: Double(sum) / Double(delays.count) / 1e6,
      p50Milliseconds: Double(delays[delays.count / 2]) / 1e6,
      p99Milliseconds: Double(delays[delays.count * 99 / 100]) / 1e6)
  }
}
