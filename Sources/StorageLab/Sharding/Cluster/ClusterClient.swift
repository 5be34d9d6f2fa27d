/// What a shard says to a request that carries an epoch.
public enum Routed<Answer: Sendable>: Sendable {
  case answered(Answer)
  /// Refused: the request was routed by another map than the one in force.
  case stale
}

/// A map as a client knows it.
public struct ClusterRoute: Sendable {
  public let map: ShardMap
  public let router: any Router
}

/// The shards' side of requests that were routed elsewhere: each carries the epoch of its map, and one
/// of another epoch than that in force is refused, reads nothing and changes nothing.
extension Cluster {
  /// The map in force, to route by.
  public func route() throws(StorageError) -> ClusterRoute {
    try inside { (view, _) throws(StorageError) in
      ClusterRoute(map: view.map, router: view.router)
    }
  }

  public func read(
    _ key: RawSpan, at shard: ShardID, epoch: UInt64, _ body: (RawSpan) -> Void
  ) throws(StorageError) -> Routed<Bool> {
    try inside { (view, lane) throws(StorageError) in
      guard view.map.epoch == epoch else { return .stale }
      let shard = view.shards[try view.place(shard)]
      shard.load.record(.read, key, lane: lane)
      return .answered(try shard.engine.read(key, body))
    }
  }

  public func put(
    _ key: RawSpan, _ value: RawSpan, epoch: UInt64
  ) throws(StorageError) -> Routed<Void> {
    try inside { (view, lane) throws(StorageError) in
      guard view.map.epoch == epoch else { return .stale }
      return .answered(try view.put(key, value, lane))
    }
  }

  public func delete(_ key: RawSpan, epoch: UInt64) throws(StorageError) -> Routed<Void> {
    try inside { (view, lane) throws(StorageError) in
      guard view.map.epoch == epoch else { return .stale }
      return .answered(try view.delete(key, lane))
    }
  }

  public func write(_ batch: WriteBatch, epoch: UInt64) throws(StorageError) -> Routed<Void> {
    let limit = options.maximumValueBytes
    return try inside { (view, lane) throws(StorageError) in
      guard view.map.epoch == epoch else { return .stale }
      return .answered(try view.write(batch, maximumValueBytes: limit, lane))
    }
  }
}

/// A client that routes by a map of its own and asks for the newer one when a shard refuses it. For one
/// thread at a time.
public final class ClusterClient: KeyedStore {
  private let cluster: Cluster
  public private(set) var route: ClusterRoute
  /// How often a shard refused the map that this client had.
  public private(set) var refusals = 0

  public init(_ cluster: Cluster) throws(StorageError) {
    self.cluster = cluster
    route = try cluster.route()
  }

  private func retrying<Answer>(
    _ ask: (ClusterRoute) throws(StorageError) -> Routed<Answer>
  ) throws(StorageError) -> Answer {
    while true {
      switch try ask(route) {
      case .answered(let answer): return answer
      case .stale:
        refusals += 1
        route = try cluster.route()
      }
    }
  }

  public func read(
    _ key: RawSpan, _ body: (RawSpan) -> Void
  ) throws(StorageError) -> Bool {
    try retrying { (route) throws(StorageError) in
      try cluster.read(key, at: route.router.shard(of: key), epoch: route.map.epoch, body)
    }
  }

  public func put(_ key: RawSpan, _ value: RawSpan) throws(StorageError) {
    try retrying { (route) throws(StorageError) in
      try cluster.put(key, value, epoch: route.map.epoch)
    }
  }

  public func delete(_ key: RawSpan) throws(StorageError) {
    try retrying { (route) throws(StorageError) in
      try cluster.delete(key, epoch: route.map.epoch)
    }
  }

  public func write(_ batch: WriteBatch) throws(StorageError) {
    try retrying { (route) throws(StorageError) in
      try cluster.write(batch, epoch: route.map.epoch)
    }
  }

  /// As `Cluster.deleteRange`.
  public func deleteRange(from lower: RawSpan, to upper: RawSpan) throws(StorageError) {
    var batch = WriteBatch()
    batch.deleteRange(from: lower, to: upper)
    try write(batch)
  }
}
