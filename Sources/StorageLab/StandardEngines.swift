extension EngineRegistry {
  /// The engines of this build, in the order that reports list them.
  public static let standard: EngineRegistry = {
    let registry = EngineRegistry()
    return registry
  }()
}
