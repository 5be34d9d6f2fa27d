import ArgumentParser
import StorageLab

struct ShardRouteCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "route",
    abstract: "Print the number of the shard of each key from standard input, one a line.",
    discussion: """
      Routers: \(PlacementText.known). Ranges are even over the keys that `simulate` makes.

      Examples:
        labctl shard route --router ring:10 < /tmp/books.tsv
        printf 'foo\\nbar\\n' | labctl shard route --router ring:10
        printf '666f6f\\n' | labctl shard route --router slots:3 --hex
      """)

  @Option(help: "The router, such as ring:10.")
  var router: PlacementText
  @OptionGroup var lines: KeyLineOptions
  @OptionGroup var output: OutputOptions

  private struct Result: Encodable {
    let router: String
    let shards: [UInt32]
  }

  func run() throws {
    let sample = PlacementSimulation(keys: 100_000, seed: 42)
    let made = try router.map(sample: sample.sample(100_000)).router()
    var shards: [UInt32] = []
    try KeyLines(isHex: lines.hex, isQuiet: output.json).forEach { key in
      let shard = made.shard(of: key).rawValue
      if output.json { shards.append(shard) }
      return "\(shard)"
    }
    if output.json { try JSON.print(Result(router: router.kind, shards: shards)) }
  }
}
