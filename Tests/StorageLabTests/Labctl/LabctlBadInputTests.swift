import Foundation
import Testing

@testable import StorageLab

/// Bad input to `labctl`: a message that says what to do, the documented exit code
/// (`docs/guide/exit-codes.md`), nothing changed.
@Suite struct LabctlBadInputTests {
  static let engines = LabctlDatabaseTests.engines

  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private var path: String { directory.file("db") }

  /// Expects the code and that the message holds each of `words`; nothing on standard output.
  private func expect(
    _ status: Int32, _ words: String..., from arguments: [String],
    at location: SourceLocation = #_sourceLocation
  ) async throws {
    let run = try await LabctlRun.run(arguments)
    #expect(run.status == status, "\(arguments): \(run.error)", sourceLocation: location)
    #expect(run.error.hasPrefix("error: "), "\(run.error)", sourceLocation: location)
    #expect(run.output.isEmpty, sourceLocation: location)
    for word in words {
      #expect(
        run.error.localizedCaseInsensitiveContains(word), "\(run.error)", sourceLocation: location)
    }
  }

  private func create(_ engine: String) throws {
    var options = EngineOptions(path: path)
    options.maintenance = .inline
    let engine = try EngineRegistry.standard.open(engine, options)
    var batch = WriteBatch()
    for number in 0..<500 { batch.put(Array("key-\(number)".utf8), Array("value".utf8)) }
    try engine.write(batch)
    try engine.close()
  }

  /// Names and contents of everything in the directory.
  private func contents() throws -> [String: Data] {
    var contents: [String: Data] = [:]
    let root = URL(fileURLWithPath: path)
    for name in try FileManager.default.subpathsOfDirectory(atPath: path) {
      contents[name] = (try? Data(contentsOf: root.appendingPathComponent(name))) ?? Data()
    }
    return contents
  }

  @Test func usage() async throws {
    try await expect(2, "unknown option", "--bogus", "usage", from: ["--bogus"])
    try await expect(2, "unknown option", "--bogus", from: ["verify", path, "--bogus"])
    try await expect(2, "--help", from: ["nonsense"])
    try await expect(2, "missing", "path", from: ["db", "get"])
    try await expect(2, "either a value or --file", from: ["db", "put", path, "k"])
    try await expect(2, "either a key or a range", from: ["db", "delete", path])
    try await expect(2, "needs both", from: ["db", "delete", path, "--from", "a"])
    try await expect(2, "choose one", from: ["inspect", path, "--page", "1", "--superblock"])
    try await expect(2, "durability", from: ["db", "get", path, "k", "--durability", "always"])
    try await expect(2, "cache", from: ["db", "get", path, "k", "--cache", "lots"])
    try await expect(
      2, "no engine nope", "sqlite", from: ["db", "open", path, "--engine", "nope"])
    try await expect(2, "keeps nothing", from: ["db", "open", path, "--engine", "memory"])
    #if !LMDB
      try await expect(9, "make bench-peers", from: ["bench", "--engines", "btree,lmdb"])
    #endif
    #expect(!FileManager.default.fileExists(atPath: path), "a refused command makes nothing")
  }

  @Test func helpHasExamplesAndCodeZero() async throws {
    for command in [
      ["--help"], ["db", "--help"], ["db", "open", "--help"], ["db", "get", "--help"],
      ["db", "put", "--help"], ["db", "delete", "--help"], ["db", "scan", "--help"],
      ["db", "load", "--help"], ["db", "stat", "--help"], ["verify", "--help"],
      ["inspect", "--help"],
    ] {
      let run = try await LabctlRun.run(command)
      #expect(run.status == 0 && run.output.contains("Examples:"), "\(command)")
    }
  }

  @Test func missingPath() async throws {
    for command in [["db", "get", path, "k"], ["verify", path], ["inspect", path]] {
      try await expect(3, "there is no database", path, from: command)
    }
    #expect(!FileManager.default.fileExists(atPath: path))
  }

  @Test(arguments: engines)
  func missingKeyAndInput(_ engine: String) async throws {
    try create(engine)
    try await expect(3, "there is no key nope", from: ["db", "get", path, "nope"])
    try await expect(
      3, directory.file("none.tsv"), from: ["db", "load", path, directory.file("none.tsv")])
    try await expect(
      3, directory.file("none"), from: ["db", "put", path, "k", "--file", directory.file("none")])
    try await expect(2, "hexadecimal", from: ["db", "get", path, "xyz", "--hex"])
    try await expect(2, "the key is empty", from: ["db", "get", path, ""])
  }

  @Test(arguments: engines)
  func directoryOfAnotherEngine(_ engine: String) async throws {
    try create(engine)
    let before = try contents()
    for other in Self.engines where other != engine {
      try await expect(
        4, "belongs to engine \(engine)", from: ["db", "open", path, "--engine", other])
    }
    #expect(try contents() == before)
  }

  @Test(arguments: engines)
  func lockedDirectory(_ engine: String) async throws {
    try create(engine)
    let holder = try EngineRegistry.standard.openExisting(EngineOptions(path: path))
    for command in [
      ["db", "get", path, "key-1"], ["db", "put", path, "k", "v"], ["verify", path],
      ["db", "open", path, "--engine", engine],
    ] {
      try await expect(6, "open in another process", from: command)
    }
    #expect(try holder.get("key-1") == "value")
    try holder.close()
    #expect(try await LabctlRun.run(["db", "get", path, "key-1"]).status == 0)
  }

  @Test(arguments: engines)
  func newerVersion(_ engine: String) async throws {
    try create(engine)
    // As EngineDirectory writes it (docs/formats/engine.md), with a version of the future.
    var writer = ByteWriter()
    writer.raw("STGELAB1".utf8)
    writer.integer(UInt32(99))
    writer.integer(UInt32(engine.utf8.count))
    writer.raw(engine.utf8)
    writer.checksum()
    try Data(writer.bytes).write(to: URL(fileURLWithPath: joinPath(path, "ENGINE")))
    let before = try contents()
    for command in [["db", "get", path, "key-1"], ["verify", path], ["db", "scan", path]] {
      try await expect(4, "version 99", "newer", from: command)
    }
    #expect(try contents() == before)
  }

  @Test func unknownOwner() async throws {
    try create("sqlite")
    var writer = ByteWriter()
    writer.raw("STGELAB1".utf8)
    writer.integer(UInt32(1))
    writer.integer(UInt32(4))
    writer.raw("tape".utf8)
    writer.checksum()
    try Data(writer.bytes).write(to: URL(fileURLWithPath: joinPath(path, "ENGINE")))
    try await expect(4, "engine tape", from: ["db", "get", path, "key-1"])
  }

  @Test(arguments: engines)
  func damagedEngineFile(_ engine: String) async throws {
    try create(engine)
    let file = URL(fileURLWithPath: joinPath(path, "ENGINE"))
    var bytes = try Data(contentsOf: file)
    bytes[bytes.count - 1] ^= 1
    try bytes.write(to: file)
    try await expect(5, "checksum", "ENGINE", from: ["db", "get", path, "key-1"])
    try Data("hello".utf8).write(to: file)
    try await expect(4, "not a StorageLab database", from: ["db", "get", path, "key-1"])
  }

  @Test(arguments: engines)
  func foreignDirectory(_ engine: String) async throws {
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    try Data("my letters".utf8).write(to: URL(fileURLWithPath: joinPath(path, "letters.txt")))
    let before = try contents()
    try await expect(4, "letters.txt", from: ["db", "open", path, "--engine", engine])
    try await expect(3, "there is no database", from: ["db", "get", path, "k"])
    #expect(try contents() == before)
  }

  /// Damages each data file of a closed database in several ways. Whatever the engine: a
  /// damaged file is said to be damaged, or what is read is right.
  @Test(arguments: engines)
  func damagedFilesNeverReadAsData(_ engine: String) async throws {
    try create(engine)
    let original = try contents()
    let expected = try await LabctlRun.run(["db", "scan", path]).output
    #expect(expected.split(separator: "\n").count == 500)
    try restore(original)
    var random = SeededRandom(seed: 5)
    for (name, bytes) in original.sorted(by: { $0.key < $1.key })
    where !bytes.isEmpty && name != "ENGINE" {
      for trial in 0..<4 {
        var damaged = bytes
        if trial == 0 {
          damaged = bytes.prefix(bytes.count / 2)
        } else {
          damaged[random.below(min(bytes.count, 1 << 18))] ^= UInt8(1 + random.below(255))
        }
        try damaged.write(to: URL(fileURLWithPath: joinPath(path, name)))
        let run = try await LabctlRun.run(["db", "scan", path])
        if run.status == 0 {
          #expect(run.output == expected, "\(name), trial \(trial): wrong data")
        } else {
          #expect([4, 5].contains(run.status), "\(name), trial \(trial): \(run.error)")
          #expect(run.error.hasPrefix("error: "))
        }
        try restore(original)
      }
    }
  }

  private func restore(_ contents: [String: Data]) throws {
    let root = URL(fileURLWithPath: path)
    for name in try FileManager.default.subpathsOfDirectory(atPath: path)
    where contents[name] == nil {
      try FileManager.default.removeItem(at: root.appendingPathComponent(name))
    }
    for (name, bytes) in contents {
      let url = root.appendingPathComponent(name)
      var isDirectory: ObjCBool = false
      if FileManager.default.fileExists(atPath: url.path, isDirectory: &isDirectory),
        isDirectory.boolValue
      {
        continue
      }
      // Preallocated logs are large: write back what changed.
      if (try? Data(contentsOf: url)) != bytes { try bytes.write(to: url) }
    }
  }

  @Test func verifyReportsProblemsWithTheirPlace() async throws {
    var options = EngineOptions(path: path)
    options.maintenance = .inline
    var tuning = SQLiteOptions()
    tuning.pageChecksums = true
    let engine = try SQLiteEngine(options, tuning)
    for number in 0..<2000 { try engine.put("key-\(number)", String(repeating: "x", count: 50)) }
    try engine.close()
    let file = URL(fileURLWithPath: joinPath(path, "data.sqlite"))
    var bytes = try Data(contentsOf: file)
    bytes[5 * 4096 + 77] ^= 0x10
    try bytes.write(to: file)
    let run = try await LabctlRun.run(["verify", path])
    #expect(run.status == 1)
    #expect(run.output.contains("data.sqlite at byte \(5 * 4096): the page fails its checksum"))
    #expect(run.output.contains("problem"))
    let inspected = try await LabctlRun.run(["inspect", path])
    #expect(inspected.status == 1 && inspected.output.contains("PROBLEM"))
  }

  @Test func colourOnlyOnATerminal() async throws {
    try create("sqlite")
    let run = try await LabctlRun.run(["verify", path], environment: ["NO_COLOR": "1"])
    #expect(!run.output.contains("\u{1b}"))
    #expect(try await !LabctlRun.run(["verify", path]).output.contains("\u{1b}"))
  }
}
