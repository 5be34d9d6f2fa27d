import Synchronization
import Testing

@testable import StorageLab

/// The contract of `StorageEngine` as SQLite keeps it, on real files.
@Suite struct SQLiteEngineTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  func open(
    _ durability: Durability = .process, tune: (inout SQLiteOptions) -> Void = { _ in }
  ) throws -> SQLiteEngine {
    var options = EngineOptions(path: directory.file("db"))
    options.durability = durability
    options.cacheBytes = 1 << 20
    options.maintenance = .inline
    var sqlite = SQLiteOptions()
    tune(&sqlite)
    return try SQLiteEngine(options, sqlite)
  }

  private func key(_ number: Int) -> [UInt8] { Array("key-\(number + 1_000_000)".utf8) }

  @Test func putGetDelete() throws {
    let engine = try open()
    #expect(try engine.get([1]) == nil)
    try engine.put([1], [7, 8])
    #expect(try engine.get([1]) == [7, 8])
    try engine.put([1], [9])
    #expect(try engine.get([1]) == [9])
    try engine.delete([1])
    try engine.delete([1])
    #expect(try engine.get([1]) == nil)
    try engine.close()
  }

  @Test func emptyValuesAreNotMissing() throws {
    let engine = try open()
    try engine.put([0], [])
    #expect(try engine.get([0]) == [])
    let cursor = try engine.cursor()
    try cursor.seekToFirst()
    #expect(cursor.isValid)
    #expect(cursor.key.array == [0] && cursor.value.array == [])
  }

  @Test func limitsAreErrorsThatChangeNothing() throws {
    let engine = try open()
    let longest = [UInt8](repeating: 0xff, count: 65_536)
    try engine.put(longest, [1])
    #expect(try engine.get(longest) == [1])
    for bad in [[], longest + [0]] {
      #expect(throwing { try engine.put(bad, [1]) } == .invalidArgument)
      #expect(throwing { try engine.delete(bad) } == .invalidArgument)
      #expect(throwing { _ = try engine.get(bad) } == .invalidArgument)
      var batch = WriteBatch()
      batch.put([1], [1])
      batch.put(bad, [1])
      #expect(throwing { try engine.write(batch) } == .invalidArgument)
    }
    #expect(try engine.get([1]) == nil)
  }

  @Test func valuesOf64MiBGoThroughTheFileAndBack() throws {
    var value = [UInt8](repeating: 0, count: 64 << 20)
    var random = SeededRandom(seed: 4)
    value.withUnsafeMutableBytes { random.fill($0) }
    var engine = try open()
    try engine.put([1], value)
    try engine.close()
    engine = try open()
    #expect(try engine.get([1]) == value)
    try engine.close()
  }

  @Test func valuesOverTheLimitAreRefused() throws {
    var options = EngineOptions(path: directory.file("small"))
    options.maximumValueBytes = 10
    let engine = try SQLiteEngine(options)
    try engine.put([1], [UInt8](repeating: 0, count: 10))
    #expect(throwing { try engine.put([1], [UInt8](repeating: 0, count: 11)) } == .invalidArgument)
    #expect(try engine.get([1])?.count == 10)
  }

  /// SQLite's own limit, lowered: a billion bytes would take the machine's memory.
  @Test func rowsOverSQLitesLimitAreRefusedAndChangeNothing() throws {
    let engine = try open()
    #expect(engine.maximumValueBytes == 1_000_000_000)
    try engine.put([1], [1])
    engine.writer.lengthLimit = 1000
    let key = [UInt8](repeating: 2, count: 100)
    for bytes in [950, 1001, 5000] {
      let value = [UInt8](repeating: 0, count: bytes)
      var batch = WriteBatch()
      batch.put([1], [9])
      batch.put(key, value)
      for write in [{ try engine.put(key, value) }, { try engine.write(batch) }] {
        let error = #expect(throws: StorageError.self) { try write() }
        #expect(error?.code == .invalidArgument)
        #expect(error?.message.contains("limit of 1000 bytes") == true)
      }
    }
    #expect(try engine.get([1]) == [1])
    #expect(try engine.get(key) == nil)
    try engine.put(key, [UInt8](repeating: 0, count: 800))
    #expect(try engine.get(key)?.count == 800)
    #expect(try engine.verify().isSound)
    try engine.close()
  }

  @Test func batchesApplyInOrderAndWhole() throws {
    let engine = try open()
    for number in 0..<10 { try engine.put(key(number), [UInt8(number)]) }
    var batch = WriteBatch()
    batch.put(key(3), [33])
    batch.deleteRange(from: key(2), to: key(5))
    batch.put(key(4), [44])
    batch.delete(key(9))
    try engine.write(batch)
    #expect(try keys(engine) == [0, 1, 4, 5, 6, 7, 8].map(key))
    #expect(try engine.get(key(4)) == [44])
    try engine.write(WriteBatch())
  }

  @Test func emptyAndInvertedRangesRemoveNothing() throws {
    let engine = try open()
    for number in 0..<4 { try engine.put(key(number), [0]) }
    try engine.deleteRange(from: key(2), to: key(2))
    try engine.deleteRange(from: key(3), to: key(0))
    try engine.deleteRange(from: [], to: [])
    #expect(try keys(engine).count == 4)
    try engine.deleteRange(from: [], to: key(3))
    #expect(try keys(engine) == [key(3)])
  }

  @Test func cursorsWalkBothWaysWithinTheirRange() throws {
    let engine = try open()
    for number in stride(from: 0, to: 40, by: 2) { try engine.put(key(number), key(number)) }
    let cursor = try engine.cursor(KeyRange(from: key(10), to: key(20)))
    try cursor.seekToFirst()
    #expect(cursor.key.array == key(10))
    try cursor.previous()
    #expect(!cursor.isValid)
    try cursor.seekToLast()
    #expect(cursor.key.array == key(18))
    try cursor.next()
    #expect(!cursor.isValid)
    try cursor.seek(key(13))
    #expect(cursor.key.array == key(14))
    try cursor.previous()
    #expect(cursor.key.array == key(12))
    try cursor.previous()
    #expect(cursor.key.array == key(10))
    try cursor.next()
    try cursor.next()
    #expect(cursor.key.array == key(14) && cursor.value.array == key(14))
    try cursor.seekForPrevious(key(13))
    #expect(cursor.key.array == key(12))
    try cursor.seekForPrevious(key(12))
    #expect(cursor.key.array == key(12))
    try cursor.seek(key(0))
    #expect(cursor.key.array == key(10))
    try cursor.seekForPrevious(key(39))
    #expect(cursor.key.array == key(18))
    try cursor.seek(key(20))
    #expect(!cursor.isValid)
    try cursor.seekForPrevious(key(9))
    #expect(!cursor.isValid)
  }

  @Test func cursorsCanSeekByTheirOwnKey() throws {
    let engine = try open()
    for number in 0..<5 { try engine.put(key(number), [1]) }
    let cursor = try engine.cursor()
    try cursor.seek(key(2))
    try cursor.key.withSpan { (span) throws(StorageError) in try cursor.seek(span) }
    #expect(cursor.key.array == key(2))
    try cursor.key.withSpan { (span) throws(StorageError) in try cursor.seekForPrevious(span) }
    #expect(cursor.key.array == key(2))
  }

  @Test func keysSortAsUnsignedBytes() throws {
    let engine = try open()
    let sorted: [[UInt8]] = [
      [0], [0, 0], [0, 1], [0x7f], [0x80], [0x80, 0], [0xff], [0xff, 0xff],
    ]
    for key in sorted.shuffled() { try engine.put(key, [1]) }
    #expect(try keys(engine) == sorted)
  }

  @Test func snapshotsAndCursorsSeeOneMoment() throws {
    let engine = try open()
    try engine.put(key(1), [1])
    let snapshot = try engine.snapshot()
    let cursor = try engine.cursor()
    try engine.put(key(1), [2])
    try engine.put(key(2), [2])
    try engine.delete(key(1))
    #expect(try snapshot.get(key(1)) == [1])
    #expect(try snapshot.get(key(2)) == nil)
    try cursor.seekToFirst()
    #expect(cursor.key.array == key(1) && cursor.value.array == [1])
    try cursor.next()
    #expect(!cursor.isValid)
    let inside = try snapshot.cursor()
    snapshot.close()
    try inside.seekToFirst()
    #expect(inside.value.array == [1])
    #expect(throwing { _ = try snapshot.get(key(1)) } == .closed)
    #expect(try engine.statistics().openSnapshots == 2)
  }

  @Test func readsMayNest() throws {
    let engine = try open()
    for number in 0..<5 { try engine.put(key(number), key(number)) }
    let snapshot = try engine.snapshot()
    var seen: [[UInt8]] = []
    func note(_ span: RawSpan) { seen.append(span.withSlice(\.array)) }
    _ = try engine.read(key(1).span.bytes) { outer in
      _ = try? engine.read(key(2).span.bytes) { inner in
        _ = try? snapshot.read(key(3).span.bytes) { first in
          _ = try? snapshot.read(key(4).span.bytes, note)
          note(first)
        }
        note(inner)
      }
      note(outer)
    }
    #expect(seen == [4, 3, 2, 1].map(key))
    snapshot.close()
    try engine.close()
  }

  @Test func timedSyncRunsOnItsOwnThread() throws {
    var options = EngineOptions(path: directory.file("timed"))
    options.durability = .interval(milliseconds: 1)
    let engine = try SQLiteEngine(options)
    try engine.put(key(1), [1])
    let before = try engine.statistics().totalIO.syncs
    // Commits keep coming until the timer has synced one of them.
    while try engine.statistics().totalIO.syncs == before { try engine.put(key(1), [2]) }
    try engine.close()
  }

  @Test func checkpointCompactAndSettleKeepEverything() throws {
    var engine = try open()
    for number in 0..<2000 { try engine.put(key(number), key(number)) }
    try engine.checkpoint()
    #expect(try engine.statistics().logBytes == 0)
    try engine.deleteRange(from: key(0), to: key(1900))
    try engine.settle()
    let before = try engine.statistics().diskBytes
    try engine.compact()
    #expect(try engine.statistics().diskBytes < before)
    #expect(try keys(engine).count == 100)
    try engine.close()
    engine = try open()
    #expect(try keys(engine).count == 100)
    #expect(try engine.verify().isSound)
    try engine.close()
  }

  @Test func upkeepGoesOnUnderAnOpenSnapshot() throws {
    var engine = try open()
    try engine.put(key(1), [1])
    let snapshot = try engine.snapshot()
    try engine.put(key(2), [2])
    try engine.checkpoint()
    try engine.compact()
    try engine.sync()
    #expect(try snapshot.get(key(2)) == nil)
    try engine.close()
    engine = try open()
    #expect(try keys(engine) == [key(1), key(2)])
    snapshot.close()
    #expect(try keys(engine) == [key(1), key(2)])
    try engine.close()
  }

  @Test func everythingThrowsClosedAfterClose() throws {
    let engine = try open()
    try engine.put(key(1), [1])
    let snapshot = try engine.snapshot()
    let cursor = try engine.cursor()
    try cursor.seekToFirst()
    let held = cursor.value
    try engine.close()
    try engine.close()
    #expect(held.array == [1], "what a cursor handed out outlives the engine's close")
    #expect(throwing { _ = try engine.get(key(1)) } == .closed)
    #expect(throwing { try engine.put(key(1), [1]) } == .closed)
    #expect(throwing { try engine.delete(key(1)) } == .closed)
    #expect(throwing { try engine.deleteRange(from: key(1), to: key(2)) } == .closed)
    #expect(throwing { try engine.write(WriteBatch()) } == .closed)
    #expect(throwing { try engine.sync() } == .closed)
    #expect(throwing { try engine.checkpoint() } == .closed)
    #expect(throwing { try engine.compact() } == .closed)
    #expect(throwing { try engine.settle() } == .closed)
    #expect(throwing { _ = try engine.statistics() } == .closed)
    #expect(throwing { _ = try engine.verify() } == .closed)
    #expect(throwing { _ = try engine.snapshot() } == .closed)
    #expect(throwing { _ = try engine.cursor() } == .closed)
    #expect(throwing { _ = try snapshot.get(key(1)) } == .closed)
    #expect(throwing { _ = try snapshot.cursor() } == .closed)
    #expect(throwing { try cursor.next() } == .closed)
    #expect(throwing { try cursor.seekToFirst() } == .closed)
    #expect(!cursor.isValid)
    let again = try open()
    #expect(try again.get(key(1)) == [1])
    cursor.close()
    snapshot.close()
    try again.put(key(2), [2])
    try again.close()
  }

  @Test func secondHandleIsLockedOut() throws {
    let engine = try open()
    #expect(throwing { _ = try open() } == .locked)
    try engine.put(key(1), [1])
    try engine.close()
    try open().close()
  }

  @Test func readOnlyChangesNoByte() throws {
    let engine = try open()
    for number in 0..<100 { try engine.put(key(number), [1]) }
    // Leaves a log behind, as a kill would.
    let holder = try engine.snapshot()
    try engine.close()
    holder.close()
    let fileSystem = POSIXFileSystem()
    let names = try fileSystem.list(directory.file("db"))
    #expect(names.contains("data.sqlite-wal"))
    func contents() throws -> [[UInt8]] {
      try names.map { name in
        try fileSystem.open(joinPath(directory.file("db"), name), .read).readAll(limit: 1 << 30)
      }
    }
    let before = try contents()
    var options = EngineOptions(path: directory.file("db"))
    options.isReadOnly = true
    let reader = try SQLiteEngine(options)
    #expect(try keys(reader).count == 100)
    #expect(try reader.get(key(5)) == [1])
    #expect(try reader.verify().isSound)
    #expect(throwing { try reader.put(key(1), [2]) } == .readOnly)
    #expect(throwing { try reader.write(WriteBatch()) } == .readOnly)
    #expect(throwing { try reader.compact() } == .readOnly)
    try reader.close()
    #expect(try fileSystem.list(directory.file("db")) == names)
    #expect(try contents() == before)
  }

  @Test func readersSeeWholeBatchesBesideAWriter() throws {
    let engine = try open { $0.checkpointBytes = 64 << 10 }
    func batch(_ version: UInt8) -> WriteBatch {
      var batch = WriteBatch()
      for number in 0..<50 { batch.put(key(number), [version]) }
      return batch
    }
    try engine.write(batch(0))
    let outcome = ReaderOutcome()
    let readers = try (0..<3).map { _ in
      try LabThread(name: "reader") { [self] in
        while !outcome.mustStop.load(ordering: .relaxed) {
          outcome.note { try isWhole(engine) }
        }
      }
    }
    for version in 0..<200 { try engine.write(batch(UInt8(version))) }
    outcome.mustStop.store(true, ordering: .relaxed)
    for reader in readers { reader.join() }
    #expect(outcome.torn.load(ordering: .relaxed) == 0)
    #expect(outcome.failures.load(ordering: .relaxed) == 0)
    #expect(try engine.verify().isSound)
    try engine.close()
  }

  /// Whether a scan sees fifty entries of one version.
  private func isWhole(_ engine: SQLiteEngine) throws -> Bool {
    var versions = Set<UInt8>()
    var count = 0
    try engine.scan { _, value in
      count += 1
      versions.insert(value.withSlice { $0[0] })
      return true
    }
    let point = try engine.get(key(7))
    return versions.count == 1 && count == 50 && point != nil
  }

  private final class ReaderOutcome: Sendable {
    let mustStop = Atomic<Bool>(false)
    let torn = Atomic<Int>(0)
    let failures = Atomic<Int>(0)

    func note(_ isWhole: () throws -> Bool) {
      do {
        if try !isWhole() { torn.wrappingAdd(1, ordering: .relaxed) }
      } catch {
        failures.wrappingAdd(1, ordering: .relaxed)
      }
    }
  }

  @Test func cacheStaysWithinTheBudgetWhateverTheReaders() throws {
    let engine = try open()
    let value = [UInt8](repeating: 7, count: 500)
    for number in 0..<8000 { try engine.put(key(number), value) }
    let cursors = try (0..<5).map { _ in try engine.cursor() }
    for cursor in cursors {
      try cursor.seekToFirst()
      while cursor.isValid { try cursor.next() }
    }
    for number in 0..<8000 { _ = try engine.get(key(number)) }
    for cursor in cursors { cursor.close() }
    for cursor in try (0..<5).map({ _ in try engine.cursor() }) { try cursor.seekToFirst() }
    let statistics = try engine.statistics()
    #expect(statistics.cacheBudget == 1 << 20)
    #expect(statistics.cacheBytes <= 1 << 20 + 5 * 65_536)
    #expect(statistics.cacheMisses > 1000)
    try engine.close()
  }

  @Test func classesSetSynchronous() throws {
    for (durability, expected) in [
      (Durability.none, 0.0), (.process, 0), (.interval(milliseconds: 5), 1), (.commit, 2),
    ] {
      let engine = try open(durability)
      #expect(try engine.statistics()[detail: "pragma.synchronous"] == expected)
      try engine.close()
    }
  }

  @Test func commitsSyncTheLogOncePerTransaction() throws {
    let engine = try open(.commit)
    try engine.put(key(0), [1])
    let before = try engine.statistics().totalIO.syncs
    for number in 1...10 { try engine.put(key(number), [1]) }
    #expect(try engine.statistics().totalIO.syncs - before == 10)
    try engine.close()
  }

  @Test func aPageSizeThatIsNoneIsRefused() {
    for size in [0, 100, 5000, 131_072] {
      #expect(throwing { _ = try open { $0.pageBytes = size } } == .invalidArgument)
    }
  }

  private func keys(_ engine: SQLiteEngine) throws -> [[UInt8]] {
    var keys: [[UInt8]] = []
    try engine.scan { key, _ in
      keys.append(key.withSlice(\.array))
      return true
    }
    return keys
  }
}

/// The code of the `StorageError` that `body` throws; nil when it throws none.
func throwing(_ body: () throws -> Void) -> StorageError.Code? {
  do {
    try body()
    return nil
  } catch {
    return (error as? StorageError)?.code
  }
}
