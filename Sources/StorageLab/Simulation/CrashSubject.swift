/// What a crash search crashes: something that runs programs on media which can be forked at any call.
protocol CrashSubject: Sendable {
  associatedtype Run: CrashableRun

  /// A run on an empty medium.
  func start() throws(ProgramFailure) -> Run

  /// One that goes on where another, of this ledger, might be after a crash: it has still to recover.
  func resume(
    after ledger: Run.Ledger, on fileSystem: MemoryFileSystem
  ) throws(ProgramFailure) -> Run

  /// What is done after a recovery.
  func work(_ random: inout SeededRandom) -> [OperationProgram.Step]

  /// At which call after the restart a recovery, or the work after it, is crashed.
  func nextTarget(_ random: inout SeededRandom) -> Int

  /// Whether a program is crashed at a call.
  func isTried(_ call: MemoryFileSystem.Call, _ ledger: Run.Ledger) -> Bool

  /// The crash that this one is run as.
  func effective(_ mode: CrashMode) -> CrashMode

  /// The steps with what else of the run they need, as a program of its own.
  func program(_ steps: [OperationProgram.Step]) -> OperationProgram
}

/// A run of a program that can be crashed in the middle of a step.
protocol CrashableRun {
  associatedtype Ledger: CrashLedger

  var ledger: Ledger { get }
  var fileSystem: MemoryFileSystem { get }

  /// Opens what the crash left and judges it by the ledger.
  mutating func recover(_ wreck: CrashWreck, after ledger: Ledger) throws(ProgramFailure)

  /// Opens unless it is open, does the steps for as long as `goesOn`, and finishes.
  mutating func perform(
    _ steps: [OperationProgram.Step], from first: Int, while goesOn: () -> Bool
  ) throws(ProgramFailure)
}

/// What a crash in the middle of a step is judged by; hooks read it on the thread that runs the program.
protocol CrashLedger: AnyObject, Sendable {
  var durability: Durability { get }
  /// Opened and recovered: steps are under way, this one of them.
  var isWorking: Bool { get }
  var index: Int { get }
  /// Of the run's clock.
  var now: UInt64 { get }
  /// Tells apart what must be found after such a crash.
  func promise(after mode: CrashMode) -> UInt64
  /// What goes on and with what, to be counted by; empty where there is nothing to tell.
  var phase: String { get }
  var move: String { get }
}

/// A crash: what it left, how, and when.
struct CrashWreck {
  let fileSystem: MemoryFileSystem
  let mode: CrashMode
  let time: UInt64
}

/// Crashes of a program that are to come, each counted from the restart after the one before.
final class ArmedCrashes: @unchecked Sendable {
  private var coming: [(calls: Int, mode: CrashMode)] = []
  private let lock = WaitableLock()
  private var slot: CrashWreck?
  /// How many struck.
  private(set) var struck = 0

  /// What the one left that struck and was not recovered from yet.
  var wreck: CrashWreck? { lock.withLock { slot } }

  func arm(
    calls: Int, _ mode: CrashMode, _ fileSystem: MemoryFileSystem, _ now: @escaping () -> UInt64
  ) {
    coming.append((max(1, calls), mode))
    if coming.count == 1 { armNext(fileSystem, now) }
  }

  /// Arms the next one on the medium of the present world. `now` is read when it strikes.
  func armNext(_ fileSystem: MemoryFileSystem, _ now: @escaping () -> UInt64) {
    guard let (calls, mode) = coming.first else { return }
    let target = fileSystem.callCount + calls
    nonisolated(unsafe) let now = now
    fileSystem.onCall { [unowned fileSystem, unowned self] (call) throws(StorageError) in
      guard call.index >= target, wreck == nil else { return }
      let wreck = CrashWreck(fileSystem: fileSystem.crash(mode), mode: mode, time: now())
      lock.withLock { slot = wreck }
    }
  }

  /// There was a crash, this one's or another, which no armed one follows.
  func clear() {
    let hasStruck = lock.withLock {
      defer { slot = nil }
      return slot != nil
    }
    if hasStruck {
      struck += 1
      coming.removeFirst()
    } else {
      coming = []
    }
  }

  func disarm() { coming = [] }
}

/// Runs programs as they stand.
protocol ProgramRunning {
  /// Returns how many of the program's armed crashes struck. Throws the first difference.
  func run(_ program: OperationProgram) throws(ProgramFailure) -> Int
}

extension ProgramRunning {
  /// The smallest program found that still fails like `program`, and how; nil when that does not
  /// fail when it is run again. `attempts` bounds how many are run.
  func smallest(
    _ program: OperationProgram, attempts: Int = 1500
  ) -> (program: OperationProgram, failure: ProgramFailure)? {
    var last: ProgramFailure?
    func fails(_ candidate: OperationProgram) -> Bool {
      do throws(ProgramFailure) { _ = try run(candidate) } catch {
        last = error
        return true
      }
      return false
    }
    guard fails(program) else { return nil }
    let smallest = ProgramShrinker.shrink(program, attempts: attempts, fails)
    guard fails(smallest), let last else { return nil }
    return (smallest, last)
  }
}
