/// Applies operations to one engine and returns what the caller would see. The engine under
/// test and the oracle go through the same code, so a difference is a difference of engines.
struct ProgramExecutor {
  let engine: any StorageEngine
  private var snapshots: [String: any Snapshot] = [:]

  init(_ engine: any StorageEngine) { self.engine = engine }

  var openSnapshots: Int { snapshots.count }

  /// Closes every snapshot; before the engine goes.
  mutating func closeSnapshots() {
    for snapshot in snapshots.values { snapshot.close() }
    snapshots = [:]
  }

  /// Runs everything but reopen, crashes and the device's size, which are not the engine's.
  mutating func run(_ operation: ProgramOperation) -> ProgramOutcome {
    do throws(StorageError) {
      return try perform(operation)
    } catch {
      return .failed(error.code)
    }
  }

  private mutating func perform(
    _ operation: ProgramOperation
  ) throws(StorageError) -> ProgramOutcome {
    switch operation {
    case .change(.put(let key, let value)): try engine.put(key.bytes, value.bytes)
    case .change(.delete(let key)): try engine.delete(key.bytes)
    case .change(.merge(let key, let operand)): try engine.merge(key.bytes, operand.bytes)
    case .change(.deleteRange(let lower, let upper)):
      try engine.deleteRange(from: lower.bytes, to: upper.bytes)
    case .batch(let changes): try engine.write(ProgramExecutor.batch(changes))
    case .get(let key, let name):
      guard let name else { return value(try engine.get(key.bytes)) }
      guard let snapshot = snapshots[name] else { return .skipped }
      return value(try snapshot.get(key.bytes))
    case .scan(let range, let backward, let limit, let name):
      return try withCursor(range, name) { (cursor) throws(StorageError) in
        try ProgramExecutor.scan(cursor, backward: backward, limit: limit ?? .max)
      }
    case .walk(let range, let name, let moves):
      return try withCursor(range, name) { (cursor) throws(StorageError) in
        try ProgramExecutor.walk(cursor, moves)
      }
    case .openSnapshot(let name):
      snapshots.removeValue(forKey: name)?.close()
      snapshots[name] = try engine.snapshot()
    case .closeSnapshot(let name):
      guard let snapshot = snapshots.removeValue(forKey: name) else { return .skipped }
      snapshot.close()
    case .sync: try engine.sync()
    case .checkpoint: try engine.checkpoint()
    case .compact: try engine.compact()
    case .settle: try engine.settle()
    case .verify:
      if let problem = try engine.verify().problems.first {
        throw .corruption(problem.message, path: problem.path, offset: problem.offset)
      }
    case .statistics: _ = try engine.statistics()
    case .reopen, .crash, .crashAfter, .space, .migrate, .step, .rollBack, .finish:
      return .skipped
    }
    return .done
  }

  static func batch(_ changes: [ProgramOperation.Change]) -> WriteBatch {
    var batch = WriteBatch()
    for change in changes {
      switch change {
      case .put(let key, let value): batch.put(key.bytes, value.bytes)
      case .delete(let key): batch.delete(key.bytes)
      case .merge(let key, let operand): batch.merge(key.bytes, operand.bytes)
      case .deleteRange(let lower, let upper):
        batch.deleteRange(from: lower.bytes, to: upper.bytes)
      }
    }
    return batch
  }

  private func value(_ value: [UInt8]?) -> ProgramOutcome {
    .items([value.map { .value($0) } ?? .nothing])
  }

  private func withCursor(
    _ range: ProgramOperation.Range, _ name: String?,
    _ body: (any Cursor) throws(StorageError) -> [ProgramOutcome.Item]
  ) throws(StorageError) -> ProgramOutcome {
    let cursor: any Cursor
    if let name {
      guard let snapshot = snapshots[name] else { return .skipped }
      cursor = try snapshot.cursor(range.keyRange)
    } else {
      cursor = try engine.cursor(range.keyRange)
    }
    defer { cursor.close() }
    return .items(try body(cursor))
  }

  static func scan(
    _ cursor: any Cursor, backward: Bool = false, limit: Int = .max
  ) throws(StorageError) -> [ProgramOutcome.Item] {
    var items: [ProgramOutcome.Item] = []
    if backward { try cursor.seekToLast() } else { try cursor.seekToFirst() }
    while cursor.isValid, items.count < limit {
      items.append(.entry(cursor.key.array, cursor.value.array))
      if backward { try cursor.previous() } else { try cursor.next() }
    }
    return items
  }

  private static func walk(
    _ cursor: any Cursor, _ moves: [ProgramOperation.Move]
  ) throws(StorageError) -> [ProgramOutcome.Item] {
    var items: [ProgramOutcome.Item] = []
    for move in moves {
      switch move {
      case .first: try cursor.seekToFirst()
      case .last: try cursor.seekToLast()
      case .seek(let key): try cursor.seek(key.bytes)
      case .seekBack(let key): try cursor.seekForPrevious(key.bytes)
      case .next: if cursor.isValid { try cursor.next() }
      case .previous: if cursor.isValid { try cursor.previous() }
      }
      items.append(
        cursor.isValid ? .entry(cursor.key.array, cursor.value.array) : .nothing)
    }
    return items
  }
}
