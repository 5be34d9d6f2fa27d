/// Runs programs on a cluster of one engine that goes from one map to another.
public struct ClusterRunner: Sendable, ProgramRunning {
  public var engine: EngineRegistry.Entry
  /// Those that programs may name.
  public var moves: [MigrationExplorer.Move]
  public var durability = Durability.commit
  public var backfill = MigrationOptions.Backfill.watermarked
  var flaws: Set<MigrationFlaw> = []
  /// What stands between the cluster and its medium.
  var interposing: (@Sendable (MemoryFileSystem) -> any FileSystem)?
  var chunkBytes = 160

  /// REQUIRES: the engine keeps its data through our `FileSystem`.
  /// Errors: none for the moves by default.
  public init(
    _ engine: EngineRegistry.Entry, moves: [MigrationExplorer.Move]? = nil
  ) throws(StorageError) {
    self.engine = engine
    if let moves { self.moves = moves } else { self.moves = try MigrationExplorer.standardMoves() }
  }

  var migrationOptions: MigrationOptions {
    var options = MigrationOptions()
    options.chunkBytes = chunkBytes
    options.backfill = backfill
    options.flaws = flaws
    return options
  }

  /// The move of this name, or the first one.
  func move(_ name: String?) throws(ProgramFailure) -> MigrationExplorer.Move {
    let found = name == nil ? moves.first : moves.first { $0.name == name }
    guard let found else {
      throw ProgramFailure(
        engine: engine.name, moves.map(\.name).joined(separator: ", "), name ?? "no move", step: 0,
        line: 0, operation: "move")
    }
    return found
  }

  @discardableResult
  public func run(_ program: OperationProgram) throws(ProgramFailure) -> Int {
    try ClusterRun(self, try move(program.move), program.durability ?? durability).run(program)
  }
}

/// A cluster that is crashed while it migrates under load.
struct CrashedCluster: CrashSubject {
  let runner: ClusterRunner
  let move: MigrationExplorer.Move
  let durability: Durability
  /// Of a program's calls each is crashed at, or one in a few, so that a bounded search sees all phases.
  let every: Int

  func start() throws(ProgramFailure) -> ClusterRun { ClusterRun(runner, move, durability) }

  func resume(
    after ledger: ClusterRun.Ledger, on fileSystem: MemoryFileSystem
  ) throws(ProgramFailure) -> ClusterRun {
    ClusterRun(runner, move, after: ledger, on: fileSystem)
  }

  func work(_ random: inout SeededRandom) -> [OperationProgram.Step] {
    var generator = ClusterProgramGenerator(seed: UInt64(random.below(1_000_000_000)))
    return generator.work()
  }

  func nextTarget(_ random: inout SeededRandom) -> Int {
    // The opening is what is crashed often, and anything up to the end.
    1 + random.below(random.chance(0.5) ? 30 : 400)
  }

  func isTried(_ call: MemoryFileSystem.Call, _ ledger: ClusterRun.Ledger) -> Bool {
    ledger.hasBegun && call.index % every == 0
  }

  func effective(_ mode: CrashMode) -> CrashMode { runner.engine.effective(mode, durability) }

  func program(_ steps: [OperationProgram.Step]) -> OperationProgram {
    OperationProgram(durability: durability, move: move.name, steps)
  }
}

/// Programs of a cluster by seed: puts, deletes, batches and reads between the steps of a migration.
struct ClusterProgramGenerator {
  private var random: SeededRandom
  private static let keysBefore = 40
  private static let keysOfTenant = 12

  init(seed: UInt64) { random = SeededRandom(seed: seed) }

  private typealias Step = OperationProgram.Step

  /// Fills the cluster, moves it, now and then back, and works on.
  mutating func program() -> [OperationProgram.Step] {
    var steps = (0..<ClusterProgramGenerator.keysBefore).map { _ in Step(.change(put())) }
    for _ in 0..<(random.chance(0.15) ? 2 : 1) {
      steps.append(Step(.migrate))
      for _ in 0..<100 { steps.append(turn(turnsBack: 0.02)) }
      steps.append(Step(.finish))
    }
    for _ in 0..<3 { steps.append(Step(operation())) }
    return steps
  }

  /// What is done after a crash: on to the end or back, under load.
  mutating func work() -> [OperationProgram.Step] {
    var steps: [Step] = []
    if random.chance(0.4) { steps.append(Step(.rollBack)) }
    if random.chance(0.5) { steps.append(Step(.migrate)) }
    for _ in 0..<40 { steps.append(turn(turnsBack: 0.03)) }
    steps.append(Step(.finish))
    for _ in 0..<2 { steps.append(Step(operation())) }
    return steps
  }

  /// Writes between any two steps of one migration.
  mutating func everyStep() -> [OperationProgram.Step] {
    var steps = (0..<ClusterProgramGenerator.keysBefore).map { _ in Step(.change(put())) }
    steps.append(Step(.migrate))
    for _ in 0..<90 {
      steps.append(Step(.step))
      if random.chance(0.5) { steps.append(Step(operation())) }
    }
    steps.append(Step(.finish))
    return steps
  }

  private mutating func turn(turnsBack chance: Double) -> OperationProgram.Step {
    if random.chance(0.45) { return Step(operation()) }
    return Step(random.chance(chance) ? .rollBack : .step)
  }

  private mutating func operation() -> ProgramOperation {
    switch random.below(20) {
    case 0: .sync
    case 1...5: .get(key(), snapshot: nil)
    case 6: .scan(.init(), backward: false, limit: 1 + random.below(20), snapshot: nil)
    default: change()
    }
  }

  private mutating func change() -> ProgramOperation {
    switch random.below(16) {
    case 0...7: return .change(put())
    case 8...11: return .change(.delete(key()))
    case 12:
      let (first, second) = (key(), key())
      let isOrdered = isBefore(first.bytes, second.bytes)
      return .change(isOrdered ? .deleteRange(first, second) : .deleteRange(second, first))
    default:
      return .batch(
        (0..<2 + random.below(4)).map { _ in random.chance(0.3) ? .delete(key()) : put() })
    }
  }

  private mutating func put() -> ProgramOperation.Change { .put(key(), value()) }

  private mutating func key() -> ByteExpression {
    let (tenant, row) = (
      random.below(4), random.below(ClusterProgramGenerator.keysOfTenant)
    )
    return ByteExpression("t\(tenant)/k\(row < 10 ? "0" : "")\(row)")
  }

  /// Hardly ever the same twice, so that an older one is told from a newer one.
  private mutating func value() -> ByteExpression {
    let name = ByteExpression.Term.text(Array("v\(random.below(1_000_000_000)).".utf8))
    let length = random.chance(0.1) ? 200 : random.below(24)
    return ByteExpression(length == 0 ? [name] : [name, .repeated([0x78], count: length)])
  }
}
