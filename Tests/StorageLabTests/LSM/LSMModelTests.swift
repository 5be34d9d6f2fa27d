import Testing

@testable import StorageLab

/// Random programs on the tree and on the in-memory engine, in lock-step.
@Suite struct LSMModelTests {
  private struct Program {
    var random: SeededRandom
    let keySpace: Int
    var tree: LSMEngine
    let model: MemoryEngine
    var snapshots: [(tree: any Snapshot, model: any Snapshot)] = []

    mutating func key() -> [UInt8] { LSMTest.key(random.below(keySpace)) }

    mutating func value() -> [UInt8] {
      let count = random.chance(0.02) ? 3000 : random.below(60)
      return (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next() & 7) }
    }

    mutating func range() -> KeyRange {
      let first = random.below(keySpace)
      let last = first + random.below(keySpace / 4 + 1)
      return KeyRange(
        from: random.chance(0.3) ? nil : LSMTest.key(first),
        to: random.chance(0.3) ? nil : LSMTest.key(last))
    }
  }

  private func check(_ tree: any Cursor, _ model: any Cursor, _ note: String) throws {
    let expected = try LSMTest.contents(model)
    #expect(try LSMTest.contents(tree) == expected, "forward, \(note)")
    #expect(try LSMTest.contentsBackward(tree) == expected, "backward, \(note)")
  }

  private func checkWalk(_ program: inout Program, _ note: String) throws {
    let range = program.range()
    let tree = try program.tree.cursor(range)
    let model = try program.model.cursor(range)
    for step in 0..<30 {
      let key = program.key()
      switch program.random.below(6) {
      case 0:
        try tree.seek(key)
        try model.seek(key)
      case 1:
        try tree.seekForPrevious(key)
        try model.seekForPrevious(key)
      case 2, 3:
        if model.isValid {
          try tree.next()
          try model.next()
        }
      default:
        if model.isValid {
          try tree.previous()
          try model.previous()
        }
      }
      #expect(tree.isValid == model.isValid, "\(note) step \(step)")
      if tree.isValid && model.isValid {
        #expect(tree.key.array == model.key.array, "\(note) step \(step)")
        #expect(tree.value.array == model.value.array, "\(note) step \(step)")
      } else if tree.isValid != model.isValid {
        return
      }
    }
  }

  private func step(
    _ program: inout Program, reopen: (LSMEngine) throws -> LSMEngine, _ note: String
  ) throws {
    switch program.random.below(100) {
    case 0..<55:
      let (key, value) = (program.key(), program.value())
      try program.tree.put(key, value)
      try program.model.put(key, value)
    case 55..<62:
      let (key, operand) = (program.key(), program.value())
      try program.tree.merge(key, operand)
      try program.model.merge(key, operand)
    case 62..<70:
      let key = program.key()
      try program.tree.delete(key)
      try program.model.delete(key)
    case 70..<74:
      let first = program.random.below(program.keySpace)
      let last = first + program.random.below(program.keySpace / 8 + 1)
      try program.tree.deleteRange(from: LSMTest.key(first), to: LSMTest.key(last))
      try program.model.deleteRange(from: LSMTest.key(first), to: LSMTest.key(last))
    case 74..<80:
      var batch = WriteBatch()
      for _ in 0..<program.random.below(20) {
        switch program.random.below(10) {
        case 0..<5: batch.put(program.key(), program.value())
        case 5..<7: batch.merge(program.key(), program.value())
        case 7..<9: batch.delete(program.key())
        default:
          let first = program.random.below(program.keySpace)
          batch.deleteRange(from: LSMTest.key(first), to: LSMTest.key(first + 5))
        }
      }
      try program.tree.write(batch)
      try program.model.write(batch)
    case 80..<83:
      if program.snapshots.count < 4 {
        program.snapshots.append((try program.tree.snapshot(), try program.model.snapshot()))
      }
    case 83..<85:
      if let pair = program.snapshots.popLast() {
        let key = program.key()
        #expect(try pair.tree.get(key) == pair.model.get(key), "\(note)")
        pair.tree.close()
        pair.model.close()
      }
    case 85..<87:
      if let pair = program.snapshots.randomElement(using: &program.random) {
        let range = program.range()
        try check(try pair.tree.cursor(range), try pair.model.cursor(range), "snapshot, \(note)")
      }
    case 87: try program.tree.compact()
    case 88: try program.tree.checkpoint()
    case 89:
      program.snapshots = []
      program.tree = try reopen(program.tree)
    case 90..<93: try checkWalk(&program, note)
    default:
      let key = program.key()
      #expect(try program.tree.get(key) == program.model.get(key), "\(note)")
    }
  }

  @Test(arguments: 0..<18) func agreesWithTheModel(seed: Int) throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("db")
    var tuning = LSMTest.tinyTuning
    tuning.compaction = CompactionPolicy.allCases[seed / 2 % 3]
    tuning.runsPerTier = 2 + seed % 3
    tuning.compression = seed % 2 == 0 ? [.none, .lz4] : [.none]
    tuning.indexSearch = seed % 4 < 2 ? .binary : .interpolated
    tuning.bloomBitsPerKey = seed % 3 == 0 ? 0 : 10
    var options = LSMTest.options(path, POSIXFileSystem(), seed % 4 == 3 ? .background : .inline)
    options.mergeOperator = seed % 3 == 1 ? HistoryOperator() : AppendOperator()
    var modelOptions = EngineOptions(path: "")
    modelOptions.mergeOperator = options.mergeOperator
    var program = Program(
      random: SeededRandom(seed: UInt64(seed)), keySpace: seed % 5 == 0 ? 40 : 600,
      tree: try LSMEngine.open(options, tuning),
      model: try MemoryEngine.open(modelOptions))
    for number in 0..<900 {
      try step(
        &program,
        reopen: { [options, tuning] old in
          try old.close()
          return try LSMEngine.open(options, tuning)
        }, "seed \(seed) step \(number)")
    }
    program.snapshots = []
    try check(try program.tree.cursor(), try program.model.cursor(), "seed \(seed) end")
    let report = try program.tree.verify()
    #expect(report.problems == [], "seed \(seed)")
    try program.tree.compact()
    try program.tree.settle()
    try check(try program.tree.cursor(), try program.model.cursor(), "seed \(seed) compacted")
    let statistics = try program.tree.statistics()
    #expect(statistics[detail: "tables.tombstones"] == 0)
    #expect(statistics[detail: "tables.rangeTombstones"] == 0)
    #expect(statistics[detail: "flushes"] != nil)
    #expect(try program.tree.verify().problems == [])
    try program.tree.close()
  }
}
