import Testing

@testable import StorageLab

@Suite struct InspectBTreeTests {
  private let file = "/db/\(BTreeEngine.pagesName)"

  private func key(_ number: Int) -> [UInt8] { Array("key-\(number + 1000)".utf8) }

  /// A closed database of `entries` small entries and one value that needs a chain.
  private func database(entries: Int = 600) throws -> MemoryFileSystem {
    let fileSystem = MemoryFileSystem()
    var options = EngineOptions(path: "/db", fileSystem: fileSystem)
    options.maintenance = .inline
    let engine = try BTreeEngine.open(options, smallTuning())
    for number in 0..<entries {
      try engine.put(key(number), [UInt8](repeating: 1, count: 100))
    }
    try engine.put(Array("long".utf8), [UInt8](repeating: 2, count: 10_000))
    try engine.close()
    return fileSystem
  }

  private func root(_ fileSystem: MemoryFileSystem) throws -> Int {
    Int(try BTreeSuperblock.load(fileSystem.open(file, .read)).root)
  }

  private func number(after word: String, in text: String) throws -> Int {
    let rest = try #require(text.firstRange(of: word)).upperBound
    return try #require(Int(text[rest...].prefix { $0.isNumber }))
  }

  @Test func superblocksAreReadFieldByField() throws {
    let fileSystem = try database()
    let calls = fileSystem.callCount
    let dump = try InspectBTree.superblocks(file, fileSystem)
    #expect(!dump.hasProblems)
    #expect(dump.text.contains("format version \(BTreeSuperblock.version)"))
    #expect(dump.text.contains("page size 4096"))
    #expect(dump.text.contains("entries 601"))
    #expect(dump.text.contains(", the newest"))
    #expect(dump.text.contains("root: page \(try root(fileSystem))"))
    #expect(fileSystem.callCount == calls, "nothing is written")
  }

  @Test func pagesAreReadCellByCell() throws {
    let fileSystem = try database()
    let root = try root(fileSystem)
    let branch = try InspectBTree.page(root, of: file, fileSystem).text
    #expect(branch.contains("kind: branch"))
    #expect(branch.contains("level 1"))
    let first = try number(after: "leftmost child: page ", in: branch)
    let leaf = try InspectBTree.page(first, of: file, fileSystem)
    #expect(leaf.text.contains("kind: leaf"))
    #expect(leaf.text.contains("key-1000 = "))
    #expect(leaf.lines.filter { $0.meaning.hasPrefix("key-") }.count > 10)
    let last = try #require(branch.split(separator: "→ page ").last)
    let end = try InspectBTree.page(
      try #require(Int(last.prefix { $0.isNumber })), of: file, fileSystem
    ).text
    let chain = try number(after: "long: 10000 bytes in a chain from page ", in: end)
    let overflow = try InspectBTree.page(chain, of: file, fileSystem).text
    #expect(overflow.contains("kind: overflow"))
    #expect(overflow.contains("next: page "))
    let few = try InspectBTree.page(first, of: file, fileSystem, limit: 2)
    #expect(few.lines.filter { $0.meaning.hasPrefix("key-") }.count == 2)
    #expect(few.text.contains("more cells"))
  }

  @Test func damageIsMarkedWhereItIs() throws {
    let fileSystem = try database()
    let root = try root(fileSystem)
    let first = try number(
      after: "leftmost child: page ", in: InspectBTree.page(root, of: file, fileSystem).text)
    let handle = try fileSystem.open(file, .readWrite)
    try handle.write([0xee], at: Int64(first) * 4096 + 2000)
    let page = try InspectBTree.page(first, of: file, fileSystem)
    #expect(page.lines.contains { $0.isProblem && $0.offset == Int64(first) * 4096 })
    let anatomy = try BTreeAnatomy(of: file, fileSystem)
    #expect(anatomy.problems.map(\.offset) == [Int64(first) * 4096])
    #expect(anatomy.describe().hasProblems)
    #expect(try !InspectBTree.page(root, of: file, fileSystem).hasProblems)
    // One superblock of two: the other still leads to the tree.
    try handle.write([0xee], at: 40)
    #expect(try InspectBTree.superblocks(file, fileSystem).hasProblems)
  }

  @Test func whatIsNotThereIsSaid() throws {
    let fileSystem = try database()
    for page in [-1, 1_000_000, Int.max] {
      #expect(
        throwing { _ = try InspectBTree.page(page, of: file, fileSystem) } == .invalidArgument)
    }
    #expect(throwing { _ = try BTreeAnatomy(of: "/none", fileSystem) } == .notFound)
    let empty = try fileSystem.open("/empty", .create)
    #expect(throwing { _ = try BTreeAnatomy(of: "/empty", fileSystem) } == .corruption)
    empty.close()
  }

  @Test func hostileBytesAreReadToTheEnd() throws {
    var random = SeededRandom(seed: 3)
    let fileSystem = try database(entries: 60)
    let good = try fileSystem.open(file, .read).readAll(limit: 1 << 30)
    for round in 0..<300 {
      var bad = good
      for _ in 0..<1 + random.below(20) {
        bad[random.below(bad.count)] = UInt8(random.below(256))
      }
      // Every second time the checksums are made to fit, so that the structure itself is read.
      if round % 2 == 0 { reseal(&bad) }
      if random.chance(0.3) { bad.removeLast(random.below(bad.count)) }
      let handle = try fileSystem.open("/bad", .truncate)
      try handle.write(bad, at: 0)
      _ = try? InspectBTree.superblocks("/bad", fileSystem)
      _ = try? BTreeAnatomy(of: "/bad", fileSystem).describe().text
      for page in 0..<8 { _ = try? InspectBTree.page(page, of: "/bad", fileSystem) }
    }
  }

  private func reseal(_ bytes: inout [UInt8]) {
    let pageSize = 4096
    bytes.withUnsafeMutableBytes { buffer in
      guard let base = buffer.baseAddress else { return }
      for slot in 0..<2 {
        let block = base + slot * pageSize
        let end = BTreeSuperblock.encodedBytes - 4
        let covered = ByteSlice(base: UnsafeRawPointer(block), count: end)
        let checksum = CRC32C.checksum(covered, seed: CRC32C.seed(UInt64(slot)))
        block.storeBytes(of: checksum.littleEndian, toByteOffset: end, as: UInt32.self)
      }
      for page in 2..<buffer.count / pageSize {
        BTreePage(base + page * pageSize, size: pageSize).seal(UInt32(page))
      }
    }
  }
}
