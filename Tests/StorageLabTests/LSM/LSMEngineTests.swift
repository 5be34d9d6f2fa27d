import Synchronization
import Testing

@testable import StorageLab

@Suite struct LSMEngineTests {
  private func fill(_ engine: LSMEngine, _ numbers: Range<Int>, _ mark: UInt8 = 1) throws {
    for number in numbers {
      try engine.put(LSMTest.key(number), [UInt8](repeating: mark, count: 40))
    }
  }

  private func count(_ engine: LSMEngine, _ range: KeyRange = .all) throws -> Int {
    try LSMTest.contents(try engine.cursor(range)).count
  }

  @Test func levelsFillAndSettle() throws {
    let directory = try TemporaryDirectory()
    let engine = try LSMEngine.open(
      LSMTest.options(directory.file("db")), LSMTest.tinyTuning)
    for round in 0..<4 { try fill(engine, 0..<1000, UInt8(round)) }
    try engine.settle()
    let statistics = try engine.statistics()
    #expect(try #require(statistics[detail: "flushes"]) > 10)
    #expect(try #require(statistics[detail: "compactions"]) > 3)
    #expect(try count(engine) == 1000)
    #expect(try engine.verify().isSound)
    #expect(try engine.get(LSMTest.key(500)) == [UInt8](repeating: 3, count: 40))
    try engine.close()
    #expect(throws: StorageError.self) { try engine.get(LSMTest.key(1)) }
  }

  @Test func aRangeDeletionFreesItsSpace() throws {
    let directory = try TemporaryDirectory()
    let engine = try LSMEngine.open(
      LSMTest.options(directory.file("db")), LSMTest.tinyTuning)
    try fill(engine, 0..<3000)
    try engine.checkpoint()
    try engine.settle()
    let before = try engine.statistics().diskBytes - engine.statistics().logBytes
    let snapshot = try engine.snapshot()
    try engine.deleteRange(from: LSMTest.key(100), to: LSMTest.key(2900))
    #expect(try count(engine) == 200)
    try engine.checkpoint()
    try engine.settle()
    #expect(try LSMTest.contents(try snapshot.cursor()).count == 3000)
    #expect(try count(engine) == 200)
    snapshot.close()
    try engine.settle()
    let after = try engine.statistics()
    #expect(after.diskBytes - after.logBytes < before / 4)
    #expect(try #require(after[detail: "compactions.tablesSkipped"]) > 0)
    #expect(after[detail: "tables.rangeTombstones"] == 0)
    let tables = try POSIXFileSystem().list(directory.file("db")).filter { $0.hasSuffix(".sst") }
    #expect(Double(tables.count) == after[detail: "tables"])
    #expect(try count(engine) == 200)
    try engine.close()
  }

  /// Who waits for upkeep to end finds the space of what it merged free, reader or not.
  @Test(arguments: [EngineOptions.Maintenance.inline, .background])
  func settlingFreesTheSpaceOfMergedTables(_ maintenance: EngineOptions.Maintenance) throws {
    let fileSystem = MemoryFileSystem()
    let engine = try LSMEngine.open(
      LSMTest.options("db", fileSystem, maintenance), LSMTest.tinyTuning)
    var merges = 0.0
    for round in 0..<30 {
      for number in 0..<100 {
        try engine.put(LSMTest.key(number * 7 % 500), Array("\(round)".utf8) + LSMTest.key(number))
      }
      _ = try engine.get(LSMTest.key(1))
      try engine.settle()
      let statistics = try engine.statistics()
      let files = try fileSystem.list("db").count { $0.hasSuffix(".sst") }
      #expect(files == Int(statistics[detail: "tables"] ?? -1), "round \(round)")
      merges = statistics[detail: "compactions"] ?? 0
    }
    #expect(merges > 5)
    try engine.close()
  }

  @Test(arguments: [EngineOptions.Maintenance.inline, .background])
  func seeksMergeLevelZero(_ maintenance: EngineOptions.Maintenance) throws {
    let directory = try TemporaryDirectory()
    var tuning = LSMTest.tinyTuning
    tuning.memtableBytes = 1 << 20
    let engine = try LSMEngine.open(
      LSMTest.options(directory.file("db"), POSIXFileSystem(), maintenance), tuning)
    try fill(engine, 0..<500)
    try engine.compact()
    try fill(engine, 100..<200, 2)
    try engine.checkpoint()
    try engine.settle()
    #expect(try engine.statistics()[detail: "level.0.tables"] == 1)
    let cursor = try engine.cursor()
    for number in 0..<1000 { try cursor.seek(LSMTest.key(number % 500)) }
    cursor.close()
    try engine.settle()
    let statistics = try engine.statistics()
    #expect((statistics[detail: "level.0.tables"] ?? 0) == 0)
    #expect(try count(engine) == 500)
    #expect(try engine.get(LSMTest.key(150)) == [UInt8](repeating: 2, count: 40))
    try engine.close()
  }

  @Test func largeValuesGoThrough() throws {
    let directory = try TemporaryDirectory()
    let options = LSMTest.options(directory.file("db"))
    var engine = try LSMEngine.open(options, LSMTest.tinyTuning)
    let large = [UInt8](repeating: 7, count: 9 << 20)
    let longKey = [UInt8](repeating: 0xff, count: 65_536)
    try fill(engine, 0..<100)
    try engine.put(LSMTest.key(50), large)
    try engine.put(longKey, [])
    try fill(engine, 100..<200)
    for _ in 0..<2 {
      #expect(try engine.get(LSMTest.key(50)) == large)
      #expect(try engine.get(longKey) == [])
      #expect(try count(engine) == 201)
      let cursor = try engine.cursor()
      try cursor.seekToLast()
      #expect(cursor.key.count == 65_536)
      cursor.close()
      try engine.compact()
      try engine.close()
      engine = try LSMEngine.open(options, LSMTest.tinyTuning)
    }
    #expect(try engine.verify().isSound)
    try engine.close()
  }

  @Test func aFullDeviceRefusesAndResumes() throws {
    let fileSystem = MemoryFileSystem()
    let options = LSMTest.options("/db", fileSystem)
    var tuning = LSMTest.tinyTuning
    tuning.logSegmentBytes = 1 << 20
    let engine = try LSMEngine.open(options, tuning)
    try fill(engine, 0..<200)
    // Tables cannot be written; the log has its blocks already.
    fileSystem.onCall { (call) throws(StorageError) in
      if call.path.hasSuffix(".sst") { throw StorageError(.noSpace, "the device is full") }
    }
    var acknowledged = 200
    var failure: StorageError?
    while failure == nil && acknowledged < 5000 {
      do { try fill(engine, acknowledged..<acknowledged + 1) } catch {
        failure = error as? StorageError
      }
      if failure == nil { acknowledged += 1 }
    }
    #expect(failure?.code == .noSpace)
    #expect(try count(engine) == acknowledged)
    #expect(try engine.get(LSMTest.key(acknowledged)) == nil)
    #expect(throws: StorageError.self) { try engine.checkpoint() }
    fileSystem.onCall(nil)
    try fill(engine, acknowledged..<acknowledged + 300)
    #expect(try count(engine) == acknowledged + 300)
    try engine.close()
    let again = try LSMEngine.open(options, tuning)
    #expect(try count(again) == acknowledged + 300)
    #expect(try again.verify().isSound)
    try again.close()
  }

  @Test func aFlippedBitInATableIsNamedAndNeverReturned() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("db")
    let options = LSMTest.options(path)
    let engine = try LSMEngine.open(options, LSMTest.tinyTuning)
    try fill(engine, 0..<500)
    try engine.compact()
    try engine.close()
    let fileSystem = POSIXFileSystem()
    let name = try #require(try fileSystem.list(path).first { $0.hasSuffix(".sst") })
    let file = try fileSystem.open(joinPath(path, name), .readWrite)
    try file.write([0xEE], at: 700)
    file.close()
    let damaged = try LSMEngine.open(options, LSMTest.tinyTuning)
    let error = #expect(throws: StorageError.self) { try count(damaged) }
    #expect(error?.code == .corruption)
    #expect(error?.path == joinPath(path, name))
    #expect((error?.offset ?? -1) >= 0 && (error?.offset ?? 999) <= 700)
    let report = try damaged.verify()
    #expect(report.problems.contains { $0.path == joinPath(path, name) })
    try? damaged.close()
  }

  @Test func aMissingTableIsDamageAndNothingIsRemoved() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("db")
    let engine = try LSMEngine.open(LSMTest.options(path), LSMTest.tinyTuning)
    try fill(engine, 0..<500)
    try engine.close()
    let fileSystem = POSIXFileSystem()
    let tables = try fileSystem.list(path).filter { $0.hasSuffix(".sst") }
    try fileSystem.remove(joinPath(path, tables[0]))
    let error = #expect(throws: StorageError.self) {
      try LSMEngine.open(LSMTest.options(path), LSMTest.tinyTuning)
    }
    #expect(error?.code == .corruption)
    #expect(error?.path == joinPath(path, tables[0]))
    #expect(try fileSystem.list(path).count { $0.hasSuffix(".sst") } == tables.count - 1)
  }

  @Test func readOnlyReplaysInMemoryAndChangesNoByte() throws {
    let fileSystem = MemoryFileSystem()
    let options = LSMTest.options("/db", fileSystem)
    var engine: LSMEngine? = try LSMEngine.open(options, LSMTest.tinyTuning)
    try fill(try #require(engine), 0..<300)
    engine = nil  // as a crash would: the log still holds the newest
    let crashed = fileSystem.crash(.keepEverything)
    let changes = Findings()
    crashed.onCall { call in
      // Taking the lock keeps writers away and changes nothing.
      if call.kind != .lock { changes.flaws.withLock { $0.append("\(call)") } }
    }
    var readOnly = LSMTest.options("/db", crashed)
    readOnly.isReadOnly = true
    let reader = try LSMEngine.open(readOnly, LSMTest.tinyTuning)
    #expect(try count(reader) == 300)
    #expect(throws: StorageError.self) { try reader.put(LSMTest.key(1), [1]) }
    #expect(try reader.verify().isSound)
    try reader.close()
    #expect(changes.flaws.withLock { $0 } == [])
  }

  @Test func crashesAtEveryCallOfFlushesAndCompactionsLoseNothing() throws {
    for call in stride(from: 1, to: 2000, by: 3) {
      let fileSystem = MemoryFileSystem()
      var options = LSMTest.options("/db", fileSystem)
      options.durability = .commit
      let survivor = Survivor()
      fileSystem.onCall { (made) throws(StorageError) in
        if made.index == call {
          survivor.fileSystem = fileSystem.crash(.keepSome(seed: UInt64(call)))
        }
      }
      var acknowledged = -1
      do {
        let engine = try LSMEngine.open(options, LSMTest.tinyTuning)
        for number in 0..<260 {
          try engine.put(LSMTest.key(number * 37 % 260), [UInt8](repeating: 9, count: 90))
          acknowledged = number
        }
        try engine.compact()
      } catch {}
      guard let left = survivor.fileSystem else { return }
      options.fileSystem = left
      let engine = try LSMEngine.open(options, LSMTest.tinyTuning)
      for number in 0...max(0, acknowledged) where acknowledged >= 0 {
        let value = try engine.get(LSMTest.key(number * 37 % 260))
        #expect(value?.count == 90, "call \(call), write \(number) of \(acknowledged)")
      }
      #expect(try engine.verify().problems == [], "call \(call)")
      try engine.close()
    }
  }

  private final class Survivor: @unchecked Sendable {
    var fileSystem: MemoryFileSystem?
  }

  /// Readers beside a writer while memtables of 4 KiB churn through flushes and merges. Every
  /// batch writes one number under all keys, so a cursor must see one number everywhere.
  @Test func readersSeeWholeBatchesWhileTheTreeChurns() throws {
    let directory = try TemporaryDirectory()
    let engine = try LSMEngine.open(
      LSMTest.options(directory.file("db"), POSIXFileSystem(), .background), LSMTest.tinyTuning)
    let keys = (0..<20).map { LSMTest.key($0 * 10) }
    func write(_ round: Int) throws {
      var batch = WriteBatch()
      if round % 3 == 0 { batch.deleteRange(from: LSMTest.key(0), to: LSMTest.key(999)) }
      for key in keys { batch.put(key, Array(String(round).utf8)) }
      try engine.write(batch)
    }
    try write(0)
    let isDone = Flag()
    let found = Findings()
    let threads = try (0..<3).map { reader in
      try LabThread(name: "reader-\(reader)") {
        do {
          var last = 0
          while !isDone.value.load(ordering: .acquiring) {
            let seen = try LSMTest.contents(try engine.cursor()).map { $0[1] }
            let numbers = Set(seen)
            if seen.count != keys.count || numbers.count != 1 {
              found.flaws.withLock { $0.append("\(seen.count) keys, \(numbers.count) rounds") }
            }
            let value = try engine.get(keys[reader]) ?? []
            let round = Int(String(decoding: value, as: UTF8.self)) ?? -1
            if round < last { found.flaws.withLock { $0.append("round \(round) after \(last)") } }
            last = round
            found.reads.wrappingAdd(1, ordering: .relaxed)
          }
        } catch { found.flaws.withLock { $0.append("\(error)") } }
      }
    }
    for round in 1...400 { try write(round) }
    while found.reads.load(ordering: .relaxed) < 30 { LabThread.sleep(nanoseconds: 100_000) }
    isDone.value.store(true, ordering: .releasing)
    for thread in threads { thread.join() }
    #expect(found.flaws.withLock { $0 } == [])
    #expect(try #require(try engine.statistics()[detail: "flushes"]) > 3)
    try engine.settle()
    #expect(try engine.verify().isSound)
    try engine.close()
  }

  private final class Flag: Sendable {
    let value = Atomic<Bool>(false)
  }

  private final class Findings: Sendable {
    let flaws = Guarded<[String]>([])
    let reads = Atomic<Int>(0)
  }

  @Test func classNoneWritesNoLogAndKeepsWhatWasClosed() throws {
    let directory = try TemporaryDirectory()
    var options = LSMTest.options(directory.file("db"))
    var engine = try LSMEngine.open(options, LSMTest.tinyTuning)
    try fill(engine, 0..<150)
    try engine.close()
    options.durability = .none
    engine = try LSMEngine.open(options, LSMTest.tinyTuning)
    #expect(try count(engine) == 150)
    try fill(engine, 150..<300)
    #expect(try engine.statistics().io[.log]?.bytesWritten == 0)
    try engine.close()
    options.durability = .commit
    engine = try LSMEngine.open(options, LSMTest.tinyTuning)
    #expect(try count(engine) == 300)
    try fill(engine, 300..<400)
    try engine.close()
    engine = try LSMEngine.open(options, LSMTest.tinyTuning)
    #expect(try count(engine) == 400)
    try engine.close()
  }
}
