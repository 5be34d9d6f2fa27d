import ArgumentParser
import StorageLab

struct ShardCrashCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "crash",
    abstract:
      "Crash a cluster at every I/O call of its migrations, and see whether anything is lost.",
    discussion: """
      As `labctl crash`, of a cluster in memory that is written to while it migrates: a shard comes, one \
      goes, a range is split, ranges are merged, a tenant moves, modulo reshuffles. Each fork of the \
      medium is opened, every key held against what was acknowledged, and the migration goes on or back, \
      is crashed again, and ends with every key on its shard and nothing left anywhere else. Beside the \
      crashes migrations are turned back after every one of their steps.

      Something lost is printed as the smallest program that loses it, which --replay runs again.

      Exit code 0: nothing was lost, doubled or left behind; 1: something was.

      Examples:
        labctl shard crash --engine btree --points 300
        labctl shard crash --engine lsm --points 200 --durability interval:50 --seed 7 --json
        labctl shard crash --engine lsm --replay lost.script
      """)

  @OptionGroup var search: CrashSearchOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    var runner = try ClusterRunner(try search.entry())
    let name = runner.engine.name
    if let durability = search.durability { runner.durability = durability }
    if let replay = search.replay {
      return try search.rerun(replay, name, output) { (schedule) throws(ProgramFailure) in
        try runner.run(schedule)
      }
    }
    var explorer = MigrationExplorer(runner, seed: search.seed)
    explorer.maximumDepth = search.depth
    if let durability = search.durability { explorer.durabilities = [durability] }
    try search.search(
      "shard crash", name, output, { explorer.explore(points: search.points, proceeds: $0) }
    ) { $0.shrunk(runner) }
  }
}
