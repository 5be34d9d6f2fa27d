import Synchronization

/// What is asked of one shard: counted request by request, and one in `sampleEvery` looked at more
/// closely for hot keys, where the load lies, and whether new keys go to the end. A cluster keeps one
/// for each shard. Any thread may record: an atomic addition, and for a sampled request a lock that
/// nobody waits for, since a sample that finds it taken is let go.
public final class ShardLoad: Sendable {
  public enum Kind: Sendable { case read, write }

  /// A moment's figures; counts begin with the last `reset`.
  public struct Summary: Sendable {
    public var requests: UInt64
    public var writes: UInt64
    /// Of keys and values.
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
  }

  private let requests = Atomic<UInt64>(0)
  private let writes = Atomic<UInt64>(0)
  private let bytes = Atomic<UInt64>(0)
  private let samples: Mutex<Samples>
  private let sampleMask: UInt64

  public static let sampleEveryByDefault = 16

  /// `sampleEvery` is made a power of two, upwards; 1 looks at every request. `hotKeys` bounds what a
  /// hot key's share may be wrong by: one in so many.
  public init(
    sampleEvery: Int = ShardLoad.sampleEveryByDefault, hotKeys: Int = 128, keys: Int = 512,
    seed: UInt64 = 0
  ) {
    var every: UInt64 = 1
    while every < UInt64(max(1, min(sampleEvery, 1 << 20))) { every *= 2 }
    sampleMask = every - 1
    samples = Mutex(
      Samples(sketch: SpaceSaving(capacity: hotKeys), keys: KeySample(capacity: keys, seed: seed)))
  }

  /// Counts a request. Which ones are looked at closely follows from a hash of their number, so that
  /// no rhythm of a workload hides from it.
  @inline(__always)
  public func record(_ kind: Kind, _ key: ByteSlice, bytes size: Int = 0) {
    let number = requests.wrappingAdd(1, ordering: .relaxed).oldValue
    if kind == .write { writes.wrappingAdd(1, ordering: .relaxed) }
    if size > 0 {
      bytes.wrappingAdd(UInt64(truncatingIfNeeded: size), ordering: .relaxed)
    }
    if Hash64.hash(number) & sampleMask == 0 { sample(kind, key) }
  }

  public func record(_ kind: Kind, _ key: RawSpan, bytes size: Int = 0) {
    key.withSlice { record(kind, $0, bytes: size) }
  }

  @inline(never)
  private func sample(_ kind: Kind, _ key: ByteSlice) {
    _ = samples.withLockIfAvailable { samples in
      samples.sketch.touch(key)
      samples.keys.offer(key)
      if kind == .write { samples.order.insert(key) }
    }
  }

  /// Complexity: O(hot keys · log hot keys + sampled keys).
  public func summary(hotKeys limit: Int = 16) -> Summary {
    samples.withLock { samples in
      let total = Double(max(1, samples.sketch.total))
      return Summary(
        requests: requests.load(ordering: .relaxed), writes: writes.load(ordering: .relaxed),
        bytes: bytes.load(ordering: .relaxed), sampled: samples.sketch.total,
        hotKeys: samples.sketch.top(limit).map {
          HotKey(
            key: $0.key, share: Double($0.count) / total,
            atLeast: Double($0.count - $0.error) / total)
        }, keys: samples.keys.keys, isAscending: samples.order.isAscending,
        highestKey: samples.order.highestKey)
    }
  }

  /// Begins a new stretch of time; what is known of the order of new keys stays.
  public func reset() {
    samples.withLock { samples in
      samples.sketch.reset()
      samples.keys.reset()
      requests.store(0, ordering: .relaxed)
      writes.store(0, ordering: .relaxed)
      bytes.store(0, ordering: .relaxed)
    }
  }
}
