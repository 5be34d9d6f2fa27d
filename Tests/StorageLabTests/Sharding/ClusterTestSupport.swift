@testable import StorageLab

/// Clusters in memory for tests.
enum ClusterTest {
  static let engines: [TestEngine] = [.btree, .lsm]

  static func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

  static func key(_ number: Int) -> [UInt8] {
    let text = String(number)
    return bytes("k" + String(repeating: "0", count: 5 - text.count) + text)
  }

  static func options(
    _ fileSystem: any FileSystem, _ durability: Durability = .process,
    _ maintenance: EngineOptions.Maintenance = .inline
  ) -> EngineOptions {
    var options = EngineOptions(path: "/c", fileSystem: fileSystem)
    options.durability = durability
    options.maintenance = maintenance
    options.clock = SteppingClock()
    options.cacheBytes = 1 << 20
    return options
  }

  static func ring(_ shards: Int, epoch: UInt64 = 1) throws -> ShardMap {
    try ShardMap(epoch: epoch, Shard.equal(shards), .ring(virtualNodes: 16, .wholeKey))
  }

  /// Shard i from the ith boundary on.
  static func ranges(_ boundaries: [String], epoch: UInt64 = 1) throws -> ShardMap {
    try ShardMap(
      epoch: epoch, Shard.equal(boundaries.count + 1),
      .ranges(
        boundaries: boundaries.map(bytes),
        owners: (0...UInt32(boundaries.count)).map { ShardID($0) }))
  }

  static func open(
    _ engine: TestEngine, _ map: ShardMap? = nil,
    on fileSystem: any FileSystem = MemoryFileSystem(), _ durability: Durability = .process
  ) throws -> Cluster {
    try Cluster.open(options(fileSystem, durability), engine: engine.entry, map: map)
  }

  /// Keys 0 ..< count, each with a value that names it.
  static func fill(_ cluster: Cluster, _ count: Int) throws {
    for number in 0..<count { try cluster.put(key(number), bytes("value \(number)")) }
  }

  static func contents(_ cluster: Cluster, concurrency: Int = 1) throws -> [[UInt8]: [UInt8]] {
    var found: [[UInt8]: [UInt8]] = [:]
    try cluster.scan(concurrency: concurrency) { key, value in
      found[key.withSlice { $0.array }] = value.withSlice { $0.array }
      return true
    }
    return found
  }

  /// Steps until the migration is over or `isThere`.
  static func step(
    _ cluster: Cluster, until isThere: (MigrationPhase) -> Bool = { _ in false }
  ) throws {
    for _ in 0..<10_000 {
      guard let phase = cluster.state.migration?.phase, !isThere(phase) else { return }
      _ = try cluster.stepMigration()
    }
    throw StorageError(.io, "the migration does not end")
  }

  static func small(_ backfill: MigrationOptions.Backfill = .watermarked) -> MigrationOptions {
    var options = MigrationOptions()
    options.chunkBytes = 256
    options.backfill = backfill
    return options
  }
}
