/// The first place where an engine and the oracle, or a script's expectation, disagree.
public struct ProgramFailure: Error, Sendable, Hashable, CustomStringConvertible {
  public let engine: String
  /// Index of the step in the program; its count for the checks after the last step.
  public let step: Int
  public let line: Int
  public let operation: String
  public let expected: String
  public let found: String

  init(
    _ runner: ProgramRunner, _ durability: Durability, _ expected: String, _ found: String,
    step: Int = 0, line: Int = 0, operation: String = "open"
  ) {
    self.init(
      engine: "\(runner.engine.name) (\(durability))", expected, found, step: step, line: line,
      operation: operation)
  }

  init(
    engine: String, _ expected: String, _ found: String, step: Int, line: Int, operation: String
  ) {
    self.engine = engine
    self.step = step
    self.line = line
    self.operation = operation
    self.expected = expected
    self.found = found
  }

  public var description: String {
    let place = line > 0 ? "line \(line)" : "step \(step)"
    return "\(engine), \(place), \(operation.prefix(200)): expected \(expected), found \(found)"
  }
}

/// Runs a program on one engine in lock-step with the memory engine and compares every
/// result.
///
/// Crashes are judged by the durability class, as `AcknowledgedHistory` says; the oracle then
/// follows the engine to the state that it found.
public struct ProgramRunner: Sendable, ProgramRunning {
  public let engine: EngineRegistry.Entry
  public var durability: Durability = .commit
  public var cacheBytes: Int = 256 << 10
  public var maintenance: EngineOptions.Maintenance = .inline
  /// What the program's merges mean.
  public var mergeOperator: (any MergeOperator)?
  /// Puts something between the engine and the medium: a test of this test.
  var interposing: (@Sendable (MemoryFileSystem) -> any FileSystem)?

  public init(_ engine: EngineRegistry.Entry) { self.engine = engine }

  /// Returns how many of the program's armed crashes (`crash-after`) struck before its end: a
  /// test of crash points must know that there was a crash. Throws the first difference.
  @discardableResult
  public func run(_ program: OperationProgram) throws(ProgramFailure) -> Int {
    var runner = self
    if let cacheBytes = program.cacheBytes { runner.cacheBytes = cacheBytes }
    var run = try ProgramRun(runner, durability: program.durability ?? durability)
    return try run.run(program)
  }

  func effective(_ mode: CrashMode, _ durability: Durability) -> CrashMode {
    engine.effective(mode, durability)
  }
}

extension EngineRegistry.Entry {
  /// A power loss that may destroy the database is run as a kill.
  func effective(_ mode: CrashMode, _ durability: Durability) -> CrashMode {
    switch durability {
    case .none, .process: needsSyncs ? .keepEverything : mode
    case .interval, .commit: mode
    }
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
