import CSQLite
import Testing

@testable import StorageLab

/// Files that are not what was written: each is refused or reported, never read as data.
@Suite struct SQLiteCorruptionTests {
  private static let records = 3000
  private let path = "/db/data.sqlite"

  private func options(_ fileSystem: any FileSystem) -> EngineOptions {
    var options = EngineOptions(path: "/db", fileSystem: fileSystem)
    options.maintenance = .inline
    options.cacheBytes = 64 << 10
    return options
  }

  private func key(_ number: Int) -> [UInt8] { Array("key-\(number + 1_000_000)".utf8) }
  private func value(_ number: Int) -> [UInt8] {
    [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 50 + number % 50)
  }

  /// A closed database with page checksums or without.
  private func database(checksums: Bool) throws -> MemoryFileSystem {
    let fileSystem = MemoryFileSystem()
    var sqlite = SQLiteOptions()
    sqlite.pageChecksums = checksums
    let engine = try SQLiteEngine(options(fileSystem), sqlite)
    var batch = WriteBatch()
    for number in 0..<SQLiteCorruptionTests.records { batch.put(key(number), value(number)) }
    batch.put([0xff], [UInt8](repeating: 7, count: 100_000))
    try engine.write(batch)
    try engine.close()
    return fileSystem
  }

  private func bytes(_ fileSystem: MemoryFileSystem) throws -> [UInt8] {
    try fileSystem.open(path, .read).readAll(limit: 1 << 30)
  }

  private func replace(_ fileSystem: MemoryFileSystem, _ bytes: [UInt8]) throws {
    let file = try fileSystem.open(path, .truncate)
    try file.write(bytes, at: 0)
    file.close()
  }

  /// The first error of opening, reading everything and closing.
  private func readEverything(_ fileSystem: MemoryFileSystem) -> StorageError? {
    do throws(StorageError) {
      let engine = try SQLiteEngine(options(fileSystem))
      var number = 0
      var isRight = true
      try engine.scan { key, value in
        if number < SQLiteCorruptionTests.records {
          isRight =
            isRight && key.withSlice { $0.array == self.key(number) }
            && value.withSlice { $0.array == self.value(number) }
        }
        number += 1
        return true
      }
      if !isRight || number != SQLiteCorruptionTests.records + 1 {
        Issue.record("wrong data was returned")
      }
      try engine.close()
      return nil
    } catch {
      return error
    }
  }

  @Test func checksumsCatchEveryFlippedBitWithItsPage() throws {
    let fileSystem = try database(checksums: true)
    let good = try bytes(fileSystem)
    #expect(readEverything(fileSystem) == nil)
    var random = SeededRandom(seed: 11)
    for page in 0..<good.count / 4096 {
      var bad = good
      let place = page * 4096 + random.below(4096)
      bad[place] ^= 1 << UInt8(random.below(8))
      try replace(fileSystem, bad)
      let error = readEverything(fileSystem)
      // In the header the magic, the page size or the reserved bytes may be what changed.
      if page == 0 {
        #expect(error?.code == .corruption || error?.code == .wrongFormat, "byte \(place)")
      } else {
        #expect(error?.code == .corruption, "byte \(place)")
        #expect(error?.path == path)
        #expect(error?.offset == Int64(page * 4096))
      }
    }
  }

  @Test func checksumsCatchSwappedPages() throws {
    let fileSystem = try database(checksums: true)
    var bad = try bytes(fileSystem)
    let pages = bad.count / 4096
    let (first, second) = (pages / 3, pages / 2)
    for index in 0..<4096 { bad.swapAt(first * 4096 + index, second * 4096 + index) }
    try replace(fileSystem, bad)
    #expect(readEverything(fileSystem)?.code == .corruption)
  }

  @Test func verifyNamesTheDamagedPage() throws {
    let fileSystem = try database(checksums: true)
    var bad = try bytes(fileSystem)
    let page = bad.count / 4096 / 2
    bad[page * 4096 + 100] ^= 0x40
    try replace(fileSystem, bad)
    let engine = try SQLiteEngine(options(fileSystem))
    let report = try engine.verify()
    #expect(!report.isSound)
    #expect(report.problems.contains { $0.path == path && $0.offset == Int64(page * 4096) })
    try engine.close()
  }

  /// What SQLite by itself does notice: broken structure, though not changed values.
  @Test func withoutChecksumsBrokenStructureIsFound() throws {
    let fileSystem = try database(checksums: false)
    var bad = try bytes(fileSystem)
    let page = bad.count / 4096 / 3
    // The page's kind.
    bad[page * 4096] = 0x7e
    try replace(fileSystem, bad)
    let engine = try SQLiteEngine(options(fileSystem))
    #expect(try !engine.verify().isSound)
    #expect(throwing { try engine.scan { _, _ in true } } == .corruption)
    try engine.close()
  }

  @Test func checksumsSurviveReopeningAndCompaction() throws {
    let fileSystem = try database(checksums: true)
    let engine = try SQLiteEngine(options(fileSystem))
    #expect(try engine.statistics()[detail: "page_checksums"] == 1)
    try engine.compact()
    try engine.close()
    #expect(readEverything(fileSystem) == nil)
    var bad = try bytes(fileSystem)
    bad[bad.count - 2000] ^= 1
    try replace(fileSystem, bad)
    #expect(readEverything(fileSystem)?.code == .corruption)
  }

  @Test(arguments: [true, false])
  func aTruncatedFileIsCorrupt(_ checksums: Bool) throws {
    let fileSystem = try database(checksums: checksums)
    let good = try bytes(fileSystem)
    for keep in [50, 100, 4096, good.count / 2 / 4096 * 4096, good.count - 1, good.count - 4096] {
      try replace(fileSystem, Array(good[..<keep]))
      #expect(readEverything(fileSystem)?.code == .corruption, "\(keep) bytes left")
      #expect(try bytes(fileSystem).count == keep, "the refused file is left as it was")
    }
  }

  @Test func aForeignFileIsRefusedAndLeftAlone() throws {
    let fileSystem = try database(checksums: false)
    let text = Array("#!/bin/sh\necho a script, not a database\n".utf8)
    try replace(fileSystem, text)
    #expect(readEverything(fileSystem)?.code == .wrongFormat)
    #expect(try bytes(fileSystem) == text)
  }

  @Test func anotherProgramsDatabaseIsRefused() throws {
    let directory = try TemporaryDirectory()
    try SQLiteEngine(EngineOptions(path: directory.path)).close()
    let file = directory.file("data.sqlite")
    try POSIXFileSystem().remove(file)
    let foreign = try SQLiteConnection(
      file, flags: SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, vfs: nil)
    try foreign.execute("CREATE TABLE entries (key, value)")
    foreign.close()
    #expect(throwing { _ = try SQLiteEngine(EngineOptions(path: directory.path)) } == .wrongFormat)
  }

  @Test func aMissingFileIsNotSilentlyAnEmptyDatabase() throws {
    let fileSystem = try database(checksums: false)
    try fileSystem.remove(path)
    var existing = options(fileSystem)
    existing.createIfMissing = false
    #expect(throwing { _ = try SQLiteEngine(existing) } == .notFound)
    existing.isReadOnly = true
    #expect(throwing { _ = try SQLiteEngine(existing) } == .notFound)
  }
}
