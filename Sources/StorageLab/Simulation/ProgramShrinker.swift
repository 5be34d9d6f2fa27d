/// Makes a failing program small: delta debugging (Zeller and Hildebrandt, 2002) on its
/// steps, then simpler operands.
public struct ProgramShrinker {
  private let fails: (OperationProgram) -> Bool
  private var attemptsLeft: Int
  private var best: OperationProgram

  /// The smallest program found that still fails. REQUIRES: `program` does. `attempts`
  /// bounds how often `fails` is asked.
  public static func shrink(
    _ program: OperationProgram, attempts: Int = 1500, _ fails: (OperationProgram) -> Bool
  ) -> OperationProgram {
    withoutActuallyEscaping(fails) { fails in
      var shrinker = ProgramShrinker(fails: fails, attemptsLeft: attempts, best: program)
      shrinker.run()
      return shrinker.best
    }
  }

  private mutating func run() {
    var size = Int.max
    while attemptsLeft > 0, size != measure(best) {
      size = measure(best)
      removeSteps()
      simplifyBatches()
      simplifyOperands()
    }
  }

  private func measure(_ program: OperationProgram) -> Int { program.description.utf8.count }

  private mutating func adopt(_ candidate: OperationProgram) -> Bool {
    guard attemptsLeft > 0 else { return false }
    attemptsLeft -= 1
    guard fails(candidate) else { return false }
    best = candidate
    return true
  }

  private mutating func removeSteps() {
    var chunk = max(1, best.steps.count / 2)
    while true {
      var start = 0
      while start < best.steps.count {
        var candidate = best
        candidate.steps.removeSubrange(start..<min(start + chunk, best.steps.count))
        if !adopt(candidate) { start += chunk }
      }
      if chunk == 1 { return }
      chunk /= 2
    }
  }

  private mutating func simplifyBatches() {
    for index in best.steps.indices {
      guard case .batch(let changes) = best.steps[index].operation else { continue }
      if changes.count == 1, replace(index, .change(changes[0])) { continue }
      var position = 0
      while case .batch(var kept) = best.steps[index].operation, position < kept.count {
        kept.remove(at: position)
        if !replace(index, .batch(kept)) { position += 1 }
      }
    }
  }

  private mutating func simplifyOperands() {
    for index in best.steps.indices {
      for simpler in best.steps[index].operation.simplifications where attemptsLeft > 0 {
        if replace(index, simpler) { break }
      }
    }
  }

  private mutating func replace(_ index: Int, _ operation: ProgramOperation) -> Bool {
    var candidate = best
    candidate.steps[index].operation = operation
    return adopt(candidate)
  }
}

extension ProgramOperation {
  /// Like operations with less to them, boldest first.
  var simplifications: [ProgramOperation] {
    switch self {
    case .change(let change): change.simplifications.map { .change($0) }
    case .batch(let changes):
      changes.indices.flatMap { index in
        changes[index].simplifications.map { simpler in
          var copy = changes
          copy[index] = simpler
          return .batch(copy)
        }
      }
    case .scan(let range, let backward, let limit, let snapshot):
      range.simplifications.map {
        .scan($0, backward: backward, limit: limit, snapshot: snapshot)
      } + (limit == nil ? [] : [.scan(range, backward: backward, limit: nil, snapshot: snapshot)])
    case .walk(let range, let snapshot, let moves):
      range.simplifications.map { .walk($0, snapshot: snapshot, moves) }
        + ProgramOperation.withoutOne(moves).map { .walk(range, snapshot: snapshot, $0) }
    case .crash(let mode): mode.simplifications.map { .crash($0) }
    case .crashAfter(let calls, let mode):
      [.crash(mode)] + mode.simplifications.map { .crashAfter(calls: calls, $0) }
        + ProgramOperation.earlier(calls, mode)
    default: []
    }
  }

  private static func earlier(_ calls: Int, _ mode: CrashMode) -> [ProgramOperation] {
    [calls / 2, calls - 1].filter { $0 > 0 }.map { .crashAfter(calls: $0, mode) }
  }

  /// Every list with one move less, but not the empty one.
  private static func withoutOne(_ moves: [Move]) -> [[Move]] {
    guard moves.count > 1 else { return [] }
    return moves.indices.map { index in
      var copy = moves
      copy.remove(at: index)
      return copy
    }
  }
}

extension CrashMode {
  /// Crashes of a better medium.
  fileprivate var simplifications: [CrashMode] {
    switch self {
    case .loseEverythingUnsynced, .keepEverything: []
    case .keepSome: [.loseEverythingUnsynced, .keepEverything]
    case .keepParts(let weaknesses, let seed):
      [.loseEverythingUnsynced, .keepEverything]
        + weaknesses.members.filter { weaknesses != $0 }.map {
          .keepParts(weaknesses.subtracting($0), seed: seed)
        }
    }
  }
}

extension ProgramOperation.Change {
  var simplifications: [ProgramOperation.Change] {
    if case .merge(let key, let operand) = self {
      let simpler: [ProgramOperation.Change] = [.put(key, operand)]
      return operand.count > 1 ? simpler + [.merge(key, ByteExpression("v"))] : simpler
    }
    guard case .put(let key, let value) = self, value.count > 1 else { return [] }
    var simpler: [ProgramOperation.Change] = [.put(key, ByteExpression("v"))]
    if value.count > 16 {
      simpler.append(.put(key, ByteExpression([.repeated([0x78], count: value.count / 2)])))
    }
    return simpler
  }
}

extension ProgramOperation.Range {
  var simplifications: [ProgramOperation.Range] {
    var simpler: [ProgramOperation.Range] = []
    if lower != nil { simpler.append(.init(lower: nil, upper: upper)) }
    if upper != nil { simpler.append(.init(lower: lower, upper: nil)) }
    return simpler
  }
}
