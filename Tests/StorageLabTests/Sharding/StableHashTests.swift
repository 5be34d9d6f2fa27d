import Testing

@testable import StorageLab

/// Published vectors: a shard map means the same on every machine and in every program.
@Suite struct StableHashTests {
  @Test(
    arguments: [
      ("", 0, 0xef46_db37_51d8_e999), ("a", 0, 0xd24e_c4f1_a98c_6e5b),
      ("abc", 0, 0x44bc_2cf5_ad77_0999),
      ("Nobody inspects the spammish repetition", 0, 0xfbce_a83c_8a37_8bf1),
    ] as [(String, UInt64, UInt64)])
  func xxHash64(_ text: String, _ seed: UInt64, _ expected: UInt64) {
    #expect(Array(text.utf8).withSlice { XXHash64.hash($0, seed: seed) } == expected)
  }

  /// Those of xxHash's own sanity check: length, seed, hash of a buffer of high bytes of a product.
  @Test(
    arguments: [
      (0, 0, 0xef46_db37_51d8_e999), (0, 0x9e37_79b1, 0xac75_fda2_929b_17ef),
      (1, 0, 0xe934_a84a_db05_2768), (1, 0x9e37_79b1, 0x5014_6076_43a9_b4c3),
      (4, 0, 0x9136_a0dc_a574_57ee), (14, 0, 0x8282_dcc4_994e_35c8),
      (14, 0x9e37_79b1, 0xc3bd_6bf6_3deb_6df0), (222, 0, 0xb641_ae8c_b691_c174),
      (222, 0x9e37_79b1, 0x20cb_8ab7_ae10_c14a),
    ] as [(Int, UInt64, UInt64)])
  func xxHash64WithSeed(_ length: Int, _ seed: UInt64, _ expected: UInt64) {
    var state: UInt64 = 0x9e37_79b1
    let bytes = (0..<length).map { _ -> UInt8 in
      defer { state = state &* 0x9e37_79b1_85eb_ca8d }
      return UInt8(state >> 56)
    }
    #expect(bytes.withSlice { XXHash64.hash($0, seed: seed) } == expected)
  }

  /// Those of Guava's tests.
  @Test(
    arguments: [
      ("hell", 0, 0x6299_4269_3e10_f867, 0x92db_0b82_baeb_5347),
      ("hello", 1, 0xa78d_dff5_adae_8d10, 0x1289_00ef_2090_0135),
      ("hello ", 2, 0x8a48_6b23_f422_e826, 0xf962_a2c5_8947_765f),
      ("hello w", 3, 0x2ea5_9f46_6f6b_ed8c, 0xc610_990a_cc42_8a17),
      ("hello wo", 4, 0x79f6_305a_386c_572c, 0x4630_5aed_3483_b94e),
      ("hello wor", 5, 0xc221_9d21_3ec1_f1b5, 0xa1d8_e2e0_a527_85bd),
    ] as [(String, UInt32, UInt64, UInt64)])
  func murmur3WithSeed(_ text: String, _ seed: UInt32, _ high: UInt64, _ low: UInt64) {
    let found = Array(text.utf8).withSlice { Murmur3.hash($0, seed: seed) }
    #expect(found.high == high && found.low == low)
  }

  /// Those that implementations in other languages share.
  @Test(
    arguments: [
      (1, 1, 0), (42, 57, 43), (0xdead_10cc, 1, 0), (0xdead_10cc, 666, 361), (256, 1024, 520),
    ] as [(UInt64, Int, Int)])
  func jump(_ key: UInt64, _ buckets: Int, _ expected: Int) {
    #expect(JumpHash.bucket(key, of: buckets) == expected)
  }

  @Test(
    arguments: [
      ("", 0, 0), ("hello", 0xcbd8_a7b3_41bd_9b02, 0x5b1e_906a_48ae_1d19),
      ("hello, world", 0x342f_ac62_3a5e_bc8e, 0x4cdc_bc07_9642_414d),
      (
        "The quick brown fox jumps over the lazy dog", 0xe34b_bc7b_bc07_1b6c,
        0x7a43_3ca9_c49a_9347
      ),
    ] as [(String, UInt64, UInt64)])
  func murmur3(_ text: String, _ high: UInt64, _ low: UInt64) {
    let found = Array(text.utf8).withSlice { Murmur3.hash($0) }
    #expect(found.high == high && found.low == low)
  }

  /// Of Redis Cluster's specification and documentation.
  @Test(arguments: [
    ("foo", 12_182), ("bar", 5_061), ("123456789", 12_739), ("{user1000}.following", 3_443),
    ("{user1000}.followers", 3_443), ("user1000", 3_443),
  ])
  func slot(_ key: String, _ expected: Int) {
    #expect(Array(key.utf8).withSlice { HashSlot.slot($0) } == expected)
  }

  @Test(arguments: [
    ("foo{}{bar}", "foo{}{bar}"), ("foo{{bar}}zap", "{bar"), ("foo{bar}{zap}", "bar"),
    ("{}", "{}"), ("{", "{"), ("a}{b", "a}{b"), ("", ""), ("{x}", "x"),
  ])
  func hashTag(_ key: String, _ expected: String) {
    #expect(Array(key.utf8).withSlice { HashSlot.tag($0).array } == Array(expected.utf8))
  }

  /// Its definition, number by number: adding a bucket moves keys to it only, one in N.
  @Test func jumpMovesKeysToTheNewBucketOnly() {
    var moved = 0
    for key in 0..<20_000 as Range<UInt64> {
      let hash = Hash64.hash(key)
      let ten = JumpHash.bucket(hash, of: 10)
      let eleven = JumpHash.bucket(hash, of: 11)
      #expect(ten == eleven || eleven == 10)
      if ten != eleven { moved += 1 }
    }
    #expect(abs(moved - 20_000 / 11) < 200)
    #expect(JumpHash.bucket(0, of: 1) == 0)
  }
}

@Suite struct GeoCurveTests {
  /// The examples that are printed everywhere, and Niemeyer's own.
  @Test func geohash() throws {
    #expect(
      Geohash.encode(GeoPoint(latitude: 57.64911, longitude: 10.40744), length: 11) == "u4pruydqqvj"
    )
    #expect(Geohash.encode(GeoPoint(latitude: 42.6, longitude: -5.6), length: 5) == "ezs42")
    let cell = try #require(Geohash.decode("ezs42"))
    #expect(abs(cell.center.latitude - 42.605) < 0.001)
    #expect(abs(cell.center.longitude + 5.603) < 0.001)
    #expect(Geohash.decode("a") == nil && Geohash.decode("") == nil)
  }

  @Test func aPointLiesInItsCellAndPrefixesNameLargerCells() throws {
    var random = SeededRandom(seed: 1)
    for _ in 0..<2000 {
      let point = GeoPoint(
        latitude: Double(random.below(180_000_001)) / 1e6 - 90,
        longitude: Double(random.below(360_000_001)) / 1e6 - 180)
      let text = Geohash.encode(point, length: 12)
      for length in 1...12 {
        let cell = try #require(Geohash.decode(text.prefix(length)))
        #expect(cell.latitude.contains(point.latitude))
        #expect(cell.longitude.contains(point.longitude))
        #expect(Geohash.encode(point, length: length) == text.prefix(length))
      }
    }
  }

  @Test func hilbertVisitsEachCellOnceAndStepsToANeighbour() {
    for order in 1...6 {
      let side = 1 << order
      var seen = Set<Int>()
      var last: (x: UInt32, y: UInt32)?
      for distance in 0..<UInt64(side * side) {
        let cell = HilbertCurve.cell(at: distance, order: order)
        #expect(HilbertCurve.distance(x: cell.x, y: cell.y, order: order) == distance)
        seen.insert(Int(cell.x) * side + Int(cell.y))
        if let last {
          #expect(abs(Int(cell.x) - Int(last.x)) + abs(Int(cell.y) - Int(last.y)) == 1)
        }
        last = cell
      }
      #expect(seen.count == side * side)
    }
  }

  @Test func distancesOnEarth() {
    let paris = GeoPoint(latitude: 48.8566, longitude: 2.3522)
    let london = GeoPoint(latitude: 51.5074, longitude: -0.1278)
    #expect(abs(paris.distance(to: london) - 343.6) < 1)
    #expect(paris.distance(to: paris) == 0)
  }
}
