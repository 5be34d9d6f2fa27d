import Foundation
import Testing

@testable import StorageLab

/// `labctl inspect` with and without a kind, on databases of every engine.
@Suite struct LabctlInspectTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private var path: String { directory.file("db") }

  private func create(_ engine: String, isClosed: Bool = true) throws -> any StorageEngine {
    var options = EngineOptions(path: path)
    options.maintenance = .inline
    let engine = try EngineRegistry.standard.open(engine, options)
    for number in 1000..<1300 {
      try engine.put(Array("key-\(number)".utf8), [UInt8](repeating: 7, count: 50))
    }
    if isClosed { try engine.close() }
    return engine
  }

  @Test func btree() async throws {
    _ = try create("btree")
    let run = try await LabctlRun.run(["inspect", "btree", path])
    #expect(run.status == 0, "\(run.error)")
    for part in [
      "300 entries, height 2", "level 1: 1 pages", "leaves: ", "90–100 % ", "free: ",
      "├─ (first) → leaf ", "└─ key-1",
    ] {
      #expect(run.output.contains(part), "\(part) in\n\(run.output)")
    }
    let few = try await LabctlRun.run(["inspect", "btree", path, "--limit", "2"])
    #expect(few.status == 0 && !few.output.contains("├─"))
    let anatomy = try BTreeAnatomy(
      of: joinPath(path, BTreeEngine.pagesName), POSIXFileSystem())
    let leaf = try #require(anatomy.tree?.children.first?.page)
    let page = try await LabctlRun.run(["inspect", "btree", path, "--page", "\(leaf)"])
    #expect(page.status == 0 && page.output.contains("B-tree page \(leaf)"))
    let blocks = try await LabctlRun.run(["inspect", "btree", path, "--superblock"])
    #expect(blocks.status == 0 && blocks.output.contains("superblock 1"))
  }

  @Test func btreeAsJSON() async throws {
    _ = try create("btree")
    let run = try await LabctlRun.run(["inspect", "btree", path, "--json"])
    let anatomy = try JSONDecoder().decode(BTreeAnatomy.self, from: Data(run.output.utf8))
    #expect(
      anatomy.entries == 300 && anatomy.height == 2 && anatomy.tree?.children.isEmpty == false)
  }

  @Test func damageIsCodeOne() async throws {
    _ = try create("btree")
    let pages = joinPath(path, BTreeEngine.pagesName)
    let anatomy = try BTreeAnatomy(of: pages, POSIXFileSystem())
    let leaf = try #require(anatomy.tree?.children.first?.page)
    let file = try POSIXFileSystem().open(pages, .readWrite)
    try file.write([0xee], at: Int64(leaf) * Int64(anatomy.pageSize) + 100)
    for json in [[], ["--json"]] {
      let run = try await LabctlRun.run(["inspect", "btree", path] + json)
      #expect(run.status == 1 && run.output.contains("checksum"), "\(run.output)")
    }
  }

  @Test(arguments: ["btree", "lsm", "sqlite"])
  func anotherKindIsRefused(_ engine: String) async throws {
    _ = try create(engine)
    for kind in ["btree", "lsm", "sqlite"] {
      let run = try await LabctlRun.run(["inspect", kind, path])
      #expect(run.status == (kind == engine ? 0 : 4), "\(kind): \(run.error)")
      if kind != engine {
        #expect(
          run.output.isEmpty && run.error.contains("belongs to engine \(engine), not \(kind)"))
      }
    }
    #expect(try await LabctlRun.run(["inspect", path]).status == 0)
  }

  @Test(arguments: ["btree", "lsm"])
  func theLogOfAnOpenDatabase(_ name: String) async throws {
    let engine = try create(name, isClosed: false)
    let run = try await LabctlRun.run(["inspect", "wal", path])
    #expect(run.status == 0, "\(run.error) \(run.output)")
    #expect(run.output.contains("put key-1000 = "))
    let name = try #require(
      try FileManager.default.contentsOfDirectory(atPath: path).sorted()
        .first { $0.hasSuffix(".wal") })
    let one = try await LabctlRun.run(["inspect", "wal", path, "--segment", name, "--limit", "1"])
    #expect(one.status == 0 && one.output.contains("more records"))
    try engine.close()
  }

  @Test func wrongUse() async throws {
    for kind in ["btree", "lsm", "sqlite", "wal"] {
      let help = try await LabctlRun.run(["inspect", kind, "--help"])
      #expect(help.status == 0 && help.output.contains("Examples:"))
      let nothing = try await LabctlRun.run(["inspect", kind, path])
      #expect(nothing.status == 3 && nothing.error.contains("there is no database"))
      #expect(try await LabctlRun.run(["inspect", kind]).status == 2)
    }
    _ = try create("sqlite")
    let log = try await LabctlRun.run(["inspect", "wal", path])
    #expect(log.status == 4 && log.error.contains("inspect sqlite"))
  }
}
