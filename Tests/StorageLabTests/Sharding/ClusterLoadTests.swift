import Testing

@testable import StorageLab

@Suite struct ClusterLoadTests {
  typealias T = ClusterTest

  private static func read(_ cluster: Cluster, _ key: [UInt8]) throws {
    _ = try cluster.read(key.span.bytes) { _ in }
  }

  @Test(arguments: T.engines) func aPlantedHotKeyAndItsShardAreNamed(_ engine: TestEngine) throws {
    let cluster = try T.open(engine, try T.ring(4))
    try T.fill(cluster, 1000)
    try cluster.resetLoad()
    let hot = T.key(500)
    var random = SeededRandom(seed: 3)
    for turn in 0..<20_000 {
      let key = turn % 3 == 0 ? hot : T.key(random.below(1000))
      if turn % 2 == 0 { try Self.read(cluster, key) } else { try cluster.put(key, hot) }
    }
    let load = try cluster.load()
    let owner = try cluster.route().router.shard(of: hot)
    #expect(load.requests == 20_000)
    #expect(load.shards.map { $0.summary.requests }.reduce(0, +) == 20_000)
    #expect(load.hotShards.map(\.shard) == [owner])
    #expect(load.busiest?.shard == owner)
    #expect(load.hotKeys.map(\.key) == [hot] && load.hotKeys[0].shard == owner)
    #expect(abs(load.hotKeys[0].share - 1.0 / 3) < 0.06)
    #expect(load.hotKeys[0].atLeast <= load.hotKeys[0].share)
    // No split divides one key.
    guard let busiest = load.busiest,
      case .hotKey(hot, _) = SplitAdvice.byLoad(busiest.summary)
    else {
      Issue.record("other advice for the hot shard")
      return
    }
    try cluster.resetLoad()
    #expect(try cluster.load().requests == 0 && cluster.load().hotKeys.isEmpty)
    // What the statistics count goes on.
    #expect(try cluster.statistics().map { $0.reads + $0.writes }.reduce(0, +) == 21_000)
    try cluster.close()
  }

  @Test func anEvenLoadNamesNothing() throws {
    let cluster = try T.open(
      .btree, try ShardMap(Shard.equal(4), .modulo(.wholeKey)))
    try T.fill(cluster, 1000)
    try cluster.resetLoad()
    var random = SeededRandom(seed: 5)
    for _ in 0..<10_000 { try Self.read(cluster, T.key(random.below(1000))) }
    let load = try cluster.load()
    #expect(load.hotShards.isEmpty && load.hotKeys.isEmpty)
    #expect(load.shards.allSatisfy { abs($0.overFair - 1) < 0.2 })
    try cluster.close()
  }

  @Test func aHeavyShardMayHaveMore() {
    func summary(_ requests: UInt64) -> ShardLoad.Summary {
      .init(
        requests: requests, writes: 0, bytes: 0, sampled: 0, hotKeys: [], keys: [],
        isAscending: nil, highestKey: [])
    }
    let load = ClusterLoad([
      (Shard(ShardID(0), weight: 6), summary(6000)), (Shard(ShardID(1)), summary(1000)),
      (Shard(ShardID(2)), summary(3000)),
    ])
    #expect(load.shards.map { ($0.overFair * 100).rounded() } == [80, 30, 90])
    #expect(load.hotShards.isEmpty)
    // Few requests say nothing.
    #expect(
      ClusterLoad([(Shard(ShardID(0)), summary(3)), (Shard(ShardID(1)), summary(0))])
        .hotShards.isEmpty)
  }

  @Test func aBatchCountsWhereItsKeysAre() throws {
    let cluster = try T.open(.btree, try T.ranges(["k00100", "k00200"]))
    var batch = WriteBatch()
    for number in [5, 6, 7, 150, 250, 251] { batch.put(T.key(number), T.bytes("v")) }
    batch.deleteRange(from: T.key(90), to: T.key(110))
    try cluster.write(batch)
    #expect(try cluster.statistics().map(\.writes) == [4, 2, 2])
    try cluster.close()
  }

  @Test func storedKeysAreWhatAShardHolds() throws {
    let cluster = try T.open(.btree, try T.ranges(["k00100"]))
    try T.fill(cluster, 150)
    // A stray: it is seen too.
    try cluster.shard(ShardID(1)).engine.put(T.key(3), T.bytes("v"))
    let all = try cluster.storedKeys(on: ShardID(1), limit: 1000)
    #expect(all == [T.key(3)] + (100..<150).map(T.key))
    var pieces: [[UInt8]] = []
    while true {
      let piece = try cluster.storedKeys(on: ShardID(1), after: pieces.last, limit: 7)
      pieces += piece
      if piece.count < 7 { break }
    }
    #expect(pieces == all)
    #expect(try cluster.storedKeys(on: ShardID(1), limit: 0).isEmpty)
    #expect(throws: StorageError.self) { try cluster.storedKeys(on: ShardID(9), limit: 1) }
    try cluster.close()
  }

  // MARK: Scenarios

  private static func load(
    _ scenario: RebalanceScenario, _ requests: (Cluster) throws -> Void
  ) throws -> ClusterLoad {
    let cluster = try T.open(.btree, scenario.from)
    try requests(cluster)
    let load = try cluster.load()
    try cluster.close()
    return load
  }

  @Test func theWhaleIsFound() throws {
    let scenario = try RebalanceScenario(named: "whale", keys: 2000, seed: 1)
    let load = try Self.load(scenario) { cluster in
      for index in 0..<8000 { try Self.read(cluster, scenario.key(index * 7 % 2000)) }
    }
    let decision = try scenario.decide(scenario.steps[0], after: scenario.from, load)
    guard case .directory(let entries, _, _) = decision.map.placement else {
      Issue.record("no directory")
      return
    }
    #expect(entries == [.init(T.bytes("whale"), ShardID(4))])
    #expect(decision.map.epoch == 2 && decision.reason.contains("'whale'"))
    #expect(try scenario.minimum(2000, [scenario.from, decision.map]) == 800)
    // Nothing moves on a guess.
    let none = try Self.load(scenario) { _ in }
    #expect(throws: StorageError.self) {
      try scenario.decide(scenario.steps[0], after: scenario.from, none)
    }
  }

  @Test func ascendingKeysAreSplitAtTheTail() throws {
    let scenario = try RebalanceScenario(named: "monotone", keys: 3000, seed: 1)
    let load = try Self.load(scenario) { cluster in
      for index in 0..<6000 { try cluster.put(scenario.key(index), T.bytes("v")) }
    }
    let decision = try scenario.decide(scenario.steps[0], after: scenario.from, load)
    guard case .ranges(let boundaries, let owners) = decision.map.placement else {
      Issue.record("no ranges")
      return
    }
    #expect(owners == [0, 1, 2, 3].map { ShardID($0) })
    // Near the highest key that was sampled: what comes next goes to the new shard.
    #expect(isBefore(scenario.key(5800), boundaries[2]))
    #expect(try decision.map.router().shard(of: scenario.key(6001)) == ShardID(3))
  }

  @Test func anEvenLoadIsSplitInTheMiddle() throws {
    let scenario = try RebalanceScenario(named: "split", keys: 3000, seed: 1)
    let load = try Self.load(scenario) { cluster in
      for index in 0..<9000 { try Self.read(cluster, scenario.key(index % 3000)) }
    }
    let decision = try scenario.decide(scenario.steps[0], after: scenario.from, load)
    let moving = try scenario.minimum(3000, [scenario.from, decision.map])
    #expect(moving > 1200 && moving < 1800)
  }

  // MARK: Residency

  private static let places: [GeoRecord] = [
    ("DE", 52.5, 13.4), ("GB", 51.5, 0.1), ("JP", 35.7, 139.7),
  ]
  .enumerated().map { index, place in
    let point = GeoPoint(latitude: place.1, longitude: place.2)
    return GeoRecord(
      key: GeoKey.make(jurisdiction: place.0, point, digits: 8, rest: "\(index)"), bytes: 20,
      point: point, country: place.0, population: 0)
  }

  @Test func aClosedRegionIsEmptiedOfWhatMayLeave() throws {
    let scenario = try RebalanceScenario(
      named: "geo-residency", keys: 30, seed: 1, places: Self.places)
    #expect((0..<30).map(scenario.key).count == Set((0..<30).map(scenario.key)).count)
    var maps = [scenario.from]
    for step in scenario.steps {
      let cluster = try T.open(.btree, scenario.from)
      maps.append(try scenario.decide(step, after: maps[0], try cluster.load()).map)
      try cluster.close()
    }
    let rules = ResidencyRules(scenario.rules)
    for map in maps { #expect(try rules.violations((0..<30).map(scenario.key), in: map) == 0) }
    func region(_ index: Int, _ map: ShardMap) throws -> String? {
      let shard = try map.router().shard(of: scenario.key(index))
      return map.shards.first { $0.id == shard }?.region
    }
    // Germany's waits, Britain's leaves and comes home.
    #expect(try maps.map { try region(0, $0) } == ["eu", "eu", "eu"])
    #expect(try maps.map { try region(1, $0) } == ["eu", "us", "eu"])
    #expect(throws: StorageError.self) {
      try RebalanceScenario(named: "geo-residency", keys: 30, seed: 1)
    }
  }

  @Test func theAuditFindsAKeyThatLiesAbroad() throws {
    let scenario = try RebalanceScenario(
      named: "geo-residency", keys: 30, seed: 1, places: Self.places)
    let cluster = try T.open(.btree, scenario.from)
    for index in 0..<30 { try cluster.put(scenario.key(index), T.bytes("v")) }
    let audit = RebalanceAudit(cluster, scenario.rules, scenario.from.shards)
    try audit.lookAtAll()
    #expect(audit.found.looks == 30 && audit.found.violations == 0)
    let abroad = try #require(scenario.from.shards.first { $0.region == "us" })
    try cluster.shard(abroad.id).engine.put(scenario.key(0), T.bytes("v"))
    try audit.lookAtAll()
    #expect(audit.found.looks == 61 && audit.found.violations == 1)
    // In pieces the same is seen, round and round.
    for _ in 0..<40 { try audit.look(5) }
    #expect(audit.found.violations > 2)
    try cluster.close()
  }
}
