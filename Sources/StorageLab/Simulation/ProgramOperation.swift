/// One step of a program: what a caller of an engine, its operator or its power supply does.
public enum ProgramOperation: Sendable, Hashable {
  /// A single change, or an item of a batch.
  public enum Change: Sendable, Hashable {
    case put(ByteExpression, ByteExpression)
    case delete(ByteExpression)
    case merge(ByteExpression, ByteExpression)
    case deleteRange(ByteExpression, ByteExpression)
  }

  public struct Range: Sendable, Hashable {
    public var lower: ByteExpression?
    public var upper: ByteExpression?
    public init(lower: ByteExpression? = nil, upper: ByteExpression? = nil) {
      self.lower = lower
      self.upper = upper
    }
    var keyRange: KeyRange { KeyRange(from: lower?.bytes, to: upper?.bytes) }
  }

  /// A move of a cursor. `next` and `previous` on an invalid cursor do nothing.
  public enum Move: Sendable, Hashable {
    case first, last, next, previous
    case seek(ByteExpression)
    case seekBack(ByteExpression)
  }

  case change(Change)
  case batch([Change])
  /// Reads now, or in the named snapshot.
  case get(ByteExpression, snapshot: String?)
  case scan(Range, backward: Bool, limit: Int?, snapshot: String?)
  case walk(Range, snapshot: String?, [Move])
  case openSnapshot(String)
  case closeSnapshot(String)
  case sync, checkpoint, compact, settle, verify, statistics
  /// Closes and opens again.
  case reopen
  /// Pulls the plug, or kills the process, between two operations, and opens again.
  case crash(CrashMode)
  /// The same, at the nth I/O call from now; as the first operation, from the making of the
  /// database. While another is armed that has not struck: from the restart after that one, so
  /// that recovery is crashed too.
  case crashAfter(calls: Int, CrashMode)
  /// Leaves this many free bytes on the device; nil lifts the limit.
  case space(Int64?)
  /// Of a cluster, which an engine skips: begins to move to the other of its two maps; takes a step of
  /// that; turns back, where there is a way; takes steps until it is over.
  case migrate, step, rollBack, finish
}

extension ProgramOperation.Change: CustomStringConvertible {
  public var description: String {
    switch self {
    case .put(let key, let value): "put \(key) \(value)"
    case .delete(let key): "delete \(key)"
    case .merge(let key, let operand): "merge \(key) \(operand)"
    case .deleteRange(let lower, let upper): "delete-range \(lower) \(upper)"
    }
  }
}

extension ProgramOperation.Move: CustomStringConvertible {
  public var description: String {
    switch self {
    case .first: "first"
    case .last: "last"
    case .next: "next"
    case .previous: "previous"
    case .seek(let key): "seek \(key)"
    case .seekBack(let key): "seek-back \(key)"
    }
  }
}

extension ProgramOperation.Range {
  var words: String {
    (lower.map { " from \($0)" } ?? "") + (upper.map { " to \($0)" } ?? "")
  }
}

extension CrashMode {
  /// As programs write it.
  var word: String {
    switch self {
    case .loseEverythingUnsynced: "lose"
    case .keepEverything: "kill"
    case .keepSome(let seed): "some \(seed)"
    case .keepParts(let weaknesses, let seed): "by \(weaknesses) \(seed)"
    }
  }
}

extension ProgramOperation: CustomStringConvertible {
  /// The line, or for a batch the lines, of the text form.
  public var description: String {
    switch self {
    case .change(let change): change.description
    case .batch(let changes):
      "batch\n" + changes.map { "  \($0)\n" }.joined() + "end"
    case .get(let key, let snapshot): "get \(key)" + inSnapshot(snapshot)
    case .scan(let range, let backward, let limit, let snapshot):
      "scan" + range.words + (backward ? " backward" : "") + (limit.map { " limit \($0)" } ?? "")
        + inSnapshot(snapshot)
    case .walk(let range, let snapshot, let moves):
      "walk" + range.words + inSnapshot(snapshot) + ": "
        + moves.map(\.description).joined(separator: ", ")
    case .openSnapshot(let name): "snapshot \(name)"
    case .closeSnapshot(let name): "close-snapshot \(name)"
    case .sync: "sync"
    case .checkpoint: "checkpoint"
    case .compact: "compact"
    case .settle: "settle"
    case .verify: "verify"
    case .statistics: "statistics"
    case .reopen: "reopen"
    case .crash(let mode): "crash \(mode.word)"
    case .crashAfter(let calls, let mode): "crash-after \(calls) \(mode.word)"
    case .space(let bytes): "space " + (bytes.map { "\($0)" } ?? "unlimited")
    case .migrate: "migrate"
    case .step: "step"
    case .rollBack: "roll-back"
    case .finish: "finish"
    }
  }

  private func inSnapshot(_ name: String?) -> String { name.map { " in \($0)" } ?? "" }
}
