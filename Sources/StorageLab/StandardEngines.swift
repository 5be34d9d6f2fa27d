extension EngineRegistry {
  /// The engines of this build, in the order that reports list them.
  public static let standard: EngineRegistry = {
    var registry = EngineRegistry()
    registry.register(
      Entry(
        name: SQLiteEngine.engineName, summary: "SQLite in WAL mode, the control",
        open: { (options) throws(StorageError) in try SQLiteEngine(options) }))
    return registry
  }()
}
