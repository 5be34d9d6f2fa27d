/// What every request goes by, as of one moment: the map, its router, the shards, and while keys move
/// where writes go beside. It never changes; a change is another view, swapped in whole.
final class ClusterView: Sendable {
  /// False once the cluster is closed.
  let isOpen: Bool
  let map: ShardMap
  let router: any Router
  let shards: [ClusterShard]
  /// The place in `shards` by a shard's number; -1 for a number that is none. Large numbers are in
  /// `distant`.
  private let places: [Int32]
  private let distant: [ShardID: Int32]
  /// What writers of moving keys go by; nil when none move, or not yet.
  let doubleWrites: DoubleWrites?
  /// Whether a shard may hold keys that are not its own, which scans leave out.
  let mayHoldStrays: Bool

  /// Where writes go beside the shard that is read.
  struct DoubleWrites: Sendable {
    let router: any Router
    let latch: MoveLatch
  }

  private static let densePlaces = 1 << 16

  init(
    _ map: ShardMap, router: any Router, shards: [ClusterShard], doubleWrites: DoubleWrites?,
    mayHoldStrays: Bool, isOpen: Bool = true
  ) {
    self.map = map
    self.router = router
    self.shards = shards
    self.doubleWrites = doubleWrites
    self.mayHoldStrays = mayHoldStrays
    self.isOpen = isOpen
    var places: [Int32] = []
    var distant: [ShardID: Int32] = [:]
    for (place, shard) in shards.enumerated() {
      let number = Int(shard.id.rawValue)
      if number < ClusterView.densePlaces {
        while places.count <= number { places.append(-1) }
        places[number] = Int32(place)
      } else {
        distant[shard.id] = Int32(place)
      }
    }
    self.places = places
    self.distant = distant
  }

  /// The place of a shard in `shards`. Errors: `invalidArgument` when it is none of the cluster's, which
  /// its own router never names.
  @inline(__always)
  func place(_ id: ShardID) throws(StorageError) -> Int {
    let number = Int(id.rawValue)
    let place = number < places.count ? places[number] : distant[id] ?? -1
    if place < 0 {
      throw StorageError(.invalidArgument, "\(id) is no shard of the cluster")
    }
    return Int(place)
  }

  @inline(__always)
  func owner(of key: ByteSlice) throws(StorageError) -> ClusterShard {
    shards[try place(router.shard(of: key))]
  }

  // MARK: Requests

  @inline(__always)
  func read(
    _ key: RawSpan, _ lane: Int, _ body: (RawSpan) -> Void
  ) throws(StorageError) -> Bool {
    let shard = try key.withSlice { (slice) throws(StorageError) in
      let shard = try owner(of: slice)
      shard.load.record(.read, slice, lane: lane)
      return shard
    }
    return try shard.engine.read(key, body)
  }

  func put(_ key: RawSpan, _ value: RawSpan, _ lane: Int) throws(StorageError) {
    try write(key, lane) { (engine) throws(StorageError) in try engine.put(key, value) }
  }

  func delete(_ key: RawSpan, _ lane: Int) throws(StorageError) {
    try write(key, lane) { (engine) throws(StorageError) in try engine.delete(key) }
  }

  @inline(__always)
  private func write(
    _ key: RawSpan, _ lane: Int, _ change: (any StorageEngine) throws(StorageError) -> Void
  ) throws(StorageError) {
    try key.withSlice { (slice) throws(StorageError) in
      let shard = try owner(of: slice)
      shard.load.record(.write, slice, lane: lane)
      if let doubleWrites {
        let other = doubleWrites.router.shard(of: slice)
        if other != shard.id {
          let beside = shards[try place(other)].engine
          return try doubleWrites.latch.hold(MoveLatch.hash(slice)) { () throws(StorageError) in
            try doubleWrites.write(shard.engine, beside: beside, change)
          }
        }
      }
      try change(shard.engine)
    }
  }
}

extension ClusterView.DoubleWrites {
  /// Writes to the shard that is read, then to the other one. What fails there does not fail the
  /// write: it is noted, and the comparison before the flip repairs it. REQUIRES: the key's stripe is
  /// held.
  func write(
    _ engine: any StorageEngine, beside other: any StorageEngine,
    _ change: (any StorageEngine) throws(StorageError) -> Void
  ) throws(StorageError) {
    do throws(StorageError) { try change(engine) } catch {
      latch.noteDivergence()
      throw error
    }
    do throws(StorageError) { try change(other) } catch {
      latch.noteDivergence()
      if latch.isStrict { throw error }
    }
  }
}
