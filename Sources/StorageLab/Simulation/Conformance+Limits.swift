extension Conformance {
  /// Sizes of keys and values, use after close, options.
  static let limitChecks: [ConformanceCheck] = [
    ConformanceCheck("keys have 1 B to 64 KiB") { context in
      let engine = try context.open()
      let longest = [UInt8](repeating: 0xfe, count: EngineLimits.maximumKeyBytes)
      try engine.put(longest, [1])
      try context.require(try engine.get(longest) == [1], "a 64 KiB key is not found")
      for bad in [[], longest + [0]] {
        try context.refuses("put of a key of \(bad.count) bytes", .invalidArgument) {
          try engine.put(bad, [2])
        }
        try context.refuses("get of a key of \(bad.count) bytes", .invalidArgument) {
          _ = try engine.get(bad)
        }
        try context.refuses("delete of a key of \(bad.count) bytes", .invalidArgument) {
          try engine.delete(bad)
        }
        var batch = WriteBatch()
        batch.put([7], [7])
        batch.put(bad, [2])
        try context.refuses("a batch with a key of \(bad.count) bytes", .invalidArgument) {
          try engine.write(batch)
        }
      }
      try context.require(try engine.get([7]) == nil, "a refused batch left something behind")
      try engine.close()
    },
    ConformanceCheck("values over maximumValueBytes are refused and change nothing") { context in
      let engine = try context.open { $0.maximumValueBytes = 1000 }
      try engine.put([1], [UInt8](repeating: 1, count: 1000))
      try context.refuses("a value of 1001 bytes", .invalidArgument) {
        try engine.put([1], [UInt8](repeating: 2, count: 1001))
      }
      try context.require(
        try engine.get([1]) == [UInt8](repeating: 1, count: 1000), "the old value is gone")
      try engine.close()
    },
    ConformanceCheck("merges are done as the operator says, or refused whole") { context in
      var engine = try context.open { $0.mergeOperator = CounterOperator() }
      let one = CounterOperator.encode(1)
      try engine.put([1], CounterOperator.encode(40))
      var batch = WriteBatch()
      batch.put([2], [2])
      batch.merge([1], one)
      do {
        try engine.merge([1], one)
      } catch let error as StorageError where error.code == .unsupported {
        try context.refuses("a batch with a merge", .unsupported) { try engine.write(batch) }
        let same = try engine.get([1]) == CounterOperator.encode(40)
        try context.require(try same && engine.get([2]) == nil, "a refused merge did something")
        return try engine.close()
      }
      try engine.write(batch)
      func check(_ when: String) throws {
        let value = try engine.get([1]).flatMap { CounterOperator.decode($0) }
        try context.require(value == 42, "40 + 1 + 1 is \(value ?? -1) \(when)")
        try context.require(
          try context.contents(engine)
            == [.entry([1], CounterOperator.encode(42)), .entry([2], [2])],
          "a cursor sees other values \(when)")
      }
      try check("at once")
      try engine.checkpoint()
      try check("after a checkpoint")
      try engine.compact()
      try check("after compacting")
      var bad = WriteBatch()
      bad.put([2], [3])
      bad.merge([1], [1, 2, 3])
      try context.refuses("a batch with a malformed operand", .invalidArgument) {
        try engine.write(bad)
      }
      try context.refuses("a malformed operand", .invalidArgument) {
        try engine.merge([1], [1, 2, 3])
      }
      try check("after refusing")
      try engine.close()
      if !context.engine.isPersistent { return }
      engine = try context.open { $0.mergeOperator = CounterOperator() }
      try check("after reopening")
      try engine.close()
      try context.refuses("opening merges without their operator", .invalidArgument) {
        _ = try context.open()
      }
    },
    ConformanceCheck("values of 64 MiB come back whole") { context in
      var engine = try context.open { $0.durability = .process }
      let value = ConformanceContext.value(1, bytes: 64 << 20)
      try engine.put([1], value)
      try context.require(try engine.get([1]) == value, "a 64 MiB value reads differently")
      try engine.checkpoint()
      try context.require(
        try engine.get([1]) == value, "a 64 MiB value reads differently after a checkpoint")
      if context.engine.isPersistent {
        try engine.close()
        engine = try context.open { $0.durability = .process }
        try context.require(
          try engine.get([1]) == value, "a 64 MiB value reads differently after reopening")
      }
      try engine.delete([1])
      try context.require(try engine.get([1]) == nil, "a deleted 64 MiB value is still there")
      try engine.close()
    },
    ConformanceCheck("after close everything throws closed") { context in
      let engine = try context.open()
      try engine.put([1], [1])
      let snapshot = try engine.snapshot()
      let cursor = try engine.cursor()
      try cursor.seekToFirst()
      try engine.close()
      try engine.close()
      let uses: [(String, () throws -> Void)] = [
        ("get", { _ = try engine.get([1]) }), ("put", { try engine.put([1], [2]) }),
        ("delete", { try engine.delete([1]) }),
        ("deleteRange", { try engine.deleteRange(from: [1], to: [2]) }),
        ("write", { try engine.write(WriteBatch()) }), ("sync", { try engine.sync() }),
        ("snapshot", { _ = try engine.snapshot() }), ("cursor", { _ = try engine.cursor() }),
        ("checkpoint", { try engine.checkpoint() }), ("compact", { try engine.compact() }),
        ("settle", { try engine.settle() }), ("verify", { _ = try engine.verify() }),
        ("statistics", { _ = try engine.statistics() }),
        ("get of a snapshot", { _ = try snapshot.get([1]) }),
        ("cursor of a snapshot", { _ = try snapshot.cursor() }),
        ("seek of a cursor", { try cursor.seekToFirst() }),
      ]
      for (what, use) in uses { try context.refuses("\(what) after close", .closed, body: use) }
      snapshot.close()
      cursor.close()
    },
    ConformanceCheck("a closed snapshot and a closed cursor throw closed, once or twice") {
      context in
      let engine = try context.open()
      try engine.put([1], [1])
      let snapshot = try engine.snapshot()
      let kept = try snapshot.cursor()
      snapshot.close()
      snapshot.close()
      try context.refuses("get of a closed snapshot", .closed) { _ = try snapshot.get([1]) }
      try context.refuses("cursor of a closed snapshot", .closed) { _ = try snapshot.cursor() }
      kept.close()
      kept.close()
      try context.refuses("seek of a closed cursor", .closed) { try kept.seekToFirst() }
      try engine.close()
    },
    ConformanceCheck("an empty batch is accepted") { context in
      let engine = try context.open()
      try engine.write(WriteBatch())
      try context.require(try context.contents(engine).isEmpty, "something is there")
      try engine.close()
    },
    ConformanceCheck("statistics count what callers wrote") { context in
      let engine = try context.open()
      let before = try engine.statistics().userBytesWritten
      try engine.put(ConformanceContext.key(1), [UInt8](repeating: 0, count: 100))
      let written = try engine.statistics().userBytesWritten - before
      try context.require(written == 109, "109 bytes were written, \(written) are counted")
      try engine.close()
    },
  ]
}
