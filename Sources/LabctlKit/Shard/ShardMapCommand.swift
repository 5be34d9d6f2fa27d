import ArgumentParser
import StorageLab

struct ShardMapCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "map",
    abstract: "Make, show, change and check files with shard maps.",
    discussion: """
      A map's file is docs/formats/shard-map.md byte by byte: versioned, with a checksum, and the \
      same map is always the same bytes.

      Examples:
        labctl shard map make ring:10 --output /tmp/ten.map
        labctl shard map show /tmp/ten.map
        labctl shard map next /tmp/ten.map --add 1 --output /tmp/eleven.map
        labctl shard map check /tmp/eleven.map
      """,
    subcommands: [
      ShardMapMakeCommand.self, ShardMapShowCommand.self, ShardMapNextCommand.self,
      ShardMapCheckCommand.self,
    ])
}

/// What `map` prints of a map.
struct ShardMapView: Encodable {
  struct Entry: Encodable {
    let id: UInt32
    let weight: Double
    let region: String?
    /// Of a ring its points, of slots, ranges and tenants how many it has.
    let pieces: Int?
    /// Of the ring or the slots; absent where that follows from the keys.
    let share: Double?
  }

  let epoch: UInt64
  let placement: String
  let formatVersion: Int
  let bytes: Int
  let checksum: String
  let shards: [Entry]

  init(_ map: ShardMap) throws(StorageError) {
    let encoded = map.encoded
    epoch = map.epoch
    placement = map.placement.kind
    formatVersion = Int(encoded[8])
    bytes = encoded.count
    checksum = Hex.encode(Array(encoded.suffix(4).reversed()))
    let router = try map.router()
    var pieces: [ShardID: Int] = [:]
    var shares: [ShardID: Double]?
    func count(_ owners: [ShardID]) { for owner in owners { pieces[owner, default: 0] += 1 } }
    switch map.placement {
    case .slots(let owners):
      count(owners)
      shares = pieces.mapValues { Double($0) / Double(owners.count) }
    case .ranges(_, let owners): count(owners)
    case .directory(let entries, _, _): count(entries.map(\.shard))
    case .ring:
      if let ring = router as? RingRouter {
        count(ring.pointOwners)
        shares = Dictionary(
          zip(map.shards.map(\.id), ring.shares), uniquingKeysWith: { first, _ in first })
      }
    default: break
    }
    let hasPieces = !pieces.isEmpty
    shards = map.shards.map { shard in
      Entry(
        id: shard.id.rawValue, weight: shard.weight, region: shard.region,
        pieces: hasPieces ? pieces[shard.id] ?? 0 : nil, share: shares.map { $0[shard.id] ?? 0 })
    }
  }

  func show() {
    Terminal.output(
      "epoch \(epoch), \(placement), \(shards.count) shards, \(bytes) bytes, format version "
        + "\(formatVersion), CRC-32C \(checksum)\n")
    var table = TextTable(["shard", "weight", "region", "pieces", "share"], alignRight: [1, 3, 4])
    for shard in shards {
      table.row([
        "s\(shard.id)", Figure(shard.weight).text(), shard.region ?? "–",
        shard.pieces.map { "\($0)" } ?? "–", shard.share.map { Figure($0).text(.percent) } ?? "–",
      ])
    }
    Terminal.output(table.text)
  }
}

/// Where a command that makes a map leaves it.
struct ShardMapOutput: ParsableArguments {
  @Option(name: [.short, .long], help: "Write the map to this file; an older one is replaced.")
  var output: String?
  @Flag(help: "Print the map's bytes as hexadecimal digits.")
  var hex = false

  func finish(_ map: ShardMap, _ format: OutputOptions) throws {
    let bytes = map.encoded
    if let output { try WholeFile.write(bytes, to: output) }
    if format.json { return try JSON.print(try ShardMapView(map)) }
    if hex { return Terminal.output(Hex.encode(bytes) + "\n") }
    try ShardMapView(map).show()
  }
}

struct ShardMapMakeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "make",
    abstract: "Make the first map of a router.",
    discussion: """
      Routers: \(PlacementText.known).

      Examples:
        labctl shard map make slots:3
        labctl shard map make directory:4,tenants=whale@3 --hex
        labctl shard map make geo:6,regions=us/eu/ap,rules=DE@eu/FR@eu --output /tmp/geo.map
        labctl shard map make range:4 --data cities --json
      """)

  @Argument(help: "The router, such as ring:10.")
  var router: String
  @OptionGroup var keys: ShardKeyOptions
  @OptionGroup var target: ShardMapOutput
  @OptionGroup var format: OutputOptions

  func run() throws {
    let keys = try keys.placementKeys()
    try target.finish(try PlacementText(router).map(sample: keys.sample(100_000)), format)
  }
}

struct ShardMapShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "Print a map's epoch, shards and what each has.",
    discussion: """
      Examples:
        labctl shard map make ring:10 --output /tmp/ten.map
        labctl shard map show /tmp/ten.map
        labctl shard map show /tmp/ten.map --hex
      """)

  @Argument(help: "The map's file.")
  var file: String
  @Flag(help: "Print the map's bytes as hexadecimal digits.")
  var hex = false
  @OptionGroup var format: OutputOptions

  func run() throws {
    let map = try ShardMapArgument.read(file)
    if format.json { return try JSON.print(try ShardMapView(map)) }
    if hex { return Terminal.output(Hex.encode(map.encoded) + "\n") }
    try ShardMapView(map).show()
  }
}

struct ShardMapNextCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "next",
    abstract: "Make the map that follows when shards come or go.",
    discussion: """
      Slots and ranges move as little as they must; ranges are balanced over the keys that the key \
      options name. A map that would break a residency rule is refused.

      Examples:
        labctl shard map make ring:10 --output /tmp/ten.map
        labctl shard map next /tmp/ten.map --add 2 --output /tmp/twelve.map
        labctl shard map next /tmp/twelve.map --remove 3 --json
      """)

  @Argument(help: "The map's file.")
  var file: String
  @Option(help: "Shards that come, with the next free numbers.")
  var add = 0
  @Option(help: "Weight of the shards that come.")
  var weight = 1.0
  @Option(help: "Region of the shards that come.")
  var region: String?
  @Option(help: "Number of a shard that goes; may be given several times.")
  var remove: [UInt32] = []
  @OptionGroup var keys: ShardKeyOptions
  @OptionGroup var target: ShardMapOutput
  @OptionGroup var format: OutputOptions

  func validate() throws {
    if add == 0 && remove.isEmpty { throw ValidationError("Say --add or --remove.") }
    if !(0...100_000).contains(add) { throw ValidationError("--add lies between 0 and 100,000.") }
  }

  func run() throws {
    let map = try ShardMapArgument.read(file)
    for number in remove where !map.shards.contains(where: { $0.id.rawValue == number }) {
      throw StorageError(.invalidArgument, "the map has no shard s\(number)", path: file)
    }
    let highest = map.shards.map(\.id.rawValue).max() ?? 0
    guard UInt64(highest) + UInt64(add) <= UInt64(UInt32.max) else {
      throw StorageError(.invalidArgument, "there are no numbers left for \(add) shards")
    }
    let coming = (0..<UInt32(add)).map {
      Shard(ShardID(highest + 1 + $0), weight: weight, region: region)
    }
    let shards = map.shards.filter { !remove.contains($0.id.rawValue) } + coming
    let keys = try keys.placementKeys()
    try target.finish(try map.next(shards, sample: keys.sample(100_000)), format)
  }
}

struct ShardMapCheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Check a map's bytes, and with --data that no key lies where a rule forbids it.",
    discussion: """
      Ends with code 5 when the file is damaged, 4 when it is of a newer version, 1 when a key lies \
      where it may not.

      Examples:
        labctl shard map make geo:6,regions=us/eu/ap,rules=DE@eu --output /tmp/geo.map
        labctl shard map check /tmp/geo.map
        labctl shard map check /tmp/geo.map --data cities
      """)

  @Argument(help: "The map's file.")
  var file: String
  @Option(help: "Keys of places to check against residency rules: cities or airports.")
  var data: String?
  @OptionGroup var location: DatasetOptions
  @OptionGroup var format: OutputOptions

  private static func rules(_ placement: Placement) -> [ResidencyRule] {
    switch placement {
    case .geo(let geo): geo.rules
    case .directory(_, _, let fallback): rules(fallback)
    default: []
    }
  }

  private struct Result: Encodable {
    let epoch: UInt64
    let placement: String
    let shards: Int
    let bytes: Int
    let rules: Int
    /// Keys that were checked, and those that lie where a rule forbids it.
    let keys: Int
    let violations: Int
  }

  func run() throws {
    let map = try ShardMapArgument.read(file)
    let rules = ShardMapCheckCommand.rules(map.placement)
    var keys = 0
    var violations = 0
    if let data {
      let records = try GeoRecord.read(try location.library().table(data))
      keys = records.count
      violations = try ResidencyRules(rules).violations(records.map(\.key), in: map)
    }
    if format.json {
      try JSON.print(
        Result(
          epoch: map.epoch, placement: map.placement.kind, shards: map.shards.count,
          bytes: map.encoded.count, rules: rules.count, keys: keys, violations: violations))
    } else {
      Terminal.output(
        "sound: epoch \(map.epoch), \(map.placement.kind), \(map.shards.count) shards, "
          + "\(rules.count) residency rules\n")
      if data != nil { Terminal.output("\(violations) of \(keys) keys lie where they may not\n") }
    }
    if violations > 0 { throw ExitStatus.difference.exitCode }
  }
}
