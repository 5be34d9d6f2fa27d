/// The exploration under way: forks worlds and judges them, depth first.
final class CrashSearch: @unchecked Sendable {
  private let explorer: CrashExplorer
  private let wanted: Int
  private(set) var summary = CrashExplorer.Summary()
  /// What was tried of the present program: the medium's bytes and what was promised.
  private var seen: Set<UInt64> = []

  var isDone: Bool { summary.loss != nil || summary.points >= wanted }

  init(_ explorer: CrashExplorer, points: Int) {
    self.explorer = explorer
    wanted = points
  }

  /// What leads to a world: the crashes so far and the steps that were performed, the last of them
  /// perhaps not to its end.
  private struct Trail {
    var crashes: [ProgramOperation] = []
    var steps: [OperationProgram.Step] = []
    var seed: UInt64
    /// Tells the world from others.
    var world: UInt64 = 0

    var depth: Int { crashes.count }
  }

  /// Runs a program and crashes it at each of its calls.
  func run(_ number: UInt64) {
    let (program, runner) = explorer.run(number)
    summary.programs += 1
    if explorer.program == nil { seen.removeAll(keepingCapacity: true) }
    let seed = Hash64.hash(explorer.seed ^ Hash64.hash(number))
    let trail = Trail(seed: seed)
    do throws(ProgramFailure) {
      var run = try ProgramRun(runner, durability: runner.durability)
      let ledger = run.ledger
      run.fileSystem.onCall { [self, unowned fileSystem = run.fileSystem] (call) in
        summary.calls += 1
        for way in 0..<CrashSearch.ways where !isDone {
          var random = SeededRandom(seed: seed &+ UInt64(call.index) &* 64 &+ UInt64(way))
          let mode = CrashSearch.mode(way, &random)
          crash(fileSystem, at: call, mode, ledger, runner, trail, program.steps, &random)
        }
      }
      try run.perform(program.steps) { !isDone }
    } catch {
      // Without any crash.
      note(error, Trail(steps: program.steps, seed: seed), runner)
    }
  }

  // MARK: Ways to crash

  static let ways = 4

  static func mode(_ way: Int, _ random: inout SeededRandom) -> CrashMode {
    let seed = UInt64(random.below(1_000_000_000))
    switch way {
    case 0: return .loseEverythingUnsynced
    case 1: return .keepEverything
    case 2: return .keepParts(.all, seed: seed)
    default:
      let bits = UInt8(1 + random.below(Int(CrashWeaknesses.all.rawValue)))
      return .keepParts(CrashWeaknesses(rawValue: bits), seed: seed)
    }
  }

  /// Forks the world before `call` and judges what is there; `steps` are those that the world was
  /// performing, up to the ledger's.
  private func crash(
    _ fileSystem: MemoryFileSystem, at call: MemoryFileSystem.Call, _ mode: CrashMode,
    _ ledger: ProgramRun.Ledger, _ runner: ProgramRunner, _ trail: Trail,
    _ steps: [OperationProgram.Step], _ random: inout SeededRandom
  ) {
    let mode = runner.effective(mode, ledger.history.durability)
    let wreck = ProgramRun.Wreck(
      fileSystem: fileSystem.afterCrash(mode), mode: mode, time: ledger.clock.now)
    let promise =
      UInt64(ledger.history.allowed.count) << 32 | UInt64(ledger.index) << 2
      | (ledger.inFlight == nil ? 0 : 2) | (mode == .keepEverything ? 1 : 0)
    let world = Hash64.hash(
      wreck.fileSystem.fingerprint &+ Hash64.hash(promise &+ Hash64.hash(trail.world)))
    guard seen.insert(world).inserted else {
      summary.repeated += 1
      return
    }
    var next = trail
    next.world = world
    next.crashes.append(.crashAfter(calls: call.index, mode))
    if ledger.isWorking { next.steps += steps.prefix(ledger.index + 1) }
    next.seed = random.next()
    count(next.depth, ledger.history.durability)
    recover(wreck, ledger, runner, next)
  }

  private func count(_ depth: Int, _ durability: Durability) {
    while summary.pointsByDepth.count < depth { summary.pointsByDepth.append(0) }
    summary.pointsByDepth[depth - 1] += 1
    summary.pointsByDurability[durability.description, default: 0] += 1
  }

  /// Recovers, judges, works on, and crashes one of these calls in turn.
  private func recover(
    _ wreck: ProgramRun.Wreck, _ ledger: ProgramRun.Ledger, _ runner: ProgramRunner, _ trail: Trail
  ) {
    var random = SeededRandom(seed: trail.seed)
    var work = ProgramGenerator.program(
      seed: UInt64(random.below(1_000_000_000)), length: explorer.workAfterCrash,
      merges: runner.mergeOperator != nil, crashes: false
    ).steps
    if random.chance(0.25) { work.append(.init(.reopen)) }
    var done = trail
    do throws(ProgramFailure) {
      var run = try ProgramRun(runner, after: ledger, on: wreck.fileSystem)
      if trail.depth < explorer.maximumDepth, random.chance(trail.depth == 1 ? 0.7 : 0.5) {
        // Recovery comes first and is what is to be crashed; now and then the work after it.
        let target = 1 + random.below(random.chance(0.7) ? 10 : 60)
        let mode = CrashSearch.mode(random.below(CrashSearch.ways), &random)
        let draws = random.split(1)
        wreck.fileSystem.onCall {
          [self, work, unowned fileSystem = wreck.fileSystem, ledger = run.ledger] (call) in
          guard call.index == target, !isDone else { return }
          var draws = draws
          crash(fileSystem, at: call, mode, ledger, runner, trail, work, &draws)
        }
      }
      try run.recover(wreck, inFlight: ledger.inFlight)
      done.steps += work
      try run.perform(work) { !isDone }
    } catch {
      note(error, done, runner)
    }
  }

  private func note(_ failure: ProgramFailure, _ trail: Trail, _ runner: ProgramRunner) {
    guard summary.loss == nil else { return }
    let steps = trail.crashes.map { OperationProgram.Step($0) } + trail.steps
    summary.loss = CrashLoss(
      failure: failure,
      schedule: OperationProgram(
        durability: runner.durability, cacheBytes: runner.cacheBytes, steps))
  }
}
