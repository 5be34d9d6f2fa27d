import Glibc
import Testing

@testable import StorageLab

/// However many tables a tree has, only so many hold a file descriptor.
@Suite struct OpenTableTests {
  /// This process's descriptors of table files in `directory`.
  private func openTables(_ directory: String) throws -> Int {
    try POSIXFileSystem().list("/proc/self/fd").count { name in
      var buffer = [CChar](repeating: 0, count: 4096)
      let count = readlink("/proc/self/fd/\(name)", &buffer, buffer.count - 1)
      guard count > 0 else { return false }
      let target = String(
        decoding: buffer.prefix(count).map(UInt8.init(bitPattern:)), as: UTF8.self)
      return target.hasPrefix(directory) && target.contains(".sst")
    }
  }

  private func value(_ number: Int) -> [UInt8] {
    [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 60)
  }

  private func filled(_ path: String, _ limit: Int) throws -> LSMEngine {
    var tuning = LSMTest.tinyTuning
    tuning.maximumOpenTables = limit
    var options = LSMTest.options(path)
    // No room for blocks: every read needs the file.
    options.cacheBytes = 1 << 12
    let engine = try LSMEngine.open(options, tuning)
    for number in 0..<3000 {
      try engine.put(LSMTest.key(number * 7 % 3000), value(number * 7 % 3000))
    }
    try engine.checkpoint()
    try engine.settle()
    return engine
  }

  @Test func theLimitHoldsAndEveryTableStaysReadable() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("db")
    let engine = try filled(path, 4)
    #expect(try #require(engine.statistics()[detail: "tables"]) > 20)
    var random = SeededRandom(seed: 3)
    for _ in 0..<2000 {
      let number = random.below(3000)
      #expect(try engine.get(LSMTest.key(number)) == value(number))
    }
    #expect(try openTables(path) <= 4)
    #expect(try LSMTest.contents(engine.cursor()).count == 3000)
    #expect(try LSMTest.contentsBackward(engine.cursor()).count == 3000)
    #expect(try openTables(path) <= 4)
    #expect(try engine.statistics()[detail: "tables.open"] == 4)
    #expect(try engine.verify().isSound)
    try engine.compact()
    #expect(try openTables(path) <= 4)
    #expect(try LSMTest.contents(engine.cursor()).count == 3000)
    try engine.close()
  }

  @Test func readersShareAndLoseDescriptorsWhileOthersRead() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("db")
    let engine = try filled(path, 1)
    let flaws = Guarded<[String]>([])
    let readers = try (0..<3).map { reader in
      try LabThread(name: "reader") { [self] in
        var random = SeededRandom(seed: UInt64(reader))
        for _ in 0..<500 {
          let number = random.below(3000)
          do {
            if try engine.get(LSMTest.key(number)) != value(number) {
              flaws.withLock { $0.append("key \(number)") }
            }
          } catch { flaws.withLock { $0.append("\(error)") } }
        }
      }
    }
    for reader in readers { reader.join() }
    #expect(flaws.withLock { $0 } == [])
    #expect(try openTables(path) <= 1)
    try engine.close()
  }
}
