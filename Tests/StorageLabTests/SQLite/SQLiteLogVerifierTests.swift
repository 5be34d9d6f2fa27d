import CSQLite
import Testing

@testable import StorageLab

/// SQLite takes a damaged frame for the end of its log and drops the commits behind it; `verify`
/// tells where that can be known.
@Suite struct SQLiteLogVerifierTests {
  private let log = "/db/data.sqlite-wal"

  private func options(_ fileSystem: any FileSystem, isReadOnly: Bool = false) -> EngineOptions {
    var options = EngineOptions(path: "/db", fileSystem: fileSystem)
    options.maintenance = .inline
    options.durability = .commit
    options.isReadOnly = isReadOnly
    return options
  }

  /// A database as a kill leaves it: twenty transactions in the log, some of several frames.
  private func killed() throws -> MemoryFileSystem {
    let fileSystem = MemoryFileSystem()
    let engine = try SQLiteEngine(options(fileSystem))
    for number in 0..<20 {
      try engine.put([UInt8(number)], [UInt8](repeating: UInt8(number), count: 300 * number))
    }
    let after = fileSystem.crash(.loseEverythingUnsynced)
    try? engine.close()
    return after
  }

  private func flip(_ fileSystem: MemoryFileSystem, _ offset: Int64, bit: UInt8) throws {
    let file = try fileSystem.open(log, .readWrite)
    var byte: [UInt8] = [0]
    _ = try byte.withMutableBytes { (buffer) throws(StorageError) in
      try file.read(into: buffer, at: offset)
    }
    try file.write([byte[0] ^ (1 << bit)], at: offset)
    file.close()
  }

  private func problems(_ fileSystem: MemoryFileSystem) throws -> [VerificationReport.Problem] {
    do throws(StorageError) {
      let engine = try SQLiteEngine(options(fileSystem, isReadOnly: true))
      defer { try? engine.close() }
      return try engine.verify().problems
    } catch {
      #expect(error.code == .corruption)
      return [.init(error, path: "")]
    }
  }

  /// The log of a young database may hold its very table.
  @Test func aDatabaseWhoseTableIsLostWithItsLogIsNotMadeAnew() throws {
    let fileSystem = try killed()
    try flip(fileSystem, 32 + 1000, bit: 0)
    let damaged = try fileSystem.open(log, .read).readAll(limit: 1 << 30)
    let code = throwing { _ = try SQLiteEngine(options(fileSystem)) }
    #expect(code == .corruption)
    #expect(try fileSystem.open(log, .read).readAll(limit: 1 << 30) == damaged)
  }

  /// The frames' commit marks.
  private func commits(_ fileSystem: MemoryFileSystem) throws -> [Bool] {
    let bytes = try fileSystem.open(log, .read).readAll(limit: 1 << 30)
    return stride(from: 32, to: bytes.count, by: 4096 + 24).map { start in
      bytes[start + 4..<start + 8].contains { $0 != 0 }
    }
  }

  @Test func damageBeforeTheLastTransactionIsNamed() throws {
    #expect(try problems(killed()).isEmpty)
    let marks = try commits(killed())
    let last = try #require(marks.dropLast().lastIndex(of: true))
    #expect(marks.count > 30)
    var random = SeededRandom(seed: 5)
    for frame in 0...last {
      // In the frame's header (page number, mark, salts, checksum) or in its page.
      for place in [random.below(24), 24 + random.below(4096)] {
        let fileSystem = try killed()
        let offset = Int64(32 + frame * (4096 + 24))
        try flip(fileSystem, offset + Int64(place), bit: UInt8(random.below(8)))
        let found = try problems(fileSystem)
        #expect(found.contains { $0.path == log && $0.offset == offset }, "\(frame), \(place)")
      }
    }
  }

  @Test func aDamagedHeaderIsNamed() throws {
    for byte in [0, 3, 4, 9, 13, 17, 21, 25, 30] {
      let fileSystem = try killed()
      try flip(fileSystem, Int64(byte), bit: 2)
      let found = try problems(fileSystem)
      #expect(found.contains { $0.path == log && $0.offset == 0 }, "byte \(byte)")
    }
  }

  /// The last transaction may be torn by a crash: that is recovery, not damage.
  @Test func aTornTailIsNoDamage() throws {
    let marks = try commits(killed())
    let start = try #require(marks.dropLast().lastIndex(of: true)) + 1
    for frame in start..<marks.count {
      let fileSystem = try killed()
      try flip(fileSystem, Int64(32 + frame * (4096 + 24) + 100), bit: 1)
      #expect(try problems(fileSystem).isEmpty, "frame \(frame)")
    }
    for cut in [1, 24, 4000, 4121] {
      let fileSystem = try killed()
      let file = try fileSystem.open(log, .readWrite)
      try file.truncate(to: file.size() - Int64(cut))
      #expect(try problems(fileSystem).isEmpty, "\(cut) bytes cut")
    }
  }

  /// An open engine knows what it committed, down to the last frame.
  @Test func anOpenEngineMissesEveryFrame() throws {
    let fileSystem = MemoryFileSystem()
    let engine = try SQLiteEngine(options(fileSystem))
    for number in 0..<20 { try engine.put([UInt8(number)], [UInt8](repeating: 1, count: 100)) }
    #expect(try engine.verify().isSound)
    let frames = try commits(fileSystem).count
    for frame in 0..<frames {
      let offset = Int64(32 + frame * (4096 + 24))
      try flip(fileSystem, offset + 1000, bit: 3)
      #expect(try engine.verify().problems.contains { $0.path == log && $0.offset == offset })
      try flip(fileSystem, offset + 1000, bit: 3)
    }
    #expect(try engine.verify().isSound)
    // Emptying the log leaves nothing to check; frames of before mean nothing in the next round.
    try engine.checkpoint()
    #expect(try engine.verify().isSound)
    for number in 0..<5 { try engine.put([UInt8(number)], [9]) }
    #expect(try engine.verify().isSound)
    try engine.close()
  }

  /// A transaction that spilled to the log and was undone leaves whole frames that no commit ends.
  @Test func framesOfAnUndoneTransactionAreNoDamage() throws {
    let fileSystem = MemoryFileSystem()
    var small = options(fileSystem)
    small.cacheBytes = 8 << 10
    let engine = try SQLiteEngine(small)
    for number in 0..<10 { try engine.put([UInt8(number)], [1]) }
    try engine.writer.run(.beginWriting)
    for number in 0..<60 {
      try [UInt8(100), UInt8(number)].withSlice { (key) throws(StorageError) in
        try [UInt8](repeating: 5, count: 3000).withSlice { (value) throws(StorageError) in
          try engine.writer.run(.put, key, value)
        }
      }
    }
    try engine.writer.run(.rollback)
    try engine.put([3], [7])
    #expect(try engine.verify().isSound)
    let after = fileSystem.crash(.loseEverythingUnsynced)
    try? engine.close()
    #expect(try problems(after).isEmpty)
  }
}
