import Synchronization

/// A shard that is open: its engine, and what is asked of it.
final class ClusterShard: Sendable {
  let id: ShardID
  let engine: any StorageEngine
  /// Counted by the lanes of the requests' gate.
  let load: ShardLoad
  /// Cursors that see a moment of it: while there are any, it stays open.
  let openCursors = Atomic<Int>(0)

  init(_ id: ShardID, _ engine: any StorageEngine) {
    self.id = id
    self.engine = engine
    load = ShardLoad(seed: UInt64(id.rawValue), lanes: RequestGate.lanes)
  }
}
