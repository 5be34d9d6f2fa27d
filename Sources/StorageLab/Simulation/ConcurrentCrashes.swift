/// Crashes an engine while several threads write, and threads of its own flush, merge and write
/// checkpoints: a group of writers half of whom were answered, a flush beside the next segment of
/// the log, which `CrashExplorer` with its one thread never meets.
///
/// The medium of the running engine is forked at I/O calls of any thread. Each fork is opened,
/// verified and held against what the writers had been told by then (`KillLoad`); some lives of the
/// database begin in the last of them. The seed says which calls and which ways to crash, the
/// machine which thread comes when: a loss is real, and does not come again at will.
public struct ConcurrentCrashes: Sendable {
  public let engine: EngineRegistry.Entry
  public var seed: UInt64
  /// Threads that write.
  public var writers = 4
  /// Classes, one database after another in turn.
  public var durabilities: [Durability]
  public var cacheBytes = 256 << 10
  /// Puts something between the engine and the medium: a test of this test.
  var interposing: (@Sendable (MemoryFileSystem) -> any FileSystem)?

  static let livesPerDatabase = 3
  static let pointsPerLife = 20
  /// Of the I/O calls, one in so many is a place of a crash.
  static let spacing: UInt64 = 6

  /// REQUIRES: the engine keeps its data through our `FileSystem`.
  public init(
    _ engine: EngineRegistry.Entry, seed: UInt64, durabilities: [Durability] = Durability.classes
  ) {
    self.engine = engine
    self.seed = seed
    self.durabilities = durabilities
  }

  /// What was tried.
  public struct Summary: Sendable, Hashable {
    /// Crashes, each recovered from and judged.
    public internal(set) var points = 0
    public internal(set) var pointsByDurability: [String: Int] = [:]
    /// Of these, those at calls of the engine's own threads.
    public internal(set) var inBackground = 0
    public internal(set) var databases = 0
    /// Writes that were acknowledged in all lives.
    public internal(set) var acknowledged = 0
    /// What was lost; the first few.
    public internal(set) var problems: [String] = []

    public init() {}
  }

  /// Tries `points` crashes at least, and each class, unless one loses something or `proceeds`, told
  /// after each life, is false. Errors: `io` when there are no threads to be had, those of the
  /// engine's opening.
  public func run(
    points: Int, proceeds: (Summary) -> Bool = { _ in true }
  ) throws(StorageError) -> Summary {
    var summary = Summary()
    func isEnough() -> Bool {
      !summary.problems.isEmpty
        || summary.points >= points && summary.databases >= durabilities.count
    }
    while !isEnough() {
      let durability = durabilities[summary.databases % max(1, durabilities.count)]
      summary.databases += 1
      var medium = MemoryFileSystem(keepsVersions: true)
      var told: [[ClosedRange<Int>]] = []
      for life in 0..<ConcurrentCrashes.livesPerDatabase {
        let world = ConcurrentCrashWorld(self, durability, medium, told, points: summary.points)
        let end = try world.live(life)
        summary.add(end, durability)
        guard !isEnough(), proceeds(summary) else { return summary }
        guard let wreck = end.wreck else { break }
        (medium, told) = wreck
      }
    }
    return summary
  }
}

extension ConcurrentCrashes.Summary {
  fileprivate mutating func add(_ life: ConcurrentCrashWorld.Outcome, _ durability: Durability) {
    points += life.points
    inBackground += life.inBackground
    pointsByDurability[durability.description, default: 0] += life.points
    acknowledged += life.acknowledged
    problems += life.problems
  }
}

/// One life of a database and its crashes.
private final class ConcurrentCrashWorld: @unchecked Sendable {
  struct Outcome {
    var points = 0
    var inBackground = 0
    var acknowledged = 0
    var problems: [String] = []
    /// What a crash left that was recovered from, as it was, for the next life to begin with.
    var wreck: (medium: MemoryFileSystem, told: [[ClosedRange<Int>]])?
  }

  private let crashes: ConcurrentCrashes
  private let durability: Durability
  private let medium: MemoryFileSystem
  /// What the writers of earlier lives were told.
  private let past: [[ClosedRange<Int>]]
  private let seed: UInt64
  private let load: KillLoad
  private let outcome = Guarded(Outcome())

  init(
    _ crashes: ConcurrentCrashes, _ durability: Durability, _ medium: MemoryFileSystem,
    _ past: [[ClosedRange<Int>]], points: Int
  ) {
    self.crashes = crashes
    self.durability = durability
    self.medium = medium
    self.past = past
    seed = Hash64.hash(crashes.seed ^ Hash64.hash(UInt64(points)))
    var load = KillLoad()
    load.writers = crashes.writers
    self.load = load
  }

  /// Opens the database, lets the writers write until there were crashes enough, and closes it.
  func live(_ life: Int) throws(StorageError) -> Outcome {
    // Outside of the world that crashes.
    let notes = try MemoryFileSystem().open("/notes", .create)
    let closer = "close"
    let ownNames = [LabThread.currentName, closer]
    defer { medium.onCall(nil) }
    medium.onCall { [self] (call) in
      guard Hash64.hash(seed &+ UInt64(call.index)) % ConcurrentCrashes.spacing == 0 else { return }
      let name = LabThread.currentName
      crash(
        call, notes, inBackground: !ownNames.contains(name) && !name.hasPrefix(KillLoad.threadName))
    }
    let engine = try crashes.engine.open(options(medium, .background))
    let closing = try LabThread(name: closer) { [self] in
      while !isOver { LabThread.sleep(nanoseconds: 200_000) }
      do throws(StorageError) { try engine.close() } catch {
        note("the engine does not close: \(error)")
      }
    }
    try load.write(to: engine, life: life, acknowledgements: notes) { [self] error in
      note("a write was refused: \(error)")
    }
    closing.join()
    let counts = try load.acknowledged(in: notes)
    return outcome.withLock { outcome in
      outcome.acknowledged = counts.reduce(0, +)
      return outcome
    }
  }

  private var isOver: Bool {
    outcome.withLock {
      $0.points >= ConcurrentCrashes.pointsPerLife || !$0.problems.isEmpty
    }
  }

  private func note(_ problem: String) {
    outcome.withLock {
      if $0.problems.count < KillLoad.Report.mostProblems { $0.problems.append(problem) }
    }
  }

  private func options(
    _ medium: MemoryFileSystem, _ maintenance: EngineOptions.Maintenance
  ) -> EngineOptions {
    var options = EngineOptions(path: "/database")
    options.fileSystem = crashes.interposing?(medium) ?? medium
    options.durability = durability
    options.cacheBytes = crashes.cacheBytes
    options.maintenance = maintenance
    return options
  }

  // MARK: Crashing

  /// Forks the medium before a call and judges what is there, on the calling thread; the others go on.
  private func crash(
    _ call: MemoryFileSystem.Call, _ notes: any File, inBackground: Bool
  ) {
    var random = SeededRandom(seed: seed &+ UInt64(call.index))
    let drawn = CrashMode.draw(random.below(CrashMode.ways), &random)
    var runner = ProgramRunner(crashes.engine)
    runner.durability = durability
    let mode = runner.effective(drawn, durability)
    do throws(StorageError) {
      // What was acknowledged before the fork must be there; nothing that began after it can.
      let before = try load.acknowledged(in: notes)
      let wreck = medium.afterCrash(mode)
      let after = try load.acknowledged(in: notes)
      let told =
        past.map { $0.map { durability.survives(mode) ? $0 : 0...$0.upperBound } }
        + [
          after.enumerated().map { writer, count in
            let least = durability.survives(mode) && writer < before.count ? before[writer] : 0
            return least...max(least, count)
          }
        ]
      let next = wreck.afterCrash(.keepEverything)
      let problems = try judge(wreck, told)
      outcome.withLock {
        $0.points += 1
        if inBackground { $0.inBackground += 1 }
        if problems.isEmpty { $0.wreck = (next, told) }
      }
      for problem in problems {
        note(
          "\(durability), \(mode), before call \(call.index) (\(call.kind) \(call.path)): \(problem)"
        )
      }
    } catch {
      note("\(durability), \(mode), before call \(call.index): \(error)")
    }
  }

  private func judge(
    _ wreck: MemoryFileSystem, _ told: [[ClosedRange<Int>]]
  ) throws(StorageError) -> [String] {
    let engine = try crashes.engine.open(options(wreck, .inline))
    let report = try load.check(engine, told: told)
    try engine.close()
    return report.problems
  }
}
