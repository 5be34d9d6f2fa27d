import Foundation
import Testing

@testable import StorageLab

/// Files whose small reads go through a mapping: what a mapping cannot give is an error of the
/// read, not the end of the process.
@Suite struct MappedReadTests {
  let fileSystem = POSIXFileSystem()

  private func read(_ file: any File, _ count: Int, at offset: Int64) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    let done = try bytes.withMutableBytes { (buffer) throws(StorageError) in
      try file.read(into: buffer, at: offset)
    }
    return Array(bytes.prefix(done))
  }

  private func sample(_ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
  }

  @Test func readsAsACallDoes() throws {
    let directory = try TemporaryDirectory()
    let bytes = sample(50_000)
    let writing = try fileSystem.open(directory.file("f"), .create)
    try writing.write(bytes, at: 0)
    let counting = CountingFileSystem(fileSystem)
    let file = try counting.open(directory.file("f"), .mapped)
    for (offset, count) in [(0, 1), (1, 4095), (4090, 12), (49_999, 1), (30_000, 16 << 10)] {
      #expect(try read(file, count, at: Int64(offset)) == Array(bytes[offset..<offset + count]))
    }
    let mapped = counting.counters.total.bytesReadMapped
    #expect(mapped == counting.counters.total.bytesRead && mapped > 0)
    // Long reads, and those past the end, are calls.
    #expect(try read(file, 40_000, at: 0) == Array(bytes[..<40_000]))
    #expect(try read(file, 100, at: 49_990) == Array(bytes[49_990...]))
    #expect(try read(file, 10, at: 60_000).isEmpty)
    #expect(throws: StorageError.self) { try file.write([1], at: 0) }
    file.close()
    #expect(throws: StorageError.self) { _ = try read(file, 1, at: 0) }
  }

  @Test func anEmptyFileIsRead() throws {
    let directory = try TemporaryDirectory()
    try fileSystem.open(directory.file("f"), .create).close()
    #expect(try read(fileSystem.open(directory.file("f"), .mapped), 10, at: 0).isEmpty)
  }

  @Test func aFileThatBecameShorterEndsEarly() throws {
    let directory = try TemporaryDirectory()
    let writing = try fileSystem.open(directory.file("f"), .create)
    try writing.write(sample(100_000), at: 0)
    let file = try fileSystem.open(directory.file("f"), .mapped)
    #expect(try read(file, 10, at: 90_000).count == 10)
    try writing.truncate(to: 4096)
    // The pages are gone: an access is a SIGBUS. Twice, since the first must leave no trace.
    for _ in 0..<2 { #expect(try read(file, 10, at: 90_000).isEmpty) }
    #expect(try read(file, 10, at: 4090).count == 6)
    let error = #expect(throws: StorageError.self) {
      var bytes: [UInt8] = [0, 0]
      try bytes.withMutableBytes { (buffer) throws(StorageError) in
        try file.readExactly(into: buffer, at: 90_000)
      }
    }
    #expect(error?.code == .corruption)
    // On other threads as on this one.
    let threads = try (0..<4).map { _ in
      try LabThread(name: "reader") {
        for _ in 0..<100 { _ = try? self.read(file, 10, at: 90_000) }
      }
    }
    for thread in threads { thread.join() }
  }

  // The address sanitizer takes such signals for itself.
  #if !ADDRESS_SANITIZER
    @Test func aSignalOfSomebodyElseStillEndsTheProcess() async throws {
      await #expect(processExitsWith: .signal(SIGBUS)) {
        let directory = try TemporaryDirectory()
        let fileSystem = POSIXFileSystem()
        let file = try fileSystem.open(directory.file("f"), .create)
        try file.preallocate(offset: 0, length: 65_536)
        withExtendedLifetime(try fileSystem.open(directory.file("f"), .mapped)) {}
        let region = try file.map(offset: 0, length: 65_536)
        try file.truncate(to: 0)
        region.bytes[40_000] = 1
      }
    }
  #endif
}

/// The LSM tree over mapped tables.
@Suite struct MappedTableTests {
  @Test func answersAsOverCalls() throws {
    let directory = try TemporaryDirectory()
    var tuning = LSMTest.tinyTuning
    tuning.tableAccess = .map
    var options = LSMTest.options(directory.file("database"))
    options.cacheBytes = 4096
    let engine = try LSMEngine.open(options, tuning)
    var expected: [[UInt8]: [UInt8]] = [:]
    for number in 0..<3000 {
      let key = LSMTest.key(number &* 7919 % 1500)
      let value = Array("value \(number)".utf8)
      expected[key] = value
      try engine.put(key, value)
    }
    for (key, value) in expected { #expect(try engine.get(key) == value) }
    #expect(try LSMTest.contents(engine.cursor()).count == expected.count)
    #expect(try engine.statistics().io[.table]?.bytesReadMapped ?? 0 > 0)
    #expect(try engine.verify().isSound)
    try engine.close()
  }

  @Test func damageUnderTheMappingIsAnError() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("database")
    var tuning = LSMTest.tinyTuning
    tuning.tableAccess = .map
    let engine = try LSMEngine.open(LSMTest.options(path), tuning)
    for number in 0..<400 { try engine.put(LSMTest.key(number), Array("value \(number)".utf8)) }
    try engine.compact()
    try engine.close()
    let fileSystem = POSIXFileSystem()
    let tables = try fileSystem.list(path).filter { $0.hasSuffix(".sst") }
    #expect(!tables.isEmpty)
    let again = try LSMEngine.open(LSMTest.options(path), tuning)
    #expect(try again.get(LSMTest.key(0)) != nil)
    for table in tables {
      let file = try fileSystem.open(joinPath(path, table), .readWrite)
      try file.truncate(to: 1)
    }
    var refused = 0
    for number in 0..<400 {
      do throws(StorageError) {
        // What the cache still holds may be answered; all else is an error.
        if let found = try again.get(LSMTest.key(number)) {
          #expect(found == Array("value \(number)".utf8))
        } else {
          Issue.record("key \(number) is absent, and no error said why")
        }
      } catch {
        #expect(error.code == .corruption)
        refused += 1
      }
    }
    #expect(refused > 0)
    try? again.close()
  }
}
