/// The exploration under way: forks worlds and judges them, depth first.
final class CrashSearch<Subject: CrashSubject>: @unchecked Sendable {
  private let root: UInt64
  private let wanted: Int
  private let maximumDepth: Int
  var summary = CrashExplorer.Summary()
  /// What was tried of the present program: the medium's bytes and what was promised.
  private var seen: Set<UInt64> = []

  var isDone: Bool { summary.loss != nil || summary.points >= wanted }

  init(seed: UInt64, points: Int, maximumDepth: Int) {
    root = seed
    wanted = points
    self.maximumDepth = maximumDepth
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

  /// Runs a program and crashes it at its calls. `isNew` says that it is another one than before.
  func run(
    _ number: UInt64, _ program: OperationProgram, _ subject: Subject, isNew: Bool = true
  ) {
    summary.programs += 1
    if isNew { seen.removeAll(keepingCapacity: true) }
    let seed = Hash64.hash(root ^ Hash64.hash(number))
    let trail = Trail(seed: seed)
    do throws(ProgramFailure) {
      var run = try subject.start()
      let ledger = run.ledger
      run.fileSystem.onCall { [self, unowned fileSystem = run.fileSystem] (call) in
        summary.calls += 1
        guard subject.isTried(call, ledger) else { return }
        for way in 0..<CrashMode.ways where !isDone {
          var random = SeededRandom(seed: seed &+ UInt64(call.index) &* 64 &+ UInt64(way))
          let mode = CrashMode.draw(way, &random)
          crash(fileSystem, at: call, mode, ledger, subject, trail, program.steps, &random)
        }
      }
      try run.perform(program.steps, from: 0) { !isDone }
    } catch {
      // Without any crash.
      note(error, Trail(steps: program.steps, seed: seed), subject)
    }
  }

  /// Forks the world before `call` and judges what is there; `steps` are those that the world was
  /// performing, up to the ledger's.
  private func crash(
    _ fileSystem: MemoryFileSystem, at call: MemoryFileSystem.Call, _ mode: CrashMode,
    _ ledger: Subject.Run.Ledger, _ subject: Subject, _ trail: Trail,
    _ steps: [OperationProgram.Step], _ random: inout SeededRandom
  ) {
    let mode = subject.effective(mode)
    let wreck = CrashWreck(fileSystem: fileSystem.afterCrash(mode), mode: mode, time: ledger.now)
    let world = Hash64.hash(
      wreck.fileSystem.fingerprint
        &+ Hash64.hash(ledger.promise(after: mode) &+ Hash64.hash(trail.world)))
    guard seen.insert(world).inserted else {
      summary.repeated += 1
      return
    }
    var next = trail
    next.world = world
    next.crashes.append(.crashAfter(calls: call.index, mode))
    if ledger.isWorking { next.steps += steps.prefix(ledger.index + 1) }
    next.seed = random.next()
    count(next.depth, ledger)
    recover(wreck, ledger, subject, next)
  }

  private func count(_ depth: Int, _ ledger: Subject.Run.Ledger) {
    while summary.pointsByDepth.count < depth { summary.pointsByDepth.append(0) }
    summary.pointsByDepth[depth - 1] += 1
    summary.pointsByDurability[ledger.durability.description, default: 0] += 1
    if !ledger.phase.isEmpty { summary.pointsByPhase[ledger.phase, default: 0] += 1 }
    if !ledger.move.isEmpty { summary.pointsByMove[ledger.move, default: 0] += 1 }
  }

  /// Recovers, judges, works on, and crashes one of these calls in turn.
  private func recover(
    _ wreck: CrashWreck, _ ledger: Subject.Run.Ledger, _ subject: Subject, _ trail: Trail
  ) {
    var random = SeededRandom(seed: trail.seed)
    let work = subject.work(&random)
    var done = trail
    do throws(ProgramFailure) {
      var run = try subject.resume(after: ledger, on: wreck.fileSystem)
      if trail.depth < maximumDepth, random.chance(trail.depth == 1 ? 0.7 : 0.5) {
        // Recovery comes first and is what is to be crashed; now and then the work after it.
        let target = subject.nextTarget(&random)
        let mode = CrashMode.draw(random.below(CrashMode.ways), &random)
        let draws = random.split(1)
        wreck.fileSystem.onCall {
          [self, work, unowned fileSystem = wreck.fileSystem, ledger = run.ledger] (call) in
          guard call.index == target, !isDone else { return }
          var draws = draws
          crash(fileSystem, at: call, mode, ledger, subject, trail, work, &draws)
        }
      }
      try run.recover(wreck, after: ledger)
      done.steps += work
      try run.perform(work, from: 0) { !isDone }
    } catch {
      note(error, done, subject)
    }
  }

  private func note(_ failure: ProgramFailure, _ trail: Trail, _ subject: Subject) {
    note(failure, trail.crashes.map { OperationProgram.Step($0) } + trail.steps, subject)
  }

  /// The first loss, after these steps.
  func note(
    _ failure: ProgramFailure, _ steps: [OperationProgram.Step], _ subject: Subject
  ) {
    guard summary.loss == nil else { return }
    summary.loss = CrashLoss(failure: failure, schedule: subject.program(steps))
  }
}

extension CrashMode {
  /// Ways to crash.
  static let ways = 4

  /// One of each way, with what is left to chance.
  static func draw(_ way: Int, _ random: inout SeededRandom) -> CrashMode {
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
}
