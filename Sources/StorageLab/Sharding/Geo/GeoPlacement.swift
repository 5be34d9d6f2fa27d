/// A part of the world with shards of its own.
public struct GeoRegion: Sendable, Hashable, Codable {
  public var name: String
  /// Cells belong to the region whose center is nearest.
  public var center: GeoPoint
  /// A closed region gets no cells: what may be elsewhere goes there, what a rule keeps in it stays.
  /// For one that is lost for a while: closing it moves all that may move, and breaks no rule.
  public var isOpen: Bool

  public init(_ name: String, _ center: GeoPoint, isOpen: Bool = true) {
    self.name = name
    self.center = center
    self.isOpen = isOpen
  }

  /// Regions that command lines know by name: where the large clouds have data centers.
  public static let known: [GeoRegion] = [
    GeoRegion("us", GeoPoint(latitude: 39.04, longitude: -77.49)),
    GeoRegion("eu", GeoPoint(latitude: 50.11, longitude: 8.68)),
    GeoRegion("ap", GeoPoint(latitude: 1.35, longitude: 103.82)),
    GeoRegion("sa", GeoPoint(latitude: -23.55, longitude: -46.63)),
    GeoRegion("in", GeoPoint(latitude: 19.08, longitude: 72.88)),
    GeoRegion("jp", GeoPoint(latitude: 35.68, longitude: 139.69)),
    GeoRegion("au", GeoPoint(latitude: -33.87, longitude: 151.21)),
    GeoRegion("af", GeoPoint(latitude: -26.20, longitude: 28.05)),
    GeoRegion("usw", GeoPoint(latitude: 45.60, longitude: -121.18)),
  ]
}

/// Where the data of a jurisdiction may be, and so nowhere else.
public struct ResidencyRule: Sendable, Hashable, Codable {
  /// As keys name it: `DE`.
  public var jurisdiction: String
  /// Names of regions.
  public var regions: [String]

  public init(_ jurisdiction: String, in regions: [String]) {
    self.jurisdiction = jurisdiction
    self.regions = regions
  }

  /// Those of the experiments: members of the European Union keep their data in `eu`, six countries of
  /// Asia theirs in `ap`.
  public static let examples =
    [
      "AT", "BE", "BG", "HR", "CY", "CZ", "DK", "EE", "FI", "FR", "DE", "GR", "HU", "IE", "IT",
      "LV", "LT", "LU", "MT", "NL", "PL", "PT", "RO", "SK", "SI", "ES", "SE",
    ].map { ResidencyRule($0, in: ["eu"]) }
    + ["CN", "ID", "IN", "JP", "SG", "VN"].map { ResidencyRule($0, in: ["ap"]) }
}

/// A cell that belongs to a region other than the nearest.
public struct CellAssignment: Sendable, Hashable, Codable {
  /// 1 … 3 digits.
  public var geohash: String
  public var region: String

  public init(_ geohash: String, _ region: String) {
    self.geohash = geohash
    self.region = region
  }
}

/// How a geographic map places keys, as data. A key's cell decides its region, a residency rule of its
/// jurisdiction may send it elsewhere, and within the region cells are spread by rendezvous hashing.
public struct GeoPlacement: Sendable, Hashable {
  public let regions: [GeoRegion]
  /// In the order of jurisdictions.
  public let rules: [ResidencyRule]
  /// In the order of cells.
  public let assignments: [CellAssignment]
  /// Digits of the cell that decides among a region's shards: keys of one cell stay together, at 5
  /// those of 4.9 by 4.9 km. 0 hashes whole keys.
  public let cellLength: Int

  public static let cellLengthByDefault = 5
  static let mostRegions = 200
  static let mostRules = 10_000
  static let mostAssignments = 33_000

  public init(
    regions: [GeoRegion], rules: [ResidencyRule] = [], assignments: [CellAssignment] = [],
    cellLength: Int = GeoPlacement.cellLengthByDefault
  ) {
    self.regions = regions
    let names = regions.map(\.name)
    self.rules = rules.sorted { $0.jurisdiction < $1.jurisdiction }.map { rule in
      let order = rule.regions.map { (names.firstIndex(of: $0) ?? names.count, $0) }
      return ResidencyRule(rule.jurisdiction, in: order.sorted { $0 < $1 }.map(\.1))
    }
    self.assignments = assignments.sorted { $0.geohash < $1.geohash }
    self.cellLength = cellLength
  }

  /// The same with a region closed, or open again.
  public func setting(_ region: String, open: Bool) -> GeoPlacement {
    GeoPlacement(
      regions: regions.map {
        GeoRegion($0.name, $0.center, isOpen: $0.name == region ? open : $0.isOpen)
      }, rules: rules, assignments: assignments, cellLength: cellLength)
  }
}

/// Which jurisdictions' data may be where, for checking any map, whatever it places keys by.
public struct ResidencyRules: Sendable {
  private let permitted: [UInt64: Set<String>]

  public init(_ rules: [ResidencyRule]) {
    permitted = Dictionary(
      rules.map { (GeoKey.packed($0.jurisdiction), Set($0.regions)) },
      uniquingKeysWith: { $0.intersection($1) })
  }

  /// Whether a key may lie on a shard of this region; nil is a shard that stands nowhere, which no
  /// rule permits.
  public func permit(_ key: ByteSlice, in region: String?) -> Bool {
    guard let regions = permitted[GeoKey(key, digits: 1).jurisdiction] else { return true }
    return region.map(regions.contains) ?? false
  }

  /// How many of the keys a map places where they may not be. Errors: `invalidArgument` of a map that
  /// is none.
  public func violations(_ keys: [[UInt8]], in map: ShardMap) throws(StorageError) -> Int {
    let router = try map.router()
    let regions = Dictionary(
      map.shards.map { ($0.id, $0.region) }, uniquingKeysWith: { first, _ in first })
    return keys.reduce(0) { count, key in
      key.withSlice { permit($0, in: regions[router.shard(of: $0)] ?? nil) } ? count : count + 1
    }
  }
}

extension GeoKey {
  static func packed(_ jurisdiction: String) -> UInt64 {
    Array(jurisdiction.utf8.prefix(longestJurisdiction)).withSlice { packed($0) }
  }
}
