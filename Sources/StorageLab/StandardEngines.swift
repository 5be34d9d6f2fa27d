extension EngineRegistry {
  /// The engines of this build, in the order that reports list them, and the peers that it
  /// leaves out.
  public static let standard: EngineRegistry = {
    var registry = EngineRegistry()
    registry.register(BTreeEngine.registryEntry)
    registry.register(LSMEngine.registryEntry)
    registry.register(SQLiteEngine.registryEntry)
    registry.register(MemoryEngine.registryEntry)
    #if LMDB
      registry.register(LMDBEngine.registryEntry)
    #endif
    registry.mention(
      "lmdb", summary: "LMDB, a peer: copy-on-write B-tree in a memory map",
      remedy: "Run `make bench-peers`, or install liblmdb-dev and build with --traits LMDB")
    #if RocksDB
      registry.register(RocksDBEngine.registryEntry)
    #endif
    registry.mention(
      "rocksdb", summary: "RocksDB, a peer: LSM tree",
      remedy: "Run `make bench-peers`, or install librocksdb-dev and build with --traits RocksDB")
    #if LevelDB
      registry.register(LevelDBEngine.registryEntry)
    #endif
    registry.mention(
      "leveldb", summary: "LevelDB, a peer: LSM tree",
      remedy: "Run `make bench-peers`, or install libleveldb-dev and build with --traits LevelDB")
    return registry
  }()
}
