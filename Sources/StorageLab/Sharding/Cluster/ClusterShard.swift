import Synchronization

/// A shard that is open: its engine, and what is asked of it.
final class ClusterShard: @unchecked Sendable {
  let id: ShardID
  let engine: any StorageEngine
  private let counters: UnsafeMutablePointer<Atomic<UInt64>>
  /// Cursors that see a moment of it: while there are any, it stays open.
  let openCursors = Atomic<Int>(0)

  enum Counter: Int {
    case reads, writes, scans
  }

  init(_ id: ShardID, _ engine: any StorageEngine) {
    self.id = id
    self.engine = engine
    let count = RequestGate.lanes * RequestGate.laneStride
    counters = .allocate(capacity: count)
    for index in 0..<count { (counters + index).initialize(to: Atomic(0)) }
  }

  deinit {
    counters.deinitialize(count: RequestGate.lanes * RequestGate.laneStride)
    counters.deallocate()
  }

  @inline(__always)
  func count(_ counter: Counter, _ lane: Int, _ amount: UInt64 = 1) {
    counters[lane &* RequestGate.laneStride &+ counter.rawValue]
      .wrappingAdd(amount, ordering: .relaxed)
  }

  func total(_ counter: Counter) -> UInt64 {
    (0..<RequestGate.lanes).reduce(0) {
      $0 + counters[$1 * RequestGate.laneStride + counter.rawValue].load(ordering: .relaxed)
    }
  }
}
