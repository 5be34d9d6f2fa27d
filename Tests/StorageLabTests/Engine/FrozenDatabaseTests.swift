import Foundation
import Testing

@testable import StorageLab

/// Databases as earlier builds wrote them, in `Fixtures/`: what was ever released stays
/// readable, and a format that changes without a new version is noticed here.
///
/// `LAB_FREEZE=1` writes the missing ones with the present build. A frozen one is never
/// written again: a new format version gets folders of its own.
@Suite struct FrozenDatabaseTests {
  struct Frozen: Sendable, CustomTestStringConvertible {
    let engine: TestEngine
    let version: Int
    /// Closed cleanly, or as a kill left it, with a log to replay.
    let isClosed: Bool

    var name: String { "\(engine.name)-v\(version)-\(isClosed ? "closed" : "killed")" }
    var testDescription: String { name }
    var folder: String { "Tests/StorageLabTests/Fixtures/\(name)" }
  }

  /// The set of formats that an engine writes today. What came before it stays in `frozen`.
  private static func latest(_ engine: TestEngine) -> Int {
    // 2: a manifest of version 2. 3: one of version 3, tables of version 2.
    engine.name == LSMEngine.engineName ? 3 : 1
  }

  static let frozen = TestEngine.persistent.flatMap { engine in
    (1...latest(engine)).flatMap { version in
      [true, false].map { Frozen(engine: engine, version: version, isClosed: $0) }
    }
  }

  @Test(arguments: frozen) func opensWithAllItsEntries(_ frozen: Frozen) throws {
    let fileSystem = MemoryFileSystem()
    try fileSystem.createDirectory("/database")
    let files = SourceTree.files(under: frozen.folder, suffix: "")
    try #require(!files.isEmpty, "LAB_FREEZE=1 makes \(frozen.folder)")
    for file in files {
      let url = SourceTree.root.appendingPathComponent(file)
      let handle = try fileSystem.open("/database/" + url.lastPathComponent, .create)
      try handle.write([UInt8](Data(contentsOf: url)), at: 0)
      handle.close()
    }
    let expected = Self.contents()
    for life in 0..<2 {
      let engine = try frozen.engine.entry.open(options(fileSystem))
      var found: [[UInt8]: [UInt8]] = [:]
      try engine.scan(.all) { key, value in
        found[key.withUnsafeBytes { Array($0) }] = value.withUnsafeBytes { Array($0) }
        return true
      }
      #expect(found == expected, "life \(life)")
      #expect(try engine.verify().problems.isEmpty)
      // It is a database to work with, not only to look at.
      try engine.put([0, UInt8(life)], [1])
      #expect(try engine.get([0, UInt8(life)]) == [1])
      try engine.delete([0, UInt8(life)])
      try engine.close()
    }
  }

  @Test(.enabled(if: ProcessInfo.processInfo.environment["LAB_FREEZE"] != nil))
  func freezeWhatIsMissing() throws {
    for frozen in Self.frozen
    where frozen.version == Self.latest(frozen.engine) && !SourceTree.exists(frozen.folder) {
      var fileSystem = MemoryFileSystem()
      let engine = try frozen.engine.entry.open(options(fileSystem))
      try Self.write(to: engine)
      if frozen.isClosed { try engine.close() }
      fileSystem = fileSystem.crash(.keepEverything)
      if !frozen.isClosed { try? engine.close() }
      let folder = SourceTree.root.appendingPathComponent(frozen.folder)
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      for name in try fileSystem.list("/database") {
        let bytes = try fileSystem.open("/database/" + name, .read).readAll(limit: 1 << 30)
        try Data(bytes).write(to: folder.appendingPathComponent(name))
      }
    }
  }

  private func options(_ fileSystem: MemoryFileSystem) -> EngineOptions {
    var options = EngineOptions(path: "/database", fileSystem: fileSystem)
    options.durability = .process
    options.maintenance = .inline
    return options
  }

  /// What was written into every frozen database; never to be changed.
  private enum Change {
    case put([UInt8], [UInt8])
    case delete([UInt8])
    case deleteRange([UInt8], [UInt8])
  }

  private static func changes() -> [Change] {
    func key(_ number: Int) -> [UInt8] { Array("frozen/\(1000 + number * 7919 % 900)".utf8) }
    var changes: [Change] = []
    for number in 0..<900 {
      let value = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: number * 13 % 150)
      changes.append(.put(key(number), value))
    }
    changes.append(.put([UInt8](repeating: 0xff, count: 1500), Array("a long key".utf8)))
    changes.append(.put([0], []))
    changes.append(.put(Array("large".utf8), [UInt8](repeating: 7, count: 20_000)))
    for number in stride(from: 0, to: 900, by: 11) { changes.append(.delete(key(number))) }
    changes.append(.deleteRange(Array("frozen/1300".utf8), Array("frozen/1350".utf8)))
    for number in stride(from: 5, to: 900, by: 17) {
      changes.append(.put(key(number), Array("again \(number)".utf8)))
    }
    return changes
  }

  private static func write(to engine: any StorageEngine) throws {
    for change in changes() {
      switch change {
      case .put(let key, let value): try engine.put(key, value)
      case .delete(let key): try engine.delete(key)
      case .deleteRange(let lower, let upper): try engine.deleteRange(from: lower, to: upper)
      }
    }
  }

  /// The same changes on a dictionary.
  private static func contents() -> [[UInt8]: [UInt8]] {
    var model: [[UInt8]: [UInt8]] = [:]
    for change in changes() {
      switch change {
      case .put(let key, let value): model[key] = value
      case .delete(let key): model[key] = nil
      case .deleteRange(let lower, let upper):
        model = model.filter {
          $0.key.lexicographicallyPrecedes(lower) || !$0.key.lexicographicallyPrecedes(upper)
        }
      }
    }
    return model
  }
}
