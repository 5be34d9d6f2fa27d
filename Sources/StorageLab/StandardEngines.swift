extension EngineRegistry {
  /// The engines of this build, in the order that reports list them.
  public static let standard: EngineRegistry = {
    var registry = EngineRegistry()
    registry.register(BTreeEngine.registryEntry)
    registry.register(LSMEngine.registryEntry)
    registry.register(SQLiteEngine.registryEntry)
    registry.register(MemoryEngine.registryEntry)
    return registry
  }()
}
