import Testing

@testable import StorageLab

@Suite struct PlacementPlanTests {
  private let keys = PlacementKeys(count: 20_000, seed: 7, recordBytes: 100)

  private func map(_ text: String) throws -> ShardMap {
    try PlacementText(text).map(sample: keys.sample(5_000))
  }

  /// Pieces name what moves, no more and no less: checked key by key.
  @Test(arguments: [
    ("range:4", "range:5"), ("range:5", "range:3"), ("slots:3", "slots:4"), ("slots:7", "slots:2"),
    ("ring:3,nodes=1", "ring:4,nodes=1"), ("ring:10", "ring:11"), ("ring:5", "ring:4"),
    ("jump:10", "jump:11"), ("modulo:3", "ring:3"), ("range:3", "slots:3"),
    ("range:1", "range:4"), ("ring:2", "ring:2"),
  ])
  func piecesAreWhatMoves(_ from: String, _ to: String) throws {
    let before = try map(from)
    let words = try PlacementText(to)
    let after =
      try PlacementText(from).isStep(to: words)
      ? before.next(words.shards, sample: keys.sample(5_000)) : map(to)
    let plan = try PlacementPlan(from: before, to: after, over: keys)
    let result = try PlacementSimulation(keys).run(from: before, to: after)
    #expect(plan.movedKeys == result.moved && plan.movedBytes == result.movedBytes)
    #expect(plan.sampled == 20_000 && plan.sampledBytes == 2_000_000)
    if plan.unit == .scattered {
      #expect(plan.pieces.map(\.keys) == result.flows.map(\.keys))
    }
    let (old, new) = (try before.router(), try after.router())
    for index in 0..<3000 {
      let key = keys.key(index)
      let pieces = plan.pieces.filter { PlacementPlanTests.contains($0, key) }
      let (source, target) = (old.shard(of: key), new.shard(of: key))
      if plan.unit == .scattered { continue }
      if source == target {
        #expect(pieces.isEmpty, "\(pieces)")
      } else {
        #expect(pieces.count == 1 && pieces[0].from == source && pieces[0].to == target)
      }
    }
  }

  private static func contains(_ piece: PlacementPlan.Piece, _ key: [UInt8]) -> Bool {
    switch piece.extent {
    case .keys(let from, let to):
      return (from.map { !isBefore(key, $0) } ?? true) && (to.map { isBefore(key, $0) } ?? true)
    case .slots(let first, let last):
      return (first...last).contains(HashSlot.slot(key.span.bytes))
    case .arc(let from, let through):
      let hash = XXHash64.hash(key.span.bytes)
      return from <= through ? hash >= from && hash <= through : hash >= from || hash <= through
    case .scattered: return true
    }
  }

  @Test func simulationsOfMapsCountBytesAndNeeds() throws {
    let result = try PlacementSimulation(keys).run(from: map("ring:10"), to: map("ring:11"))
    #expect(result.bytes == 2_000_000 && result.movedBytes == 100 * result.moved)
    // A ring moves no key in vain, though its shares are not even.
    #expect(result.overNeeded == 1)
    #expect(result.excess != 1)
    let modulo = try PlacementSimulation(keys).run(from: map("modulo:10"), to: map("modulo:11"))
    #expect(try #require(modulo.overNeeded) > 8)
    let same = try PlacementSimulation(keys).run(from: map("jump:5"), to: map("jump:5"))
    #expect(same.overNeeded == nil && same.excess == nil && same.moved == 0)
  }

  @Test func givenKeysAreRoutedAsTheyAre() throws {
    let given = try PlacementKeys([(Array("a".utf8), 5), ([], 7), (Array("bc".utf8), 9)])
    #expect(given.count == 3 && given.key(1) == [] && given.key(2) == Array("bc".utf8))
    var seen: [([UInt8], Int)] = []
    given.forEach { seen.append(($0.array, $1)) }
    #expect(
      seen.map(\.0) == [Array("a".utf8), [], Array("bc".utf8)] && seen.map(\.1) == [5, 7, 9])
    #expect(given.recordBytes(2) == 9)
    #expect(throws: StorageError.self) { try PlacementKeys([]) }
  }

  @Test(arguments: [
    "geo:6", "geo:4,regions=us/eu,rules=DE@eu/CA@us+eu,cell=3,cells=u2@us",
    "geo:3,regions=lab@48.1:11.6/us", "geo:3,weights=1/2/3", "directory:4",
    "directory:4,tenants=whale@3/shark@1,fallback=jump,part=tag",
  ])
  func textOfPlacesAndTenants(_ text: String) throws {
    let map = try PlacementText(text).map(sample: [])
    #expect(try ShardMap(decoding: map.encoded) == map)
    #expect(map.placement.kind == String(text.prefix { $0 != ":" }))
  }

  @Test(arguments: [
    "geo:6,regions=", "geo:6,regions=moon", "geo:6,regions=x@1", "geo:6,rules=", "geo:6,cell=13",
    "geo:6,part=key", "directory:4,tenants=whale", "directory:4,tenants=whale@x",
    "directory:4,fallback=slots", "ring:4,tenants=a@1", "jump:4,weights=1/1/1/1",
  ])
  func badTextOfPlacesAndTenantsIsRefused(_ text: String) {
    let error = #expect(throws: StorageError.self) { try PlacementText(text) }
    #expect(error?.code == .invalidArgument)
  }

  @Test(arguments: [
    "geo:6,regions=us/eu,rules=DE@moon", "geo:1,regions=us/eu,rules=DE@eu",
    "directory:4,tenants=whale@9", "directory:4,tenants=a@1/a@2", "geo:6,cells=u281@eu",
  ])
  func textThatMakesNoMapIsRefused(_ text: String) throws {
    let words = try PlacementText(text)
    let error = #expect(throws: StorageError.self) { try words.map(sample: []) }
    #expect(error?.code == .invalidArgument)
  }

  /// A map that fits in a few bytes may not ask for the memory of a machine.
  @Test func ringsAreBounded() throws {
    let shards = [Shard(ShardID(0), weight: 900_000)]
    let error = #expect(throws: StorageError.self) {
      try ShardMap(shards, .ring(virtualNodes: 100_000, .wholeKey))
    }
    #expect(error?.code == .invalidArgument)
  }

  @Test func weightsThatCannotBeHonouredAreRefused() {
    let shards = [Shard(ShardID(0)), Shard(ShardID(1), weight: 2)]
    for placement in [Placement.jump(.wholeKey), .modulo(.wholeKey)] {
      #expect(throws: StorageError.self) { try ShardMap(shards, placement) }
    }
  }

  @Test func tenantsInAnyOrderAreOneMap() throws {
    let entries = ["b", "a", "c"].map { Placement.DirectoryEntry(Array($0.utf8), ShardID(1)) }
    let map = try ShardMap(
      Shard.equal(2), .directory(entries, .wholeKey, fallback: .jump(.wholeKey)))
    #expect(try ShardMap(decoding: map.encoded) == map)
  }
}

@Suite struct BucketStatisticsTests {
  /// P2 and P3 of the claims, against what theory says.
  @Test func ringsAreAsEvenAsTheirPointsMakeThem() {
    let single = BucketStatistics(ringsOf: 3, points: 1, layouts: 2000, seed: 1)
    // The largest of three random arcs: 11/18 on average, a half or more in three of four rings.
    #expect(abs(single.largestShare - 11.0 / 18) < 0.015, "\(single.largestShare)")
    #expect(abs(single.halfShare - 0.75) < 0.03, "\(single.halfShare)")
    #expect(single.largestHeir == 1)
    let many = BucketStatistics(ringsOf: 10, points: 150, layouts: 200, seed: 1)
    #expect(abs(many.standardError - 1 / 150.0.squareRoot()) < 0.008, "\(many.standardError)")
    #expect((1.08...1.18).contains(many.maximumOverMean), "\(many.maximumOverMean)")
    #expect((0.13...0.19).contains(many.largestHeir ?? 0), "\(many.largestHeir ?? 0)")
  }

  @Test(arguments: BucketStatistics.published)
  func thePapersTable(_ row: (points: Int, error: Double, low: Double, high: Double)) {
    // Ten layouts at least: the error of the estimate itself is a 63rd then.
    let found = BucketStatistics(
      ringsOf: 200, points: row.points, layouts: max(10, 200 / row.points), seed: 3)
    #expect(abs(found.standardError / row.error - 1) < 0.06, "\(found.standardError)")
    #expect(abs(found.interval.low - row.low) < 0.1 && abs(found.interval.high - row.high) < 0.5)
  }

  @Test func jumpAddsNothingToChance() {
    let found = BucketStatistics(jumpOf: 50, keys: 200_000, layouts: 1, seed: 3)
    #expect(found.standardError < 1.4 * found.samplingError)
  }

  @Test func heirsAreThoseTheMapHas() throws {
    let ring = RingRouter(Shard.equal(6), virtualNodes: 30)
    let map = try ShardMap(Shard.equal(6), .ring(virtualNodes: 30, .wholeKey))
    let counted = try PlacementSimulation(keys: 60_000, seed: 1).heirs(of: ShardID(2), in: map)
    let exact = ring.heirShares(of: ShardID(2))
    #expect(abs(exact.reduce(0) { $0 + $1.share } - 1) < 1e-9)
    for heir in exact {
      let share = counted.shares.first { $0.heir == heir.heir }?.share ?? 0
      #expect(abs(share - heir.share) < 0.02)
    }
    #expect(ring.heirShares(of: ShardID(9)).isEmpty)
    #expect(RingRouter(Shard.equal(1)).heirShares(of: ShardID(0)).isEmpty)
  }
}

/// Lookups allocate nothing, hold on to nothing and ask the kernel nothing.
@Suite(.serialized, .enabled(if: Budget.isCounted, "an optimised build without sanitizer"))
struct LookupBudgetTests {
  @Test(arguments: [
    "modulo:10", "jump:10", "rendezvous:10", "rendezvous:4,weights=1/1/2/4", "ring:10", "slots:10",
    "range:10", "directory:10,tenants=whale@3", "geo:6,rules=DE@eu", "geo:6,cell=0",
    "ring:10,part=before:/", "jump:10,part=tag",
  ])
  func aLookupAllocatesNothing(_ text: String) throws {
    let keys = PlacementKeys(count: 1000, seed: 1)
    let map = try PlacementText(text).map(sample: keys.sample(1000))
    let router = try map.router()
    let probes = ["DE/u281z7hq/1", "whale/7", "@52.5,13.4/x", "{tag}x", "0123456789abcdef"]
      .map { Array($0.utf8) }
    var sum: UInt64 = 0
    let counts = Budget.spent {
      for key in probes { sum &+= UInt64(router.shard(of: key).rawValue) }
    }
    withExtendedLifetime(sum) {}
    #expect(counts.allocations == 0 && counts.system_calls == 0)
  }

  @Test func recordingALoadAllocatesNothing() {
    let load = ShardLoad(sampleEvery: 1, keys: 8)
    let keys = (0..<64).map { [UInt8](repeating: UInt8($0), count: 16) }
    let counts = Budget.spent {
      for key in keys { load.record(.write, key.span.bytes, bytes: 100) }
    }
    // Sampled keys lie where the ones before lay.
    #expect(counts.allocations == 0 && counts.system_calls == 0, "\(counts.allocations)")
  }

  /// Routing, counting and sampling included.
  @Test func aClustersRequestAllocatesNoMoreThanItsEngines() throws {
    let cluster = try ClusterTest.open(.btree, try ClusterTest.ring(3))
    let keys = (0..<500).map(ClusterTest.key)
    // Until the samples are full each takes memory for its key.
    for _ in 0..<60 { for key in keys { try cluster.put(key, key) } }
    let shards = try keys.map { try cluster.shard(cluster.route().router.shard(of: $0)).engine }
    let bare = try Budget.spent { () throws(StorageError) in
      for (key, engine) in zip(keys, shards) {
        _ = try engine.read(key.span.bytes) { _ in }
        try engine.put(key.span.bytes, key.span.bytes)
      }
    }
    let whole = try Budget.spent { () throws(StorageError) in
      for key in keys {
        _ = try cluster.read(key.span.bytes) { _ in }
        try cluster.put(key.span.bytes, key.span.bytes)
      }
    }
    #expect(whole.allocations <= bare.allocations, "\(whole.allocations) and \(bare.allocations)")
    #expect(whole.system_calls <= bare.system_calls)
    // They were looked at.
    #expect(try cluster.load().shards.map { $0.summary.sampled }.reduce(0, +) > 100)
    try cluster.close()
  }
}
