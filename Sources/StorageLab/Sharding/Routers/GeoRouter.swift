import Glibc

/// Keys by their place on earth (`GeoKey`): a cell's region is the nearest open one that has a shard, unless a
/// residency rule of the key's jurisdiction permits it elsewhere only. Within the region the cell is
/// hashed, so that a cell's keys are on one shard. No lookup and no map ever breaks a rule: where none
/// of the permitted regions has a shard there is no such router.
public struct GeoRouter: Router {
  /// Cells of three digits, 156 km at the equator, have a region each.
  static let tableDigits = 3

  public let shards: [Shard]
  public let placement: GeoPlacement
  private let digits: Int
  private let shardTable: RendezvousTable
  /// The region of each cell, by its number.
  private let home: [UInt8]
  /// Places of shards: of each region, then of all open ones, then of each rule's regions together.
  private let members: [UInt32]
  private let starts: [Int]
  /// Open addressing from a jurisdiction to its rule's number and 1.
  private let ruleKeys: [UInt64]
  private let ruleNumbers: [UInt32]
  /// Of each rule, by region, the region that has its data.
  private let redirected: [UInt8]
  /// Of each region all of them by distance, itself first.
  private let nearness: [UInt8]

  /// Errors: `invalidArgument` for a shard in no region, a region or rule that is none, and where a
  /// rule leaves no shard.
  public init(_ shards: [Shard], _ placement: GeoPlacement) throws(StorageError) {
    try placement.check()
    guard !shards.isEmpty else {
      throw StorageError(.invalidArgument, "a geographic map has one shard at least")
    }
    let names = placement.regions.map(\.name)
    let places = Dictionary(uniqueKeysWithValues: names.enumerated().map { ($1, $0) })
    var byRegion = [[UInt32]](repeating: [], count: names.count)
    for (index, shard) in shards.enumerated() {
      guard let region = shard.region, let place = places[region] else {
        throw StorageError(
          .invalidArgument, "\(shard.id) stands in no region of the map",
          remedy: "Regions: \(names.joined(separator: ", "))")
      }
      byRegion[place].append(UInt32(index))
    }
    let living = names.indices.filter { !byRegion[$0].isEmpty }
    let open = living.filter { placement.regions[$0].isOpen }
    if open.isEmpty {
      throw StorageError(.invalidArgument, "no open region of the map has a shard")
    }
    var lists = byRegion
    lists.append(open.flatMap { byRegion[$0] })
    var redirected: [UInt8] = []
    for rule in placement.rules {
      var permitted = open.filter { rule.regions.contains(names[$0]) }
      if permitted.isEmpty { permitted = living.filter { rule.regions.contains(names[$0]) } }
      if permitted.isEmpty {
        throw StorageError(
          .invalidArgument,
          "data of \(rule.jurisdiction) may be in \(rule.regions.joined(separator: ", ")) only, "
            + "where no shard is",
          remedy: "Keep a shard there, or change the rule: nothing is placed against it")
      }
      lists.append(permitted.flatMap { byRegion[$0] })
      let vectors = permitted.map { GeoRouter.vector(placement.regions[$0].center) }
      redirected += placement.regions.map { region in
        UInt8(permitted[GeoRouter.nearest(to: GeoRouter.vector(region.center), vectors)])
      }
    }
    self.shards = shards
    self.placement = placement
    self.redirected = redirected
    nearness = placement.regions.enumerated().flatMap { own, region in
      names.indices.map { (place: $0, region.center.distance(to: placement.regions[$0].center)) }
        .sorted {
          ($0.place != own ? 1 : 0, $0.1, $0.place) < ($1.place != own ? 1 : 0, $1.1, $1.place)
        }
        .map { UInt8($0.place) }
    }
    digits = max(GeoRouter.tableDigits, placement.cellLength)
    shardTable = RendezvousTable(shards)
    members = lists.flatMap { $0 }
    starts = lists.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1.count) }
    home = GeoRouter.homes(placement, open, places)
    var capacity = 2
    while capacity < 2 * placement.rules.count { capacity *= 2 }
    var keys = [UInt64](repeating: 0, count: capacity)
    var numbers = [UInt32](repeating: 0, count: capacity)
    for (index, rule) in placement.rules.enumerated() {
      let key = GeoKey.packed(rule.jurisdiction)
      var slot = GeoRouter.slot(key, capacity)
      while keys[slot] != 0 { slot = (slot + 1) & (capacity - 1) }
      keys[slot] = key
      numbers[slot] = UInt32(index + 1)
    }
    ruleKeys = keys
    ruleNumbers = numbers
  }

  // MARK: Lookup

  @inline(__always)
  public func shard(of key: ByteSlice) -> ShardID {
    let place = GeoKey(key, digits: digits)
    let rule = place.jurisdiction == 0 ? -1 : rule(of: place.jurisdiction)
    let list: Int
    let hash: UInt64
    if place.cell.length == 0 {
      // Nowhere on earth: on any shard where it may be.
      list = placement.regions.count + 1 + rule
      hash = XXHash64.hash(key)
    } else {
      list = region(of: place.cell, rule)
      hash =
        placement.cellLength == 0
        ? XXHash64.hash(key) : GeoRouter.hash(place.cell.prefix(placement.cellLength))
    }
    return shards[shardTable.winner(hash, among: members, starts[list]..<starts[list + 1])].id
  }

  /// The region of a key's data; nil for a key of no place, which is hashed.
  public func region(of key: ByteSlice) -> Int? {
    let place = GeoKey(key, digits: digits)
    if place.cell.length == 0 { return nil }
    return region(of: place.cell, place.jurisdiction == 0 ? -1 : rule(of: place.jurisdiction))
  }

  @inline(__always)
  private func region(of cell: GeoCell, _ rule: Int) -> Int {
    let region = Int(home[Int(cell.middle(GeoRouter.tableDigits))])
    return rule < 0 ? region : Int(redirected[rule &* placement.regions.count &+ region])
  }

  /// The number of a jurisdiction's rule; -1 for one without.
  @inline(__always)
  private func rule(of jurisdiction: UInt64) -> Int {
    var slot = GeoRouter.slot(jurisdiction, ruleKeys.count)
    while ruleKeys[slot] != 0 {
      if ruleKeys[slot] == jurisdiction { return Int(ruleNumbers[slot]) - 1 }
      slot = (slot + 1) & (ruleKeys.count - 1)
    }
    return -1
  }

  @inline(__always)
  private static func slot(_ key: UInt64, _ capacity: Int) -> Int {
    Int(truncatingIfNeeded: Hash64.hash(key)) & (capacity - 1)
  }

  @inline(__always)
  private static func hash(_ cell: GeoCell) -> UInt64 {
    Hash64.hash(cell.bits &<< 4 | UInt64(cell.length))
  }

  // MARK: Ranges

  /// The fewest shards that are certain: by the jurisdiction and the digits that all keys agree in.
  public func shards(overlapping range: KeyRange) -> [ShardID] {
    let prefix = RoutingPart.commonPrefix(of: range)
    let place = prefix.withSlice { GeoKey($0, digits: digits) }
    // A prefix that may yet grow a jurisdiction says nothing.
    let isOpen = prefix.withSlice { prefix in
      GeoKey.jurisdictionLength(prefix) == 0 && GeoRouter.mayNameJurisdiction(prefix)
    }
    if isOpen { return shards.map(\.id) }
    let rule = place.jurisdiction == 0 ? -1 : rule(of: place.jurisdiction)
    let isPlace = place.cell.length > 0 && !prefix.contains(GeoCell.coordinates)
    if !isPlace { return list(placement.regions.count + 1 + rule) }
    if placement.cellLength > 0, place.cell.length >= placement.cellLength,
      place.cell.length >= GeoRouter.tableDigits
    {
      return [prefix.withSlice { shard(of: $0) }]
    }
    let cell = place.cell.prefix(GeoRouter.tableDigits)
    var regions: [Int] = []
    for number in cell.cells(GeoRouter.tableDigits) {
      let region = region(
        of: GeoCell(bits: UInt64(number), length: GeoRouter.tableDigits), rule)
      if !regions.contains(region) { regions.append(region) }
    }
    return regions.flatMap { list($0) }
  }

  private func list(_ number: Int) -> [ShardID] {
    members[starts[number]..<starts[number + 1]].map { shards[Int($0)].id }
  }

  private static func mayNameJurisdiction(_ prefix: ByteSlice) -> Bool {
    prefix.isEmpty || GeoKey.isJurisdiction(String(decoding: prefix.rawBuffer, as: UTF8.self))
  }

  // MARK: Copies

  /// The regions that hold a key's copies when there are `count`: its own first, then the nearest to
  /// that which are permitted and have a shard; fewer where there are no more. A key of no place has
  /// none. Complexity: O(regions).
  public func copyRegions(of key: ByteSlice, count: Int) -> [Int] {
    var found: [Int] = []
    forEachCopy(of: key, count) { found.append($0) }
    return found
  }

  /// Of the regions that hold copies, the one that a reader in `reader` reaches soonest; nil when
  /// none is there or up. Allocates nothing. Complexity: O(regions).
  public func readRegion(
    of key: ByteSlice, from reader: Int, copies: Int, over links: RegionLinks,
    isUp: (Int) -> Bool = { _ in true }
  ) -> Int? {
    var best: Int?
    forEachCopy(of: key, copies) { region in
      guard isUp(region) else { return }
      if best.map({ links[reader, region] < links[reader, $0] }) ?? true { best = region }
    }
    return best
  }

  private func forEachCopy(of key: ByteSlice, _ count: Int, _ body: (Int) -> Void) {
    let place = GeoKey(key, digits: digits)
    if place.cell.length == 0 { return }
    let rule = place.jurisdiction == 0 ? -1 : rule(of: place.jurisdiction)
    let own = region(of: place.cell, rule)
    let regions = placement.regions.count
    var left = max(1, count)
    for index in own * regions..<(own + 1) * regions where left > 0 {
      let region = Int(nearness[index])
      let isPermitted = rule < 0 || Int(redirected[rule * regions + region]) == region
      guard isPermitted, region == own || placement.regions[region].isOpen,
        starts[region] < starts[region + 1]
      else { continue }
      left -= 1
      body(region)
    }
  }

  // MARK: Tables

  private typealias Vector = (x: Double, y: Double, z: Double)

  /// The point on the unit sphere: nearer on earth is a larger product.
  private static func vector(_ point: GeoPoint) -> Vector {
    let degree = Double.pi / 180
    let (latitude, longitude) = (point.latitude * degree, point.longitude * degree)
    return (cos(latitude) * cos(longitude), cos(latitude) * sin(longitude), sin(latitude))
  }

  private static func nearest(to point: Vector, _ others: [Vector]) -> Int {
    var best = 0
    var closest = -Double.infinity
    for (index, other) in others.enumerated() {
      let product = point.x * other.x + point.y * other.y + point.z * other.z
      if product > closest {
        closest = product
        best = index
      }
    }
    return best
  }

  private static func homes(
    _ placement: GeoPlacement, _ open: [Int], _ places: [String: Int]
  ) -> [UInt8] {
    let vectors = open.map { vector(placement.regions[$0].center) }
    let count = 1 << (5 * tableDigits)
    var homes = (0..<count).map { number in
      UInt8(open[nearest(to: vector(center(UInt64(number))), vectors)])
    }
    // Smaller cells last: they have the word over larger ones.
    for assignment in placement.assignments.sorted(by: { $0.geohash.count < $1.geohash.count }) {
      guard let cell = GeoCell(assignment.geohash), let region = places[assignment.region],
        open.contains(region)
      else { continue }
      for number in cell.cells(tableDigits) { homes[number] = UInt8(region) }
    }
    return homes
  }

  /// The middle of a cell of three digits: eight bits of longitude, seven of latitude.
  private static func center(_ cell: UInt64) -> GeoPoint {
    var longitude = 0.0
    var latitude = 0.0
    for bit in 0..<8 {
      if cell >> UInt64(14 - 2 * bit) & 1 == 1 { longitude += Double(1 << (7 - bit)) }
      if bit < 7, cell >> UInt64(13 - 2 * bit) & 1 == 1 { latitude += Double(1 << (6 - bit)) }
    }
    return GeoPoint(
      latitude: (latitude + 0.5) * 180 / 128 - 90, longitude: (longitude + 0.5) * 360 / 256 - 180)
  }
}

extension GeoPlacement {
  /// Errors: `invalidArgument` for what holds of no set of shards.
  func check() throws(StorageError) {
    func wrong(_ what: String) -> StorageError { StorageError(.invalidArgument, what) }
    guard (1...GeoPlacement.mostRegions).contains(regions.count) else {
      throw wrong("a geographic map has between 1 and \(GeoPlacement.mostRegions) regions")
    }
    guard (0...Geohash.longest).contains(cellLength) else {
      throw wrong("a cell has between 0 and \(Geohash.longest) digits, not \(cellLength)")
    }
    var names = Set<String>()
    for region in regions {
      guard !region.name.isEmpty, region.name.utf8.count <= 255, region.center.isOnEarth else {
        throw wrong("region '\(region.name)' has no name, or lies nowhere on earth")
      }
      guard names.insert(region.name).inserted else {
        throw wrong("two regions have the name \(region.name)")
      }
    }
    guard rules.count <= GeoPlacement.mostRules,
      assignments.count <= GeoPlacement.mostAssignments
    else { throw wrong("there are more rules or assigned cells than a map can have") }
    var jurisdictions = Set<String>()
    for rule in rules {
      guard GeoKey.isJurisdiction(rule.jurisdiction) else {
        throw wrong("'\(rule.jurisdiction)' is no jurisdiction: capitals, as DE or US-CA")
      }
      guard jurisdictions.insert(rule.jurisdiction).inserted else {
        throw wrong("there are two rules for \(rule.jurisdiction)")
      }
      guard !rule.regions.isEmpty, Set(rule.regions).count == rule.regions.count,
        rule.regions.allSatisfy(names.contains)
      else {
        throw wrong("the rule for \(rule.jurisdiction) names regions twice or that there are not")
      }
    }
    var cells = Set<String>()
    for assignment in assignments {
      guard let cell = GeoCell(assignment.geohash), cell.length <= GeoRouter.tableDigits,
        names.contains(assignment.region), cells.insert(assignment.geohash).inserted
      else {
        throw wrong(
          "'\(assignment.geohash)' for '\(assignment.region)' is no cell of 1 to "
            + "\(GeoRouter.tableDigits) digits, given twice, or for no region")
      }
    }
  }

  /// Errors: `invalidArgument` when a tenant that is placed by name may have keys which a rule keeps
  /// from that shard. REQUIRES: `part` is what of a key names the tenant.
  func checkTenants(
    _ entries: [Placement.DirectoryEntry], _ part: RoutingPart, _ shards: [Shard]
  ) throws(StorageError) {
    if part == .hashTag && !rules.isEmpty && !entries.isEmpty {
      throw StorageError(
        .invalidArgument,
        "tenants are named by hash tags, which stand behind what residency rules go by",
        remedy: "Name tenants by the beginning of their keys")
    }
    let regions = Dictionary(
      shards.map { ($0.id, $0.region) }, uniquingKeysWith: { first, _ in first })
    for rule in rules {
      let beginning = Array((rule.jurisdiction + "/").utf8)
      for entry in entries
      where beginning.starts(with: entry.tenant) || entry.tenant.starts(with: beginning) {
        if let region = regions[entry.shard] ?? nil, rule.regions.contains(region) { continue }
        throw StorageError(
          .invalidArgument,
          "tenant '\(printable(entry.tenant))' on \(entry.shard) would have data of "
            + "\(rule.jurisdiction) outside of \(rule.regions.joined(separator: ", "))")
      }
    }
  }
}
