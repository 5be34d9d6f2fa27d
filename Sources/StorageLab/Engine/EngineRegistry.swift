/// The engines that a program can open by name. A value: whoever adds an engine of their own
/// registers it in their copy and hands that to the benchmark or the command line.
public struct EngineRegistry: Sendable {
  public struct Entry: Sendable {
    public fileprivate(set) var name: String
    /// One line for `labctl --help` and reports.
    public let summary: String
    /// False for engines that keep nothing on disk.
    public let isPersistent: Bool
    /// Whether its I/O goes through our `FileSystem`, which counts it.
    public let countsIO: Bool
    /// Whether an engine that does its own I/O writes by system calls, so that the kernel counts
    /// its bytes as this process's; what is stored into a map, nobody counts.
    public let writesThroughCalls: Bool
    /// Whether a power loss may destroy the whole database in the classes that never sync, `none`
    /// and `process`; the lab's own engines then go back to an older state.
    public let needsSyncs: Bool
    public let open: @Sendable (EngineOptions) throws(StorageError) -> any StorageEngine
    /// The same engine tuned otherwise, asked for as `name:variant`; its files are the engine's.
    public let variants: [Variant]
    /// Makes a variant of what was asked for behind the colon when it is none of `variants`; nil for
    /// an engine without settings. Errors: `invalidArgument` that says what there is.
    public let tuned: (@Sendable (String) throws(StorageError) -> Variant)?
    /// Looking into a database that need not open, and salvaging it; nil for engines without.
    public let tools: DatabaseTools?

    public struct Variant: Sendable {
      public let name: String
      public let summary: String
      public let open: @Sendable (EngineOptions) throws(StorageError) -> any StorageEngine

      public init(
        name: String, summary: String,
        open: @escaping @Sendable (EngineOptions) throws(StorageError) -> any StorageEngine
      ) {
        self.name = name
        self.summary = summary
        self.open = open
      }
    }

    public init(
      name: String, summary: String, isPersistent: Bool = true, countsIO: Bool = true,
      writesThroughCalls: Bool = false, needsSyncs: Bool = false, variants: [Variant] = [],
      tuned: (@Sendable (String) throws(StorageError) -> Variant)? = nil,
      tools: DatabaseTools? = nil,
      open: @escaping @Sendable (EngineOptions) throws(StorageError) -> any StorageEngine
    ) {
      self.name = name
      self.summary = summary
      self.isPersistent = isPersistent
      self.countsIO = countsIO
      self.writesThroughCalls = writesThroughCalls
      self.needsSyncs = needsSyncs
      self.variants = variants
      self.tuned = tuned
      self.tools = tools
      self.open = open
    }

    /// The entry of `name:variant`; nil when there is no such variant.
    fileprivate func variant(_ variant: String) throws(StorageError) -> Entry? {
      var found = variants.first { $0.name == variant }
      if found == nil, let tuned { found = try tuned(variant) }
      guard let found else { return nil }
      return Entry(
        name: "\(name):\(variant)", summary: found.summary, isPersistent: isPersistent,
        countsIO: countsIO, writesThroughCalls: writesThroughCalls, needsSyncs: needsSyncs,
        tools: tools,
        open: found.open)
    }
  }

  /// An engine that this build leaves out.
  public struct Absentee: Sendable {
    public let name: String
    public let summary: String
    /// What to do to have it, as a sentence.
    public let remedy: String
  }

  public private(set) var entries: [Entry] = []
  /// Engines that are known but not built in, with how to get them.
  public private(set) var absentees: [Absentee] = []

  public init() {}

  /// Tells of an engine that this build lacks; no effect when it is there.
  public mutating func mention(_ name: String, summary: String, remedy: String) {
    if names.contains(name) { return }
    absentees.append(Absentee(name: name, summary: summary, remedy: remedy))
  }

  /// Adds an engine, or replaces the one of that name.
  public mutating func register(_ entry: Entry) {
    entries.removeAll { $0.name == entry.name }
    absentees.removeAll { $0.name == entry.name }
    entries.append(entry)
  }

  public var names: [String] { entries.map(\.name) }

  /// The entry of an engine, of a variant, `name:variant`, or of a twin of either, `name#2`.
  /// Errors: `invalidArgument` with the names there are; `unsupported` for an absentee.
  public func entry(_ name: String) throws(StorageError) -> Entry {
    let original = EngineTwin.original(name)
    if original != name {
      var entry = try entry(original)
      entry.name = name
      return entry
    }
    if let colon = name.firstIndex(of: ":") {
      let engine = try entry(String(name[..<colon]))
      if let variant = try engine.variant(String(name[name.index(after: colon)...])) {
        return variant
      }
      let known = engine.variants.map { "\(engine.name):\($0.name)" }
      throw StorageError(
        .invalidArgument, "there is no engine \(name)",
        remedy: known.isEmpty
          ? "\(engine.name) has no variants" : "Variants: \(known.joined(separator: ", "))")
    }
    guard let entry = entries.first(where: { $0.name == name }) else {
      if let absentee = absentees.first(where: { $0.name == name }) {
        throw StorageError(
          .unsupported, "engine \(name) is not part of this build", remedy: absentee.remedy)
      }
      throw StorageError(
        .invalidArgument, "there is no engine \(name)",
        remedy: "Engines: \(names.joined(separator: ", "))")
    }
    return entry
  }

  public func open(
    _ name: String, _ options: EngineOptions
  ) throws(StorageError) -> any StorageEngine {
    try entry(name).open(options)
  }

  /// Opens the existing database at `options.path` with the engine that owns it.
  /// Errors: as `EngineDirectory.open`; `notFound` when nobody owns the directory,
  /// `wrongFormat` when an engine owns it that is not registered.
  public func openExisting(_ options: EngineOptions) throws(StorageError) -> any StorageEngine {
    guard
      let owner = try EngineDirectory.identify(options.path, options.fileSystem)
    else {
      throw StorageError(
        .notFound, "there is no database", remedy: "Check the path", path: options.path)
    }
    guard let entry = entries.first(where: { $0.name == owner.engine }) else {
      throw StorageError(
        .wrongFormat, "the directory belongs to engine \(owner.engine), which this build lacks",
        remedy: "Engines: \(names.joined(separator: ", "))", path: options.path)
    }
    var options = options
    options.createIfMissing = false
    return try entry.open(options)
  }
}
