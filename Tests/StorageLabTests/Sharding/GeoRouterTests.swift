import Testing

@testable import StorageLab

@Suite struct GeoKeyTests {
  @Test(arguments: [
    ("DE/u281z7hq/berlin", "DE", "u281z7hq"), ("u281/x", "", "u281"),
    ("US-CA/9q8/x", "US-CA", "9q8"),
    ("DE", "", ""), ("D/", "D", ""), ("", "", ""), ("/u28", "", ""), ("de/x", "", "de"),
    ("ABCDEFGH/9", "ABCDEFGH", "9"), ("ABCDEFGHI/9", "", ""), ("DE/u28A", "DE", "u28"),
    ("DE/0123456789bcdef", "DE", "0123456789bc"), ("DE//u28", "DE", ""), ("1E/9", "", "1"),
    ("DE/@91,0", "DE", ""), ("DE/@1", "DE", ""), ("@-0.5", "", ""), ("@1,2x", "", nil),
  ])
  func whatAKeySays(_ text: String, _ jurisdiction: String, _ digits: String?) {
    let key = GeoKey(Array(text.utf8).span.bytes)
    #expect(key.jurisdiction == GeoKey.packed(jurisdiction))
    guard let digits else {
      #expect(key.cell.length == 12)
      return
    }
    let expected = digits.isEmpty ? GeoCell(bits: 0, length: 0) : GeoCell(digits)
    #expect(key.cell == expected, "\(key.cell)")
  }

  @Test func coordinatesAreTheGeohashOfTheirPoint() {
    for (text, latitude, longitude) in [
      ("DE/@52.52,13.405/berlin", 52.52, 13.405), ("@-33.868820,151.209290", -33.86882, 151.20929),
      ("@0,-180", 0, -180), ("@90,180", 90, 180),
    ] {
      let key = GeoKey(Array(text.utf8).span.bytes)
      let point = GeoPoint(latitude: latitude, longitude: longitude)
      #expect(key.cell == GeoCell(point, length: 12), "\(text)")
      #expect(key.cell == GeoCell(Geohash.encode(point, length: 12)))
    }
  }

  @Test func hostileDegreesAreNoPlace() {
    for text in ["@1234,5", "@1.1234567890,5", "@,", "@-,-", "@1,,2", "@+1,2", "@181,1", "@1e1,2"] {
      let place = Array(text.utf8).withSlice { GeoCell(place: $0, digits: 12) }
      #expect(place.length == 0, "\(text)")
    }
  }

  @Test func prefixesAndMiddles() throws {
    let cell = try #require(GeoCell("u281z"))
    #expect(cell.prefix(3) == GeoCell("u28") && cell.prefix(9) == cell)
    #expect(cell.middle(3) == GeoCell("u28")?.bits)
    let large = try #require(GeoCell("u2"))
    #expect(large.cells(3).count == 32 && large.cells(3).contains(Int(large.middle(3))))
    #expect(GeoCell("") == nil && GeoCell("a") == nil && GeoCell("@1,2") == nil)
  }
}

@Suite struct GeoRouterTests {
  static let regions = ["us", "eu", "ap"].compactMap { name in
    GeoRegion.known.first { $0.name == name }
  }
  static let rules = [
    ResidencyRule("DE", in: ["eu"]), ResidencyRule("FR", in: ["eu"]),
    ResidencyRule("CA", in: ["us", "eu"]),
  ]

  static func shards(_ count: Int) -> [Shard] {
    (0..<count).map { Shard(ShardID(UInt32($0)), region: regions[$0 % 3].name) }
  }

  static func map(
    _ count: Int = 6, rules: [ResidencyRule] = rules, assignments: [CellAssignment] = [],
    cellLength: Int = 5
  ) throws -> ShardMap {
    try ShardMap(
      shards(count),
      .geo(
        GeoPlacement(
          regions: regions, rules: rules, assignments: assignments, cellLength: cellLength)))
  }

  static func region(_ map: ShardMap, _ key: String) throws -> String? {
    let shard = try map.router().shard(of: Array(key.utf8))
    return map.shards.first { $0.id == shard }?.region
  }

  private static let text = Array("0123456789bcdefghjkmnpqrstuvwxyzDEFRCA/@,.-".utf8)

  /// Keys of all forms, wild ones among them.
  static func key(_ random: inout SeededRandom) -> [UInt8] {
    let head = ["", "DE/", "FR/", "CA/", "JP/", "D"][random.below(6)]
    if random.chance(0.2) {
      return Array(head.utf8) + (0..<random.below(9)).map { _ in text[random.below(text.count)] }
    }
    let point = GeoPoint(latitude: random.unit() * 180 - 90, longitude: random.unit() * 360 - 180)
    let place =
      random.chance(0.2)
      ? "@\(Int(point.latitude)).25,\(Int(point.longitude))"
      : Geohash.encode(point, length: 1 + random.below(9))
    return Array((head + place + "/" + "\(random.below(100))").utf8)
  }

  @Test func aPlaceBelongsToTheNearestRegion() throws {
    let map = try GeoRouterTests.map(rules: [])
    #expect(try GeoRouterTests.region(map, "@52.5,13.4/berlin") == "eu")
    #expect(try GeoRouterTests.region(map, "@40.7,-74.0/new york") == "us")
    #expect(try GeoRouterTests.region(map, "@35.7,139.7/tokyo") == "ap")
    #expect(try GeoRouterTests.region(map, "@-33.9,151.2/sydney") == "ap")
    // A cell's region is that of its middle, within half a cell of the truth.
    var random = SeededRandom(seed: 2)
    let router = try #require(try map.router() as? GeoRouter)
    for _ in 0..<2000 {
      let point = GeoPoint(
        latitude: random.unit() * 160 - 80, longitude: random.unit() * 360 - 180)
      let cell = try #require(Geohash.decode(Geohash.encode(point, length: 3)))
      let nearest = GeoRouterTests.regions.indices.min {
        cell.center.distance(to: GeoRouterTests.regions[$0].center)
          < cell.center.distance(to: GeoRouterTests.regions[$1].center)
      }
      let key = GeoKey.make(jurisdiction: "", point, rest: "x")
      #expect(key.withSlice { router.region(of: $0) } == nearest)
    }
  }

  @Test(arguments: [0, 1, 2, 3, 5, 8])
  func aKeyIsOnAShardThatItsRangeNames(_ cellLength: Int) throws {
    let map = try GeoRouterTests.map(9, cellLength: cellLength)
    let router = try map.router()
    var random = SeededRandom(seed: UInt64(cellLength))
    for _ in 0..<4000 {
      let key = GeoRouterTests.key(&random)
      let shard = router.shard(of: key)
      for length in 0...key.count {
        let prefix = Array(key.prefix(length))
        #expect(
          router.shards(overlapping: KeyRange(prefix: prefix)).contains(shard),
          "\(printable(key)) begins with \(printable(prefix))")
      }
      let other = GeoRouterTests.key(&random)
      let (low, high) = isBefore(key, other) ? (key, other) : (other, key)
      let asked = router.shards(overlapping: KeyRange(from: low, to: high + [0]))
      #expect(asked.contains(shard) && asked.contains(router.shard(of: other)))
      #expect(Set(asked).count == asked.count)
    }
  }

  @Test func rangesAskFewShards() throws {
    let router = try GeoRouterTests.map(9).router()
    func asked(_ prefix: String) -> Int {
      router.shards(overlapping: KeyRange(prefix: Array(prefix.utf8))).count
    }
    #expect(asked("u281z") == 1, "a cell is on one shard")
    #expect(asked("JP/u281z7") == 1)
    #expect(asked("u28") == 3, "a region's shards")
    #expect(asked("DE/") == 3, "where the rule permits it")
    #expect(asked("DE/9") == 3 && asked("CA/") == 6)
    #expect(asked("") == 9 && asked("D") == 9)
  }

  @Test func rulesDecideOverPlace() throws {
    let map = try GeoRouterTests.map()
    // A German record with a place in Texas, Singapore, or nowhere.
    for key in ["DE/9v6/x", "DE/w21z/x", "DE/", "DE/@1.3,103.8/x", "DE/!!"] {
      #expect(try GeoRouterTests.region(map, key) == "eu", "\(key)")
    }
    #expect(try GeoRouterTests.region(map, "JP/9v6/x") == "us")
    let canada = try #require(try GeoRouterTests.region(map, "CA/w21z/x"))
    #expect(["us", "eu"].contains(canada))
    var random = SeededRandom(seed: 9)
    let keys = (0..<5000).map { _ in GeoRouterTests.key(&random) }
    let audit = ResidencyRules(GeoRouterTests.rules)
    #expect(try audit.violations(keys, in: map) == 0)
    let blind = try ShardMap(map.shards, .ring(virtualNodes: 150, .wholeKey))
    #expect(try audit.violations(keys, in: blind) > 500)
  }

  /// Every map that may follow keeps the rules; one that could not is refused.
  @Test func failoverAndRebalanceKeepTheRules() throws {
    var random = SeededRandom(seed: 11)
    let keys = (0..<2000).map { _ in GeoRouterTests.key(&random) }
    let audit = ResidencyRules(GeoRouterTests.rules)
    var refused = 0
    for _ in 0..<60 {
      var map = try GeoRouterTests.map(9)
      for step in 0..<8 {
        var shards = map.shards
        if random.chance(0.7) {
          shards.remove(at: random.below(shards.count))
        } else {
          let region = GeoRouterTests.regions[random.below(3)].name
          shards.append(Shard(ShardID(UInt32(100 + step)), weight: 2, region: region))
        }
        do throws(StorageError) {
          map = try map.next(shards)
          #expect(try audit.violations(keys, in: map) == 0)
        } catch {
          refused += 1
          #expect(error.code == .invalidArgument, "\(error)")
          let left = Set(shards.compactMap(\.region))
          #expect(!left.contains("eu") || left.isEmpty, "\(error)")
        }
      }
    }
    #expect(refused > 0)
  }

  @Test func aClosedRegionKeepsWhatMustStay() throws {
    let map = try GeoRouterTests.map()
    guard case .geo(let geo) = map.placement else {
      Issue.record("no geo")
      return
    }
    let closed = try ShardMap(epoch: 2, map.shards, .geo(geo.setting("eu", open: false)))
    #expect(try GeoRouterTests.region(closed, "DE/u281z/x") == "eu")
    #expect(try GeoRouterTests.region(closed, "CH/u0m7/x") != "eu")
    #expect(try GeoRouterTests.region(closed, "CA/u0m7/x") == "us")
    #expect(try ShardMap(decoding: closed.encoded) == closed)
    var all = geo
    for region in GeoRouterTests.regions { all = all.setting(region.name, open: false) }
    #expect(throws: StorageError.self) { try ShardMap(map.shards, .geo(all)) }
  }

  @Test func assignedCellsGoWhereTheyAreTold() throws {
    let map = try GeoRouterTests.map(
      rules: [], assignments: [CellAssignment("u", "ap"), CellAssignment("u28", "us")])
    #expect(try GeoRouterTests.region(map, "u0/x") == "ap")
    #expect(try GeoRouterTests.region(map, "u281/x") == "us")
    #expect(try GeoRouterTests.region(map, "g/x") != "ap")
  }

  @Test func aDirectoryCannotBreakARule() throws {
    let shards = GeoRouterTests.shards(6)
    let geo = GeoPlacement(regions: GeoRouterTests.regions, rules: GeoRouterTests.rules)
    func directory(
      _ tenant: String, _ shard: UInt32, _ part: RoutingPart = .before(UInt8(ascii: "/"))
    ) throws(StorageError) -> ShardMap {
      try ShardMap(
        shards, .directory([.init(Array(tenant.utf8), ShardID(shard))], part, fallback: .geo(geo)))
    }
    // s0 and s3 stand in us, s1 and s4 in eu.
    #expect(throws: StorageError.self) { try directory("DE", 0) }
    #expect(throws: StorageError.self) { try directory("D", 0, .prefix(1)) }
    #expect(throws: StorageError.self) { try directory("DE/u281z", 0, .prefix(8)) }
    #expect(throws: StorageError.self) { try directory("acme", 1, .hashTag) }
    #expect(try directory("DE", 1).router().shard(of: Array("DE/9v6/x".utf8)) == ShardID(1))
    #expect(try directory("acme", 0).router().shard(of: Array("acme/1".utf8)) == ShardID(0))
    let map = try directory("DE", 1)
    #expect(try ShardMap(decoding: map.encoded) == map)
    // The tenant's shard goes: its keys fall back to the geography, and stay in the region.
    let next = try map.next(shards.filter { $0.id != ShardID(1) })
    #expect(try GeoRouterTests.region(next, "DE/9v6/x") == "eu")
  }

  @Test func badPlacementsAreRefused() {
    let regions = GeoRouterTests.regions
    func expectRefused(_ geo: GeoPlacement, _ shards: [Shard] = GeoRouterTests.shards(3)) {
      let error = #expect(throws: StorageError.self) { try ShardMap(shards, .geo(geo)) }
      #expect(error?.code == .invalidArgument)
    }
    expectRefused(GeoPlacement(regions: []))
    expectRefused(GeoPlacement(regions: regions + [regions[0]]))
    expectRefused(GeoPlacement(regions: regions, cellLength: 13))
    expectRefused(GeoPlacement(regions: regions, cellLength: -1))
    expectRefused(GeoPlacement(regions: regions), [Shard(ShardID(1))])
    expectRefused(GeoPlacement(regions: regions), [Shard(ShardID(1), region: "moon")])
    expectRefused(GeoPlacement(regions: regions, rules: [ResidencyRule("DE", in: [])]))
    expectRefused(GeoPlacement(regions: regions, rules: [ResidencyRule("DE", in: ["moon"])]))
    expectRefused(GeoPlacement(regions: regions, rules: [ResidencyRule("de", in: ["eu"])]))
    expectRefused(
      GeoPlacement(
        regions: regions, rules: [ResidencyRule("DE", in: ["eu"]), ResidencyRule("DE", in: ["us"])])
    )
    expectRefused(
      GeoPlacement(regions: regions, rules: [ResidencyRule("DE", in: ["eu"])]),
      [Shard(ShardID(0), region: "us")])
    expectRefused(GeoPlacement(regions: regions, assignments: [CellAssignment("u281", "eu")]))
    expectRefused(GeoPlacement(regions: regions, assignments: [CellAssignment("a", "eu")]))
    let nowhere = GeoRegion("x", GeoPoint(latitude: .nan, longitude: 0))
    expectRefused(GeoPlacement(regions: [nowhere]), [Shard(ShardID(0), region: "x")])
  }

  @Test func readsGoToTheNearestCopy() throws {
    let map = try GeoRouterTests.map()
    let router = try #require(try map.router() as? GeoRouter)
    let links = RegionLinks(GeoRouterTests.regions)
    func read(_ key: String, from reader: Int, copies: Int, down: Int? = nil) -> Int? {
      Array(key.utf8).withSlice {
        router.readRegion(of: $0, from: reader, copies: copies, over: links) { $0 != down }
      }
    }
    // Tokyo's data, read in us (0), eu (1) and ap (2).
    #expect(read("JP/xn76/x", from: 0, copies: 1) == 2)
    #expect((0..<3).map { read("JP/xn76/x", from: $0, copies: 3) } == [0, 1, 2])
    #expect((0..<3).map { read("DE/u281/x", from: $0, copies: 3) } == [1, 1, 1], "copies stay too")
    #expect(read("JP/xn76/x", from: 2, copies: 3, down: 2) != nil)
    #expect(read("DE/u281/x", from: 0, copies: 3, down: 1) == nil, "down, and nowhere else")
    #expect(Array("CA/9/x".utf8).withSlice { router.copyRegions(of: $0, count: 9) } == [0, 1])
    #expect(links[0, 1] == links[1, 0] && links[0, 0] < links[0, 1])
  }

  @Test func keysOfRealPlacesAreSpreadAndStay() throws {
    let directory = SourceTree.root.appendingPathComponent("datasets").path
    let library = try DatasetLibrary(directory: directory)
    for name in ["cities", "airports"] {
      let records = try GeoRecord.read(try library.table(name))
      #expect(records.count > 25_000)
      let rules = [ResidencyRule("DE", in: ["eu"]), ResidencyRule("US", in: ["us"])]
      let map = try GeoRouterTests.map(6, rules: rules)
      #expect(try ResidencyRules(rules).violations(records.map(\.key), in: map) == 0)
      let keys = try PlacementKeys(records.map { ($0.key, $0.bytes) })
      let next = try map.next(GeoRouterTests.shards(7))
      let result = try PlacementSimulation(keys).run(from: map, to: next)
      // The new shard is one of three in us: it takes a third of what is there, no other key moves.
      #expect(result.flows.allSatisfy { $0.to == ShardID(6) && [0, 3].contains($0.from.rawValue) })
      #expect(abs(result.movedShare - result.needed) < 1e-9 && result.moved > 0)
      // A region's two shards share its cells about evenly.
      let loads = result.before.loads
      for region in 0..<3 {
        let share = Double(loads[region]) / Double(loads[region] + loads[region + 3])
        #expect((0.4...0.6).contains(share), "\(name): \(loads)")
      }
    }
  }

  /// The bytes that docs/formats/shard-map.md takes apart.
  @Test func theExampleOfTheFormat() throws {
    let map = try PlacementText("geo:2,regions=us/eu,rules=DE@eu").map(sample: [])
    let bytes = map.encoded
    #expect(bytes.count == 107)
    let page = try SourceTree.text("docs/formats/shard-map.md")
    let block = try #require(page.range(of: "    53 4c 53 48"))
    var documented: [UInt8] = []
    for line in page[block.lowerBound...].split(separator: "\n").prefix(11) {
      for word in line.split(separator: " ") {
        guard word.count == 2, let byte = UInt8(word, radix: 16) else { break }
        documented.append(byte)
      }
    }
    #expect(documented == Array(bytes.dropLast(4)))
  }

  @Test func versionsOfTheFormat() throws {
    let geo = try GeoRouterTests.map().encoded
    #expect(geo[8] == 2)
    let ring = try ShardMap(Shard.equal(3), .ring(virtualNodes: 10, .wholeKey)).encoded
    #expect(ring[8] == 1, "maps that builds before this one can read are written for them")
    func sealed(_ bytes: [UInt8]) -> [UInt8] {
      var writer = ByteWriter()
      writer.raw(bytes.dropLast(4))
      writer.checksum()
      return writer.bytes
    }
    for (bytes, version, code) in [
      (geo, 1, StorageError.Code.corruption), (ring, 2, .corruption), (geo, 3, .unsupportedVersion),
    ] {
      var changed = bytes
      changed[8] = UInt8(version)
      let error = #expect(throws: StorageError.self) { try ShardMap(decoding: sealed(changed)) }
      #expect(error?.code == code)
    }
  }
}
