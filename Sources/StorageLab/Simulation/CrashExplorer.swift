/// Crashes an engine at every I/O call of its programs, and again while it recovers.
///
/// Each program runs once. Before each of its calls the medium is forked in several ways: as a
/// power loss, as a kill, and as media of several weaknesses would leave it. Every fork is opened
/// and judged (`AcknowledgedHistory`), verified, goes on working for some operations, and is itself
/// crashed at one of its calls, down to a bounded depth. So no point costs a run of its own up to
/// the crash.
///
/// Forks of equal bytes that must satisfy the same promises are tried once; what is counted is
/// distinct. On some of the media the device runs full. One thread, inline maintenance: the same
/// seed makes the same calls, so a losing schedule can be written down as a program, run again and
/// shrunk. What only threads can do to each other is `ConcurrentCrashes`' part.
public struct CrashExplorer: Sendable {
  public var runner: ProgramRunner
  public var seed: UInt64
  /// Classes, one program after another in turn.
  public var durabilities: [Durability]
  /// What is run instead of generated programs, over and over with other ways to crash.
  public var program: OperationProgram?
  /// Operations of a generated program, and of the work after a crash.
  public var programLength = 40
  public var workAfterCrash = 4
  /// Crashes in a row: 1 never crashes a recovery.
  public var maximumDepth = 3

  /// REQUIRES: the engine keeps its data through our `FileSystem`.
  public init(
    _ runner: ProgramRunner, seed: UInt64, durabilities: [Durability] = Durability.classes
  ) {
    self.runner = runner
    self.seed = seed
    self.durabilities = durabilities
    self.runner.maintenance = .inline
  }

  /// What was tried.
  public struct Summary: Sendable, Hashable {
    /// Crashes at distinct places that left distinct media; each was recovered from and judged.
    public var points: Int { pointsByDepth.reduce(0, +) }
    /// Of these, those of a running program, of the recovery from one, and so on.
    public internal(set) var pointsByDepth: [Int] = []
    public internal(set) var pointsByDurability: [String: Int] = [:]
    /// Of migrations: by what went on, and by the change of map.
    public internal(set) var pointsByPhase: [String: Int] = [:]
    public internal(set) var pointsByMove: [String: Int] = [:]
    /// Migrations that were turned back after one of their steps, by the phase that they were in.
    public internal(set) var aborts: [String: Int] = [:]
    /// Crashes that left what another had left in the same place.
    public internal(set) var repeated = 0
    public internal(set) var programs = 0
    /// I/O calls of the programs, each of them a place of crashes.
    public internal(set) var calls = 0
    public internal(set) var loss: CrashLoss?

    public init() {}
  }

  /// Tries at least `points` distinct crash points, or as many as a given program has, unless one
  /// loses something or `proceeds`, which is told of each program's end, is false.
  public func explore(
    points: Int, proceeds: (Summary) -> Bool = { _ in true }
  ) -> Summary {
    let search = CrashSearch<CrashedEngine>(
      seed: seed, points: points, maximumDepth: maximumDepth)
    var fruitless = 0
    for number in 0... as PartialRangeFrom<UInt64> {
      let before = search.summary.points
      let (chosen, runner) = run(number)
      search.run(
        number, chosen, CrashedEngine(runner: runner, workAfterCrash: workAfterCrash),
        isNew: program == nil)
      fruitless = search.summary.points == before ? fruitless + 1 : 0
      let isExhausted = program != nil && fruitless >= 8
      if search.isDone || isExhausted || !proceeds(search.summary) { break }
    }
    return search.summary
  }

  /// The program of this number, with what else of the run follows from it.
  func run(_ number: UInt64) -> (program: OperationProgram, runner: ProgramRunner) {
    let seed = Hash64.hash(seed &+ number) % 1_000_000_007
    var random = SeededRandom(seed: seed)
    var runner = runner
    var durability = durabilities[Int(number % UInt64(max(1, durabilities.count)))]
    var chosen: OperationProgram
    if let program {
      chosen = CrashExplorer.withoutCrashes(program)
      durability = program.durability ?? durability
      runner.cacheBytes = program.cacheBytes ?? runner.cacheBytes
    } else {
      runner.cacheBytes = [64 << 10, 256 << 10, 1 << 20][random.below(3)]
      chosen = ProgramGenerator.program(
        seed: seed, length: programLength, fillsDevice: random.chance(0.25),
        merges: runner.mergeOperator != nil, crashes: false)
      chosen.steps.append(.init(.reopen))
    }
    runner.durability = durability
    return (chosen, runner)
  }
}

extension CrashExplorer {
  /// The explorer crashes by itself.
  private static func withoutCrashes(_ program: OperationProgram) -> OperationProgram {
    var result = program
    result.steps = program.steps.compactMap { step in
      switch step.operation {
      case .crash: OperationProgram.Step(.reopen)
      case .crashAfter: nil
      default: step
      }
    }
    return result
  }
}

/// An engine that is crashed while it runs a program.
struct CrashedEngine: CrashSubject {
  let runner: ProgramRunner
  let workAfterCrash: Int

  func start() throws(ProgramFailure) -> ProgramRun {
    try ProgramRun(runner, durability: runner.durability)
  }

  func resume(
    after ledger: ProgramRun.Ledger, on fileSystem: MemoryFileSystem
  ) throws(ProgramFailure) -> ProgramRun {
    try ProgramRun(runner, after: ledger, on: fileSystem)
  }

  func work(_ random: inout SeededRandom) -> [OperationProgram.Step] {
    var work = ProgramGenerator.program(
      seed: UInt64(random.below(1_000_000_000)), length: workAfterCrash,
      merges: runner.mergeOperator != nil, crashes: false
    ).steps
    if random.chance(0.25) { work.append(.init(.reopen)) }
    return work
  }

  func nextTarget(_ random: inout SeededRandom) -> Int {
    1 + random.below(random.chance(0.7) ? 10 : 60)
  }

  func isTried(_ call: MemoryFileSystem.Call, _ ledger: ProgramRun.Ledger) -> Bool { true }

  func effective(_ mode: CrashMode) -> CrashMode { runner.effective(mode, runner.durability) }

  func program(_ steps: [OperationProgram.Step]) -> OperationProgram {
    OperationProgram(durability: runner.durability, cacheBytes: runner.cacheBytes, steps)
  }
}

/// A schedule after which something promised was missing.
public struct CrashLoss: Sendable, Hashable {
  public let failure: ProgramFailure
  /// The program with its crashes, complete: `ProgramRunner.run` fails at the same place.
  public let schedule: OperationProgram

  /// The smallest schedule found that still fails, and how; nil when this one does not fail when it
  /// is run again: then the engine's calls depend on more than the program.
  public func shrunk(
    _ runner: ProgramRunner, attempts: Int = 1500
  ) -> (program: OperationProgram, failure: ProgramFailure)? {
    runner.smallest(schedule, attempts: attempts)
  }

  /// The same of a migration.
  public func shrunk(
    _ runner: ClusterRunner, attempts: Int = 600
  ) -> (program: OperationProgram, failure: ProgramFailure)? {
    runner.smallest(schedule, attempts: attempts)
  }
}
