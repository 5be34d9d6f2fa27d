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

  @Option(help: "The engine, or a variant of it as NAME:VARIANT.")
  var engine: String
  @Option(help: "Seed of programs and crashes.")
  var seed: UInt64 = 1
  @Option(help: "Distinct crash points to try.")
  var points = 10_000
  @Option(help: "One class: none, process, interval[:MS] or commit. Default: all in turn.")
  var durability: Durability?
  @Option(help: "Crashes in a row: 1 never crashes a recovery.")
  var depth = 3
  @Option(help: "Threads that write, the engine's own beside them. Default: one, and no others.")
  var writers: Int?
  @Option(help: "Crash this program, in a file, instead of generated ones.")
  var program: String?
  @Option(help: "Run a losing schedule, in a file, once more, and crash only where it says.")
  var replay: String?
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if points < 1 { throw ValidationError("--points is at least 1.") }
    if !(1...10).contains(depth) { throw ValidationError("--depth is 1 to 10.") }
    if let writers, !(1...64).contains(writers) {
      throw ValidationError("--writers is 1 to 64.")
    }
    if writers != nil && (program != nil || replay != nil) {
      throw ValidationError("--writers has a load of its own: leave out --program and --replay.")
    }
    if program != nil && replay != nil {
      throw ValidationError("--replay has its program already: leave out --program.")
    }
  }

  func run() throws {
    let runner = ProgramRunner(try CrashCommand.entry(engine))
    if let replay { return try run(runner, once: try CrashCommand.script(replay)) }
    if let writers { return try run(runner.engine, writers: writers) }
    var explorer = CrashExplorer(
      runner, seed: seed, durabilities: durability.map { [$0] } ?? Durability.classes)
    explorer.maximumDepth = depth
    explorer.program = try program.map { try CrashCommand.script($0) }
    let start = ContinuousClock.now
    var progress = ProgressLine("crash")
    let summary = explorer.explore(points: points) { summary in
      progress.update(
        Double(summary.points) / Double(points), "\(summary.points) points")
      return true
    }
    progress.finish()
    let seconds = Double((ContinuousClock.now - start) / .nanoseconds(1)) / 1e9
    var smallest: (program: OperationProgram, failure: ProgramFailure)?
    if let loss = summary.loss {
      Terminal.note("something was lost: looking for the smallest schedule that loses it")
      smallest = loss.shrunk(runner)
    }
    let report = CrashReport(runner.engine.name, seed, summary, smallest, seconds)
    if output.json { try JSON.print(report) } else { Terminal.output(report.text) }
    if summary.loss != nil { throw ExitStatus.difference.exitCode }
  }

  private func run(_ engine: EngineRegistry.Entry, writers: Int) throws {
    var crashes = ConcurrentCrashes(
      engine, seed: seed, durabilities: durability.map { [$0] } ?? Durability.classes)
    crashes.writers = writers
    let start = ContinuousClock.now
    var progress = ProgressLine("crash")
    let summary = try crashes.run(points: points) { summary in
      progress.update(Double(summary.points) / Double(points), "\(summary.points) points")
      return true
    }
    progress.finish()
    let seconds = Double((ContinuousClock.now - start) / .nanoseconds(1)) / 1e9
    let report = ConcurrentCrashReport(engine.name, seed, writers, summary, seconds)
    if output.json { try JSON.print(report) } else { Terminal.output(report.text) }
    if !summary.problems.isEmpty { throw ExitStatus.difference.exitCode }
  }

  /// Runs a schedule as it stands.
  private func run(_ runner: ProgramRunner, once schedule: OperationProgram) throws {
    var runner = runner
    if let durability { runner.durability = durability }
    var failure: ProgramFailure?
    var struck = 0
    do throws(ProgramFailure) { struck = try runner.run(schedule) } catch { failure = error }
    if output.json {
      struct Result: Encodable {
        let engine: String
        let failure: String?
      }
      try JSON.print(Result(engine: runner.engine.name, failure: failure?.description))
    } else if let failure {
      Terminal.output("\(Terminal.styled("lost", .red)): \(failure)\n")
    } else {
      Terminal.output(
        "\(runner.engine.name): \(Terminal.styled("nothing was lost", .green)); "
          + "crashes that struck: \(struck)\n")
    }
    if failure != nil { throw ExitStatus.difference.exitCode }
  }

  /// The engine as it is crashed. Errors: `unsupported` when that cannot be.
  static func entry(_ name: String) throws(StorageError) -> EngineRegistry.Entry {
    var entry = try Labctl.engines.entry(name)
    if !name.contains(":"), entry.variants.contains(where: { $0.name == "small" }) {
      entry = try Labctl.engines.entry(name + ":small")
    }
    guard entry.isPersistent else {
      throw StorageError(.unsupported, "\(name) keeps nothing that a crash could lose")
    }
    guard entry.countsIO else {
      throw StorageError(
        .unsupported, "\(name) does its own I/O: the plug cannot be pulled on it",
        remedy: "`labctl kill` kills processes of it")
    }
    return entry
  }

  static func script(_ path: String) throws -> OperationProgram {
    let file = try POSIXFileSystem().open(path, .read)
    let text = String(decoding: try file.readAll(limit: 16 << 20), as: UTF8.self)
    do throws(StorageError) { return try OperationProgram(parsing: text) } catch {
      throw StorageError(error.code, error.message, remedy: error.remedy, path: path)
    }
  }
}

/// What `labctl crash` found out.
private struct CrashReport: Encodable {
  struct Loss: Encodable {
    let failure: String
    let schedule: String
    /// False when the schedule does not lose anything when it is run again.
    let isReproducible: Bool
  }
  let engine: String
  let seed: UInt64
  let points: Int
  let pointsByDepth: [Int]
  let pointsByDurability: [String: Int]
  let repeated: Int
  let programs: Int
  let calls: Int
  let seconds: Double
  let loss: Loss?

  init(
    _ engine: String, _ seed: UInt64, _ summary: CrashExplorer.Summary,
    _ smallest: (program: OperationProgram, failure: ProgramFailure)?, _ seconds: Double
  ) {
    self.engine = engine
    self.seed = seed
    points = summary.points
    pointsByDepth = summary.pointsByDepth
    pointsByDurability = summary.pointsByDurability
    repeated = summary.repeated
    programs = summary.programs
    calls = summary.calls
    self.seconds = seconds
    loss = summary.loss.map { found in
      Loss(
        failure: (smallest?.failure ?? found.failure).description,
        schedule: (smallest?.program ?? found.schedule).description,
        isReproducible: smallest != nil)
    }
  }

  var text: String {
    let depths = pointsByDepth.enumerated().map { depth, count in
      switch depth {
      case 0: "\(count) of running programs"
      case 1: "\(count) of recoveries"
      case 2: "\(count) of recoveries from these"
      default: "\(count) deeper"
      }
    }
    let classes = pointsByDurability.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
    var text = """
      \(engine), seed \(seed): \(points) crash points, \(depths.joined(separator: ", "))
      \(programs) programs, \(calls) I/O calls; by class: \(classes.joined(separator: ", "))
      \(String(format: "%.1f", seconds)) s; \(repeated) crashes left what another had left

      """
    guard let loss else {
      return text + Terminal.styled("nothing that was acknowledged was lost", .green) + "\n"
    }
    text += Terminal.styled("LOST", .red) + ": \(loss.failure)\n"
    text +=
      loss.isReproducible
      ? "Kept in a file, `labctl crash --engine \(engine) --replay FILE` runs this again:\n\n"
      : "Run again, this schedule loses nothing: the engine's calls follow from more than it.\n\n"
    return text + loss.schedule
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
