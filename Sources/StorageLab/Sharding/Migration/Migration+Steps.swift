/// One bounded piece of work at a time.
extension Migration {
  /// Does the next piece. REQUIRES: the cluster's `control` is held.
  func step(_ cluster: Cluster, _ moving: MigrationState) throws(StorageError) -> MigrationStep {
    var bytes = 0
    var pause: UInt64 = 0
    switch moving.phase {
    case .prepare: try prepare(cluster)
    case .doubleWrite: try enter(.backfill, cluster)
    case .backfill: bytes = try backfill(cluster)
    case .verify: try verify(cluster)
    case .flip:
      let since = clock.nanoseconds &- (flipped ?? 0)
      if flipped == nil || since >= options.holdAfterFlip {
        try enter(.fence, cluster)
      } else {
        pause = min(options.holdAfterFlip - since, 10_000_000)
      }
    case .fence:
      try sync(plan.destinations, cluster)
      try enter(.clean, cluster)
    case .clean: try clean(cluster)
    case .revert: try revert(cluster)
    case .undo: try undo(cluster)
    }
    guard let phase = cluster.state.migration?.phase else {
      return MigrationStep(phase: nil, bytes: bytes, pause: 0)
    }
    pause = max(pause, throttled(bytes))
    measure(pause)
    return MigrationStep(phase: phase, bytes: bytes, pause: pause)
  }

  /// The throttle's pause after so many bytes.
  private func throttled(_ bytes: Int) -> UInt64 {
    guard options.bytesPerSecond != nil || options.latencyTarget != nil else { return 0 }
    return throttle.pause(
      after: bytes, now: clock.nanoseconds, foregroundP99: options.foregroundP99?())
  }

  private func measure(_ pause: UInt64) {
    progress.pauseNanoseconds += pause
    if progress.phase == .backfill, let backfillBegan {
      progress.backfillNanoseconds = clock.nanoseconds &- backfillBegan
      let seconds = Double(progress.backfillNanoseconds) / 1e9
      let copied = progress.copiedBytes - min(copiedBefore, progress.copiedBytes)
      if seconds > 0 { progress.bytesPerSecond = Double(copied) / seconds }
      if progress.bytesPerSecond > 0, progress.totalBytes >= progress.copiedBytes {
        progress.secondsLeft =
          Double(progress.totalBytes - progress.copiedBytes) / progress.bytesPerSecond
      }
    }
    publish()
  }

  /// Makes a phase durable and then effective; not when `isStill` says no. Returns whether it did.
  @discardableResult
  func enter(
    _ phase: MigrationPhase, _ cluster: Cluster, isStill: () -> Bool = { true }
  ) throws(StorageError) -> Bool {
    var next = cluster.state
    next.migration?.phase = phase
    next.migration?.position = .init()
    next.migration?.total = .init(keys: progress.totalKeys, bytes: progress.totalBytes)
    next.migration?.copied = .init(keys: progress.copiedKeys, bytes: progress.copiedBytes)
    if phase == .undo, let moving = next.migration,
      cluster.state.migration?.phase.readsDestination == true
    {
      // Who has the map of the flip must be refused.
      next.settled = try ShardMap(
        epoch: moving.target.epoch + 1, next.settled.shards, next.settled.placement)
    }
    guard try cluster.install(next, if: isStill) else { return false }
    let took = cluster.lastSwitchNanoseconds
    progress.longestSwitchNanoseconds = max(progress.longestSwitchNanoseconds, took)
    beginPhase(phase)
    if phase == .backfill { backfillBegan = clock.nanoseconds }
    if phase == .flip { flipped = clock.nanoseconds }
    note("\(phase.name): epoch \(next.map.epoch), requests held back \(took / 1000) µs")
    publish()
    return true
  }

  private func finish(_ map: ShardMap, _ cluster: Cluster) throws(StorageError) {
    let before = Set(cluster.state.shards)
    let kept = Set(map.shards.map(\.id))
    let gone = before.subtracting(kept).sorted()
    var next = ClusterState(engine: cluster.state.engine, settled: map)
    next.retired = cluster.state.retired + gone
    _ = try cluster.install(next)
    note("done: epoch \(map.epoch)")
    progress.isOver = true
    publish()
    cluster.migration = nil
    cluster.release(gone)
  }

  // MARK: Scanning

  /// What is left of an item, behind the last key.
  private func rest(_ item: MigrationPlan.Item) -> KeyRange {
    position.key.map { item.range.after($0) } ?? item.range
  }

  private func move(to last: [UInt8]?) {
    if let last {
      position.key = last
    } else {
      position = .init(item: position.item + 1)
    }
  }

  /// Deletes the next keys of a list of items that `isStray` says; returns whether all are done.
  private func deleteStrays(
    _ items: [MigrationPlan.Item], _ cluster: Cluster,
    _ isStray: (ByteSlice, ByteSlice, ShardID) -> Bool
  ) throws(StorageError) -> Bool {
    guard position.item < items.count else { return true }
    let item = items[position.item]
    let engine = try cluster.shard(item.shard).engine
    var batch = WriteBatch()
    var visited = 0
    let limit = options.chunkBytes
    // A deletion is short and yet as much work as a row: writers of the shard wait for a batch of them.
    let batchLimit = max(1, limit / 8)
    let last = try ShardScan.visit(try engine.cursor(rest(item))) {
      (key, value) throws(StorageError) -> Bool in
      visited += key.count + value.count
      if isStray(key, value, item.shard) { key.withSpan { batch.delete($0) } }
      return batch.byteCount < batchLimit && visited < 8 * limit
    }
    if !batch.isEmpty {
      try engine.write(batch)
      progress.removedKeys += UInt64(batch.count)
      progress.count(item.shard, left: UInt64(batch.count))
    }
    move(to: last)
    return false
  }

  private func sync(_ items: [MigrationPlan.Item], _ cluster: Cluster) throws(StorageError) {
    for id in Set(items.map(\.shard)).sorted() { try cluster.shard(id).engine.sync() }
  }

  private func wipe(_ shards: [ShardID], _ cluster: Cluster) throws(StorageError) {
    for id in shards { try ShardScan.wipe(try cluster.shard(id).engine) }
  }

  // MARK: Phases

  /// Newcomers are emptied; then what is to move is counted, and what lies at a source without being
  /// its own is deleted.
  private func prepare(_ cluster: Cluster) throws(StorageError) {
    if position == .init() {
      progress.totalKeys = 0
      progress.totalBytes = 0
      progress.copiedKeys = 0
      progress.copiedBytes = 0
      try wipe(plan.newcomers, cluster)
    }
    var amount = MigrationState.Amount()
    let isDone = try deleteStrays(plan.sources, cluster) { [source, target] key, value, shard in
      if source.shard(of: key) != shard { return true }
      if target.shard(of: key) != shard {
        amount.keys += 1
        amount.bytes += UInt64(key.count + value.count)
      }
      return false
    }
    progress.totalKeys += amount.keys
    progress.totalBytes += amount.bytes
    if isDone { try enter(.doubleWrite, cluster) }
  }

  /// Reads a chunk in one step and writes it in the next.
  private func backfill(_ cluster: Cluster) throws(StorageError) -> Int {
    if backfillBegan == nil {
      backfillBegan = clock.nanoseconds
      copiedBefore = progress.copiedBytes
    }
    if let chunk {
      try write(chunk, cluster)
      self.chunk = nil
      position = chunk.end
      progress.copiedKeys += chunk.keys
      progress.copiedBytes += UInt64(chunk.bytes)
      takenFromLeavers.merge(chunk.keysOfLeavers, uniquingKeysWith: +)
      for part in chunk.parts {
        progress.count(part.destination, arrived: UInt64(part.batch.count))
      }
      bytesSincePosition += chunk.bytes
      if bytesSincePosition >= Migration.bytesBetweenPositions { try keepPosition(cluster) }
      return chunk.bytes
    }
    guard position.item < plan.stretches.count else {
      try syncCopies(cluster)
      try enter(.verify, cluster)
      return 0
    }
    let stretch = plan.stretches[position.item]
    var chunk = BackfillChunk()
    let limit = options.chunkBytes
    var visited = 0
    latch.beginChunk()
    // The sources count: it is by their map that the cluster is read, and strays are left out.
    let cursor = try cluster.uncountedCursor(position.key.map(stretch.after) ?? stretch)
    let leavers = plan.leavers
    let last = try ShardScan.visit(cursor) { (key, value) throws(StorageError) -> Bool in
      visited += key.count + value.count
      let destination = target.shard(of: key)
      if destination != cursor.shardOfEntry {
        chunk.add(key, value, to: destination)
        if leavers.contains(cursor.shardOfEntry) {
          chunk.keysOfLeavers[cursor.shardOfEntry, default: 0] += 1
        }
      }
      return chunk.bytes < limit && visited < 8 * limit
    }
    chunk.end =
      last.map { .init(item: position.item, key: $0) } ?? .init(item: position.item + 1)
    if chunk.keys == 0 { position = chunk.end } else { self.chunk = chunk }
    return 0
  }

  /// Rows that were written since they were read are taken as they are now: behind the others in the
  /// batch, so that they win.
  private func write(_ chunk: BackfillChunk, _ cluster: Cluster) throws(StorageError) {
    if options.backfill == .naive {
      for part in chunk.parts { try cluster.shard(part.destination).engine.write(part.batch) }
      return
    }
    let overtaken = try latch.hold(stripes: chunk.stripes) { () throws(StorageError) -> UInt64 in
      var count: UInt64 = 0
      for part in chunk.parts {
        let written = try writtenKeys(part.batch)
        count += UInt64(written.count)
        var batch = part.batch
        for key in written {
          let span = key.span.bytes
          let engine = try cluster.shard(source.shard(of: key)).engine
          let isThere = try engine.read(span) { value in batch.put(key.span.bytes, value) }
          if !isThere { batch.delete(span) }
        }
        try cluster.shard(part.destination).engine.write(batch)
      }
      return count
    }
    progress.overtakenKeys += overtaken
  }

  /// The keys of a batch that were written since the watermark.
  private func writtenKeys(_ batch: WriteBatch) throws(StorageError) -> [[UInt8]] {
    try batch.encoded.withSlice { (slice) throws(StorageError) in
      var found: [[UInt8]] = []
      var decoder = WriteBatch.Decoder(slice)
      while let operation = try decoder.next() {
        if latch.wasWritten(operation.key) { found.append(operation.key.array) }
      }
      return found
    }
  }

  /// What was copied must be on the medium before anything is written down that counts on it.
  private func syncCopies(_ cluster: Cluster) throws(StorageError) {
    if options.flaws.contains(.unsyncedFlip) { return }
    try sync(plan.destinations, cluster)
  }

  private func keepPosition(_ cluster: Cluster) throws(StorageError) {
    try syncCopies(cluster)
    var next = cluster.state
    next.migration?.position = position
    next.migration?.copied = .init(keys: progress.copiedKeys, bytes: progress.copiedBytes)
    try cluster.save(next)
    latch.isStrict = false
    bytesSincePosition = 0
  }

  private func verify(_ cluster: Cluster) throws(StorageError) {
    let isEqual =
      options.flaws.contains(.unverifiedFlip)
      ? true
      : try compare(
        cluster, authority: (plan.sources, source, target),
        follower: (plan.destinations, target, source))
    guard isEqual else { return }
    try syncCopies(cluster)
    if options.flaws.contains(.earlyClean) {
      position = .init()
      while try !deleteStrays(plan.sources, cluster, leaves) {}
      try sync(plan.sources, cluster)
    }
    let isStill = options.flaws.contains(.unverifiedFlip) ? { true } : isAsCompared
    if try !enter(.flip, cluster, isStill: isStill) { comparison = nil }
  }

  /// Whether no write failed to reach one of its shards since the comparison's moment.
  private var isAsCompared: () -> Bool {
    { [latch, comparedDivergences] in latch.divergenceCount == comparedDivergences }
  }

  private var leaves: (ByteSlice, ByteSlice, ShardID) -> Bool {
    { [target] key, _, shard in target.shard(of: key) != shard }
  }

  private func clean(_ cluster: Cluster) throws(StorageError) {
    // Those that leave are wiped, not deleted key by key.
    let leavers = plan.leavers
    let staying = plan.sources.filter { !leavers.contains($0.shard) }
    guard try deleteStrays(staying, cluster, leaves) else { return }
    try wipe(leavers, cluster)
    for (shard, keys) in takenFromLeavers { progress.count(shard, left: keys) }
    takenFromLeavers = [:]
    if !options.flaws.contains(.unsyncedEnd) { try sync(plan.sources, cluster) }
    guard let moving = cluster.state.migration else { return }
    try finish(moving.target, cluster)
  }

  private func revert(_ cluster: Cluster) throws(StorageError) {
    let isEqual = try compare(
      cluster, authority: (plan.destinations, target, source),
      follower: (plan.sources, source, target))
    guard isEqual else { return }
    try sync(plan.sources, cluster)
    if try !enter(.undo, cluster, isStill: isAsCompared) { comparison = nil }
  }

  private func undo(_ cluster: Cluster) throws(StorageError) {
    let newcomers = plan.newcomers
    let staying = plan.destinations.filter { !newcomers.contains($0.shard) }
    let isDone = try deleteStrays(staying, cluster) { [source] key, _, shard in
      source.shard(of: key) != shard
    }
    guard isDone else { return }
    try wipe(newcomers, cluster)
    try sync(plan.destinations, cluster)
    try finish(cluster.state.settled, cluster)
  }

  // MARK: Comparing

  typealias SideOfMap = (items: [MigrationPlan.Item], own: any Router, other: any Router)

  /// Goes on with comparing both sides; returns whether they were equal as of a moment after which no
  /// write is known to have missed one.
  private func compare(
    _ cluster: Cluster, authority: SideOfMap, follower: SideOfMap
  ) throws(StorageError) -> Bool {
    guard let comparison else {
      try beginComparison(cluster, authority, follower)
      return false
    }
    if !comparison.isDone {
      let before = comparison.counts
      try comparison.step(bytes: 4 * options.chunkBytes) { (key) throws(StorageError) in
        try repair(key, cluster, from: authority.own, to: follower.own)
      }
      progress.comparison.keys += comparison.counts.keys - before.keys
      progress.comparison.ranges += comparison.counts.ranges - before.ranges
      progress.comparison.missing += comparison.counts.missing - before.missing
      progress.comparison.extra += comparison.counts.extra - before.extra
      progress.comparison.different += comparison.counts.different - before.different
    }
    guard comparison.isDone else { return false }
    let found = comparison.counts
    comparison.close()
    if found.differences == 0 { return true }
    note(
      "repaired \(found.differences) keys: \(found.missing) missing, \(found.extra) extra, "
        + "\(found.different) different")
    self.comparison = nil
    if progress.comparison.passes >= Migration.mostPasses {
      throw StorageError(
        .io, "both sides differ after \(progress.comparison.passes) comparisons",
        remedy: "Look at the destinations' engines, or roll the migration back")
    }
    return false
  }

  /// Snapshots of both sides while no moving key is half-way between them.
  private func beginComparison(
    _ cluster: Cluster, _ authority: SideOfMap, _ follower: SideOfMap
  ) throws(StorageError) {
    var snapshots: [ShardID: any Snapshot] = [:]
    let shards = Set((authority.items + follower.items).map(\.shard)).sorted()
    var divergences = 0
    do throws(StorageError) {
      try latch.holdAll { () throws(StorageError) in
        divergences = latch.divergenceCount
        for id in shards { snapshots[id] = try cluster.shard(id).engine.snapshot() }
      }
    } catch {
      for snapshot in snapshots.values { snapshot.close() }
      throw error
    }
    comparedDivergences = divergences
    progress.comparison.passes += 1
    func side(_ side: SideOfMap) -> RangeComparison.Side {
      .init(items: side.items, snapshots: snapshots, own: side.own, other: side.other)
    }
    comparison = RangeComparison(
      authority: side(authority), follower: side(follower),
      seed: Hash64.hash(cluster.state.map.epoch))
  }

  /// Writes to the follower what the authority holds by now.
  private func repair(
    _ key: [UInt8], _ cluster: Cluster, from authority: any Router, to follower: any Router
  ) throws(StorageError) {
    let right = try cluster.shard(authority.shard(of: key)).engine
    let wrong = try cluster.shard(follower.shard(of: key)).engine
    let stripes = key.withSlice { MoveLatch.mask(MoveLatch.hash($0)) }
    try latch.hold(stripes: stripes) { () throws(StorageError) in
      if let value = try right.get(key) { try wrong.put(key, value) } else { try wrong.delete(key) }
    }
  }
}
