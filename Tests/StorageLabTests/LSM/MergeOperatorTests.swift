import Synchronization
import Testing

@testable import StorageLab

/// Keeps a hash of every operand and the value in their order, so that one that is missing, comes
/// twice or out of turn shows. Folds no operands with each other.
struct HistoryOperator: MergeOperator {
  var name: String { "history" }

  func full(_ key: ByteSlice, existing: ByteSlice?, operands: [ByteSlice]) -> [UInt8] {
    var hash = existing.map { Hash64.hash($0) } ?? 7
    var count: UInt64 = 0
    if let existing, existing.count == 16 {
      hash = (existing.base + 8).loadUnaligned(as: UInt64.self)
      count = existing.base.loadUnaligned(as: UInt64.self)
    }
    for operand in operands {
      hash = Hash64.hash(hash ^ Hash64.hash(operand))
      count &+= 1
    }
    return withUnsafeBytes(of: (count, hash)) { Array($0) }
  }
}

@Suite struct MergeOperatorTests {
  private static func open(
    _ fileSystem: MemoryFileSystem, _ mergeOperator: (any MergeOperator)?,
    durability: Durability = .process
  ) throws -> LSMEngine {
    var options = LSMTest.options("/db", fileSystem)
    options.mergeOperator = mergeOperator
    options.durability = durability
    return try LSMEngine.open(options, LSMTest.tinyTuning)
  }

  private static func code(_ body: () throws -> Void) -> StorageError.Code? {
    do { try body() } catch { return (error as? StorageError)?.code }
    return nil
  }

  private static func number(_ engine: LSMEngine, _ key: [UInt8]) throws -> Int64? {
    try engine.get(key).flatMap { CounterOperator.decode($0) }
  }

  @Test func countersAddAndWrapAround() throws {
    let counter = CounterOperator()
    func sum(_ existing: [UInt8]?, _ operands: [Int64]) -> Int64? {
      let parts = operands.map { CounterOperator.encode($0) }
      let base = existing ?? []
      return [UInt8]().withSlice { key in
        base.withSlice { base in
          CounterOperator.decode(
            OperandFold.full(
              counter, key, existing: existing == nil ? nil : base,
              newestFirst: parts.reversed()))
        }
      }
    }
    #expect(sum(nil, [1, 2, -5]) == -2)
    #expect(sum(CounterOperator.encode(40), [2]) == 42)
    #expect(sum(CounterOperator.encode(.max), [1]) == .min)
    #expect(sum(Array("no number".utf8), [3]) == 3)
    let code = Self.code {
      try [UInt8](repeating: 0, count: 7).withSlice { try counter.check(operand: $0) }
    }
    #expect(code == .invalidArgument)
  }

  @Test func appendPutsSeparatorsBetweenParts() throws {
    let engine = try Self.open(MemoryFileSystem(), AppendOperator(separator: Array("--".utf8)))
    try engine.merge(Array("a".utf8), Array("1".utf8))
    #expect(try engine.get("a") == "1")
    try engine.merge(Array("a".utf8), [])
    try engine.put("b", "")
    try engine.merge(Array("b".utf8), Array("2".utf8))
    try engine.checkpoint()
    try engine.merge(Array("a".utf8), Array("3".utf8))
    #expect(try engine.get("a") == "1----3")
    #expect(try engine.get("b") == "--2")
    try engine.close()
  }

  @Test func manyIncrementsFoldIntoOneEntry() throws {
    let fileSystem = MemoryFileSystem()
    let engine = try Self.open(fileSystem, CounterOperator())
    for round in 0..<2000 {
      try engine.merge(LSMTest.key(round % 3), CounterOperator.encode(Int64(round)))
    }
    let expected = (0..<3).map { key in
      Int64((0..<2000).filter { $0 % 3 == key }.reduce(0, +))
    }
    #expect(try (0..<3).map { try Self.number(engine, LSMTest.key($0)) } == expected)
    try engine.compact()
    #expect(try (0..<3).map { try Self.number(engine, LSMTest.key($0)) } == expected)
    let statistics = try engine.statistics()
    #expect(statistics[detail: "tables.entries"] == 3)
    #expect((statistics[detail: "merges.folded"] ?? 0) >= 1997)
    // At the bottom they are values like others: nothing is left to do.
    let writes = statistics.totalIO.bytesWritten
    try engine.compact()
    #expect(try engine.statistics().totalIO.bytesWritten == writes)
    #expect(try engine.verify().problems == [])
    try engine.close()
  }

  /// Parts are copied once a doubling, not once for each that follows.
  @Test func foldingManyPartsCopiesFewBytes() throws {
    final class Copied: Sendable { let bytes = Atomic<Int>(0) }
    struct CountingAppend: MergeOperator {
      let copied = Copied()
      var name: String { "append" }
      func full(_ key: ByteSlice, existing: ByteSlice?, operands: [ByteSlice]) -> [UInt8] {
        operands.reduce(into: existing?.array ?? []) { $0 += $1.array }
      }
      func partial(_ key: ByteSlice, older: ByteSlice, newer: ByteSlice) -> [UInt8]? {
        copied.bytes.wrappingAdd(older.count + newer.count, ordering: .relaxed)
        return older.array + newer.array
      }
    }
    let append = CountingAppend()
    var fold = OperandFold(append, maximumBytes: 1 << 20)
    let parts = (0..<1000).map { Array("\($0),".utf8) }
    for (number, part) in parts.enumerated().reversed() {
      part.withSlice { fold.add(EntryTag.make(UInt64(number + 1), .merge), $0) }
    }
    let (outputs, isBaseKept) = try LSMTest.key(1).withSlice { (key) throws(StorageError) in
      try fold.end(key, on: .unknown)
    }
    #expect(isBaseKept && outputs.count == 1)
    #expect(outputs.first?.value == parts.flatMap { $0 })
    #expect(outputs.first.map { EntryTag.sequence($0.tag) } == 1000)
    #expect(fold.folded == 999)
    let bytes = parts.reduce(0) { $0 + $1.count }
    #expect(append.copied.bytes.load(ordering: .relaxed) <= 11 * bytes)
  }

  /// What many operands come to counts against the limit, not what they were.
  @Test func smallSumsFoldUnderASmallLimit() throws {
    var fold = OperandFold(CounterOperator(), maximumBytes: 100)
    for number in (1...50 as ClosedRange<UInt64>).reversed() {
      CounterOperator.encode(1).withSlice { fold.add(EntryTag.make(number, .merge), $0) }
    }
    let (outputs, isBaseKept) = try LSMTest.key(1).withSlice { (key) throws(StorageError) in
      try fold.end(key, on: .nothing)
    }
    #expect(!isBaseKept && outputs.map(\.value) == [CounterOperator.encode(50)])
  }

  @Test func anOperatorHasAName() throws {
    struct Nameless: MergeOperator {
      var name: String { "" }
      func full(_ key: ByteSlice, existing: ByteSlice?, operands: [ByteSlice]) -> [UInt8] { [] }
    }
    #expect(Self.code { _ = try Self.open(MemoryFileSystem(), Nameless()) } == .invalidArgument)
  }

  @Test func snapshotsAndCursorsSeeTheirMoment() throws {
    let engine = try Self.open(MemoryFileSystem(), AppendOperator())
    let key = LSMTest.key(1)
    try engine.put(key, Array("a".utf8))
    var snapshots: [(any Snapshot, String)] = []
    var value = "a"
    for letter in "bcdef" {
      snapshots.append((try engine.snapshot(), value))
      try engine.merge(key, Array(String(letter).utf8))
      value += "," + String(letter)
      if letter == "c" { try engine.checkpoint() }
      if letter == "e" { try engine.compact() }
    }
    for _ in 0..<2 {
      for (snapshot, value) in snapshots {
        #expect(try snapshot.get(key) == Array(value.utf8))
        #expect(try LSMTest.contents(try snapshot.cursor()) == [[key, Array(value.utf8)]])
        #expect(try LSMTest.contentsBackward(try snapshot.cursor()) == [[key, Array(value.utf8)]])
      }
      try engine.compact()
    }
    for (snapshot, _) in snapshots { snapshot.close() }
    try engine.compact()
    #expect(try engine.statistics()[detail: "tables.entries"] == 1)
    #expect(try engine.get(key) == Array(value.utf8))
    try engine.close()
  }

  @Test func rangeDeletionsEndTheValue() throws {
    let engine = try Self.open(MemoryFileSystem(), AppendOperator())
    for step in 0..<3 {
      let key = LSMTest.key(step)
      try engine.put(key, Array("old".utf8))
      if step > 0 { try engine.checkpoint() }
      try engine.merge(key, Array("gone".utf8))
      if step > 1 { try engine.checkpoint() }
      try engine.deleteRange(from: LSMTest.key(0), to: LSMTest.key(9))
      #expect(try engine.get(key) == nil)
      try engine.merge(key, Array("x".utf8))
      try engine.merge(key, Array("y".utf8))
      #expect(try engine.get(key) == Array("x,y".utf8))
      let expected = [[key, Array("x,y".utf8)]]
      #expect(try LSMTest.contents(try engine.cursor()) == expected)
      #expect(try LSMTest.contentsBackward(try engine.cursor()) == expected)
    }
    try engine.close()
  }

  // MARK: The operator's name

  @Test func operandsOpenWithTheirOperatorOnly() throws {
    let fileSystem = MemoryFileSystem()
    var engine = try Self.open(fileSystem, CounterOperator())
    try engine.put("plain", "value")
    try engine.close()
    // Nothing was merged yet: any operator will do, or none.
    engine = try Self.open(fileSystem, nil)
    #expect(Self.code { try engine.merge([1], CounterOperator.encode(1)) } == .unsupported)
    try engine.close()
    engine = try Self.open(fileSystem, CounterOperator())
    #expect(Self.code { try engine.merge([1], [1, 2, 3]) } == .invalidArgument)
    try engine.merge([1], CounterOperator.encode(5))
    try engine.close()
    #expect(Self.code { _ = try Self.open(fileSystem, nil) } == .invalidArgument)
    #expect(Self.code { _ = try Self.open(fileSystem, AppendOperator()) } == .invalidArgument)
    engine = try Self.open(fileSystem, CounterOperator())
    #expect(try Self.number(engine, [1]) == 5)
    try engine.close()
  }

  /// The name is durable before the first operand, wherever the plug is pulled.
  @Test(arguments: [Durability.none, .process, .commit])
  func noOperandWithoutItsName(_ durability: Durability) throws {
    for calls in 1..<200 {
      for mode in [CrashMode.keepEverything, .loseEverythingUnsynced, .keepSome(seed: 3)] {
        let fileSystem = MemoryFileSystem()
        let engine = try Self.open(fileSystem, CounterOperator(), durability: durability)
        let target = fileSystem.callCount + calls
        let slot = Guarded<MemoryFileSystem?>(nil)
        fileSystem.onCall { [unowned fileSystem] (call) throws(StorageError) in
          if call.index == target {
            let crashed = fileSystem.crash(mode)
            slot.withLock { $0 = crashed }
          }
        }
        for number in 0..<3 {
          try? engine.merge(LSMTest.key(number), CounterOperator.encode(1))
        }
        try? engine.checkpoint()
        try? engine.close()
        fileSystem.onCall(nil)
        guard let restarted = slot.withLock({ $0 }) else {
          #expect(calls > 10)
          return
        }
        do {
          let other = try Self.open(restarted, nil)
          #expect(try LSMTest.contents(try other.cursor()) == [], "crash at \(calls), \(mode)")
          try other.close()
        } catch let error as StorageError {
          #expect(error.code == .invalidArgument, "\(error)")
          let again = try Self.open(restarted, CounterOperator())
          #expect(try again.verify().problems == [])
          try again.close()
        }
      }
    }
  }

  @Test func valuesTooLargeToFoldStayApart() throws {
    let fileSystem = MemoryFileSystem()
    var options = LSMTest.options("/db", fileSystem)
    options.mergeOperator = AppendOperator()
    options.maximumValueBytes = 100
    let engine = try LSMEngine.open(options, LSMTest.tinyTuning)
    let key = LSMTest.key(1)
    try engine.put(key, [UInt8](repeating: 1, count: 60))
    for number in 0..<4 { try engine.merge(key, [UInt8](repeating: UInt8(number), count: 60)) }
    try engine.compact()
    try engine.delete(LSMTest.key(2))
    try engine.merge(LSMTest.key(2), [UInt8](repeating: 9, count: 60))
    try engine.merge(LSMTest.key(2), [UInt8](repeating: 9, count: 60))
    try engine.compact()
    #expect(try engine.get(key)?.count == 5 * 60 + 4)
    #expect(try engine.get(LSMTest.key(2))?.count == 121)
    #expect(try engine.statistics()[detail: "tables.entries"] ?? 0 > 5)
    #expect(try engine.verify().problems == [])
    try engine.close()
  }
}
