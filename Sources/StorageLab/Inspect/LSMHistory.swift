/// What became of an LSM tree, change by change, as its manifest tells it. Pure reading: the
/// database may be in use.
public struct LSMHistory: Sendable, Codable, Equatable {
  /// One change of the tree's tables.
  public struct Step: Sendable, Codable, Equatable {
    /// `snapshot`, `flush`, `compaction`, `move`, `ingestion`, or `settings`, which changes no table.
    public var cause: String
    /// Why a compaction or a move was due; nil when the manifest does not say.
    public var reason: String?
    /// When it was done, in milliseconds since 1970 began; nil when the manifest does not say.
    public var unixMilliseconds: UInt64?
    public var durationMilliseconds: UInt64
    /// Levels that tables left, ascending, and the one that they came to.
    public var from: [Int]
    public var to: Int?
    public var tablesRemoved: Int
    public var tablesAdded: Int
    /// Of the tables that a compaction replaced. A merge may have read less: a table that one
    /// range deletion covers is dropped unread.
    public var bytesRead: UInt64
    public var bytesWritten: UInt64
    /// Of tables that changed their level as they are.
    public var bytesMoved: UInt64
    /// The levels afterwards, empty ones left out.
    public var levels: [Level]
  }

  public struct Level: Sendable, Codable, Equatable {
    public var level: Int
    public var tables: Int
    public var bytes: UInt64
  }

  /// Sums over all steps of one cause, or of one level.
  public struct Total: Sendable, Codable, Equatable {
    public var name: String
    public var steps = 0
    public var tablesWritten = 0
    public var bytesRead: UInt64 = 0
    public var bytesWritten: UInt64 = 0
    public var bytesMoved: UInt64 = 0
  }

  public var path: String
  /// The manifest's file name and format version; nil for a tree that nobody wrote to.
  public var manifest: String?
  public var formatVersion: UInt32 = 0
  /// What was in the tree when the manifest began. Not empty: a longer history went with the
  /// manifest before.
  public var initial: [Level] = []
  public var steps: [Step] = []

  /// Reads the manifest in force. Errors: `corruption` naming the file and the offset,
  /// `unsupportedVersion`, `io`. Complexity: linear in the manifest.
  public init(of path: String, _ fileSystem: any FileSystem) throws(StorageError) {
    self.path = path
    var reader = Reader()
    let outcome = try ManifestReader(directory: path, fileSystem: fileSystem).read { _, edit in
      reader.add(edit)
    }
    guard let outcome else { return }
    manifest = ManifestFormat.fileName(outcome.number)
    formatVersion = outcome.version
    initial = reader.initial
    steps = reader.steps
  }

  /// Whether the steps are all there ever were.
  public var isComplete: Bool { initial.isEmpty }

  // MARK: Sums

  private static let causes = ["flush", "ingestion", "compaction", "move"]

  /// Steps, in the order flush, ingestion, compaction, move; those that did not happen left out.
  public var totalsByCause: [Total] {
    LSMHistory.causes.compactMap { cause in
      sum(cause, steps.filter { $0.cause == cause })
    }
  }

  /// Compactions and moves by why they were due.
  public var totalsByReason: [Total] {
    let due = steps.filter { $0.cause == "compaction" || $0.cause == "move" }
    return Set(due.map { $0.reason ?? "not recorded" }).sorted().compactMap { reason in
      sum(reason, due.filter { ($0.reason ?? "not recorded") == reason })
    }
  }

  /// What was written into, and moved into, each level.
  public var totalsByLevel: [Total] {
    Set(steps.compactMap(\.to)).sorted().compactMap { level in
      sum("\(level)", steps.filter { $0.to == level })
    }
  }

  private func sum(_ name: String, _ steps: [Step]) -> Total? {
    if steps.isEmpty { return nil }
    return steps.reduce(into: Total(name: name)) { total, step in
      total.steps += 1
      total.tablesWritten += step.bytesWritten > 0 ? step.tablesAdded : 0
      total.bytesRead &+= step.bytesRead
      total.bytesWritten &+= step.bytesWritten
      total.bytesMoved &+= step.bytesMoved
    }
  }

  /// Bytes of tables that came from outside: flushed, or ingested.
  public var incomingBytes: UInt64 {
    steps.reduce(0) {
      $0 &+ ($1.cause == "flush" || $1.cause == "ingestion" ? $1.bytesWritten : 0)
    }
  }

  /// Bytes written to tables for each byte that came in, the first writing included; nil when none
  /// came in.
  public var writeAmplification: Double? {
    let incoming = incomingBytes
    if incoming == 0 { return nil }
    return Double(steps.reduce(0) { $0 &+ $1.bytesWritten }) / Double(incoming)
  }

  // MARK: Reading

  /// Follows the edits and keeps what each did.
  private struct Reader {
    private var sizes: [UInt64: UInt64] = [:]
    private var levels: [Int: Level] = [:]
    var initial: [Level] = []
    var steps: [Step] = []

    mutating func add(_ edit: VersionEdit) {
      var step = Step(
        cause: "\(edit.cause)", reason: edit.reason.map { "\($0)" },
        unixMilliseconds: edit.unixMilliseconds == 0 ? nil : edit.unixMilliseconds,
        durationMilliseconds: edit.durationMilliseconds,
        from: Set(edit.removals.map(\.level)).sorted(), to: edit.additions.map(\.level).max(),
        tablesRemoved: edit.removals.count, tablesAdded: edit.additions.count, bytesRead: 0,
        bytesWritten: 0, bytesMoved: 0, levels: [])
      for removal in edit.removals {
        let bytes = sizes.removeValue(forKey: removal.number) ?? 0
        change(removal.level, tables: -1, removing: bytes)
        step.bytesRead &+= bytes
      }
      for addition in edit.additions {
        sizes[addition.table.number] = addition.table.fileBytes
        change(addition.level, tables: 1, adding: addition.table.fileBytes)
        step.bytesWritten &+= addition.table.fileBytes
      }
      if edit.cause == .move {
        step.bytesMoved = step.bytesWritten
        step.bytesRead = 0
        step.bytesWritten = 0
      }
      step.levels = levels.values.filter { $0.tables > 0 }.sorted { $0.level < $1.level }
      if edit.cause == .snapshot {
        initial = step.levels
        step.bytesWritten = 0
        step.to = nil
      }
      steps.append(step)
    }

    private mutating func change(
      _ level: Int, tables: Int, adding: UInt64 = 0, removing: UInt64 = 0
    ) {
      var entry = levels[level] ?? Level(level: level, tables: 0, bytes: 0)
      entry.tables += tables
      entry.bytes = entry.bytes &+ adding &- removing
      levels[level] = entry
    }
  }
}
