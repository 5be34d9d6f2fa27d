import ArgumentParser
import Foundation
import StorageLab

struct CrashCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "crash",
    abstract: "Crash an engine at every I/O call of its work, and see whether anything is lost.",
    discussion: """
      Runs operation programs in memory. Before each I/O call the medium is forked as a power loss, as \
      a kill, and as media that keep half of what was not synced would leave it; each fork is opened, \
      held against what was acknowledged, verified, worked on, and crashed again while it recovers. \
      What each durability class must keep: docs/reliability.md.

      An engine with a variant `small` is tried in that, unless another is named: few writes then \
      flush, split and compact. Something lost is printed as the smallest program that loses it, \
      which --replay runs again.

      With --writers several threads write at once, and the engine flushes, merges and writes \
      checkpoints on threads of its own; what is lost then does not come again at will.

      Exit code 0: nothing was lost; 1: something was.

      Examples:
        labctl crash --engine lsm --points 500
        labctl crash --engine btree --points 200 --writers 4
        labctl crash --engine btree --points 300 --durability commit --seed 7
        labctl crash --engine lsm:small+tiered --points 200 --json
        labctl crash --engine lsm --program lost.script
        labctl crash --engine lsm --replay lost.script
      """)

  @OptionGroup var search: CrashSearchOptions
  @Option(help: "Threads that write, the engine's own beside them. Default: one, and no others.")
  var writers: Int?
  @Option(help: "Crash this program, in a file, instead of generated ones.")
  var program: String?
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if let writers, !(1...64).contains(writers) {
      throw ValidationError("--writers is 1 to 64.")
    }
    if writers != nil && (program != nil || search.replay != nil) {
      throw ValidationError("--writers has a load of its own: leave out --program and --replay.")
    }
    if program != nil && search.replay != nil {
      throw ValidationError("--replay has its program already: leave out --program.")
    }
  }

  func run() throws {
    var runner = ProgramRunner(try search.entry())
    let name = runner.engine.name
    if let replay = search.replay {
      if let durability = search.durability { runner.durability = durability }
      return try search.rerun(replay, name, output) { (schedule) throws(ProgramFailure) in
        try runner.run(schedule)
      }
    }
    if let writers { return try run(runner.engine, writers: writers) }
    var explorer = CrashExplorer(
      runner, seed: search.seed,
      durabilities: search.durability.map { [$0] } ?? Durability.classes)
    explorer.maximumDepth = search.depth
    explorer.program = try program.map { try CrashSearchOptions.script($0) }
    try search.search(
      "crash", name, output, { explorer.explore(points: search.points, proceeds: $0) }
    ) { $0.shrunk(runner) }
  }

  private func run(_ engine: EngineRegistry.Entry, writers: Int) throws {
    var crashes = ConcurrentCrashes(
      engine, seed: search.seed, durabilities: search.durability.map { [$0] } ?? Durability.classes)
    crashes.writers = writers
    let start = ContinuousClock.now
    var progress = ProgressLine("crash")
    let summary = try crashes.run(points: search.points) { summary in
      progress.update(Double(summary.points) / Double(search.points), "\(summary.points) points")
      return true
    }
    progress.finish()
    let seconds = Double((ContinuousClock.now - start) / .nanoseconds(1)) / 1e9
    let report = ConcurrentCrashReport(engine.name, search.seed, writers, summary, seconds)
    if output.json { try JSON.print(report) } else { Terminal.output(report.text) }
    if !summary.problems.isEmpty { throw ExitStatus.difference.exitCode }
  }
}

/// What `labctl crash --writers` found out.
private struct ConcurrentCrashReport: Encodable {
  let engine: String
  let seed: UInt64
  let writers: Int
  let points: Int
  let inBackground: Int
  let pointsByDurability: [String: Int]
  let databases: Int
  let acknowledged: Int
  let seconds: Double
  let problems: [String]

  init(
    _ engine: String, _ seed: UInt64, _ writers: Int, _ summary: ConcurrentCrashes.Summary,
    _ seconds: Double
  ) {
    self.engine = engine
    self.seed = seed
    self.writers = writers
    points = summary.points
    inBackground = summary.inBackground
    pointsByDurability = summary.pointsByDurability
    databases = summary.databases
    acknowledged = summary.acknowledged
    self.seconds = seconds
    problems = summary.problems
  }

  var text: String {
    let classes = pointsByDurability.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
    let text = """
      \(engine), seed \(seed), \(writers) writers: \(points) crash points, \(inBackground) at calls of \
      the engine's own threads
      \(databases) databases, \(acknowledged) acknowledged writes; by class: \
      \(classes.joined(separator: ", "))
      \(String(format: "%.1f", seconds)) s

      """
    guard !problems.isEmpty else {
      return text + Terminal.styled("nothing that was acknowledged was lost", .green) + "\n"
    }
    return problems.reduce(text) { $0 + Terminal.styled("LOST", .red) + ": \($1)\n" }
  }
}
