/// Looks at what really lies on the shards of a cluster while keys move, a piece at a time and round and
/// round, and counts keys that lie where a residency rule forbids it. For one thread at a time.
final class RebalanceAudit: @unchecked Sendable {
  /// Keys looked at, and of these those that were where they may not be. A key is looked at on each
  /// shard that holds it, as often as its turn comes.
  struct Counts: Sendable {
    var looks = 0
    var violations = 0
  }

  private let cluster: Cluster
  private let rules: ResidencyRules
  private let shards: [Shard]
  private let counts = Guarded(Counts())
  private var shard = 0
  private var last: [UInt8]?

  /// `shards` stand where they stand in all maps to come.
  init(_ cluster: Cluster, _ rules: [ResidencyRule], _ shards: [Shard]) {
    self.cluster = cluster
    self.rules = ResidencyRules(rules)
    self.shards = shards
  }

  /// May be asked by any thread.
  var found: Counts { counts.withLock { $0 } }

  /// Looks at so many keys at most, from where it was. Errors: those of the engines.
  func look(_ limit: Int) throws(StorageError) {
    var left = limit
    while left > 0 {
      let found = try look(at: shards[shard], limit: left)
      // The end of a shard counts too, or empty ones would be gone round for ever.
      left -= max(1, found)
    }
  }

  /// Looks at every key once.
  func lookAtAll() throws(StorageError) {
    for place in shards.indices {
      (shard, last) = (place, nil)
      repeat { _ = try look(at: shards[place], limit: 1024) } while last != nil
    }
  }

  /// Goes on with the present shard, and to the next one from its end. Returns the number of keys.
  private func look(at now: Shard, limit: Int) throws(StorageError) -> Int {
    let keys = try cluster.storedKeys(on: now.id, after: last, limit: limit)
    let violations = keys.count { key in !key.withSlice { rules.permit($0, in: now.region) } }
    counts.withLock {
      $0.looks += keys.count
      $0.violations += violations
    }
    last = keys.count == limit ? keys.last : nil
    if last == nil { shard = (shard + 1) % shards.count }
    return keys.count
  }
}
