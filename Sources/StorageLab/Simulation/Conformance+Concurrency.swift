import Synchronization

extension Conformance {
  /// Readers beside a writer.
  static let concurrencyChecks: [ConformanceCheck] = [
    ConformanceCheck("snapshots beside a writer see whole batches") { context in
      let engine = try context.open { options in
        options.durability = .process
        options.maintenance = .background
      }
      try race(context, engine, rounds: 300) { reader in
        let snapshot = try engine.snapshot()
        defer { snapshot.close() }
        let first = try round(snapshot.get(ConformanceContext.key(reader)))
        for number in 0..<batchKeys {
          let found = try round(snapshot.get(ConformanceContext.key(number)))
          try context.require(
            found == first, "a snapshot sees round \(first) and round \(found) of one batch")
        }
      }
      try engine.close()
    },
    ConformanceCheck("cursors beside a writer see whole batches, both ways") { context in
      let engine = try context.open { options in
        options.durability = .process
        options.maintenance = .background
      }
      try race(context, engine, rounds: 300) { reader in
        let cursor = try engine.cursor()
        defer { cursor.close() }
        let items = try ProgramExecutor.scan(cursor, backward: reader == 1)
        var rounds = Set<Int>()
        for case .entry(_, let value) in items { rounds.insert(round(value)) }
        try context.require(rounds.count <= 1, "a cursor sees rounds \(rounds.sorted())")
        try context.require(
          items.isEmpty || items.count == batchKeys, "a cursor sees \(items.count) keys")
      }
      try engine.close()
    },
    ConformanceCheck("plain gets of a key never go back in time") { context in
      let engine = try context.open { options in
        options.durability = .process
        options.maintenance = .background
      }
      try race(context, engine, rounds: 300) { reader in
        var last = 0
        for _ in 0..<50 {
          let found = try round(engine.get(ConformanceContext.key(reader)))
          try context.require(found >= last, "round \(found) after round \(last)")
          last = found
        }
      }
      try engine.close()
    },
    ConformanceCheck("many writers' batches all arrive") { context in
      let engine = try context.open { $0.maintenance = .background }
      try threads(context, 4) { writer in
        for number in 0..<50 {
          var batch = WriteBatch()
          batch.put(ConformanceContext.key(writer * 1000 + number), [UInt8(number)])
          batch.put(ConformanceContext.key(writer * 1000 + 500 + number), [UInt8(number)])
          try engine.write(batch)
        }
      }
      let found = try context.contents(engine).count
      try context.require(found == 400, "\(found) of 400 keys are there")
      try engine.close()
    },
    ConformanceCheck("close beside readers and writers ends them with closed") { context in
      for round in 0..<5 {
        let context = context.another(round)
        let engine = try context.open { $0.maintenance = .background }
        let started = Atomic<Int>(0)
        try threads(context, 4) { thread in
          if thread == 0 {
            while started.load(ordering: .acquiring) < 3 { LabThread.sleep(nanoseconds: 1000) }
            return try engine.close()
          }
          do {
            for number in 0..<1_000_000 {
              if thread == 1 {
                try engine.put(ConformanceContext.key(number % 100), [1])
              } else {
                _ = try engine.get(ConformanceContext.key(number % 100))
              }
              if number == 10 { started.wrappingAdd(1, ordering: .releasing) }
            }
          } catch let error as StorageError {
            try context.require(error.code == .closed, "a call beside close threw \(error)")
          }
        }
      }
    },
  ]

  private static let batchKeys = 12

  /// The round that a value was written in; 0 for none.
  private static func round(_ value: [UInt8]?) -> Int {
    guard let value, value.count >= 4 else { return 0 }
    return value[0..<4].reduce(0) { $0 << 8 | Int($1) }
  }

  /// One writer that rewrites all keys in one batch each round, and two readers beside it.
  private static func race(
    _ context: ConformanceContext, _ engine: any StorageEngine, rounds: Int,
    _ read: @escaping @Sendable (_ reader: Int) throws -> Void
  ) throws {
    let isDone = Atomic<Bool>(false)
    try threads(context, 3) { thread in
      if thread < 2 {
        repeat { try read(thread) } while !isDone.load(ordering: .acquiring)
        return
      }
      defer { isDone.store(true, ordering: .releasing) }
      for number in 1...rounds {
        let stamp = withUnsafeBytes(of: UInt32(number).bigEndian) { Array($0) }
        var batch = WriteBatch()
        if number % 3 == 0 {
          batch.deleteRange(from: [], to: ConformanceContext.key(batchKeys))
        }
        for key in 0..<batchKeys {
          batch.put(
            ConformanceContext.key(key), stamp + [UInt8](repeating: 0, count: 50 + number % 300))
        }
        try engine.write(batch)
      }
    }
  }

  /// Runs `body` on `count` threads, waits for all and throws the first error of any.
  private static func threads(
    _ context: ConformanceContext, _ count: Int,
    _ body: @escaping @Sendable (Int) throws -> Void
  ) throws {
    let failure = Guarded<(any Error)?>(nil)
    var running: [LabThread] = []
    for index in 0..<count {
      running.append(
        try LabThread(name: "conformance-\(index)") {
          do { try body(index) } catch { failure.withLock { $0 = $0 ?? error } }
        })
    }
    for thread in running { thread.join() }
    if let error = failure.withLock({ $0 }) { throw error }
  }
}
