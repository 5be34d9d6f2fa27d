/// What random programs found, with the shortest program that shows it.
public struct ProgramsFailure: Error, Sendable, CustomStringConvertible {
  public let failure: ProgramFailure
  /// The seed that makes the original program.
  public let seed: UInt64
  /// In the form of the project's scripts: `OperationProgram(parsing:)` reads it.
  public let script: String

  public var description: String {
    "\(failure)\nprogram of seed \(seed); smallest script:\n\n\(script)"
  }
}

extension Conformance {
  /// Runs `count` random programs, crashes and restarts among their operations, in lock-step with the
  /// memory engine. Everything follows from `seed`. Throws the first difference, its program shrunken.
  ///
  /// `fillsDevice` lets the device run full in between. Only for engines that do all I/O through
  /// `EngineOptions.fileSystem`.
  public static func checkPrograms(
    _ engine: EngineRegistry.Entry, _ durability: Durability = .commit, count: Int, seed: UInt64,
    fillsDevice: Bool = false
  ) throws(ProgramsFailure) {
    var runner = ProgramRunner(engine)
    runner.durability = durability
    for index in 0..<UInt64(max(0, count)) {
      let seed = Hash64.hash(seed &+ index) % 1_000_000_007
      // Mostly short programs: they find most, and shrink fast.
      let program = ProgramGenerator.program(
        seed: seed, length: index % 10 == 9 ? 400 : 60, fillsDevice: fillsDevice)
      do throws(ProgramFailure) { try runner.run(program) } catch {
        throw shrunken(error, program, seed, runner)
      }
    }
  }

  private static func shrunken(
    _ failure: ProgramFailure, _ program: OperationProgram, _ seed: UInt64, _ runner: ProgramRunner
  ) -> ProgramsFailure {
    var whole = program
    whole.durability = runner.durability
    let (script, last) = runner.smallest(whole) ?? (whole, failure)
    return ProgramsFailure(failure: last, seed: seed, script: "\(script)")
  }

  /// Crashes the engine at `points` distinct I/O calls of random programs and of the recoveries from
  /// these crashes (`CrashExplorer`). Throws the first loss, its schedule shrunken. Only for engines
  /// that do all I/O through `EngineOptions.fileSystem`.
  public static func checkCrashes(
    _ engine: EngineRegistry.Entry, _ durabilities: [Durability] = Durability.classes,
    points: Int, seed: UInt64
  ) throws(ProgramsFailure) {
    let explorer = CrashExplorer(ProgramRunner(engine), seed: seed, durabilities: durabilities)
    guard let loss = explorer.explore(points: points).loss else { return }
    let (script, last) = loss.shrunk(explorer.runner) ?? (loss.schedule, loss.failure)
    throw ProgramsFailure(failure: last, seed: seed, script: "\(script)")
  }
}
