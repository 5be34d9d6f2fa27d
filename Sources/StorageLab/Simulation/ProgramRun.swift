/// One run of a program: an engine on a medium that can crash, and the oracle beside it.
struct ProgramRun {
  static let directory = "/database"

  let runner: ProgramRunner
  let durability: Durability
  let ledger: Ledger
  let oracle: MemoryEngine
  var oracleExecutor: ProgramExecutor
  var executor: ProgramExecutor?
  var fileSystem: MemoryFileSystem
  /// The device may run full, and then refuses what takes space.
  var spaceIsLimited: Bool { fileSystem.capacity != nil }
  /// Crashes to come.
  let armed = ArmedCrashes()

  /// What a crash in the middle of an operation is judged by: hooks read it on the thread that
  /// runs the program.
  final class Ledger: CrashLedger, @unchecked Sendable {
    var history: AcknowledgedHistory
    /// Of the present world.
    var clock: SteppingClock
    /// The database is open, recovery over: steps are under way.
    var isWorking = false
    var step = OperationProgram.Step(.statistics)
    var index = 0
    /// The step's operation while the engine is at it.
    var inFlight: ProgramOperation?

    init(_ history: AcknowledgedHistory, _ clock: SteppingClock) {
      self.history = history
      self.clock = clock
    }

    var durability: Durability { history.durability }
    var now: UInt64 { clock.now }
    var phase: String { "" }
    var move: String { "" }

    func promise(after mode: CrashMode) -> UInt64 {
      UInt64(history.allowed.count) << 32 | UInt64(index) << 2
        | (inFlight == nil ? 0 : 2) | (mode == .keepEverything ? 1 : 0)
    }
  }

  /// A run on an empty medium.
  init(_ runner: ProgramRunner, durability: Durability) throws(ProgramFailure) {
    self.runner = runner
    self.durability = durability
    fileSystem = MemoryFileSystem(keepsVersions: true)
    let clock = SteppingClock()
    (oracle, oracleExecutor) = ProgramRun.makeOracle(runner)
    let first: AcknowledgedHistory.State
    do throws(StorageError) {
      first = AcknowledgedHistory.State(contents: try oracle.snapshot(), acknowledged: clock.now)
    } catch {
      throw ProgramFailure(runner, durability, "the oracle answers", error.description)
    }
    ledger = Ledger(AcknowledgedHistory(durability, first), clock)
  }

  /// A run that goes on where another, of this ledger, might be after a crash: it has still to
  /// `recover`.
  init(
    _ runner: ProgramRunner, after ledger: Ledger, on fileSystem: MemoryFileSystem
  ) throws(ProgramFailure) {
    self.runner = runner
    durability = ledger.history.durability
    self.fileSystem = fileSystem
    (oracle, oracleExecutor) = ProgramRun.makeOracle(runner)
    self.ledger = Ledger(ledger.history, SteppingClock(at: ledger.clock.now))
    self.ledger.step = ledger.step
    self.ledger.index = ledger.index
    if let newest = ledger.history.allowed.last { try restoreOracle(newest.contents) }
  }

  private static func makeOracle(_ runner: ProgramRunner) -> (MemoryEngine, ProgramExecutor) {
    var options = EngineOptions(path: "")
    options.mergeOperator = runner.mergeOperator
    let oracle = MemoryEngine(options)
    return (oracle, ProgramExecutor(oracle))
  }

  private func options() -> EngineOptions {
    var options = EngineOptions(path: ProgramRun.directory)
    options.fileSystem = runner.interposing?(fileSystem) ?? fileSystem
    options.durability = durability
    options.cacheBytes = runner.cacheBytes
    options.maintenance = runner.maintenance
    options.mergeOperator = runner.mergeOperator
    if runner.maintenance == .inline { options.clock = ledger.clock }
    return options
  }

  // MARK: Steps

  /// Runs it all; returns how many armed crashes struck.
  mutating func run(_ program: OperationProgram) throws(ProgramFailure) -> Int {
    // Crashes that come first count from the very first call.
    let crashes = program.steps.prefix {
      if case .crashAfter = $0.operation { true } else { false }
    }
    for step in crashes { try perform(step, ledger.index) }
    try perform(program.steps, from: crashes.count) { true }
    return armed.struck
  }

  /// Opens the database unless it is open, does the steps for as long as `goesOn`, and finishes.
  mutating func perform(
    _ steps: [OperationProgram.Step], from first: Int = 0, while goesOn: () -> Bool
  ) throws(ProgramFailure) {
    if executor == nil { try open() }
    ledger.isWorking = true
    for (index, step) in steps.enumerated().dropFirst(first) where goesOn() {
      try perform(step, index)
    }
    try finish(steps.count)
  }

  private mutating func perform(
    _ step: OperationProgram.Step, _ index: Int
  ) throws(ProgramFailure) {
    ledger.step = step
    ledger.index = index
    switch step.operation {
    case .reopen: try reopen()
    case .crash(let mode): try crash(mode)
    case .crashAfter(let calls, let mode): arm(calls: calls, mode)
    case .space(let bytes):
      fileSystem.capacity = bytes.map { fileSystem.usedBytes + $0 }
    default: try compare(step.operation)
    }
  }

  /// Everything once more at the end, now and after a clean restart.
  private mutating func finish(_ index: Int) throws(ProgramFailure) {
    fileSystem.onCall(nil)
    armed.disarm()
    ledger.index = index
    ledger.step = OperationProgram.Step(.verify)
    fileSystem.capacity = nil
    try compareAll()
    try compare(.verify)
    try reopen()
    executor?.closeSnapshots()
    try closeEngine()
  }

  mutating func compare(_ operation: ProgramOperation) throws(ProgramFailure) {
    guard var running = executor else { return }
    let began = ledger.clock.now
    ledger.inFlight = operation
    let found = running.run(operation)
    executor = running
    if let wreck = armed.wreck { return try recover(wreck, inFlight: operation) }
    ledger.inFlight = nil
    if spaceIsLimited, operation.mayNeedSpace, case .failed(let code) = found,
      code == .noSpace || code == .writesRefused
    {
      return
    }
    let expected = oracleExecutor.run(operation)
    if let stated = ledger.step.expected, stated != expected {
      throw differ(stated, expected, "oracle: ")
    }
    if found != expected { throw differ(expected, found) }
    switch operation {
    case .change, .batch:
      if expected == .done { ledger.history.acknowledge(try oracleState(), began: began) }
    case .sync, .checkpoint: ledger.history.makeDurable()
    case .statistics: try checkStatistics()
    default: break
    }
  }

  private func checkStatistics() throws(ProgramFailure) {
    guard let executor else { return }
    let found: EngineStatistics
    let expected: EngineStatistics
    do throws(StorageError) {
      found = try executor.engine.statistics()
      expected = try oracle.statistics()
    } catch {
      throw fail("statistics", error.description)
    }
    if let entries = found.entries, entries != expected.entries {
      throw fail("\(expected.entries ?? 0) entries in statistics", "\(entries)")
    }
    if found.openSnapshots != executor.openSnapshots {
      throw fail("\(executor.openSnapshots) open snapshots", "\(found.openSnapshots)")
    }
  }

  // MARK: Opening and closing

  mutating func open() throws(ProgramFailure) {
    do throws(StorageError) {
      executor = ProgramExecutor(try runner.engine.open(options()))
    } catch {
      if let wreck = armed.wreck { return try recover(wreck, inFlight: nil) }
      if spaceIsLimited, error.code == .noSpace || error.code == .writesRefused {
        fileSystem.capacity = nil
        return try open()
      }
      throw fail("the database opens", "\(error.code.rawValue): \(error)")
    }
    if let wreck = armed.wreck { try recover(wreck, inFlight: nil) }
  }

  private mutating func reopen() throws(ProgramFailure) {
    guard runner.engine.isPersistent else { return }
    executor?.closeSnapshots()
    oracleExecutor.closeSnapshots()
    try closeEngine()
    if let wreck = armed.wreck { return try recover(wreck, inFlight: nil) }
    if executor == nil { try open() }
    try compareAll()
  }

  private mutating func closeEngine() throws(ProgramFailure) {
    do throws(StorageError) {
      try executor?.engine.close()
    } catch {
      if armed.wreck != nil { return }
      guard spaceIsLimited else {
        throw fail("the engine closes", "\(error.code.rawValue): \(error)")
      }
      // A close that the full device refused is no better than a kill, and no worse.
      fileSystem.capacity = nil
      return try recover(wreck(.keepEverything), inFlight: nil)
    }
    if armed.wreck != nil { return }
    executor = nil
    ledger.history.makeDurable()
  }

  // MARK: Comparing

  mutating func compareAll() throws(ProgramFailure) {
    try compareWhole(backward: false)
    try compareWhole(backward: true)
  }

  private mutating func compareWhole(backward: Bool) throws(ProgramFailure) {
    let scan = ProgramOperation.scan(.init(), backward: backward, limit: nil, snapshot: nil)
    guard var running = executor else { return }
    let found = running.run(scan)
    if armed.wreck != nil { return }
    let expected = oracleExecutor.run(scan)
    if found != expected {
      throw differ(expected, found, backward ? "scanning all backward: " : "scanning all: ")
    }
  }

  func restoreOracle(_ state: any Snapshot) throws(ProgramFailure) {
    do throws(StorageError) { try oracle.restore(state) } catch {
      throw fail("the oracle goes back", error.description)
    }
  }

  func oracleState() throws(ProgramFailure) -> AcknowledgedHistory.State {
    do throws(StorageError) {
      return AcknowledgedHistory.State(
        contents: try oracle.snapshot(), acknowledged: ledger.clock.now)
    } catch {
      throw fail("the oracle answers", error.description)
    }
  }

  func fail(_ expected: String, _ found: String) -> ProgramFailure {
    ProgramFailure(
      runner, durability, expected, found, step: ledger.index, line: ledger.step.line,
      operation: ledger.step.operation.description)
  }

  func differ(
    _ expected: ProgramOutcome, _ found: ProgramOutcome, _ what: String = ""
  ) -> ProgramFailure {
    fail(what + expected.shown(against: found), found.shown(against: expected))
  }
}
