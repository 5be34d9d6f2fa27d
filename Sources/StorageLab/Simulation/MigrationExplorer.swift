/// Crashes a cluster at every I/O call of a migration under load, and again while it recovers and goes
/// on, or back.
///
/// Each program makes a cluster, fills it, and moves it to another map between reads and writes. Before
/// each I/O call the medium is forked in several ways, as `CrashExplorer` does; each fork is opened and
/// judged (`KeyLedger`), then goes on to the end, or turns back, still under load, and is crashed again at
/// some of its calls. At the end every key is on its shard, and nothing else is anywhere.
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

  public var engine: EngineRegistry.Entry
  public var seed: UInt64
  /// Taken in turn, program by program.
  public var moves: [Move]
  public var durabilities: [Durability] = [.commit, .process, .none]
  /// Crashes in a row.
  public var maximumDepth = 3
  public var backfill = MigrationOptions.Backfill.watermarked
  var flaws: Set<MigrationFlaw> = []
  /// What stands between the cluster and its medium.
  var interposing: (@Sendable (MemoryFileSystem) -> any FileSystem)?
  var chunkBytes = 160
  var keysBefore = 40
  var keysOfTenant = 12

  /// REQUIRES: the engine keeps its data through our `FileSystem`.
  /// Errors: none for the moves by default.
  public init(
    _ engine: EngineRegistry.Entry, seed: UInt64, moves: [Move]? = nil
  ) throws(StorageError) {
    self.engine = engine
    self.seed = seed
    if let moves { self.moves = moves } else { self.moves = try MigrationExplorer.standardMoves() }
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

  /// What was tried.
  public struct Summary: Sendable, Hashable {
    /// Crashes at distinct places that left distinct media; each was recovered from and judged.
    public var points: Int { pointsByDepth.reduce(0, +) }
    public internal(set) var pointsByDepth: [Int] = []
    public internal(set) var pointsByPhase: [String: Int] = [:]
    public internal(set) var pointsByDurability: [String: Int] = [:]
    public internal(set) var pointsByMove: [String: Int] = [:]
    /// Crashes that left what another had left.
    public internal(set) var repeated = 0
    public internal(set) var programs = 0
    public internal(set) var calls = 0
    public internal(set) var loss: Loss?

    public init() {}
  }

  /// What must not have been, and where: the same seed finds it again.
  public struct Loss: Sendable, Hashable {
    public let failure: MigrationFailure
    public let move: String
    public let durability: String
    public let program: UInt64
    /// Calls at which it crashed, and how.
    public let crashes: [String]
  }

  /// Tries at least `points` distinct crash points, unless something is lost or `proceeds`, which is told
  /// at each program's end, is false.
  public func explore(points: Int, proceeds: (Summary) -> Bool = { _ in true }) -> Summary {
    let search = MigrationSearch(self, points: points)
    for number in 0... as PartialRangeFrom<UInt64> {
      search.run(number)
      if search.isDone || !proceeds(search.summary) { break }
    }
    return search.summary
  }
}

/// The exploration under way, depth first.
final class MigrationSearch: @unchecked Sendable {
  private let explorer: MigrationExplorer
  private let wanted: Int
  private(set) var summary = MigrationExplorer.Summary()
  private var seen: Set<UInt64> = []
  private static let ways = 3

  var isDone: Bool { summary.loss != nil || summary.points >= wanted }

  init(_ explorer: MigrationExplorer, points: Int) {
    self.explorer = explorer
    wanted = points
  }

  private struct Trail {
    let program: UInt64
    let durability: Durability
    var crashes: [String] = []
    var depth: Int { crashes.count }
  }

  func run(_ number: UInt64) {
    summary.programs += 1
    seen.removeAll(keepingCapacity: true)
    let seed = Hash64.hash(explorer.seed ^ Hash64.hash(number))
    let move = explorer.moves[Int(number % UInt64(explorer.moves.count))]
    let turn = number / UInt64(explorer.moves.count) + number
    let durability = explorer.durabilities[Int(turn % UInt64(explorer.durabilities.count))]
    let run = MigrationRun(
      explorer, move, MemoryFileSystem(keepsVersions: true), KeyLedger(durability), time: 0,
      seed: seed)
    let trail = Trail(program: number, durability: durability)
    // Of a program's calls each is crashed at, or one in a few, so that a bounded run sees all phases.
    let every = 1 + UInt64(Int(seed % 7))
    run.fileSystem.onCall { [self, unowned run] (call) in
      summary.calls += 1
      guard !isDone, run.phase != "before", UInt64(call.index) % every == 0 else { return }
      for way in 0..<MigrationSearch.ways where !isDone {
        var random = SeededRandom(seed: seed &+ UInt64(call.index) &* 64 &+ UInt64(way))
        crash(run, at: call, MigrationSearch.mode(way, &random), trail, &random)
      }
    }
    do throws(MigrationFailure) { try run.runAll { !isDone } } catch { note(error, move, trail) }
    run.fileSystem.onCall(nil)
  }

  private static func mode(_ way: Int, _ random: inout SeededRandom) -> CrashMode {
    switch way {
    case 0: .loseEverythingUnsynced
    case 1: .keepEverything
    default:
      .keepParts(
        random.chance(0.5)
          ? .all
          : CrashWeaknesses(rawValue: UInt8(1 + random.below(Int(CrashWeaknesses.all.rawValue)))),
        seed: UInt64(random.below(1_000_000_000)))
    }
  }

  private func crash(
    _ run: MigrationRun, at call: MemoryFileSystem.Call, _ mode: CrashMode, _ trail: Trail,
    _ random: inout SeededRandom
  ) {
    let fork = run.fileSystem.afterCrash(mode)
    let ledger = run.ledgerAfterCrash(mode)
    let world = Hash64.hash(
      fork.fingerprint ^ Hash64.hash(ledger.fingerprint &+ (mode == .keepEverything ? 1 : 0)))
    guard seen.insert(world).inserted else {
      summary.repeated += 1
      return
    }
    var next = trail
    next.crashes.append(
      "\(call.kind.rawValue) \(call.path), call \(call.index), \(run.phase): \(mode)")
    count(next, run)
    let seed = random.next()
    var draws = SeededRandom(seed: seed)
    let recovery = MigrationRun(
      explorer, run.move, fork, ledger, time: run.clock.now, seed: draws.next())
    if next.depth < explorer.maximumDepth, draws.chance(next.depth == 1 ? 0.6 : 0.4) {
      // The opening is what is crashed often, and anything up to the end.
      let target = 1 + draws.below(draws.chance(0.5) ? 30 : 400)
      let again = MigrationSearch.mode(draws.below(MigrationSearch.ways), &draws)
      let rest = draws.split(1)
      fork.onCall { [self, unowned recovery, next] (call) in
        guard call.index == target, !isDone else { return }
        var rest = rest
        crash(recovery, at: call, again, next, &rest)
      }
    }
    do throws(MigrationFailure) { try recovery.recover(mode) { !isDone } } catch {
      note(error, run.move, next)
    }
    fork.onCall(nil)
  }

  private func count(_ trail: Trail, _ run: MigrationRun) {
    while summary.pointsByDepth.count < trail.depth { summary.pointsByDepth.append(0) }
    summary.pointsByDepth[trail.depth - 1] += 1
    summary.pointsByPhase[run.phase, default: 0] += 1
    summary.pointsByDurability[trail.durability.description, default: 0] += 1
    summary.pointsByMove[run.move.name, default: 0] += 1
  }

  private func note(
    _ failure: MigrationFailure, _ move: MigrationExplorer.Move, _ trail: Trail
  ) {
    guard summary.loss == nil else { return }
    summary.loss = MigrationExplorer.Loss(
      failure: failure, move: move.name, durability: trail.durability.description,
      program: trail.program, crashes: trail.crashes)
  }
}
