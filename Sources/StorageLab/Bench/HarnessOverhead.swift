/// What the benchmark itself adds to each request: the clock, the histogram and the check (of
/// a read beside no writer: keeping the answer for it),
/// measured with an engine that does nothing. Included in every figure, so printed.
public struct HarnessOverhead: Sendable, Codable, Equatable {
  public var readNanoseconds: Double = 0
  public var putNanoseconds: Double = 0
  /// Calls of malloc that the harness makes in a request; nil where they are not counted.
  public var readAllocations: Double?
  public var putAllocations: Double?
  /// What an open loop adds to the latency of a read, from the intended start: the median at 20,000
  /// requests a second. Nil in bundles of schema 2 and older.
  public var openLoopNanoseconds: Double?

  public init() {}

  private static let requests = 20_000
  /// The lowest of these counts: whatever else the machine does only adds.
  private static let batches = 7
  private static let records = 1_024
  /// Of the open loop: a tenth of a second in all.
  private static let offered = OfferedLoad(rate: 20_000, arrivals: .constant)
  private static let arrivals = 300

  /// Takes an eighth of a second. Errors: none that an engine that does nothing could have.
  static func measure(
    valueBytes: Int, seed: UInt64, clock: any LabClock, allocations: AllocationCounter? = nil
  ) throws(StorageError) -> HarnessOverhead {
    let source = SyntheticRecords(
      .decimal, count: records, valueBytes: valueBytes, seed: seed)
    let ledger = RecordLedger(capacity: records)
    let engine = NullEngine(source, records: records)
    func run(
      _ loop: consuming some LoadLoop, _ workload: Workload, _ operations: Int
    ) throws(StorageError) -> LoopResult {
      var stream = RequestStream(
        workload, distribution: .sequential, recordCount: records, insertBase: records,
        operations: operations, thread: 0, threads: 1, seed: seed)
      let executor = RequestExecutor(
        engine, name: "null", source, ledger, isAlone: true,
        sheet: AnswerSheet(source, ledger, workload: workload))
      engine.turn = 0
      return try loop.run(&stream, RequestArena(source, ledger), executor)
    }
    func time(
      _ workload: Workload
    ) throws(StorageError) -> (nanoseconds: Double, allocations: Double?) {
      var (lowest, allocated) = (Double.infinity, Double.infinity)
      for _ in 0..<batches {
        let result = try run(
          ClosedLoop(clock: clock, allocations: allocations), workload, requests)
        let operations = Double(max(1, result.operations))
        lowest = min(lowest, Double(result.busyNanoseconds) / operations)
        allocated = min(allocated, Double(result.allocations.count) / operations)
      }
      return (lowest, allocations == nil ? nil : allocated)
    }
    for record in 0..<records {
      ledger.acknowledge(record, version: ledger.issue(record), isPresent: true)
    }
    var overhead = HarnessOverhead()
    let read = try Workload.named("readrandom")
    (overhead.readNanoseconds, overhead.readAllocations) = try time(read)
    var lowest = UInt64.max
    for _ in 0..<batches {
      let queue = ArrivalQueue(
        ArrivalSequence(offered, workload: read.name, seed: seed), count: arrivals)
      let paced = try run(
        OpenLoop(clock: clock, queue: queue, epoch: clock.nanoseconds &+ 500_000), read, arrivals)
      lowest = min(lowest, paced.latencies.valueAtPercentile(50))
    }
    overhead.openLoopNanoseconds = Double(lowest)
    // Last: what is read must be the first versions.
    (overhead.putNanoseconds, overhead.putAllocations) = try time(try Workload.named("overwrite"))
    return overhead
  }
}

/// Answers reads with the first versions of records 0, 1, 2 … in turn and forgets writes.
private final class NullEngine: StorageEngine, @unchecked Sendable {
  static let engineName = "null"
  let options = EngineOptions(path: "")
  private let values: UnsafeMutableRawPointer
  private let stride: Int
  private let records: Int
  var turn = 0

  /// A few MiB of values at most: larger ones share the place.
  init(_ source: any RecordSource, records: Int) {
    self.records = records
    stride = source.maximumValueBytes
    values = .allocate(byteCount: stride * records, alignment: 64)
    for record in 0..<records {
      _ = source.writeValue(record, version: 1, to: values + record * stride)
    }
  }

  deinit { values.deallocate() }

  func read(_ key: RawSpan, _ body: (RawSpan) -> Void) throws(StorageError) -> Bool {
    body(ByteSlice(base: values + turn * stride, count: stride).rawBuffer.bytes)
    turn = turn + 1 == records ? 0 : turn + 1
    return true
  }

  func put(_ key: RawSpan, _ value: RawSpan) throws(StorageError) {}
  func delete(_ key: RawSpan) throws(StorageError) {}
  func deleteRange(from lower: RawSpan, to upper: RawSpan) throws(StorageError) {}
  func write(_ batch: WriteBatch) throws(StorageError) {}
  func sync() throws(StorageError) {}
  func checkpoint() throws(StorageError) {}
  func compact() throws(StorageError) {}
  func settle() throws(StorageError) {}
  func statistics() throws(StorageError) -> EngineStatistics { EngineStatistics() }
  func verify() throws(StorageError) -> VerificationReport { VerificationReport() }
  func close() throws(StorageError) {}
  func snapshot() throws(StorageError) -> any Snapshot { throw unsupported }
  func cursor(_ range: KeyRange) throws(StorageError) -> any Cursor { throw unsupported }

  private var unsupported: StorageError {
    StorageError(.unsupported, "the engine that does nothing has no entries")
  }
}
