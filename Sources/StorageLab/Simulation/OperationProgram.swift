/// A list of operations with a readable text form, a *goldenscript*: one operation a line,
/// `#` begins a comment, `=>` states the expected result (checked against the oracle too,
/// so a script says what is right and not just that two engines agree).
///
///     put KEY VALUE | delete KEY | delete-range LOWER UPPER | merge KEY OPERAND
///     batch / put … / delete … / end
///     get KEY [in SNAPSHOT]
///     scan [from KEY] [to KEY] [backward] [limit N] [in SNAPSHOT]
///     walk [from KEY] [to KEY] [in SNAPSHOT]: first, last, next, previous, seek KEY, seek-back KEY
///     snapshot NAME | close-snapshot NAME
///     sync | checkpoint | compact | settle | verify | statistics | reopen
///     crash MODE | crash-after CALLS MODE
///         MODE := lose | kill | some SEED | by WEAKNESS ["+" WEAKNESS]… SEED
///         WEAKNESS := sectors | pages | versions | sizes | names
///     space BYTES | space unlimited
///     durability none | process | interval[:MS] | commit (before the first operation)
///     cache BYTES                                        (likewise)
///     move NAME                                          (likewise; of clusters)
///     migrate | step | roll-back | finish                (of clusters)
///
///     … => value | none | key=value … | empty | error CODE
public struct OperationProgram: Sendable, Hashable {
  public struct Step: Sendable, Hashable {
    public var operation: ProgramOperation
    public var expected: ProgramOutcome?
    /// Line of the script, 1 for the first; 0 when the step was not read from one.
    public var line: Int

    public init(_ operation: ProgramOperation, expected: ProgramOutcome? = nil, line: Int = 0) {
      self.operation = operation
      self.expected = expected
      self.line = line
    }
  }

  /// The class that the script is about; nil runs it with whatever the caller chooses.
  public var durability: Durability?
  /// The cache budget that it needs to be about what it is; nil likewise.
  public var cacheBytes: Int?
  /// The change of map that a cluster goes through, by its name in `MigrationExplorer.standardMoves`.
  public var move: String?
  public var steps: [Step]

  public init(
    durability: Durability? = nil, cacheBytes: Int? = nil, move: String? = nil,
    _ steps: [Step] = []
  ) {
    self.move = move
    self.durability = durability
    self.cacheBytes = cacheBytes
    self.steps = steps
  }
}

extension OperationProgram: CustomStringConvertible {
  /// The text form; parsing it gives the program back.
  public var description: String {
    var text = durability.map { "durability \($0.word)\n" } ?? ""
    if let cacheBytes { text += "cache \(ByteExpression.size(cacheBytes))\n" }
    if let move { text += "move \(ByteExpression.literal(Array(move.utf8)))\n" }
    for step in steps {
      text += step.operation.description
      if let expected = step.expected { text += " => \(expected)" }
      text += "\n"
    }
    return text
  }
}

extension Durability {
  var word: String {
    switch self {
    case .none: "none"
    case .process: "process"
    case .interval(100): "interval"
    case .interval(let milliseconds): "interval:\(milliseconds)"
    case .commit: "commit"
    }
  }
}

/// What an operation gave.
public enum ProgramOutcome: Sendable, Hashable {
  public enum Item: Sendable, Hashable {
    /// No such key, or a cursor past the end.
    case nothing
    case value([UInt8])
    case entry([UInt8], [UInt8])
  }

  /// Success of an operation that returns nothing.
  case done
  case items([Item])
  case failed(StorageError.Code)
  /// Not applicable: a snapshot of that name is not open, the engine keeps nothing on disk.
  case skipped
}

extension ProgramOutcome: CustomStringConvertible {
  public var description: String {
    switch self {
    case .done: "done"
    case .skipped: "skipped"
    case .failed(let code): "error \(code.rawValue)"
    case .items(let items):
      items.isEmpty ? "empty" : items.map(\.description).joined(separator: " ")
    }
  }
}

extension ProgramOutcome.Item: CustomStringConvertible {
  public var description: String {
    switch self {
    case .nothing: "none"
    case .value(let value): ByteExpression.literal(value)
    case .entry(let key, let value):
      ByteExpression.literal(key) + "=" + ByteExpression.literal(value)
    }
  }
}

extension ProgramOutcome {
  /// For messages: long values by length and hash, long lists by their first difference to
  /// `other`.
  func shown(against other: ProgramOutcome) -> String {
    guard case .items(let items) = self else { return description }
    var start = 0
    if case .items(let others) = other, items.count > 8 {
      while start < min(items.count, others.count), items[start] == others[start] { start += 1 }
      start = max(0, start - 1)
    }
    let shown = items[start...].prefix(6).map { item in
      switch item {
      case .nothing: "none"
      case .value(let value): ByteExpression.shown(value)
      case .entry(let key, let value):
        ByteExpression.shown(key) + "=" + ByteExpression.shown(value)
      }
    }
    let before = start > 0 ? "(after \(start) equal ones) " : ""
    let after = items.count > start + shown.count ? " … of \(items.count)" : ""
    return items.isEmpty ? "empty" : before + shown.joined(separator: " ") + after
  }
}
