import Synchronization

/// Latencies of the last moments, counted by threads and taken by one. Buckets are a thirty-second of a
/// power of two wide: a percentile is right to 3 %.
final class LatencyWindow: Sendable {
  static let parts = 32
  static let buckets = 48 * parts
  private nonisolated(unsafe) let counts: UnsafeMutablePointer<Atomic<UInt64>>

  init() {
    counts = .allocate(capacity: LatencyWindow.buckets)
    for index in 0..<LatencyWindow.buckets { (counts + index).initialize(to: Atomic(0)) }
  }

  deinit {
    counts.deinitialize(count: LatencyWindow.buckets)
    counts.deallocate()
  }

  private static func bucket(_ nanoseconds: UInt64) -> Int {
    if nanoseconds < UInt64(parts) { return Int(nanoseconds) }
    let exponent = 63 - nanoseconds.leadingZeroBitCount
    let part = Int(nanoseconds >> UInt64(exponent - 5)) & (parts - 1)
    return min(buckets - 1, (exponent - 4) * parts + part)
  }

  /// The highest latency that a bucket counts.
  private static func top(_ bucket: Int) -> UInt64 {
    if bucket < parts { return UInt64(bucket) }
    let exponent = bucket / parts + 4
    return (UInt64(parts + bucket % parts + 1) << UInt64(exponent - 5)) - 1
  }

  @inline(__always)
  func record(_ nanoseconds: UInt64) {
    counts[LatencyWindow.bucket(nanoseconds)].wrappingAdd(1, ordering: .relaxed)
  }

  /// What was counted since the last call.
  func take() -> Counts {
    Counts(
      counts: (0..<LatencyWindow.buckets).map { counts[$0].exchange(0, ordering: .relaxed) })
  }

  struct Counts {
    var counts: [UInt64]

    static let none = Counts(counts: [UInt64](repeating: 0, count: LatencyWindow.buckets))

    var total: UInt64 { counts.reduce(0, +) }

    mutating func add(_ other: Counts) {
      for index in counts.indices { counts[index] += other.counts[index] }
    }

    /// Nanoseconds; nil when nothing was counted.
    func percentile(_ share: Double) -> UInt64? {
      let total = total
      if total == 0 { return nil }
      var left = UInt64((Double(total) * share).rounded(.up))
      for (bucket, count) in counts.enumerated() where count > 0 {
        if count >= left { return LatencyWindow.top(bucket) }
        left -= count
      }
      return nil
    }
  }
}

/// Readers and writers of a cluster, and what each key must hold: every read is held against what was
/// acknowledged before it and begun before its end.
///
/// A key has one writer. Its versions count up by two; an odd one says that it was deleted.
final class RebalanceLoad: @unchecked Sendable {
  let scenario: RebalanceScenario
  let cluster: Cluster
  /// Of requests from when they were due.
  let window = LatencyWindow()
  /// Of writes from when they were begun.
  let writes = LatencyWindow()
  private let clock: any LabClock
  private let valueBytes: Int
  private let threadCount: Int
  /// Keys there may be: those of the beginning, and room for what is added.
  private let capacity: Int
  private let begun: UnsafeMutablePointer<Atomic<UInt32>>
  private let done: UnsafeMutablePointer<Atomic<UInt32>>
  /// Keys that were added, in all.
  private let added = Atomic<Int>(0)
  private let isStopping = Atomic<Bool>(false)
  private let staleCount = Atomic<Int>(0)
  private let lostCount = Atomic<Int>(0)
  private let requestCount = Atomic<Int>(0)
  private let refusalCount = Atomic<Int>(0)
  private let failure = Guarded<StorageError?>(nil)
  private var threads: [LabThread] = []
  let initialKeys: Int

  init(
    _ scenario: RebalanceScenario, _ cluster: Cluster, keys: Int, valueBytes: Int, threads: Int
  ) {
    self.scenario = scenario
    self.cluster = cluster
    self.valueBytes = max(16, valueBytes)
    threadCount = threads
    clock = cluster.options.clock
    initialKeys = keys
    capacity = scenario.isGrowing ? 2 * keys : keys
    begun = .allocate(capacity: capacity)
    done = .allocate(capacity: capacity)
    for index in 0..<capacity {
      (begun + index).initialize(to: Atomic(0))
      (done + index).initialize(to: Atomic(0))
    }
  }

  deinit {
    begun.deinitialize(count: capacity)
    begun.deallocate()
    done.deinitialize(count: capacity)
    done.deallocate()
  }

  var stale: Int { staleCount.load(ordering: .relaxed) }
  var lost: Int { lostCount.load(ordering: .relaxed) }
  var requests: Int { requestCount.load(ordering: .relaxed) }
  var refusals: Int { refusalCount.load(ordering: .relaxed) }
  var addedKeys: Int { added.load(ordering: .relaxed) }

  // MARK: Values

  private func fill(_ value: inout [UInt8], _ index: Int, _ version: UInt32) {
    var random = SeededRandom(seed: UInt64(index) &* 31 &+ UInt64(version))
    value.withMutableBytes { buffer in
      random.fill(buffer)
      buffer.storeBytes(of: UInt64(index).littleEndian, as: UInt64.self)
      buffer.storeBytes(of: version.littleEndian, toByteOffset: 8, as: UInt32.self)
    }
  }

  private static func version(_ value: RawSpan, _ index: Int) -> UInt32? {
    value.withSlice { slice in
      guard slice.count >= 16,
        UInt64(littleEndian: slice.base.loadUnaligned(as: UInt64.self)) == UInt64(index)
      else { return nil }
      return UInt32(littleEndian: slice.base.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
    }
  }

  /// Writes every key of the beginning. `told` hears the share that is done.
  func load(_ told: (Double) -> Void) throws(StorageError) {
    var value = [UInt8](repeating: 0, count: valueBytes)
    var batch = WriteBatch(reservingBytes: 256 << 10)
    for index in 0..<initialKeys {
      fill(&value, index, 2)
      batch.put(scenario.key(index), value)
      begun[index].store(2, ordering: .relaxed)
      done[index].store(2, ordering: .relaxed)
      if batch.count == 500 || index == initialKeys - 1 {
        try cluster.write(batch)
        batch.removeAll()
        told(Double(index + 1) / Double(initialKeys))
      }
    }
    try cluster.sync()
    try cluster.settle()
  }

  // MARK: Requests

  /// Begins requests at `rate` a second in all; 0 is as fast as they go. Half of them are reads.
  func start(rate: Double, seed: UInt64) throws(StorageError) {
    for number in 0..<threadCount {
      threads.append(
        try LabThread(name: "load-\(number)") { [self] in
          run(number, period: rate > 0 ? Double(threadCount) * 1e9 / rate : 0, seed: seed)
        })
    }
  }

  func stop() throws(StorageError) {
    isStopping.store(true, ordering: .relaxed)
    for thread in threads { thread.join() }
    threads = []
    if let error = failure.withLock({ $0 }) { throw error }
  }

  private func run(_ number: Int, period: Double, seed: UInt64) {
    var random = SeededRandom(seed: seed &+ UInt64(number))
    var value = [UInt8](repeating: 0, count: valueBytes)
    var own = number
    while own < initialKeys { own += threadCount }
    do throws(StorageError) {
      let client = try ClusterClient(cluster)
      let start = clock.nanoseconds
      var turn = 0.0
      while !isStopping.load(ordering: .relaxed) {
        // From when it was due, so that a stall is not omitted.
        var intended = start &+ UInt64(turn * period)
        if period > 0 {
          clock.wait(until: intended, spin: 0)
        } else {
          intended = clock.nanoseconds
        }
        turn += 1
        if random.chance(0.5) {
          try read(client, random.below(initialKeys))
        } else if scenario.isGrowing, own < capacity, random.chance(0.9) {
          // What ascends with time is seldom changed later.
          try write(client, own, &value, deletes: false)
          own += threadCount
          added.wrappingAdd(1, ordering: .relaxed)
        } else {
          let index = random.below((initialKeys - number + threadCount - 1) / threadCount)
          try write(client, number + index * threadCount, &value, deletes: random.chance(0.05))
        }
        let now = clock.nanoseconds
        window.record(now &- min(intended, now))
        requestCount.wrappingAdd(1, ordering: .relaxed)
      }
      refusalCount.wrappingAdd(client.refusals, ordering: .relaxed)
    } catch {
      failure.withLock { $0 = $0 ?? error }
    }
  }

  private func write(
    _ client: ClusterClient, _ index: Int, _ value: inout [UInt8], deletes: Bool
  ) throws(StorageError) {
    let next = done[index].load(ordering: .relaxed) / 2 * 2 + (deletes ? 3 : 2)
    let key = scenario.key(index)
    if !deletes { fill(&value, index, next) }
    begun[index].store(next, ordering: .releasing)
    let start = clock.nanoseconds
    if deletes { try client.delete(key) } else { try client.put(key, value) }
    writes.record(clock.nanoseconds &- start)
    done[index].store(next, ordering: .releasing)
  }

  private func read(_ client: ClusterClient, _ index: Int) throws(StorageError) {
    let key = scenario.key(index)
    let before = done[index].load(ordering: .acquiring)
    var found: UInt32?
    var isOurs = true
    _ = try client.read(key.span.bytes) { value in
      found = RebalanceLoad.version(value, index)
      isOurs = found != nil
    }
    let after = begun[index].load(ordering: .acquiring)
    if let found {
      if found < before || found > after { staleCount.wrappingAdd(1, ordering: .relaxed) }
    } else if !isOurs || (before == after && before % 2 == 0 && before > 0) {
      lostCount.wrappingAdd(1, ordering: .relaxed)
    }
  }

  // MARK: The end

  struct Verdict {
    /// Acknowledged writes that are not there, or not as they were; deleted keys that are there.
    var lost = 0
    var resurrected = 0
    var keys = 0
  }

  /// Looks at every key. REQUIRES: nobody writes.
  func check() throws(StorageError) -> Verdict {
    var verdict = Verdict()
    for index in 0..<capacity {
      let version = done[index].load(ordering: .relaxed)
      if version == 0 { continue }
      var found: UInt32?
      var isThere = false
      _ = try cluster.read(scenario.key(index).span.bytes) { value in
        isThere = true
        found = RebalanceLoad.version(value, index)
      }
      if version % 2 == 1 {
        if isThere { verdict.resurrected += 1 }
      } else {
        verdict.keys += 1
        if found != version { verdict.lost += 1 }
      }
    }
    return verdict
  }
}
