extension Conformance {
  /// A full device, refused calls and flipped bits: acknowledged data stays, reads go on,
  /// damage is an error and never data.
  static let faultChecks: [ConformanceCheck] = [
    fullDevice("a full device in the middle of writes", durability: .commit) { _ in },
    fullDevice("a full device in the middle of writes, class process", durability: .process) {
      _ in
    },
    fullDevice("a full device in a checkpoint", durability: .commit) { engine in
      try? engine.checkpoint()
    },
    fullDevice("a full device in a compaction", durability: .commit) { engine in
      try? engine.compact()
    },
    ConformanceCheck(
      "a failed write call loses nothing acknowledged", needsPersistence: true, needsOurFiles: true
    ) {
      context in
      for call in [FaultRule.Call.write, .preallocate, .open, .rename, .truncate] {
        for nth in [1, 2, 3, 5, 8, 13] {
          try failing(call, nth: nth, count: 1, .noSpace, ConformanceContext(context.engine))
        }
      }
    },
    ConformanceCheck("failing syncs never acknowledge", needsPersistence: true, needsOurFiles: true)
    { context in
      for nth in [1, 2, 4, 7] {
        for call in [FaultRule.Call.sync, .syncDirectory] {
          try failing(call, nth: nth, count: nil, .io, ConformanceContext(context.engine))
        }
      }
    },
    ConformanceCheck(
      "a flipped bit is an error, never data", needsPersistence: true, needsOurFiles: true
    ) { context in
      let engine = try context.open()
      var expected: [[UInt8]: [UInt8]] = [:]
      for number in 0..<120 {
        let key = ConformanceContext.key(number)
        expected[key] = ConformanceContext.value(number, bytes: 150)
        try engine.put(key, expected[key] ?? [])
      }
      try engine.checkpoint()
      try engine.compact()
      try engine.close()
      var random = SeededRandom(seed: 7)
      for _ in 0..<60 {
        try flipAndRead(context.fileSystem.afterCrash(.keepEverything), expected, context, &random)
      }
    },
  ]

  // MARK: A full device

  private static func fullDevice(
    _ name: String, durability: Durability,
    _ upkeep: @escaping @Sendable (any StorageEngine) throws -> Void
  ) -> ConformanceCheck {
    ConformanceCheck("\(name) keeps acknowledged data", needsPersistence: true, needsOurFiles: true)
    { context in
      let engine = try context.open { $0.durability = durability }
      var acknowledged: [(Int, Int)] = []
      func put(_ number: Int, bytes: Int) throws {
        try engine.put(
          ConformanceContext.key(number), ConformanceContext.value(number, bytes: bytes))
        acknowledged.append((number, bytes))
      }
      func checkAll(_ engine: any StorageEngine, _ when: String) throws {
        for (number, bytes) in acknowledged {
          try context.require(
            try engine.get(ConformanceContext.key(number))
              == ConformanceContext.value(number, bytes: bytes), "key \(number) is lost \(when)")
        }
        try context.require(
          try context.contents(engine).count == acknowledged.count,
          "refused writes are visible \(when)")
      }
      for number in 0..<20 { try put(number, bytes: 700) }
      context.fileSystem.capacity = context.fileSystem.usedBytes + 40_000
      var refusals = 0
      for number in 100..<400 where refusals < 5 {
        do {
          try put(number, bytes: 3000)
        } catch let error as StorageError {
          try context.require(
            error.code == .noSpace || error.code == .writesRefused,
            "a full device is \(error.code.rawValue)")
          refusals += 1
        }
        if number % 10 == 0 { try upkeep(engine) }
      }
      try context.require(refusals > 0, "the device never filled")
      try checkAll(engine, "while the device is full")
      context.fileSystem.capacity = nil
      for number in 500..<520 { try put(number, bytes: 700) }
      try checkAll(engine, "after space came back")
      let report = try engine.verify()
      try context.require(report.isSound, "verify: \(report.problems.first?.message ?? "")")
      let killed = try context.open(on: context.fileSystem.crash(.keepEverything)) {
        $0.durability = durability
      }
      try checkAll(killed, "after a kill")
      try killed.close()
      try? engine.close()
    }
  }

  // MARK: Refused calls

  /// Writes under a fault, then restarts after a power loss without it: every acknowledged
  /// write must be there, every refused one wholly there or not.
  private static func failing(
    _ call: FaultRule.Call, nth: Int, count: Int?, _ code: StorageError.Code,
    _ context: ConformanceContext
  ) throws {
    let faulting = FaultingFileSystem(context.fileSystem)
    let engine = try context.open(on: faulting)
    var states: [Int: [Int]] = [:]
    faulting.setRules([FaultRule(call, nth: nth, count: count, .fail(code, bytesWritten: 100))])
    for number in 0..<60 {
      let key = number % 20
      do {
        try engine.put(
          ConformanceContext.key(key), ConformanceContext.value(number, bytes: 300))
        states[key] = [number]
      } catch {
        // It may be there after a restart, since the medium may have it; or not.
        states[key, default: [-1]].append(number)
      }
      if number % 15 == 14 { try? engine.checkpoint() }
    }
    let place = "with \(call) \(nth) failing"
    for (key, allowed) in states where allowed.count == 1 {
      try requireState(engine, key, allowed, context, "while running \(place)")
    }
    let restarted = try context.open(on: context.fileSystem.crash(.loseEverythingUnsynced))
    for (key, allowed) in states {
      try requireState(restarted, key, allowed, context, "after power loss \(place)")
    }
    let report = try restarted.verify()
    try context.require(
      report.isSound, "verify \(place): \(report.problems.first?.message ?? "")")
    try restarted.close()
    try? engine.close()
  }

  private static func requireState(
    _ engine: any StorageEngine, _ key: Int, _ allowed: [Int], _ context: ConformanceContext,
    _ when: String
  ) throws {
    let found = try engine.get(ConformanceContext.key(key))
    let isAllowed = allowed.contains { number in
      found == (number < 0 ? nil : ConformanceContext.value(number, bytes: 300))
    }
    try context.require(
      isAllowed, "key \(key) holds \(found == nil ? "nothing" : "another value") \(when)")
  }

  // MARK: Damage

  private static func flipAndRead(
    _ medium: MemoryFileSystem, _ expected: [[UInt8]: [UInt8]], _ context: ConformanceContext,
    _ random: inout SeededRandom
  ) throws {
    let names = try medium.list(ConformanceContext.directory)
    let path = joinPath(
      ConformanceContext.directory, names[random.below(names.count)])
    let file = try medium.open(path, .readWrite)
    defer { file.close() }
    let size = try file.size()
    if size == 0 { return }
    let offset = Int64(random.below(Int(size)))
    let bit = UInt8(1) << UInt8(random.below(8))
    var byte: [UInt8] = [0]
    _ = try byte.withMutableBytes { (buffer) throws(StorageError) in
      try file.read(into: buffer, at: offset)
    }
    try file.write([byte[0] ^ bit], at: offset)
    let place = "with bit \(bit) of byte \(offset) of \(path) flipped"
    let engine: any StorageEngine
    do { engine = try context.open(on: medium) } catch {
      let detected: [StorageError.Code] = [.corruption, .wrongFormat, .unsupportedVersion]
      try context.require(
        (error as? StorageError).map { detected.contains($0.code) } ?? false,
        "open \(place): \(error)")
      return
    }
    defer { try? engine.close() }
    for (key, value) in expected {
      do {
        let found = try engine.get(key)
        try context.require(found == value, "\(printable(key)) reads wrong \(place)")
      } catch let error as StorageError {
        try context.require(
          error.code == .corruption && error.path != nil, "the error \(place): \(error)")
      }
    }
  }
}
