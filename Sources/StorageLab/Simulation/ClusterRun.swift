/// One run of a program: a cluster on a medium that can crash, which is written to while it moves from one
/// map to another, every read and every crash held against a ledger.
final class ClusterRun: CrashableRun {
  static let directory = "/cluster"

  let runner: ClusterRunner
  let move: MigrationExplorer.Move
  let ledger: Ledger
  private(set) var fileSystem: MemoryFileSystem
  /// The phases in which steps were asked for, in order; `none` where no migration was under way.
  private(set) var phasesOfSteps: [String] = []
  private var cluster: Cluster?
  private let armed = ArmedCrashes()

  /// Steps of which a migration has no more: one that does not end is a failure.
  private static let mostSteps = 3000

  final class Ledger: CrashLedger, @unchecked Sendable {
    /// What must be there, the write under way included.
    var keys: KeyLedger
    var clock: SteppingClock
    var isWorking = false
    var index = 0
    var step = OperationProgram.Step(.statistics)
    /// A phase of the migration, or what is not in one.
    var phase = "opening"
    /// Whether a migration has begun in this world or one before.
    var hasBegun = false
    let move: String

    init(_ keys: KeyLedger, _ clock: SteppingClock, _ move: String) {
      self.keys = keys
      self.clock = clock
      self.move = move
    }

    var durability: Durability { keys.durability }
    var now: UInt64 { clock.now }

    func promise(after mode: CrashMode) -> UInt64 {
      var copy = keys
      copy.crash(mode)
      return copy.fingerprint &+ (mode == .keepEverything ? 1 : 0)
    }
  }

  /// A run on an empty medium.
  init(_ runner: ClusterRunner, _ move: MigrationExplorer.Move, _ durability: Durability) {
    self.runner = runner
    self.move = move
    fileSystem = MemoryFileSystem(keepsVersions: true)
    ledger = Ledger(KeyLedger(durability), SteppingClock(), move.name)
  }

  /// A run that goes on where another, of this ledger, might be after a crash: it has still to
  /// `recover`.
  init(
    _ runner: ClusterRunner, _ move: MigrationExplorer.Move, after ledger: Ledger,
    on fileSystem: MemoryFileSystem
  ) {
    self.runner = runner
    self.move = move
    self.fileSystem = fileSystem
    self.ledger = Ledger(ledger.keys, SteppingClock(at: ledger.now), ledger.move)
    self.ledger.index = ledger.index
    self.ledger.step = ledger.step
    self.ledger.hasBegun = ledger.hasBegun
  }

  // MARK: Steps

  /// Runs it all; returns how many armed crashes struck.
  func run(_ program: OperationProgram) throws(ProgramFailure) -> Int {
    // Crashes that come first count from the very first call.
    let crashes = program.steps.prefix {
      if case .crashAfter = $0.operation { true } else { false }
    }
    for step in crashes { try perform(step) }
    try perform(program.steps, from: crashes.count) { true }
    return armed.struck
  }

  func perform(
    _ steps: [OperationProgram.Step], from first: Int, while goesOn: () -> Bool
  ) throws(ProgramFailure) {
    if cluster == nil { try surviving { () throws(ProgramFailure) in try open() } }
    ledger.isWorking = true
    for (index, step) in steps.enumerated().dropFirst(first) where goesOn() {
      ledger.index = index
      ledger.step = step
      try perform(step)
    }
    guard goesOn() else { return close() }
    ledger.index = steps.count
    ledger.step = OperationProgram.Step(.finish)
    armed.disarm()
    fileSystem.onCall(nil)
    try finish()
    try checkAll()
    try reopen()
    // What was to be removed at the next opening is removed.
    try checkAll()
    close()
  }

  private func perform(_ step: OperationProgram.Step) throws(ProgramFailure) {
    switch step.operation {
    case .crash(let mode):
      let mode = runner.engine.effective(mode, ledger.durability)
      let wreck = CrashWreck(fileSystem: fileSystem.crash(mode), mode: mode, time: ledger.now)
      try recover(wreck, after: ledger)
    case .crashAfter(let calls, let mode):
      armed.arm(calls: calls, runner.engine.effective(mode, ledger.durability), fileSystem) {
        [ledger] in ledger.now
      }
    default:
      try surviving { () throws(ProgramFailure) in try apply(step.operation) }
    }
  }

  /// Goes on after the armed crash if it struck meanwhile, when nothing else that happened counts.
  private func surviving(_ body: () throws(ProgramFailure) -> Void) throws(ProgramFailure) {
    do throws(ProgramFailure) { try body() } catch {
      if armed.wreck == nil { throw error }
    }
    if let wreck = armed.wreck { try recover(wreck, after: ledger) }
  }

  private func apply(_ operation: ProgramOperation) throws(ProgramFailure) {
    let cluster = try opened()
    notePhase()
    switch operation {
    case .change, .batch: try write(operation)
    case .get(let key, nil): try read(key.bytes)
    case .scan(_, _, let limit, nil): try scan(limit ?? .max)
    case .sync:
      try attempt { () throws(StorageError) in try cluster.sync() }
      if armed.wreck == nil { ledger.keys.makeDurable() }
    case .verify: try checkPlaces(cluster)
    case .reopen: try reopen()
    case .migrate: try begin()
    case .step:
      phasesOfSteps.append(cluster.state.migration?.phase.name ?? "none")
      try step()
    case .rollBack:
      guard cluster.state.migration?.phase.mayRollBack == true else { return }
      try attempt { () throws(StorageError) in try cluster.rollBackMigration() }
    case .finish: try finish()
    default: return
    }
    notePhase()
  }

  private func notePhase() {
    ledger.phase = cluster?.state.migration?.phase.name ?? (ledger.hasBegun ? "after" : "before")
  }

  // MARK: Opening and closing

  private func open() throws(ProgramFailure) {
    ledger.phase = "opening"
    var options = EngineOptions(
      path: ClusterRun.directory, fileSystem: runner.interposing?(fileSystem) ?? fileSystem)
    options.durability = ledger.durability
    options.maintenance = .inline
    options.clock = ledger.clock
    options.cacheBytes = 256 << 10
    let opened = try attempt("the cluster opens") { () throws(StorageError) in
      try Cluster.open(options, engine: runner.engine, map: move.from)
    }
    opened.setMigrationOptions(runner.migrationOptions)
    cluster = opened
  }

  private func opened() throws(ProgramFailure) -> Cluster {
    guard let cluster else { throw fail("the cluster is open", "it is not") }
    return cluster
  }

  private func reopen() throws(ProgramFailure) {
    let cluster = try opened()
    try attempt { () throws(StorageError) in try cluster.close() }
    self.cluster = nil
    if armed.wreck != nil { return }
    ledger.keys.makeDurable()
    try open()
  }

  /// Of a world that is left behind.
  private func close() {
    do throws(StorageError) { try cluster?.close() } catch {}
    cluster = nil
  }

  private func attempt<R>(
    _ expected: String = "success", _ body: () throws(StorageError) -> R
  ) throws(ProgramFailure) -> R {
    do throws(StorageError) { return try body() } catch {
      throw fail(expected, "\(error.code.rawValue): \(error)")
    }
  }

  func fail(_ expected: String, _ found: String) -> ProgramFailure {
    ProgramFailure(
      engine: "\(runner.engine.name) (\(ledger.durability)), \(move.name), \(ledger.phase)",
      expected, found, step: ledger.index, line: ledger.step.line,
      operation: ledger.step.operation.description)
  }

  // MARK: Migrating

  private func begin() throws(ProgramFailure) {
    let cluster = try opened()
    if cluster.state.migration != nil { return }
    let now = cluster.state.settled
    let next =
      now.placement == move.from.placement && now.shards == move.from.shards
      ? move.to : move.from
    ledger.phase = "start"
    ledger.hasBegun = true
    try attempt { () throws(StorageError) in
      try cluster.startMigration(
        to: try ShardMap(epoch: now.epoch + 5, next.shards, next.placement),
        runner.migrationOptions)
    }
  }

  private func step() throws(ProgramFailure) {
    let cluster = try opened()
    if cluster.state.migration == nil { return }
    try attempt { () throws(StorageError) in _ = try cluster.stepMigration() }
  }

  private func finish() throws(ProgramFailure) {
    for _ in 0..<ClusterRun.mostSteps {
      if try opened().state.migration == nil { return }
      notePhase()
      try step()
      if armed.wreck != nil { return }
    }
    throw fail("the migration ends", "it goes on and on")
  }

  // MARK: Operations

  private func read(_ key: [UInt8]) throws(ProgramFailure) {
    let cluster = try opened()
    let found = try attempt { () throws(StorageError) in try cluster.get(key) }
    if found != ledger.keys.value(key) {
      throw fail(text(ledger.keys.value(key)), text(found))
    }
  }

  private func text(_ value: [UInt8]?) -> String { value.map(ByteExpression.shown) ?? "none" }

  private func scan(_ limit: Int) throws(ProgramFailure) {
    let expected = ledger.keys.keys.filter { ledger.keys.value($0) != nil }.prefix(limit)
    let found = try contents(limit: limit).map(\.key)
    if found != Array(expected) {
      throw fail("a scan of \(expected.count) keys", "\(found.count) or others")
    }
  }

  private func write(_ operation: ProgramOperation) throws(ProgramFailure) {
    let cluster = try opened()
    let changes: [ProgramOperation.Change]
    switch operation {
    case .change(let change): changes = [change]
    case .batch(let several): changes = several
    default: return
    }
    let began = ledger.now
    let router = try attempt { () throws(StorageError) in try cluster.route().router }
    ledger.keys.inFlight = inFlight(changes)
    try attempt { () throws(StorageError) in
      if case .batch = operation {
        try cluster.write(ProgramExecutor.batch(changes))
      } else if case .put(let key, let value)? = changes.first {
        try cluster.put(key.bytes, value.bytes)
      } else if case .delete(let key)? = changes.first {
        try cluster.delete(key.bytes)
      } else {
        try cluster.write(ProgramExecutor.batch(changes))
      }
    }
    // What struck meanwhile finds the write under way.
    if armed.wreck != nil { return }
    ledger.keys.acknowledge(began: began, at: ledger.now) { router.shard(of: $0) }
  }

  /// What the changes come to, key by key.
  private func inFlight(_ changes: [ProgramOperation.Change]) -> [KeyLedger.Change] {
    var last: [[UInt8]: [UInt8]?] = [:]
    for change in changes {
      switch change {
      case .put(let key, let value): last[key.bytes] = .some(value.bytes)
      case .delete(let key): last[key.bytes] = .some(nil)
      case .merge: continue
      case .deleteRange(let lower, let upper):
        let range = KeyRange(from: lower.bytes, to: upper.bytes)
        for key in Set(ledger.keys.keys).union(last.keys)
        where key.withSlice({ range.contains($0) })
          && (last[key] ?? ledger.keys.value(key)) != nil
        {
          last[key] = .some(nil)
        }
      }
    }
    return last.sorted { isBefore($0.key, $1.key) }.map { .init(key: $0.key, value: $0.value) }
  }

  // MARK: Judging

  private func contents(
    limit: Int = .max
  ) throws(ProgramFailure) -> [(key: [UInt8], value: [UInt8])] {
    let cluster = try opened()
    var found: [(key: [UInt8], value: [UInt8])] = []
    if limit == 0 { return found }
    try attempt { () throws(StorageError) in
      try cluster.scan(concurrency: 1) { key, value in
        found.append((key.withSlice { $0.array }, value.withSlice { $0.array }))
        return found.count < limit
      }
    }
    for index in found.indices.dropFirst()
    where !isBefore(found[index - 1].key, found[index].key) {
      throw fail("a scan in order", "'\(printable(found[index].key))' twice or out of order")
    }
    return found
  }

  /// Goes on in the world after a crash. The old cluster is closed in the old one, where it can do no
  /// harm.
  func recover(_ wreck: CrashWreck, after before: Ledger) throws(ProgramFailure) {
    close()
    if fileSystem !== wreck.fileSystem { fileSystem.onCall(nil) }
    armed.clear()
    ledger.keys.crash(wreck.mode)
    fileSystem = wreck.fileSystem
    ledger.clock = SteppingClock(at: wreck.time)
    armed.armNext(fileSystem) { [ledger] in ledger.now }
    try surviving { () throws(ProgramFailure) in
      try open()
      try judge(after: wreck.mode)
    }
  }

  private func judge(after mode: CrashMode) throws(ProgramFailure) {
    let cluster = try opened()
    ledger.phase = cluster.state.migration?.phase.name ?? "none"
    var found: [[UInt8]: [UInt8]] = [:]
    for (key, value) in try contents() { found[key] = value }
    for key in ledger.keys.keys {
      let value = try attempt { () throws(StorageError) in try cluster.get(key) }
      if value != found[key] {
        throw fail("a read and a scan that agree", "they differ in '\(printable(key))'")
      }
    }
    let router = try attempt { () throws(StorageError) in try cluster.route().router }
    if armed.wreck != nil { return }
    do throws(MigrationFailure) {
      try ledger.keys.settle(found, after: mode) { router.shard(of: $0) }
    } catch {
      throw fail("what was acknowledged after \(mode)", error.description)
    }
  }

  /// After the end: every key at its place, nothing anywhere else, no shard too many.
  private func checkAll() throws(ProgramFailure) {
    let cluster = try opened()
    ledger.phase = "the end"
    let found = try contents()
    let expected = ledger.keys.keys.filter { ledger.keys.value($0) != nil }
    if found.map(\.key) != expected {
      throw fail("\(expected.count) keys", "\(found.count), or others")
    }
    for (key, value) in found where ledger.keys.value(key) != value {
      throw fail(
        "'\(printable(key))' holds \(text(ledger.keys.value(key)))", text(value))
    }
    let report = try checkPlaces(cluster)
    if let stray = report.strays.first {
      throw fail(
        "every key on its shard",
        "'\(printable(stray.key))' was left behind on \(stray.shard); it is \(stray.owner)'s")
    }
    let shards = cluster.state.shards.map(\.description)
    let names = try attempt { () throws(StorageError) in
      try fileSystem.list(joinPath(ClusterRun.directory, Cluster.shardsName))
    }
    if names.sorted() != shards.sorted() {
      throw fail("directories of the shards \(shards)", "directories \(names)")
    }
  }

  @discardableResult
  private func checkPlaces(_ cluster: Cluster) throws(ProgramFailure) -> ClusterVerification {
    let report = try attempt { () throws(StorageError) in try cluster.verify() }
    if let problem = report.problems.values.joined().first {
      throw fail("shards that verify", problem.message)
    }
    return report
  }
}
