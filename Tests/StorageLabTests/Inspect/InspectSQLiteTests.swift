import Testing

@testable import StorageLab

@Suite struct InspectSQLiteTests {
  private let file = "/db/data.sqlite"

  /// A database of 300 entries, closed; with `leavesLog` the log stays behind.
  private func database(leavesLog: Bool = false) throws -> MemoryFileSystem {
    let fileSystem = MemoryFileSystem()
    var options = EngineOptions(path: "/db", fileSystem: fileSystem)
    options.maintenance = .inline
    options.durability = .commit
    let engine = try SQLiteEngine(options)
    for number in 0..<300 {
      try engine.put(Array("key-\(number + 1000)".utf8), [UInt8](repeating: 1, count: 100))
    }
    let holder = leavesLog ? try engine.snapshot() : nil
    if leavesLog { try engine.put([9], [9]) }
    try engine.close()
    holder?.close()
    return fileSystem
  }

  @Test func headerAndPagesAreNamed() throws {
    let fileSystem = try database()
    let calls = fileSystem.callCount
    let text = try InspectSQLite.database(file, fileSystem).text
    #expect(text.contains("page size 4096"))
    #expect(text.contains("8 reserved bytes"))
    #expect(text.contains("application id SLab"))
    #expect(text.contains("page 2: branch of a table without rowid"))
    #expect(text.contains("leaf of a table without rowid"))
    let leaf = try InspectSQLite.page(3, of: file, fileSystem).text
    #expect(leaf.contains("key of 8: key-1000"))
    #expect(fileSystem.callCount == calls, "nothing is written")
  }

  @Test func damageIsMarked() throws {
    let fileSystem = try database()
    let handle = try fileSystem.open(file, .readWrite)
    try handle.write([0xee], at: 2 * 4096 + 50)
    #expect(try InspectSQLite.database(file, fileSystem).hasProblems)
    #expect(try InspectSQLite.page(3, of: file, fileSystem).hasProblems)
    #expect(try !InspectSQLite.page(2, of: file, fileSystem).hasProblems)
    #expect(throwing { _ = try InspectSQLite.page(0, of: file, fileSystem) } == .invalidArgument)
    #expect(throwing { _ = try InspectSQLite.page(99, of: file, fileSystem) } == .invalidArgument)
    #expect(throwing { _ = try InspectSQLite.database("/none", fileSystem) } == .notFound)
  }

  @Test func framesOfTheLogAreCounted() throws {
    let fileSystem = try database(leavesLog: true)
    let log = try InspectSQLite.log(file + "-wal", fileSystem)
    #expect(!log.hasProblems)
    #expect(log.text.contains("checksum, valid"))
    #expect(log.text.contains("commits; the database has"))
    let handle = try fileSystem.open(file + "-wal", .readWrite)
    let before = log.lines.count
    try handle.write([0xee], at: try handle.size() - 100)
    let shorter = try InspectSQLite.log(file + "-wal", fileSystem)
    #expect(shorter.lines.count < before)
    try handle.write([0xee], at: 9)
    #expect(try InspectSQLite.log(file + "-wal", fileSystem).hasProblems)
    try handle.truncate(to: 0)
    #expect(try !InspectSQLite.log(file + "-wal", fileSystem).hasProblems)
  }

  @Test func hostileBytesAreReadToTheEnd() throws {
    var random = SeededRandom(seed: 3)
    let fileSystem = try database(leavesLog: true)
    for name in [file, file + "-wal"] {
      let good = try fileSystem.open(name, .read).readAll(limit: 1 << 30)
      for _ in 0..<300 {
        var bad = good
        for _ in 0..<1 + random.below(20) {
          bad[random.below(bad.count)] = UInt8(random.below(256))
        }
        if random.chance(0.3) { bad.removeLast(random.below(bad.count)) }
        let handle = try fileSystem.open("/bad", .truncate)
        try handle.write(bad, at: 0)
        _ = try InspectSQLite.database("/bad", fileSystem)
        _ = try InspectSQLite.log("/bad", fileSystem)
        for page in 1...4 { _ = try? InspectSQLite.page(page, of: "/bad", fileSystem) }
      }
    }
  }
}
