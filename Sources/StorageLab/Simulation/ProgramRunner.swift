/// The first place where an engine and the oracle, or a script's expectation, disagree.
public struct ProgramFailure: Error, Sendable, CustomStringConvertible {
  public let engine: String
  /// Index of the step in the program; its count for the checks after the last step.
  public let step: Int
  public let line: Int
  public let operation: String
  public let expected: String
  public let found: String

  public var description: String {
    let place = line > 0 ? "line \(line)" : "step \(step)"
    return "\(engine), \(place), \(operation.prefix(200)): expected \(expected), found \(found)"
  }
}

/// Runs a program on one engine in lock-step with the memory engine and compares every
/// result.
///
/// Crashes are judged by the durability class. With `commit`, and after a kill with any
/// class but `none`, every acknowledged write must be there. Otherwise the state found must
/// be one that the acknowledged history went through, no older than the last sync; the
/// oracle then follows the engine there. An operation during which the plug was pulled may
/// have happened or not, but not by half.
public struct ProgramRunner: Sendable {
  public let engine: EngineRegistry.Entry
  public var durability: Durability = .commit
  public var cacheBytes: Int = 256 << 10
  public var maintenance: EngineOptions.Maintenance = .inline
  /// Classes whose promise allows a power loss to destroy the database (SQLite's
  /// `synchronous=OFF`): a power loss is run as a kill.
  public var destructibleByPowerLoss: Set<Durability> = []
  /// What the program's merges mean.
  public var mergeOperator: (any MergeOperator)?

  public init(_ engine: EngineRegistry.Entry) { self.engine = engine }

  /// Returns how many of the program's armed crashes (`crash-after`) struck before its end: a
  /// test of crash points must know that there was a crash. Throws the first difference.
  @discardableResult
  public func run(_ program: OperationProgram) throws(ProgramFailure) -> Int {
    var run = ProgramRun(self, durability: program.durability ?? durability)
    try run.start()
    for (index, step) in program.steps.enumerated() { try run.perform(step, index) }
    try run.finish(program.steps.count)
    return run.armedCrashes
  }
}

/// One run's state.
private struct ProgramRun {
  static let directory = "/database"

  let runner: ProgramRunner
  let durability: Durability
  var fileSystem = MemoryFileSystem()
  var executor: ProgramExecutor?
  let oracle: MemoryEngine
  var oracleExecutor: ProgramExecutor
  /// States that the acknowledged history went through since the last sync, oldest first.
  var history: [any Snapshot] = []
  /// The file system after an armed crash has struck.
  let restarted = CrashSlot()
  var step = OperationProgram.Step(.statistics)
  var index = 0
  var spaceIsLimited = false
  /// Armed crashes that struck.
  var armedCrashes = 0

  /// Where a hook leaves the world after the crash.
  final class CrashSlot: @unchecked Sendable {
    private let lock = WaitableLock()
    private var slot: MemoryFileSystem?
    var value: MemoryFileSystem? {
      get { lock.withLock { slot } }
      set { lock.withLock { slot = newValue } }
    }
  }

  init(_ runner: ProgramRunner, durability: Durability) {
    self.runner = runner
    self.durability = durability
    var options = EngineOptions(path: "", fileSystem: fileSystem)
    options.mergeOperator = runner.mergeOperator
    oracle = MemoryEngine(options)
    oracleExecutor = ProgramExecutor(oracle)
  }

  func options() -> EngineOptions {
    var options = EngineOptions(path: ProgramRun.directory, fileSystem: fileSystem)
    options.durability = durability
    options.cacheBytes = runner.cacheBytes
    options.maintenance = runner.maintenance
    options.mergeOperator = runner.mergeOperator
    return options
  }

  // MARK: Steps

  mutating func start() throws(ProgramFailure) {
    history = [try oracleState()]
    try open()
  }

  mutating func perform(_ step: OperationProgram.Step, _ index: Int) throws(ProgramFailure) {
    self.step = step
    self.index = index
    switch step.operation {
    case .reopen: try reopen()
    case .crash(let mode): try crash(mode)
    case .crashAfter(let calls, let mode): arm(calls: calls, mode)
    case .space(let bytes):
      fileSystem.capacity = bytes.map { fileSystem.usedBytes + $0 }
      spaceIsLimited = bytes != nil
    default: try compare(step.operation)
    }
  }

  /// Everything once more at the end, now and after a clean restart.
  mutating func finish(_ index: Int) throws(ProgramFailure) {
    fileSystem.onCall(nil)
    self.index = index
    step = OperationProgram.Step(.verify)
    fileSystem.capacity = nil
    spaceIsLimited = false
    try compareAll()
    try compare(.verify)
    try reopen()
    executor?.closeSnapshots()
    try closeEngine()
  }

  private mutating func compare(_ operation: ProgramOperation) throws(ProgramFailure) {
    guard var running = executor else { return }
    let found = running.run(operation)
    executor = running
    if let restart = restarted.value { return try recover(restart, inFlight: operation) }
    if spaceIsLimited, operation.mayNeedSpace, case .failed(let code) = found,
      code == .noSpace || code == .writesRefused
    {
      return
    }
    let expected = oracleExecutor.run(operation)
    if let stated = step.expected, stated != expected { throw differ(stated, expected, "oracle: ") }
    if found != expected { throw differ(expected, found) }
    switch operation {
    case .change, .batch: if expected == .done { history.append(try oracleState()) }
    case .sync, .checkpoint: history = [try oracleState()]
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

  // MARK: Opening, closing, crashing

  private mutating func open() throws(ProgramFailure) {
    do throws(StorageError) {
      executor = ProgramExecutor(try runner.engine.open(options()))
    } catch {
      if let restart = restarted.value { return try recover(restart, inFlight: nil) }
      if spaceIsLimited, error.code == .noSpace || error.code == .writesRefused {
        fileSystem.capacity = nil
        spaceIsLimited = false
        return try open()
      }
      throw fail("the database opens", "\(error.code.rawValue): \(error)")
    }
    if let restart = restarted.value { try recover(restart, inFlight: nil) }
  }

  private mutating func reopen() throws(ProgramFailure) {
    guard runner.engine.isPersistent else { return }
    executor?.closeSnapshots()
    oracleExecutor.closeSnapshots()
    try closeEngine()
    if let restart = restarted.value { return try recover(restart, inFlight: nil) }
    if executor == nil { try open() }
    try compareAll()
  }

  private mutating func closeEngine() throws(ProgramFailure) {
    do throws(StorageError) {
      try executor?.engine.close()
    } catch {
      if restarted.value != nil { return }
      guard spaceIsLimited else {
        throw fail("the engine closes", "\(error.code.rawValue): \(error)")
      }
      // A close that the full device refused is no better than a kill, and no worse.
      lastMode = .keepEverything
      fileSystem.capacity = nil
      spaceIsLimited = false
      return try recover(fileSystem.crash(lastMode), inFlight: nil)
    }
    if restarted.value != nil { return }
    executor = nil
    history = [try oracleState()]
  }

  private func effective(_ mode: CrashMode) -> CrashMode {
    runner.destructibleByPowerLoss.contains(durability) ? .keepEverything : mode
  }

  private mutating func crash(_ mode: CrashMode) throws(ProgramFailure) {
    guard runner.engine.isPersistent else { return }
    lastMode = effective(mode)
    try recover(fileSystem.crash(lastMode), inFlight: nil)
  }

  private var lastMode = CrashMode.keepEverything

  private mutating func arm(calls: Int, _ mode: CrashMode) {
    guard runner.engine.isPersistent, restarted.value == nil else { return }
    lastMode = effective(mode)
    let target = fileSystem.callCount + max(1, calls)
    let slot = restarted
    fileSystem.onCall { [unowned fileSystem, lastMode] (call) throws(StorageError) in
      if call.index >= target, slot.value == nil { slot.value = fileSystem.crash(lastMode) }
    }
  }

  /// Goes on in the world after a crash. The old engine is closed in the old one, where it
  /// can do no harm.
  private mutating func recover(
    _ restart: MemoryFileSystem, inFlight: ProgramOperation?
  ) throws(ProgramFailure) {
    executor?.closeSnapshots()
    oracleExecutor.closeSnapshots()
    do throws(StorageError) { try executor?.engine.close() } catch {}
    executor = nil
    fileSystem.onCall(nil)
    if restarted.value != nil { armedCrashes += 1 }
    restarted.value = nil
    fileSystem = restart
    try open()
    try settleOnAllowedState(inFlight)
    try compareAll()
    try compare(.verify)
  }

  private mutating func settleOnAllowedState(
    _ inFlight: ProgramOperation?
  ) throws(ProgramFailure) {
    let keepsAll: Bool
    switch durability {
    case .commit: keepsAll = true
    case .process, .interval: keepsAll = lastMode == .keepEverything
    case .none: keepsAll = false
    }
    let oldest = keepsAll ? history.count - 1 : 0
    if let inFlight, inFlight.isChange, oracleExecutor.run(inFlight) == .done {
      history.append(try oracleState())
    }
    let found = try contents()
    for position in (oldest..<history.count).reversed() {
      let state = history[position]
      guard try entries(state) == found else { continue }
      try restoreOracle(state)
      // What a power loss left is on the medium; what a kill left may still be on its way.
      let survives = lastMode == .keepEverything && durability != .commit
      history = survives ? Array(history[...position]) : [state]
      return
    }
    let count = history.count - oldest
    throw differ(
      .items(try entries(history[history.count - 1])), .items(found),
      count == 1 ? "the acknowledged state: " : "one of \(count) states, the latest: ")
  }

  // MARK: Comparing

  private mutating func compareAll() throws(ProgramFailure) {
    try compareWhole(backward: false)
    try compareWhole(backward: true)
  }

  private mutating func compareWhole(backward: Bool) throws(ProgramFailure) {
    let scan = ProgramOperation.scan(.init(), backward: backward, limit: nil, snapshot: nil)
    guard var running = executor else { return }
    let found = running.run(scan)
    if restarted.value != nil { return }
    let expected = oracleExecutor.run(scan)
    if found != expected {
      throw differ(expected, found, backward ? "scanning all backward: " : "scanning all: ")
    }
  }

  private func contents() throws(ProgramFailure) -> [ProgramOutcome.Item] {
    guard let executor else { return [] }
    do throws(StorageError) {
      let cursor = try executor.engine.cursor()
      defer { cursor.close() }
      return try ProgramExecutor.scan(cursor)
    } catch {
      throw fail("the recovered database is readable", "\(error.code.rawValue): \(error)")
    }
  }

  private func entries(_ state: any Snapshot) throws(ProgramFailure) -> [ProgramOutcome.Item] {
    do throws(StorageError) { return try ProgramExecutor.scan(try state.cursor()) } catch {
      throw fail("the oracle reads", error.description)
    }
  }

  private func restoreOracle(_ state: any Snapshot) throws(ProgramFailure) {
    do throws(StorageError) { try oracle.restore(state) } catch {
      throw fail("the oracle goes back", error.description)
    }
  }

  private func oracleState() throws(ProgramFailure) -> any Snapshot {
    do throws(StorageError) { return try oracle.snapshot() } catch {
      throw fail("the oracle answers", error.description)
    }
  }

  private func fail(_ expected: String, _ found: String) -> ProgramFailure {
    ProgramFailure(
      engine: "\(runner.engine.name) (\(durability))", step: index, line: step.line,
      operation: step.operation.description, expected: expected, found: found)
  }

  private func differ(
    _ expected: ProgramOutcome, _ found: ProgramOutcome, _ what: String = ""
  ) -> ProgramFailure {
    fail(what + expected.shown(against: found), found.shown(against: expected))
  }
}

extension ProgramOperation {
  var isChange: Bool {
    switch self {
    case .change, .batch: true
    default: false
    }
  }

  /// Whether a full device may refuse it.
  var mayNeedSpace: Bool {
    switch self {
    case .change, .batch, .sync, .checkpoint, .compact, .settle: true
    default: false
    }
  }
}
