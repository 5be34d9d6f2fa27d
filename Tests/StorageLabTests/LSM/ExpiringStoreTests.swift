import Synchronization
import Testing

@testable import StorageLab

/// A calendar that stands still until it is told.
final class ManualCalendar: LabClock {
  private let milliseconds: Atomic<UInt64>

  init(_ start: UInt64 = 1_000_000) { milliseconds = Atomic(start) }

  var nanoseconds: UInt64 { 0 }
  var unixMilliseconds: UInt64 { milliseconds.load(ordering: .relaxed) }

  func set(_ time: UInt64) { milliseconds.store(time, ordering: .relaxed) }
  func advance(_ time: UInt64) { milliseconds.wrappingAdd(time, ordering: .relaxed) }
}

@Suite struct ExpiringStoreTests {
  private static func open(
    _ clock: ManualCalendar, _ fileSystem: MemoryFileSystem = MemoryFileSystem(),
    timeToLive: UInt64? = nil, policy: CompactionPolicy = .leveled
  ) throws -> (store: ExpiringStore, tree: LSMEngine) {
    var options = LSMTest.options("/db", fileSystem)
    options.clock = clock
    var tuning = LSMTest.tinyTuning
    tuning.compactionFilter = TimeToLive()
    tuning.compaction = policy
    let tree = try LSMEngine.open(options, tuning)
    return (ExpiringStore(tree, timeToLive: timeToLive), tree)
  }

  private static func keys(_ cursor: any Cursor) throws -> [[UInt8]] {
    let forward = try LSMTest.contents(cursor)
    #expect(try LSMTest.contentsBackward(cursor) == forward)
    return forward.map { $0[0] }
  }

  private static func code(_ body: () throws -> Void) -> StorageError.Code? {
    do { try body() } catch { return (error as? StorageError)?.code }
    return nil
  }

  @Test func nothingIsShownFromItsTimeOn() throws {
    let clock = ManualCalendar()
    let (store, _) = try Self.open(clock, timeToLive: 500)
    for number in 0..<6 {
      try store.put(LSMTest.key(number), [UInt8(number)], timeToLive: UInt64(number) * 100)
    }
    try store.put(LSMTest.key(7), [7])
    try store.put(LSMTest.key(8), [8], timeToLive: nil)
    try store.put(LSMTest.key(9), [9], timeToLive: .max)
    var batch = WriteBatch()
    batch.put(LSMTest.key(6), [6])
    batch.delete(LSMTest.key(9))
    try store.write(batch)
    for step in 0...6 {
      if step > 0 { clock.advance(100) }
      let alive = (0..<10).filter { number in
        switch number {
        case 0..<6: step < number
        case 6, 7: step < 5
        default: number == 8
        }
      }
      for number in 0..<10 {
        #expect(
          try store.get(LSMTest.key(number)) == (alive.contains(number) ? [UInt8(number)] : nil))
      }
      #expect(try Self.keys(try store.cursor()) == alive.map { LSMTest.key($0) })
      let cursor = try store.cursor()
      try cursor.seek(LSMTest.key(2))
      #expect(cursor.key.array == LSMTest.key(alive.first { $0 >= 2 } ?? -1))
      try cursor.seekForPrevious(LSMTest.key(4))
      let before = alive.last { $0 <= 4 }
      #expect(cursor.isValid == (before != nil))
      if let before { #expect(cursor.key.array == LSMTest.key(before)) }
      if step == 2 { try store.checkpoint() }
      if step == 3 { try store.compact() }
    }
    try store.close()
  }

  @Test func snapshotsAndCursorsSeeOneMoment() throws {
    let clock = ManualCalendar()
    let (store, tree) = try Self.open(clock)
    try store.put([1], [1], timeToLive: 100)
    try store.put([2], [2], timeToLive: 200)
    let snapshot = try store.snapshot()
    let cursor = try store.cursor()
    clock.advance(150)
    try store.compact()
    #expect(try store.get([1]) == nil)
    #expect(try store.get([2]) == [2])
    for _ in 0..<2 {
      #expect(try snapshot.get([1]) == [1])
      #expect(try Self.keys(try snapshot.cursor()) == [[1], [2]])
      #expect(try Self.keys(cursor) == [[1], [2]])
      clock.advance(500)
      try store.compact()
    }
    #expect(try Self.keys(try store.cursor()) == [])
    #expect(try tree.statistics()[detail: "compactions.filtered"] == 0)
    snapshot.close()
    cursor.close()
    try store.compact()
    #expect(try tree.statistics()[detail: "compactions.filtered"] == 2)
    #expect(try tree.statistics()[detail: "tables"] == 0)
    try store.close()
  }

  @Test func compactionGivesTheSpaceBack() throws {
    let clock = ManualCalendar()
    let (store, tree) = try Self.open(clock, timeToLive: 1000)
    var random = SeededRandom(seed: 4)
    for number in 0..<500 {
      let value = (0..<100).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      try store.put(LSMTest.key(number), value, timeToLive: number % 10 == 0 ? nil : 1000)
    }
    try store.compact()
    let before = try tree.statistics()
    #expect(before[detail: "tables.entries"] == 500)
    clock.advance(1000)
    try store.compact()
    let after = try tree.statistics()
    #expect(after[detail: "tables.entries"] == 50)
    #expect(after[detail: "compactions.filtered"] == 450)
    #expect(after.diskBytes - after.logBytes < (before.diskBytes - before.logBytes) / 5)
    #expect(try tree.verify().problems == [])
    try store.close()
  }

  /// What expires must not uncover the older value below it, which never does.
  @Test(arguments: CompactionPolicy.allCases)
  func olderVersionsStayHidden(_ policy: CompactionPolicy) throws {
    let clock = ManualCalendar()
    let (store, tree) = try Self.open(clock, policy: policy)
    for number in 0..<100 { try store.put(LSMTest.key(number), [1], timeToLive: nil) }
    try store.compact()
    let snapshot = try store.snapshot()
    for number in 0..<100 { try store.put(LSMTest.key(number), [2], timeToLive: 50) }
    clock.advance(100)
    // Merges of other keys pass by.
    for round in 0..<40 {
      for number in 0..<10 {
        try store.put(
          LSMTest.key(number * 10) + [UInt8(round)], [UInt8](repeating: 3, count: 100),
          timeToLive: nil)
      }
      try store.checkpoint()
      try store.settle()
      if round == 20 { snapshot.close() }
      if round < 20 { #expect(try snapshot.get(LSMTest.key(round)) == [1]) }
      for number in 0..<100 { #expect(try store.get(LSMTest.key(number)) == nil) }
    }
    #expect((try tree.statistics()[detail: "compactions.filtered"] ?? 0) > 0)
    try store.compact()
    for number in 0..<100 { #expect(try store.get(LSMTest.key(number)) == nil) }
    #expect(try tree.statistics()[detail: "tables.entries"] == 400)
    try store.close()
  }

  @Test func timeDoesNotGoBackForAStore() throws {
    let clock = ManualCalendar()
    let (store, _) = try Self.open(clock)
    try store.put([1], [1], timeToLive: 100)
    clock.advance(100)
    #expect(try store.get([1]) == nil)
    clock.set(1_000_000)
    #expect(try store.get([1]) == nil)
    #expect(try Self.keys(try store.cursor()) == [])
    try store.close()
  }

  @Test func refusesWhatHasNoTime() throws {
    let clock = ManualCalendar()
    let fileSystem = MemoryFileSystem()
    let (store, tree) = try Self.open(clock, fileSystem)
    #expect(Self.code { try store.merge([1], [1]) } == .unsupported)
    var batch = WriteBatch()
    batch.put([2], [2])
    batch.merge([1], [1])
    #expect(Self.code { try store.write(batch) } == .unsupported)
    #expect(try store.get([2]) == nil)
    try tree.put([3], [1, 2, 3])
    #expect(Self.code { _ = try store.get([3]) } == .corruption)
    #expect(Self.code { _ = try Self.keys(try store.cursor()) } == .corruption)
    try tree.compact()
    #expect(try tree.get([3]) == [1, 2, 3])
    try store.close()
  }

  /// Without expiry it is an engine like another.
  @Test func agreesWithTheOracle() throws {
    let lsm = TestEngine.lsm.entry
    let entry = EngineRegistry.Entry(name: "expiring", summary: "LSM tree with expiry") {
      (options) throws(StorageError) in ExpiringStore(try lsm.open(options))
    }
    for seed in 0..<60 as Range<UInt64> {
      var runner = ProgramRunner(entry)
      runner.durability = Durability.allForTests[Int(seed % 4)]
      let program = ProgramGenerator.program(seed: seed, length: 80)
      do throws(ProgramFailure) { try runner.run(program) } catch {
        Issue.record("seed \(seed): \(error)")
      }
    }
  }

  /// Random puts with random times, while time passes and everything is compacted and reopened.
  @Test(arguments: 0..<9)
  func agreesWithAModelOfTime(seed: Int) throws {
    let clock = ManualCalendar()
    let fileSystem = MemoryFileSystem()
    let policy = CompactionPolicy.allCases[seed % 3]
    var random = SeededRandom(seed: UInt64(seed))
    var (store, tree) = try Self.open(clock, fileSystem, policy: policy)
    var model: [[UInt8]: (value: [UInt8], expiry: UInt64)] = [:]
    var snapshots: [(snapshot: any Snapshot, expected: [[[UInt8]]])] = []
    func expected() -> [[[UInt8]]] {
      model.filter { $0.value.expiry > clock.unixMilliseconds }
        .map { [$0.key, $0.value.value] }
        .sorted { $0[0].lexicographicallyPrecedes($1[0]) }
    }
    for step in 0..<1500 {
      let key = LSMTest.key(random.below(80))
      switch random.below(100) {
      case 0..<60:
        let value = (0..<random.below(40)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        let time: UInt64? = random.chance(0.2) ? nil : UInt64(random.below(300))
        try store.put(key, value, timeToLive: time)
        model[key] = (value, time.map { clock.unixMilliseconds + $0 } ?? .max)
      case 60..<68:
        try store.delete(key)
        model[key] = nil
      case 68..<85: clock.advance(UInt64(random.below(30)))
      case 85..<88 where snapshots.count < 3:
        snapshots.append((try store.snapshot(), expected()))
      case 88: snapshots.popLast()?.snapshot.close()
      case 89: try store.compact()
      case 90: try store.checkpoint()
      case 91:
        for pair in snapshots { pair.snapshot.close() }
        snapshots = []
        try store.close()
        (store, tree) = try Self.open(clock, fileSystem, policy: policy)
      case 92..<94:
        #expect(try LSMTest.contents(try store.cursor()) == expected(), "step \(step)")
        #expect(try LSMTest.contentsBackward(try store.cursor()) == expected(), "step \(step)")
        for pair in snapshots {
          #expect(try LSMTest.contents(try pair.snapshot.cursor()) == pair.expected, "\(step)")
        }
      default:
        let alive = model[key].flatMap { $0.expiry > clock.unixMilliseconds ? $0.value : nil }
        #expect(try store.get(key) == alive, "step \(step)")
      }
    }
    for pair in snapshots { pair.snapshot.close() }
    #expect(try tree.verify().problems == [])
    try store.compact()
    #expect(try LSMTest.contents(try store.cursor()) == expected())
    #expect(try tree.statistics()[detail: "tables.entries"] == Double(expected().count))
    try store.close()
  }
}
