import ArgumentParser
import StorageLab

struct ShardVerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Check that each key of a cluster is on its shard and on no other.",
    discussion: """
      Has every shard's engine verify itself, then looks at every key: it is to be on the shard that \
      owns it by the map in force. While a migration is under way, keys may be on two shards; they are \
      counted and are no problem. Exit code 0: sound; 1: problems found.

      Examples:
        labctl shard rebalance --keys 2000 --around 0.1 --keep /tmp/cluster
        labctl shard verify /tmp/cluster
        labctl shard verify /tmp/cluster --json
      """)

  @Argument(help: "The cluster's directory.")
  var path: String
  @OptionGroup var output: OutputOptions

  private struct Report: Encodable {
    struct ShardReport: Encodable {
      let shard: ShardID
      let keys: Int
      let problems: [String]
    }
    struct Stray: Encodable {
      let key: JSONBytes
      let shard: ShardID
      let owner: ShardID
    }
    let isSound: Bool
    let epoch: UInt64
    let phase: String?
    let shards: [ShardReport]
    let strayCount: Int
    let duplicateCount: Int
    let strays: [Stray]
  }

  func run() throws {
    var options = EngineOptions(path: path)
    options.createIfMissing = false
    let cluster = try Cluster.openExisting(options, Labctl.engines)
    let found = try cluster.verify()
    let report = Report(
      isSound: found.isSound, epoch: cluster.map.epoch, phase: found.phase?.name,
      shards: found.keys.sorted { $0.key < $1.key }.map { shard, keys in
        .init(
          shard: shard, keys: keys,
          problems: (found.problems[shard] ?? []).map {
            "\($0.message) [\($0.path) at byte \($0.offset)]"
          })
      }, strayCount: found.strayCount, duplicateCount: found.duplicateCount,
      strays: found.strays.map { .init(key: JSONBytes($0.key), shard: $0.shard, owner: $0.owner) })
    try cluster.close()
    if output.json {
      try JSON.print(report)
    } else {
      show(report, found)
    }
    if !report.isSound { throw ExitStatus.difference.exitCode }
  }

  private func show(_ report: Report, _ found: ClusterVerification) {
    for shard in report.shards {
      Terminal.output("\(shard.shard): \(shard.keys) keys\n")
      for problem in shard.problems { Terminal.output("  \(problem)\n") }
    }
    for stray in found.strays.prefix(10) {
      Terminal.output(
        "'\(printable(stray.key))' is on \(stray.shard) and belongs to \(stray.owner)\n")
    }
    if let phase = report.phase { Terminal.output("a migration is under way: \(phase)\n") }
    let keys = report.shards.reduce(0) { $0 + $1.keys }
    let problems = report.shards.reduce(0) { $0 + $1.problems.count }
    let verdict =
      report.isSound
      ? Terminal.styled("sound", .green)
      : Terminal.styled("\(problems + report.strayCount) problems", .red)
    Terminal.output(
      "epoch \(report.epoch): \(keys) keys on their shards, \(report.strayCount) elsewhere, "
        + "\(report.duplicateCount) of these twice: \(verdict)\n")
  }
}
