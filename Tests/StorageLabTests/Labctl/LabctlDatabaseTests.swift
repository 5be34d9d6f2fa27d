import Foundation
import Testing

@testable import StorageLab

/// `labctl db` and `verify` from outside, on every persistent engine of the build.
@Suite struct LabctlDatabaseTests {
  static let engines = EngineRegistry.standard.entries.filter(\.isPersistent).map(\.name)

  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private var path: String { directory.file("db") }

  private func labctl(_ arguments: String..., input: String = "") async throws -> LabctlRun {
    try await LabctlRun.run(arguments, input: input)
  }

  @Test(arguments: engines)
  func opensPutsGetsScansDeletes(_ engine: String) async throws {
    let opened = try await labctl("db", "open", path, "--engine", engine)
    #expect(opened.status == 0)
    #expect(opened.output.contains(engine))
    for (key, value) in [("b", "two"), ("a", "eins"), ("c", "")] {
      #expect(try await labctl("db", "put", path, key, value).status == 0)
    }
    let found = try await labctl("db", "get", path, "b")
    #expect(found.output == "two\n" && found.status == 0)
    #expect(try await labctl("db", "scan", path).output == "a\teins\nb\ttwo\nc\t\n")
    #expect(try await labctl("db", "scan", path, "--reverse", "--keys-only").output == "c\nb\na\n")
    #expect(
      try await labctl("db", "scan", path, "--from", "b", "--limit", "1").output == "b\ttwo\n")
    #expect(try await labctl("db", "scan", path, "--to", "b").output == "a\teins\n")
    #expect(try await labctl("db", "scan", path, "--prefix", "c").output == "c\t\n")
    #expect(try await labctl("db", "delete", path, "a").status == 0)
    #expect(try await labctl("db", "delete", path, "--from", "c", "--to", "d").status == 0)
    #expect(try await labctl("db", "scan", path).output == "b\ttwo\n")
    let sound = try await labctl("verify", path)
    #expect(sound.status == 0 && sound.output.contains("sound"))
    let statistics = try await labctl("db", "stat", path)
    #expect(statistics.status == 0 && statistics.output.contains("cache budget"))
  }

  @Test func sortedInputBecomesTables() async throws {
    #expect(try await labctl("db", "open", path, "--engine", "lsm").status == 0)
    let sorted = (1000..<3000).map { "key\($0)\tvalue \($0)\n" }.joined()
    let loaded = try await labctl("db", "load", path, "--ingest", input: sorted)
    #expect(loaded.status == 0 && loaded.output.hasPrefix("2000 entries"))
    #expect(try await labctl("db", "scan", path).output == sorted)
    for bad in ["b\t1\na\t2\n", "a\t1\nb\n"] {
      let refused = try await labctl("db", "load", path, "--ingest", input: bad)
      #expect(refused.status != 0 && !refused.error.isEmpty)
      #expect(try await labctl("db", "scan", path).output == sorted)
    }
    #expect(try await labctl("verify", path).status == 0)
    #expect(try await labctl("db", "open", directory.file("b"), "--engine", "btree").status == 0)
    let other = try await labctl("db", "load", directory.file("b"), "--ingest", input: sorted)
    #expect(other.status != 0 && other.error.contains("ingest"))
  }

  /// More than a pipe holds, for a process that ends without having read it.
  @Test func inputThatNobodyReadsIsNoError() async throws {
    let unread = try await labctl("--version", input: String(repeating: "a\t1\n", count: 1 << 18))
    #expect(unread.status == 0)
  }

  @Test func mergesWantTheirOperator() async throws {
    var options = EngineOptions(path: path)
    options.mergeOperator = AppendOperator()
    let engine = try LSMEngine.open(options)
    try engine.merge(Array("a".utf8), Array("1".utf8))
    try engine.merge(Array("a".utf8), Array("2".utf8))
    try engine.close()
    let refused = try await labctl("db", "get", path, "a")
    #expect(refused.status != 0 && refused.error.contains("append:,"))
    let other = try await labctl("db", "get", path, "a", "--merge-operator", "counter")
    #expect(other.status != 0)
    let found = try await labctl("db", "get", path, "a", "--merge-operator", "append")
    #expect(found.output == "1,2\n")
    #expect(
      try await labctl("verify", path, "--merge-operator", "append:,").status == 0)
  }

  @Test(arguments: engines)
  func whatScanPrintsLoadReads(_ engine: String) async throws {
    let copy = directory.file("copy")
    for place in [path, copy] {
      #expect(try await labctl("db", "open", place, "--engine", engine).status == 0)
    }
    let input = (0..<2500).map { "key\\t\($0 + 10_000)\\xff\tvalue \\\\ \($0) é\\n" }
      .joined(separator: "\n")
    let loaded = try await labctl("db", "load", path, input: input)
    #expect(loaded.status == 0 && loaded.output.hasPrefix("2500 entries"))
    #expect(loaded.error.isEmpty, "no progress bar unless on a terminal")
    let first = try await labctl("db", "scan", path)
    #expect(first.lines.count == 2500)
    #expect(try await labctl("db", "load", copy, input: first.output).status == 0)
    #expect(try await labctl("db", "scan", copy).output == first.output)
    let hex = try await labctl("db", "scan", path, "--hex", "--limit", "1")
    let key = hex.output.prefix { $0 != "\t" }
    #expect(key == "6b6579093130303030ff")
    #expect(try await labctl("db", "get", path, String(key), "--hex").status == 0)
  }

  @Test func loadReadsQuotedRecords() async throws {
    _ = try await labctl("db", "open", path, "--engine", "sqlite")
    let file = directory.file("in.csv")
    try "a,1\r\n\"b,\"\"x\"\"\",\"two\nlines\"\n".write(
      toFile: file, atomically: true, encoding: .utf8)
    #expect(try await labctl("db", "load", path, file).status == 0)
    #expect(try await labctl("db", "scan", path).output == "a\t1\nb,\"x\"\ttwo\\nlines\n")
  }

  @Test func loadNamesTheBadLineAndKeepsWhatCameBefore() async throws {
    _ = try await labctl("db", "open", path, "--engine", "sqlite")
    let bad = try await labctl("db", "load", path, input: "a\t1\nb\t2\nno tab here\nc\t3\n")
    #expect(bad.status == 2)
    #expect(bad.error.contains("line 3 of standard input: there is no tab"))
    #expect(try await labctl("db", "scan", path).output == "a\t1\nb\t2\n")
    for (input, message) in [
      ("x\t\\q", "begins no escape"), ("\tvalue", "the key is empty"),
    ] {
      let bad = try await labctl("db", "load", path, input: input)
      #expect(bad.status == 2)
      #expect(bad.error.contains(message))
    }
    let csv = try await labctl("db", "load", path, "--format", "csv", input: "a,b,c\n")
    #expect(csv.status == 2 && csv.error.contains("3 fields"))
    let open = try await labctl("db", "load", path, "--format", "csv", input: "a,\"b\n")
    #expect(open.status == 2 && open.error.contains("never closed"))
  }

  @Test func filesGoInAndOutByteForByte() async throws {
    _ = try await labctl("db", "open", path, "--engine", "sqlite")
    let (from, to) = (directory.file("from"), directory.file("to"))
    var bytes = [UInt8](repeating: 0, count: 100_000)
    var random = SeededRandom(seed: 1)
    bytes.withUnsafeMutableBytes { random.fill($0) }
    try Data(bytes).write(to: URL(fileURLWithPath: from))
    #expect(try await labctl("db", "put", path, "blob", "--file", from).status == 0)
    #expect(try await labctl("db", "get", path, "blob", "--file", to).status == 0)
    #expect(try Data(contentsOf: URL(fileURLWithPath: to)) == Data(bytes))
  }

  @Test(arguments: engines)
  func jsonIsJSON(_ engine: String) async throws {
    func json(_ arguments: String...) async throws -> [String: Any] {
      let run = try await LabctlRun.run(arguments + ["--json"])
      let value = try JSONSerialization.jsonObject(with: Data(run.output.utf8))
      return try #require(value as? [String: Any])
    }
    #expect(try await json("db", "open", path, "--engine", engine)["engine"] as? String == engine)
    #expect(try await json("db", "put", path, "k", "v")["valueBytes"] as? Int == 1)
    #expect(try await json("db", "get", path, "k")["value"] as? String == "v")
    #expect(try await json("db", "scan", path)["key"] as? String == "k")
    #expect(try await json("db", "stat", path)["engine"] as? String == engine)
    #expect(try await json("verify", path)["isSound"] as? Bool == true)
    #expect(try await json("db", "delete", path, "k")["key"] as? String == "k")
    #expect(try await json("inspect", path)["lines"] != nil)
  }
}
