import ArgumentParser
import Foundation
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
      is crashed again, and ends with every key on its shard and nothing left anywhere else.

      Exit code 0: nothing was lost, doubled or left behind; 1: something was.

      Examples:
        labctl shard crash --engine btree --points 300
        labctl shard crash --engine lsm --points 200 --durability process --seed 7 --json
      """)

  @Option(help: "The engine of the shards, or a variant of it as NAME:VARIANT.")
  var engine: String
  @Option(help: "Seed of programs and crashes.")
  var seed: UInt64 = 1
  @Option(help: "Distinct crash points to try.")
  var points = 10_000
  @Option(help: "One class: none, process or commit. Default: all in turn.")
  var durability: Durability?
  @Option(help: "Crashes in a row: 1 never crashes a recovery.")
  var depth = 3
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if points < 1 { throw ValidationError("--points is at least 1.") }
    if !(1...10).contains(depth) { throw ValidationError("--depth is 1 to 10.") }
    if case .interval = durability {
      throw ValidationError("Class interval is judged by `labctl crash`, an engine at a time.")
    }
  }

  private struct Report: Encodable {
    struct Loss: Encodable {
      let failure: String
      let move: String
      let durability: String
      let program: UInt64
      let crashes: [String]
    }
    let engine: String
    let seed: UInt64
    let points: Int
    let pointsByDepth: [Int]
    let pointsByPhase: [String: Int]
    let pointsByMove: [String: Int]
    let pointsByDurability: [String: Int]
    let repeated: Int
    let programs: Int
    let calls: Int
    let seconds: Double
    let loss: Loss?
  }

  func run() throws {
    let entry = try CrashCommand.entry(engine)
    var explorer = try MigrationExplorer(entry, seed: seed)
    explorer.maximumDepth = depth
    if let durability { explorer.durabilities = [durability] }
    let start = ContinuousClock.now
    var progress = ProgressLine("crash")
    let summary = explorer.explore(points: points) { summary in
      progress.update(Double(summary.points) / Double(points), "\(summary.points) points")
      return true
    }
    progress.finish()
    let report = Report(
      engine: entry.name, seed: seed, points: summary.points, pointsByDepth: summary.pointsByDepth,
      pointsByPhase: summary.pointsByPhase, pointsByMove: summary.pointsByMove,
      pointsByDurability: summary.pointsByDurability, repeated: summary.repeated,
      programs: summary.programs, calls: summary.calls,
      seconds: Double((ContinuousClock.now - start) / .nanoseconds(1)) / 1e9,
      loss: summary.loss.map {
        .init(
          failure: $0.failure.description, move: $0.move, durability: $0.durability,
          program: $0.program, crashes: $0.crashes)
      })
    if output.json { try JSON.print(report) } else { show(report) }
    if report.loss != nil { throw ExitStatus.difference.exitCode }
  }

  private func show(_ report: Report) {
    func list(_ counts: [String: Int]) -> String {
      counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { "\($0.key) \($0.value)" }
        .joined(separator: ", ")
    }
    let depths = report.pointsByDepth.map(String.init).joined(separator: " + ")
    Terminal.output(
      """
      \(report.engine), seed \(report.seed): \(report.points) crash points of migrations \
      (\(depths) by crashes in a row) in \(report.programs) programs, \(report.calls) I/O calls, \
      \(String(format: "%.1f", report.seconds)) s
      by phase: \(list(report.pointsByPhase))
      by move: \(list(report.pointsByMove))
      by class: \(list(report.pointsByDurability))

      """)
    guard let loss = report.loss else {
      return Terminal.output(
        Terminal.styled("nothing was lost, doubled or left behind", .green) + "\n")
    }
    Terminal.output(
      Terminal.styled("LOST", .red)
        + ": \(loss.failure)\n\(loss.move), class \(loss.durability), program \(loss.program); "
        + "the same seed finds it again\n")
    for crash in loss.crashes { Terminal.output("  crash at \(crash)\n") }
  }
}
