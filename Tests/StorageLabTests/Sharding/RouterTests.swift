import Testing

@testable import StorageLab

@Suite struct RouterTests {
  private let simulation = PlacementSimulation(keys: 20_000, seed: 7)

  private func map(_ text: String) throws -> ShardMap {
    try PlacementText(text).map(sample: simulation.sample(5_000))
  }

  static let all = [
    "modulo:10", "jump:10", "rendezvous:10", "rendezvous:4,weights=1/1/2/4", "ring:10",
    "ring:3,nodes=1", "ring:4,weights=1/1/2/4", "slots:10", "slots:3,weights=1/2/1", "range:10",
  ]

  @Test(arguments: all) func aKeyIsOnAShardThatItsRangeNames(_ text: String) throws {
    let map = try map(text)
    let router = try map.router()
    let known = Set(map.shards.map(\.id))
    for index in 0..<500 {
      let key = simulation.key(index)
      let shard = router.shard(of: key)
      #expect(known.contains(shard))
      #expect(router.shards(overlapping: KeyRange(from: key, to: key + [0])).contains(shard))
      #expect(router.shards(overlapping: .all).contains(shard))
    }
  }

  @Test(arguments: all) func aMapIsReadAsItWasWritten(_ text: String) throws {
    let map = try map(text)
    let bytes = map.encoded
    #expect(try ShardMap(decoding: bytes) == map)
    #expect(try ShardMap(decoding: bytes).encoded == bytes)
    var random = SeededRandom(seed: 5)
    for _ in 0..<200 {
      var damaged = bytes
      damaged[random.below(bytes.count)] ^= 1 << UInt8(random.below(8))
      let error = #expect(throws: StorageError.self) { try ShardMap(decoding: damaged) }
      #expect(error?.code == .corruption || error?.code == .unsupportedVersion)
    }
    for length in 0..<min(bytes.count, 200) {
      #expect(throws: StorageError.self) { try ShardMap(decoding: Array(bytes.prefix(length))) }
    }
  }

  /// One in eleven, but for modulo, whose keys nearly all move.
  @Test(arguments: [
    ("jump", 0.01), ("rendezvous", 0.01), ("slots", 0.01), ("ring", 0.025), ("range", 0.01),
  ])
  func addingAShardMovesWhatItMust(_ kind: String, _ tolerance: Double) throws {
    let before = try map("\(kind):10")
    let after = try before.next(
      try PlacementText("\(kind):11").shards, sample: simulation.sample(5_000))
    #expect(after.epoch == 2)
    let result = try simulation.run(from: before, to: after)
    #expect(abs(result.minimum - 1.0 / 11) < 1e-9)
    #expect(abs(result.movedShare - result.minimum) < tolerance, "\(result.movedShare)")
    // Nothing moves between the old ones.
    #expect(result.flows.allSatisfy { $0.to == ShardID(10) })
  }

  @Test func moduloMovesNearlyAll() throws {
    let result = try simulation.run(from: map("modulo:10"), to: map("modulo:11"))
    #expect(abs(result.movedShare - 10.0 / 11) < 0.01)
  }

  @Test func weightsAreShares() throws {
    for text in [
      "rendezvous:4,weights=1/1/2/4", "slots:4,weights=1/1/2/4", "ring:4,weights=1/1/2/4",
    ] {
      let map = try map(text)
      let result = try simulation.run(from: map, to: map)
      #expect(result.moved == 0)
      #expect(result.before.variation < 0.15, "\(text): \(result.before.loads)")
    }
  }

  @Test func aRingsSharesAreItsArcs() throws {
    let ring = RingRouter(Shard.equal(5), virtualNodes: 40)
    #expect(abs(ring.shares.reduce(0, +) - 1) < 1e-9)
    var counted = [Double](repeating: 0, count: 5)
    for index in 0..<20_000 {
      counted[Int(ring.shard(of: simulation.key(index)).rawValue)] += 1.0 / 20_000
    }
    for (share, count) in zip(ring.shares, counted) { #expect(abs(share - count) < 0.015) }
    #expect(RingRouter(Shard.equal(1), virtualNodes: 1).shares == [Double(UInt64.max) * 0x1p-64])
  }

  @Test func aRingsOwnerIsTheNextPoint() {
    let ring = RingRouter(Shard.equal(3), virtualNodes: 4)
    var random = SeededRandom(seed: 3)
    for _ in 0..<2000 {
      let hash = random.next()
      let next = ring.points.firstIndex { $0 >= hash } ?? 0
      #expect(ring.owner(of: hash) == ring.owner(of: ring.points[next]))
    }
  }

  @Test func heirsOfADeadShard() throws {
    let ring = try simulation.heirs(of: ShardID(4), in: map("ring:10"))
    #expect(ring.shares.count > 5 && ring.collateral == 0)
    let single = try simulation.heirs(of: ShardID(1), in: map("ring:3,nodes=1"))
    #expect(single.shares.count == 1, "one point's keys go to one neighbour")
    #expect(throws: StorageError.self) { try simulation.heirs(of: ShardID(0), in: map("ring:1")) }
  }

  @Test func loadsAreBounded() {
    var bounded = BoundedLoads(RingRouter(Shard.equal(10), virtualNodes: 3), slack: 0.25)
    for index in 0..<5000 { _ = simulation.key(index).withSlice { bounded.place($0) } }
    #expect(bounded.loads.values.reduce(0, +) == 5000)
    #expect(bounded.loads.values.allSatisfy { $0 <= 625 })
  }

  @Test func rangesSplitAndMerge() throws {
    let shards = Shard.equal(2)
    let one = try RangeRouter(shards, boundaries: [], owners: [ShardID(0)])
    let two = try one.split(at: Array("m".utf8), to: ShardID(1))
    #expect(two.shard(of: Array("lzz".utf8)) == ShardID(0))
    #expect(two.shard(of: Array("m".utf8)) == ShardID(1))
    #expect(two.shards(overlapping: KeyRange(from: nil, to: Array("m".utf8))) == [ShardID(0)])
    #expect(
      two.shards(overlapping: KeyRange(from: Array("a".utf8), to: Array("z".utf8))).count == 2)
    #expect(try two.merge(0).boundaries.isEmpty)
    #expect(throws: StorageError.self) { try two.merge(1) }
    #expect(throws: StorageError.self) { try two.split(at: Array("m".utf8), to: ShardID(0)) }
    #expect(throws: StorageError.self) { try one.split(at: Array("x".utf8), to: ShardID(9)) }
  }

  /// Boundaries that share long beginnings, are each other's beginnings, or are empty.
  @Test func aLookupIsACountOfBoundaries() throws {
    var random = SeededRandom(seed: 8)
    for _ in 0..<300 {
      let stem = [UInt8](repeating: 0x61, count: random.below(12))
      func key() -> [UInt8] {
        let tail = (0..<random.below(7)).map { _ in UInt8([0, 0x61, 0x62, 0xff][random.below(4)]) }
        return (random.chance(0.8) ? stem : Array(stem.prefix(random.below(stem.count + 1)))) + tail
      }
      let boundaries = Set((0..<1 + random.below(20)).map { _ in key() }).sorted(by: isBefore)
      let owners = (0...boundaries.count).map { ShardID(UInt32($0)) }
      let router = try RangeRouter(
        Shard.equal(owners.count), boundaries: boundaries, owners: owners)
      for probe in boundaries + (0..<50).map({ _ in key() }) {
        let below = boundaries.filter { !isBefore(probe, $0) }.count
        #expect(router.shard(of: probe) == ShardID(UInt32(below)), "\(probe) in \(boundaries)")
      }
    }
  }

  @Test func aDirectoryPlacesItsTenants() throws {
    let shards = Shard.equal(4)
    let map = try ShardMap(
      shards,
      .directory(
        [.init(Array("whale".utf8), ShardID(3))], .before(UInt8(ascii: "/")),
        fallback: .jump(.before(UInt8(ascii: "/")))))
    let router = try map.router()
    #expect(router.shard(of: Array("whale/1".utf8)) == ShardID(3))
    #expect(router.shard(of: Array("whale/2".utf8)) == ShardID(3))
    let minnow = router.shard(of: Array("minnow/1".utf8))
    #expect(router.shard(of: Array("minnow/2".utf8)) == minnow, "a tenant's keys stay together")
    #expect(router.shards(overlapping: KeyRange(prefix: Array("whale/".utf8))) == [ShardID(3)])
    #expect(router.shards(overlapping: KeyRange(prefix: Array("minnow/".utf8))) == [minnow])
    #expect(try ShardMap(decoding: map.encoded) == map)
    // Without its shard the whale is hashed as all others.
    let next = try map.next(Array(shards.dropLast())).router()
    #expect(next.shards.count == 3 && next.shard(of: Array("whale/1".utf8)) != ShardID(3))
  }

  @Test(arguments: [
    "", "ring", "ring:", "ring:0", "ring:x", "ring:2,nodes=0", "ring:2,nodes", "cone:3",
    "modulo:3,nodes=4", "ring:2,weights=1", "ring:2,weights=1/0", "jump:2,part=before:",
    "slots:2,part=tag", "ring:3,what=1", "ring:999999999",
  ])
  func badTextIsRefused(_ text: String) {
    let error = #expect(throws: StorageError.self) { try PlacementText(text) }
    #expect(error?.code == .invalidArgument && error?.remedy?.contains("ring:N") == true)
  }

  @Test func badMapsAreRefused() {
    #expect(throws: StorageError.self) { try ShardMap([], .jump(.wholeKey)) }
    #expect(throws: StorageError.self) {
      try ShardMap([Shard(ShardID(1)), Shard(ShardID(1))], .jump(.wholeKey))
    }
    #expect(throws: StorageError.self) {
      try ShardMap([Shard(ShardID(1), weight: 0)], .jump(.wholeKey))
    }
    #expect(throws: StorageError.self) { try ShardMap(Shard.equal(2), .slots([ShardID(0)])) }
  }
}
