import ArgumentParser
import Foundation
import StorageLab

/// What searches for crashes that lose something have in common.
struct CrashSearchOptions: ParsableArguments {
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
  @Option(help: "Run a losing schedule, in a file, once more, and crash only where it says.")
  var replay: String?

  func validate() throws {
    if points < 1 { throw ValidationError("--points is at least 1.") }
    if !(1...10).contains(depth) { throw ValidationError("--depth is 1 to 10.") }
  }

  /// The engine as it is crashed. Errors: `unsupported` when that cannot be.
  func entry() throws(StorageError) -> EngineRegistry.Entry {
    var entry = try Labctl.engines.entry(engine)
    if !engine.contains(":"), entry.variants.contains(where: { $0.name == "small" }) {
      entry = try Labctl.engines.entry(engine + ":small")
    }
    guard entry.isPersistent else {
      throw StorageError(.unsupported, "\(engine) keeps nothing that a crash could lose")
    }
    guard entry.countsIO else {
      throw StorageError(
        .unsupported, "\(engine) does its own I/O: the plug cannot be pulled on it",
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

  /// Searches, makes what was lost small, and prints what was found out. Ends with the exit code of a
  /// difference when something was lost.
  func search(
    _ command: String, _ engine: String, _ output: OutputOptions,
    _ explore: ((CrashExplorer.Summary) -> Bool) -> CrashExplorer.Summary,
    _ shrink: (CrashLoss) -> (program: OperationProgram, failure: ProgramFailure)?
  ) throws {
    let start = ContinuousClock.now
    var progress = ProgressLine("crash")
    let summary = explore { summary in
      progress.update(Double(summary.points) / Double(points), "\(summary.points) points")
      return true
    }
    progress.finish()
    let seconds = Double((ContinuousClock.now - start) / .nanoseconds(1)) / 1e9
    var smallest: (program: OperationProgram, failure: ProgramFailure)?
    if let loss = summary.loss {
      Terminal.note("something was lost: looking for the smallest schedule that loses it")
      smallest = shrink(loss)
    }
    let report = CrashReport(command, engine, seed, summary, smallest, seconds)
    if output.json { try JSON.print(report) } else { Terminal.output(report.text) }
    if summary.loss != nil { throw ExitStatus.difference.exitCode }
  }

  /// Runs a schedule as it stands, by `run`.
  func rerun(
    _ path: String, _ engine: String, _ output: OutputOptions,
    _ run: (OperationProgram) throws(ProgramFailure) -> Int
  ) throws {
    let schedule = try CrashSearchOptions.script(path)
    var failure: ProgramFailure?
    var struck = 0
    do throws(ProgramFailure) { struck = try run(schedule) } catch { failure = error }
    if output.json {
      struct Result: Encodable {
        let engine: String
        let failure: String?
      }
      try JSON.print(Result(engine: engine, failure: failure?.description))
    } else if let failure {
      Terminal.output("\(Terminal.styled("lost", .red)): \(failure)\n")
    } else {
      Terminal.output(
        "\(engine): \(Terminal.styled("nothing was lost", .green)); "
          + "crashes that struck: \(struck)\n")
    }
    if failure != nil { throw ExitStatus.difference.exitCode }
  }
}

/// What a search of crashes found out.
struct CrashReport: Encodable {
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
  /// Of migrations.
  let pointsByPhase: [String: Int]?
  let pointsByMove: [String: Int]?
  let aborts: [String: Int]?
  let repeated: Int
  let programs: Int
  let calls: Int
  let seconds: Double
  let loss: Loss?
  /// The command that replays.
  private let command: String

  private enum CodingKeys: String, CodingKey {
    case engine, seed, points, pointsByDepth, pointsByDurability, pointsByPhase, pointsByMove,
      aborts
    case repeated, programs, calls, seconds, loss
  }

  init(
    _ command: String, _ engine: String, _ seed: UInt64, _ summary: CrashExplorer.Summary,
    _ smallest: (program: OperationProgram, failure: ProgramFailure)?, _ seconds: Double
  ) {
    self.command = command
    self.engine = engine
    self.seed = seed
    func some(_ counts: [String: Int]) -> [String: Int]? { counts.isEmpty ? nil : counts }
    pointsByPhase = some(summary.pointsByPhase)
    pointsByMove = some(summary.pointsByMove)
    aborts = some(summary.aborts)
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

  private var nothingLost: String {
    pointsByMove == nil
      ? "nothing that was acknowledged was lost"
      : "nothing that was acknowledged was lost, doubled or left behind"
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
    func list(_ counts: [String: Int]) -> String {
      counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { "\($0.key) \($0.value)" }
        .joined(separator: ", ")
    }
    let classes = pointsByDurability.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
    var text = """
      \(engine), seed \(seed): \(points) crash points, \(depths.joined(separator: ", "))
      \(programs) programs, \(calls) I/O calls; by class: \(classes.joined(separator: ", "))
      \(String(format: "%.1f", seconds)) s; \(repeated) crashes left what another had left

      """
    if let pointsByPhase { text += "by phase: \(list(pointsByPhase))\n" }
    if let pointsByMove { text += "by move: \(list(pointsByMove))\n" }
    if let aborts {
      text += "turned back after \(aborts.values.reduce(0, +)) steps: \(list(aborts))\n"
    }
    guard let loss else {
      return text + Terminal.styled(nothingLost, .green) + "\n"
    }
    text += Terminal.styled("LOST", .red) + ": \(loss.failure)\n"
    text +=
      loss.isReproducible
      ? "Kept in a file, `labctl \(command) --engine \(engine) --replay FILE` runs this again:\n\n"
      : "Run again, this schedule loses nothing: the engine's calls follow from more than it.\n\n"
    return text + loss.schedule
  }
}
