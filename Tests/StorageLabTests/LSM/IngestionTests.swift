import Synchronization
import Testing

@testable import StorageLab

@Suite struct IngestionTests {
  private typealias Entry = (key: [UInt8], value: [UInt8])

  private static func open(
    _ fileSystem: any FileSystem, _ policy: CompactionPolicy = .leveled,
    durability: Durability = .process, path: String = "/db",
    _ maintenance: EngineOptions.Maintenance = .inline
  ) throws -> LSMEngine {
    var options = LSMTest.options(path, fileSystem, maintenance)
    options.durability = durability
    options.mergeOperator = AppendOperator()
    var tuning = LSMTest.tinyTuning
    tuning.compaction = policy
    return try LSMEngine.open(options, tuning)
  }

  private static func run(_ numbers: some Sequence<Int>, _ byte: UInt8, _ count: Int = 40)
    -> [Entry]
  {
    numbers.map { (LSMTest.key($0), [UInt8](repeating: byte, count: count)) }
  }

  private static func code(_ body: () throws -> Void) -> StorageError.Code? {
    do { try body() } catch { return (error as? StorageError)?.code }
    return nil
  }

  private static func level(_ engine: LSMEngine, _ number: Int) throws -> Double {
    try engine.statistics()[detail: "level.\(number).tables"] ?? 0
  }

  @Test func anEmptyTreeTakesItAtTheBottom() throws {
    let fileSystem = MemoryFileSystem()
    var engine = try Self.open(fileSystem)
    #expect(try engine.ingest([] as [Entry]) == LSMEngine.Ingestion())
    let files = try fileSystem.list("/db")
    let result = try engine.ingest(Self.run(0..<4000, 1))
    #expect(result.entries == 4000 && result.tables > 1 && result.level > 1)
    #expect(try fileSystem.list("/db").count == files.count + result.tables)
    #expect(try Self.level(engine, result.level) == Double(result.tables))
    let statistics = try engine.statistics()
    #expect(statistics[detail: "ingestions"] == 1)
    #expect(statistics[detail: "flushes"] == 0)
    #expect(statistics.userBytesWritten == 4000 * UInt64(LSMTest.key(0).count + 40))
    let expected = Self.run(0..<4000, 1).map { [$0.key, $0.value] }
    for life in 0..<2 {
      #expect(try LSMTest.contents(try engine.cursor()) == expected, "life \(life)")
      #expect(try LSMTest.contentsBackward(try engine.cursor()) == expected)
      #expect(try engine.get(LSMTest.key(77)) == [UInt8](repeating: 1, count: 40))
      #expect(try engine.get(LSMTest.key(4000)) == nil)
      #expect(try engine.verify().problems == [])
      try engine.close()
      engine = try Self.open(fileSystem)
    }
    try engine.close()
  }

  /// Over data in every level, and in memory: the run is newer than all of it, and older than
  /// whatever comes later.
  @Test(arguments: CompactionPolicy.allCases)
  func itIsNewerThanWhatWasThere(_ policy: CompactionPolicy) throws {
    let fileSystem = MemoryFileSystem()
    let engine = try Self.open(fileSystem, policy)
    let oracle = try MemoryEngine.open(EngineOptions(path: ""))
    func put(_ entries: [Entry]) throws {
      for entry in entries {
        try engine.put(entry.key, entry.value)
        try oracle.put(entry.key, entry.value)
      }
    }
    func ingest(_ entries: [Entry]) throws {
      try engine.ingest(entries)
      for entry in entries { try oracle.put(entry.key, entry.value) }
    }
    func check(_ note: String) throws {
      let expected = try LSMTest.contents(try oracle.cursor())
      #expect(try LSMTest.contents(try engine.cursor()) == expected, "\(note)")
      #expect(try LSMTest.contentsBackward(try engine.cursor()) == expected, "\(note)")
      for number in stride(from: 0, to: 700, by: 13) {
        let key = LSMTest.key(number)
        #expect(try engine.get(key) == oracle.get(key), "\(note)")
      }
      #expect(try engine.verify().problems == [], "\(note)")
    }
    for round in 0..<6 as Range<UInt8> {
      try put(Self.run(stride(from: Int(round) * 30, to: 600, by: 3), round))
      let snapshot = try engine.snapshot()
      let cursor = try engine.cursor()
      let before = try LSMTest.contents(try oracle.cursor())
      try ingest(Self.run(stride(from: 50, to: 500 + Int(round) * 20, by: 2), 100 + round))
      try check("after ingestion \(round)")
      #expect(try LSMTest.contents(try snapshot.cursor()) == before)
      #expect(try LSMTest.contents(cursor) == before)
      try put(Self.run(stride(from: 60, to: 300, by: 7), 200 + round))
      try engine.delete(LSMTest.key(52))
      try oracle.delete(LSMTest.key(52))
      try engine.deleteRange(from: LSMTest.key(90), to: LSMTest.key(110))
      try oracle.deleteRange(from: LSMTest.key(90), to: LSMTest.key(110))
      try check("after writes on it \(round)")
      try engine.settle()
      if round == 3 { try engine.compact() }
      #expect(try LSMTest.contents(try snapshot.cursor()) == before)
      snapshot.close()
      try check("after merging it \(round)")
    }
    try engine.merge(LSMTest.key(498), [7])
    #expect(try engine.get(LSMTest.key(498)) == [UInt8](repeating: 105, count: 40) + [44, 7])
    try engine.compact()
    // Merged, its entries have sequences, and kinds, like others.
    #expect(try engine.get(LSMTest.key(498)) == [UInt8](repeating: 105, count: 40) + [44, 7])
    #expect(try engine.verify().problems == [])
    try engine.close()
  }

  @Test func whatIsNoRunChangesNothing() throws {
    let fileSystem = MemoryFileSystem()
    let engine = try Self.open(fileSystem)
    for entry in Self.run(0..<100, 1) { try engine.put(entry.key, entry.value) }
    try engine.checkpoint()
    let files = try fileSystem.list("/db")
    let before = try LSMTest.contents(try engine.cursor())
    let long = Self.run(200..<500, 2)
    let bad: [[Entry]] = [
      long + [(LSMTest.key(499), [1])],
      long + [(LSMTest.key(300), [1])],
      long + [([], [1])],
      long + [([UInt8](repeating: 255, count: EngineLimits.maximumKeyBytes + 1), [1])],
    ]
    for entries in bad {
      #expect(Self.code { try engine.ingest(entries) } == .invalidArgument)
      #expect(try fileSystem.list("/db") == files)
      #expect(try LSMTest.contents(try engine.cursor()) == before)
    }
    let code = Self.code {
      let source = try MemoryEngine.open(EngineOptions(path: ""))
      for entry in long { try source.put(entry.key, entry.value) }
      let cursor = try source.cursor()
      try cursor.seekToFirst()
      var taken = 0
      try engine.ingest { () throws(StorageError) in
        if taken == 290 { throw StorageError(.io, "the source breaks") }
        if taken > 0 { try cursor.next() }
        taken += 1
        return (cursor.key, cursor.value)
      }
    }
    #expect(code == .io)
    #expect(try fileSystem.list("/db") == files)
    #expect(try engine.ingest(long).entries == 300)
    try engine.close()
    #expect(Self.code { try engine.ingest(long) } == .closed)
  }

  @Test func fromACursorOfAnotherEngine() throws {
    let memory = try MemoryEngine.open(EngineOptions(path: ""))
    for entry in Self.run(0..<300, 5) { try memory.put(entry.key, entry.value) }
    let engine = try Self.open(MemoryFileSystem())
    let range = KeyRange(from: LSMTest.key(100), to: LSMTest.key(200))
    #expect(try engine.ingest(from: try memory.cursor(range)).entries == 100)
    #expect(
      try LSMTest.contents(try engine.cursor()) == LSMTest.contents(try memory.cursor(range)))
    try engine.close()
  }

  /// Whenever the plug is pulled: all of the run or nothing, and the writes around it.
  @Test(arguments: [Durability.none, .process, .commit], [0, 1, 2])
  func itIsWholeOrNotThereAfterACrash(_ durability: Durability, _ kind: Int) throws {
    var calls = 0
    while true {
      calls += 1
      let mode = [
        CrashMode.loseEverythingUnsynced, .keepEverything, .keepSome(seed: UInt64(calls)),
      ][kind]
      let fileSystem = MemoryFileSystem()
      let engine = try Self.open(fileSystem, durability: durability)
      for entry in Self.run(0..<30, 1) { try engine.put(entry.key, entry.value) }
      try engine.sync()
      let before = try LSMTest.contents(try engine.cursor())
      let target = fileSystem.callCount + calls
      let slot = Guarded<MemoryFileSystem?>(nil)
      fileSystem.onCall { [unowned fileSystem] (call) throws(StorageError) in
        if call.index == target {
          let crashed = fileSystem.afterCrash(mode)
          slot.withLock { $0 = crashed }
        }
      }
      try engine.ingest(Self.run(10..<150, 2))
      let isAcknowledged = slot.withLock { $0 } == nil
      let after = try LSMTest.contents(try engine.cursor())
      // A put after it replays behind it.
      try engine.put(LSMTest.key(12), [3])
      let last = try LSMTest.contents(try engine.cursor())
      try engine.sync()
      let final = try LSMTest.contents(try engine.cursor())
      fileSystem.onCall(nil)
      guard let world = slot.withLock({ $0 }) else {
        #expect(calls > 10)
        try engine.close()
        return
      }
      try engine.close()
      for _ in 0..<2 {
        let again = try Self.open(world, durability: durability)
        let found = try LSMTest.contents(try again.cursor())
        if isAcknowledged {
          #expect(found == after || found == last || found == final, "call \(calls), \(mode)")
        } else {
          #expect(found == before || found == after, "call \(calls), \(mode)")
        }
        #expect(try again.verify().problems == [], "call \(calls), \(mode)")
        // Later writes are newer than the run, in the next life too.
        try again.put(LSMTest.key(11), [9])
        #expect(try again.get(LSMTest.key(11)) == [9])
        try again.close()
        let third = try Self.open(world, durability: durability)
        #expect(try third.get(LSMTest.key(11)) == [9], "call \(calls), \(mode)")
        try third.delete(LSMTest.key(11))
        if let entry = found.first(where: { $0[0] == LSMTest.key(11) }) {
          try third.put(entry[0], entry[1])
        }
        try third.close()
      }
    }
  }

  @Test func aFullDeviceLeavesTheTreeAsItWas() throws {
    let fileSystem = MemoryFileSystem()
    let engine = try Self.open(fileSystem)
    for entry in Self.run(0..<50, 1) { try engine.put(entry.key, entry.value) }
    try engine.checkpoint()
    let before = try LSMTest.contents(try engine.cursor())
    var refused = 0
    for room in stride(from: 0, to: 60_000, by: 3000) {
      fileSystem.capacity = fileSystem.usedBytes + Int64(room)
      let code = Self.code { try engine.ingest(Self.run(20..<300, 2)) }
      fileSystem.capacity = nil
      if code == nil { break }
      refused += 1
      #expect(code == .noSpace)
      #expect(try LSMTest.contents(try engine.cursor()) == before)
      #expect(try engine.verify().problems == [])
    }
    #expect(refused > 1)
    #expect(try LSMTest.contents(try engine.cursor()).count == 300)
    try engine.close()
  }

  /// Whatever call fails, once or from then on: an error that says so leaves nothing of the run, now
  /// and after a crash.
  @Test(arguments: [FaultRule.Call.open, .write, .sync, .syncDirectory], [1, nil])
  func aRefusedRunDoesNotComeBack(_ call: FaultRule.Call, _ count: Int?) throws {
    var refused = 0
    for nth in 1...12 {
      let memory = MemoryFileSystem()
      let faults = FaultingFileSystem(memory)
      let engine = try Self.open(faults)
      for entry in Self.run(0..<50, 1) { try engine.put(entry.key, entry.value) }
      let before = try LSMTest.contents(try engine.cursor())
      faults.setRules([FaultRule(call, nth: nth, count: count, .fail(.io))])
      let code = Self.code { try engine.ingest(Self.run(20..<150, 2)) }
      if code != nil {
        refused += 1
        #expect(code == .io || code == .writesRefused)
        #expect(try LSMTest.contents(try engine.cursor()) == before, "call \(nth)")
      }
      faults.setRules([])
      try engine.put(LSMTest.key(30), [3])
      try engine.checkpoint()
      let after = try LSMTest.contents(try engine.cursor())
      #expect(after.count == (code == nil ? 150 : 50))
      #expect(try engine.verify().problems == [], "call \(nth)")
      let world = memory.afterCrash(.loseEverythingUnsynced)
      try engine.close()
      for place in [world, memory] {
        let again = try Self.open(place)
        #expect(try LSMTest.contents(try again.cursor()) == after, "call \(nth)")
        #expect(try again.verify().problems == [])
        try again.close()
      }
    }
    #expect(refused > 0)
  }

  @Test(arguments: 0..<12)
  func agreesWithTheModel(seed: Int) throws {
    let fileSystem = MemoryFileSystem()
    let policy = CompactionPolicy.allCases[seed % 3]
    let durability: Durability = seed % 4 == 0 ? .none : .process
    var random = SeededRandom(seed: UInt64(seed))
    var engine = try Self.open(fileSystem, policy, durability: durability)
    var oracleOptions = EngineOptions(path: "")
    oracleOptions.mergeOperator = AppendOperator()
    let oracle = try MemoryEngine.open(oracleOptions)
    var snapshots: [(tree: any Snapshot, model: any Snapshot)] = []
    func check(_ tree: any Cursor, _ model: any Cursor, _ note: String) throws {
      let expected = try LSMTest.contents(model)
      #expect(try LSMTest.contents(tree) == expected, "\(note)")
      #expect(try LSMTest.contentsBackward(tree) == expected, "\(note)")
    }
    for step in 0..<700 {
      let key = LSMTest.key(random.below(300))
      let value = [UInt8](repeating: UInt8(truncatingIfNeeded: step), count: random.below(60))
      switch random.below(100) {
      case 0..<50:
        try engine.put(key, value)
        try oracle.put(key, value)
      case 50..<60:
        try engine.delete(key)
        try oracle.delete(key)
      case 60..<66:
        try engine.merge(key, value)
        try oracle.merge(key, value)
      case 66..<68:
        let upper = LSMTest.key(random.below(300))
        try engine.deleteRange(from: key, to: upper)
        try oracle.deleteRange(from: key, to: upper)
      case 68..<76:
        let start = random.below(300)
        let numbers = stride(from: start, to: start + random.below(300), by: 1 + random.below(5))
        let entries = Self.run(numbers, UInt8(truncatingIfNeeded: step), random.below(80))
        try engine.ingest(entries)
        for entry in entries { try oracle.put(entry.key, entry.value) }
        #expect(try engine.get(key) == oracle.get(key), "step \(step)")
      case 76..<79 where snapshots.count < 3:
        snapshots.append((try engine.snapshot(), try oracle.snapshot()))
      case 79:
        if let pair = snapshots.popLast() {
          pair.tree.close()
          pair.model.close()
        }
      case 80: try engine.compact()
      case 81: try engine.checkpoint()
      case 82:
        for pair in snapshots { pair.tree.close() }
        snapshots = []
        try engine.close()
        engine = try Self.open(fileSystem, policy, durability: durability)
      case 83..<86:
        try check(try engine.cursor(), try oracle.cursor(), "step \(step)")
        for pair in snapshots {
          try check(try pair.tree.cursor(), try pair.model.cursor(), "snapshot, step \(step)")
        }
      default: #expect(try engine.get(key) == oracle.get(key), "step \(step)")
      }
    }
    for pair in snapshots { pair.tree.close() }
    #expect(try engine.verify().problems == [])
    try engine.compact()
    try check(try engine.cursor(), try oracle.cursor(), "end")
    try engine.close()
  }

  /// Runs join while others write and compactions go on.
  @Test func joinsWhileOthersWrite() throws {
    let directory = try TemporaryDirectory()
    let engine = try Self.open(
      POSIXFileSystem(), path: directory.file("db"), .background)
    let isDone = Atomic<Bool>(false)
    let failure = Guarded<StorageError?>(nil)
    let writer = try LabThread(name: "writer") {
      var number = 0
      do throws(StorageError) {
        while !isDone.load(ordering: .acquiring) {
          try engine.put(LSMTest.key(number % 400) + [1], [UInt8](repeating: 7, count: 60))
          number += 1
        }
      } catch { failure.withLock { $0 = error } }
    }
    for round in 0..<30 as Range<UInt8> {
      let entries = Self.run(stride(from: Int(round), to: 400, by: 3), round)
      try engine.ingest(entries)
      for entry in entries where entry.key.last ?? 0 > 0x35 {
        #expect(try engine.get(entry.key) == entry.value)
      }
    }
    isDone.store(true, ordering: .releasing)
    writer.join()
    #expect(failure.withLock { $0 } == nil)
    try engine.settle()
    for number in 30..<400 {
      let last = (0..<30).last { $0 <= number && (number - $0) % 3 == 0 }
      #expect(
        try engine.get(LSMTest.key(number)) == last.map { [UInt8](repeating: UInt8($0), count: 40) }
      )
    }
    #expect(try engine.verify().problems == [])
    try engine.close()
  }

  /// A view from before a run joined shows nothing that came after it, whatever sequence its reader
  /// then learns.
  @Test func anOldViewShowsNothingOfWhatFollows() throws {
    let options = LSMTest.options("/db", MemoryFileSystem())
    let tree = try LSMTree.open(options, LSMTest.tinyTuning)
    let view = tree.slots.current()
    _ = try tree.ingest(Self.iterate(Self.run(0..<10, 1)))
    try [UInt8]("ready".utf8).withSlice { (key) throws(StorageError) in
      let write = PendingWrite.operation(.put, key, key)
      try tree.queue.submit(write) { (group) throws(StorageError) in try tree.commit(group) }
    }
    let sequence = tree.visible.load(ordering: .acquiring)
    func isThere(_ key: [UInt8], _ view: ReadView) throws -> Bool {
      try key.withSlice { (key) throws(StorageError) in
        try view.read(key, at: sequence) { _ in }
      }
    }
    for key in [LSMTest.key(0), Array("ready".utf8)] {
      #expect(try !isThere(key, view))
      #expect(try isThere(key, tree.slots.current()))
    }
    try tree.close()
  }

  private static func iterate(
    _ entries: [Entry]
  ) -> () throws(StorageError) -> (key: ByteSlice, value: ByteSlice)? {
    var rest = entries[...]
    var key = OutputBuffer(capacity: 64)
    var value = OutputBuffer(capacity: 64)
    return {
      guard let entry = rest.popFirst() else { return nil }
      entry.key.withSlice { key.assign($0) }
      entry.value.withSlice { value.assign($0) }
      return (key.slice, value.slice)
    }
  }

  /// Beside readers, and compactions on several threads in other ranges: whoever sees the mark that
  /// was written after a run sees the run.
  @Test func aMarkImpliesItsRun() throws {
    let directory = try TemporaryDirectory()
    var tuning = LSMTest.tinyTuning
    tuning.compactionThreads = 4
    let engine = try LSMEngine.open(
      LSMTest.options(directory.file("db"), POSIXFileSystem(), .background), tuning)
    let isDone = Atomic<Bool>(false)
    let problems = Guarded<[String]>([])
    @Sendable func note(_ what: String) { problems.withLock { $0.append(what) } }
    let mark = Array("mark".utf8)
    let readers = try (0..<2).map { _ in
      try LabThread(name: "reader") {
        do throws(StorageError) {
          while !isDone.load(ordering: .acquiring) {
            let cursor = try engine.cursor()
            try cursor.seek(mark)
            let seen = cursor.isValid && cursor.key.array == mark ? cursor.value[0] : 0
            var found = 0
            try cursor.seek(LSMTest.key(100_000))
            while cursor.isValid, isBefore(cursor.key.array, LSMTest.key(100_020)) {
              if cursor.value[0] < seen { note("\(cursor.value[0]) under mark \(seen)") }
              found += 1
              try cursor.next()
            }
            if seen > 0 && found != 20 { note("\(found) entries under mark \(seen)") }
            cursor.close()
          }
        } catch { note(error.description) }
      }
    }
    let writer = try LabThread(name: "writer") {
      var number = 0
      do throws(StorageError) {
        while !isDone.load(ordering: .acquiring) {
          try engine.put(LSMTest.key(number * 37 % 1000), [UInt8](repeating: 7, count: 60))
          number += 1
        }
      } catch { note(error.description) }
    }
    for round in 1...60 as ClosedRange<UInt8> {
      try engine.ingest(Self.run(100_000..<100_020, round))
      try engine.put(mark, [round])
    }
    isDone.store(true, ordering: .releasing)
    for thread in readers + [writer] { thread.join() }
    #expect(problems.withLock { $0 } == [])
    try engine.settle()
    #expect(try engine.verify().problems == [])
    try engine.close()
  }

  /// An engine that is closed while a run is written touches the directory no more, which by then
  /// is another's.
  @Test func closingEndsAnIngestion() throws {
    let fileSystem = MemoryFileSystem()
    let first = try Self.open(fileSystem)
    try first.put(LSMTest.key(1), [1])
    var second: LSMEngine?
    var names: [String] = []
    var number = 0
    let code = Self.code {
      try first.ingest(pairs: { () throws(StorageError) in
        number += 1
        // In the midst of a table.
        if number == 50 {
          try first.close()
          let other = try Self.reopened(fileSystem)
          second = other
          names = try fileSystem.list("/db").filter { $0.hasSuffix(".sst") }.sorted()
        }
        return number < 5000 ? (LSMTest.key(number), [UInt8](repeating: 2, count: 100)) : nil
      })
    }
    #expect(code == .closed)
    let engine = try #require(second)
    #expect(names.count > 1)
    #expect(try fileSystem.list("/db").filter { $0.hasSuffix(".sst") }.sorted() == names)
    #expect(try LSMTest.contents(engine.cursor()).count == 301)
    #expect(try engine.verify().problems == [])
    try engine.close()
  }

  private static func reopened(_ fileSystem: MemoryFileSystem) throws(StorageError) -> LSMEngine {
    do {
      let engine = try open(fileSystem)
      for number in 1000..<1300 {
        try engine.put(LSMTest.key(number), [UInt8](repeating: 3, count: 100))
      }
      try engine.checkpoint()
      return engine
    } catch let error as StorageError { throw error } catch {
      throw StorageError(.io, "\(error)")
    }
  }
}
