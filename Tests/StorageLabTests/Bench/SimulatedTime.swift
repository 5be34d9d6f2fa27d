import Synchronization

@testable import StorageLab

/// A clock that only moves when told to, or waited on.
final class SimulatedClock: LabClock {
  private let now: Atomic<UInt64>

  init(_ start: UInt64 = 1_000_000_000) { now = Atomic(start) }

  var nanoseconds: UInt64 { now.load(ordering: .relaxed) }
  func advance(_ nanoseconds: UInt64) { now.wrappingAdd(nanoseconds, ordering: .relaxed) }
  func wait(until deadline: UInt64, spin: UInt64) {
    if deadline > nanoseconds { now.store(deadline, ordering: .relaxed) }
  }
}

/// The memory engine with reads and puts that take a time of their own on a simulated clock.
final class PacedEngine: StorageEngine, @unchecked Sendable {
  static let engineName = "paced"
  private let base: MemoryEngine
  private let clock: SimulatedClock
  /// Nanoseconds of the n-th read or put.
  private let cost: @Sendable (Int) -> UInt64
  private var calls = 0

  init(_ clock: SimulatedClock, _ cost: @escaping @Sendable (Int) -> UInt64) {
    base = MemoryEngine(EngineOptions(path: ""))
    self.clock = clock
    self.cost = cost
  }

  private func work() {
    clock.advance(cost(calls))
    calls += 1
  }

  var options: EngineOptions { base.options }
  func read(_ key: RawSpan, _ body: (RawSpan) -> Void) throws(StorageError) -> Bool {
    work()
    return try base.read(key, body)
  }
  func put(_ key: RawSpan, _ value: RawSpan) throws(StorageError) {
    work()
    try base.put(key, value)
  }
  func cursor(_ range: KeyRange) throws(StorageError) -> any Cursor { try base.cursor(range) }
  func delete(_ key: RawSpan) throws(StorageError) { try base.delete(key) }
  func deleteRange(from lower: RawSpan, to upper: RawSpan) throws(StorageError) {
    try base.deleteRange(from: lower, to: upper)
  }
  func write(_ batch: WriteBatch) throws(StorageError) { try base.write(batch) }
  func sync() throws(StorageError) { try base.sync() }
  func checkpoint() throws(StorageError) { try base.checkpoint() }
  func compact() throws(StorageError) { try base.compact() }
  func settle() throws(StorageError) { try base.settle() }
  func statistics() throws(StorageError) -> EngineStatistics { try base.statistics() }
  func verify() throws(StorageError) -> VerificationReport { try base.verify() }
  func close() throws(StorageError) { try base.close() }
  func snapshot() throws(StorageError) -> any Snapshot { try base.snapshot() }
}

/// One thread that overwrites records of an engine with simulated costs.
struct SimulatedRun {
  let clock = SimulatedClock()
  let requests: Int
  let cost: @Sendable (Int) -> UInt64

  private func drive(
    _ run: (inout RequestStream, RequestArena, RequestExecutor) throws(StorageError) -> LoopResult
  ) throws -> LoopResult {
    let source = SyntheticRecords(.decimal, count: 100, valueBytes: 20, seed: 1)
    let ledger = RecordLedger(capacity: 100)
    var stream = RequestStream(
      try Workload.named("overwrite"), distribution: .uniform, recordCount: 100, insertBase: 100,
      operations: requests, thread: 0, threads: 1, seed: 1)
    let executor = RequestExecutor(
      PacedEngine(clock, cost), name: "paced", source, ledger, isAlone: true)
    return try run(&stream, RequestArena(source, ledger), executor)
  }

  func closed() throws -> LoopResult {
    try drive { (stream, arena, executor) throws(StorageError) in
      var loop = ClosedLoop(clock: clock)
      return try loop.run(&stream, arena, executor)
    }
  }

  func open(_ load: OfferedLoad) throws -> LoopResult {
    try drive { (stream, arena, executor) throws(StorageError) in
      let arrivals = ArrivalSequence(load, workload: "overwrite", seed: 1)
      var loop = OpenLoop(
        clock: clock, queue: ArrivalQueue(arrivals, count: requests), epoch: clock.nanoseconds)
      return try loop.run(&stream, arena, executor)
    }
  }
}
