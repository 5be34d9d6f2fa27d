import Foundation
import Testing

@testable import StorageLab

/// What `labctl inspect btree` shows, held against the database it was taken from.
@Suite struct BTreeAnatomyTests {
  private let file = "/db/\(BTreeEngine.pagesName)"

  private func key(_ number: Int) -> [UInt8] { Array("key-\(number + 1000)".utf8) }

  private func engine(_ fileSystem: MemoryFileSystem) throws -> BTreeEngine {
    var options = EngineOptions(path: "/db", fileSystem: fileSystem)
    options.maintenance = .inline
    return try BTreeEngine.open(options, smallTuning())
  }

  private func fill(_ engine: BTreeEngine, _ numbers: Range<Int>) throws {
    for number in numbers { try engine.put(key(number), [UInt8](repeating: 1, count: 100)) }
  }

  @Test func everyPageIsCountedOnce() throws {
    let fileSystem = MemoryFileSystem()
    let engine = try engine(fileSystem)
    try fill(engine, 0..<600)
    try engine.put(Array("long".utf8), [UInt8](repeating: 2, count: 10_000))
    try engine.close()
    let calls = fileSystem.callCount
    let anatomy = try BTreeAnatomy(of: file, fileSystem)
    #expect(fileSystem.callCount == calls, "nothing is written")
    #expect(anatomy.problems.isEmpty)
    #expect(anatomy.entries == 601 && anatomy.height == 2 && anatomy.levels.count == 2)
    let (branches, leaves) = (anatomy.levels[0], anatomy.levels[1])
    #expect(branches.level == 1 && branches.pages == 1 && branches.cells == leaves.pages - 1)
    #expect(leaves.level == 0 && leaves.cells == 601)
    #expect(anatomy.overflowPages == 3, "10,000 bytes on pages of 4096")
    for level in anatomy.levels {
      #expect(level.pagesByTenth.reduce(0, +) == level.pages)
    }
    // A slot, a cell's header, what prefixes leave of the key, the value.
    #expect(leaves.usedBytes > 600 * (8 + 2 + 1 + 100))
    #expect(leaves.usedBytes < 600 * (8 + 2 + 8 + 100) + 100)
    let rest = anatomy.freeList.pages + anatomy.freeList.listPages.count
    #expect(anatomy.pageCount == 2 + 1 + leaves.pages + 3 + rest)
  }

  @Test func fillIsADistribution() throws {
    let fileSystem = MemoryFileSystem()
    let engine = try engine(fileSystem)
    // Ascending keys leave full leaves behind, and the last one as it comes.
    try fill(engine, 0..<620)
    try engine.close()
    let leaves = try #require(try BTreeAnatomy(of: file, fileSystem).levels.last)
    #expect(leaves.pagesByTenth[9] >= leaves.pages - 2)
    let text = try BTreeAnatomy(of: file, fileSystem).describe().text
    #expect(text.contains("90–100 % \(leaves.pagesByTenth[9]) ████"))
  }

  @Test func theFreeListIsShown() throws {
    let fileSystem = MemoryFileSystem()
    let engine = try engine(fileSystem)
    try fill(engine, 0..<2_000)
    try engine.checkpoint()
    try engine.deleteRange(from: key(100), to: key(1_900))
    try engine.checkpoint()
    try engine.checkpoint()
    let free = Int(try BTreeSuperblock.load(fileSystem.open(file, .read)).freePages)
    let anatomy = try BTreeAnatomy(of: file, fileSystem)
    #expect(anatomy.problems.isEmpty)
    #expect(free > 20 && anatomy.freeList.pages == free)
    #expect((1...free).contains(anatomy.freeList.runs))
    #expect((1...free).contains(anatomy.freeList.longestRun))
    #expect(anatomy.freeList.epoch == anatomy.epoch)
    let list = try #require(anatomy.freeList.listPages.first)
    let text = anatomy.describe().text
    #expect(text.contains("free: \(free) pages in \(anatomy.freeList.runs) run"))
    #expect(text.contains("listed on page \(list), as of epoch \(anatomy.epoch)"))
    try engine.close()
  }

  @Test func aSnapshotsPagesAreFreeInTheFile() throws {
    let fileSystem = MemoryFileSystem()
    let engine = try engine(fileSystem)
    try fill(engine, 0..<500)
    let snapshot = try engine.snapshot()
    try fill(engine, 0..<500)
    try engine.checkpoint()
    // No snapshot survives a crash, so what only it needs is free after one.
    let anatomy = try BTreeAnatomy(of: file, fileSystem)
    #expect(anatomy.problems.isEmpty, "\(anatomy.problems)")
    #expect(anatomy.freeList.pages >= anatomy.levels[1].pages / 2)
    snapshot.close()
    try engine.close()
  }

  @Test func holesInTheFileAreFound() throws {
    let directory = try TemporaryDirectory()
    let engine = try BTreeEngine.open(EngineOptions(path: directory.file("db")), smallTuning())
    try fill(engine, 0..<5_000)
    try engine.checkpoint()
    try engine.deleteRange(from: key(0), to: key(4_900))
    try engine.compact()
    try engine.close()
    let anatomy = try BTreeAnatomy(
      of: directory.file("db/\(BTreeEngine.pagesName)"), POSIXFileSystem())
    #expect(anatomy.problems.isEmpty)
    #expect(anatomy.mediumBytes <= anatomy.fileBytes)
    #expect(anatomy.freeList.pagesWithoutRoom <= anatomy.freeList.pages)
  }

  @Test func aSmallTreeIsDrawn() throws {
    let fileSystem = MemoryFileSystem()
    let engine = try engine(fileSystem)
    try fill(engine, 0..<90)
    try engine.close()
    let anatomy = try BTreeAnatomy(of: file, fileSystem)
    let tree = try #require(anatomy.tree)
    try #require(tree.children.count == 3 && tree.separators.count == 2)
    #expect(tree.children.reduce(0) { $0 + $1.cells } == 90)
    #expect(tree.children[0].firstKey == "key-1000" && tree.children[2].lastKey == "key-1089")
    let drawn = anatomy.describe().text.split(separator: "\n").drop { !$0.hasPrefix("tree") }
      .dropFirst()
    let (first, second) = (tree.children[1], tree.children[2])
    #expect(
      Array(drawn) == [
        "  branch \(tree.page): 3 children, \(tree.percentFull) % full, epoch \(tree.epoch)",
        "  ├─ (first) → \(leaf(tree.children[0]))",
        "  ├─ \(tree.separators[0]) → \(leaf(first))",
        "  └─ \(tree.separators[1]) → \(leaf(second))",
      ])
    // Separators divide: not above the keys they lead to, above those before.
    #expect(tree.separators[0] <= first.firstKey ?? "")
    #expect(tree.separators[0] > tree.children[0].lastKey ?? "")
  }

  private func leaf(_ node: BTreeAnatomy.Node) -> String {
    "leaf \(node.page): \(node.cells) entries, \(node.percentFull) % full, epoch \(node.epoch): "
      + "\(node.firstKey ?? "") … \(node.lastKey ?? "")"
  }

  @Test func anEmptyTreeIsOneLeaf() throws {
    let fileSystem = MemoryFileSystem()
    try engine(fileSystem).close()
    let anatomy = try BTreeAnatomy(of: file, fileSystem)
    #expect(anatomy.problems.isEmpty && anatomy.height == 1)
    #expect(anatomy.tree?.cells == 0 && anatomy.tree?.firstKey == nil)
    #expect(anatomy.describe().text.contains("free: 0 pages"))
  }

  @Test func aLargeTreeIsSummedUp() throws {
    let fileSystem = MemoryFileSystem()
    let engine = try engine(fileSystem)
    try fill(engine, 0..<600)
    try engine.close()
    let whole = try BTreeAnatomy(of: file, fileSystem)
    let short = try BTreeAnatomy(of: file, fileSystem, limit: 3)
    #expect(short.tree == nil && whole.tree != nil)
    #expect(short.levels == whole.levels)
    #expect(short.describe().text.contains("too large to draw"))
  }

  @Test func programsReadItAsJSON() throws {
    let fileSystem = MemoryFileSystem()
    let engine = try engine(fileSystem)
    try fill(engine, 0..<70)
    try engine.close()
    let anatomy = try BTreeAnatomy(of: file, fileSystem)
    let encoded = try JSONEncoder().encode(anatomy)
    #expect(try JSONDecoder().decode(BTreeAnatomy.self, from: encoded) == anatomy)
  }

  @Test func aLostPageIsAProblem() throws {
    let fileSystem = MemoryFileSystem()
    let engine = try engine(fileSystem)
    try fill(engine, 0..<70)
    try engine.close()
    // A superblock that counts a page more than are reached, free or listed.
    let handle = try fileSystem.open(file, .readWrite)
    var block = try BTreeSuperblock.load(handle)
    block.pageCount += 1
    try handle.write(block.encode(), at: Int64(block.slot) * Int64(block.pageSize))
    let anatomy = try BTreeAnatomy(of: file, fileSystem)
    #expect(anatomy.problems.map(\.message) == ["1 pages are neither reached nor free"])
  }
}
