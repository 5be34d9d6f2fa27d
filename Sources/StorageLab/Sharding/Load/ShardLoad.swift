import Synchronization

/// What is asked of one shard: counted request by request, and one in `sampleEvery` looked at more
/// closely for hot keys, where the load lies, and whether new keys go to the end. A cluster keeps one
/// for each shard. Any thread may record: an atomic addition in the lane it comes by, and for a sampled
/// request a lock that nobody waits for, since a sample that finds it taken is let go. Once
/// the samples are full nothing is allocated but for a key longer than those whose places it takes.
public final class ShardLoad: @unchecked Sendable {
  public enum Kind: Int, Sendable, CaseIterable { case read, write, scan }

  /// A moment's figures; counts begin with the last `reset`.
  public struct Summary: Sendable {
    /// Reads and writes.
    public var requests: UInt64
    public var writes: UInt64
    /// Of keys and values, where they were given.
    public var bytes: UInt64
    /// Requests that were looked at closely.
    public var sampled: UInt64
    /// Hottest first, with their shares of the sampled requests.
    public var hotKeys: [HotKey]
    /// Keys of sampled requests, in no order.
    public var keys: [[UInt8]]
    /// Whether new keys go to the end; nil while it is not known.
    public var isAscending: Bool?
    /// The highest key that was written.
    public var highestKey: [UInt8]
  }

  public struct HotKey: Sendable, Hashable {
    public var key: [UInt8]
    /// Of the requests; the true share among the sampled ones lies between `atLeast` and it.
    public var share: Double
    public var atLeast: Double
  }

  private struct Samples: ~Copyable {
    let sketch: SpaceSaving
    var keys: KeySample
    var order = InsertionOrder()
    /// Totals at the last reset.
    var before = [UInt64](repeating: 0, count: ShardLoad.fields)
  }

  /// A lane has its counters on a cache line of 64 bytes: one for each kind, and one of bytes.
  private static let laneStride = 8
  private static let fields = Kind.allCases.count + 1
  private static let bytesField = Kind.allCases.count

  private let lanes: Int
  private let counters: UnsafeMutablePointer<Atomic<UInt64>>
  private let samples: Guarded<Samples>
  private let sampleMask: UInt64

  public static let sampleEveryByDefault = 16

  /// `sampleEvery` is made a power of two, upwards; 1 looks at every request. `hotKeys` bounds what a
  /// hot key's share may be wrong by: one in so many. Threads that count in different lanes, of which
  /// there are 1 … 64, do not meet.
  public init(
    sampleEvery: Int = ShardLoad.sampleEveryByDefault, hotKeys: Int = 128, keys: Int = 512,
    seed: UInt64 = 0, lanes: Int = 1
  ) {
    var every: UInt64 = 1
    while every < UInt64(max(1, min(sampleEvery, 1 << 20))) { every *= 2 }
    sampleMask = every - 1
    self.lanes = min(max(1, lanes), 64)
    counters = .allocate(capacity: self.lanes * ShardLoad.laneStride)
    for index in 0..<self.lanes * ShardLoad.laneStride {
      (counters + index).initialize(to: Atomic(0))
    }
    samples = Guarded(
      Samples(sketch: SpaceSaving(capacity: hotKeys), keys: KeySample(capacity: keys, seed: seed)))
  }

  deinit {
    counters.deinitialize(count: lanes * ShardLoad.laneStride)
    counters.deallocate()
  }

  // MARK: Counting

  /// Counts a request. Which ones are looked at closely follows from a hash of their number, so that
  /// no rhythm of a workload hides from it. REQUIRES: there is such a lane.
  @inline(__always)
  public func record(_ kind: Kind, _ key: ByteSlice, bytes size: Int = 0, lane: Int = 0) {
    let number = count(kind, lane: lane)
    if size > 0 { add(UInt64(truncatingIfNeeded: size), ShardLoad.bytesField, lane) }
    let place = UInt64(truncatingIfNeeded: lane << 2 | kind.rawValue)
    if Hash64.hash(number &<< 8 | place) & sampleMask == 0 { sample(kind, key) }
  }

  public func record(_ kind: Kind, _ key: RawSpan, bytes size: Int = 0, lane: Int = 0) {
    key.withSlice { record(kind, $0, bytes: size, lane: lane) }
  }

  /// Counts a request that has no one key. Returns how many there were before it in its lane.
  @inline(__always) @discardableResult
  public func count(_ kind: Kind, lane: Int = 0) -> UInt64 { add(1, kind.rawValue, lane) }

  @inline(__always) @discardableResult
  private func add(_ amount: UInt64, _ field: Int, _ lane: Int) -> UInt64 {
    counters[lane &* ShardLoad.laneStride &+ field].wrappingAdd(amount, ordering: .relaxed).oldValue
  }

  @inline(never)
  private func sample(_ kind: Kind, _ key: ByteSlice) {
    _ = samples.withLockIfAvailable { samples in
      samples.sketch.touch(key)
      samples.keys.offer(key)
      if kind == .write { samples.order.insert(key) }
    }
  }

  // MARK: Figures

  /// Requests of a kind since it was made.
  public func total(_ kind: Kind) -> UInt64 { total(kind.rawValue) }

  private func total(_ field: Int) -> UInt64 {
    (0..<lanes).reduce(0) {
      $0 &+ counters[$1 * ShardLoad.laneStride + field].load(ordering: .relaxed)
    }
  }

  /// Complexity: O(hot keys · log hot keys + sampled keys).
  public func summary(hotKeys limit: Int = 16) -> Summary {
    samples.withLock { samples in
      func since(_ field: Int) -> UInt64 { total(field) &- samples.before[field] }
      let sampled = Double(max(1, samples.sketch.total))
      let writes = since(Kind.write.rawValue)
      return Summary(
        requests: since(Kind.read.rawValue) + writes, writes: writes,
        bytes: since(ShardLoad.bytesField), sampled: samples.sketch.total,
        hotKeys: samples.sketch.top(limit).map {
          HotKey(
            key: $0.key, share: Double($0.count) / sampled,
            atLeast: Double($0.count - $0.error) / sampled)
        }, keys: samples.keys.keys, isAscending: samples.order.isAscending,
        highestKey: samples.order.highestKey)
    }
  }

  /// Begins a new stretch of time; what is known of the order of new keys stays.
  public func reset() {
    samples.withLock { samples in
      samples.sketch.reset()
      samples.keys.reset()
      for field in 0..<ShardLoad.fields { samples.before[field] = total(field) }
    }
  }
}

extension ShardLoad.Summary {
  /// The part of a key, such as a tenant, that has most of the sampled requests, and its share of them;
  /// nil when nothing was sampled. With n samples the share is right to about 1/√n.
  /// Complexity: O(sampled keys).
  public func hottest(_ part: RoutingPart) -> (part: [UInt8], share: Double)? {
    var counts: [[UInt8]: Int] = [:]
    for key in keys { counts[key.withSlice { part.part(of: $0).array }, default: 0] += 1 }
    let most = counts.max {
      $0.value != $1.value ? $0.value < $1.value : isBefore($1.key, $0.key)
    }
    return most.map { ($0.key, Double($0.value) / Double(keys.count)) }
  }
}
