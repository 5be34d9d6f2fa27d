import ArgumentParser
import Foundation
import StorageLab

struct BenchSelfCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "aa",
    abstract: "Compare an engine with itself: what is noise on this machine?",
    discussion: """
      Each comparison runs the engine beside its twin on databases of their own. A verdict that \
      claims a difference is false; at 99 % confidence one of a hundred is to be expected.

      Examples:
        labctl bench aa
        labctl bench aa --engine btree --workload readrandom --comparisons 20 --busy 2
        labctl bench aa --rounds 3 --warm-up 0
      """)

  @Option(help: "The engine.")
  var engine = "lsm"
  @Option(help: "The workload.")
  var workload = "ycsb-a"
  @Option(help: "Comparisons.")
  var comparisons = 20
  @Option(help: "Threads that keep the processors busy beside.")
  var busy = 0
  @Option(help: "Records.")
  var records = 50_000
  @Option(help: "Requests of a round.")
  var operations = 100_000
  @Option(help: "Rounds of a comparison.")
  var rounds = 5
  @Option(help: "Rounds before them that do not count, of a fourth of the requests.")
  var warmUp = 1
  @Option(help: "Seed of the first comparison; the next ones count on.")
  var seed: UInt64 = 1
  @Option(help: "Where the databases are made and removed again; default: the temporary directory.")
  var dir: String?
  @OptionGroup var output: OutputOptions

  func run() throws {
    var configuration = BenchConfiguration()
    configuration.workloads = [workload.lowercased()]
    configuration.records = records
    configuration.operations = operations
    configuration.rounds = rounds
    configuration.warmUp = warmUp
    configuration.seed = seed
    configuration.engines = [engine]
    try configuration.validate()
    let run = try BenchEnvironmentOfRun(dir: dir, label: "aa")
    let result = try run.measure { environment, startedAt in
      try SelfComparison.run(
        engine, count: comparisons, busyThreads: busy, configuration, registry: Labctl.engines,
        environment: environment, startedAt: startedAt)
    }
    if output.json {
      struct Result: Encodable {
        let result: SelfComparison
        let falseDifferences: Int
        let noiseFloor: Double
        let resolution: Double
      }
      try JSON.print(
        Result(
          result: result, falseDifferences: result.falseDifferences,
          noiseFloor: result.noiseFloor, resolution: result.resolution))
    } else {
      Terminal.output(ComparisonReport.render(result))
    }
    try run.endInterrupted()
  }
}
