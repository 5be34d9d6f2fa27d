/// What of which shards is to be looked at when one map follows another.
///
/// A map that scatters neighbours may move any key, so all of every shard is looked at. Of ranges, and of
/// tenants that are placed by name, only those that change hands are.
struct MigrationPlan: Sendable {
  struct Item: Sendable, Hashable {
    let shard: ShardID
    let range: KeyRange
  }

  /// Where keys may go away from, and where they may come to.
  let sources: [Item]
  let destinations: [Item]
  /// The ranges of the sources, each once, in the order in which backfill goes through them: in the order
  /// of keys over all shards, so that destinations are written from one end to the other.
  let stretches: [KeyRange]
  /// Shards of the new map alone, and of the old one alone.
  let newcomers: [ShardID]
  let leavers: [ShardID]

  init(from: ShardMap, to: ShardMap) throws(StorageError) {
    let before = from.shards.map(\.id)
    let after = to.shards.map(\.id)
    newcomers = after.filter { !before.contains($0) }
    leavers = before.filter { !after.contains($0) }
    let all = (
      before.map { Item(shard: $0, range: .all) }, after.map { Item(shard: $0, range: .all) }
    )
    switch (from.placement, to.placement) {
    case (.ranges(let lows, let owners), .ranges(let nextLows, let nextOwners)):
      (sources, destinations) = MigrationPlan.segments(lows, owners, nextLows, nextOwners)
    case (
      .directory(let entries, .before(let delimiter), let fallback),
      .directory(let next, .before(let nextDelimiter), let nextFallback)
    ) where delimiter == nextDelimiter && fallback == nextFallback && from.shards == to.shards:
      let tenants = MigrationPlan.moved(entries, next)
      let ranges = tenants.flatMap { tenant in
        [KeyRange(from: tenant, to: tenant + [0]), KeyRange(prefix: tenant + [delimiter])]
      }
      sources = ranges.flatMap { range in before.map { Item(shard: $0, range: range) } }
      destinations = ranges.flatMap { range in after.map { Item(shard: $0, range: range) } }
    default:
      (sources, destinations) = all
    }
    var seen: Set<KeyRange> = []
    stretches = sources.map(\.range).filter { seen.insert($0).inserted }
  }

  /// The pieces between the boundaries of both maps whose owner changes.
  private static func segments(
    _ lows: [[UInt8]], _ owners: [ShardID], _ nextLows: [[UInt8]], _ nextOwners: [ShardID]
  ) -> (sources: [Item], destinations: [Item]) {
    var sources: [Item] = []
    var destinations: [Item] = []
    var (index, next) = (0, 0)
    var lower: [UInt8]?
    while true {
      let ends = (
        index < lows.count ? lows[index] : nil, next < nextLows.count ? nextLows[next] : nil
      )
      let upper: [UInt8]?
      switch ends {
      case (let a?, let b?): upper = isBefore(a, b) ? a : b
      case (let a, let b): upper = a ?? b
      }
      if owners[index] != nextOwners[next] {
        let range = KeyRange(from: lower, to: upper)
        sources.append(Item(shard: owners[index], range: range))
        destinations.append(Item(shard: nextOwners[next], range: range))
      }
      guard let upper else { return (sources, destinations) }
      if ends.0 == upper { index += 1 }
      if ends.1 == upper { next += 1 }
      lower = upper
    }
  }

  /// The tenants that one directory places otherwise than the other, in order.
  private static func moved(
    _ entries: [Placement.DirectoryEntry], _ next: [Placement.DirectoryEntry]
  ) -> [[UInt8]] {
    let before = Set(entries)
    let after = Set(next)
    return Set(before.symmetricDifference(after).map(\.tenant)).sorted(by: isBefore)
  }
}

/// Looks at a shard's keys a piece at a time.
enum ShardScan {
  /// Calls `visit` for the entries of the range in order until it says no. Returns the last key that was
  /// visited, or nil when the range is at its end.
  static func visit(
    _ cursor: any Cursor, _ visit: (ByteSlice, ByteSlice) throws(StorageError) -> Bool
  ) throws(StorageError) -> [UInt8]? {
    defer { cursor.close() }
    try cursor.seekToFirst()
    while cursor.isValid {
      let goesOn = try visit(cursor.key, cursor.value)
      if !goesOn { return cursor.key.array }
      try cursor.next()
    }
    return nil
  }

  /// Removes all that a shard holds. REQUIRES: nobody writes to it.
  static func wipe(_ engine: any StorageEngine) throws(StorageError) {
    let cursor = try engine.cursor(.all)
    try cursor.seekToLast()
    let last = cursor.isValid ? cursor.key.array : nil
    cursor.close()
    guard let last else { return }
    var batch = WriteBatch()
    batch.deleteRange(from: [0], to: last)
    batch.delete(last)
    try engine.write(batch)
  }
}
