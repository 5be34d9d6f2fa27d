/// A shard map in words, as command lines take it: `ring:10`, `ring:10,nodes=500`, `slots:3`,
/// `rendezvous:4,weights=1/1/2/4`, `jump:10,part=tag`, `directory:4,tenants=whale@3`,
/// `geo:6,regions=us/eu/ap,rules=DE@eu`.
public struct PlacementText: Sendable, Equatable {
  public static let known = """
    modulo:N, jump:N, rendezvous:N, ring:N, slots:N, range:N, directory:N, geo:N; behind commas: \
    nodes=V (of a ring, 150), weights=W/W/… (of all but modulo, jump and directory), \
    part=key|tag|before:C|first:BYTES (what of a key is hashed, or names a directory's tenant), \
    tenants=NAME@S/… and fallback=ring|jump|rendezvous|modulo (of a directory), \
    regions=NAME|NAME@LAT:LON/…, rules=CC@REGION+REGION/…, cells=GEOHASH@REGION/… and cell=DIGITS \
    (of geo)
    """
  /// Those that hold any key without being told more.
  public static let kinds = ["modulo", "jump", "rendezvous", "ring", "slots", "range"]
  public static let allKinds = kinds + ["directory", "geo"]

  public let kind: String
  public let count: Int
  public var virtualNodes = RingRouter.virtualNodesByDefault
  public var weights: [Double] = []
  public var part: RoutingPart
  public var tenants: [Placement.DirectoryEntry] = []
  public var fallback = "ring"
  public var regions = Array(GeoRegion.known.prefix(3))
  public var rules: [ResidencyRule] = []
  public var assignments: [CellAssignment] = []
  public var cellLength = GeoPlacement.cellLengthByDefault

  /// Errors: `invalidArgument` with what there is.
  public init(_ text: String) throws(StorageError) {
    func wrong(_ what: String) -> StorageError {
      StorageError(
        .invalidArgument, "'\(text)': \(what)", remedy: "Known: \(PlacementText.known)")
    }
    let words = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    let head = words[0].split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    guard head.count == 2, PlacementText.allKinds.contains(head[0]) else {
      throw wrong("this names no router and number of shards")
    }
    guard let count = Int(head[1]), (1...100_000).contains(count) else {
      throw wrong("there are between 1 and 100,000 shards")
    }
    kind = head[0]
    self.count = count
    part = kind == "directory" ? .before(UInt8(ascii: "/")) : .wholeKey
    for word in words.dropFirst() {
      guard let equals = word.firstIndex(of: "=") else { throw wrong("'\(word)' is no setting") }
      let name = String(word[..<equals])
      let value = String(word[word.index(after: equals)...])
      guard PlacementText.settings[kind, default: []].contains(name) else {
        throw wrong("\(kind) has no setting '\(name)'")
      }
      if let problem = set(name, value) { throw wrong(problem) }
    }
  }

  private static let settings: [String: [String]] = [
    "modulo": ["part"], "jump": ["part"], "rendezvous": ["part", "weights"],
    "ring": ["part", "weights", "nodes"], "slots": ["weights"], "range": ["weights"],
    "directory": ["part", "nodes", "tenants", "fallback"],
    "geo": ["weights", "regions", "rules", "cells", "cell"],
  ]

  /// Returns what is wrong with the value.
  private mutating func set(_ name: String, _ value: String) -> String? {
    switch name {
    case "nodes":
      guard let number = Int(value), (1...100_000).contains(number) else {
        return "a shard has between 1 and 100,000 virtual nodes"
      }
      virtualNodes = number
    case "weights":
      weights = value.split(separator: "/").compactMap { Double($0) }
      guard weights.count == count, weights.allSatisfy({ $0 > 0 && $0 < 1e6 }) else {
        return "weights are \(count) numbers above 0, joined by /"
      }
    case "part":
      guard let part = PlacementText.part(value) else { return "'\(value)' is no part of a key" }
      self.part = part
    case "tenants":
      let pairs = PlacementText.pairs(value)
      tenants = pairs.compactMap { tenant, shard in
        UInt32(shard).map { Placement.DirectoryEntry(Array(tenant.utf8), ShardID($0)) }
      }
      if tenants.isEmpty || tenants.count != pairs.count { return "tenants are as whale@3/shark@2" }
    case "fallback":
      guard ["ring", "jump", "rendezvous", "modulo"].contains(value) else {
        return "a directory falls back to ring, jump, rendezvous or modulo"
      }
      fallback = value
    case "cell":
      guard let digits = Int(value), (0...Geohash.longest).contains(digits) else {
        return "a cell has between 0 and 12 digits"
      }
      cellLength = digits
    case "regions": return setRegions(value)
    case "rules":
      let pairs = PlacementText.pairs(value)
      rules = pairs.map { jurisdiction, names in
        ResidencyRule(jurisdiction, in: names.split(separator: "+").map(String.init))
      }
      if rules.isEmpty { return "rules are as DE@eu/CH@eu+us" }
    default:
      assignments = PlacementText.pairs(value).map { CellAssignment($0, $1) }
      if assignments.isEmpty { return "cells are as u2@eu/9q@us" }
    }
    return nil
  }

  private mutating func setRegions(_ value: String) -> String? {
    regions = []
    for word in value.split(separator: "/") {
      let halves = word.split(separator: "@", maxSplits: 1).map(String.init)
      if halves.count == 1, let known = GeoRegion.known.first(where: { $0.name == halves[0] }) {
        regions.append(known)
        continue
      }
      let degrees = halves.last.map { $0.split(separator: ":").compactMap { Double($0) } } ?? []
      guard halves.count == 2, degrees.count == 2 else {
        return
          "'\(word)' is no region: \(GeoRegion.known.map(\.name).joined(separator: ", ")), or as "
          + "lab@48.1:11.6"
      }
      regions.append(
        GeoRegion(halves[0], GeoPoint(latitude: degrees[0], longitude: degrees[1])))
    }
    return regions.isEmpty ? "there is one region at least" : nil
  }

  /// `a@b/c@d`; what has no @ has an empty right side.
  private static func pairs(_ text: String) -> [(String, String)] {
    text.split(separator: "/").map { word in
      guard let at = word.lastIndex(of: "@") else { return (String(word), "") }
      return (String(word[..<at]), String(word[word.index(after: at)...]))
    }
  }

  private static func part(_ text: String) -> RoutingPart? {
    switch text {
    case "key": return .wholeKey
    case "tag": return .hashTag
    default:
      if text.hasPrefix("before:"), text.utf8.count == 8, let byte = text.utf8.last {
        return .before(byte)
      }
      if text.hasPrefix("first:"), let count = Int(text.dropFirst(6)), (1...65_536).contains(count)
      {
        return .prefix(count)
      }
      return nil
    }
  }

  /// Shards s0 and on; of geo in the regions by turns.
  public var shards: [Shard] {
    var shards = Shard.equal(count)
    for (index, weight) in weights.enumerated() { shards[index].weight = weight }
    if kind == "geo" {
      for index in shards.indices { shards[index].region = regions[index % regions.count].name }
    }
    return shards
  }

  /// Whether a map of `other` follows from one of this by other shards alone.
  public func isStep(to other: PlacementText) -> Bool {
    kind == other.kind && virtualNodes == other.virtualNodes && part == other.part
      && tenants == other.tenants && fallback == other.fallback && regions == other.regions
      && rules == other.rules && assignments == other.assignments
      && cellLength == other.cellLength
  }

  /// The map; ranges are even over `sample`. Errors: `invalidArgument`.
  public func map(sample: @autoclosure () -> [[UInt8]]) throws(StorageError) -> ShardMap {
    let shards = shards
    switch kind {
    case "slots": return try ShardMap(shards, .slots(SlotRouter(shards).owners))
    case "range":
      let ranges = try RangeRouter.even(shards, over: sample())
      return try ShardMap(
        shards, .ranges(boundaries: ranges.boundaries, owners: ranges.owners))
    case "directory":
      return try ShardMap(
        shards, .directory(tenants, part, fallback: hashed(fallback)))
    case "geo":
      return try ShardMap(
        shards,
        .geo(
          GeoPlacement(
            regions: regions, rules: rules, assignments: assignments, cellLength: cellLength)))
    default: return try ShardMap(shards, hashed(kind))
    }
  }

  private func hashed(_ kind: String) -> Placement {
    switch kind {
    case "modulo": .modulo(part)
    case "jump": .jump(part)
    case "rendezvous": .rendezvous(part)
    default: .ring(virtualNodes: virtualNodes, part)
    }
  }
}
