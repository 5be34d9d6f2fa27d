/// What a cluster's file says (docs/formats/cluster.md): the map in force, and where a migration is.
/// Replaced as a whole, so that after a crash it says what was before a change or after it.
struct ClusterState: Sendable, Equatable {
  static let fileName = "CLUSTER"
  static let magic: UInt64 = 0x3154_5355_4c43_4c53  // "SLCLUST1" in file order
  static let formatVersion: UInt32 = 1
  /// No map is near this.
  static let maximumBytes: Int64 = 256 << 20

  /// The engine of all shards.
  var engine: String
  /// The map that is in force when no migration is under way, and that a migration starts from.
  var settled: ShardMap
  /// Shards that hold nothing any more and whose directories are to go.
  var retired: [ShardID] = []
  var migration: MigrationState?

  /// The map that reads go by.
  var map: ShardMap {
    guard let migration, migration.phase.readsDestination else { return settled }
    return migration.target
  }

  /// Shards that have an engine.
  var shards: [ShardID] {
    var all = Set(settled.shards.map(\.id))
    if let migration { all.formUnion(migration.target.shards.map(\.id)) }
    return all.sorted()
  }
}

/// A migration under way, as it is kept.
struct MigrationState: Sendable, Equatable {
  /// The map to come.
  var target: ShardMap
  var phase: MigrationPhase
  /// What is to move, counted in `prepare`.
  var total = Amount()
  /// What was copied up to `position`.
  var copied = Amount()
  /// Up to where backfill is durable at the destinations.
  var position = Position()

  struct Amount: Sendable, Equatable {
    var keys: UInt64 = 0
    var bytes: UInt64 = 0
  }

  /// A place in the list of what is scanned (`MigrationPlan`): behind `key` of an item, or before it.
  struct Position: Sendable, Equatable {
    var item = 0
    var key: [UInt8]?
  }
}

extension ClusterState {
  var encoded: [UInt8] {
    var writer = ByteWriter()
    writer.integer(ClusterState.magic)
    writer.integer(ClusterState.formatVersion)
    Array(engine.utf8).withSlice { writer.lengthPrefixed($0) }
    settled.encoded.withSlice { writer.lengthPrefixed($0) }
    writer.varint(UInt64(retired.count))
    for shard in retired { writer.integer(shard.rawValue) }
    writer.integer(UInt8(migration == nil ? 0 : 1))
    if let migration {
      migration.target.encoded.withSlice { writer.lengthPrefixed($0) }
      writer.integer(migration.phase.rawValue)
      for amount in [migration.total, migration.copied] {
        writer.varint(amount.keys)
        writer.varint(amount.bytes)
      }
      writer.varint(UInt64(migration.position.item))
      writer.integer(UInt8(migration.position.key == nil ? 0 : 1))
      if let key = migration.position.key { key.withSlice { writer.lengthPrefixed($0) } }
    }
    writer.checksum()
    return writer.bytes
  }

  /// Errors: `wrongFormat` when this is no such file, `corruption` when it was changed,
  /// `unsupportedVersion`.
  init(decoding bytes: [UInt8], path: String) throws(StorageError) {
    func damaged() -> StorageError {
      .corruption("the cluster's file is not as it was written", path: path, offset: 0)
    }
    let state = try bytes.withSlice { (slice) throws(StorageError) -> ClusterState? in
      var reader = ByteReader(slice)
      guard reader.integer(UInt64.self) == ClusterState.magic, slice.count > 16 else {
        throw StorageError(.wrongFormat, "this is not a cluster's file", path: path)
      }
      let covered = slice.count - 4
      let checksum = UInt32(littleEndian: (slice.base + covered).loadUnaligned(as: UInt32.self))
      guard CRC32C.checksum(slice.prefix(covered)) == checksum else { return nil }
      let version: UInt32 = reader.integer()
      guard version <= ClusterState.formatVersion else {
        throw StorageError(
          .unsupportedVersion, "the cluster has format version \(version)",
          remedy: "Open it with a newer StorageLab", path: path)
      }
      let engine = String(decoding: reader.lengthPrefixed().rawBuffer, as: UTF8.self)
      let settled = reader.lengthPrefixed().array
      let retiredCount = reader.varint()
      guard reader.isIntact, retiredCount <= UInt64(reader.remaining / 4) else { return nil }
      var state = ClusterState(
        engine: engine, settled: try ShardMap(decoding: settled, path: path))
      for _ in 0..<retiredCount { state.retired.append(ShardID(reader.integer(UInt32.self))) }
      if reader.integer(UInt8.self) == 1 {
        guard let migration = try MigrationState(&reader, path: path) else { return nil }
        state.migration = migration
      }
      return reader.isIntact && reader.offset == covered ? state : nil
    }
    guard let state else { throw damaged() }
    self = state
  }
}

extension MigrationState {
  /// Nil when the bytes are none.
  fileprivate init?(_ reader: inout ByteReader, path: String) throws(StorageError) {
    let map = reader.lengthPrefixed().array
    guard reader.isIntact, let phase = MigrationPhase(rawValue: reader.integer()) else {
      return nil
    }
    self.init(target: try ShardMap(decoding: map, path: path), phase: phase)
    total = Amount(keys: reader.varint(), bytes: reader.varint())
    copied = Amount(keys: reader.varint(), bytes: reader.varint())
    let item = reader.varint()
    guard item <= UInt64(Int32.max) else { return nil }
    position.item = Int(item)
    if reader.integer(UInt8.self) == 1 { position.key = reader.lengthPrefixed().array }
  }
}
