/// Makes every I/O call of a program fail, one after the other, and looks what the engine makes
/// of it: no acknowledged write lost, none half there, no wrong answer, the right error, and work
/// that goes on after a restart.
///
/// The medium forgets what a failed sync was to make durable (`FaultRule.Effect.failForgetting`),
/// so an engine that takes the next successful sync for a promise loses data here.
public struct FaultSweep: Sendable {
  /// One fault.
  public struct Case: Sendable, CustomStringConvertible {
    public let call: FaultRule.Call
    public let files: FileClass
    public let code: StorageError.Code
    /// Every call from the nth on, or only the nth.
    public let isLasting: Bool
    public let nth: Int

    public var description: String {
      "\(call) \(nth) of \(files.name) files\(isLasting ? " and all later" : "") fails, "
        + code.rawValue
    }
  }

  public struct Miss: Sendable, CustomStringConvertible {
    public let fault: Case
    public let what: String
    public var description: String { "\(fault): \(what)" }
  }

  public struct Tally: Sendable {
    public var faults = 0
    /// Operations that were refused, all faults together.
    public var refusals = 0
    public var misses: [Miss] = []

    public init() {}

    public mutating func add(_ other: Tally) {
      faults += other.faults
      refusals += other.refusals
      misses += other.misses
    }
  }

  public static let calls: [FaultRule.Call] = [
    .open, .read, .write, .sync, .truncate, .preallocate, .map, .rename, .remove, .syncDirectory,
  ]

  public let engine: EngineRegistry.Entry
  public var durability = Durability.commit
  /// Every call of a kind is made to fail, or every so many of them.
  public var stride = 1
  /// At most so many calls of a kind.
  public var limit = 400

  public init(_ engine: EngineRegistry.Entry) { self.engine = engine }

  /// Runs every case. `progress` hears of each call kind and file class begun.
  public func run(_ progress: (String) -> Void = { _ in }) -> Tally {
    var tally = Tally()
    for call in FaultSweep.calls {
      // A directory is no file of a class.
      let classes = call == .syncDirectory ? [FileClass.other] : FileClass.allCases
      for files in classes {
        progress("\(call) of \(files.name) files")
        for code in [StorageError.Code.io, .noSpace] where FaultSweep.makesSense(call, code) {
          for isLasting in [false, true] {
            for nth in Swift.stride(from: 1, through: limit, by: max(1, stride)) {
              let fault = Case(
                call: call, files: files, code: code, isLasting: isLasting, nth: nth)
              var trial = FaultTrial(self, fault)
              let struck = trial.run()
              if !struck { break }
              tally.faults += 1
              tally.refusals += trial.refusals
              if let what = trial.flaw { tally.misses.append(Miss(fault: fault, what: what)) }
            }
          }
        }
      }
    }
    return tally
  }

  /// A full device refuses what takes space.
  private static func makesSense(_ call: FaultRule.Call, _ code: StorageError.Code) -> Bool {
    if code == .io { return true }
    switch call {
    case .open, .write, .sync, .preallocate, .rename, .syncDirectory: return true
    default: return false
    }
  }
}

/// One run of the program under one fault.
private struct FaultTrial {
  private static let directory = "/database"
  private static let keyCount = 24

  let sweep: FaultSweep
  let fault: FaultSweep.Case
  private let medium = MemoryFileSystem()
  private let faulting: FaultingFileSystem
  private(set) var flaw: String?
  private(set) var refusals = 0
  /// For each key what was acknowledged last, then what was refused since and may be there after
  /// a restart; nil is no value.
  private var allowed: [Int: [[UInt8]?]] = [:]

  init(_ sweep: FaultSweep, _ fault: FaultSweep.Case) {
    self.sweep = sweep
    self.fault = fault
    faulting = FaultingFileSystem(medium)
  }

  private func options(_ fileSystem: any FileSystem) -> EngineOptions {
    var options = EngineOptions(path: FaultTrial.directory, fileSystem: fileSystem)
    options.durability = sweep.durability
    options.maintenance = .inline
    // Pages and blocks are read again and again.
    options.cacheBytes = 64 << 10
    return options
  }

  /// Returns whether the fault struck.
  mutating func run() -> Bool {
    do throws(StorageError) {
      // The first half without the fault: there is something to lose.
      var engine = try sweep.engine.open(options(faulting))
      for step in 0..<30 { perform(step, engine) }
      try engine.close()
      if refusals > 0 { flaw = "refuses without a fault" }
      let effect: FaultRule.Effect =
        fault.call == .sync ? .failForgetting(fault.code) : .fail(fault.code, bytesWritten: 100)
      faulting.setRules([
        FaultRule(
          fault.call, of: .fileClass(fault.files), nth: fault.nth,
          count: fault.isLasting ? nil : 1, effect)
      ])
      do throws(StorageError) { engine = try sweep.engine.open(options(faulting)) } catch {
        checkCode(error, "open")
        faulting.setRules([])
        engine = try sweep.engine.open(options(faulting))
      }
      for step in 30..<90 { perform(step, engine) }
      let struck = faulting.strikes > 0
      faulting.isEnabled = false
      read(engine, "while running", mayBeRefused: false)
      // The fault is over, and still the engine may refuse writes: then a restart helps.
      for ending in [CrashMode.loseEverythingUnsynced, .keepEverything] {
        if ending != .keepEverything && sweep.durability != .commit { continue }
        restart(on: medium.afterCrash(ending), "after \(ending)")
      }
      do throws(StorageError) { try engine.close() } catch { checkCode(error, "close") }
      faulting.isEnabled = true
      faulting.setRules([])
      restart(on: medium, "after a close")
      return struck
    } catch {
      flaw = flaw ?? "the database does not open: \(error)"
      return true
    }
  }

  // MARK: Work

  private mutating func perform(_ step: Int, _ engine: any StorageEngine) {
    switch step % 15 {
    case 7: range(step, engine)
    case 10: batch(step, engine)
    case 13: upkeep { () throws(StorageError) in try engine.checkpoint() }
    case 14 where step > 60: upkeep { () throws(StorageError) in try engine.compact() }
    default:
      change([step * 7 % FaultTrial.keyCount], to: FaultTrial.value(step)) {
        (key) throws(StorageError) in
        try engine.put(key[0], FaultTrial.value(step))
      }
    }
    if step % 8 == 0 {
      read(
        engine, "at step \(step)", mayBeRefused: fault.call == .read || fault.call == .open)
    }
  }

  private static func value(_ step: Int) -> [UInt8] {
    ConformanceContext.value(step, bytes: step % 11 == 0 ? 6000 : 300)
  }

  private mutating func range(_ step: Int, _ engine: any StorageEngine) {
    let first = step % FaultTrial.keyCount
    let keys = Array(first..<min(first + 3, FaultTrial.keyCount))
    change(keys, to: nil) { (key) throws(StorageError) in
      try engine.deleteRange(from: key[0], to: key[key.count - 1] + [0])
    }
  }

  private mutating func batch(_ step: Int, _ engine: any StorageEngine) {
    let keys = [1, 5, 9].map { ($0 * step) % FaultTrial.keyCount }
    change(keys, to: FaultTrial.value(step)) { (key) throws(StorageError) in
      var batch = WriteBatch()
      for key in key { batch.put(key, FaultTrial.value(step)) }
      try engine.write(batch)
    }
  }

  /// Sets the keys' new value, and notes what became of it.
  private mutating func change(
    _ keys: [Int], to value: [UInt8]?, _ body: ([[UInt8]]) throws(StorageError) -> Void
  ) {
    do throws(StorageError) {
      try body(keys.map { ConformanceContext.key($0) })
      for key in keys { allowed[key] = [value] }
    } catch {
      checkCode(error, "a write")
      refusals += 1
      for key in keys { allowed[key, default: [nil]].append(value) }
    }
  }

  private mutating func upkeep(_ body: () throws(StorageError) -> Void) {
    do throws(StorageError) { try body() } catch {
      checkCode(error, "upkeep")
      refusals += 1
    }
  }

  private mutating func checkCode(_ error: StorageError, _ what: String) {
    // A log that cannot be trusted any more refuses with its own code.
    if error.code == fault.code || error.code == .writesRefused { return }
    flaw = flaw ?? "\(what) fails with \(error.code.rawValue): \(error)"
  }

  // MARK: Checking

  /// Every key holds its last acknowledged value.
  private mutating func read(
    _ engine: any StorageEngine, _ when: String, mayBeRefused: Bool
  ) {
    for (key, values) in allowed {
      do throws(StorageError) {
        let found = try engine.get(ConformanceContext.key(key))
        if found != values[0] {
          flaw = flaw ?? "key \(key) is not what was acknowledged, \(when)"
        }
      } catch { checkRead(error, when, mayBeRefused) }
    }
    var found: [DamageSubject.Entry] = []
    var isWhole = true
    do throws(StorageError) { try DamageSubject.collect(engine, in: &found) } catch {
      isWhole = false
      checkRead(error, when, mayBeRefused)
    }
    let expected = allowed.compactMap { (key, values) in
      values[0].map { (key: ConformanceContext.key(key), value: $0) }
    }.sorted { isBefore($0.key, $1.key) }
    let isRight =
      isWhole ? expected.elementsEqual(found, by: ==) : expected.starts(with: found, by: ==)
    if !isRight { flaw = flaw ?? "a scan is not what was acknowledged, \(when)" }
  }

  private mutating func checkRead(_ error: StorageError, _ when: String, _ mayBeRefused: Bool) {
    if mayBeRefused { return checkCode(error, "reading") }
    flaw = flaw ?? "reading fails \(when): \(error)"
  }

  /// Every key holds its last acknowledged value, or one that was refused later.
  private mutating func restart(on fileSystem: any FileSystem, _ when: String) {
    do throws(StorageError) {
      let engine = try sweep.engine.open(options(fileSystem))
      for (key, values) in allowed {
        let found = try engine.get(ConformanceContext.key(key))
        if !values.contains(found) {
          flaw = flaw ?? "key \(key) has lost what was acknowledged, \(when)"
        }
      }
      let report = try engine.verify()
      if let problem = report.problems.first { flaw = flaw ?? "\(when): \(problem.message)" }
      try engine.put([0], [1])
      try engine.checkpoint()
      try engine.delete([0])
      try engine.close()
    } catch {
      flaw = flaw ?? "\(when): \(error)"
    }
  }
}
