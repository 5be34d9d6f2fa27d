/// Counts a thread's latencies by slices of time: a small histogram per slice, all in memory that
/// is there before the clock starts. Costs some 2 ns a request.
///
/// The first slices are a millisecond long. When their number reaches the limit, neighbours are
/// merged and slices become twice as long, so a run of any length has half the limit at least.
struct SliceRecorder: Sendable {
  static let limit = 128
  static let shortest: UInt64 = 1_000_000

  /// What slices are counted from.
  let epoch: UInt64
  /// When the slice under way ends: `advance` is due.
  private(set) var end: UInt64
  private(set) var width = SliceRecorder.shortest
  private let memory: Memory
  private nonisolated(unsafe) var counts: UnsafeMutablePointer<UInt32>
  private var index = 0
  private var busy: UInt64 = 0
  private var maximum: UInt64 = 0

  private final class Memory: @unchecked Sendable {
    let counts: UnsafeMutablePointer<UInt32>
    let busy: UnsafeMutablePointer<UInt64>
    let maxima: UnsafeMutablePointer<UInt64>

    init() {
      let cells = SliceRecorder.limit * LatencyBuckets.count
      counts = .allocate(capacity: cells)
      busy = .allocate(capacity: SliceRecorder.limit)
      maxima = .allocate(capacity: SliceRecorder.limit)
      counts.initialize(repeating: 0, count: cells)
      busy.initialize(repeating: 0, count: SliceRecorder.limit)
      maxima.initialize(repeating: 0, count: SliceRecorder.limit)
    }

    deinit {
      counts.deallocate()
      busy.deallocate()
      maxima.deallocate()
    }
  }

  init(epoch: UInt64) {
    self.epoch = epoch
    memory = Memory()
    counts = memory.counts
    end = epoch &+ SliceRecorder.shortest
  }

  /// Counts a request that ended in the slice under way. `busy` is its time in the engine.
  @inline(__always)
  mutating func record(_ latency: UInt64, busy time: UInt64) {
    (counts + LatencyBuckets.index(latency)).pointee &+= 1
    busy &+= time
    maximum = max(maximum, latency)
  }

  /// Begins the slice of `now`. REQUIRES: `now >= end`.
  @inline(never)
  mutating func advance(to now: UInt64) {
    store()
    while (now &- epoch) / width >= UInt64(SliceRecorder.limit) { merge() }
    begin(Int((now &- epoch) / width))
  }

  private mutating func begin(_ slice: Int) {
    index = slice
    counts = memory.counts + slice * LatencyBuckets.count
    busy = memory.busy[slice]
    maximum = memory.maxima[slice]
    end = epoch &+ UInt64(slice + 1) &* width
  }

  private func store() {
    memory.busy[index] = busy
    memory.maxima[index] = maximum
  }

  /// Makes slices twice as long.
  private mutating func merge() {
    width *= 2
    let half = SliceRecorder.limit / 2
    for slice in 0..<half {
      let target = memory.counts + slice * LatencyBuckets.count
      let (first, second) = (
        memory.counts + 2 * slice * LatencyBuckets.count,
        memory.counts + (2 * slice + 1) * LatencyBuckets.count
      )
      for bucket in 0..<LatencyBuckets.count { target[bucket] = first[bucket] &+ second[bucket] }
      memory.busy[slice] = memory.busy[2 * slice] &+ memory.busy[2 * slice + 1]
      memory.maxima[slice] = max(memory.maxima[2 * slice], memory.maxima[2 * slice + 1])
    }
    (memory.counts + half * LatencyBuckets.count)
      .update(repeating: 0, count: half * LatencyBuckets.count)
    (memory.busy + half).update(repeating: 0, count: half)
    (memory.maxima + half).update(repeating: 0, count: half)
  }

  /// The slices of several threads as one series. REQUIRES: one epoch; no one records any more.
  static func series(_ recorders: [SliceRecorder]) -> LatencySeries {
    var recorders = recorders
    let width = recorders.map(\.width).max() ?? shortest
    for index in recorders.indices {
      recorders[index].store()
      while recorders[index].width < width {
        recorders[index].merge()
        recorders[index].index /= 2
      }
    }
    var series = LatencySeries(sliceSeconds: Double(width) / 1e9)
    guard let last = recorders.map(\.index).max() else { return series }
    var sum = [UInt64](repeating: 0, count: LatencyBuckets.count)
    for slice in 0...last {
      for bucket in sum.indices { sum[bucket] = 0 }
      var (busy, maximum): (UInt64, UInt64) = (0, 0)
      for recorder in recorders {
        let counts = recorder.memory.counts + slice * LatencyBuckets.count
        for bucket in sum.indices { sum[bucket] &+= UInt64(counts[bucket]) }
        busy &+= recorder.memory.busy[slice]
        maximum = max(maximum, recorder.memory.maxima[slice])
      }
      let requests = sum.reduce(0, &+)
      series.requests.append(requests)
      series.busy.append(busy)
      series.p50.append(min(maximum, LatencyBuckets.quantile(0.5, sum, of: requests)))
      series.p99.append(min(maximum, LatencyBuckets.quantile(0.99, sum, of: requests)))
      series.maximum.append(maximum)
    }
    return series
  }
}

/// Buckets of latencies in nanoseconds: exact below 64, then 32 to each doubling, so that a value
/// is known to 3 %. Up to 2³⁷ ns, beyond `LoopResult.longestLatency`.
enum LatencyBuckets {
  private static let bits = 5
  private static let perDoubling = 1 << bits
  private static let highestBit = 36
  static let count = (highestBit - bits + 2) * perDoubling

  /// REQUIRES: `value <= LoopResult.longestLatency`.
  @inline(__always)
  static func index(_ value: UInt64) -> Int {
    let top = 63 &- (value | UInt64(perDoubling)).leadingZeroBitCount
    let shift = top &- bits
    return shift &* perDoubling &+ Int(truncatingIfNeeded: value &>> UInt64(shift))
  }

  /// The highest value of a bucket.
  static func highest(_ index: Int) -> UInt64 {
    let shift = max(0, index / perDoubling - 1)
    return (UInt64(index - shift * perDoubling + 1) << UInt64(shift)) - 1
  }

  /// The value that `share` of the counts do not exceed; 0 for none.
  static func quantile(_ share: Double, _ counts: [UInt64], of total: UInt64) -> UInt64 {
    if total == 0 { return 0 }
    let wanted = max(1, UInt64((share * Double(total)).rounded(.up)))
    var seen: UInt64 = 0
    for (index, count) in counts.enumerated() {
      seen &+= count
      if seen >= wanted { return highest(index) }
    }
    return highest(counts.count - 1)
  }
}
