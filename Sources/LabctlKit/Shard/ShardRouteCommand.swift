import ArgumentParser
import StorageLab

struct ShardRouteCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "route",
    abstract: "Print the number of the shard of each key from standard input, one a line.",
    discussion: """
      Routers: \(PlacementText.known); or the file of a map that `shard map` wrote. Ranges are even \
      over the keys that `simulate` makes. Keys of places begin with a country and a geohash, or @ \
      and degrees: DE/u281z7hq/berlin, @52.52,13.41/berlin.

      Examples:
        labctl shard route --router ring:10 < /tmp/books.tsv
        printf 'foo\\nbar\\n' | labctl shard route --router ring:10
        printf '666f6f\\n' | labctl shard route --router slots:3 --hex
        printf 'DE/u281z7hq/berlin\\n' | labctl shard route --router geo:6,rules=DE@eu
      """)

  @Option(help: "The router, such as ring:10, or a map's file.")
  var router: String
  @OptionGroup var lines: KeyLineOptions
  @OptionGroup var output: OutputOptions

  private struct Result: Encodable {
    let router: String
    let shards: [UInt32]
  }

  func run() throws {
    let sample = PlacementSimulation(keys: 100_000, seed: 42)
    let map = try ShardMapArgument.map(router, sample: sample.sample(100_000))
    let made = try map.router()
    var shards: [UInt32] = []
    try KeyLines(isHex: lines.hex, isQuiet: output.json).forEach { key in
      let shard = made.shard(of: key).rawValue
      if output.json { shards.append(shard) }
      return "\(shard)"
    }
    if output.json { try JSON.print(Result(router: map.placement.kind, shards: shards)) }
  }
}
