/// A shard's figures since the cluster was opened.
public struct ClusterShardStatistics: Sendable {
  public let shard: ShardID
  /// Point reads, operations of writes, and scans that asked it; a write of a key that moves counts at
  /// the shard that is read.
  public let reads: UInt64
  public let writes: UInt64
  public let scans: UInt64
  public let engine: EngineStatistics
}

/// What `Cluster.verify` found.
public struct ClusterVerification: Sendable {
  public struct Stray: Sendable {
    public let shard: ShardID
    public let owner: ShardID
    public let key: [UInt8]
  }

  /// Keys that each shard has and owns.
  public internal(set) var keys: [ShardID: Int] = [:]
  /// What the engines found.
  public internal(set) var problems: [ShardID: [VerificationReport.Problem]] = [:]
  /// Keys on a shard that does not own them, the first hundred of them, and how many there are. A
  /// migration under way explains those at its destinations and, after the flip, at its sources.
  public internal(set) var strays: [Stray] = []
  public internal(set) var strayCount = 0
  /// Of these, keys that their owner has too.
  public internal(set) var duplicateCount = 0
  /// The phase of the migration that is under way.
  public internal(set) var phase: MigrationPhase?

  public var isSound: Bool {
    problems.values.allSatisfy(\.isEmpty) && (strayCount == 0 || phase != nil)
  }
}

extension Cluster {
  /// Each shard's counters, in the order of their numbers.
  public func statistics() throws(StorageError) -> [ClusterShardStatistics] {
    try inside { (view, _) throws(StorageError) in
      var all: [ClusterShardStatistics] = []
      for shard in view.shards {
        all.append(
          ClusterShardStatistics(
            shard: shard.id, reads: shard.load.total(.read), writes: shard.load.total(.write),
            scans: shard.load.total(.scan), engine: try shard.engine.statistics()))
      }
      return all
    }
  }

  /// Has every engine verify itself and looks at every key: it is to be on the shard that owns it by the
  /// map in force, and on no other. Each shard is seen as of one moment.
  public func verify() throws(StorageError) -> ClusterVerification {
    control.lock()
    defer { control.unlock() }
    var result = ClusterVerification()
    result.phase = state.migration?.phase
    let router = try state.map.router()
    for id in state.shards {
      let engine = try shard(id).engine
      result.problems[id] = try engine.verify().problems
      result.keys[id] = 0
      let cursor = try engine.cursor(.all)
      defer { cursor.close() }
      try cursor.seekToFirst()
      while cursor.isValid {
        let key = cursor.key
        let owner = router.shard(of: key)
        if owner == id {
          result.keys[id, default: 0] += 1
        } else {
          result.strayCount += 1
          if result.strays.count < 100 {
            result.strays.append(.init(shard: id, owner: owner, key: key.array))
          }
          let isTwice = try open[owner].map { (shard) throws(StorageError) -> Bool in
            try key.withSpan { (span) throws(StorageError) in try shard.engine.read(span) { _ in } }
          }
          if isTwice == true { result.duplicateCount += 1 }
        }
        try cursor.next()
      }
    }
    return result
  }
}
