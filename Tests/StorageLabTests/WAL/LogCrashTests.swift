import Testing

@testable import StorageLab

/// Random programs on the log, crashed at every call that reaches the medium: what recovery
/// finds is a prefix of what was appended and holds all that was promised, and the log goes
/// on from there, through crashes in the middle of recovery too.
@Suite struct LogCrashTests {
  static let seed: UInt64 = 0x57a1
  static let programs = 12

  @Test(arguments: [Durability.process, .interval(milliseconds: 1), .commit])
  func everyCrashLeavesAPrefixWithAllThatWasPromised(_ durability: Durability) throws {
    var points = 0
    for program in 0..<LogCrashTests.programs {
      let seed = LogCrashTests.seed &+ UInt64(program)
      let run = LogCrashRun(durability, seed: seed)
      do { try run.execute() } catch { run.fail("\(error)") }
      points += run.crashPoints
      if let failure = run.failure {
        Issue.record("\(durability), seed \(seed): \(failure)")
      }
    }
    #expect(points > 1000, "\(points) crash points under seed \(LogCrashTests.seed)")
  }
}

/// Goes on by a millisecond every few times it is read.
private final class StepClock: LabClock, @unchecked Sendable {
  private var reads: UInt64 = 0
  var nanoseconds: UInt64 {
    reads += 1
    return reads * 300_000
  }
}

/// One program: what it did so far, what a crash must leave of it, and the crashes.
/// All on one thread; the file system's hook runs on it too.
private final class LogCrashRun: @unchecked Sendable {
  private struct Record: Equatable {
    let end: LSN
    let payload: [UInt8]
  }

  private static let directory = "/log"

  private let durability: Durability
  private let fileSystem = MemoryFileSystem()
  private var random: SeededRandom
  private var crashSeeds: SeededRandom

  /// Everything appended and not taken back, from the beginning of time.
  private var records: [Record] = []
  /// As it would be if what was taken back came back.
  private var alternatives: [[Record]] = []
  /// Alternatives that a kill may still leave; the others only a power loss.
  private var isTakingBack = false
  /// Records that survive a kill, and power loss.
  private var handedOver = 0
  private var durable = 0
  /// Where replay starts.
  private var start: LSN = 0
  private var log: WriteAheadLog?
  private var isVerifying = false

  private(set) var crashPoints = 0
  private(set) var failure: String?

  init(_ durability: Durability, seed: UInt64) {
    self.durability = durability
    random = SeededRandom(seed: seed)
    crashSeeds = SeededRandom(seed: seed).split(1)
  }

  func fail(_ what: String) { if failure == nil { failure = what } }

  private func options(_ fileSystem: MemoryFileSystem) -> WriteAheadLog.Options {
    var options = WriteAheadLog.Options(
      directory: LogCrashRun.directory, fileSystem: fileSystem, durability: durability)
    options.segmentBytes = 4096
    options.maintenance = .inline
    options.clock = StepClock()
    return options
  }

  // MARK: The program

  func execute() throws {
    try fileSystem.createDirectory(LogCrashRun.directory)
    try fileSystem.syncDirectory("/")
    fileSystem.onCall { [unowned self] call in self.crash("before \(call.kind) \(call.path)") }
    try open()
    for _ in 0..<40 where failure == nil {
      switch random.below(20) {
      case 0..<12: try commitGroup()
      case 12..<14: try sync()
      case 14..<17: try release()
      case 17..<19: try reopen()
      default: try commitGroup(thenTakeBack: true)
      }
      crash("between operations")
    }
    fileSystem.onCall(nil)
    log?.close()
  }

  private func open() throws {
    var found: [Record] = []
    log = try WriteAheadLog.open(options(fileSystem), from: start) { lsn, payload in
      found.append(Record(end: lsn, payload: payload.array))
    }
    if found != records.filter({ $0.end > start }) { fail("a clean reopen changed the log") }
    noteDurable()
  }

  private func reopen() throws {
    log?.close()
    try open()
  }

  private func payload() -> [UInt8] {
    let length =
      switch random.below(20) {
      case 0: 5000 + random.below(6000)
      case 1..<4: 1000 + random.below(2000)
      case 4..<10: 100 + random.below(300)
      default: 1 + random.below(60)
      }
    var bytes = [UInt8](repeating: 0, count: length)
    bytes.withUnsafeMutableBytes { random.fill($0) }
    return bytes
  }

  private func commitGroup(thenTakeBack: Bool = false) throws {
    guard let log else { return }
    let begin = log.end
    let before = records
    for _ in 0..<(1 + random.below(4)) {
      let bytes = payload()
      records.append(
        Record(end: log.end + LSN(LogFormat.recordBytes(payload: bytes.count)), payload: bytes))
      let end = try bytes.withSlice { (slice) throws(StorageError) in
        try log.append(.batch(slice))
      }
      if end != records.last?.end { fail("a record ends at \(end)") }
    }
    try log.commit(log.end)
    if thenTakeBack {
      alternatives.append(records)
      records = before
      isTakingBack = true
      handedOver = min(handedOver, records.count)
      durable = min(durable, records.count)
      try log.rewind(to: begin)
      isTakingBack = false
      if durability != .process { alternatives = [] }
      return
    }
    handedOver = records.count
    if durability == .commit { durable = records.count }
    noteDurable()
  }

  /// The log's own claim counts as a promise.
  private func noteDurable() {
    guard let log else { return }
    let claimed = log.durableEnd
    durable = max(durable, records.prefix { $0.end <= claimed }.count)
  }

  private func sync() throws {
    try log?.sync()
    durable = records.count
  }

  private func release() throws {
    let ends = records.map(\.end).filter { $0 >= start }
    guard !ends.isEmpty else { return }
    start = ends[random.below(ends.count)]
    try log?.release(before: start)
  }

  // MARK: Crashes

  private func crash(_ place: String) {
    if isVerifying || failure != nil { return }
    isVerifying = true
    defer { isVerifying = false }
    var modes: [CrashMode] = [.keepEverything, .loseEverythingUnsynced]
    for _ in 0..<3 { modes.append(.keepSome(seed: crashSeeds.next())) }
    for mode in modes {
      crashPoints += 1
      do {
        try verify(fileSystem.afterCrash(mode), mode, isDeep: crashSeeds.below(4) == 0)
      } catch {
        fail("\(place), \(mode): \(error)")
      }
      if failure != nil { return }
    }
  }

  private struct Wrong: Error, CustomStringConvertible { let description: String }

  private func recover(
    _ image: MemoryFileSystem, _ mode: CrashMode
  ) throws -> (WriteAheadLog, [Record]) {
    var found: [Record] = []
    let log = try WriteAheadLog.open(options(image), from: start) { lsn, payload in
      found.append(Record(end: lsn, payload: payload.array))
    }
    let isKill = mode == .keepEverything
    let timelines = [records] + (isKill && !isTakingBack ? [] : alternatives)
    let isPrefix = timelines.contains { timeline in
      timeline.filter { $0.end > start }.starts(with: found)
    }
    if !isPrefix {
      throw Wrong(description: "recovered \(found.count) records that are no prefix")
    }
    let promised = records.prefix(isKill ? handedOver : durable).filter { $0.end > start }
    if !found.starts(with: promised) {
      throw Wrong(description: "recovered \(found.count) records of \(promised.count) promised")
    }
    if log.end != found.last?.end ?? start {
      throw Wrong(description: "the log ends at \(log.end)")
    }
    return (log, found)
  }

  private func verify(_ image: MemoryFileSystem, _ mode: CrashMode, isDeep: Bool) throws {
    if isDeep { try crashDuringRecovery(image, mode) }
    let (log, found) = try recover(image, mode)
    var expected = found
    for length in [30, 3000] {
      let bytes = [UInt8](repeating: UInt8(length & 0xff), count: length)
      let end = try bytes.withSlice { (slice) throws(StorageError) in
        try log.append(.batch(slice))
      }
      expected.append(Record(end: end, payload: bytes))
      try log.commit(end)
    }
    if isDeep { try log.sync() }
    let next = image.crash(
      isDeep || durability == .commit ? .loseEverythingUnsynced : .keepEverything)
    var again: [Record] = []
    _ = try WriteAheadLog.open(options(next), from: start) { lsn, payload in
      again.append(Record(end: lsn, payload: payload.array))
    }
    if again != expected {
      throw Wrong(
        description: "went on with \(expected.count) records, a second crash left \(again.count)")
    }
  }

  /// Crashes recovery at each of its calls.
  private func crashDuringRecovery(_ image: MemoryFileSystem, _ mode: CrashMode) throws {
    let copy = image.afterCrash(.keepEverything)
    let errors = Errors()
    copy.onCall { [unowned self, unowned copy] call in
      for second in [
        CrashMode.loseEverythingUnsynced, .keepSome(seed: self.crashSeeds.next()), .keepEverything,
      ] {
        self.crashPoints += 1
        do {
          // What a kill left in the operating system's hands, power loss may still take.
          _ = try self.recover(
            copy.afterCrash(second), second == .keepEverything ? mode : second)
        } catch {
          errors.list.append("in recovery, before \(call.kind) \(call.path), \(second): \(error)")
        }
      }
    }
    _ = try recover(copy, mode)
    copy.onCall(nil)
    if let error = errors.list.first { throw Wrong(description: error) }
  }

  private final class Errors: @unchecked Sendable { var list: [String] = [] }
}
