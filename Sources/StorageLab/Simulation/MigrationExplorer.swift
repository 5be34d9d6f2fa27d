/// Crashes a cluster at every I/O call of a migration under load, and again while it recovers and goes
/// on, or back; and turns migrations back after every step.
///
/// Each program makes a cluster, fills it, and moves it to another map between reads and writes. Before
/// each I/O call the medium is forked in several ways, as `CrashExplorer` does, whose search this is; each
/// fork is opened and judged (`KeyLedger`), then goes on to the end, or turns back, still under load, and
/// is crashed again at some of its calls. At the end every key is on its shard, and nothing else is
/// anywhere. Beside it another program is run over and over, and turned back one step later each time.
public struct MigrationExplorer: Sendable {
  /// From one map to another.
  public struct Move: Sendable {
    public let name: String
    public let from: ShardMap
    public let to: ShardMap

    public init(_ name: String, from: ShardMap, to: ShardMap) {
      self.name = name
      self.from = from
      self.to = to
    }
  }

  public typealias Summary = CrashExplorer.Summary

  public var runner: ClusterRunner
  public var seed: UInt64
  /// Taken in turn, program by program, as moves are.
  public var durabilities: [Durability] = Durability.classes.reversed()
  /// Crashes in a row.
  public var maximumDepth = 3

  public init(_ runner: ClusterRunner, seed: UInt64) {
    self.runner = runner
    self.seed = seed
  }

  /// One of each kind of change: a shard comes, one goes, a range is split, ranges are merged, a tenant
  /// moves, and a router that reshuffles.
  public static func standardMoves() throws(StorageError) -> [Move] {
    func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }
    let slash = UInt8(ascii: "/")
    let slots = try ShardMap(
      Shard.equal(3),
      .slots((0..<HashSlot.count).map { ShardID(UInt32($0 * 3 / HashSlot.count)) }))
    let oneRange = try ShardMap(
      Shard.equal(1), .ranges(boundaries: [], owners: [ShardID(0)]))
    let twoRanges = try ShardMap(
      Shard.equal(2), .ranges(boundaries: [bytes("t1/k07")], owners: [ShardID(0), ShardID(1)]))
    let threeRanges = try ShardMap(
      Shard.equal(3),
      .ranges(
        boundaries: [bytes("t1/k07"), bytes("t2/k03")],
        owners: [ShardID(0), ShardID(1), ShardID(2)]
      ))
    func directory(_ shard: UInt32) throws(StorageError) -> ShardMap {
      try ShardMap(
        Shard.equal(2),
        .directory(
          [.init(bytes("t1"), ShardID(shard))], .before(slash), fallback: .jump(.before(slash))))
    }
    func hashed(_ count: Int, _ placement: Placement) throws(StorageError) -> ShardMap {
      try ShardMap(Shard.equal(count), placement)
    }
    return [
      Move(
        "a shard joins a ring", from: try hashed(2, .ring(virtualNodes: 8, .wholeKey)),
        to: try hashed(3, .ring(virtualNodes: 8, .wholeKey))),
      Move("a range is split", from: oneRange, to: twoRanges),
      Move("a shard gives up its slots", from: slots, to: try slots.next(Shard.equal(2))),
      Move("a tenant moves", from: try directory(0), to: try directory(1)),
      Move("ranges are merged", from: threeRanges, to: twoRanges),
      Move(
        "modulo of 2 becomes modulo of 3", from: try hashed(2, .modulo(.wholeKey)),
        to: try hashed(3, .modulo(.wholeKey))),
    ]
  }

  /// Tries at least `points` distinct crash points and, as far as programs go, a quarter as many ways
  /// back, unless something is lost or `proceeds`, which is told at each program's end, is false.
  public func explore(points: Int, proceeds: (Summary) -> Bool = { _ in true }) -> Summary {
    let search = CrashSearch<CrashedCluster>(
      seed: seed, points: points, maximumDepth: maximumDepth)
    for number in 0... as PartialRangeFrom<UInt64> {
      let seed = Hash64.hash(seed ^ Hash64.hash(number))
      let move = runner.moves[Int(number % UInt64(runner.moves.count))]
      let turn = number / UInt64(runner.moves.count) + number
      let durability = durabilities[Int(turn % UInt64(durabilities.count))]
      let subject = CrashedCluster(
        runner: runner, move: move, durability: durability, every: 1 + Int(seed % 7))
      var generator = ClusterProgramGenerator(seed: seed)
      let program = subject.program(generator.program())
      search.run(number, program, subject)
      if !search.isDone || number == 0 {
        turnBack(subject, subject.program(generator.everyStep()), most: points / 4, search)
      }
      if search.isDone || !proceeds(search.summary) { break }
    }
    return search.summary
  }

  /// Runs a program as often as its migration has steps, and turns back after one more step each time.
  private func turnBack(
    _ subject: CrashedCluster, _ program: OperationProgram, most: Int,
    _ search: CrashSearch<CrashedCluster>
  ) {
    let run = ClusterRun(runner, subject.move, subject.durability)
    do throws(ProgramFailure) { _ = try run.run(program) } catch {
      return search.note(error, program.steps, subject)
    }
    var stepsSeen = 0
    for (index, step) in program.steps.enumerated() where step.operation == .step {
      defer { stepsSeen += 1 }
      // The phase that the step leads to is the one before the next.
      let phase =
        stepsSeen + 1 < run.phasesOfSteps.count ? run.phasesOfSteps[stepsSeen + 1] : "none"
      guard phase != "none", search.summary.loss == nil,
        search.summary.aborts.values.reduce(0, +) < most
      else { return }
      guard MigrationPhase.allCases.contains(where: { $0.name == phase && $0.mayRollBack }) else {
        continue
      }
      var candidate = program
      candidate.steps.insert(.init(.rollBack), at: index + 1)
      do throws(ProgramFailure) { _ = try runner.run(candidate) } catch {
        return search.note(error, candidate.steps, subject)
      }
      search.summary.aborts[phase, default: 0] += 1
    }
  }
}
