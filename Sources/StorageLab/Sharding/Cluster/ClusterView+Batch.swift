/// A batch over shards: all or nothing of it on each shard, by one batch of that shard; not over all of
/// them. A crash, or a shard that refuses, may leave it on some.
extension ClusterView {
  func write(_ batch: WriteBatch, maximumValueBytes: Int, _ lane: Int) throws(StorageError) {
    if batch.mergeCount > 0 {
      throw StorageError(
        .unsupported, "a cluster takes no merges",
        remedy: "A merge cannot be written to a shard that has not got the value yet")
    }
    try batch.validate(maximumValueBytes: maximumValueBytes)
    let parts = try BatchParts(batch, self, lane)
    guard let doubleWrites, parts.stripes != 0 else {
      // The common case: one shard, whose batch this is already.
      if parts.parts.count == 1 { return try parts.parts[0].shard.engine.write(batch) }
      return try parts.apply(nil)
    }
    try doubleWrites.latch.hold(parts.stripes, noting: parts.hashes, parts.ranges) {
      () throws(StorageError) in try parts.apply(doubleWrites.latch)
    }
  }
}

/// A batch by shard, each shard's operations in their order.
private struct BatchParts {
  struct Part {
    let shard: ClusterShard
    var batch = WriteBatch()
    /// Whether it holds anything that is read there.
    var isRead = false
  }

  private(set) var parts: [Part] = []
  /// Of the keys that move: their stripes and hashes, and ranges that are deleted.
  private(set) var stripes: UInt64 = 0
  private(set) var hashes: [UInt64] = []
  private(set) var ranges: [KeyRange] = []
  private var partOfPlace: [Int]

  init(_ batch: WriteBatch, _ view: ClusterView, _ lane: Int) throws(StorageError) {
    partOfPlace = [Int](repeating: -1, count: view.shards.count)
    try batch.encoded.withSlice { (slice) throws(StorageError) in
      var decoder = WriteBatch.Decoder(slice)
      while let operation = try decoder.next() {
        if operation.tag == .deleteRange {
          try addRange(operation, view, lane)
        } else {
          try addKey(operation, view, lane)
        }
      }
    }
  }

  private mutating func addKey(
    _ operation: WriteBatch.Operation, _ view: ClusterView, _ lane: Int
  ) throws(StorageError) {
    let owner = view.router.shard(of: operation.key)
    let place = try view.place(owner)
    view.shards[place].load.record(.write, operation.key, lane: lane)
    add(operation, place, view, isRead: true)
    guard let doubleWrites = view.doubleWrites else { return }
    let other = doubleWrites.router.shard(of: operation.key)
    if other == owner { return }
    add(operation, try view.place(other), view, isRead: false)
    let hash = MoveLatch.hash(operation.key)
    stripes |= MoveLatch.mask(hash)
    hashes.append(hash)
  }

  /// A range is deleted on every shard that may hold keys of it.
  private mutating func addRange(
    _ operation: WriteBatch.Operation, _ view: ClusterView, _ lane: Int
  ) throws(StorageError) {
    let range = KeyRange(from: operation.key.array, to: operation.value.array)
    if range.isEmpty { return }
    let owners = view.router.shards(overlapping: range)
    for owner in owners {
      let place = try view.place(owner)
      view.shards[place].load.count(.write, lane: lane)
      add(operation, place, view, isRead: true)
    }
    guard let doubleWrites = view.doubleWrites else { return }
    for other in doubleWrites.router.shards(overlapping: range) where !owners.contains(other) {
      add(operation, try view.place(other), view, isRead: false)
    }
    stripes = MoveLatch.allStripes
    ranges.append(range)
  }

  private mutating func add(
    _ operation: WriteBatch.Operation, _ place: Int, _ view: ClusterView, isRead: Bool
  ) {
    if partOfPlace[place] < 0 {
      partOfPlace[place] = parts.count
      parts.append(Part(shard: view.shards[place]))
    }
    parts[partOfPlace[place]].batch.append(operation)
    if isRead { parts[partOfPlace[place]].isRead = true }
  }

  /// Writes to the shards that are read first. `latch`: of keys that move; what only fails to come to
  /// their other shard is noted there.
  func apply(_ latch: MoveLatch?) throws(StorageError) {
    let read = parts.filter(\.isRead)
    for (done, part) in read.enumerated() {
      do throws(StorageError) { try part.shard.engine.write(part.batch) } catch {
        latch?.noteDivergence()
        if done == 0 { throw error }
        throw StorageError(
          error.code,
          "\(part.shard.id) refused its part of a batch, after \(done) of \(read.count) shards had "
            + "applied theirs: \(error.message)",
          remedy: "A batch is atomic on each shard, not over all: write it again", path: error.path,
          offset: error.offset, errno: error.errno)
      }
    }
    for part in parts where !part.isRead {
      do throws(StorageError) { try part.shard.engine.write(part.batch) } catch {
        latch?.noteDivergence()
        if latch?.isStrict == true { throw error }
      }
    }
  }
}
